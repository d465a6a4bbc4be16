"""The catalog on PostgreSQL: opening it, the one writer among all machines, and what its errors mean."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Lock
from time import monotonic, sleep
from typing import TYPE_CHECKING

from sourcebook.errors import BookBusy, CatalogBusy, ConfigError, MissingExtra
from sourcebook.ownership import own_command

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

_FORM = 'Use "postgresql://user@host/database"'
_BOOK = 0x50B00C  # the first half of our advisory locks' keys; the second is the schema
_CONNECT_SECONDS = 10
_POLL_SECONDS = 0.1

_TRY_LOCK = f"SELECT pg_try_advisory_lock({_BOOK}, hashtext(current_schema()))"
_UNLOCK = f"SELECT pg_advisory_unlock({_BOOK}, hashtext(current_schema()))"
# Within about a minute the server finds out that a machine is gone, and frees what its session held.
_KEEP_ALIVE = """
    SELECT set_config('tcp_keepalives_idle', '30', FALSE), set_config('tcp_keepalives_interval', '10', FALSE),
           set_config('tcp_keepalives_count', '3', FALSE)
"""
_HOLDER = f"""
    SELECT activity.application_name AS name, activity.client_addr AS address,
           to_char(activity.backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') AS since
      FROM pg_locks AS held JOIN pg_stat_activity AS activity ON activity.pid = held.pid
     WHERE held.locktype = 'advisory' AND held.granted
       AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database())
       AND held.classid = {_BOOK} AND held.objid = (hashtext(current_schema())::bigint & 4294967295)::oid
"""  # noqa: S608
UPGRADE_LOCK = f"SELECT pg_advisory_xact_lock({_BOOK + 1}, hashtext(current_schema()))"
"""Migrations begin with it, so that one process at a time migrates a schema."""
_REMEMBER_LOCK = f"SELECT pg_advisory_xact_lock_shared({_BOOK + 2}, hashtext(current_schema()))"
_FORGET_LOCK = f"SELECT pg_advisory_xact_lock({_BOOK + 2}, hashtext(current_schema()))"
_ACCOUNTING_LOCK = f"SELECT pg_advisory_xact_lock({_BOOK + 3}, hashtext(current_schema()))"


def begin_remembering(connection: Connection) -> None:
    """To the end of the transaction nothing is forgotten, so that what is kept in it rests on what is there.

    Whoever keeps something made from documents begins with it, and whoever makes them not live, or deletes what was
    kept, with `begin_forgetting`: then neither misses what the other has not yet committed, and they cannot wait for
    each other's rows in a circle. SQLite's writer is alone in any case.
    """
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(_REMEMBER_LOCK)


def begin_forgetting(connection: Connection) -> None:
    """To the end of the transaction nobody else keeps anything that was made from documents."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(_FORGET_LOCK)


def begin_accounting(connection: Connection) -> None:
    """To the end of the transaction nobody else holds or settles money: budgets are kept by one after the other."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(_ACCOUNTING_LOCK)


def open_engine(url: str) -> Engine:
    """An engine for "postgresql://..."; nothing is connected yet. Errors: ConfigError, MissingExtra."""
    from sqlalchemy import create_engine, make_url
    from sqlalchemy.exc import ArgumentError

    try:
        place = make_url(url)
        if place.drivername not in ("postgresql", "postgres", "postgresql+psycopg"):
            raise ConfigError(f"The catalog cannot be opened with {place.drivername!r}", remedy=_FORM)
        unless_said = {"connect_timeout": _CONNECT_SECONDS, "application_name": _own_name()}
        return create_engine(
            place.set(drivername="postgresql+psycopg"),
            connect_args={name: value for name, value in unless_said.items() if name not in place.query},
            pool_pre_ping=True,  # a server that was started anew is no error
        )
    except ImportError as error:
        raise MissingExtra.of("The PostgreSQL driver", "postgresql") from error
    except (ArgumentError, ValueError) as error:
        raise ConfigError(f"Catalog URL {without_password(url)!r} is not valid", remedy=_FORM) from error


def without_password(url: str) -> str:
    """A database's URL as it may be shown."""
    url = re.sub(r"(://[^:/?#]*):.*@", r"\1:***@", url)
    return re.sub(r"(?i)([?&](?:ssl)?password=)[^&]*", r"\1***", url)


