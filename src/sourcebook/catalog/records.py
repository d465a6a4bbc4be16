"""What the catalog takes and gives: one dataclass for each kind of row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sourcebook.types import Chunk, Metadata, PassageId, Table


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceRecord:
    """A source that the book follows. options: include and exclude patterns, as JSON-like values."""

    id: int
    url: str
    tenant: str = "default"
    access: frozenset[str] = frozenset()
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class DocumentRecord:
    """What is known of a document when its source is compared with the catalog."""

    id: int
    uri: str
    tenant: str
    source_id: int
    access: frozenset[str]
    state: str
    transient: bool
    live: bool
    fingerprint: str
    content_hash: str | None
    recipe: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Draft:
    """A document version on its way in: everything that staging writes.

    recipe: fingerprint of parser, chunker and their settings. text_keys: for each chunk the key of the text
    that is embedded for it. seconds: stage -> duration.
    """

    uri: str
    tenant: str
    source_id: int
    access: frozenset[str]
    fingerprint: str
    content_hash: str
    recipe: str
    text: str
    chunks: tuple[Chunk, ...]
    text_keys: tuple[str, ...]
    title: str | None = None
    language: str | None = None
    metadata: Metadata = field(default_factory=dict)
    tables: tuple[Table, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Staged:
    """A version that is written but not live. passages[i] belongs to draft.chunks[i]."""

    draft: Draft
    document_id: int
    version_id: int
    number: int
    passages: tuple[PassageId, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """An attempt at a document that ended without a new version."""

    uri: str
    tenant: str
    source_id: int
    access: frozenset[str]
    fingerprint: str
    content_hash: str | None
    recipe: str
    error: str
    transient: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Retired:
    """A version whose points must leave the index before its rows are deleted."""

    version_id: int
    passages: tuple[PassageId, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Reusable:
    """A version with the same bytes and recipe: its text, chunks and tables serve again, unparsed."""

    text: str
    language: str | None
    title: str | None
    metadata: Metadata
    chunks: tuple[Chunk, ...]
    text_keys: tuple[str, ...]
    tables: tuple[Table, ...] = ()
