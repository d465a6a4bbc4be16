"""Conversations, facts and what they were made from: whose they are, and that they go with their sources."""

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest

from sourcebook.catalog.catalog import Catalog
from sourcebook.catalog.conversations import (
    Conversation,
    delete_conversation,
    keep_exchange,
    keep_summary,
    list_conversations,
    read_conversation,
    start_conversation,
)
from sourcebook.catalog.facts import Learned, delete_fact, keep_facts, keep_vectors, read_facts
from sourcebook.catalog.origins import Origin, forget_gone
from sourcebook.catalog.records import Draft, Staged
from sourcebook.catalog.statements import sql
from sourcebook.errors import NotFound
from sourcebook.types import Chunk, Scope

NOBODY = Scope()
ALICE = Scope(principals=frozenset({"alice"}))
ALICE_IN_SALES = Scope(principals=frozenset({"alice", "sales"}))
BOB = Scope(principals=frozenset({"bob"}))
ELSEWHERE = Scope(tenant="other", principals=frozenset({"alice"}))
TABLES = ("conversation", "turn", "turn_document", "memory")


def publish(catalog: Catalog, name: str, text: str, *, access: frozenset[str] = frozenset()) -> Staged:
    """A document of one passage, live."""
    draft = Draft(
        uri=f"file:///{name}",
        tenant="default",
        source_id=1,
        access=access,
        fingerprint=text,
        content_hash=text,
        recipe="recipe",
        text=text,
        chunks=(Chunk(text=text, start=0, end=len(text)),),
        text_keys=(text,),
    )
    staged = catalog.stage([draft])
    catalog.commit(staged)
    return staged[0]


def say(
    catalog: Catalog, name: str, question: str, answer: str, *documents: Staged, scope: Scope = NOBODY
) -> tuple[int, int]:
    """An exchange whose answer was made from these documents; its numbers."""
    passages = [passage for one in documents for passage in one.passages]
    kept = keep_exchange(
        catalog, name, scope, question=question, answer=answer, answer_id=f"id of {answer}", passages=passages
    )
    assert kept is not None
    return kept[0].number, kept[1].number


def texts(catalog: Catalog, name: str, scope: Scope = NOBODY) -> list[str]:
    return [turn.text for turn in read_conversation(catalog, name, scope).turns]


def rows(catalog: Catalog, table: str) -> int:
    with catalog.reading() as connection:
        return int(connection.execute(sql(f"SELECT COUNT(*) FROM {table}")).scalar_one())


def learn(catalog: Catalog, name: str, text: str, number: int, scope: Scope = NOBODY) -> None:
    read = read_conversation(catalog, name, scope)
    fact = Learned(kind="fact", text=text, number=number, vector=np.array([1.0, 0.0], np.float32))
    assert keep_facts(catalog, read, [fact], upto=read.learned + 2, fingerprint="f") == 1


def facts(catalog: Catalog, scope: Scope = NOBODY) -> list[str]:
    return [one.text for one in read_facts(catalog, scope, scope.principals)]


def summarise(catalog: Catalog, name: str, summary: str, upto: int, scope: Scope = NOBODY) -> Conversation:
    """Write a summary of all turns up to this number, as whoever summarises does."""
    read = read_conversation(catalog, name, scope)
    origins = frozenset[Origin]().union(*(turn.origins for turn in read.turns if turn.number <= upto))
    assert keep_summary(catalog, read, summary, upto=upto, origins=origins)
    return read_conversation(catalog, name, scope)


# --- turns --------------------------------------------------------------------------------------------------


