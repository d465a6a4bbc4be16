"""What is in, for setting a source's listing against it: documents, and versions that serve again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from sourcebook.catalog.records import DocumentRecord, Reusable
from sourcebook.catalog.statements import access_from, metadata_from, sql
from sourcebook.catalog.tables import read_tables
from sourcebook.types import Chunk

if TYPE_CHECKING:
    from sqlalchemy import Connection


def documents(connection: Connection, tenant: str) -> dict[str, DocumentRecord]:
    """The documents of a tenant by URI, deleted ones left out."""
    rows = connection.execute(
        sql("""
            SELECT id, uri, tenant, source_id, access, state, transient,
                   live_version_id IS NOT NULL AS live, fingerprint, content_hash, recipe
              FROM document
             WHERE state <> 'deleted' AND tenant = :tenant
        """),
        {"tenant": tenant},
    ).all()
    return {
        row.uri: DocumentRecord(
            id=row.id,
            uri=row.uri,
            tenant=row.tenant,
            source_id=row.source_id,
            access=access_from(row.access),
            state=row.state,
            transient=bool(row.transient),
            live=bool(row.live),
            fingerprint=row.fingerprint,
            content_hash=row.content_hash,
            recipe=row.recipe,
        )
        for row in rows
    }


def reusable(connection: Connection, content_hash: str, recipe: str) -> Reusable | None:
    """A version made from the same bytes by the same recipe, whatever document it belongs to."""
    found = connection.execute(
        sql("""
            SELECT version.id, version.title, version.metadata, parsed.text, parsed.language
              FROM version JOIN parsed ON parsed.version_id = version.id
             WHERE version.content_hash = :hash AND version.recipe = :recipe
             ORDER BY version.id LIMIT 1
        """),
        {"hash": content_hash, "recipe": recipe},
    ).first()
    if found is None:
        return None
    rows = connection.execute(
        sql("""
            SELECT text, start_offset, end_offset, heading_path, page, location, language, text_key
              FROM passage WHERE version_id = :version ORDER BY ordinal
        """),
        {"version": found.id},
    ).all()
    tables = read_tables(connection, found.id)
    chunks = tuple(
        Chunk(
            text=row.text,
            start=row.start_offset,
            end=row.end_offset,
            heading_path=tuple(json.loads(row.heading_path)),
            page=row.page,
            location=row.location,
            language=row.language,
        )
        for row in rows
    )
    return Reusable(
        text=found.text,
        language=found.language,
        title=found.title,
        metadata=metadata_from(found.metadata),
        chunks=chunks,
        text_keys=tuple(row.text_key for row in rows),
        tables=tables,
    )
