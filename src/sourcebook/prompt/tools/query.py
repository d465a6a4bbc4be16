"""Read-only SQL over tables of documents, each query in a process of its own kind that cannot do harm.

`TableQueries` settles who may run now and in which process, and says what its answer means. `query_process` is one
process: starts it, hands it statements and tables, ends it when it takes too long. `query_worker` runs in it.
"""

from __future__ import annotations

import asyncio
import os
import re
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from decimal import Decimal
from time import monotonic
from typing import Any, NoReturn, Protocol

from sourcebook.errors import ToolError
from sourcebook.prompt.tools.query_process import QueryProcess
from sourcebook.prompt.tools.table_names import NamedTable, named
from sourcebook.types import Column, LiveTable, Passage

MAX_SQL = 50_000
"""Characters of a statement at most."""

_PROCESSES = 2
_TRIES = 5
_DECIMAL = re.compile(r"DECIMAL\(\d+,\d+\)")

Value = None | bool | int | float | Decimal | str
"""A cell of a result. Dates and times are ISO 8601 text; lists and structures JSON text."""


class TableSource(Protocol):
    """The tables that the asker may see, as they are now."""

    def listed(self) -> Sequence[LiveTable]:
        """All of them, in an order that stays."""
        ...

    def cells(self, keys: Sequence[str], *, most: int | None = None) -> Mapping[str, bytes]:
        """The cells of those of the tables that are still there, by key: see `types.Table.data`.

        most: bytes of each table, from its beginning; None: all of them.
        """
        ...

    def anchors(self, keys: Sequence[str]) -> Mapping[str, Passage]:
        """For each of the tables that are still there its first passage in its document, by key."""
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

    used: the tables that the query read. given: those that it may have read, `used` among them: a table that shares
    its name with a WITH is not always told from it.
    """

    columns: tuple[Column, ...]
    rows: tuple[tuple[Value, ...], ...]
    used: tuple[NamedTable, ...]
    given: tuple[NamedTable, ...]
    cut: str = ""
    seconds: float = 0.0


class TableQueries:
    """Runs queries. May be used from any thread and event loop; at most two at a time, others wait."""

    def __init__(self, limits: QueryLimits | None = None) -> None:
        self.limits = limits or QueryLimits()
        self._free = threading.BoundedSemaphore(_PROCESSES)
        self._lock = threading.Lock()
        self._idle: list[QueryProcess] = []
        self._all: set[QueryProcess] = set()
        self._asking: set[_Asker] = set()
        self._threads: ThreadPoolExecutor | None = None
        self._owner = os.getpid()
        self._finalizer = weakref.finalize(self, _end_all, self._all)

    def run(self, source: TableSource, sql: str, *, rows: int | None = None) -> QueryResult:
        """The result of one statement over the tables that are there when it runs; blocks.

        rows: instead of the limit. Errors: ToolError, which says how to correct the statement; MissingExtra.
        """
        return self._run(source, sql, self.limits.max_rows if rows is None else rows, _Asker())

    async def arun(self, source: TableSource, sql: str, *, rows: int | None = None) -> QueryResult:
        """`run` for whoever may not block. One that is cancelled is stopped; before its turn, it never starts."""
        asker = _Asker()
        most = self.limits.max_rows if rows is None else rows
        work = asyncio.get_running_loop().run_in_executor(
            self._pool(), copy_context().run, self._run, source, sql, most, asker
        )
        try:
            return await work
        except asyncio.CancelledError:
            asker.leave()
            task = asyncio.current_task()
            if task is not None and not task.cancelling():  # `close` took it off the queue
                raise _closed() from None
            raise

    def close(self) -> None:
        """Stop what runs or waits, and end all processes. Later queries start new ones."""
        with self._lock:
            threads, self._threads = self._threads, None
            idle, self._idle = self._idle, []
            asking = tuple(self._asking)
            self._all.clear()
        if threads is not None:
            threads.shutdown(wait=False, cancel_futures=True)
        for asker in asking:
            asker.leave()  # the thread that works for it sees to the rest
        for process in idle:
            process.end()

    def _run(self, source: TableSource, sql: str, rows: int, asker: _Asker) -> QueryResult:
        if len(sql) > MAX_SQL:
            raise ToolError(f"The statement is longer than {MAX_SQL} characters", remedy="Write a shorter one")
        began = monotonic()
        with self._present(asker), self._free:
            for _ in range(_TRIES):
                tables = named(source.listed())
                answer = self._answer(tables, source, sql, rows, asker)
                if answer is None or not _still_there(source, answer):
                    continue  # a table changed or went while it was read: what is there now counts
                return _result(answer, tables, self.limits, seconds=monotonic() - began)
        raise ToolError("The tables change faster than they can be read", remedy="Try again in a moment")

    def _answer(
        self, tables: Sequence[NamedTable], source: TableSource, sql: str, rows: int, asker: _Asker
    ) -> Mapping[str, object] | None:
        """What the process says; None if a table is gone. Where other tables took the memory, it is tried without."""
        while True:
            if asker.left:
                raise _closed()
            process = self._take(tables)
            crowded = False
            try:
                asker.served_by(process)
                answer = process.ask(sql, rows, tables, source)
                if answer is not None and answer.get("error") == "memory":
                    given = answer.get("given")
                    crowded = isinstance(given, list) and not process.loaded <= set(given)
                    process.end()
            except BaseException:
                process.end()
                raise
            finally:
                asker.served_by(None)
                self._give_back(process)
            if not crowded:
                return answer

    @contextmanager
    def _present(self, asker: _Asker) -> Iterator[None]:
        with self._lock:
            self._asking.add(asker)
        try:
            yield
        finally:
            with self._lock:
                self._asking.discard(asker)

    def _take(self, tables: Sequence[NamedTable]) -> QueryProcess:
        with self._lock:
            self._forget_after_fork()
            for dead in [one for one in self._idle if not one.alive]:
                self._idle.remove(dead)
                self._all.discard(dead)
                dead.end()
            fitting = [one for one in self._idle if one.fits(tables)]
            if fitting:
                found = max(fitting, key=lambda one: len(one.loaded))
                self._idle.remove(found)
                return found
            while self._idle and len(self._all) >= _PROCESSES:
                oldest = self._idle.pop(0)
                self._all.discard(oldest)
                oldest.end()
        made = QueryProcess(self.limits)
        with self._lock:
            self._all.add(made)
        return made

    def _give_back(self, process: QueryProcess) -> None:
        with self._lock:
            if process.alive and process in self._all:
                self._idle.append(process)
                return
            self._all.discard(process)
        process.end()

    def _pool(self) -> ThreadPoolExecutor:
        with self._lock:
            self._forget_after_fork()
            if self._threads is None:
                self._threads = ThreadPoolExecutor(_PROCESSES, thread_name_prefix="sourcebook-sql")
            return self._threads

    def _forget_after_fork(self) -> None:
        """Processes and threads belong to the parent."""
        if self._owner != os.getpid():
            self._owner = os.getpid()
            self._idle.clear()
            self._all.clear()
            self._asking.clear()
            self._threads = None


class _Asker:
    """Who waits for a query. It may leave: then the process that works for it is killed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: QueryProcess | None = None
        self.left = False

    def served_by(self, process: QueryProcess | None) -> None:
        with self._lock:
            self._process = process
            if self.left and process is not None:
                process.stop()

    def leave(self) -> None:
        with self._lock:
            self.left = True
            if self._process is not None:
                self._process.stop()


