"""From every earlier version with data in it, on each database: the schema becomes today's, and all of it serves."""

import sqlite3
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from sourcebook.catalog import reads, schema
from sourcebook.catalog.answers import recorded_answer
from sourcebook.catalog.catalog import Catalog
from sourcebook.catalog.conversations import delete_conversation, list_conversations, read_conversation
from sourcebook.catalog.embeddings import live_points
from sourcebook.catalog.examples import read_examples
from sourcebook.catalog.facts import read_facts
from sourcebook.catalog.live import LivePassages
from sourcebook.catalog.statements import sql
from sourcebook.catalog.tables import ScopedTables
from sourcebook.catalog.usage import UsageLedger
from sourcebook.catalog.usage_report import totals
from sourcebook.errors import NotFound
from tests.catalog.drafts import ALICE, draft, publish
from tests.catalog.dumps import FOLDER, load, upgrade_to

REVISIONS = sorted(path.stem for path in (FOLDER / "sqlite").iterdir())
Empty = Callable[[], str]


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest) -> Empty:
    """Makes URLs of databases with nothing in them."""
    if request.param == "postgresql":
        server: Any = request.getfixturevalue("postgresql")
        return lambda: str(server.url(server.make()))
    numbers = count()
    return lambda: f"sqlite:{next(numbers)}.db"


def test_every_revision_before_the_newest_has_its_dump() -> None:
    assert sorted(path.stem for path in (FOLDER / "postgresql").iterdir()) == REVISIONS
    earlier = [f"{number:04}" for number in range(1, int(schema.HEAD))]
    assert set(REVISIONS) >= set(earlier)


@pytest.mark.parametrize("revision", REVISIONS)
def test_a_revision_is_what_it_was(empty: Empty, tmp_path: Path, revision: str) -> None:
    """A migration that is in anybody's hands must not change."""
    then, now = empty(), empty()
    load(revision, then, tmp_path)
    upgrade_to(revision, now, tmp_path)
    assert shape(now, tmp_path) == shape(then, tmp_path)


@pytest.mark.parametrize("revision", REVISIONS)
def test_all_that_was_in_it_serves(empty: Empty, tmp_path: Path, revision: str) -> None:
    url, fresh = empty(), empty()
    load(revision, url, tmp_path)
    Catalog(fresh, tmp_path).close()
    catalog = Catalog(url, tmp_path)
    try:
        assert shape(url, tmp_path) == shape(fresh, tmp_path)
        documents_serve(catalog)
        if revision >= "0002":
            money_serves(catalog)
        if revision >= "0003":
            conversations_serve(catalog)
        if revision >= "0004":
            (table,) = ScopedTables(catalog, ALICE).listed()
            assert (table.document, table.name, table.rows) == ("file:///lamps", "pay", 1)
        answers_serve(catalog)
    finally:
        catalog.close()


def documents_serve(catalog: Catalog) -> None:
    assert [(one.uri, one.state, one.answering) for one in reads.ledger(catalog)] == [
        ("file:///broken", "failed", False),
        ("file:///changed", "live", True),
        ("file:///fee", "live", True),
        ("file:///lamps", "live", True),
        ("file:///staged", "pending", False),
    ]
    passages = reads.all_passages(catalog, ALICE)
    assert sorted(one.text for one in passages) == [
        "After.", "It is paid by the buyer.", "Lamps cost 49.", "The fee is 3%."
    ]  # fmt: skip
    ids = [one.id for one in passages]
    assert LivePassages(catalog).ids(ids, ALICE)[0] == set(ids)
    assert sorted(point.id for some in live_points(catalog, "model") for point in some) == sorted(ids)
    assert [one.url for one in catalog.sources()] == ["file:///docs"]
    assert catalog.index_identity() == "index:model"
    numbers = {(one.version_id, one.document_id) for one in publish(catalog, draft("new", "New."))}
    assert numbers == {(max_of(catalog, "version"), max_of(catalog, "document"))}
    assert catalog.add_source("file:///more").id == max_of(catalog, "source") == 2


def max_of(catalog: Catalog, table: str) -> int:
    return int(catalog.rows(f"SELECT MAX(id) FROM {table}")[0][0])


