"""What is recalled into a prompt, what is kept of an answer, and what tending does when nobody waits."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sourcebook.catalog.catalog import Catalog
from sourcebook.catalog.conversations import Turn, delete_conversation, read_conversation, start_conversation
from sourcebook.catalog.facts import FactKind, Learned, keep_facts, read_facts
from sourcebook.catalog.records import Staged
from sourcebook.config import Memory
from sourcebook.embed.hashing import Hashing
from sourcebook.embed.terms import KeywordAnalyzer
from sourcebook.errors import NotFound
from sourcebook.prompt.memory import REMOVED, UNKNOWN, Recollection, Tended, keep, recall, shortened, tend, window
from sourcebook.types import Answer, Citation, Hit, Passage, Scope
from tests.prompt.scripted import NOBODY, Quoting, Scripted, make_catalog, publish, say

SETTINGS = Memory(window=60, summary=50, facts=2, threshold=0.3)
EMBEDDER = Hashing()
WORDS = KeywordAnalyzer().words
ALICE = Scope(principals=frozenset({"alice"}))


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    made = make_catalog(tmp_path)
    yield made
    made.close()


def count(text: str) -> int:
    return len(text.split())


async def recalled(
    catalog: Catalog, name: str, question: str, scope: Scope = NOBODY, settings: Memory = SETTINGS
) -> Recollection:
    return await recall(catalog, name, question, scope, embedder=EMBEDDER, words=WORDS, count=count, settings=settings)


async def tended(catalog: Catalog, name: str, model: Scripted, settings: Memory = SETTINGS) -> Tended:
    return await tend(catalog, name, NOBODY, model=model, embedder=EMBEDDER, words=WORDS, settings=settings)


async def learned(
    catalog: Catalog, name: str, *texts: str, kind: FactKind = "fact", number: int = 1, scope: Scope = NOBODY
) -> None:
    read = read_conversation(catalog, name, scope)
    vectors = await EMBEDDER.embed(texts)
    facts = [Learned(kind=kind, text=text, number=number, vector=v) for text, v in zip(texts, vectors, strict=True)]
    assert keep_facts(catalog, read, facts, upto=read.learned + 1, fingerprint=EMBEDDER.fingerprint) == len(texts)


def answered(text: str, *documents: Staged, cited: int = 0) -> Answer:
    """An answer from these documents, citing the first `cited` of them."""
    hits = tuple(
        Hit(
            passage=Passage(
                id=one.passages[0], document=one.draft.uri, version=one.number, ordinal=0, text=one.draft.text,
                start=0, end=len(one.draft.text),
            ),
            score=1.0,
        )
        for one in documents
    )  # fmt: skip
    citations = tuple(
        Citation(document=hit.passage.document, version=1, passage=hit.passage.id, start=0, end=1, quote="T")
        for hit in hits[:cited]
    )
    return Answer(id=f"id-{text}", question="", text=text, known=bool(text), citations=citations, hits=hits)


def turn(number: int, text: str, **more: object) -> Turn:
    role = "user" if number % 2 else "assistant"
    return Turn(number=number, role=role, text=text, at="", **more)  # type: ignore[arg-type]


# --- the window ---------------------------------------------------------------------------------------------


def test_the_window_holds_the_last_whole_exchanges_verbatim() -> None:
    turns = [turn(n, f"turn {n} has five words") for n in range(1, 9)]
    shown = window(turns, 2 * (2 * 5 + 8) + 17, count)
    assert shown == turns[-4:]
    assert window(turns, 10_000, count) == turns
    assert window([], 100, count) == []


def test_the_last_exchange_is_there_however_long() -> None:
    long = turn(2, "The first sentence is this. The second is longer by far than that. The third.")
    shown = window([turn(1, "What is it?"), long], 20, count)
    assert [one.text for one in shown] == ["What is it?", "The first sentence is this. [...]"]
    assert [one.text for one in window([turn(1, "What is it?"), long], 9, count)] == ["What is it?"]
    assert shortened("One long sentence without an end", 3, count) == ""


def test_what_has_no_text_says_why() -> None:
    shown = window([turn(1, "q"), turn(2, "", removed=True), turn(3, "r"), turn(4, "")], 1000, count)
    assert [one.text for one in shown] == ["q", REMOVED, "r", UNKNOWN]


# --- recall -------------------------------------------------------------------------------------------------


async def test_a_new_conversation_recalls_nothing(catalog: Catalog) -> None:
    name = start_conversation(catalog, NOBODY)
    assert await recalled(catalog, name, "What is it?") == Recollection(conversation=name)
    with pytest.raises(NotFound):
        await recalled(catalog, "nothing", "What is it?")


async def test_recall_counts_what_it_brings_and_what_it_leaves_out(catalog: Catalog) -> None:
    one = publish(catalog, "a", "The fee is 3%.")
    name = start_conversation(catalog, NOBODY)
    for number in range(6):
        say(catalog, name, f"question {number} of five words", f"answer {number} of five words", one)
    found = await recalled(catalog, name, "And now?")
    assert [turn.number for turn in found.turns] == [7, 8, 9, 10, 11, 12]
    assert (found.tokens, found.left_out) == (6 * 9, 6)
    assert found.origins == found.turns[1].origins != frozenset()


async def test_nothing_of_a_deleted_document_is_recalled(catalog: Catalog) -> None:
    one, other = publish(catalog, "a", "The fee is 3%."), publish(catalog, "b", "Lamps cost 49.")
    name = start_conversation(catalog, NOBODY)
    say(catalog, name, "What is the fee?", "The fee is 3%.", one)
    say(catalog, name, "What do lamps cost?", "Lamps cost 49.", other)
    catalog.withdraw([one.document_id])
    found = await recalled(catalog, name, "And now?")
    assert [turn.text for turn in found.turns] == [
        "What is the fee?", REMOVED, "What do lamps cost?", "Lamps cost 49."
    ]  # fmt: skip
    assert {origin.document_id for origin in found.origins} == {other.document_id}


async def test_facts_are_recalled_where_they_are_about_the_question(catalog: Catalog) -> None:
    name = start_conversation(catalog, ALICE)
    say(catalog, name, "q", "a", scope=ALICE)
    await learned(
        catalog, name, "My office is in Busan.", "I bought a printer in May.", "Our office has two floors.",
        "The office in Busan has a garden.", scope=ALICE,
    )  # fmt: skip
    later = start_conversation(catalog, ALICE)
    found = await recalled(catalog, later, "Where is the office in Busan?", ALICE)
    assert len(found.notes) == 2
    assert all("office" in note for note in found.notes)
    assert found.tokens == sum(map(count, found.notes))
    assert (await recalled(catalog, later, "Who discovered penicillin?", ALICE)).facts == ()
    none = replace(SETTINGS, facts=0)
    assert (await recalled(catalog, later, "Where is the office in Busan?", ALICE, settings=none)).facts == ()


async def test_preferences_are_always_recalled(catalog: Catalog) -> None:
    name = start_conversation(catalog, ALICE)
    say(catalog, name, "q", "a", scope=ALICE)
    await learned(catalog, name, "Always answer briefly.", kind="preference", scope=ALICE)
    await learned(catalog, name, "Penicillin is a drug that I take.", scope=ALICE)
    found = await recalled(catalog, start_conversation(catalog, ALICE), "Who discovered penicillin?", ALICE)
    assert found.notes == ("Always answer briefly.", "Penicillin is a drug that I take.")


async def test_facts_are_their_owners_alone(catalog: Catalog) -> None:
    name = start_conversation(catalog, ALICE)
    say(catalog, name, "q", "a", scope=ALICE)
    await learned(catalog, name, "My office is in Busan.", scope=ALICE)
    question = "Where is my office in Busan?"
    assert (await recalled(catalog, start_conversation(catalog, ALICE), question, ALICE)).notes
    for scope in (NOBODY, Scope(principals=frozenset({"alice", "bob"})), replace(ALICE, tenant="other")):
        assert not (await recalled(catalog, start_conversation(catalog, scope), question, scope)).notes
    delete_conversation(catalog, name, ALICE)
    assert not (await recalled(catalog, start_conversation(catalog, ALICE), question, ALICE)).notes


async def test_facts_of_nobody_stay_in_their_conversation(catalog: Catalog) -> None:
    """Many may ask without a name, each in a conversation of his own."""
    mine, yours = start_conversation(catalog, NOBODY), start_conversation(catalog, NOBODY)
    for number in range(5):
        say(catalog, mine, f"question {number} of many", "and its long answer with very many words")
    await learned(catalog, mine, "My name is Kim.")
    await learned(catalog, mine, "Always answer briefly.", kind="preference")
    assert set((await recalled(catalog, mine, "What is my name?")).notes) == {
        "My name is Kim.", "Always answer briefly."
    }  # fmt: skip
    assert (await recalled(catalog, yours, "What is my name?")).notes == ()


async def test_of_repeated_notes_the_newest_holds_its_place(catalog: Catalog) -> None:
    for number, text in enumerate(["A", "b", "c", "a"]):
        name = start_conversation(catalog, ALICE)
        say(catalog, name, "q", "a", scope=ALICE)
        await learned(catalog, name, text, kind="preference", scope=ALICE)
        with catalog.writing() as connection:
            connection.exec_driver_sql("UPDATE memory SET at = ? WHERE conversation_id = ?", (f"202{number}", name))
    found = await recalled(catalog, start_conversation(catalog, ALICE), "What?", ALICE, replace(SETTINGS, facts=5))
    assert found.notes == ("a", "c", "b")


async def test_a_fact_of_a_turn_that_is_shown_is_not_said_twice(catalog: Catalog) -> None:
    name = start_conversation(catalog, NOBODY)
    say(catalog, name, "My office is in Busan.", "Good.")
    await learned(catalog, name, "My office is in Busan.")
    assert not (await recalled(catalog, name, "Where is my office?")).notes


async def test_facts_are_embedded_anew_by_another_embedder(catalog: Catalog) -> None:
    name = start_conversation(catalog, ALICE)
    say(catalog, name, "q", "a", scope=ALICE)
    await learned(catalog, name, "My office is in Busan.", scope=ALICE)
    other = Hashing(64)
    for _ in range(2):
        found = await recall(
            catalog, start_conversation(catalog, ALICE), "Where is my office?", ALICE,
            embedder=other, words=WORDS, count=count, settings=SETTINGS,
        )  # fmt: skip
        assert found.notes == ("My office is in Busan.",)
        (fact,) = read_facts(catalog, ALICE, ALICE.principals)
        assert (fact.fingerprint, fact.vector.shape) == (other.fingerprint, (64,))
        np.testing.assert_allclose(np.linalg.norm(fact.vector), 1.0, rtol=1e-5)


async def test_facts_in_a_language_that_the_embedder_does_not_know_are_found_by_words(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = start_conversation(catalog, ALICE)
    say(catalog, name, "q", "a", scope=ALICE)
    await learned(catalog, name, "제 사무실은 부산에 있어요.", "저는 커피를 좋아해요.", scope=ALICE)
    monkeypatch.setattr(Hashing, "languages", frozenset({"en"}))
    found = await recalled(catalog, start_conversation(catalog, ALICE), "사무실은 어디에 있나요?", ALICE)
    assert found.notes == ("제 사무실은 부산에 있어요.",)


# --- keep ---------------------------------------------------------------------------------------------------


async def test_an_answer_in_the_models_words_is_made_from_all_that_it_read(catalog: Catalog) -> None:
    first, read, cited = (publish(catalog, name, f"Text of {name}.") for name in ("first", "read", "cited"))
    name = start_conversation(catalog, NOBODY)
    say(catalog, name, "q", "from the first", first)
    found = await recalled(catalog, name, "What?")
    kept = await keep(catalog, found, "What?", answered("In words.", cited, read, cited=1), NOBODY, quotes=False)
    assert kept is not None
    assert {one.document_id for one in kept[1].origins} == {one.document_id for one in (first, read, cited)}
    assert (kept[0].text, kept[1].text, kept[1].answer_id) == ("What?", "In words.", "id-In words.")


async def test_an_answer_in_the_documents_words_is_made_from_what_it_cites(catalog: Catalog) -> None:
    first, read, cited = (publish(catalog, name, f"Text of {name}.") for name in ("first", "read", "cited"))
    name = start_conversation(catalog, NOBODY)
    say(catalog, name, "q", "from the first", first)
    found = await recalled(catalog, name, "What?")
    kept = await keep(catalog, found, "What?", answered("Text.", cited, read, cited=1), NOBODY, quotes=True)
    assert kept is not None
    assert [one.document_id for one in kept[1].origins] == [cited.document_id]


async def test_an_answer_is_made_from_the_tables_that_it_read_as_well(catalog: Catalog) -> None:
    one = publish(catalog, "pay.csv", "Anna,40")
    name = start_conversation(catalog, NOBODY)
    found = await recalled(catalog, name, "What do we pay?")
    await keep(catalog, found, "What do we pay?", answered("40."), NOBODY, quotes=False, versions=[(one.draft.uri, 1)])
    assert (await recalled(catalog, name, "So?")).turns[1].text == "40."
    catalog.withdraw([one.document_id])
    assert (await recalled(catalog, name, "So?")).turns[1].text == REMOVED


async def test_an_answer_that_is_not_known_is_made_from_nothing(catalog: Catalog) -> None:
    one = publish(catalog, "a", "Text.")
    name = start_conversation(catalog, NOBODY)
    found = await recalled(catalog, name, "What?")
    kept = await keep(catalog, found, "What?", answered("", one), NOBODY, quotes=False)
    assert kept is not None
    assert (kept[1].text, kept[1].removed, kept[1].origins) == ("", False, frozenset())
    delete_conversation(catalog, name, NOBODY)
    assert await keep(catalog, found, "What?", answered("Text."), NOBODY, quotes=False) is None


async def test_a_text_that_is_no_answer_is_made_from_what_was_read_all_the_same(catalog: Catalog) -> None:
    one = publish(catalog, "a", "The fee is 3%.")
    name = start_conversation(catalog, NOBODY)
    found = await recalled(catalog, name, "What?")
    doubtful = replace(answered("I do not know, but a fee of 3% is named.", one), known=False)
    await keep(catalog, found, "What?", doubtful, NOBODY, quotes=False)
    catalog.withdraw([one.document_id])
    assert (await recalled(catalog, name, "So?")).turns[1].text == REMOVED


async def test_a_deletion_reaches_what_later_answers_repeat(catalog: Catalog) -> None:
    one, other = publish(catalog, "a", "The fee is 3%."), publish(catalog, "b", "Lamps cost 49.")
    name = start_conversation(catalog, NOBODY)
    for question, text, document in (
        ("What is the fee?", "The fee is 3%.", one),
        ("What do lamps cost?", "49, and a fee of 3% on top.", other),
    ):
        found = await recalled(catalog, name, question)
        await keep(catalog, found, question, answered(text, document), NOBODY, quotes=False)
    catalog.withdraw([one.document_id])
    assert not any("3%" in turn.text for turn in (await recalled(catalog, name, "So?")).turns)


# --- tend ---------------------------------------------------------------------------------------------------


async def test_tending_summarises_and_learns(catalog: Catalog) -> None:
    name = start_conversation(catalog, NOBODY)
    for number in range(6):
        say(catalog, name, f"I live in house number {number}", f"answer {number} of five words")

    def reply(request: object) -> str:
        return '{"notes": []}' if getattr(request, "purpose", "") == "remember" else "All so far."

    model = Scripted(reply)
    done = await tended(catalog, name, model)
    assert done.summarised == 8
    assert done.notes == ()
    assert done.usage.input_tokens == 10 * len(model.requests)
    found = await recalled(catalog, name, "And now?")
    assert found.summary == "All so far."
    assert [turn.number for turn in found.turns] == [9, 10, 11, 12]
    assert found.left_out == 0
    calls = len(model.requests)
    assert await tended(catalog, name, model) == Tended()
    assert len(model.requests) == calls


async def test_tending_without_a_model_that_writes_uses_the_conversations_own_words(catalog: Catalog) -> None:
    name = start_conversation(catalog, NOBODY)
    said = [("My office is in Busan.", "Noted.")] + [
        (f"question {n} is asked", f"answer {n} is given") for n in range(9)
    ]
    for question, answer in said:
        say(catalog, name, question, answer)
    done = await tended(catalog, name, Quoting())
    assert done.summarised > 0
    assert done.learned == 1
    found = await recalled(catalog, name, "Where is my office?")
    assert found.notes == ("My office is in Busan.",)
    spoken = {text for pair in said for text in pair}
    assert found.summary
    assert all(line.partition(": ")[2] in spoken for line in found.summary.splitlines())


async def test_nothing_is_learned_where_that_is_switched_off(catalog: Catalog) -> None:
    name = start_conversation(catalog, NOBODY)
    say(catalog, name, "My office is in Busan.", "Good.")
    assert await tended(catalog, name, Quoting(), replace(SETTINGS, learn=False)) == Tended()
    assert read_facts(catalog, NOBODY, frozenset()) == []
