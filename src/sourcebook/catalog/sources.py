"""The sources that a book follows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sourcebook.catalog.numbers import take_numbers
from sourcebook.catalog.publishing import withdraw
from sourcebook.catalog.records import SourceRecord
from sourcebook.catalog.statements import access_from, names_json, now, sql

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row


def add_source(
    connection: Connection,
    url: str,
    *,
    tenant: str,
    access: frozenset[str],
    include: Sequence[str],
    exclude: Sequence[str],
) -> SourceRecord:
    """Follow a source; one that is known gets the new settings."""
    (number,) = take_numbers(connection, "source", 1)
    row = connection.execute(
        sql("""
            INSERT INTO source (id, url, tenant, access, options, added)
            VALUES (:id, :url, :tenant, :access, :options, :now)
            ON CONFLICT (tenant, url) DO UPDATE
               SET access = excluded.access, options = excluded.options
            RETURNING id, url, tenant, access, options
        """),
        {
            "id": number,
            "url": url,
            "tenant": tenant,
            "access": names_json(access),
            "options": json.dumps({"include": list(include), "exclude": list(exclude)}),
            "now": now(),
        },
    ).one()
    return _source(row)


def sources(connection: Connection) -> list[SourceRecord]:
    """Every source, in the order they were added."""
    rows = connection.execute(sql("SELECT id, url, tenant, access, options FROM source ORDER BY id"))
    return [_source(row) for row in rows]


def remove_source(connection: Connection, source_id: int) -> int:
    """Stop following a source and withdraw its documents; returns how many were in."""
    ids = connection.execute(
        sql("SELECT id FROM document WHERE source_id = :source AND state <> 'deleted'"), {"source": source_id}
    ).scalars()
    documents = list(ids)
    withdraw(connection, documents)
    connection.execute(sql("DELETE FROM source WHERE id = :id"), {"id": source_id})
    return len(documents)


def _source(row: Row[Any]) -> SourceRecord:
    options = json.loads(row.options)
    return SourceRecord(
        id=row.id,
        url=row.url,
        tenant=row.tenant,
        access=access_from(row.access),
        include=tuple(options["include"]),
        exclude=tuple(options["exclude"]),
    )
