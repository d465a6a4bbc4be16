"""A document being written: pieces go in one by one, and offsets come out exact."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from sourcebook.errors import Empty, TooLarge
from sourcebook.parse.base import Limits
from sourcebook.types import Block, BlockKind, MetadataValue, Page, ParsedDocument, Table

# Control characters, and those that do not survive storage or display: each becomes a space, so that offsets hold.
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufeff\ufffe\uffff]")
_CLOSE = {"list_item", "table_row"}  # neighbours of these kinds stand on adjacent lines


class Draft:
    """Collects blocks in reading order. Blocks are parted by an empty line, rows and list items by a line end."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._parts: list[str] = []
        self._length = 0
        self._blocks: list[Block] = []
        self._rows = 0

    def add(
        self,
        kind: BlockKind,
        text: str,
        *,
        level: int = 0,
        page: int | None = None,
        location: str | None = None,
    ) -> None:
        """Append a block; white space at its ends is dropped, and nothing is added if nothing is left."""
        text = storable(text)
        text = text.strip("\n").rstrip() if kind == "code" else text.strip()
        if not text:
            return
        if self._blocks:
            close = kind in _CLOSE and self._blocks[-1].kind == kind
            separator = "\n" if close else "\n\n"
            self._parts.append(separator)
            self._length += len(separator)
        start = self._length
        self._parts.append(text)
        self._length += len(text)
        self._blocks.append(Block(kind=kind, start=start, end=self._length, level=level, page=page, location=location))
        if self._length > self._limits.max_text:
            raise too_much_text(self._limits)
        if kind == "table_row":
            self._rows += 1
            if self._rows > self._limits.max_rows:
                raise too_many_rows(self._limits)

    @property
    def length(self) -> int:
        """Characters so far."""
        return self._length

    @property
    def first_heading(self) -> str | None:
        """The text of the first heading of the highest level there is."""
        headings = [(block.level, block.start) for block in self._blocks if block.kind == "heading"]
        if not headings:
            return None
        _, start = min(headings)
        found = next(block for block in self._blocks if block.start == start)
        return "".join(self._parts)[found.start : found.end]

    def finish(
        self,
        *,
        title: str | None = None,
        metadata: Mapping[str, MetadataValue] | None = None,
        paged: bool = False,
        tables: Iterable[Table] = (),
    ) -> ParsedDocument:
        """The document. paged: pages are derived from those of the blocks. Errors: Empty."""
        text = "".join(self._parts)
        return document(text, self._blocks, title=title, metadata=metadata, paged=paged, tables=tables)


def document(
    text: str,
    blocks: Iterable[Block],
    *,
    title: str | None = None,
    metadata: Mapping[str, MetadataValue] | None = None,
    paged: bool = False,
    tables: Iterable[Table] = (),
) -> ParsedDocument:
    """A document of a finished text, which is storable. Errors: Empty."""
    blocks = tuple(blocks)
    if not blocks:
        raise Empty("There is no text in it", remedy="If it shows text, that is a picture: scan it with OCR")
    return ParsedDocument(
        text=text,
        blocks=blocks,
        pages=_pages(blocks, len(text)) if paged else (),
        title=_title(title),
        metadata={key: _clean(value) for key, value in (metadata or {}).items() if value not in ("", ())},
        tables=tuple(tables),
    )


def storable(text: str) -> str:
    """The text, of the same length, without control characters and lone surrogates."""
    if _UNPRINTABLE.search(text):
        text = _UNPRINTABLE.sub(" ", text)
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            text = "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text)
    return text


def too_much_text(limits: Limits) -> TooLarge:
    """The error of a document whose text is past the limit."""
    return TooLarge(
        f"It holds more than {limits.max_text:,} characters of text",
        remedy="Split the document, or raise the setting parse.max_text",
    )


def too_many_rows(limits: Limits) -> TooLarge:
    """The error of a document whose tables are past the limit."""
    return TooLarge(
        f"It holds more than {limits.max_rows:,} table rows",
        remedy="Split the document, or raise the setting parse.max_rows",
    )


def _pages(blocks: tuple[Block, ...], length: int) -> tuple[Page, ...]:
    """From the first block of each page to the first of the next."""
    starts: list[tuple[int, int]] = []
    for block in blocks:
        if block.page is not None and (not starts or block.page > starts[-1][0]):
            starts.append((block.page, block.start if starts else 0))
    if not starts:
        return ()
    ends = [start for _, start in starts[1:]] + [length]
    return tuple(Page(number=number, start=start, end=end) for (number, start), end in zip(starts, ends, strict=True))


def _title(title: str | None) -> str | None:
    """On one line, of a length that can be shown."""
    line = " ".join(storable(title or "").split())
    return line[:300] or None


def _clean(value: MetadataValue) -> MetadataValue:
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, tuple):
        return tuple(map(storable, value))
    return value