def test_a_conversation_holds_its_turns_in_order(catalog: Catalog) -> None:
    one = publish(catalog, "a", "The fee is 3%.")
    name = start_conversation(catalog, NOBODY)
    assert read_conversation(catalog, name, NOBODY).turns == ()
    assert say(catalog, name, "What is the fee?", "The fee is 3%.", one) == (1, 2)
    assert say(catalog, name, "And for students?", "") == (3, 4)
    read = read_conversation(catalog, name, NOBODY)
    assert [(turn.number, turn.role, turn.text, turn.removed) for turn in read.turns] == [
        (1, "user", "What is the fee?", False),
        (2, "assistant", "The fee is 3%.", False),
        (3, "user", "And for students?", False),
        (4, "assistant", "", False),
    ]
    assert read.turns[1].answer_id == "id of The fee is 3%."
    assert read.turns[1].origins == {Origin(document_id=one.document_id, version_id=one.version_id)}
    assert (read.length, read.summary, read.summarised) == (4, "", 0)
    assert [turn.number for turn in read_conversation(catalog, name, NOBODY, last=3).turns] == [2, 3, 4]


def test_numbers_are_given_out_once_whoever_asks(catalog: Catalog, url: str, tmp_path: Path) -> None:
    name = start_conversation(catalog, NOBODY)
    script = f"""
from pathlib import Path
from sourcebook.catalog.catalog import Catalog
from sourcebook.catalog.conversations import keep_exchange
from sourcebook.types import Scope
catalog = Catalog({url!r}, Path({str(tmp_path)!r}))
for i in range(10):
    keep_exchange(catalog, {name!r}, Scope(), question=f"other {{i}}", answer=f"to other {{i}}")
catalog.close()
"""
    other = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE, text=True)
    with ThreadPoolExecutor(4) as threads:
        numbers = list(threads.map(lambda i: say(catalog, name, f"own {i}", f"to own {i}"), range(20)))
    _, errors = other.communicate(timeout=60)
    assert other.returncode == 0, errors
    assert len(set(numbers)) == 20
    read = read_conversation(catalog, name, NOBODY)
    assert [turn.number for turn in read.turns] == list(range(1, 61))
    pairs = zip(read.turns[::2], read.turns[1::2], strict=True)
    assert all(answer.text == f"to {question.text}" for question, answer in pairs)


def test_a_conversation_that_was_deleted_takes_no_more_turns(catalog: Catalog) -> None:
    name = start_conversation(catalog, NOBODY)
    delete_conversation(catalog, name, NOBODY)
    assert keep_exchange(catalog, name, NOBODY, question="Is it there?", answer="No.") is None
    assert [rows(catalog, table) for table in TABLES] == [0, 0, 0, 0]


# --- whose it is --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stranger", [NOBODY, BOB, ELSEWHERE, Scope(principals=frozenset({"sales"}))])
def test_nobody_without_all_the_names_of_the_owner_sees_it(catalog: Catalog, stranger: Scope) -> None:
    name = start_conversation(catalog, ALICE_IN_SALES)
    say(catalog, name, "What did we sell?", "Lamps.", scope=ALICE_IN_SALES)
    learn(catalog, name, "I sell lamps.", 1, ALICE_IN_SALES)
    attempts: list[Callable[[], object]] = [
        lambda: read_conversation(catalog, name, stranger),
        lambda: delete_conversation(catalog, name, stranger),
        lambda: keep_exchange(catalog, name, stranger, question="q", answer="a"),
    ]
    for attempt in attempts:
        with pytest.raises(NotFound) as caught:
            attempt()
        assert "conversations list" in caught.value.remedy
    assert list_conversations(catalog, stranger) == []
    assert read_facts(catalog, stranger, ALICE_IN_SALES.principals) == []
    assert facts(catalog, stranger) == []
    assert texts(catalog, name, ALICE_IN_SALES) == ["What did we sell?", "Lamps."]
    more = replace(ALICE_IN_SALES, principals=ALICE_IN_SALES.principals | {"staff"})
    assert texts(catalog, name, more) == ["What did we sell?", "Lamps."]


def test_an_owner_may_be_one_of_the_askers_names(catalog: Catalog) -> None:
    name = start_conversation(catalog, ALICE_IN_SALES, owner=frozenset({"alice"}))
    assert read_conversation(catalog, name, ALICE).owner == {"alice"}
    with pytest.raises(NotFound):
        start_conversation(catalog, ALICE, owner=frozenset({"bob"}))


