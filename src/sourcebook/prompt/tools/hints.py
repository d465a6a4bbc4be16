"""Python type hints as JSON Schema, and JSON values back as what the hints say.

    None bool int float str Any                       as they are; 5.0 is an int where one is wanted
    Literal, Enum, Optional, unions                   enum, anyOf; an enum stands under the values of its members
    list set frozenset tuple dict, their abstractions array, object
    date, time, datetime, UUID, Decimal, Path         strings, with their format
    dataclasses, TypedDict, NamedTuple                objects with their fields, defaults and, if need be, recursion
    Annotated[hint, "what it is"]                     the description; bounds of `annotated-types` where they are used
    pydantic models                                   by their own schema and validation

Whatever else is asked for is a ToolError when the schema is made, not when a model calls.
"""

from __future__ import annotations

import types
from collections import abc
from dataclasses import MISSING, Field, fields, is_dataclass
from datetime import date, datetime, time
from decimal import Decimal, InvalidOperation
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, NewType, Union, get_args, get_origin, get_type_hints, is_typeddict
from uuid import UUID

from sourcebook.errors import ToolError

_PLAIN: dict[object, dict[str, object]] = {
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
    None: {"type": "null"},
    type(None): {"type": "null"},
    Any: {},
    object: {},
    date: {"type": "string", "format": "date"},
    time: {"type": "string", "format": "time"},
    datetime: {"type": "string", "format": "date-time"},
    UUID: {"type": "string", "format": "uuid"},
    Decimal: {"type": "string", "description": "A decimal number, as text"},
    Path: {"type": "string"},
    list: {"type": "array"},
    tuple: {"type": "array"},
    set: {"type": "array", "uniqueItems": True},
    frozenset: {"type": "array", "uniqueItems": True},
    dict: {"type": "object"},
}
_FROM_TEXT: dict[object, Any] = {
    date: date.fromisoformat,
    time: time.fromisoformat,
    datetime: datetime.fromisoformat,
    UUID: UUID,
    Decimal: Decimal,
    Path: Path,
}
_LISTS: dict[object, Any] = {
    list: list,
    set: set,
    frozenset: frozenset,
    abc.Sequence: list,
    abc.MutableSequence: list,
    abc.Iterable: list,
    abc.Collection: list,
    abc.Set: frozenset,
    abc.MutableSet: set,
}
_OBJECTS = (dict, abc.Mapping, abc.MutableMapping)
_BOUNDS = {
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
    "multiple_of": "multipleOf",
}


