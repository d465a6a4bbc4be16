"""The tools of a book: those that the settings name and those that the program brings, as one set for each question."""

from __future__ import annotations

import asyncio
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict
from time import monotonic
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from sourcebook.errors import ConfigError, ToolError
from sourcebook.filters import parse_filter
from sourcebook.registry import attribute_of, name_of

if TYPE_CHECKING:
    from sourcebook.book import Sourcebook as Book
    from sourcebook.prompt.tools.base import Toolbox, Toolboxes
    from sourcebook.prompt.tools.query import TableQueries
    from sourcebook.types import Hit, Question

_SHARE: Final = 0.25  # of a question's time, for reaching services
_AGAIN: Final = 30.0  # seconds after which a service that could not be reached is tried again


class BookTools:
    """Opens what `agent.tools` names when a question first needs it, and closes it with the book.

    search                         the book itself
    tables                         SQL over the tables of its documents
    python:package.module:function a Python function, by its type hints
    openapi:PATH-OR-URL            a web service, by its OpenAPI description: what reads
    mcp:URL, mcp:COMMAND           an MCP server; mcp:URL#VARIABLE names the variable that holds its token
    """

    def __init__(self, book: Book) -> None:
        self._book = book
        self._own: list[Toolbox] = []
        self._opened: dict[str, asyncio.Task[Toolbox]] = {}
        self._failed: dict[str, tuple[float, ToolError]] = {}  # when, by time.monotonic(), and why
        self._queries: TableQueries | None = None

    def add(self, box: Toolbox) -> None:
        """Give the model the tools of a box as well, besides those of the settings; it is closed with the book."""
        self._own.append(box)

    @property
    def some(self) -> bool:
        """Whether a model that generates has tools."""
        return bool(self._own or self._book.config.agent.tools)

    async def for_question(self, question: Question) -> Toolboxes:
        """All tools, bound to what the asker may see.

        A service that cannot be reached, or not within the time of a call and a quarter of what the question has left,
        is left out of this answer (`Toolboxes.missing`). Errors: ConfigError, MissingExtra; ToolError if two boxes of
        the program clash.
        """
        from sourcebook.prompt.tools.base import CallLimits, Toolboxes

        settings = self._book.config.agent
        seconds = settings.tool_seconds
        if question.deadline is not None:
            seconds = max(0.0, min(seconds, _SHARE * (question.deadline - monotonic())))
        missing = await self._open(settings.tools, seconds)
        boxes: list[tuple[str, Toolbox]] = []
        for spec in settings.tools:
            if name_of(spec) in _BOUND:
                boxes.append((spec, _BOUND[name_of(spec)](self, question)))
            elif spec not in missing:
                boxes.append((spec, self._opened[spec].result()))
        limits = CallLimits(seconds=settings.tool_seconds, characters=settings.tool_characters)
        notes = tuple(f"without the tools of {spec}: {why}" for spec, why in missing.items())
        return Toolboxes([*_told_apart(boxes), *self._own], limits=limits, missing=notes)

    async def _open(self, specs: Sequence[str], seconds: float) -> Mapping[str, str]:
        """Open what is not open yet, all at once; for what cannot be reached (in time), why. Errors: ConfigError."""
        for spec in specs:
            kind = name_of(spec)
            if kind not in _BOUND and kind not in _SHARED:
                known = ", ".join([*_BOUND, *_SHARED])
                raise ConfigError(f"agent.tools has {spec!r}, which is no tool", remedy=f"Known: {known}")
        shared = dict.fromkeys(spec for spec in specs if name_of(spec) in _SHARED)
        now = monotonic()
        missing = {
            spec: str(self._failed[spec][1])
            for spec in shared
            if spec in self._failed and now - self._failed[spec][0] < _AGAIN
        }
        opening = {
            spec: self._opened.get(spec) or self._opened.setdefault(spec, asyncio.create_task(_opened(spec)))
            for spec in shared
            if spec not in missing
        }
        waiting = [task for task in opening.values() if not task.done()]
        if waiting:
            await asyncio.wait(waiting, timeout=seconds)  # one question's end is not the end of an opening
        for spec, task in opening.items():
            if not task.done():
                missing[spec] = f"it was not reached within {seconds:.3g} seconds"
                continue
            failure = task.exception()
            if failure is not None and self._opened.get(spec) is task:
                del self._opened[spec]
            if isinstance(failure, ToolError):
                self._failed[spec] = (monotonic(), failure)
                missing[spec] = str(failure)
            elif failure is not None:
                raise failure
        return missing

    def search(self, question: Question) -> Toolbox:
        """The book, within the scope and the filter of the question."""
        from sourcebook.prompt.tools.search import SearchTool
        from sourcebook.types import And

        async def search(text: str, top: int, where: str | None) -> list[Hit]:
            filters = [one for one in (question.filter, parse_filter(where) if where else None) if one is not None]
            both = And(tuple(filters)) if len(filters) == 2 else (filters[0] if filters else None)
            return await self._book.search(text, top=top, scope=question.scope, where=both)

        return SearchTool(search, top=self._book.config.answer.passages)

    def tables(self, question: Question) -> Toolbox:
        """The tables of the documents that the asker may see, within the filter of the question."""
        from sourcebook.catalog.tables import ScopedTables
        from sourcebook.prompt.tools.query import QueryLimits, TableQueries
        from sourcebook.prompt.tools.tables import TableTools

        if self._queries is None:
            self._queries = TableQueries(QueryLimits(**asdict(self._book.config.tables)))
        return TableTools(ScopedTables(self._book.catalog, question.scope, question.filter), self._queries)

    async def close(self) -> None:
        """Close what was opened and what was added, all of it; the first error is raised then."""
        opened, self._opened = self._opened, {}
        queries, self._queries = self._queries, None
        async with AsyncExitStack() as stack:
            if queries is not None:
                stack.callback(queries.close)
            for box in self._own:
                stack.push_async_callback(box.close)
            for task in opened.values():
                stack.push_async_callback(_close_opened, task)


