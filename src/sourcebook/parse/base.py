"""bytes -> structured text with offsets: what a parser is, and the limits it keeps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from sourcebook.types import ParsedDocument


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """How much of one document is read before it ends as TooLarge. Every field is a setting.

    max_bytes: size of the file. max_text: characters of parsed text. max_rows: rows of all its tables together.
    max_seconds: wall time of parsing. max_memory: bytes that a worker process may allocate.
    max_expansion: bytes that the members of a zip container unpack to, together.
    max_ratio: unpacked over packed size of a container, heeded past 10 MB of unpacked size.
    inline_bytes: files of the light formats up to this size are parsed in the calling process.
    workers: processes for the others, started when needed; 0 means one per core.
    """

    max_bytes: int = 200_000_000
    max_text: int = 50_000_000
    max_rows: int = 1_000_000
    max_seconds: float = 120.0
    max_memory: int = 2_000_000_000
    max_expansion: int = 1_000_000_000
    max_ratio: int = 200
    inline_bytes: int = 1_000_000
    workers: int = 0


class Parser(Protocol):
    """Turns the bytes of some formats into text.

    fingerprint: changes whenever the output would: its own version and those of the libraries it uses.
    """

    @property
    def fingerprint(self) -> str:
        """As said above."""
        ...

    def accepts(self, name: str, head: bytes) -> bool:
        """Whether a file of this name, whose first bytes (4,096 at least, if it has them) these are, is its own."""
        ...

    def parse(self, data: bytes, name: str, limits: Limits) -> ParsedDocument:
        """All of the file. Errors: ParseError and what is below it."""
        ...
