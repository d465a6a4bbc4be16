"""Conversations: their turns and summaries, and whose they are."""

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from sourcebook.catalog.catalog import Catalog
from sourcebook.catalog.conversations import (
    delete_conversation,
    keep_exchange,
    keep_summary,
    list_conversations,
    read_conversation,
    start_conversation,
)
from sourcebook.catalog.facts import read_facts
from sourcebook.catalog.origins import Origin
from sourcebook.catalog.records import Staged
from sourcebook.catalog.statements import sql
from sourcebook.errors import NotFound
from sourcebook.types import Scope
from tests.catalog.drafts import ALICE, BOB, NOBODY, rows
from tests.catalog.remembered import ALICE_IN_SALES, TABLES, document, facts, learn, say, summarise, texts

ELSEWHERE = Scope(tenant="other", principals=frozenset({"alice"}))


def test_a_conversation_holds_its_turns_in_order(catalog: Catalog) -> None:
    one = document(catalog, "a", "The fee is 3%.")
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
    one = document(catalog, "a", "The fee is 3%.")
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