def test_the_list_is_the_askers_own_the_newest_first(catalog: Catalog) -> None:
    first, second = start_conversation(catalog, ALICE), start_conversation(catalog, ALICE)
    start_conversation(catalog, BOB)
    with catalog.writing() as connection:
        connection.execute(sql("UPDATE conversation SET touched = '2020'"))
    say(catalog, first, "What is first?", "This.", scope=ALICE)
    found = list_conversations(catalog, ALICE)
    assert [(one.id, one.title, one.length) for one in found] == [(first, "What is first?", 2), (second, "", 0)]
    assert [one.id for one in list_conversations(catalog, ALICE, limit=1)] == [first]


def test_deleting_a_conversation_leaves_nothing_of_it_and_all_of_others(catalog: Catalog) -> None:
    one = publish(catalog, "a", "The fee is 3%.")
    names = [start_conversation(catalog, NOBODY) for _ in range(2)]
    for name in names:
        say(catalog, name, "What is the fee?", "The fee is 3%.", one)
        learn(catalog, name, f"I was told in {name}.", 1)
        summarise(catalog, name, "They asked for the fee.", 2)
    before = [rows(catalog, table) for table in TABLES]
    delete_conversation(catalog, names[0], NOBODY)
    assert [rows(catalog, table) * 2 for table in TABLES] == before
    with pytest.raises(NotFound):
        read_conversation(catalog, names[0], NOBODY)
    assert facts(catalog) == [f"I was told in {names[1]}."]
    assert texts(catalog, names[1]) == ["What is the fee?", "The fee is 3%."]


# --- documents that go --------------------------------------------------------------------------------------


@pytest.fixture
def told(catalog: Catalog) -> tuple[str, Staged, Staged]:
    """A conversation over two documents, summarised up to its fourth turn, with a fact from each kind of turn."""
    one, other = publish(catalog, "a", "The fee is 3%."), publish(catalog, "b", "Lamps cost 49.")
    name = start_conversation(catalog, NOBODY)
    say(catalog, name, "What is the fee?", "The fee is 3%.", one)
    say(catalog, name, "What do lamps cost?", "Lamps cost 49.", other)
    say(catalog, name, "And in all?", "50.47.", one, other)
    learn(catalog, name, "I buy lamps.", 3)
    learn(catalog, name, "I pay 3%.", 2)
    summarise(catalog, name, "The fee is 3%, lamps cost 49.", 4)
    return name, one, other


def test_a_deleted_document_is_gone_from_memory_when_the_delete_returns(
    catalog: Catalog, told: tuple[str, Staged, Staged]
) -> None:
    name, one, _ = told
    catalog.withdraw([one.document_id])
    read = read_conversation(catalog, name, NOBODY)
    assert [(turn.text, turn.removed, turn.answer_id is None) for turn in read.turns] == [
        ("What is the fee?", False, True),
        ("", True, True),
        ("What do lamps cost?", False, True),
        ("Lamps cost 49.", False, False),
        ("And in all?", False, True),
        ("", True, True),
    ]
    assert (read.summary, read.summarised, read.summary_origins) == ("", 0, frozenset())
    assert facts(catalog) == ["I buy lamps."]
    with catalog.reading() as connection:
        kept = [
            *connection.execute(sql("SELECT text || COALESCE(answer_id, '') FROM turn")).scalars(),
            *connection.execute(sql("SELECT summary FROM conversation")).scalars(),
            *connection.execute(sql("SELECT text FROM memory")).scalars(),
        ]
    assert not any("3%" in text or "50.47" in text for text in kept)


def test_what_another_document_gave_stays(catalog: Catalog, told: tuple[str, Staged, Staged]) -> None:
    name, _, _ = told
    unrelated = publish(catalog, "c", "Something else.")
    before = read_conversation(catalog, name, NOBODY)
    catalog.withdraw([unrelated.document_id])
    assert read_conversation(catalog, name, NOBODY) == before