class Schemas:
    """Makes the schemas of one tool. definitions: of types that contain themselves, by the names that refer to them."""

    def __init__(self, place: str) -> None:
        self.definitions: dict[str, object] = {}
        self._place = place
        self._open: dict[type, str] = {}
        self._recursive: set[str] = set()

    def of(self, hint: Any) -> dict[str, object]:
        """The JSON Schema of a hint. Errors: ToolError, which names the place and the hint."""
        if isinstance(hint, NewType):
            return self.of(hint.__supertype__)
        if _hashable(hint) and hint in _PLAIN:
            return dict(_PLAIN[hint])
        origin, arguments = get_origin(hint), get_args(hint)
        if origin is Annotated:
            return self._annotated(arguments)
        if origin in (Union, types.UnionType):
            return self._union(arguments)
        if origin is Literal:
            return _one_of([one.value if isinstance(one, Enum) else one for one in arguments])
        if origin is tuple:
            return self._tuple(arguments)
        if origin in _LISTS:
            unique: dict[str, object] = {"uniqueItems": True} if _LISTS[origin] in (set, frozenset) else {}
            return {"type": "array", "items": self.of(arguments[0]), **unique}
        if origin in _OBJECTS:
            if arguments[0] is not str:
                raise self._unknown(hint, "JSON objects have keys of type str")
            return {"type": "object", "additionalProperties": self.of(arguments[1])}
        if isinstance(hint, type):
            return self._class(hint)
        raise self._unknown(hint)

    def _class(self, kind: type) -> dict[str, object]:
        if issubclass(kind, Enum):
            if not all(isinstance(member.value, str | int | float) for member in kind):
                raise self._unknown(kind, "its values have no counterpart in JSON")
            return _one_of([member.value for member in kind])
        if _is_pydantic(kind):
            return self._pydantic(kind)
        if not (is_dataclass(kind) or is_typeddict(kind) or _is_namedtuple(kind)):
            raise self._unknown(kind)
        if kind in self._open:
            self._recursive.add(self._open[kind])
            return {"$ref": f"#/$defs/{self._open[kind]}"}
        name = kind.__name__ if kind.__name__ not in self.definitions else f"{kind.__module__}.{kind.__qualname__}"
        self._open[kind] = name
        made = self._fields(kind)
        del self._open[kind]
        if name not in self._recursive:
            return made
        self.definitions[name] = made
        return {"$ref": f"#/$defs/{name}"}

    def _fields(self, kind: type) -> dict[str, object]:
        properties: dict[str, object] = {}
        required: list[str] = []
        for name, hint, default in members(kind):
            properties[name] = with_default(self.of(hint), default)
            if default is MISSING:
                required.append(name)
        made: dict[str, object] = {"type": "object", "properties": properties, "additionalProperties": False}
        if required:
            made["required"] = required
        if kind.__doc__ and not kind.__doc__.startswith(f"{kind.__name__}("):  # what dataclass itself would write
            made["description"] = kind.__doc__.strip().partition("\n")[0]
        return made

    def _pydantic(self, kind: Any) -> dict[str, object]:
        made: dict[str, object] = kind.model_json_schema()
        definitions = made.pop("$defs", {})
        assert isinstance(definitions, dict)
        for name, definition in definitions.items():
            if self.definitions.setdefault(name, definition) != definition:
                raise self._unknown(kind, f"two of its types are called {name}")
        return made

    def _annotated(self, arguments: tuple[Any, ...]) -> dict[str, object]:
        made = self.of(arguments[0])
        for note in arguments[1:]:
            said = note if isinstance(note, str) else getattr(note, "documentation", None)
            if said is None:
                said = getattr(note, "description", None)
            if isinstance(said, str):
                made["description"] = said
            for bound, keyword in _BOUNDS.items():
                if isinstance(value := getattr(note, bound, None), int | float):
                    made[keyword] = value
            text = made.get("type") == "string"
            if isinstance(value := getattr(note, "min_length", None), int):
                made["minLength" if text else "minItems"] = value
            if isinstance(value := getattr(note, "max_length", None), int):
                made["maxLength" if text else "maxItems"] = value
        return made

    def _union(self, arguments: tuple[Any, ...]) -> dict[str, object]:
        return {"anyOf": [self.of(one) for one in arguments]}

    def _tuple(self, arguments: tuple[Any, ...]) -> dict[str, object]:
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return {"type": "array", "items": self.of(arguments[0])}
        length = len(arguments)
        items = [self.of(one) for one in arguments]
        return {"type": "array", "prefixItems": items, "minItems": length, "maxItems": length}

    def _unknown(self, hint: object, why: str = "it has no counterpart in JSON") -> ToolError:
        return ToolError(f"{self._place}: the type {hint} cannot be offered to a model: {why}", remedy="Use another")


def converted(value: Any, hint: Any) -> Any:
    """The JSON value as what the hint says. Errors: ValueError if it is not of that type."""
    if isinstance(hint, NewType):
        return converted(value, hint.__supertype__)
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return converted(value, arguments[0])
    if hint in (Any, object):
        return value
    if origin in (Union, types.UnionType):
        return _first_that_fits(value, arguments)
    if origin is Literal:
        return next(one for one in arguments if _equal(one.value if isinstance(one, Enum) else one, value))
    if hint in (list, tuple, set, frozenset) or origin in _LISTS or origin is tuple:
        return _collected(value, hint, origin, arguments)
    if hint is dict or origin in _OBJECTS:
        _must(isinstance(value, dict), value, hint)
        return {key: converted(one, arguments[1]) for key, one in value.items()} if arguments else value
    if hint in _FROM_TEXT:
        _must(isinstance(value, str), value, hint)
        try:
            return _FROM_TEXT[hint](value)
        except InvalidOperation as error:
            raise ValueError(f"{value!r} is no number") from error
    if isinstance(hint, type) and hint not in _PLAIN:
        return _made(value, hint)
    return _plain(value, hint)


