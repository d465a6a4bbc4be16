"""Migrations: from nothing to head, all or nothing; and databases that are not what they should be."""

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from alembic import op
from alembic.config import Config
from alembic.script import ScriptDirectory

from sourcebook.catalog import schema
from sourcebook.catalog.catalog import Catalog
from sourcebook.errors import CatalogError, ConfigError
from tests.catalog.dumps import load

TABLES = {
    "0001": {"answer", "book", "document", "embedding", "parsed", "passage", "source", "version"},
    "0002": {"budget", "reservation", "spending", "usage"},
    "0003": {"conversation", "example", "memory", "turn", "turn_document"},
    "0004": {"table_data"},
    "0005": {"answer_document"},
    "0006": {"counter"},
}
"""What each migration creates."""
REVISIONS = sorted(TABLES)


def tables_at(revision: str) -> set[str]:
    """All tables of the schema of this revision."""
    return {"alembic_version"}.union(*(TABLES[one] for one in REVISIONS if one <= revision))


def tables(path: Path) -> set[str]:
    connection = sqlite3.connect(path)
    try:
        return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    finally:
        connection.close()


def execute(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path)
    try:
        for statement in statements:
            connection.execute(statement)
        connection.commit()
    finally:
        connection.close()


def test_from_nothing_to_head(tmp_path: Path) -> None:
    catalog = Catalog("sqlite:catalog.db", tmp_path)
    with catalog.reading() as connection:
        assert schema.current(connection) == schema.HEAD
    catalog.close()
    assert tables(tmp_path / "catalog.db") == tables_at(schema.HEAD)
    Catalog("sqlite:catalog.db", tmp_path).close()


def migrations() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(schema.__file__).parent / "migrations"))
    return config


def test_the_newest_migration_is_head_and_they_form_a_line() -> None:
    scripts = ScriptDirectory.from_config(migrations())
    assert scripts.get_heads() == [schema.HEAD]
    line = [one.revision for one in scripts.walk_revisions()][::-1]
    assert line == [f"{number:04}" for number in range(1, len(line) + 1)]
    assert line == REVISIONS


def columns(path: Path) -> list[tuple[str, str]]:
    connection = sqlite3.connect(path)
    try:
        return sorted(
            (table, f"{name} {kind} {required} {key}")
            for table in tables(path)
            for _, name, kind, required, _, key in connection.execute(f"PRAGMA table_info({table})")
        )
    finally:
        connection.close()


@pytest.mark.parametrize("last", sorted(set().union(*TABLES.values())))
def test_an_interrupted_migration_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: str) -> None:
    with interrupted_at(last, monkeypatch), pytest.raises(KeyboardInterrupt):
        Catalog("sqlite:catalog.db", tmp_path)
    assert tables(tmp_path / "catalog.db") == set()
    Catalog("sqlite:catalog.db", tmp_path).close()
    assert tables(tmp_path / "catalog.db") == tables_at(schema.HEAD)


@pytest.mark.parametrize("revision", REVISIONS[:-1])
def test_an_interrupted_upgrade_leaves_the_earlier_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, revision: str
) -> None:
    path = tmp_path / "catalog.db"
    load(revision, "sqlite:catalog.db", tmp_path)
    assert tables(path) == tables_at(revision)
    before = columns(path)
    (last,) = sorted(TABLES[schema.HEAD])[-1:]
    with interrupted_at(last, monkeypatch), pytest.raises(KeyboardInterrupt):
        Catalog("sqlite:catalog.db", tmp_path)
    assert columns(path) == before
    catalog = Catalog("sqlite:catalog.db", tmp_path)
    assert tables(path) == tables_at(schema.HEAD)
    assert [one.url for one in catalog.sources()] == ["file:///docs"]
    catalog.close()


