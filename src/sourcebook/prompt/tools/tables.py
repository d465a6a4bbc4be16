"""The tools by which a model reads tables: `list_tables` shows what there is, `query_table` runs SQL over it."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import Sequence
from decimal import Decimal
from itertools import islice

from sourcebook.errors import ToolError
from sourcebook.models.base import Tool
from sourcebook.prompt.tools.base import ToolResult, read_arguments
from sourcebook.prompt.tools.query import QueryResult, TableQueries, TableSource, Value
from sourcebook.prompt.tools.table_names import NamedTable, named, quoted, searched
from sourcebook.types import Computed, Hit, LiveTable, TableRead

SAMPLES = 3
"""Rows of each table that `list_tables` shows."""

_SAMPLED = 20  # tables of which rows are shown; of more, only those that were asked for by name
_LISTED = 100
_BEGINNING = 200_000  # bytes of a table's cells in which its first rows are looked for
_COLUMNS = 60

LIST_TABLES = Tool(
    name="list_tables",
    description=(
        "The tables of the documents (CSV files, spreadsheets, databases): their names, columns with types, number of "
        "rows and a few rows. Call it before query_table."
    ),
    parameters={
        "type": "object",
        "properties": {
            "containing": {
                "type": "string",
                "description": "Only tables with this word in their name, columns or document; leave out for all",
            }
        },
        "additionalProperties": False,
    },
)
QUERY_TABLE = Tool(
    name="query_table",
    description=(
        "Run one read-only SQL statement (DuckDB dialect) over the tables of the documents: for exact counts, sums, "
        "comparisons and joins. Use the names that list_tables shows. Gives the columns, then each row as a JSON array."
    ),
    parameters={
        "type": "object",
        "properties": {"sql": {"type": "string", "description": "One SELECT, WITH, VALUES or DESCRIBE statement"}},
        "required": ["sql"],
        "additionalProperties": False,
    },
)


class TableTools:
    """A toolbox over the tables that a scope may see. `queries` is shared between toolboxes and stays open."""

    def __init__(self, source: TableSource, queries: TableQueries) -> None:
        self._source = source
        self._queries = queries

    @property
    def tools(self) -> tuple[Tool, ...]:
        """list_tables and query_table."""
        return (LIST_TABLES, QUERY_TABLE)

    async def call(self, name: str, arguments: str) -> ToolResult:
        """Run one of the two. Errors: ToolError."""
        values = read_arguments(arguments)
        if name == LIST_TABLES.name:
            return await asyncio.to_thread(self._listing, str(values.get("containing", "")))
        if name == QUERY_TABLE.name:
            sql = str(values.get("sql", ""))
            result = await self._queries.arun(self._source, sql)
            return ToolResult(
                text=result_text(result),
                hits=await asyncio.to_thread(self._hits, sql, result),
                cut=bool(result.cut),
                origins=_origins(result.given),
            )
        raise ToolError(f"There is no tool {name!r} here", remedy="There are: list_tables, query_table")

    async def close(self) -> None:
        """Nothing is its own."""

    def _hits(self, sql: str, result: QueryResult) -> tuple[Hit, ...]:
        """The result as evidence, once for each table that it is from; of none, it is evidence of nothing."""
        computed = Computed(
            sql=sql,
            columns=tuple(column.name for column in result.columns),
            rows=tuple(map(row_json, result.rows)),
            tables=tuple(
                TableRead(document=one.table.document, version=one.table.version, table=one.name, rows=_rows(one.table))
                for one in result.used
            ),
            cut=bool(result.cut),
        )
        anchors = self._source.anchors([one.table.key for one in result.used])
        if len(anchors) < len(result.used):
            return ()  # a document went meanwhile
        return tuple(
            Hit(passage=anchors[one.table.key], score=1.0, channels={"query": 1}, computed=computed)
            for one in result.used
        )

    def _listing(self, containing: str) -> ToolResult:
        tables = named(self._source.listed())
        if not tables:
            return ToolResult(text="There are no tables in the documents.")
        found = [one for one in tables if containing.casefold() in searched(one)]
        if not found:
            none = f"None of the {len(tables)} tables has {containing!r} in its name, columns or document."
            return ToolResult(text=none)
        shown = found[:_LISTED]
        cells = self._source.cells([one.table.key for one in found[:_SAMPLED]], most=_BEGINNING)
        parts = [table_text(one, first_rows(one.table, cells.get(one.table.key, b""))) for one in shown]
        if len(found) > _LISTED:
            parts.append(f"[{len(found) - _LISTED} more tables: name a word that they contain]")
        return ToolResult(text="\n\n".join(parts), origins=_origins(shown))


def _origins(tables: Sequence[NamedTable]) -> frozenset[tuple[str, int]]:
    return frozenset((one.table.document, one.table.version) for one in tables)


def table_text(one: NamedTable, samples: Sequence[Sequence[Value]]) -> str:
    """A table for the model: name, columns as they are written in SQL, where it comes from, some rows."""
    table = one.table
    columns = [f"{quoted(column.name)} {column.type}" for column in table.columns[:_COLUMNS]]
    if len(table.columns) > _COLUMNS:
        columns.append(f"... {len(table.columns) - _COLUMNS} more columns (DESCRIBE {one.name} shows them)")
    lines = [
        f"{one.name} ({', '.join(columns)})",
        f"  {table.rows:,} rows, from {where(table)}",
        *(f"  {row_json(row[:_COLUMNS], cell=200)}" for row in samples),
    ]
    return "\n".join(lines)


def first_rows(table: LiveTable, data: bytes) -> list[tuple[Value, ...]]:
    """The first rows of a table, out of the beginning of its cells (see `types.Table.data`); none if they are long."""
    try:
        text = zlib.decompressobj().decompress(data, _BEGINNING).decode("utf-8", "ignore")
        columns, _ = json.JSONDecoder().raw_decode(text, 1)
        rows = zip(*(cells.split("\x1f") for cells in columns), strict=True)
        return [
            tuple(_typed(cell, column.type) for cell, column in zip(row, table.columns, strict=True))
            for row in islice(rows, min(SAMPLES, table.rows))
        ]
    except (ValueError, IndexError, zlib.error):
        return []


def _typed(cell: str, kind: str) -> Value:
    if not cell:
        return None
    if kind == "BOOLEAN":
        return cell.lower() == "true"
    for name, made in (("BIGINT", int), ("HUGEINT", int), ("DOUBLE", float), ("DECIMAL", Decimal)):
        if kind.startswith(name):
            return made(cell)
    return cell


def result_text(result: QueryResult) -> str:
    """A result for the model: a line of columns, each row as a JSON array, and where the numbers come from."""
    columns = ", ".join(f"{column.name} {column.type}" for column in result.columns)
    rows = f"{len(result.rows)} row{'' if len(result.rows) == 1 else 's'}"
    lines = [f"{rows} ({columns})", *map(row_json, result.rows)]
    if result.cut:
        lines.append(f"[cut: {result.cut}]")
    lines += [f"from {where(one.table)} (table {one.name})" for one in result.used]
    return "\n".join(lines)


def row_json(row: Sequence[Value], *, cell: int = 0) -> str:
    """A row as a JSON array; decimals with all their digits. cell: characters of a text at most (0: all)."""
    return f"[{', '.join(_cell_json(one, cell) for one in row)}]"


def where(table: LiveTable) -> str:
    """Which document a table is from, and where in it."""
    return ", ".join(part for part in (table.document, table.name, _rows(table)) if part)


def _rows(table: LiveTable) -> str:
    """Where its rows stand: "rows 2 to 7"."""
    first, last = (table.places[0][0], table.places[-1][0] + table.places[-1][1] - 1) if table.places else (0, 0)
    return f"rows {first} to {last}" if last > first else f"row {first}" if first else ""


def _cell_json(value: Value, cell: int) -> str:
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, float) and (value != value or abs(value) == float("inf")):
        return f'"{value}"'
    if isinstance(value, str) and cell and len(value) > cell:
        value = f"{value[:cell]}…"
    return json.dumps(value, ensure_ascii=False)