def _still_there(source: TableSource, answer: Mapping[str, object]) -> bool:
    given = answer.get("given")
    return not given or (isinstance(given, list) and set(given) <= {one.key for one in source.listed()})


def _result(
    answer: Mapping[str, object], tables: Sequence[NamedTable], limits: QueryLimits, *, seconds: float
) -> QueryResult:
    if "error" in answer:
        _fail(str(answer["error"]), str(answer.get("message", "")), tables, limits)
    columns, rows, used, given = (_list(answer.get(name)) for name in ("columns", "rows", "used", "given"))
    kinds = tuple(Column(name=name, type=kind) for name, kind in columns)
    return QueryResult(
        columns=kinds,
        rows=tuple(tuple(_value(cell, kind.type) for cell, kind in zip(row, kinds, strict=True)) for row in rows),
        used=tuple(one for one in tables if one.table.key in used),
        given=tuple(one for one in tables if one.table.key in given),
        cut=_CUTS.get(str(answer.get("more")), "").format(rows=len(rows)),
        seconds=round(seconds, 6),
    )


def _list(found: object) -> list[Any]:
    if not isinstance(found, list):
        raise ToolError("The process for SQL gave no result", remedy="Try again")
    return found


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
    if kind == "load":
        why = message or "it took too long"
        raise ToolError(f"A table could not be loaded: {why}", remedy="Use other tables; the statement is not to blame")
    if kind == "closed":
        raise _closed()
    raise ToolError("The query broke the process that ran it", remedy="Write it in a simpler way")


def _closed() -> ToolError:
    return ToolError("The query was stopped", remedy="Ask again")


def _value(cell: object, kind: str) -> Value:
    if isinstance(cell, str):
        return Decimal(cell) if _DECIMAL.fullmatch(kind) else float(cell) if kind in ("DOUBLE", "FLOAT") else cell
    return cell if cell is None or isinstance(cell, (bool, int, float)) else str(cell)


def _end_all(processes: set[QueryProcess]) -> None:
    for process in tuple(processes):
        process.end()
