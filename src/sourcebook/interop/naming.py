"""Objects of the user's own code, by name: "package.module:attribute"."""

from __future__ import annotations

from typing import TypeVar
from urllib.parse import parse_qsl

from sourcebook.errors import ConfigError
from sourcebook.registry import attribute_of

T = TypeVar("T")


def opened(url: str, kind: type[T], words: str) -> tuple[T, int]:
    """For "langchain:package.module:attribute?window=8192": the object, and the window, 0 if none is given.

    kind: what it is to be, in words for the error. What is none, but can be called, is called without arguments, and
    returns one. The module is imported as Python does it: from what is installed and from PYTHONPATH.
    Errors: ConfigError.
    """
    address, _, query = url.partition("?")
    window = _window(query, url)
    framework, _, place = address.partition(":")
    try:
        found = attribute_of(place)
    except ValueError as error:
        raise ConfigError(f"{url!r} names no object", remedy=f"Write {framework}:package.module:attribute") from error
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"{url!r} cannot be loaded: {error}", remedy="Check the names; set PYTHONPATH to the module's folder"
        ) from error
    if not isinstance(found, kind) and callable(found):
        found = found()
    if not isinstance(found, kind):
        raise ConfigError(f"{url!r} is a {type(found).__name__}", remedy=f"Name {words}, or a function that makes one")
    return found, window


def _window(query: str, url: str) -> int:
    window = 0
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name != "window":
            raise ConfigError(f"{url!r} has an unknown option {name!r}", remedy="Known: window (tokens)")
        if not value.isdigit() or not int(value):
            raise ConfigError(f"{url!r}: window is {value!r}", remedy="Write a number above 0")
        window = int(value)
    return window
