"""What PostgreSQL alone could do otherwise: order, odd characters, one writer among machines, and its errors."""

import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import text as statement

from sourcebook.catalog import reads
from sourcebook.catalog.catalog import Catalog
from sourcebook.catalog.conversations import keep_exchange, read_conversation, start_conversation
from sourcebook.catalog.facts import Learned, keep_facts, read_facts
from sourcebook.catalog.records import Draft, Failure
from sourcebook.errors import BookBusy, CatalogBusy, CatalogError, ConfigError
from sourcebook.ownership import Ownership
from sourcebook.types import Chunk, Scope
from tests.postgresql import Server

_OPEN = """
from pathlib import Path
from sourcebook.catalog.catalog import Catalog
input()
Catalog({url!r}, Path()).close()
"""
_HOLD = """
import time
from pathlib import Path
from sourcebook.catalog.catalog import Catalog
catalog = Catalog({url!r}, Path())
catalog.writer.take("This book", wait=0)
print("held", flush=True)
time.sleep(60)
"""


def draft(uri: str, text: str = "text", **more: Any) -> Draft:
    """A document of one passage."""
    settings: dict[str, Any] = {
        "uri": uri,
        "tenant": "default",
        "source_id": 1,
        "access": frozenset(),
        "fingerprint": "f",
        "content_hash": "h",
        "recipe": "r",
        "text": text,
        "chunks": (Chunk(text=text, start=0, end=len(text)),),
        "text_keys": ("k",),
    }
    return Draft(**settings | more)


def python(script: str, **more: Any) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, **more,
    )  # fmt: skip


# --- the schema -------------------------------------------------------------------------------------------


def test_several_processes_may_open_a_new_catalog_at_once(postgresql: Server) -> None:
    name = postgresql.make()
    several = [python(_OPEN.format(url=postgresql.url(name))) for _ in range(3)]
    for one in several:
        assert one.stdin is not None
        one.stdin.write("\n")
        one.stdin.flush()
    for one in several:
        _, errors = one.communicate(timeout=60)
        assert one.returncode == 0, errors
    assert postgresql.run("SELECT COUNT(*) FROM book", name) == [(1,)]


def test_a_newer_schema_is_told_what_to_do(shared: Catalog, postgresql_url: str, tmp_path: Path) -> None:
    def become(revision: str) -> None:
        with shared.writing() as connection:
            connection.execute(statement("UPDATE alembic_version SET version_num = :it"), {"it": revision})

    with shared.reading() as connection:
        (head,) = connection.execute(statement("SELECT version_num FROM alembic_version")).scalars()
    become("9999")
    try:
        with pytest.raises(CatalogError, match="schema 9999, newer"):
            Catalog(postgresql_url, tmp_path)
    finally:
        become(head)


def test_all_text_is_sorted_by_code_points(shared: Catalog) -> None:
    """Whatever the language of the server: with that of Korea or Sweden, exports would come in another order."""
    found = shared.rows("""
        SELECT table_name, column_name, collation_name FROM information_schema.columns
         WHERE table_schema = 'public' AND data_type = 'text' AND collation_name IS DISTINCT FROM 'C'
    """)
    assert found == []
    columns = shared.rows("""
        SELECT column_name FROM information_schema.columns WHERE table_schema = 'public' AND data_type = 'text'
    """)
    assert len(columns) > 50


def test_exports_come_in_one_order_on_both(shared: Catalog, tmp_path: Path) -> None:
    names = [
        "a",
        "B",
        "A",
        "b",
        "ä",
        "Z",
        "_",
        "-",
        "가",
        "a b",
        "a-b",
        "ab",
        "\N{SMILING FACE WITH OPEN MOUTH}",
        "\uffe0",
    ]
    local = Catalog("sqlite:catalog.db", tmp_path)
    for catalog in (shared, local):
        catalog.commit(catalog.stage([draft(name, tenant=tenant) for name in names for tenant in ("t", "T")]))
    assert list(reads.export(shared)) == list(reads.export(local))
    assert [one.uri for one in reads.ledger(shared)] == [one.uri for one in reads.ledger(local)]
    assert [row["uri"] for row in reads.export(shared) if row["kind"] == "document"] == sorted(names) * 2
    local.close()


def test_paths_and_owners_of_any_length(shared: Catalog) -> None:
    chance = random.Random(1)
    paths = ["file:///" + "".join(chance.choices("0123456789abcdefghijklmnopqrstuvwxyz/", k=9000)) for _ in range(2)]
    for _ in range(2):
        shared.commit(shared.stage([draft(one) for one in paths]))
        shared.fail([failure(f"{one}/failed") for one in paths])
    assert [one.uri for one in reads.ledger(shared)] == sorted([*paths, *(f"{one}/failed" for one in paths)])
    assert reads.whole_document(shared, paths[0], Scope())[0] == "text"
    with pytest.raises(CatalogError, match="document_name"), shared.writing() as connection:
        connection.execute(statement("INSERT INTO document SELECT (jsonb_populate_record(document, '{\"id\": 99}')).* "
                                     "FROM document WHERE id = 1"))  # fmt: skip
    many = Scope(principals=frozenset(f"group {chance.random()} {chance.random()}" for _ in range(300)))
    name = start_conversation(shared, many)
    keep_exchange(shared, name, many, question="I live in Oslo.", answer="Good.")
    fact = Learned(kind="fact", text="Lives in Oslo", number=1, vector=np.ones(2, np.float32))
    keep_facts(shared, read_conversation(shared, name, many), [fact], upto=2, fingerprint="f")
    assert [one.text for one in read_facts(shared, many, many.principals)] == ["Lives in Oslo"]


