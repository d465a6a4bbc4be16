"""A toolbox whose tools go by longer names, where two toolboxes have tools of the same name."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import replace

from sourcebook.errors import ToolError
from sourcebook.models.base import Tool
from sourcebook.prompt.tools.base import Toolbox, ToolResult

_LONGEST = 64


class Prefixed:
    """The same tools, each with the prefix before its name; a name that becomes too long loses its end."""

    def __init__(self, box: Toolbox, prefix: str) -> None:
        self._box = box
        self._names: dict[str, str] = {}
        self._tools: list[Tool] = []
        for tool in box.tools:
            name = distinct(f"{prefix}{tool.name}"[:_LONGEST], self._names)
            self._names[name] = tool.name
            self._tools.append(replace(tool, name=name))

    @property
    def tools(self) -> tuple[Tool, ...]:
        """The box's, in its order."""
        return tuple(self._tools)

    async def call(self, name: str, arguments: str) -> ToolResult:
        """Have the box run it. Errors: ToolError."""
        if name not in self._names:
            raise ToolError(f"There is no tool {name!r}", remedy=f"There are: {', '.join(self._names)}")
        return await self._box.call(self._names[name], arguments)

    async def close(self) -> None:
        """Close the box."""
        await self._box.close()


def distinct(name: str, taken: Container[str]) -> str:
    """The name, or if it is taken, with the first number behind it that makes it another, in 64 characters at most."""
    count, made = 1, name
    while made in taken:
        count += 1
        made = f"{name[: _LONGEST - len(str(count)) - 1]}_{count}"
    return made
