"""Facts that users state: found by a model or by rule, kept once, bound to the turn whose words they hold."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from sourcebook.catalog.catalog import Catalog
from sourcebook.catalog.conversations import read_conversation, start_conversation
from sourcebook.catalog.facts import Fact, read_facts
from sourcebook.embed.hashing import Hashing
from sourcebook.embed.terms import KeywordAnalyzer
from sourcebook.errors import Unavailable
from sourcebook.prompt.learning import Lesson, in_words_of, learn, may_state, stated
from tests.prompt.scripted import NOBODY, Quoting, Scripted, make_catalog, publish, say

EMBEDDER = Hashing()
WORDS = KeywordAnalyzer().words


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    made = make_catalog(tmp_path)
    yield made
    made.close()


def notes(*found: str | dict[str, object]) -> str:
    """A model's reply."""
    rows = [{"text": one, "kind": "fact", "replaces": []} if isinstance(one, str) else one for one in found]
    return json.dumps({"notes": rows})


async def lesson(catalog: Catalog, name: str, model: Scripted) -> Lesson:
    return await learn(catalog, name, NOBODY, model=model, embedder=EMBEDDER, words=WORDS)


def facts(catalog: Catalog) -> dict[str, Fact]:
    return {one.text: one for one in read_facts(catalog, NOBODY, frozenset())}


# --- with a model -------------------------------------------------------------------------------------------


async def test_a_model_is_asked_once_about_each_turn_that_states_something(catalog: Catalog) -> None:
    name = start_conversation(catalog, NOBODY)
    say(catalog, name, "What is the fee?", "3%.")
    say(catalog, name, "My office is in Busan. What does shipping cost?", "5.")
    model = Scripted(notes("The user's office is in Busan."))
    done = await lesson(catalog, name, model)
    assert (done.facts, len(model.requests), done.usage.input_tokens) == (1, 1, 10)
    (request,) = model.requests
    assert (request.purpose, request.temperature) == ("remember", 0.0)
    assert request.schema is not None
    assert "My office is in Busan" in request.messages[-1].text
    assert facts(catalog)["The user's office is in Busan."].number == 3
    assert await lesson(catalog, name, model) == Lesson()
    assert len(model.requests) == 1


async def test_facts_in_the_users_words_outlive_the_document_and_others_do_not(catalog: Catalog) -> None:
    one = publish(catalog, "a", "The Basic plan costs 10 dollars.")
    name = start_conversation(catalog, NOBODY)
    say(catalog, name, "I work in Busan and take the second plan.", "Basic, for 10 dollars.", one)
    await lesson(
        catalog, name, Scripted(notes("The user works in Busan.", "The user takes the Basic plan for 10 dollars."))
    )
    kept = facts(catalog)
    assert [kept[text].number for text in sorted(kept)] == [2, 1]
    catalog.withdraw([one.document_id])
    assert list(facts(catalog)) == ["The user works in Busan."]


async def test_what_the_user_never_spoke_of_is_no_fact_of_the_user(catalog: Catalog) -> None:
    one = publish(catalog, "a", "The Basic plan costs 10 dollars.")
    name = start_conversation(catalog, NOBODY)
    say(catalog, name, "I have no idea. What do we pay?", "The Basic plan costs 10 dollars.", one)
    assert (await lesson(catalog, name, Scripted(notes("The Basic plan costs 10 dollars.")))).facts == 0


async def test_a_fact_that_changes_replaces_the_old_one(catalog: Catalog) -> None:
    name = start_conversation(catalog, NOBODY)
    say(catalog, name, "I live in Busan.", "Good.")
    say(catalog, name, "Now I live in Seoul.", "Good.")
    say(catalog, name, "Please forget where I live.", "Yes.")
    model = Scripted(
        [
            notes("I live in Busan."),
            notes({"text": "I live in Seoul.", "kind": "fact", "replaces": [1, 7]}),
            notes({"text": "", "kind": "fact", "replaces": [1]}),
        ]
    )
    seen: list[list[str]] = []
    for _ in range(3):
        await lesson(catalog, name, model)
        seen.append(sorted(facts(catalog)))
    assert seen == [[], [], []]  # all three in the first go
    assert "1. I live in Busan." in model.prompts[1]
    assert "1. I live in Seoul." in model.prompts[2]


async def test_what_was_made_from_documents_is_not_shown_to_the_model(catalog: Catalog) -> None:
    one = publish(catalog, "a", "The Basic plan costs 10 dollars.")
    name = start_conversation(catalog, NOBODY)
    say(catalog, name, "I take the second plan.", "Basic, for 10 dollars.", one)
    say(catalog, name, "I take the third plan.", "Good.")
    model = Scripted([notes("Takes the plan for 10 dollars."), notes()])
    await lesson(catalog, name, model)
    assert len(facts(catalog)) == 1
    assert "10 dollars" not in model.prompts[1]


