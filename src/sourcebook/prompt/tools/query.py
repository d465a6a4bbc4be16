"""Read-only SQL over tables of documents, each query in a process of its own kind that cannot do harm.

What runs in the process is `query_worker`; here is who starts it, hands it the tables, and ends it when it takes too
long. A process holds the tables of one view (the same tables, with the same cells) and stays for the next query.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from time import monotonic
from typing import NoReturn, Protocol

from sourcebook import errors
from sourcebook.errors import MissingExtra, ToolError
from sourcebook.prompt.tools.naming import NamedTable, named
from sourcebook.prompt.tools.query_worker import read_message, write_message
from sourcebook.types import Column, LiveTable

MAX_SQL = 50_000
"""Characters of a statement at most."""

_START_SECONDS = 60.0
_GRACE = 0.75  # seconds past its limit after which a query that does not heed its interruption is killed
_LOAD_SECONDS = 60.0
_PROCESSES = 2
_TRIES = 5
_BOOT = "import sys; sys.path[:] = sys.argv[1:]; from sourcebook.prompt.tools.query_worker import main; main()"

Value = None | bool | int | float | Decimal | str
"""A cell of a result. Dates and times are ISO 8601 text; lists and structures JSON text."""


class TableSource(Protocol):
    """The tables that the asker may see, as they are now."""

    def listed(self) -> Sequence[LiveTable]:
        """All of them, in an order that stays."""
        ...

    def cells(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        """The cells of those of the tables that are still there, by key: see `types.Table.data`."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class QueryLimits:
    """What one query may take. Every field is a setting.

    max_seconds: of time, loading of tables not counted. max_memory: bytes for the tables and the query.
    max_rows, max_characters: of the result, which is cut there. max_cell: characters of one cell. threads: at work.
    """

    max_seconds: float = 10.0
    max_memory: int = 1_000_000_000
    max_rows: int = 200
    max_characters: int = 16_000
    max_cell: int = 2_000
    threads: int = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class QueryResult:
    """What a query gave. columns: their types are DuckDB's. cut: why rows are missing at the end, or "".

    used: the tables that the query read.
    """

    columns: tuple[Column, ...]
    rows: tuple[tuple[Value, ...], ...]
    used: tuple[NamedTable, ...]
    cut: str = ""
    seconds: float = 0.0


class TableQueries:
    """Runs queries. May be used from any thread; at most two at a time, others wait."""

    def __init__(self, limits: QueryLimits | None = None) -> None:
        self.limits = limits or QueryLimits()
        self._free = threading.BoundedSemaphore(_PROCESSES)
        self._lock = threading.Lock()
        self._idle: list[_Process] = []
        self._all: set[_Process] = set()
        self._owner = os.getpid()
        self._finalizer = weakref.finalize(self, _end_all, self._all)

    def run(self, source: TableSource, sql: str, *, rows: int | None = None) -> QueryResult:
        """The result of one statement over the tables that are there when it runs.

        rows: instead of the limit. Errors: ToolError, which says how to correct the statement; MissingExtra.
        """
        if len(sql) > MAX_SQL:
            raise ToolError(f"The statement is longer than {MAX_SQL} characters", remedy="Write a shorter one")
        began = monotonic()
        with self._free:
            for _ in range(_TRIES):
                tables = named(source.listed())
                answer = self._answer(tables, source, sql, self.limits.max_rows if rows is None else rows)
                if answer is None or not _still_there(source, answer):
                    continue  # a table changed or went while it was read: what is there now counts
                return _result(answer, tables, self.limits, seconds=monotonic() - began)
        raise ToolError("The tables change faster than they can be read", remedy="Try again in a moment")

    def close(self) -> None:
        """End all processes. Later queries start new ones."""
        with self._lock:
            _end_all(self._all)
            self._idle.clear()
            self._all.clear()

    def _answer(
        self, tables: Sequence[NamedTable], source: TableSource, sql: str, rows: int
    ) -> Mapping[str, object] | None:
        """What the process says; None if a table is gone. Where other tables took the memory, it is tried without."""
        while True:
            process = self._take(tables)
            crowded = False
            try:
                answer = process.ask(sql, rows, source, self.limits)
                if answer is not None and answer.get("error") == "memory":
                    used = answer.get("used")
                    crowded = isinstance(used, list) and not process.loaded <= set(used)
                    process.end()
            except BaseException:
                process.end()
                raise
            finally:
                self._give_back(process)
            if not crowded:
                return answer

    def _take(self, tables: Sequence[NamedTable]) -> _Process:
        view = _view(tables)
        with self._lock:
            if self._owner != os.getpid():  # after a fork they belong to the parent
                self._owner = os.getpid()
                self._idle.clear()
                self._all.clear()
            for dead in [one for one in self._idle if not one.alive]:
                self._idle.remove(dead)
                self._all.discard(dead)
                dead.end()
            found = next((one for one in self._idle if one.view == view), None)
            if found is not None:
                self._idle.remove(found)
                return found
            while self._idle and len(self._all) >= _PROCESSES:
                oldest = self._idle.pop(0)
                self._all.discard(oldest)
                oldest.end()
        made = _Process(tables, self.limits)
        with self._lock:
            self._all.add(made)
        return made

    def _give_back(self, process: _Process) -> None:
        with self._lock:
            if process.alive and process in self._all:
                self._idle.append(process)
                return
            self._all.discard(process)
        process.end()


