"""Where documents are: a path or a URL -> the source that lists them, and the one name it goes by."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sourcebook.config import Config
from sourcebook.errors import ConfigError
from sourcebook.registry import find

if TYPE_CHECKING:
    from sourcebook.sources.base import Source


def source_at(config: Config, url: str, include: Sequence[str] = (), exclude: Sequence[str] = ()) -> Source:
    """The source that a path or URL names. Errors: ConfigError."""
    made: Source = find("source", url if _has_scheme(url) else "file:")(
        url,
        include=include,
        exclude=exclude,
        hidden=config.sources.hidden,
        max_bytes=config.parse.max_bytes,
    )
    return made


def canonical(config: Config, name: str) -> str:
    """A source's or document's one name; a name of no known kind stays as it is, and names nothing."""
    try:
        return source_at(config, name).url
    except ConfigError:
        return name


def _has_scheme(url: str) -> bool:
    scheme, colon, _ = url.partition(":")
    return bool(colon) and len(scheme) > 1 and scheme.isalnum() and not os.path.exists(url)
