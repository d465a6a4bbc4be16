"""`search` in our own books as a tool: what it finds is numbered and can be cited like what was given at first."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence

from sourcebook.errors import ToolError
from sourcebook.models.base import Tool
from sourcebook.prompt.tools.base import ToolResult
from sourcebook.types import Hit

Search = Callable[[str, int, str | None], Awaitable[Sequence[Hit]]]
"""(question, passages at most, filter or None) -> hits, best first, of what the asker may see and nothing else."""

_FILTER = (
    "Only documents whose metadata match, as in: type = 'pdf' and (year >= 2020 or tags in ('law', 'tax')). "
    "Leave it out unless the question says so."
)


class SearchTool:
    """A toolbox with the one tool `search`.

    search: bound to the asker's scope by whoever makes the toolbox; nothing that a model writes can widen it.
    top: passages of a search at most. fields: names of metadata that a model may filter by; none, no filter.
    """

    def __init__(self, search: Search, *, top: int = 8, fields: Sequence[str] = ()) -> None:
        self._search = search
        self._top = top
        properties: dict[str, object] = {
            "query": {"type": "string", "minLength": 1, "description": "What to look for, in whole words or a question"}
        }
        if fields:
            properties["filter"] = {"type": "string", "description": f"{_FILTER} Fields: {', '.join(fields)}."}
        self._tools = (
            Tool(
                name="search",
                description="Find the passages of the user's documents that matter most for a query, best first.",
                parameters={
                    "type": "object",
                    "properties": properties,
                    "required": ["query"],
                    "additionalProperties": False,
                },
            ),
        )

    @property
    def tools(self) -> tuple[Tool, ...]:
        """`search` alone."""
        return self._tools

    async def call(self, name: str, arguments: str) -> ToolResult:
        """Search. Errors: ToolError; FilterError if the filter cannot be understood."""
        values = json.loads(arguments or "{}")
        query = values.get("query")
        if name != "search" or not isinstance(query, str) or not query.strip():
            raise ToolError("search needs a query", remedy='Call it as {"query": "what to look for"}')
        hits = tuple(await self._search(query, self._top, values.get("filter") or None))
        if not hits:
            return ToolResult(text="Nothing was found. Other words may find more.")
        return ToolResult(text="", hits=hits)

    async def close(self) -> None:
        """Nothing is held."""