class _Process:
    """One process and its two pipes, with the tables of one view."""

    def __init__(self, tables: Sequence[NamedTable], limits: QueryLimits) -> None:
        self.view = _view(tables)
        self.loaded: set[str] = set()  # keys of the tables whose cells it holds
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
        self._expired = False
        setup = {
            "limits": asdict(limits),
            "tables": [
                {
                    "key": one.table.key,
                    "name": one.name,
                    "aliases": one.aliases,
                    "columns": [[column.name, column.type] for column in one.table.columns],
                }
                for one in tables
            ],
        }
        answer = self._exchange(json.dumps(setup).encode(), seconds=_START_SECONDS)
        if answer is None or "ready" not in answer:
            self.end()
            if answer is not None and answer.get("error") == "missing":
                raise MissingExtra.of("SQL over tables", "tables")
            raise ToolError("The process for SQL does not start", remedy="Run: sourcebook doctor")

    @property
    def alive(self) -> bool:
        """Whether it can take another query."""
        return self._process.poll() is None

    def ask(self, sql: str, rows: int, source: TableSource, limits: QueryLimits) -> Mapping[str, object] | None:
        """What it says to a statement; None if a table is gone meanwhile. Errors: ToolError if it did not survive."""
        request = json.dumps({"sql": sql.encode("utf-8", "replace").decode(), "rows": rows}).encode()
        answer = self._exchange(request, seconds=limits.max_seconds + _GRACE)
        if answer is not None and isinstance(needed := answer.get("need"), list):
            cells = source.cells(needed)
            if len(cells) < len(needed):
                self.end()
                return None
            self.loaded.update(needed)
            answer = self._exchange(*(cells[key] for key in needed), seconds=_LOAD_SECONDS)
            if answer is not None and "loaded" in answer:
                answer = self._exchange(seconds=limits.max_seconds + _GRACE)
        if answer is not None:
            return answer
        self.end()
        if self._expired:
            return {"error": "time"}
        return {"error": "memory" if self._process.returncode in (-9, -6) else "broken"}

    def end(self) -> None:
        """Kill the process and wait for it; after a fork, that is for the parent to do."""
        if self._owner != os.getpid():
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):  # what was not sent yet has nobody to go to
                    pipe.close()

    def _exchange(self, *messages: bytes, seconds: float) -> dict[str, object] | None:
        """Send, and wait for the answer; None if it did not come, or not in time."""
        timer = threading.Timer(seconds, self._expire)
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

    def _expire(self) -> None:
        self._expired = True
        self._process.kill()


def _view(tables: Sequence[NamedTable]) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
    """What makes two sets of tables the same: cells under a key never change."""
    return tuple((one.table.key, one.name, one.aliases) for one in tables)


def _still_there(source: TableSource, answer: Mapping[str, object]) -> bool:
    used = answer.get("used")
    return not used or (isinstance(used, list) and set(used) <= {one.key for one in source.listed()})


def _result(
    answer: Mapping[str, object], tables: Sequence[NamedTable], limits: QueryLimits, *, seconds: float
) -> QueryResult:
    if "error" in answer:
        _fail(str(answer["error"]), str(answer.get("message", "")), tables, limits)
    columns, rows, used = answer["columns"], answer["rows"], answer["used"]
    if not (isinstance(columns, list) and isinstance(rows, list) and isinstance(used, list)):
        raise ToolError("The process for SQL gave no result", remedy="Try again")
    kinds = tuple(Column(name=name, type=kind) for name, kind in columns)
    return QueryResult(
        columns=kinds,
        rows=tuple(tuple(_value(cell, kind.type) for cell, kind in zip(row, kinds, strict=True)) for row in rows),
        used=tuple(one for one in tables if one.table.key in used),
        cut=_CUTS.get(str(answer.get("more")), "").format(rows=len(rows)),
        seconds=round(seconds, 6),
    )


_CUTS = {
    "rows": "only the first {rows} rows; there are more: use COUNT, SUM or LIMIT, or ask for a part",
    "characters": "only the first {rows} rows, the result is too long: ask for fewer columns or rows, or aggregate",
}


def _fail(kind: str, message: str, tables: Sequence[NamedTable], limits: QueryLimits) -> NoReturn:
    if kind == "time":
        raise ToolError(
            f"The query took longer than {limits.max_seconds:g} seconds and was stopped",
            remedy="Ask for less: fewer rows, joins on equal keys, no recursion without end",
        )
    if kind == "memory":
        raise ToolError(
            f"The query took more than {limits.max_memory:,} bytes of memory and was stopped",
            remedy="Ask for less, or raise the setting tables.max_memory",
        )
    if kind == "refused":
        raise ToolError(message.rstrip("."), remedy="Use one SELECT over the tables of the documents")
    if kind == "sql":
        names = ", ".join(one.name for one in tables[:30]) + (", ..." if len(tables) > 30 else "")
        raise ToolError(f"{message.strip().rstrip('.')}\nThe tables are: {names or 'none'}. The dialect is DuckDB's")
    raise ToolError("The query broke the process that ran it", remedy="Write it in a simpler way")


def _value(cell: object, kind: str) -> Value:
    if isinstance(cell, str):
        return Decimal(cell) if kind.startswith("DECIMAL") else float(cell) if kind in ("DOUBLE", "FLOAT") else cell
    return cell if cell is None or isinstance(cell, (bool, int, float)) else str(cell)


def _import_path() -> list[str]:
    """Where this process imports from, without the working folder."""
    here = str(Path(errors.__file__).parent.parent)
    path = [entry for entry in sys.path if os.path.isabs(entry) and entry != os.getcwd()]
    return path if here in path else [*path, here]


def _end_all(processes: set[_Process]) -> None:
    for process in tuple(processes):
        process.end()
