"""Objects of the user's own code, by name: "package.module:attribute"."""

from __future__ import annotations

from importlib import import_module
from urllib.parse import parse_qsl

from sourcebook.errors import ConfigError


def named_object(url: str) -> tuple[object, int]:
    """For "langchain:package.module:attribute?window=8192": the object, and the window, 0 if none is given.

    A function or a class is called without arguments, and what it returns is the object. The module is imported as
    Python does it: from what is installed and from PYTHONPATH. Errors: ConfigError.
    """
    address, _, query = url.partition("?")
    framework, _, path = address.partition(":")
    module_name, _, attribute = path.partition(":")
    if not module_name or not attribute:
        raise ConfigError(f"{url!r} names no object", remedy=f"Write {framework}:package.module:attribute")
    try:
        found: object = import_module(module_name)
        for name in attribute.split("."):
            found = getattr(found, name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"{url!r} cannot be loaded: {error}", remedy="Check the names; set PYTHONPATH to the module's folder"
        ) from error
    return found, _window(query, url)


def _window(query: str, url: str) -> int:
    window = 0
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name != "window":
            raise ConfigError(f"{url!r} has an unknown option {name!r}", remedy="Known: window (tokens)")
        if not value.isdigit() or not int(value):
            raise ConfigError(f"{url!r}: window is {value!r}", remedy="Write a number above 0")
        window = int(value)
    return window
