"""The other end of `query_worker`: starts one, hands it statements and tables, and ends it when it takes too long."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sourcebook import errors
from sourcebook.errors import MissingExtra, ToolError
from sourcebook.pipes import read_message, write_message
from sourcebook.prompt.tools.table_names import NamedTable

if TYPE_CHECKING:
    from sourcebook.prompt.tools.query import QueryLimits, TableSource

_START_SECONDS = 60.0
_GRACE = 0.75  # seconds past its limit after which a query that does not heed its interruption is killed
_LOAD_SECONDS = 60.0
_LEAVE_SECONDS = 1.0  # for a process that has ended its output to be gone
_BOOT = "import sys; sys.path[:] = sys.argv[1:]; from sourcebook.prompt.tools.query_worker import main; main()"

Why = Literal["", "time", "load", "closed"]
"""Why a process was killed."""

_Entry = tuple[str, str, tuple[str, ...]]  # cells under a key never change; names may


class QueryProcess:
    """One process and its two pipes. The tables that queries have named stay in it, under the names that they had.

    One thread at a time may `ask`; any may `stop`.
    """

    def __init__(self, limits: QueryLimits) -> None:
        self.loaded: set[str] = set()  # keys of the tables whose cells it holds
        self._limits = limits
        self._made: set[_Entry] = set()
        self._told: tuple[_Entry, ...] | None = None
        self._why: Why = ""
        self._owner = os.getpid()
        self._process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-I", "-c", _BOOT, *_import_path()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=os.path.abspath(os.sep),
            env={key: os.environ[key] for key in ("SYSTEMROOT", "LD_LIBRARY_PATH") if key in os.environ},
            start_new_session=True,
        )
        answer = self._exchange(json.dumps({"limits": asdict(limits)}).encode(), seconds=_START_SECONDS)
        if answer is None or "ready" not in answer:
            self.end()
            if answer is not None and answer.get("error") == "missing":
                raise MissingExtra.of("SQL over tables", "tables")
            raise ToolError("The process for SQL does not start", remedy="Run: sourcebook doctor")

    @property
    def alive(self) -> bool:
        """Whether it can take another query."""
        return not self._why and self._process.poll() is None

    def fits(self, tables: Sequence[NamedTable]) -> bool:
        """Whether all that it holds is among these tables, under these names: else it is not for who sees these."""
        return self._made <= set(map(_entry, tables))

    def ask(
        self, sql: str, rows: int, tables: Sequence[NamedTable], source: TableSource
    ) -> Mapping[str, object] | None:
        """What it says to a statement; None if a table is gone meanwhile. What it did not survive is an error too."""
        seconds = self._limits.max_seconds + _GRACE
        answer = self._exchange(self._request(sql, rows, tables), seconds=seconds)
        if answer is not None and isinstance(needed := answer.get("need"), list):
            cells = source.cells(needed)
            if len(cells) < len(needed):
                self.end()
                return None
            answer = self._exchange(*(cells[key] for key in needed), seconds=_LOAD_SECONDS, why="load")
            if answer is not None and "loaded" in answer:
                self.loaded.update(needed)
                answer = self._exchange(seconds=seconds)
            elif answer is not None:
                self.end()
        if answer is None:
            return self._lost()
        if isinstance(made := answer.get("made"), list):
            self._made = {_entry(one) for one in tables if one.table.key in made}
        return answer

    def stop(self) -> None:
        """Kill it, whatever it is at; who asks gets an error."""
        self._kill("closed")

    def end(self) -> None:
        """Kill the process and wait for it; after a fork, that is for the parent to do."""
        if self._owner != os.getpid():
            return
        self._kill("closed")
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):  # what was not sent yet has nobody to go to
                    pipe.close()

    def _request(self, sql: str, rows: int, tables: Sequence[NamedTable]) -> bytes:
        asked: dict[str, object] = {"sql": sql.encode("utf-8", "replace").decode(), "rows": rows}
        view = tuple(map(_entry, tables))
        if view != self._told:
            self._told = view
            asked["tables"] = list(_described(tables))
        return json.dumps(asked).encode()

    def _exchange(self, *messages: bytes, seconds: float, why: Why = "time") -> dict[str, object] | None:
        """Send, and wait for the answer; None if it did not come, or not in time."""
        timer = threading.Timer(seconds, self._kill, (why,))
        timer.daemon = True
        timer.start()
        try:
            if self._process.stdin is None or self._process.stdout is None:
                return None
            for message in messages:
                write_message(self._process.stdin, message)
            body = read_message(self._process.stdout)
            answer = None if body is None else json.loads(body)
        except (OSError, ValueError):
            return None
        finally:
            timer.cancel()
        return answer if isinstance(answer, dict) else None

    def _lost(self) -> Mapping[str, object]:
        """Why no answer came: we killed it, the system did for its memory, or it broke."""
        code: int | None = None
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = self._process.wait(_LEAVE_SECONDS)
        why = self._why
        self.end()
        return {"error": why or ("memory" if code in (-9, -6) else "broken")}

    def _kill(self, why: Why) -> None:
        if self._owner != os.getpid():
            return
        self._why = self._why or why
        with contextlib.suppress(ProcessLookupError, PermissionError):
            self._process.kill()


def _entry(one: NamedTable) -> _Entry:
    return one.table.key, one.name, one.aliases


def _described(tables: Iterable[NamedTable]) -> Iterable[Mapping[str, object]]:
    for one in tables:
        columns = [[column.name, column.type] for column in one.table.columns]
        yield {"key": one.table.key, "name": one.name, "aliases": one.aliases, "columns": columns}


def _import_path() -> list[str]:
    """Where this process imports from, without the working folder."""
    here = str(Path(errors.__file__).parent.parent)
    path = [entry for entry in sys.path if os.path.isabs(entry) and entry != os.getcwd()]
    return path if here in path else [*path, here]
