"""A toolbox: functions that a model may ask for, and the one way in which they are run.

    Toolbox      gives tools and runs one by name: Python functions, OpenAPI, MCP servers, search, tables
    Toolboxes    several as one: names are distinct, arguments are checked before anything runs, every call has a
                 limit of time and size, and whatever goes wrong is a result that tells the model what to correct

A result is data, never an instruction: whoever shows it to a model fences it (`prompt.fence.fenced_data`).
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

from sourcebook.errors import SourcebookError, ToolError
from sourcebook.models.base import Tool
from sourcebook.types import Hit

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import ValidationError

MAX_ARGUMENTS = 100_000
"""Characters of arguments that are read at all."""

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")  # what every vendor accepts as the name of a tool


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolResult:
    """What a call came to.

    text: for the model: the result, or if `failed`, what went wrong and how to do better.
    hits: passages that the call found, best first. They are not in `text`: whoever runs the tool numbers them, so
    that an answer can cite them as [n], and shows them to the model after it. origins: (document, its version) of
    all that `text` and `hits` were made from, so that what is remembered of them is forgotten with the documents.
    cut: whether `text` is only the beginning. seconds: how long it took.
    """

    text: str
    failed: bool = False
    hits: tuple[Hit, ...] = ()
    origins: frozenset[tuple[str, int]] = frozenset()
    cut: bool = False
    seconds: float = 0.0


class Toolbox(Protocol):
    """Functions that a model may ask for. `tools` stays as it is once the toolbox is open.

    `call` gets arguments that obey the tool's schema when it is called by `Toolboxes`, which also bounds its time:
    it may be cancelled at any point.
    """

    @property
    def tools(self) -> tuple[Tool, ...]: ...

    async def call(self, name: str, arguments: str) -> ToolResult:
        """Run a tool. arguments: JSON text of an object. Errors: ToolError, which becomes a failed result."""
        ...

    async def close(self) -> None:
        """Let go of connections and processes."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class CallLimits:
    """What one call may take. seconds: of time; characters: of its result's text, which is cut there."""

    seconds: float = 30.0
    characters: int = 20_000


class Toolboxes:
    """Several toolboxes as one. Errors: ToolError if two tools share a name, or one is not described validly.

    missing: what is not among them for want of a connection, and why, for the answer's record.
    """

    def __init__(
        self, boxes: Sequence[Toolbox], *, limits: CallLimits | None = None, missing: Sequence[str] = ()
    ) -> None:
        self._boxes = tuple(boxes)
        self.missing = tuple(missing)
        self._limits = limits or CallLimits()
        self._places: dict[str, tuple[Tool, Toolbox]] = {}
        self._validators: dict[str, Draft202012Validator] = {}
        for box in self._boxes:
            for tool in box.tools:
                _check(tool, self._places)
                self._places[tool.name] = (tool, box)

    @property
    def tools(self) -> tuple[Tool, ...]:
        """All tools, in the order of the toolboxes."""
        return tuple(tool for tool, _ in self._places.values())

    async def call(self, name: str, arguments: str) -> ToolResult:
        """Run a tool; never raises for what the model wrote or the tool did, but gives a failed result."""
        began = monotonic()
        limit = asyncio.timeout(self._limits.seconds)
        try:
            async with limit:
                result = await self._checked_call(name, arguments)
        except SourcebookError as error:
            result = _failed(str(error))
        except Exception as error:  # whatever a tool of somebody else raises
            result = _failed(f"{name} failed: {type(error).__name__}: {error}")
            if limit.expired():
                spent = f"{self._limits.seconds:g} seconds"
                result = _failed(f"{name} took longer than {spent} and was stopped. Ask for less.")
        return replace(_cut(result, self._limits.characters), seconds=round(monotonic() - began, 6))

    async def close(self) -> None:
        """Close every toolbox, the last first, also if one of them fails."""
        for box in reversed(self._boxes):
            try:
                await box.close()
            except Exception:  # noqa: S112
                continue

    async def _checked_call(self, name: str, arguments: str) -> ToolResult:
        if name not in self._places:
            raise ToolError(f"There is no tool {name!r}", remedy=f"There are: {', '.join(self._places) or 'none'}")
        tool, box = self._places[name]
        values = read_arguments(arguments)
        validator = self._validators.get(name) or self._validators.setdefault(name, validator_of(tool))
        problems = problems_of(validator, values)
        if problems:
            raise ToolError(
                f"The arguments of {name} are not valid: {'; '.join(problems)}", remedy="Correct them and call again"
            )
        return await box.call(name, json.dumps(values, ensure_ascii=False))


