"""Tables: tables, sql."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, TypeVar

import click

from sourcebook.commands.base import home_option, json_option, opened, print_json, run, scope_of

if TYPE_CHECKING:
    from sourcebook.prompt.tools.query import QueryResult, Value
    from sourcebook.prompt.tools.table_names import NamedTable

F = TypeVar("F", bound=Callable[..., Any])

_WIDEST = 60  # characters of a cell on a terminal
_ALL = 1_000_000_000


def _looking_options(command: F) -> F:
    for option in (
        click.option("--as", "names", metavar="NAME", multiple=True, help="Look as this user or group (repeatable)"),
        click.option("--tenant", default="default", show_default=True, metavar="NAME", help="Whose documents"),
    ):
        command = option(command)
    return command


@click.command()
@click.argument("containing", required=False, default="")
@_looking_options
@home_option
@json_option
def tables(containing: str, names: tuple[str, ...], tenant: str, own_home: str | None, as_json: bool) -> None:
    """List the tables of the documents (CSV, spreadsheets, records, databases) that CONTAINING stands in."""
    from sourcebook.catalog.tables import ScopedTables
    from sourcebook.prompt.tools.table_names import named, searched

    async def work() -> None:
        async with opened(own_home) as book:
            every = named(ScopedTables(book.catalog, scope_of(tenant, names)).listed())
            found = [one for one in every if containing.casefold() in searched(one)]
            if as_json:
                print_json({"tables": [_table_json(one) for one in found]})
            elif found:
                for one in found:
                    _show_table(one)
            else:
                click.echo("No tables.")

    run(work())


@click.command()
@click.argument("statement")
@click.option("--limit", type=click.IntRange(1), default=1000, show_default=True, help="Rows at most")
@_looking_options
@home_option
@json_option
def sql(statement: str, limit: int, names: tuple[str, ...], tenant: str, own_home: str | None, as_json: bool) -> None:
    """Run STATEMENT, one SELECT in DuckDB's dialect, over the tables of the documents. Nothing can be changed by it."""
    from sourcebook.catalog.tables import ScopedTables
    from sourcebook.prompt.tools.query import QueryLimits, TableQueries

    async def work() -> None:
        async with opened(own_home) as book:
            settings = replace(book.config.tables, max_rows=limit, max_characters=_ALL, max_cell=_ALL)
            source = ScopedTables(book.catalog, scope_of(tenant, names))
            with closing(TableQueries(QueryLimits(**asdict(settings)))) as queries:
                result = queries.run(source, statement)
            if as_json:
                _print_result(result)
            else:
                _show_result(result)

    run(work())


def _table_json(one: NamedTable) -> dict[str, Any]:
    return {
        "name": one.name,
        "aliases": list(one.aliases),
        "document": one.table.document,
        "version": one.table.version,
        "sheet": one.table.name,
        "rows": one.table.rows,
        "columns": [{"name": column.name, "type": column.type} for column in one.table.columns],
    }


def _show_table(one: NamedTable) -> None:
    from sourcebook.commands.printing import document_name
    from sourcebook.prompt.tools.table_names import quoted

    place = document_name(one.table.document) + (f", {one.table.name}" if one.table.name else "")
    click.echo(f"{click.style(one.name, bold=True)}  {one.table.rows:,} rows  {click.style(place, fg='cyan')}")
    for column in one.table.columns:
        click.echo(f"  {quoted(column.name)}  {click.style(column.type, dim=True)}")


def _print_result(result: QueryResult) -> None:
    """As JSON, with all the digits that decimals have."""
    from sourcebook.prompt.tools.tables import row_json

    head = {
        "columns": [{"name": column.name, "type": column.type} for column in result.columns],
        "cut": result.cut,
        "tables": [{"name": one.name, "document": one.table.document} for one in result.used],
    }
    rows = ", ".join(map(row_json, result.rows))
    click.echo(f'{json.dumps(head, ensure_ascii=False)[:-1]}, "rows": [{rows}]}}')


def _show_result(result: QueryResult) -> None:
    names = [column.name for column in result.columns]
    cells = [[_shown(cell) for cell in row] for row in result.rows]
    widths = [max(map(len, column)) for column in zip(names, *cells, strict=True)]
    numeric = [column.type.startswith(_NUMBERS) for column in result.columns]
    click.echo(click.style(_line(names, widths, numeric), bold=True).rstrip())
    click.echo("  ".join("-" * width for width in widths))
    for row in cells:
        click.echo(_line(row, widths, numeric).rstrip())
    rows = f"{len(cells):,} row{'' if len(cells) == 1 else 's'}"
    click.echo(click.style(f"({result.cut or rows})", dim=True))


_NUMBERS = ("BIGINT", "HUGEINT", "INTEGER", "SMALLINT", "TINYINT", "UBIGINT", "DOUBLE", "FLOAT", "DECIMAL")


def _line(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    return "  ".join(
        cell.rjust(width) if number else cell.ljust(width)
        for cell, width, number in zip(cells, widths, right, strict=True)
    )


def _shown(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    text = " ".join(str(value).split())
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"
