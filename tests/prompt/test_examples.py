"""Examples for prompts: the nearest ones that do not repeat each other."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from sourcebook.catalog.catalog import Catalog
from sourcebook.catalog.examples import read_examples
from sourcebook.embed.hashing import Hashing
from sourcebook.embed.terms import KeywordAnalyzer
from sourcebook.errors import PromptError
from sourcebook.prompt.examples import add_examples, choose_examples, parse_examples
from tests.prompt.scripted import make_catalog

EMBEDDER = Hashing()
WORDS = KeywordAnalyzer().words
QUESTIONS = (
    "How long does a refund take?",
    "How long does a refund take at most?",
    "Who pays the refund fee?",
    "When was the lighthouse built?",
)


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    made = make_catalog(tmp_path)
    yield made
    made.close()


async def chosen(catalog: Catalog, question: str, **more: object) -> list[str]:
    found = await choose_examples(catalog, question, embedder=EMBEDDER, words=WORDS, **more)  # type: ignore[arg-type]
    return [one.question for one in found]


async def test_the_nearest_come_first_and_do_not_repeat_each_other(catalog: Catalog) -> None:
    names = await add_examples(catalog, [(one, f"Answer to {one}") for one in QUESTIONS], embedder=EMBEDDER)
    assert len(set(names)) == 4
    question = "How long does the refund take?"
    assert await chosen(catalog, question, most=2, diversity=0.0) == list(QUESTIONS[:2])
    assert await chosen(catalog, question, most=2, diversity=0.4) == [QUESTIONS[0], QUESTIONS[2]]
    assert (await chosen(catalog, question, most=9))[0] == QUESTIONS[0]
    assert len(await chosen(catalog, question, most=9)) == 4
    assert await chosen(catalog, question, most=0) == []


async def test_examples_are_chosen_within_tenant_and_collection(catalog: Catalog) -> None:
    await add_examples(catalog, [(QUESTIONS[0], "a")], embedder=EMBEDDER, tenant="t", collection="c")
    assert await chosen(catalog, QUESTIONS[0], tenant="t", collection="c") == [QUESTIONS[0]]
    assert await chosen(catalog, QUESTIONS[0], tenant="t") == []
    assert await chosen(catalog, QUESTIONS[0], collection="c") == []
    assert await add_examples(catalog, [], embedder=EMBEDDER) == []


async def test_another_embedder_embeds_them_anew_once(catalog: Catalog) -> None:
    await add_examples(catalog, [(one, "a") for one in QUESTIONS], embedder=Hashing(32))
    assert (await chosen(catalog, QUESTIONS[3], most=1)) == [QUESTIONS[3]]
    kept = read_examples(catalog, tenant="default")
    assert {one.fingerprint for one in kept} == {EMBEDDER.fingerprint}
    assert {one.vector.shape for one in kept} == {(384,)}


async def test_nobody_waits_for_all_of_them_to_be_embedded_anew(catalog: Catalog) -> None:
    await add_examples(catalog, [(f"Question {number}?", "a") for number in range(300)], embedder=Hashing(32))
    for left in (172, 44, 0, 0):
        assert len(await chosen(catalog, "Question 7?", most=1)) == 1
        kept = read_examples(catalog, tenant="default")
        assert sum(one.fingerprint != EMBEDDER.fingerprint for one in kept) == left


async def test_languages_that_the_embedder_does_not_know_are_compared_by_words(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    korean = "환불 수수료는 얼마인가요?"
    await add_examples(catalog, [(one, "a") for one in (*QUESTIONS, korean)], embedder=EMBEDDER)
    monkeypatch.setattr(Hashing, "languages", frozenset({"en"}))
    assert await chosen(catalog, "환불 수수료는 누가 내나요?", most=1) == [korean]


def test_json_lines_are_read() -> None:
    lines = [
        '{"question": " What? ", "answer": "That.", "source": "x"}\n',
        "\n",
        '{"question": "왜?", "answer": "그래서."}',
    ]
    assert parse_examples(lines, "f") == [(" What? ", "That."), ("왜?", "그래서.")]


@pytest.mark.parametrize(
    "line",
    [
        "no json",
        "[]",
        '{"question": "What?"}',
        '{"question": "What?", "answer": " "}',
        '{"question": 3, "answer": "a"}',
        '{"question": "\\ud800", "answer": "a"}',
    ],
)
def test_a_line_that_is_no_example_is_named(line: str) -> None:
    with pytest.raises(PromptError, match=r"Line 2 of file\.jsonl is not an example") as caught:
        parse_examples(['{"question": "What?", "answer": "That."}', line], "file.jsonl")
    assert '"question"' in caught.value.remedy