def money_serves(catalog: Catalog) -> None:
    (total,) = totals(catalog, "model")
    assert (total.key, total.calls, total.cost) == ("m-1", 1, 40)
    (standing,) = UsageLedger(catalog).standings()
    assert (standing.budget.limit, standing.spent, standing.held) == (1000, 40, 50)


def conversations_serve(catalog: Catalog) -> None:
    (entry,) = list_conversations(catalog, ALICE)
    read = read_conversation(catalog, entry.id, ALICE)
    assert [turn.text for turn in read.turns[1::2]] == ["The fee is 3%.", "Lamps cost 49.", ""]
    assert (read.summary, read.summarised) == ("The fee is 3%.", 2)
    assert [one.text for one in read_facts(catalog, ALICE, ALICE.principals)] == ["I live in Busan."]
    assert [one.answer for one in read_examples(catalog, tenant="default")] == ["Five days."]


def answers_serve(catalog: Catalog) -> None:
    fee = catalog.documents("default")["file:///fee"]
    if catalog.rows("SELECT 1 FROM conversation"):
        assert recorded_answer(catalog, "answer-1", ALICE)["answer"] == "The fee is 3%."
    catalog.withdraw([fee.id])
    texts = [text for (text,) in catalog.rows("SELECT text FROM turn UNION ALL SELECT record FROM answer")]
    assert not any("3%" in text for text in texts)
    for entry in list_conversations(catalog, ALICE):
        delete_conversation(catalog, entry.id, ALICE)
        with pytest.raises(NotFound):
            recorded_answer(catalog, "answer-1", ALICE)
    assert not catalog.rows("SELECT number FROM turn UNION ALL SELECT number FROM turn_document")
    assert not catalog.rows("SELECT id FROM memory")


def test_what_outlived_its_conversation_or_its_turn_is_forgotten(empty: Empty, tmp_path: Path) -> None:
    url = empty()
    load("0004", url, tmp_path)
    engine = schema.connect(url, tmp_path)
    with engine.begin() as connection:
        for statement in _LEFT_BEHIND:
            connection.execute(sql(statement))
    engine.dispose()
    catalog = Catalog(url, tmp_path)
    assert [one.text for one in read_facts(catalog, ALICE, ALICE.principals)] == ["I live in Busan."]
    assert len(catalog.rows("SELECT id FROM memory")) == 1
    assert len(catalog.rows("SELECT number FROM turn")) == 6
    assert {row.number for row in catalog.rows("SELECT number FROM turn_document")} == {0, 2, 4}
    (new,) = publish(catalog, draft("new", "New."))  # not what something that is gone was called
    assert (new.document_id, new.version_id) == (78, 100)
    catalog.close()


_LEFT_BEHIND = (
    "INSERT INTO turn_document SELECT conversation_id, number, 77, 99 FROM turn_document WHERE number = 2",
    "INSERT INTO turn SELECT 'gone', number, at, role, text, answer_id, removed FROM turn",
    "INSERT INTO turn_document SELECT 'gone', number, document_id, version_id FROM turn_document",
    """
    INSERT INTO memory SELECT 'of the gone', tenant, principals, 'gone', number, at, kind, text, vector, fingerprint
      FROM memory
    """,
    """
    INSERT INTO memory
    SELECT 'of a removed turn', tenant, principals, conversation_id, 6, at, kind, text, vector, fingerprint
      FROM memory WHERE id <> 'of the gone'
    """,
)


def shape(url: str, folder: Path) -> list[Any]:
    """Tables, columns, indexes and constraints, as the database tells them."""
    if url.startswith("sqlite:"):
        connection = sqlite3.connect(folder / url.removeprefix("sqlite:"))
        try:
            rows = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master").fetchall()
        finally:
            connection.close()
        return sorted((*row[:3], " ".join((row[3] or "").replace('"', "").split())) for row in rows)
    import psycopg

    with psycopg.connect(url) as session:
        return [sorted(session.execute(statement.encode()).fetchall()) for statement in _SHAPE]


_SHAPE = (
    """
    SELECT table_name, column_name, data_type, is_nullable, column_default, collation_name
      FROM information_schema.columns WHERE table_schema = 'public'
    """,
    "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
    """
    SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
     WHERE connamespace = 'public'::regnamespace
    """,
)
