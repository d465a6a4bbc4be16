"""The variables of templates: as a front matter declares them, and as their values are checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Final

from sourcebook.errors import PromptError

KINDS: Final[Mapping[str, str]] = {
    "text": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "texts": "a list of texts",
    "turns": "a list of records with `role` and `text`",
    "examples": "a list of records with `question` and `answer`",
}
"""What a variable can be. Records are mappings or objects with attributes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Variable:
    """A variable as its front matter declares it; one without a default must be given."""

    name: str
    kind: str
    description: str = ""
    required: bool = True
    default: object = None


def declared(name: str, head: Mapping[str, Any]) -> list[Variable]:
    """The variables of a front matter. name: of the template. Errors: PromptError."""
    written = head.get("variables", {})
    found = []
    for key, said in written.items() if isinstance(written, dict) else ():
        where = f"The variable {key!r} of the template {name!r}"
        if not key.isidentifier() or not isinstance(said, dict) or set(said) - _SAID:
            raise PromptError(
                f"{where} is not declared well", remedy=f'Write [variables.{key}] and type = "text" below it'
            )
        kind = str(said.get("type"))
        if kind not in KINDS:
            raise PromptError(f"{where} has the type {kind!r}", remedy=f"Types are: {', '.join(KINDS)}")
        default = said.get("default")
        required = said.get("required", default is None)
        if required == (default is not None):
            raise PromptError(f"{where} must be required, or have a default", remedy="Correct its declaration")
        try:
            default = default if required else taken(default, kind)
        except TypeError as error:
            raise PromptError(f"The default of {where[4:]} is {error}", remedy=f"It must be {KINDS[kind]}") from error
        description = str(said.get("description", ""))
        found.append(Variable(name=key, kind=kind, description=description, required=required, default=default))
    return found


def taken(value: object, kind: str) -> object:
    """The value as templates see it: texts, numbers, and lists of texts or records. Errors: TypeError, what it is."""
    return _TAKE[kind](value)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(type(value).__name__)
    return str(value)


def _integer(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(type(value).__name__)
    return value


def _number(value: object) -> int | float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError(type(value).__name__)
    return value


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError(type(value).__name__)
    return value


def _texts(value: object) -> tuple[str, ...]:
    return tuple(_text(one) for one in _listed(value))


def _records(*keys: str) -> Callable[[object], tuple[dict[str, str], ...]]:
    def records(value: object) -> tuple[dict[str, str], ...]:
        return tuple({key: _text(_part(one, key)) for key in keys} for one in _listed(value))

    return records


def _listed(value: object) -> Sequence[object]:
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        raise TypeError(type(value).__name__)
    return value


def _part(record: object, key: str) -> object:
    if isinstance(record, Mapping) and key in record:
        return record[key]
    if is_dataclass(record) and any(one.name == key for one in fields(record)):
        return getattr(record, key)
    raise TypeError(f"a list with {type(record).__name__} in it that has no {key!r}")


_TAKE: Final[Mapping[str, Callable[[object], object]]] = {
    "text": _text,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "texts": _texts,
    "turns": _records("role", "text"),
    "examples": _records("question", "answer"),
}

_SAID: Final = {"type", "description", "required", "default"}
