"""SQLite database files: each table is kept as one, and each of its rows is a row that carries its column names."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing

from sourcebook.errors import Damaged
from sourcebook.parse.base import Limits
from sourcebook.parse.draft import Draft
from sourcebook.parse.formats import identify
from sourcebook.parse.rows import row_text
from sourcebook.parse.tables import TableDraft
from sourcebook.types import ParsedDocument, Table

_VERSIONS = slice(18, 20)  # of the file format, for writing and for reading; 2 is WAL (sqlite.org/fileformat2.html)


class DatabaseParser:
    """SQLite 3 files. Only what is stored is read: no view, no virtual table, no function of the schema runs."""

    fingerprint = "databases-1"

    def accepts(self, name: str, head: bytes) -> bool:
        """By its content."""
        return identify(name, head) == "sqlite"

    def parse(self, data: bytes, name: str, limits: Limits) -> ParsedDocument:  # noqa: ARG002
        """Tables as headings, rows located as "Customer!7", from 1. Errors: Damaged, Empty, TooLarge."""
        image = bytearray(data)
        if image[_VERSIONS] == b"\2\2":
            image[_VERSIONS] = b"\1\1"  # what its log file still holds is not ours to read
        draft = Draft(limits)
        try:
            with closing(sqlite3.connect(":memory:")) as connection:
                connection.execute("PRAGMA trusted_schema=OFF")
                connection.deserialize(bytes(image))
                del image
                connection.execute("PRAGMA query_only=ON")
                connection.text_factory = lambda text: text.decode(errors="replace")
                tables = [made for one in _names(connection) for made in _write(draft, connection, one)]
        except (sqlite3.Error, sqlite3.Warning) as error:
            raise Damaged(
                f"The database cannot be read: {error}", remedy="Check it with: sqlite3 FILE .check"
            ) from error
        return draft.finish(tables=tables)


def _names(connection: sqlite3.Connection) -> list[str]:
    """The ordinary tables, in the order of the schema, without those that virtual tables keep for themselves."""
    rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table' ORDER BY rowid").fetchall()
    virtual = tuple(f"{name}_" for name, sql in rows if re.match(r"(?i)CREATE\s+VIRTUAL", str(sql)))
    return [
        str(name)
        for name, sql in rows
        if not str(name).startswith(("sqlite_", *virtual)) and not re.match(r"(?i)CREATE\s+VIRTUAL", str(sql))
    ]


def _write(draft: Draft, connection: sqlite3.Connection, name: str) -> Iterator[Table]:
    quoted = name.replace('"', '""')
    rows = connection.execute(f'SELECT * FROM "{quoted}"')  # noqa: S608
    headers = [str(column[0]) for column in rows.description]
    table = TableDraft(name, headers, written=False)
    draft.add("heading", name, level=1)
    for number, row in enumerate(rows, 1):
        cells = [None if isinstance(cell, bytes) else cell for cell in row]
        shown = ["" if cell is None else str(cell) for cell in cells]
        draft.add("table_row", row_text(headers, shown), location=f"{name}!{number}")
        table.add(number, cells)
    if (made := table.finish()) is not None:
        yield made