def test_removing_a_source_forgets_as_well(catalog: Catalog, told: tuple[str, Staged, Staged]) -> None:
    name, _, _ = told
    assert catalog.remove_source(1) == 2
    read = read_conversation(catalog, name, NOBODY)
    assert [turn.removed for turn in read.turns] == [False, True, False, True, False, True]
    assert read.summary == ""


def test_a_superseded_version_is_not_remembered(catalog: Catalog, told: tuple[str, Staged, Staged]) -> None:
    name, one, _ = told
    publish(catalog, "a", "The fee is 5%.")
    read = read_conversation(catalog, name, NOBODY)
    assert [turn.text for turn in read.turns if turn.role == "assistant"] == ["", "Lamps cost 49.", ""]
    assert read.summary == ""
    assert facts(catalog) == ["I buy lamps."]
    with catalog.writing() as connection:
        forget_gone(connection, [one.document_id])  # what the commit does, for good
        kept = connection.execute(sql("SELECT text FROM turn")).scalars().all()
    assert not any("3%" in text for text in kept)


def test_an_index_that_never_deletes_and_a_purge_change_nothing(
    catalog: Catalog, told: tuple[str, Staged, Staged]
) -> None:
    name, one, other = told
    catalog.withdraw([one.document_id, other.document_id])
    catalog.purge(catalog.retired())
    for text in ("A new first document.", "A new second document."):  # their numbers are free again
        publish(catalog, text, text)
    read = read_conversation(catalog, name, NOBODY)
    assert [turn.text for turn in read.turns if turn.role == "assistant"] == ["", "", ""]
    assert read.summary == ""


def test_access_that_is_lost_hides_and_gained_again_shows(catalog: Catalog, told: tuple[str, Staged, Staged]) -> None:
    name, one, _ = told
    catalog.restrict([(one.document_id, frozenset({"boss"}))])
    read = read_conversation(catalog, name, NOBODY)
    assert [turn.text for turn in read.turns if turn.role == "assistant"] == ["", "Lamps cost 49.", ""]
    assert all(turn.removed and turn.answer_id is None for turn in read.turns if turn.number in (2, 6))
    assert (read.summary, read.summarised) == ("", 0)
    assert facts(catalog) == ["I buy lamps."]
    boss = Scope(principals=frozenset({"boss"}))
    assert read_conversation(catalog, name, boss).summary == "The fee is 3%, lamps cost 49."
    catalog.restrict([(one.document_id, frozenset())])
    assert texts(catalog, name)[1] == "The fee is 3%."
    assert sorted(facts(catalog)) == ["I buy lamps.", "I pay 3%."]


def test_a_reader_with_fewer_names_than_the_asker_sees_less(catalog: Catalog) -> None:
    secret = publish(catalog, "a", "Margins are 40%.", access=frozenset({"sales"}))
    name = start_conversation(catalog, ALICE_IN_SALES, owner=frozenset({"alice"}))
    say(catalog, name, "What are the margins?", "Margins are 40%.", secret, scope=ALICE_IN_SALES)
    assert texts(catalog, name, ALICE_IN_SALES)[1] == "Margins are 40%."
    assert texts(catalog, name, ALICE)[1] == ""


def test_an_answer_whose_document_goes_while_it_is_given_is_kept_without_its_text(catalog: Catalog) -> None:
    one, other = publish(catalog, "a", "The fee is 3%."), publish(catalog, "b", "Lamps cost 49.")
    name = start_conversation(catalog, NOBODY)
    origin = Origin(document_id=other.document_id, version_id=other.version_id)
    catalog.withdraw([one.document_id])
    say(catalog, name, "What is the fee?", "The fee is 3%.", one)
    catalog.restrict([(other.document_id, frozenset({"boss"}))])
    say(catalog, name, "What do lamps cost?", "Lamps cost 49.", other)
    keep_exchange(catalog, name, NOBODY, question="What?", answer="As I said, 49.", origins=[origin])
    read = read_conversation(catalog, name, NOBODY)
    assert [(turn.text, turn.removed) for turn in read.turns[1::2]] == [("", True)] * 3