# --- arguments ----------------------------------------------------------------------------------------------


def read_arguments(arguments: str) -> dict[str, object]:
    """The object that the JSON text holds; nothing at all is an empty object. Errors: ToolError."""
    if not arguments.strip():
        return {}
    if len(arguments) > MAX_ARGUMENTS:
        raise ToolError(f"The arguments are longer than {MAX_ARGUMENTS} characters", remedy="Send less")
    try:
        values = json.loads(arguments, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ToolError(f"The arguments are not JSON: {error}", remedy="Send one JSON object") from error
    if not isinstance(values, dict):
        raise ToolError(f"The arguments are a JSON {_kind(values)}", remedy="Send one JSON object")
    return values


def validator_of(tool: Tool) -> Draft202012Validator:
    """The validator of a tool's arguments; references lead nowhere but into the schema itself."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError
    from referencing import Registry

    try:
        Draft202012Validator.check_schema(tool.parameters)
    except SchemaError as error:
        raise ToolError(
            f"The parameters of the tool {tool.name} are no JSON Schema: {error.message}", remedy="Correct its schema"
        ) from error
    registry: Registry[bool | Mapping[str, Any]] = Registry()  # an empty one, and nothing is fetched
    return Draft202012Validator(tool.parameters, registry=registry)


def problems_of(validator: Draft202012Validator, values: object, *, most: int = 5) -> list[str]:
    """What is wrong with the values, each with the place that it is wrong at. Errors: ToolError."""
    from referencing.exceptions import Unresolvable

    try:
        errors = sorted(validator.iter_errors(values), key=lambda error: [str(part) for part in error.absolute_path])
    except (Unresolvable, RecursionError) as error:
        raise ToolError(f"The tool's schema cannot be followed: {error}", remedy="It is the tool's fault") from error
    return [_problem(error) for error in errors[:most]]


def _problem(error: ValidationError) -> str:
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path).lstrip(".")
    message = error.message if len(error.message) <= 300 else f"{error.message[:300]} ..."
    return f"{place}: {message}" if place else message


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON value")


def _kind(value: object) -> str:
    kinds = {list: "array", str: "string", bool: "truth value", type(None): "null"}
    return kinds.get(type(value), "number")


def _check(tool: Tool, known: dict[str, tuple[Tool, Toolbox]]) -> None:
    if not _NAME.fullmatch(tool.name):
        raise ToolError(
            f"{tool.name!r} is no name for a tool", remedy="Use up to 64 letters, digits, _ and - without spaces"
        )
    if tool.name in known:
        raise ToolError(f"Two tools are called {tool.name!r}", remedy="Give one of the toolboxes a prefix")
    if tool.parameters.get("type") != "object":
        raise ToolError(f"The parameters of the tool {tool.name} are not an object", remedy='Use {"type": "object"}')


# --- results ------------------------------------------------------------------------------------------------


def _failed(text: str) -> ToolResult:
    return ToolResult(text=text, failed=True)


def _cut(result: ToolResult, most: int) -> ToolResult:
    if len(result.text) <= most:
        return result
    note = f"\n[cut: the first {most} of {len(result.text)} characters; ask for less, or for a part, to see the rest]"
    return replace(result, text=result.text[:most] + note, cut=True)
