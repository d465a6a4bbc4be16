"""What a vendor's own types find wrong with a request: wrong values, missing fields, and fields they do not know."""

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any


def types_find(wanted: Any, body: Mapping[str, Any], *, besides: Iterable[str] = ()) -> str:
    """The first fault, or "". wanted: a TypedDict. besides: top-level fields that it does not name but may be there."""
    from pydantic import ValidationError

    asked = {name: value for name, value in body.items() if name not in set(besides)}
    try:
        read = _plain(_adapter(wanted).validate_python(asked))
    except ValidationError as error:
        return str(error)
    return _difference(asked, read, "request")


def prepare(*wanted: Any) -> None:
    """Make ready what takes its time, so that no request waits for it."""
    for one in wanted:
        _adapter(one)


@cache
def _adapter(wanted: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(wanted)


def _plain(value: Any) -> Any:
    """With the iterators that pydantic validates only when they are run through."""
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        return [_plain(one) for one in value]
    return value


def _difference(asked: Any, read: Any, place: str) -> str:
    """What was not read: typed dictionaries pass over the fields that they do not know."""
    if isinstance(asked, Mapping) and isinstance(read, Mapping):
        for name, value in asked.items():
            if name not in read:
                return f"{place} has no {name!r}"
            if found := _difference(value, read[name], f"{place}.{name}"):
                return found
        return ""
    if isinstance(asked, list) and isinstance(read, list) and len(asked) == len(read):
        for number, (one, other) in enumerate(zip(asked, read, strict=True)):
            if found := _difference(one, other, f"{place}[{number}]"):
                return found
        return ""
    return "" if asked == read else f"{place} is {asked!r}, and was read as {read!r}"


def models_find(wanted: Any, value: Any, place: str = "request") -> str:
    """The same with pydantic models, which take fields that they do not know without a word. wanted: a type."""
    from pydantic import ValidationError

    try:
        return _unknown(_adapter(wanted).validate_python(value), place)
    except ValidationError as error:
        return f"{place}: {error}"


def _unknown(value: Any, place: str) -> str:
    from pydantic import BaseModel

    if isinstance(value, BaseModel):
        if value.model_extra:
            return f"{place} has no {sorted(value.model_extra)}"
        parts = [(name, getattr(value, name)) for name in type(value).model_fields]
    elif isinstance(value, list | tuple):
        parts = [(str(number), one) for number, one in enumerate(value)]
    else:
        return ""
    return next(filter(None, (_unknown(one, f"{place}.{name}") for name, one in parts)), "")


def dumps_find(wanted: Any, body: Mapping[str, Any]) -> str:
    """The same with pydantic models that drop what they do not know. wanted: a model."""
    from pydantic import ValidationError

    try:
        read = wanted.model_validate(body).model_dump(mode="json", by_alias=True, exclude_unset=True)
    except ValidationError as error:
        return str(error)
    return _difference(body, read, "request")
