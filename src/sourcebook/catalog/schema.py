"""The catalog's schema: opening an engine, and bringing a database to the newest version.

The tables themselves are defined once, by the numbered migrations in `migrations/versions/`.

    source     where documents come from              document   one row of the ledger each
    version    one content of a document, staged, live or retired
    passage    the pieces of a version                parsed     a version's whole text, which quotes are cut from
    table_data the tables of a version, for SQL
    embedding  vectors and terms by (fingerprint, hash of the text)
    answer     what was answered, and everything it was made from      answer_document   the documents among it
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sourcebook.catalog.postgresql import UPGRADE_LOCK, open_engine, without_password
from sourcebook.errors import CatalogError, ConfigError

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

HEAD = "0006"
"""The newest migration. Kept here because importing Alembic to find out takes 0.2 s."""

_SQLITE_PRAGMAS = (
    "PRAGMA journal_mode=WAL",  # readers and the writer do not wait for each other
    "PRAGMA synchronous=FULL",  # a commit that returned survives a power cut: the index may act on it
    "PRAGMA foreign_keys=ON",
    "PRAGMA busy_timeout=15000",
    "PRAGMA cache_size=-16000",
    "PRAGMA mmap_size=268435456",
    "PRAGMA temp_store=MEMORY",
)


def connect(url: str, home: Path) -> Engine:
    """Open the database that `url` names: "sqlite:FILE" (relative to `home`) or "postgresql://...".

    Errors: ConfigError for another kind of URL; MissingExtra.
    """
    from sqlalchemy import URL, create_engine, event

    if url.startswith("sqlite:"):
        path = home / url.removeprefix("sqlite:").removeprefix("//")
        place = URL.create("sqlite", database=str(path))
        engine = create_engine(place, connect_args={"check_same_thread": False, "timeout": 15})

        @event.listens_for(engine, "connect")
        def prepare(connection: Any, _record: object) -> None:
            connection.isolation_level = None  # we say BEGIN ourselves
            try:
                for pragma in _SQLITE_PRAGMAS:
                    connection.execute(pragma)
            except Exception:
                connection.close()
                raise

        return engine
    if url.startswith("postgres"):
        return open_engine(url)
    raise ConfigError(
        f"Catalog URL {without_password(url)!r} is not one that can be opened",
        remedy='Use "sqlite:catalog.db" or "postgresql://user@host/database"',
    )


def upgrade(engine: Engine) -> None:
    """Bring the schema to HEAD, from nothing or from any earlier version. Errors: CatalogError if it is newer."""
    with engine.connect() as connection:
        found = current(connection)
    if found == HEAD:
        return
    if found is not None and found > HEAD:
        raise CatalogError(
            f"The catalog has schema {found}, newer than this Sourcebook knows ({HEAD})",
            remedy="Update Sourcebook: pip install -U sourcebook",
        )
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with engine.begin() as connection:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")  # all or nothing, and one process at a time
        else:
            connection.exec_driver_sql(UPGRADE_LOCK)
        config.attributes["connection"] = connection
        command.upgrade(config, HEAD)


def current(connection: Connection) -> str | None:
    """The schema version of a database, or None if it holds no catalog yet."""
    from sqlalchemy import inspect, text

    if connection.dialect.name == "sqlite":
        table = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'alembic_version'"
        if connection.execute(text(table)).first() is None:
            return None
    elif not inspect(connection).has_table("alembic_version"):
        return None
    row = connection.execute(text("SELECT version_num FROM alembic_version")).first()
    return None if row is None else str(row[0])