async def _close_opened(task: asyncio.Task[Toolbox]) -> None:
    """Close the box of a task, which may still be opening it, or have failed to."""
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled() and task.exception() is None:
        await task.result().close()


def _told_apart(boxes: Sequence[tuple[str, Toolbox]]) -> list[Toolbox]:
    """The boxes of specs; one that has a tool of a box before it goes by longer names, made of where it is."""
    from sourcebook.prompt.tools.prefixed import Prefixed, distinct

    taken: set[str] = set()
    told: list[Toolbox] = []
    for spec, box in boxes:
        if not taken.isdisjoint(tool.name for tool in box.tools):
            box = Prefixed(box, distinct(_place_name(spec), {name.partition("_")[0] for name in taken}) + "_")
        taken.update(tool.name for tool in box.tools)
        told.append(box)
    return told


def _place_name(spec: str) -> str:
    """A short name for where a spec leads: the host, the file, the program, without what is the same everywhere."""
    place = spec.partition(":")[2].partition("#")[0]
    host = urlsplit(place).hostname if "://" in place else None
    name = host.removeprefix("www.") if host else place.split()[0].rstrip("/").rpartition("/")[2].partition(".")[0]
    return re.sub(r"[^A-Za-z0-9-]", "-", name)[:24] or "other"


# --- what a spec names --------------------------------------------------------------------------------------


async def _opened(spec: str) -> Toolbox:
    return await _SHARED[name_of(spec)](spec.partition(":")[2])


async def _python(place: str) -> Toolbox:
    from sourcebook.prompt.tools.functions import FunctionTools

    try:
        function = attribute_of(place)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"The tool python:{place} cannot be found: {error}", remedy='Write "python:package.module:function"'
        ) from error
    if not callable(function):
        raise ConfigError(f"The tool python:{place} is no function", remedy='Write "python:package.module:function"')
    return FunctionTools([function])


async def _openapi(place: str) -> Toolbox:
    from sourcebook.prompt.tools.openapi import OpenApiTools, Service

    return await OpenApiTools.open(Service(description=place))


async def _mcp(place: str) -> Toolbox:
    from sourcebook.prompt.tools.mcp import McpServer, McpTools

    if place.startswith(("http://", "https://")):
        url, _, variable = place.partition("#")
        return await McpTools.open(McpServer(url=url, token_variable=variable))
    try:
        command = tuple(shlex.split(place))
    except ValueError as error:
        raise ConfigError(f"The command of mcp:{place} cannot be read: {error}", remedy="Close its quotes") from error
    return await McpTools.open(McpServer(command=command))


_BOUND: Mapping[str, Callable[[BookTools, Question], Toolbox]] = {
    "search": BookTools.search,
    "tables": BookTools.tables,
}
_SHARED = {"python": _python, "openapi": _openapi, "mcp": _mcp}
