"""The box: picks the parser of a document, and runs it where it can do no harm."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import cached_property
from hashlib import blake2b
from typing import TYPE_CHECKING

from sourcebook.errors import Damaged, Empty, ParseError, TooLarge
from sourcebook.parse.archives import nested_too_deep
from sourcebook.parse.base import Limits, Parser
from sourcebook.parse.builtin import LIGHT, builtin_fingerprint, parser_of
from sourcebook.parse.formats import identify
from sourcebook.types import ParsedDocument

if TYPE_CHECKING:
    from sourcebook.parse.workers import Workers

_AT_ONCE = 32_768  # bytes; light files up to this size are parsed without leaving the event loop
_WEIGHT = {"html": 10, "markdown": 4, "xml": 4}  # what a byte of these counts: they nest, and can be made hard to read


class Parsers:
    """Every format's parser behind one call.

    Content decides before the name does: a PDF called .txt is read as a PDF. Light formats are parsed in this
    process, everything else in worker processes that are started when first needed.

    parsers: further ones, asked before the built-in ones; they run in a thread of this process.
    """

    def __init__(self, limits: Limits | None = None, *, parsers: Sequence[Parser] = ()) -> None:
        self._limits = limits or Limits()
        self._further = tuple(parsers)
        self._workers: Workers | None = None

    @cached_property
    def fingerprint(self) -> str:
        """32 hex digits; changes whenever the output of any parser would."""
        prints = (builtin_fingerprint(), *(parser.fingerprint for parser in self._further))
        return blake2b("\n".join(prints).encode(), digest_size=16).hexdigest()

    async def parse(self, data: bytes, name: str) -> ParsedDocument:
        """The document of these bytes. name: the file's, with extension. Errors: ParseError."""
        if not data:
            raise Empty("The file is empty")
        if len(data) > self._limits.max_bytes:
            raise TooLarge(
                f"It has {len(data):,} bytes, and {self._limits.max_bytes:,} are allowed",
                remedy="Split the document, or raise the setting parse.max_bytes",
            )
        for parser in self._further:
            if parser.accepts(name, data[:4096]):
                return await asyncio.to_thread(_run, parser, data, name, self._limits)
        small = len(data) <= _AT_ONCE
        kind = identify(name, data) if small else await asyncio.to_thread(identify, name, data)
        parser = parser_of(kind)
        if kind in LIGHT and small:
            return _run(parser, data, name, self._limits)
        if kind in LIGHT and len(data) * _WEIGHT.get(kind, 1) <= self._limits.inline_bytes:
            return await asyncio.to_thread(_run, parser, data, name, self._limits)
        return await asyncio.to_thread(self._pool().parse, kind, data, name)

    def close(self) -> None:
        """End the worker processes. Later calls start them anew."""
        if self._workers is not None:
            self._workers.close()

    def _pool(self) -> Workers:
        if self._workers is None:
            from sourcebook.parse.workers import Workers

            self._workers = Workers(self._limits)
        return self._workers


def _run(parser: Parser, data: bytes, name: str, limits: Limits) -> ParsedDocument:
    """In this process; whatever a parser throws at a damaged file concerns this document only."""
    try:
        return parser.parse(data, name, limits)
    except ParseError:
        raise
    except RecursionError as error:
        raise nested_too_deep() from error
    except Exception as error:
        raise Damaged(
            f"It cannot be read: {type(error).__name__}: {error}"[:500],
            remedy="Check that it opens in its application",
        ) from error