def test_answers_and_deletions_at_the_same_time_leave_nothing_behind(catalog: Catalog) -> None:
    names = [start_conversation(catalog, NOBODY) for _ in range(2)]
    for round_ in range(8):
        one = publish(catalog, f"d{round_}", f"The secret is {round_}.")
        begin = Barrier(5)

        def ask(name: str, text: str, document: Staged, begin: Barrier) -> None:
            begin.wait()
            for _ in range(3):
                say(catalog, name, "What?", text, document)

        def carry_on(begin: Barrier) -> None:
            begin.wait()
            read = read_conversation(catalog, names[0], NOBODY)
            origins = frozenset[Origin]().union(*(turn.origins for turn in read.turns))
            told = " ".join(turn.text for turn in read.turns)
            keep_summary(catalog, read, told, upto=read.length, origins=origins)

        with ThreadPoolExecutor(4) as threads:
            jobs = [threads.submit(ask, name, one.draft.text, one, begin) for name in (*names, names[0])]
            jobs.append(threads.submit(carry_on, begin))
            begin.wait()
            catalog.withdraw([one.document_id])
            for job in jobs:
                job.result()
        with catalog.reading() as connection:
            kept = [
                *connection.execute(sql("SELECT text FROM turn WHERE role = 'assistant'")).scalars(),
                *connection.execute(sql("SELECT summary FROM conversation")).scalars(),
            ]
        assert not any("secret" in text for text in kept)
        assert rows(catalog, "turn_document") == 0
    for name in names:
        read = read_conversation(catalog, name, NOBODY)
        assert [turn.number for turn in read.turns] == list(range(1, read.length + 1))


def test_what_was_recalled_into_a_prompt_is_what_its_answer_was_made_from(catalog: Catalog) -> None:
    one, other = publish(catalog, "a", "The fee is 3%."), publish(catalog, "b", "Lamps cost 49.")
    name = start_conversation(catalog, NOBODY)
    say(catalog, name, "What is the fee?", "The fee is 3%.", one)
    recalled = read_conversation(catalog, name, NOBODY).turns[1].origins
    keep_exchange(
        catalog, name, NOBODY, question="And lamps?", answer="49, and 3% on top.",
        passages=other.passages, origins=recalled,
    )  # fmt: skip
    catalog.withdraw([one.document_id])
    assert texts(catalog, name) == ["What is the fee?", "", "And lamps?", ""]


# --- the summary --------------------------------------------------------------------------------------------


def test_a_summary_is_written_by_whoever_is_first(catalog: Catalog) -> None:
    name = start_conversation(catalog, NOBODY)
    say(catalog, name, "q", "a")
    read = read_conversation(catalog, name, NOBODY)
    assert keep_summary(catalog, read, "The first.", upto=2, origins=())
    assert not keep_summary(catalog, read, "The second.", upto=2, origins=())
    again = read_conversation(catalog, name, NOBODY)
    assert (again.summary, again.summarised) == ("The first.", 2)
    assert keep_summary(catalog, again, "Carried on.", upto=2, origins=())


def test_a_summary_of_what_is_gone_meanwhile_is_not_written(catalog: Catalog, told: tuple[str, Staged, Staged]) -> None:
    name, one, other = told
    read = read_conversation(catalog, name, NOBODY)
    catalog.withdraw([one.document_id])
    assert not keep_summary(catalog, read, "The fee is 3%.", upto=6, origins=read.summary_origins)
    assert not keep_summary(catalog, read, "Lamps.", upto=6, origins=())
    catalog.restrict([(other.document_id, frozenset({"boss"}))])
    read = read_conversation(catalog, name, NOBODY)
    assert read.summary == ""


