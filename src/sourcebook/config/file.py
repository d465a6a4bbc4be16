"""The file of settings: one sourcebook.toml -> one frozen Config. The environment overrides the file.

A setting `tokens` of the section `chunk` is `SOURCEBOOK_CHUNK_TOKENS` in the environment. A list is written with commas
between, or as JSON.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

from sourcebook.config.checks import check
from sourcebook.config.sections import SECTIONS, Config
from sourcebook.errors import ConfigError

FILE = "sourcebook.toml"
_PREFIX = "sourcebook_"


def load(home: Path, environment: Mapping[str, str] | None = None) -> Config:
    """The settings of the book at `home`: defaults, then sourcebook.toml, then the environment.

    Errors: ConfigError, which names the file and the setting.
    """
    environment = os.environ if environment is None else environment
    written: dict[str, Any] = {}
    path = home / FILE
    if path.exists():
        try:
            written = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path} is not valid TOML: {error}", remedy="Correct the file") from error
        except OSError as error:
            raise ConfigError(f"{path} cannot be read: {error.strerror}", remedy="Check its permissions") from error
    if written:
        from sourcebook.models.keys import refuse_keys

        refuse_keys(written, str(path))
    for name in written:
        if name not in SECTIONS:
            raise ConfigError(f"{path} has an unknown section [{name}]", remedy=f"Known: {', '.join(SECTIONS)}")
    known = {f"{_PREFIX}{name}_".upper(): kind for name, kind in SECTIONS.items()}
    for variable in environment:
        for beginning, kind in known.items():
            name = variable.removeprefix(beginning).lower()
            if variable.startswith(beginning) and name not in {one.name for one in fields(kind)}:
                settings = ", ".join(one.name for one in fields(kind))
                raise ConfigError(f"The environment has {variable}, which is no setting", remedy=f"Known: {settings}")
    sections = {name: _section(kind, written.get(name, {}), environment, name, path) for name, kind in SECTIONS.items()}
    config = Config(**sections)
    check(config)
    return config


def _section(kind: type, written: Any, environment: Mapping[str, str], name: str, path: Path) -> Any:
    if not isinstance(written, dict):
        raise ConfigError(f"{path}: {name} must be a section", remedy=f"Write [{name}] on a line of its own")
    types = get_type_hints(kind)
    for key in written:
        if key not in types:
            raise ConfigError(f"{path}: [{name}] has no setting {key!r}", remedy=f"Known: {', '.join(types)}")
    values: dict[str, Any] = {}
    for one in fields(kind):
        variable = f"{_PREFIX}{name}_{one.name}".upper()
        if variable in environment:
            values[one.name] = _from_text(environment[variable], types[one.name], variable)
        elif one.name in written:
            values[one.name] = _typed(written[one.name], types[one.name], f"{path}: {name}.{one.name}")
    return kind(**values)


def _from_text(text: str, kind: type, where: str) -> object:
    if kind == tuple[str, ...]:
        if not text.strip().startswith("["):
            return tuple(part.strip() for part in text.split(",") if part.strip())
        try:  # URLs and commands hold commas
            return _typed(json.loads(text), kind, where)
        except ValueError as error:
            raise ConfigError(f"{where} is no JSON list: {error}", remedy='Write ["one", "two"]') from error
    if kind is bool:
        if text.lower() in ("1", "true", "yes", "on"):
            return True
        if text.lower() in ("0", "false", "no", "off"):
            return False
        raise ConfigError(f"{where}={text!r} is neither true nor false", remedy="Use true or false")
    try:
        return kind(text)
    except ValueError as error:
        raise ConfigError(f"{where}={text!r} is not a {_KINDS[kind]}", remedy="Correct or unset it") from error


def _typed(value: object, kind: type, where: str) -> object:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind == tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise ConfigError(f"{where} must be a list of texts, not {value!r}", remedy="Correct the file")
        return tuple(value)
    if type(value) is not kind:
        raise ConfigError(f"{where} must be a {_KINDS[kind]}, not {value!r}", remedy="Correct the file")
    return value


_KINDS: Mapping[type, str] = {int: "whole number", float: "number", str: "text", bool: "true or false"}


def template() -> str:
    """The text of a new sourcebook.toml: every setting with its default, commented out."""
    lines = [
        "# Settings of this book. Remove the # before a line to change it; docs/configuration.md explains each.",
        "",
    ]
    for name, kind in SECTIONS.items():
        lines.append(f"[{name}]")
        default = kind()
        lines.extend(f"# {one.name} = {_toml(getattr(default, one.name))}" for one in fields(kind))
        lines.append("")
    return "\n".join(lines)


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return f"[{', '.join(_toml(one) for one in value)}]"
    return f'"{value}"' if isinstance(value, str) else str(value)