def test_rows_are_found_by_their_names_and_not_read_through(shared: Catalog) -> None:
    shared.commit(shared.stage([draft(f"file:///{number}") for number in range(400)]))
    with shared.writing() as connection:
        connection.execute(statement("ANALYZE"))
        connection.execute(statement("SET LOCAL enable_seqscan = off"))
        for where in ("uri = 'file:///7'", "uri IN ('file:///7', 'file:///8')"):
            query = f"EXPLAIN SELECT id FROM document WHERE tenant = 'default' AND {where}"
            assert "document_uri" in str(connection.execute(statement(query)).all())


# --- the one writer ---------------------------------------------------------------------------------------


def ownership(catalog: Catalog, home: Path) -> Ownership:
    home.mkdir(exist_ok=True)
    return Ownership(home / "writer.lock", "This book", shared=catalog.writer)


def test_of_two_machines_one_writes_and_the_other_is_told(postgresql_url: str, shared: Catalog, tmp_path: Path) -> None:
    holder = python(_HOLD.format(url=postgresql_url))
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        mine = ownership(shared, tmp_path / "mine")
        told = rf"This book is in use by process {holder.pid} on .* \(-c\), connected since 20\d\d-\d\d-\d\d .* UTC"
        with pytest.raises(BookBusy, match=told) as caught:
            mine.take(wait=0.15)
        assert caught.value.transient
        assert not mine.held
        holder.kill()
        mine.take(wait=30)
        mine.release()
        Ownership(tmp_path / "mine" / "writer.lock", "This book").take()
    finally:
        holder.kill()
        holder.communicate(timeout=30)


def test_the_right_is_of_one_schema(shared: Catalog, postgresql_url: str, tmp_path: Path) -> None:
    with shared.writing() as connection:
        connection.execute(statement("CREATE SCHEMA other"))
    other = Catalog(f"{postgresql_url}&options=-csearch_path%3Dother", tmp_path)
    one, two = ownership(shared, tmp_path / "one"), ownership(other, tmp_path / "two")
    one.take()
    two.take()
    other.add_source("file:///other")
    assert shared.sources() == []
    two.release()
    one.release()
    other.close()
    with shared.writing() as connection:
        connection.execute(statement("DROP SCHEMA other CASCADE"))


def test_a_process_that_lost_the_right_writes_no_more(
    shared: Catalog, postgresql: Server, postgresql_url: str, tmp_path: Path
) -> None:
    first = ownership(shared, tmp_path / "first")
    first.take()
    shared.add_source("file:///before")
    assert postgresql.run("""
        SELECT pg_terminate_backend(activity.pid, 5000) FROM pg_locks JOIN pg_stat_activity AS activity USING (pid)
         WHERE locktype = 'advisory'
    """) == [(True,)]
    other = Catalog(postgresql_url, tmp_path)
    second = ownership(other, tmp_path / "second")
    second.take(wait=5)
    with pytest.raises(CatalogBusy, match="terminating connection") as caught:
        shared.add_source("file:///after")
    assert "try again" in caught.value.remedy
    with pytest.raises(CatalogBusy, match="with it the right to write"):
        shared.add_source("file:///after")
    name = start_conversation(shared, Scope())  # what needs no right goes on
    assert keep_exchange(shared, name, Scope(), question="Is it there?", answer="Yes.") is not None
    first.release()
    assert [one.url for one in shared.sources()] == ["file:///before"]
    with pytest.raises(BookBusy):
        first.take()
    second.release()
    first.take()
    shared.add_source("file:///after")
    first.release()
    other.close()


def test_what_is_asked_does_not_wait_for_what_is_published(shared: Catalog, tmp_path: Path) -> None:
    mine = ownership(shared, tmp_path)
    mine.take()
    with shared.publishing() as connection, ThreadPoolExecutor(1) as threads:
        connection.execute(statement("UPDATE book SET epoch = epoch"))
        assert threads.submit(start_conversation, shared, Scope()).result(10)
    mine.release()


def test_a_schema_that_is_gone_is_told(shared: Catalog, postgresql_url: str, tmp_path: Path) -> None:
    with shared.writing() as connection:
        connection.execute(statement("CREATE SCHEMA other"))
    other = Catalog(f"{postgresql_url}&options=-csearch_path%3Dother", tmp_path)
    with shared.writing() as connection:
        connection.execute(statement("DROP SCHEMA other CASCADE"))
    with pytest.raises(ConfigError, match="schema"):
        ownership(other, tmp_path).take(wait=5)
    other.close()


def test_a_failed_statement_leaves_the_right_as_it_was(shared: Catalog, tmp_path: Path) -> None:
    mine = ownership(shared, tmp_path)
    mine.take()
    with pytest.raises(CatalogError, match="not-null"):
        shared.fail([failure("x", fingerprint=None)])
    with pytest.raises(ZeroDivisionError), shared.writing():
        _ = 1 / 0
    shared.add_source("file:///a")
    mine.release()
    assert [one.url for one in shared.sources()] == ["file:///a"]


def test_threads_of_the_writer_write_in_turn(shared: Catalog, tmp_path: Path) -> None:
    mine = ownership(shared, tmp_path)
    mine.take()
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: shared.add_source(f"file:///{number}"), range(30)))
        list(threads.map(lambda number: shared.stage([draft(f"file:///{number}")]), range(30)))
        mine.release()
        list(threads.map(lambda number: shared.add_source(f"file:///more/{number}"), range(10)))
    assert len(shared.sources()) == 40
    assert len(shared.documents("default")) == 30


def failure(uri: str, **more: Any) -> Failure:
    settings: dict[str, Any] = {
        "uri": uri, "tenant": "default", "source_id": 1, "access": frozenset(), "fingerprint": "f",
        "content_hash": None, "recipe": "r", "error": "broken", "transient": False,
    }  # fmt: skip
    return Failure(**settings | more)
