"""What questions and people read from the catalog: live passages, the ledger, whole documents, the export."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from sourcebook.catalog.statements import access_from, metadata_from, sql
from sourcebook.errors import NotFound
from sourcebook.types import LedgerEntry, Passage, PassageId, Scope

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from sourcebook.catalog.catalog import Catalog

WHOLE = """
    SELECT passage.id, passage.ordinal, passage.text, passage.start_offset, passage.end_offset,
           passage.heading_path, passage.page, passage.location, passage.language, passage.text_key,
           version.number, version.title, version.metadata, document.tenant, document.uri, document.access
"""
# SQLite joins in the order written where it says CROSS JOIN; otherwise it may begin with all documents of the tenant,
# or with all versions that are live.
FROM_PASSAGES = " FROM passage CROSS JOIN version CROSS JOIN document "
LIVE = """
     WHERE version.id = passage.version_id AND document.id = version.document_id AND version.state = 'live'
"""
"""What is live, beginning with passages that are known, or with all of them."""
_FROM_DOCUMENTS = """
      FROM document CROSS JOIN version CROSS JOIN passage
     WHERE version.id = document.live_version_id AND passage.version_id = version.id
"""
"""What is live, beginning with documents."""
_IN_PIECES: Final = {"yield_per": 1000}  # rows held in memory, where a driver would fetch all of them at once


def all_passages(catalog: Catalog, scope: Scope) -> list[Passage]:
    """Every live passage that the scope admits, document by document in the order they came in."""
    rows = catalog.rows(
        f"{WHOLE} {_FROM_DOCUMENTS} AND document.tenant = :tenant ORDER BY document.id, passage.ordinal",
        tenant=scope.tenant,
    )
    return [passage_from(row) for row in rows if scope.admits(scope.tenant, access_from(row.access))]


def count_live(catalog: Catalog, scope: Scope | None = None) -> tuple[int, int]:
    """(documents, passages) that are live, within the scope (None: in the whole book)."""
    with catalog.reading() as connection:
        rows = connection.execute(
            sql("""
                SELECT document.tenant, document.access, COUNT(*) AS passages
                  FROM document JOIN passage ON passage.version_id = document.live_version_id
                 GROUP BY document.id, document.tenant, document.access
            """)
        ).all()
    seen = [row.passages for row in rows if scope is None or scope.admits(row.tenant, access_from(row.access))]
    return len(seen), sum(seen)


def quote(catalog: Catalog, document: str, version: int, start: int, end: int, scope: Scope) -> str | None:
    """The parsed text of a live version at [start, end), or None if it is not live or not in scope."""
    with catalog.reading() as connection:
        return _slice(connection, document, version, start, end, scope) or None


def _slice(connection: Connection, document: str, version: int, start: int, end: int, scope: Scope) -> str:
    row = connection.execute(
        sql("""
            SELECT substr(parsed.text, :first, :length) AS text, document.access
              FROM parsed
              JOIN version ON version.id = parsed.version_id
              JOIN document ON document.id = version.document_id
             WHERE document.tenant = :tenant AND document.uri = :uri
               AND version.number = :version AND version.state = 'live'
        """),
        {
            "first": start + 1,
            "length": end - start,
            "tenant": scope.tenant,
            "uri": document,
            "version": version,
        },
    ).first()
    return "" if row is None or not scope.admits(scope.tenant, access_from(row.access)) else str(row.text)


def whole_document(catalog: Catalog, uri: str, scope: Scope) -> tuple[str, list[Passage]]:
    """The parsed text of a live document and its passages in order. Errors: NotFound."""
    with catalog.reading() as connection:
        rows = connection.execute(
            sql(
                WHOLE
                + _FROM_DOCUMENTS
                + " AND document.tenant = :tenant AND document.uri = :uri ORDER BY passage.ordinal"
            ),
            {"tenant": scope.tenant, "uri": uri},
        ).all()
        passages = [passage_from(row) for row in rows if scope.admits(scope.tenant, access_from(row.access))]
        if not passages:
            raise NotFound(f"No live document {uri!r}", remedy="See what is in the book: sourcebook status")
        text = connection.execute(
            sql("""
                SELECT parsed.text FROM document JOIN parsed ON parsed.version_id = document.live_version_id
                 WHERE document.tenant = :tenant AND document.uri = :uri
            """),
            {"tenant": scope.tenant, "uri": uri},
        ).scalar_one()
    return str(text), passages


def ledger(catalog: Catalog) -> list[LedgerEntry]:
    """Every document that is known, ordered by URI."""
    with catalog.reading() as connection:
        rows = connection.execute(
            sql("""
                SELECT document.uri, source.url AS source, document.state, document.error, document.attempts,
                       document.versions, document.content_hash, document.updated, document.seconds,
                       document.live_version_id, version.number,
                       (SELECT COUNT(*) FROM passage WHERE passage.version_id = document.live_version_id) AS passages
                  FROM document
                  LEFT JOIN source ON source.id = document.source_id
                  LEFT JOIN version ON version.id = document.live_version_id
                 WHERE document.state <> 'deleted'
                 ORDER BY document.uri, document.tenant
            """)
        ).all()
    return [
        LedgerEntry(
            uri=row.uri,
            source=row.source or "",
            state=row.state,
            answering=row.live_version_id is not None,
            error=row.error,
            attempts=row.attempts,
            version=row.number or 0,
            passages=row.passages,
            content_hash=row.content_hash,
            updated=row.updated,
            seconds=json.loads(row.seconds),
        )
        for row in rows
    ]


def export(catalog: Catalog) -> Iterator[dict[str, Any]]:
    """Live documents by URI, then their passages by URI and place; equal states give equal rows."""
    with catalog.reading() as connection:
        documents = connection.execute(
            sql("""
                SELECT document.tenant, document.uri, version.content_hash
                  FROM document JOIN version ON version.id = document.live_version_id
                 ORDER BY document.tenant, document.uri
            """),
            execution_options=_IN_PIECES,
        )
        for row in documents:
            yield {"kind": "document", "uri": row.uri, "tenant": row.tenant, "hash": row.content_hash}
        passages = connection.execute(
            sql("""
                SELECT document.tenant, document.uri, passage.start_offset, passage.end_offset, passage.text
                  FROM document JOIN passage ON passage.version_id = document.live_version_id
                 ORDER BY document.tenant, document.uri, passage.ordinal
            """),
            execution_options=_IN_PIECES,
        )
        for row in passages:
            yield {
                "kind": "passage",
                "document": row.uri,
                "tenant": row.tenant,
                "start": row.start_offset,
                "end": row.end_offset,
                "text": row.text,
            }


def passage_from(row: Any) -> Passage:
    """A passage from a row of `WHOLE`."""
    return Passage(
        id=PassageId(row.id),
        document=row.uri,
        version=row.number,
        ordinal=row.ordinal,
        text=row.text,
        start=row.start_offset,
        end=row.end_offset,
        title=row.title,
        heading_path=() if row.heading_path == "[]" else tuple(json.loads(row.heading_path)),
        page=row.page,
        location=row.location,
        language=row.language,
        metadata={} if row.metadata == "{}" else metadata_from(row.metadata),
    )
