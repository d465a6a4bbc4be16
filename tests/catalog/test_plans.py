"""How the database finds rows: no statement of what users do often may read through what grows with the book."""

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import event

from sourcebook import Sourcebook
from sourcebook.catalog import reads
from sourcebook.catalog.conversations import (
    delete_conversation,
    keep_summary,
    list_conversations,
    read_conversation,
    start_conversation,
)
from sourcebook.catalog.examples import (
    delete_collection,
    delete_examples,
    keep_example_vectors,
    keep_examples,
    read_examples,
)
from sourcebook.catalog.facts import Learned, delete_fact, keep_facts, read_facts, recallable_facts
from sourcebook.catalog.statements import now
from sourcebook.catalog.usage import UsageLedger
from sourcebook.catalog.usage_report import calls, totals
from sourcebook.types import Budget, CallRecord, Reservation, Scope, Usage

MAY_BE_READ_THROUGH = {
    "source",  # a handful of rows
    "document",  # once a sync, to compare it with the listing
    "book",
}
"""Tables that a statement of these flows may scan."""
SORTED_FOR_ONE = ("FROM conversation", "FROM memory", "answer_id =")
"""What is read of one owner, or for one answer, may be sorted, though only the first rows are wanted."""


@pytest.fixture(autouse=True)
def without_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCEBOOK_PARTS_EMBED", "hashing")
    monkeypatch.setenv("SOURCEBOOK_PARTS_INDEX", "flat:")


@contextmanager
def statements(book: Sourcebook) -> Iterator[dict[str, Any]]:
    """Every statement that runs within, with parameters that it ran with."""
    seen: dict[str, Any] = {}

    def note(_1: object, _2: object, statement: str, parameters: Any, _3: object, many: bool) -> None:
        seen[statement] = parameters[0] if many and parameters else parameters

    event.listen(book.catalog._engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(book.catalog._engine, "before_cursor_execute", note)


@pytest.fixture
async def book(tmp_path: Path) -> AsyncIterator[Sourcebook]:
    """A book of 30 pages."""
    docs = tmp_path / "docs"
    docs.mkdir()
    for number in range(30):
        (docs / f"{number}.md").write_text(
            f"# Page {number}\n\nThe lighthouse number {number} was built in 18{number}."
        )
    async with await Sourcebook.open(tmp_path / "book") as opened:
        await opened.add(docs)
        await opened.sync()
        yield opened


async def test_syncing_and_asking(book: Sourcebook, tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    with statements(book) as seen:
        (docs / "0.md").write_text("# Page 0\n\nIt was pulled down.")
        (docs / "1.md").unlink()
        (docs / "new.md").write_text("# New\n\nA new page.")
        report = await book.sync()
        assert (report.added, report.changed, report.deleted) == (1, 1, 1)
        await book.search("When was lighthouse number 7 built?")
        await book.ask("When was lighthouse number 7 built?")
        await book.remove(str(docs / "2.md"))
    nothing_is_read_through(book, seen)


async def test_looking_at_documents(book: Sourcebook, tmp_path: Path) -> None:
    with statements(book) as seen:
        book.show(str(tmp_path / "docs" / "7.md"))
        reads.all_passages(book.catalog, Scope())
        await book.rebuild_index()
    assert any("live_version_id" in one for one in seen)
    nothing_is_read_through(book, seen)


async def test_conversations_and_what_is_learned_in_them(book: Sourcebook) -> None:
    alice = Scope(principals=frozenset({"alice"}))
    for number in range(20):
        start_conversation(book.catalog, Scope(principals=frozenset({f"user {number}"})))
    with statements(book) as seen:
        for _ in range(2):
            name = book.converse(scope=alice)
            for said in ("My office is in lighthouse 7. When was it built?", "And number 8?"):
                await book.ask(said, conversation=name, scope=alice)
        read = read_conversation(book.catalog, name, alice)
        vector = np.ones(2, np.float32)
        learned = [Learned(kind="fact", text=f"Fact {number}", number=1, vector=vector) for number in range(9)]
        keep_facts(book.catalog, read, learned, upto=read.learned + 2, fingerprint="f")
        (*_, last) = read_facts(book.catalog, alice, alice.principals)
        recallable_facts(book.catalog, Scope(), frozenset(), name)
        delete_fact(book.catalog, last.id, alice, alice.principals)
        keep_summary(book.catalog, read, "Short.", upto=2, origins=read.turns[1].origins)
        assert [one.id for one in list_conversations(book.catalog, alice, limit=1)] == [name]
        delete_conversation(book.catalog, name, alice)
    nothing_is_read_through(book, seen)


async def test_examples(book: Sourcebook) -> None:
    pairs = [(f"Question {number}?", "Answer.") for number in range(9)]
    vectors = np.ones((len(pairs), 2), np.float32)
    with statements(book) as seen:
        for collection in ("default", "support"):
            names = keep_examples(
                book.catalog, pairs, vectors, tenant="default", collection=collection, fingerprint="f"
            )
        assert len(read_examples(book.catalog, tenant="default", collection="support")) == 9
        assert len(read_examples(book.catalog, tenant="default")) == 18
        keep_example_vectors(book.catalog, names, vectors, fingerprint="g")
        delete_examples(book.catalog, names[:2], tenant="default")
        delete_collection(book.catalog, "support", tenant="default")
    nothing_is_read_through(book, seen)


async def test_money(book: Sourcebook) -> None:
    ledger = UsageLedger(book.catalog)
    budget = Budget(tenant="default", account="team", period="day", limit=10**9)
    call = {"at": now(), "tenant": "default", "account": "team", "purpose": "answer", "model": "m"}
    with statements(book) as seen:
        ledger.set_budget(budget)
        ledger.enter(reserve=[Reservation(id="a", amount=5, **call)])
        usage = Usage(input_tokens=1, output_tokens=1, cost=3)
        ledger.enter(settle=[CallRecord(id="a", outcome="finished", usage=usage, answer_id="x", **call)])  # type: ignore[arg-type]
        assert ledger.standings(tenant="default", account="team")
        assert len(calls(book.catalog, answer_id="x")) == len(calls(book.catalog, limit=1)) == 1
        assert totals(book.catalog, "model", tenant="default", since=date(2026, 1, 1))
    nothing_is_read_through(book, seen)


def nothing_is_read_through(book: Sourcebook, seen: dict[str, Any]) -> None:
    offending = [f"{plan}\n{statement}" for statement, plan in plans(book, seen) if not harmless(statement, plan)]
    assert not offending, "\n\n".join(offending)


def plans(book: Sourcebook, seen: dict[str, Any]) -> Iterator[tuple[str, str]]:
    with book.catalog.reading() as connection:
        for statement, parameters in seen.items():
            if re.match(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH)", statement):
                rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
                yield from ((statement, str(row[3])) for row in rows)


def harmless(statement: str, plan: str) -> bool:
    """Whether a step of a plan touches few rows, however large the book."""
    if "version_state (state=?)" in plan:
        return re.search(r"state = '(staged|retired)'", statement) is not None  # most versions are live
    if "TEMP B-TREE FOR ORDER BY" in plan and "LIMIT" in statement:
        return any(one in statement for one in SORTED_FOR_ONE)
    scanned = re.match(r"SCAN (\w+)( USING (COVERING )?INDEX)?", plan)
    if scanned is None or scanned[1] in MAY_BE_READ_THROUGH or scanned[1] in ("json_each", "CONSTANT", "learned"):
        return True
    return scanned[2] is not None and "LIMIT" in statement  # in order, and only as far as rows are wanted