def test_a_summary_of_a_deleted_conversation_is_not_written(catalog: Catalog) -> None:
    name = start_conversation(catalog, NOBODY)
    read = read_conversation(catalog, name, NOBODY)
    delete_conversation(catalog, name, NOBODY)
    assert not keep_summary(catalog, read, "Of what?", upto=0, origins=())
    assert [rows(catalog, table) for table in TABLES] == [0, 0, 0, 0]


# --- facts --------------------------------------------------------------------------------------------------


def test_facts_are_learned_once(catalog: Catalog) -> None:
    name = start_conversation(catalog, ALICE)
    say(catalog, name, "I live in Busan.", "Good.", scope=ALICE)
    read = read_conversation(catalog, name, ALICE)
    fact = Learned(kind="fact", text="I live in Busan.", number=1, vector=np.array([0.6, 0.8], np.float32))
    assert keep_facts(catalog, read, [fact], upto=2, fingerprint="f") == 1
    assert keep_facts(catalog, read, [fact], upto=2, fingerprint="f") == 0
    again = read_conversation(catalog, name, ALICE)
    assert again.learned == 2
    said_again = replace(fact, text="i live  in busan.")
    assert keep_facts(catalog, again, [said_again], upto=4, fingerprint="f") == 0
    (kept,) = read_facts(catalog, ALICE, ALICE.principals)
    assert (kept.text, kept.conversation, kept.number, kept.fingerprint) == ("I live in Busan.", name, 1, "f")
    assert kept.vector.tolist() == pytest.approx([0.6, 0.8])
    assert read_facts(catalog, ALICE_IN_SALES, ALICE_IN_SALES.principals) == []
    assert len(read_facts(catalog, ALICE_IN_SALES, ALICE.principals)) == 1


def test_facts_of_a_turn_that_is_gone_meanwhile_are_not_kept(
    catalog: Catalog, told: tuple[str, Staged, Staged]
) -> None:
    name, one, _ = told
    read = read_conversation(catalog, name, NOBODY)
    catalog.withdraw([one.document_id])
    vector = np.array([1.0, 0.0], np.float32)
    learned = [Learned(kind="fact", text=f"Fact of {n}", number=n, vector=vector) for n in (5, 6, 99)]
    assert keep_facts(catalog, read, learned, upto=6, fingerprint="f") == 1
    assert "Fact of 5" in facts(catalog)


def test_facts_end_when_they_are_replaced_or_deleted(catalog: Catalog) -> None:
    name = start_conversation(catalog, ALICE)
    say(catalog, name, "I live in Busan.", "Good.", scope=ALICE)
    learn(catalog, name, "I live in Busan.", 1, ALICE)
    (old,) = read_facts(catalog, ALICE, ALICE.principals)
    read = read_conversation(catalog, name, ALICE)
    new = Learned(kind="fact", text="I live in Seoul.", number=1, vector=np.array([1.0, 0.0], np.float32))
    keep_facts(catalog, read, [new], upto=4, fingerprint="f", replaced=[old.id, "nothing"])
    assert facts(catalog, ALICE) == ["I live in Seoul."]
    (kept,) = read_facts(catalog, ALICE, ALICE.principals)
    for stranger, owner in ((BOB, BOB.principals), (BOB, ALICE.principals), (ELSEWHERE, ALICE.principals)):
        with pytest.raises(NotFound):
            delete_fact(catalog, kept.id, stranger, owner)
    delete_fact(catalog, kept.id, ALICE, ALICE.principals)
    assert facts(catalog, ALICE) == []


def test_vectors_of_another_embedder_are_replaced(catalog: Catalog) -> None:
    name = start_conversation(catalog, NOBODY)
    say(catalog, name, "I live in Busan.", "Good.")
    learn(catalog, name, "I live in Busan.", 1)
    (fact,) = read_facts(catalog, NOBODY, frozenset())
    keep_vectors(catalog, [(fact.id, np.array([0.0, 1.0, 0.0], np.float32))], fingerprint="g")
    (fact,) = read_facts(catalog, NOBODY, frozenset())
    assert (fact.fingerprint, fact.vector.tolist()) == ("g", [0.0, 1.0, 0.0])
