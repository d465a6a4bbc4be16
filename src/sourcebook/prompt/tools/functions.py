"""Python functions as tools: what a model may pass is read off their type hints and docstrings.

`FunctionTools([price])` offers the function `price(product: str, currency: Literal["EUR", "USD"] = "EUR")` with the
first lines of its docstring, and with what the docstring says of `product` and `currency` (in the styles of Google,
numpy and Sphinx, and as `product: its name`), where no `Annotated` hint does.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from contextvars import copy_context
from dataclasses import MISSING, asdict, is_dataclass
from datetime import date, time
from enum import Enum
from threading import Thread
from typing import Any, get_type_hints

from sourcebook.errors import ToolError
from sourcebook.models.base import Tool
from sourcebook.prompt.tools.base import ToolResult
from sourcebook.prompt.tools.hints import Schemas, converted, with_default


class FunctionTools:
    """A toolbox of functions, sync or async; a function's name is its tool's name.

    Sync functions run in threads of their own: one that is stopped by a time limit runs on, unheeded, and holds up
    neither the others nor the end of the program. What they return becomes text: text as it is, everything else as
    JSON; a ToolResult is passed on. What they raise becomes a failed result. Errors: ToolError if a function cannot
    be described.
    """

    def __init__(self, functions: Sequence[Callable[..., Any]]) -> None:
        described = [_described(function) for function in functions]
        self._functions = {tool.name: function for tool, function in zip(described, functions, strict=True)}
        self._tools = tuple(described)

    @property
    def tools(self) -> tuple[Tool, ...]:
        """One for each function, in their order."""
        return self._tools

    async def call(self, name: str, arguments: str) -> ToolResult:
        """Run a function. arguments: JSON text of its arguments by name. Errors: ToolError."""
        if name not in self._functions:
            raise ToolError(f"There is no function {name!r}", remedy=f"There are: {', '.join(self._functions)}")
        function = self._functions[name]
        given, named = _arguments(function, json.loads(arguments or "{}"))
        try:
            if _is_async(function):
                value = await function(*given, **named)
            else:
                value = await _in_thread(lambda: function(*given, **named))
                if inspect.isawaitable(value):
                    value = await value
        except ToolError as error:
            return ToolResult(text=str(error), failed=True)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            return ToolResult(text=f"{name} cancelled itself: {error}", failed=True)
        except (Exception, SystemExit) as error:  # the model is told, and may do better
            return ToolResult(text=f"{name} raised {type(error).__name__}: {error}", failed=True)
        return value if isinstance(value, ToolResult) else ToolResult(text=as_text(value))

    async def close(self) -> None:
        """Nothing is held."""


def as_text(value: object) -> str:
    """What a function returned, for a model to read: text as it is, everything else as JSON."""
    if isinstance(value, str):
        return value
    if value is None:
        return "Done; it returned nothing."
    return json.dumps(_plain(value), ensure_ascii=False)


# --- a function's description -------------------------------------------------------------------------------


def _described(function: Callable[..., Any]) -> Tool:
    name = getattr(function, "__name__", type(function).__name__)
    if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
        raise ToolError(f"{name} is a generator", remedy="Let it return a list")
    described = Schemas(name)
    signature = inspect.signature(function)
    text, explained = _documentation(inspect.getdoc(_hinted(function)) or "", signature.parameters)
    properties: dict[str, object] = {}
    required: list[str] = []
    hints = _hints(function)
    for parameter in signature.parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise ToolError(f"{name} takes *{parameter.name}", remedy="Name every parameter that a model may pass")
        if parameter.name not in hints:
            raise ToolError(f"{name}: the parameter {parameter.name} has no type hint", remedy="Write one")
        schema = described.of(hints[parameter.name])
        if parameter.name in explained:
            schema.setdefault("description", explained[parameter.name])
        if parameter.default is parameter.empty:
            required.append(parameter.name)
        properties[parameter.name] = with_default(schema, _default(parameter))
    parameters: dict[str, object] = {"type": "object", "properties": properties, "additionalProperties": False}
    if required:
        parameters["required"] = required
    if described.definitions:
        parameters["$defs"] = described.definitions
    return Tool(name=name, description=text or name.replace("_", " "), parameters=parameters)


def _default(parameter: inspect.Parameter) -> object:
    return MISSING if parameter.default is parameter.empty else parameter.default


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return get_type_hints(_hinted(function), include_extras=True)
    except NameError as error:
        name = getattr(function, "__name__", function)
        raise ToolError(f"A type hint of {name} cannot be resolved: {error}", remedy="Import the type") from error


def _hinted(function: Callable[..., Any]) -> Any:
    """Where the hints and the docstring stand: at the function, or at the `__call__` of an object that is one."""
    return function if inspect.isroutine(function) or inspect.isclass(function) else type(function).__call__


_PARAMETER = re.compile(  # "name: what", "name (int): what", ":param int name: what"; "name : int" has what below it
    r"\s*(?::param\s+(?:[^:\s]+\s+)?(?P<sphinx>\w+):|(?P<name>\*{0,2}\w+)(?:\s*\([^)]*\))?(?P<numpy>\s?):)\s*(?P<text>.*)"
)
_LABEL = re.compile(r"\s*:?[A-Za-z][ \w]*:|\s*-{3,}\s*$|\s*(?:Parameters|Returns|Raises|Yields|Examples?|Notes)\s*$")


def _documentation(text: str, parameters: Collection[str]) -> tuple[str, dict[str, str]]:
    """(what the function does, what its parameters are), of a docstring in any of the usual styles."""
    description: list[str] = []
    explained: dict[str, str] = {}
    current = ""
    ended = False  # the description ends where parameters or sections begin
    for line in text.splitlines():
        match = _PARAMETER.fullmatch(line)
        name = (match["sphinx"] or match["name"]).lstrip("*") if match else ""
        if match and name in parameters:
            current, ended = name, True
            explained[name] = "" if match["numpy"] else match["text"].strip()
        elif _LABEL.match(line) and (ended or line.rstrip().endswith((":", "-")) or ":" not in line):
            current, ended = "", True
        elif current and line.strip():
            explained[current] = f"{explained[current]} {line.strip()}".strip()
        elif not ended:
            description.append(line.strip())
        else:
            current = ""
    return "\n".join(description).strip(), {name: said for name, said in explained.items() if said}


# --- a call -------------------------------------------------------------------------------------------------


def _arguments(function: Callable[..., Any], values: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """The values as positional and named arguments, each of the type that its hint says."""
    hints = _hints(function)
    given: list[Any] = []
    named: dict[str, Any] = {}
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name in values:
            try:
                value = converted(values[parameter.name], hints[parameter.name])
            except (ValueError, TypeError, StopIteration) as error:
                raise ToolError(f"{parameter.name}: {error}", remedy="Correct it and call again") from error
        elif parameter.default is parameter.empty:
            raise ToolError(f"{parameter.name} is missing", remedy="Pass it and call again")
        else:
            value = parameter.default
        if parameter.kind is parameter.POSITIONAL_ONLY:
            given.append(value)
        elif parameter.name in values:
            named[parameter.name] = value
    return given, named


def _is_async(function: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004
    )


async def _in_thread(work: Callable[[], Any]) -> Any:
    """Run in a thread that ends with the program, however long it takes, with the caller's context."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Any] = loop.create_future()
    context = copy_context()

    def settle(value: Any, error: Exception | None) -> None:
        if not done.done():
            done.set_result(value) if error is None else done.set_exception(error)

    def run() -> None:
        value: Any = None
        failure: Exception | None = None
        try:
            value = context.run(work)
        except StopIteration as error:  # no future takes it
            failure = RuntimeError(f"StopIteration: {error}")
        except Exception as error:
            failure = error
        except BaseException as error:  # which would end the loop, and is about that thread alone
            failure = RuntimeError(f"{type(error).__name__}: {error}")
        try:
            loop.call_soon_threadsafe(settle, value, failure)
        except RuntimeError:  # nobody waits: the loop is closed
            return

    Thread(target=run, name="sourcebook-tool", daemon=True).start()
    return await done


def _plain(value: Any) -> Any:
    """A value as JSON has it, whatever the keys of its mappings are."""
    if isinstance(value, Enum):
        return _plain(value.value)
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, Mapping):
        return {_key(key): _plain(one) for key, one in value.items()}
    if isinstance(value, set | frozenset):
        return [_plain(one) for one in sorted(value, key=str)]
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if callable(dump := getattr(value, "model_dump", None)):  # pydantic
        return dump(mode="json")
    return str(value)


def _key(key: Any) -> Any:
    plain = _plain(key)
    if plain is None or isinstance(plain, str | bool | int | float):
        return plain  # which `json` writes as it does
    return json.dumps(plain, ensure_ascii=False)
