"""The tables of documents: written with their version, and read only while it is live and in scope."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from sourcebook.catalog.reads import FROM_PASSAGES, LIVE, WHOLE, passage_from
from sourcebook.catalog.statements import IN_LIST, access_from, batches, kept, metadata_from, sql
from sourcebook.filters import matches
from sourcebook.types import Column, Filter, LiveTable, Passage, Scope, Table

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from sourcebook.catalog.catalog import Catalog

_ALL = 2**31 - 2  # bytes: more than a cell of either database can have
_LIVE = """
      FROM document
      JOIN version ON version.id = document.live_version_id AND version.state = 'live'
      JOIN table_data ON table_data.version_id = version.id
     WHERE document.tenant = :tenant
"""


class ScopedTables:
    """The tables that a scope may see. Every read looks anew at what is live and allowed now.

    where: only tables of documents with such metadata.
    """

    def __init__(self, catalog: Catalog, scope: Scope, where: Filter | None = None) -> None:
        self._catalog = catalog
        self._scope = scope
        self._where = where

    def listed(self) -> tuple[LiveTable, ...]:
        """The tables, ordered by document and place in it, all in one state of the book."""
        rows = self._catalog.rows(
            f"""
            SELECT document.uri, document.access, version.number, version.title, version.metadata,
                   version.content_hash, version.recipe,
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
            if self._admits(row)
        )

    def cells(self, keys: Sequence[str], *, most: int | None = None) -> dict[str, bytes]:
        """The cells (see `types.Table.data`) of those of the tables that are live and in scope now, by key.

        most: bytes of each table, from its beginning; None: all of them.
        """
        with self._catalog.reading() as connection:
            return {
                _key(row): _data(connection, row.version_id, row.ordinal, most)
                for row in self._visible(connection, keys)
            }

    def anchors(self, keys: Sequence[str]) -> dict[str, Passage]:
        """For each of the tables that are live and in scope now where it begins: its first passage, by key."""
        with self._catalog.reading() as connection:
            found = {}
            for row in self._visible(connection, keys):
                begins = connection.execute(
                    sql("""
                        SELECT heading_path, MIN(ordinal) AS ordinal
                          FROM passage WHERE version_id = :version GROUP BY heading_path
                    """),
                    {"version": row.version_id},
                ).all()
                under = [one.ordinal for one in begins if json.loads(one.heading_path)[-1:] == [row.name]]
                ordinal = min(under or [one.ordinal for one in begins], default=None)
                passage = connection.execute(
                    sql(f"{WHOLE} {FROM_PASSAGES} {LIVE} AND version.id = :version AND passage.ordinal = :ordinal"),
                    {"version": row.version_id, "ordinal": ordinal},
                ).one_or_none()
                if passage is not None:
                    found[_key(row)] = passage_from(passage)
            return found

    def _visible(self, connection: Connection, keys: Sequence[str]) -> Iterator[Any]:
        """Rows of those of the tables that are live and in scope."""
        versions = sorted({int(key.partition(".")[0]) for key in keys})
        for some in batches(versions, IN_LIST):
            rows = connection.execute(
                sql(
                    f"""
                    SELECT document.access, version.metadata, version.content_hash, version.recipe,
                           table_data.version_id, table_data.ordinal, table_data.name
                    {_LIVE} AND table_data.version_id IN :some
                    """,
                    "some",
                ),
                {"tenant": self._scope.tenant, "some": list(some)},
            ).all()
            yield from (row for row in rows if _key(row) in keys and self._admits(row))

    def _admits(self, row: Any) -> bool:
        if not self._scope.admits(self._scope.tenant, access_from(row.access)):
            return False
        return self._where is None or matches(self._where, metadata_from(row.metadata))


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


def _data(connection: Connection, version: int, ordinal: int, most: int | None) -> bytes:
    found: Any = connection.execute(
        sql("SELECT substr(data, 1, :most) FROM table_data WHERE version_id = :version AND ordinal = :ordinal"),
        {"version": version, "ordinal": ordinal, "most": _ALL if most is None else most},
    ).scalar_one()
    return bytes(found)


def _columns(text: str) -> tuple[Column, ...]:
    return tuple(Column(name=name, type=kind) for name, kind in json.loads(text))


def _places(text: str) -> tuple[tuple[int, int], ...]:
    return tuple((first, count) for first, count in json.loads(text))
