"""Requests held against the types of a vendor's SDK, all the way down, and against the shared schemas where they are."""

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

SPECS = Path(__file__).parents[4] / "shared" / "specs"


@cache
def adapter(kind: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def finds(kind: Any, body: Mapping[str, Any]) -> str:
    """What a type (a TypedDict or a pydantic model) finds wrong with a body: fields that it does not know, too."""
    from pydantic import ValidationError

    try:
        _exhaust(adapter(kind).validate_python(dict(body)))
    except ValidationError as error:
        return str(error)
    known = _fields(kind) if hasattr(kind, "model_fields") else kind.__annotations__
    unknown = sorted(set(body) - set(known))
    return f"unknown fields: {unknown}" if unknown else ""


def _fields(kind: Any) -> set[str]:
    return {field.alias or name for name, field in kind.model_fields.items()}


def _exhaust(value: Any) -> None:
    """Iterables are validated only as they are read."""
    if isinstance(value, dict):
        for one in value.values():
            _exhaust(one)
    elif isinstance(value, list | Iterator) or type(value).__name__ == "ValidatorIterator":
        for one in value:
            _exhaust(one)