class WriterSession:
    """The right to publish in a book, held in one database session at a time, whatever machine it is on.

    While it is held, all that this process publishes is written in that very session. So a process whose session
    ends, and the right with it, publishes no more: its next statement fails, whoever has the right by then.
    Thread-safe. url: without a password, for messages.
    """

    def __init__(self, engine: Engine, url: str) -> None:
        self._engine = engine
        self._url = url
        self._connection: Connection | None = None
        self._turn = Lock()

    def take(self, thing: str, *, wait: float) -> None:
        """Take the right to the `thing`, waiting at most `wait` seconds.

        Errors: BookBusy, naming the holder; ConfigError if the URL leads to no schema.
        """
        from sourcebook.catalog.statements import explained, sql

        until = monotonic() + wait
        with explained(self._url):
            connection = self._engine.connect()
            try:
                connection.detach()  # it ends with the right, and is no more lent to anybody
                connection.execute(sql(_KEEP_ALIVE))
                while not (taken := connection.execute(sql(_TRY_LOCK)).scalar_one()):
                    if taken is None:
                        raise ConfigError(
                            f"The schema that the catalog {self._url} is in is not there any more",
                            remedy="Check search_path in the URL, or make the schema anew",
                        )
                    if monotonic() >= until:
                        raise BookBusy(
                            f"{thing} is in use by {_holder(connection)}",
                            remedy="Wait for it to end, or stop it, and try again",
                        )
                    connection.rollback()
                    sleep(_POLL_SECONDS)
                connection.commit()
            except BaseException:
                connection.close()
                raise
        self._connection = connection

    def release(self) -> None:
        """Give the right back."""
        from sqlalchemy.exc import SQLAlchemyError

        from sourcebook.catalog.statements import sql

        with self._turn:
            connection, self._connection = self._connection, None
            if connection is None:
                return
            with suppress(SQLAlchemyError):  # a session that is lost holds nothing
                if not connection.invalidated:
                    connection.execute(sql(_UNLOCK))
                    connection.commit()
            with suppress(SQLAlchemyError):
                connection.close()

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """What to publish with: the session that holds the right, or any other while nobody here holds it."""
        with self._turn:
            if self._connection is not None:
                if self._connection.invalidated:  # SQLAlchemy would connect anew, without the right
                    raise CatalogBusy(
                        "The connection to the catalog was lost, and with it the right to write",
                        remedy="Run the same command again: it goes on where this one ended",
                    )
                try:
                    yield self._connection
                finally:
                    self._connection.rollback()
                return
        with self._engine.connect() as connection:
            yield connection


def _own_name() -> str:
    """Who we are, for those who look at the server, and for whoever finds the book in use."""
    name = f"sourcebook: process {os.getpid()} on {socket.gethostname()[:20]} ({own_command()}"
    return name.encode("ascii", "replace").decode().replace("\0", "")[:62] + ")"  # 63 bytes is PostgreSQL's limit


def _holder(connection: Connection) -> str:
    from sourcebook.catalog.statements import sql

    found = connection.execute(sql(_HOLDER)).first()
    if found is None or not found.name:
        return "another process"
    place = f", from {found.address}" if found.address else ""
    since = f", connected since {found.since} UTC" if found.since else ""
    return f"{found.name.removeprefix('sourcebook: ')}{place}{since}"


def advice(error: BaseException | None, reason: str) -> tuple[str, bool] | None:
    """What can be done about an error, and whether the same may succeed later; None if it is not PostgreSQL's.

    By SQLSTATE (postgresql.org/docs/current/errcodes-appendix.html), else by what the client library says.
    """
    if not type(error).__module__.startswith("psycopg"):
        return None
    state = getattr(error, "sqlstate", None)
    for known, phrases, remedy, transient in _ADVICE:
        if state in known or re.search(phrases, reason):
            return remedy, transient
    return "See the log of the database server, and run: sourcebook doctor", False


_ADVICE: tuple[tuple[tuple[str, ...], str, str, bool], ...] = (
    (
        ("28P01", "28000"),
        "authentication failed|no password supplied|no pg_hba.conf entry|role .* does not exist",
        "Check user and password in the URL, or put the password into ~/.pgpass or PGPASSWORD",
        False,
    ),
    (("3D000",), "database .* does not exist", "Make it first: createdb NAME, or name another in the URL", False),
    (
        ("42501",),
        "permission denied for",
        "Let the user own the database, or run in it: GRANT CREATE, USAGE ON SCHEMA public TO the_user",
        False,
    ),
    (
        ("53300",),
        "too many clients|connection slots are reserved",
        "Raise max_connections, or close other clients",
        True,
    ),
    (("53100",), "No space left", "Free some space on the database server, and run the same command again", False),
    (("25006",), "read-only transaction", "This server is a standby: name the primary in the URL", False),
    (("40P01", "40001", "55P03"), "deadlock detected", "Others wrote the same rows; try again", True),
    (
        (),
        "could not translate host name|failed to resolve host|Name or service not known",
        "Check the name of the host in the URL",
        False,
    ),
    (
        (),
        "Connection refused|No such file or directory|timeout expired|timed out",
        "Check that PostgreSQL runs at the host and port of the URL, and that it can be reached from here",
        True,
    ),
    (
        ("57P01", "57P02", "57P03", "08000", "08003", "08006"),
        "server closed the connection|terminating connection|connection is (lost|closed)|consuming input failed",
        "The server went away or is starting; try again in a moment",
        True,
    ),
    (
        (),
        "NUL",
        "Write the name without null characters",
        False,
    ),
)
