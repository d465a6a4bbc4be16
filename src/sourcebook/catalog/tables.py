"""The tables of documents: written with their version, and read only while it is live and in scope."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from sourcebook.catalog.statements import IN_LIST, batches, kept, sql
from sourcebook.types import Column, LiveTable, Scope, Table

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from sourcebook.catalog.catalog import Catalog

_LIVE = """
      FROM document
      JOIN version ON version.id = document.live_version_id AND version.state = 'live'
      JOIN table_data ON table_data.version_id = version.id
     WHERE document.tenant = :tenant
"""


class ScopedTables:
    """The tables that a scope may see. Every read looks anew at what is live and allowed now."""

    def __init__(self, catalog: Catalog, scope: Scope) -> None:
        self._catalog = catalog
        self._scope = scope

    def listed(self) -> tuple[LiveTable, ...]:
        """The tables, ordered by document and place in it, all in one state of the book."""
        rows = self._catalog.rows(
            f"""
            SELECT document.uri, document.access, version.number, version.title, version.content_hash, version.recipe,
                   table_data.version_id, table_data.ordinal, table_data.name, table_data.columns,
                   table_data.row_count, table_data.places
            {_LIVE}
             ORDER BY document.uri, table_data.ordinal
            """,
            tenant=self._scope.tenant,
        )
        return tuple(
            LiveTable(
                key=_key(row),
                document=row.uri,
                version=row.number,
                title=row.title,
                name=row.name,
                columns=_columns(row.columns),
                rows=row.row_count,
                places=_places(row.places),
            )
            for row in rows
            if self._admits(row.access)
        )

    def cells(self, keys: Sequence[str]) -> dict[str, bytes]:
        """The cells (see `types.Table.data`) of those of the tables that are live and in scope now, by key."""
        versions = sorted({int(key.partition(".")[0]) for key in keys})
        found: dict[str, bytes] = {}
        with self._catalog.reading() as connection:
            for some in batches(versions, IN_LIST):
                rows = connection.execute(
                    sql(
                        f"""
                        SELECT document.access, version.content_hash, version.recipe,
                               table_data.version_id, table_data.ordinal
                        {_LIVE} AND table_data.version_id IN :some
                        """,
                        "some",
                    ),
                    {"tenant": self._scope.tenant, "some": list(some)},
                ).all()
                for row in rows:
                    if _key(row) in keys and self._admits(row.access):
                        found[_key(row)] = _data(connection, row.version_id, row.ordinal)
        return found

    def _admits(self, access: str) -> bool:
        names: frozenset[str] = frozenset() if access == "[]" else frozenset(json.loads(access))
        return self._scope.admits(self._scope.tenant, names)


def write_tables(connection: Connection, tables: Mapping[int, Sequence[Table]]) -> None:
    """Part of staging: write the tables of versions, by version id."""
    for version, some in tables.items():
        connection.execute(
            sql("""
                INSERT INTO table_data (version_id, ordinal, name, columns, row_count, places, data)
                VALUES (:version, :ordinal, :name, :columns, :rows, :places, :data)
            """),
            list(_rows(version, some)),
        )


def read_tables(connection: Connection, version_id: int) -> tuple[Table, ...]:
    """All tables of a version with their cells, in order."""
    rows = connection.execute(
        sql("""
            SELECT name, columns, row_count, places, data
              FROM table_data WHERE version_id = :version ORDER BY ordinal
        """),
        {"version": version_id},
    ).all()
    return tuple(
        Table(
            name=row.name,
            columns=_columns(row.columns),
            rows=row.row_count,
            places=_places(row.places),
            data=bytes(row.data),
        )
        for row in rows
    )


def _rows(version: int, tables: Sequence[Table]) -> Iterator[Mapping[str, object]]:
    for ordinal, one in enumerate(tables):
        yield {
            "version": version,
            "ordinal": ordinal,
            "name": kept(one.name),
            "columns": kept(json.dumps([[column.name, column.type] for column in one.columns], ensure_ascii=False)),
            "rows": one.rows,
            "places": json.dumps(one.places),
            "data": one.data,
        }


def _key(row: Any) -> str:
    """Of a table's cells. Numbers of versions may come again, once they are purged; not with the same content."""
    content = blake2b(f"{row.content_hash}\0{row.recipe}".encode(), digest_size=8).hexdigest()
    return f"{row.version_id}.{row.ordinal}.{content}"


def _data(connection: Connection, version: int, ordinal: int) -> bytes:
    found: Any = connection.execute(
        sql("SELECT data FROM table_data WHERE version_id = :version AND ordinal = :ordinal"),
        {"version": version, "ordinal": ordinal},
    ).scalar_one()
    return bytes(found)


def _columns(text: str) -> tuple[Column, ...]:
    return tuple(Column(name=name, type=kind) for name, kind in json.loads(text))


def _places(text: str) -> tuple[tuple[int, int], ...]:
    return tuple((first, count) for first, count in json.loads(text))
