"""The tools of a book: those that the settings name and those that the program brings, as one set for each question."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import asdict
from importlib import import_module
from typing import TYPE_CHECKING

from sourcebook.errors import ConfigError
from sourcebook.filters import parse_filter
from sourcebook.registry import name_of

if TYPE_CHECKING:
    from sourcebook.book import Sourcebook as Book
    from sourcebook.prompt.tools.base import Toolbox, Toolboxes
    from sourcebook.prompt.tools.query import TableQueries
    from sourcebook.types import Hit, Question


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
        self._opened: dict[str, Toolbox] = {}
        self._queries: TableQueries | None = None

    def add(self, box: Toolbox) -> None:
        """Give the model the tools of a box as well, besides those of the settings; it is closed with the book."""
        self._own.append(box)

    @property
    def some(self) -> bool:
        """Whether a model that generates has tools."""
        return bool(self._own or self._book.config.agent.tools)

    async def for_question(self, question: Question) -> Toolboxes:
        """All tools, bound to what the asker may see. Errors: ConfigError, MissingExtra, ToolError."""
        from sourcebook.prompt.tools.base import CallLimits, Toolboxes

        settings = self._book.config.agent
        boxes = [await self._box(spec, question) for spec in settings.tools]
        limits = CallLimits(seconds=settings.tool_seconds, characters=settings.tool_characters)
        return Toolboxes([*boxes, *self._own], limits=limits)

    async def _box(self, spec: str, question: Question) -> Toolbox:
        kind = name_of(spec)
        if kind in _BOUND:
            return _BOUND[kind](self, question)
        if kind not in _SHARED:
            raise ConfigError(
                f"agent.tools has {spec!r}, which is no tool", remedy=f"Known: {', '.join([*_BOUND, *_SHARED])}"
            )
        if spec not in self._opened:
            self._opened[spec] = await _SHARED[kind](spec.partition(":")[2])
        return self._opened[spec]

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
        """The tables of the documents that the asker may see."""
        from sourcebook.catalog.tables import ScopedTables
        from sourcebook.prompt.tools.query import QueryLimits, TableQueries
        from sourcebook.prompt.tools.tables import TableTools

        if self._queries is None:
            self._queries = TableQueries(QueryLimits(**asdict(self._book.config.tables)))
        return TableTools(ScopedTables(self._book.catalog, question.scope), self._queries)

    async def close(self) -> None:
        """Close what was opened and what was added."""
        opened, self._opened = self._opened, {}
        for box in (*opened.values(), *self._own):
            await box.close()
        if self._queries is not None:
            self._queries.close()
            self._queries = None


async def _python(place: str) -> Toolbox:
    from sourcebook.prompt.tools.functions import FunctionTools

    module, _, name = place.partition(":")
    try:
        function = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"The tool python:{place} cannot be found: {error}", remedy='Write "python:package.module:function"'
        ) from error
    return FunctionTools([function])


async def _openapi(place: str) -> Toolbox:
    from sourcebook.prompt.tools.openapi import OpenApiTools, Service

    return await OpenApiTools.open(Service(description=place))


async def _mcp(place: str) -> Toolbox:
    from sourcebook.prompt.tools.mcp import McpServer, McpTools

    if place.startswith(("http://", "https://")):
        url, _, variable = place.partition("#")
        return await McpTools.open(McpServer(url=url, token_variable=variable))
    return await McpTools.open(McpServer(command=tuple(shlex.split(place))))


_BOUND: Mapping[str, Callable[[BookTools, Question], Toolbox]] = {
    "search": BookTools.search,
    "tables": BookTools.tables,
}
_SHARED = {"python": _python, "openapi": _openapi, "mcp": _mcp}
