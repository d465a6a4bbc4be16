"""What goes wrong on PostgreSQL is told, with what can be done, and without passwords or questions."""

import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text as statement

from sourcebook.catalog.catalog import Catalog
from sourcebook.catalog.postgresql import advice, without_password
from sourcebook.errors import CatalogBusy, CatalogError, ConfigError, MissingExtra
from tests.postgresql import LOCKED, Server


@pytest.mark.parametrize(
    ("url", "reason", "advice"),
    [
        ("postgresql://me:secret@127.0.0.1:1/x", "refused", "Check that PostgreSQL runs"),
        ("postgresql://me:secret@no.such.host.invalid/x", "resolve|translate", "Check the name of the host"),
        ("postgresql:///x?host=/nowhere", "No such file", "Check that PostgreSQL runs"),
        ("{missing}", "does not exist", "createdb"),
        ("{wrong}", "password authentication failed", "Check user and password"),
        ("{nobody}", "role .* does not exist", "Check user and password"),
        ("{stranger}", "permission denied", "GRANT CREATE"),
    ],
)
def test_what_stands_in_the_way_is_told(
    url: str, reason: str, advice: str, postgresql: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = socket.getaddrinfo

    def resolved(host: str | None, *more: Any, **options: Any) -> Any:
        if host == "no.such.host.invalid":  # nobody outside of this machine is asked
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return asked(host, *more, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    name = postgresql.make() if "stranger" in url else "postgres"
    url = url.format(
        missing=postgresql.url("missing"),
        wrong=postgresql.url("postgres", user=LOCKED, password="secret"),
        nobody=postgresql.url("postgres", user="nobody"),
        stranger=postgresql.url(name, user=LOCKED, password="open%20sesame"),
    )
    with pytest.raises(CatalogError, match=reason) as caught:
        Catalog(url, tmp_path)
    assert advice in caught.value.remedy
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:se@cr:et@host/x", "postgresql://me:***@host/x"),
        ("postgresql://me@host:5432/x", "postgresql://me@host:5432/x"),
        ("postgresql://host/x?user=me&password=secret&sslmode=require",
         "postgresql://host/x?user=me&password=***&sslmode=require"),
        ("postgresql://host/x?PASSWORD=secret&sslpassword=secret&sslkey=k",
         "postgresql://host/x?PASSWORD=***&sslpassword=***&sslkey=k"),
        ("sqlite:catalog.db", "sqlite:catalog.db"),
    ],
)  # fmt: skip
def test_passwords_are_not_shown(url: str, shown: str) -> None:
    assert without_password(url) == shown


def test_taking_the_right_does_not_show_the_password(
    shared: Catalog, postgresql: Server, postgresql_url: str, tmp_path: Path
) -> None:
    catalog = Catalog(f"{postgresql_url}&password=hushhush", tmp_path)
    (name,) = shared.rows("SELECT current_database()")[0]
    shared.close()
    assert catalog.writer is not None
    postgresql.run(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    catalog.close()
    try:
        with pytest.raises(CatalogError) as caught:
            catalog.writer.take("This book", wait=0)
        assert "hushhush" not in str(caught.value)
        assert "password=***" in str(caught.value)
    finally:
        postgresql.run(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")


def test_the_server_is_not_told_what_was_asked(
    shared: Catalog, postgresql_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["/usr/bin/sourcebook", "ask", "Was Anna fired?"])
    catalog = Catalog(postgresql_url, tmp_path)
    ((name,),) = catalog.rows("SELECT current_setting('application_name')")
    assert name.endswith("(sourcebook)")
    catalog.close()


def test_errors_say_whether_they_may_pass(shared: Catalog) -> None:
    with pytest.raises(CatalogBusy) as passing, shared.writing() as connection:
        connection.execute(statement("DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '40P01'; END $$"))
    assert passing.value.transient
    with pytest.raises(CatalogError) as caught, shared.writing() as connection:
        connection.execute(statement("SELECT nothing"))
    assert not caught.value.transient


def test_a_malformed_url_does_not_show_its_password(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        Catalog("postgresql://me:secret@host:port/x", tmp_path)
    assert "secret" not in str(caught.value)


def test_without_the_driver_it_is_told_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtra) as caught:
        Catalog("postgresql://me@host/x", tmp_path)
    assert 'pip install "sourcebook[postgresql]"' in caught.value.remedy


def test_other_errors_have_no_remedy_of_ours() -> None:
    assert advice(ValueError("Connection refused"), "Connection refused") is None


def test_a_server_that_was_started_anew_is_no_error(shared: Catalog, postgresql: Server) -> None:
    shared.add_source("file:///a")
    (name,) = shared.rows("SELECT current_database()")[0]
    postgresql.run(f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{name}'")
    assert [one.url for one in shared.sources()] == ["file:///a"]