@contextmanager
def interrupted_at(table: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Ctrl-C when the migrations come to this table."""
    create = op.create_table

    def interrupted(name: str, *columns: object) -> object:
        if name == table:
            raise KeyboardInterrupt
        return create(name, *columns)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(op, "create_table", interrupted)
        yield


def test_several_processes_may_open_a_new_catalog_at_once(tmp_path: Path) -> None:
    script = f"""
from pathlib import Path
from sourcebook.catalog.catalog import Catalog
input()
Catalog("sqlite:catalog.db", Path({str(tmp_path)!r})).close()
"""
    several = [
        subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    for one in several:
        assert one.stdin is not None
        one.stdin.write("\n")
        one.stdin.flush()
    for one in several:
        _, errors = one.communicate(timeout=60)
        assert one.returncode == 0, errors


def test_a_newer_schema_is_told_what_to_do(tmp_path: Path) -> None:
    Catalog("sqlite:catalog.db", tmp_path).close()
    execute(tmp_path / "catalog.db", "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(CatalogError, match=r"schema 9999, newer than this Sourcebook knows \(\d+\)") as caught:
        Catalog("sqlite:catalog.db", tmp_path)
    assert "pip install -U sourcebook" in caught.value.remedy


@pytest.mark.parametrize(
    "damage",
    [b"this is no database" * 1000, b"SQLite format 3\0" + b"\xff" * 5000],
    ids=["another file", "only the head of one"],
)
def test_a_file_that_is_no_database_is_told(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "catalog.db").write_bytes(damage)
    with pytest.raises(CatalogError, match=r"catalog sqlite:catalog\.db failed") as caught:
        Catalog("sqlite:catalog.db", tmp_path)
    assert "Restore the file from a backup" in caught.value.remedy
    assert (tmp_path / "catalog.db").read_bytes() == damage


def test_damage_in_the_middle_is_told(tmp_path: Path) -> None:
    catalog = Catalog("sqlite:catalog.db", tmp_path)
    rows = [(f"file:///{number}" + "x" * 100,) for number in range(500)]
    with catalog.writing() as connection:
        connection.exec_driver_sql(
            "INSERT INTO source (url, tenant, access, options, added) VALUES (?, 'default', '[]', '{}', '')", rows
        )
    catalog.close()
    path = tmp_path / "catalog.db"
    data = bytearray(path.read_bytes())
    assert len(data) > 20 * 4096
    for start in range(5 * 4096, len(data), 4096):
        data[start : start + 100] = os_noise(100)
    path.write_bytes(data)
    with pytest.raises(CatalogError, match="malformed") as caught:  # noqa: PT012
        damaged = Catalog("sqlite:catalog.db", tmp_path)
        try:
            damaged.sources()
        finally:
            damaged.close()
    assert "Restore the file from a backup" in caught.value.remedy


def os_noise(length: int) -> bytes:
    return bytes((37 * number + 11) % 256 for number in range(length))


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "catalog.db").mkdir()
    with pytest.raises(CatalogError, match="unable to open") as caught:
        Catalog("sqlite:catalog.db", tmp_path)
    assert "can be written" in caught.value.remedy
    with pytest.raises(CatalogError, match="unable to open"):
        Catalog("sqlite:nowhere/catalog.db", tmp_path)


def test_where_the_file_lies(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for url, path in (
        ("sqlite:sub/a.db", tmp_path / "sub" / "a.db"),
        (f"sqlite:{tmp_path}/b.db", tmp_path / "b.db"),
        (f"sqlite://{tmp_path}/c.db", tmp_path / "c.db"),
        ("sqlite:with space & 100%.db", tmp_path / "with space & 100%.db"),
        ("sqlite:query?.db", tmp_path / "query?.db"),
    ):
        Catalog(url, tmp_path).close()
        assert path.is_file(), url


@pytest.mark.parametrize(
    "url", ["mysql://host/db", "catalog.db", "", "postgresql://host:port/x", "postgresql+none://host/x"]
)
def test_other_urls_are_errors(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Catalog(url, tmp_path)
    assert caught.value.remedy


def test_commits_are_durable_and_readers_do_not_wait(tmp_path: Path) -> None:
    catalog = Catalog("sqlite:catalog.db", tmp_path)
    with catalog.reading() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in ("journal_mode", "synchronous")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2}
    with catalog.writing():
        assert catalog.sources() == []
    catalog.close()
