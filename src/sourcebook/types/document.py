"""Ingest: what becomes of a document on its way from a source to an index."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NewType

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PassageId = NewType("PassageId", str)
"""32 hex digits: BLAKE2b-128 of what the passage is (document, version, place, text)."""

BlockKind = Literal["heading", "paragraph", "list_item", "table_row", "code"]

MetadataValue = str | int | float | bool | tuple[str, ...]
Metadata = Mapping[str, MetadataValue]


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceItem:
    """One document as its source lists it, before anything is read.

    uri: its name, stable between scans; absolute.
    name: file name with extension; what the parser goes by, besides the bytes.
    fingerprint: cheap token that changes whenever the content may have changed ("" if the source has none).
    size: bytes, or -1 if unknown.
    problem: why it cannot be read, if the listing already shows that.
    holds: true if `uri` is a folder that could not be listed: documents below it are neither deleted nor
    updated, because nobody can tell how they are.
    """

    uri: str
    name: str
    fingerprint: str = ""
    size: int = -1
    metadata: Metadata = field(default_factory=dict)
    problem: str | None = None
    holds: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """A structural unit of a parsed text: [start, end) of it, blocks in order and not overlapping.

    level: of a heading, from 1; else 0.
    page: page or slide it starts on, from 1; None where the format has none.
    location: where a table row stands, for people: "Sheet1!7" (sheet, row from 1) or "row 7".
    """

    kind: BlockKind
    start: int
    end: int
    level: int = 0
    page: int | None = None
    location: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """[start, end) of the parsed text stands on this page (number from 1)."""

    number: int
    start: int
    end: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """A column of a table. type: BIGINT, HUGEINT, DECIMAL(p,s), DOUBLE, BOOLEAN, DATE, TIMESTAMP or VARCHAR."""

    name: str
    type: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """A table of a document, kept as one so that SQL can count and join it. Its rows are in its passages too.

    name: of the sheet or the database's table; "" if the file itself is the table. columns: their names differ,
    whatever their case. rows: how many. places: (row number there, from 1; how many) of each run of adjacent rows.
    data: the cells: zlib of a JSON list of batches of rows, the first a small one; a batch is a list of columns; a
    column is the text of its cells, such as SQL reads for its type, parted by U+001F; an empty one is NULL.
    """

    name: str
    columns: tuple[Column, ...]
    rows: int
    places: tuple[tuple[int, int], ...]
    data: bytes = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class LiveTable:
    """A table of a live document, without its cells. key: names its cells in the catalog; they never change.

    version: of the document, from 1. title: the document's.
    """

    key: str
    document: str
    version: int
    name: str
    columns: tuple[Column, ...]
    rows: int
    places: tuple[tuple[int, int], ...]
    title: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ParsedDocument:
    """What a parser makes of bytes: one text, and where its structure lies in it.

    language: ISO 639-1 code of the text, or None if unsure.
    metadata: what the file says of itself (author, dates, subject), for filters.
    tables: those of CSV files, spreadsheets, records and databases.
    """

    text: str
    blocks: tuple[Block, ...]
    pages: tuple[Page, ...] = ()
    title: str | None = None
    language: str | None = None
    metadata: Metadata = field(default_factory=dict)
    tables: tuple[Table, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Chunk:
    """A passage before it belongs to a document version: [start, end) of the parsed text.

    heading_path: the headings it stands under, outermost first; the document's title is not among them.
    """

    text: str
    start: int
    end: int
    heading_path: tuple[str, ...] = ()
    page: int | None = None
    location: str | None = None
    language: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Passage:
    """A chunk of one version of one document, as the catalog holds it.

    text: exactly the parsed text at [start, end).
    version: counts the document's versions, from 1.
    """

    id: PassageId
    document: str
    version: int
    ordinal: int
    text: str
    start: int
    end: int
    title: str | None = None
    heading_path: tuple[str, ...] = ()
    page: int | None = None
    location: str | None = None
    language: str | None = None
    metadata: Metadata = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Terms:
    """A text in the keyword channel: a sparse vector.

    indices: uint32, shape (n,), distinct term numbers (hashes). weights: float32, shape (n,).
    """

    indices: NDArray[np.uint32]
    weights: NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """What an index keeps of a passage. vector: float32, shape (d,), of length one.

    access: names that may see it; empty means everybody in the tenant.
    """

    id: PassageId
    vector: NDArray[np.float32]
    terms: Terms
    tenant: str = "default"
    access: frozenset[str] = frozenset()
    metadata: Metadata = field(default_factory=dict)