async def test_a_model_that_fails_is_asked_again_the_next_time(catalog: Catalog) -> None:
    name = start_conversation(catalog, NOBODY)
    say(catalog, name, "My office is in Busan.", "Good.")
    done = await lesson(catalog, name, Scripted(Unavailable("It is down")))
    assert (done.facts, len(done.notes)) == (0, 1)
    assert "It is down" in done.notes[0]
    assert read_conversation(catalog, name, NOBODY).learned == 0
    assert (await lesson(catalog, name, Scripted(notes("My office is in Busan.")))).facts == 1


@pytest.mark.parametrize(
    "reply",
    [
        "I cannot do that.",
        "",
        '{"notes": 3}',
        '{"notes": [3]}',
        '{"notes": [{"text": 3}]}',
        '{"notes": [{"replaces": "x"}]}',
    ],
)
async def test_a_reply_that_is_no_json_gives_way_to_the_rule(catalog: Catalog, reply: str) -> None:
    name = start_conversation(catalog, NOBODY)
    say(catalog, name, "My office is in Busan. What is the fee?", "3%.")
    assert (await lesson(catalog, name, Scripted(reply))).facts == 1
    assert list(facts(catalog)) == ["My office is in Busan."]


async def test_json_in_a_fence_is_read(catalog: Catalog) -> None:
    name = start_conversation(catalog, NOBODY)
    say(catalog, name, "My office is in Busan.", "Good.")
    await lesson(catalog, name, Scripted(f"Here it is:\n```json\n{notes('The office is in Busan.')}\n```"))
    assert list(facts(catalog)) == ["The office is in Busan."]


async def test_secrets_are_not_remembered(catalog: Catalog) -> None:
    name = start_conversation(catalog, NOBODY)
    say(catalog, name, "My password is hunter2 and my card 4111 1111 1111 1111.", "Careful.")
    say(catalog, name, "My pin code is 1234 and my office is in Busan.", "Careful.")
    model = Scripted([notes("The password is hunter2.", "The card is 4111 1111 1111 1111."), notes("Office in Busan.")])
    await lesson(catalog, name, model)
    assert list(facts(catalog)) == ["Office in Busan."]


# --- without one --------------------------------------------------------------------------------------------


async def test_without_a_model_the_users_own_sentences_are_kept(catalog: Catalog) -> None:
    name = start_conversation(catalog, NOBODY)
    say(catalog, name, "Hello! My office is in Busan. Always answer in one sentence. Where is yours?", "Nowhere.")
    assert (await lesson(catalog, name, Quoting())).facts == 2
    assert {text: one.kind for text, one in facts(catalog).items()} == {
        "My office is in Busan.": "fact",
        "Always answer in one sentence.": "preference",
    }
    assert {one.number for one in facts(catalog).values()} == {1}


@pytest.mark.parametrize(
    "text",
    [
        "My office is in Busan.",
        "I work for Orion Motors.",
        "We moved to Seoul last year.",
        "I'm a nurse.",
        "Please remember that the audit is in May.",
        "Call me Kim.",
        "Our fiscal year is the calendar year.",
        "I've bought the Basic plan.",
        "제 이름은 김민수입니다.",
        "저는 부산에서 일해요.",
        "우리 회사는 서울에 있습니다.",
        "회의가 금요일이라는 걸 기억해 줘.",
    ],
)
def test_statements_are_facts(text: str) -> None:
    assert [(one.kind, one.text) for one in stated(text)] == [("fact", text)]
    assert may_state(text)


@pytest.mark.parametrize(
    "text",
    [
        "Always answer in Korean.",
        "From now on, keep it short.",
        "Please keep your answers short.",
        "앞으로는 한국어로 답해 줘.",
        "답변은 짧게 해 주세요.",
    ],
)
def test_wishes_about_answers_are_preferences(text: str) -> None:
    assert [(one.kind, one.text) for one in stated(text)] == [("preference", text)]
    assert may_state(text)


@pytest.mark.parametrize(
    "text",
    [
        "What is my fee?",
        "I am looking for the refund policy.",
        "I have a question about lamps.",
        "I would like to know the fee.",
        "I'm not sure.",
        "Tell me about the refund policy.",
        "Thanks!",
        "The fee is 3%.",
        "My password is hunter2.",
        "환불 수수료가 궁금해요.",
        "수수료는 얼마인가요?",
        "저는 그게 궁금합니다.",
        "",
    ],
)
def test_questions_and_small_talk_state_nothing(text: str) -> None:
    assert stated(text) == []


@pytest.mark.parametrize(
    "text", ["What is the fee?", "How long does a refund take? And who pays?", "수수료는 얼마인가요?", "Thanks!"]
)
def test_a_model_is_not_asked_about_questions_alone(text: str) -> None:
    assert not may_state(text)


def test_what_is_in_the_users_words() -> None:
    said = "I work in Busan, and I like short answers."
    assert in_words_of("The user works in Busan.", said, WORDS)
    assert in_words_of("User likes short answers", said, WORDS)
    assert not in_words_of("The user works in Seoul.", said, WORDS)
    assert not in_words_of("The user works in Busan for 10 dollars.", said, WORDS)