def members(kind: type) -> list[tuple[str, Any, Any]]:
    """(name, hint, default or MISSING) of the fields of a dataclass, TypedDict or NamedTuple."""
    hints = get_type_hints(kind, include_extras=True)
    if is_dataclass(kind):
        return [(one.name, hints[one.name], _default(one)) for one in fields(kind) if one.init]
    if is_typeddict(kind):
        required: frozenset[str] = vars(kind)["__required_keys__"]
        return [(name, _bare(hint), MISSING if name in required else None) for name, hint in hints.items()]
    defaults: dict[str, object] = getattr(kind, "_field_defaults", {})
    return [(name, hint, defaults.get(name, MISSING)) for name, hint in hints.items()]


def with_default(schema: dict[str, object], default: object) -> dict[str, object]:
    """The schema with its default noted, if that is a JSON value."""
    if isinstance(default, Enum):
        default = default.value
    if default is MISSING or not isinstance(default, str | int | float | bool | list | dict):
        return schema
    return {**schema, "default": default}


def _made(value: Any, kind: Any) -> Any:
    if issubclass(kind, Enum):
        return kind(value)
    if _is_pydantic(kind):
        return kind.model_validate(value)
    _must(isinstance(value, dict), value, kind)
    made = {name: converted(value[name], hint) for name, hint, _ in members(kind) if name in value}
    return made if is_typeddict(kind) else kind(**made)


def _plain(value: Any, hint: Any) -> Any:
    if hint is int and isinstance(value, float) and value.is_integer():
        return int(value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    kind = type(None) if hint is None else hint
    _must(type(value) is kind, value, kind)
    return value


def _collected(value: Any, hint: Any, origin: Any, arguments: tuple[Any, ...]) -> Any:
    _must(isinstance(value, list), value, hint)
    if origin is tuple and not (len(arguments) == 2 and arguments[1] is Ellipsis):
        _must(len(value) == len(arguments), value, hint)
        return tuple(converted(one, each) for one, each in zip(value, arguments, strict=True))
    make = tuple if hint is tuple or origin is tuple else _LISTS[origin or hint]
    return make(converted(one, arguments[0]) for one in value) if arguments else make(value)


def _first_that_fits(value: Any, choices: tuple[Any, ...]) -> Any:
    for exact in (True, False):  # 5 is an int before it is a float, and text is a date before it is text
        for hint in sorted(choices, key=lambda one: one is str):
            if exact and hint is float and not isinstance(value, float):
                continue
            try:
                return converted(value, hint)
            except (ValueError, TypeError, StopIteration):
                continue
    raise ValueError(f"{value!r} is none of {choices}")


def _must(holds: bool, value: object, hint: object) -> None:
    if not holds:
        raise ValueError(f"{value!r} is no {getattr(hint, '__name__', hint)}")


def _one_of(values: list[object]) -> dict[str, object]:
    kinds: dict[type, str] = {str: "string", int: "integer", bool: "boolean", float: "number", type(None): "null"}
    kind = {kinds.get(type(value)) for value in values}
    only = next(iter(kind)) if len(kind) == 1 else None
    return {"type": only, "enum": values} if only else {"enum": values}


def _equal(one: object, other: object) -> bool:
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _default(one: Field[Any]) -> Any:
    return one.default_factory() if one.default_factory is not MISSING else one.default


def _bare(hint: Any) -> Any:
    """Without Required[...] or NotRequired[...]."""
    return get_args(hint)[0] if getattr(get_origin(hint), "_name", "") in ("Required", "NotRequired") else hint


def _is_pydantic(kind: type) -> bool:
    return callable(getattr(kind, "model_json_schema", None)) and callable(getattr(kind, "model_validate", None))


def _is_namedtuple(kind: type) -> bool:
    return issubclass(kind, tuple) and hasattr(kind, "_fields")


def _hashable(hint: object) -> bool:
    try:
        hash(hint)
    except TypeError:
        return False
    return True
