"""What other frameworks are told of a hit and of a citation: flat, and plain JSON."""

from __future__ import annotations

from typing import Any

from sourcebook.errors import ConfigError
from sourcebook.models.record import computed_json
from sourcebook.types import Citation, Hit, MetadataValue


def metadata_of(hit: Hit) -> dict[str, Any]:
    """The document's own metadata, and what is known of the passage; what is not known is left out.

    source, title, page, location, heading_path, language: where it stands. start, end: characters of the parsed text,
    half open. document_version, passage, ordinal: which it is in the book. score, channels, duplicates: of the hit.
    """
    passage = hit.passage
    known = {
        "source": passage.document,
        "title": passage.title,
        "page": passage.page,
        "location": passage.location,
        "heading_path": list(passage.heading_path),
        "language": passage.language,
        "start": passage.start,
        "end": passage.end,
        "document_version": passage.version,
        "passage": str(passage.id),
        "ordinal": passage.ordinal,
        "score": float(hit.score),
        "channels": {name: int(rank) for name, rank in hit.channels.items()},
        "duplicates": list(hit.duplicates),
    }
    own = {name: _plain(value) for name, value in passage.metadata.items()}
    return {**own, **{name: value for name, value in known.items() if value is not None}}


def source_of(citation: Citation) -> dict[str, Any]:
    """Where a citation points, besides document, title and quote; what is not known is left out.

    computed: the result of SQL that the sentence rests on, with the statement, the rows and the tables read.
    """
    known = {
        "document_version": citation.version,
        "passage": str(citation.passage),
        "start": citation.start,
        "end": citation.end,
        "page": citation.page,
        "location": citation.location,
        "computed": None if citation.computed is None else computed_json(citation.computed),
    }
    return {name: value for name, value in known.items() if value is not None}


def async_only(blocking: str, asynchronous: str) -> ConfigError:
    """For a blocking call of an async book."""
    return ConfigError(
        f"This book is async, and {blocking} blocks",
        remedy=f"Call {asynchronous}, or open the book with sourcebook.open_book",
    )


def _plain(value: MetadataValue) -> Any:
    return list(value) if isinstance(value, tuple) else value
