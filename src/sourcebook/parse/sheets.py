"""Spreadsheets: each row of each sheet carries its headers, and says where it stands; its tables are kept."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time
from importlib.metadata import version
from typing import TYPE_CHECKING

from sourcebook.errors import Damaged
from sourcebook.parse.archives import check_archive, locked
from sourcebook.parse.base import Limits
from sourcebook.parse.draft import Draft, too_many_rows
from sourcebook.parse.formats import identify
from sourcebook.parse.rows import first_row, header_names, is_header, over_values, row_text
from sourcebook.parse.tables import Cell, TableDraft
from sourcebook.types import ParsedDocument, Table

_SAMPLE = 50  # rows from which headers are judged

if TYPE_CHECKING:
    from python_calamine import CalamineSheet


class SheetParser:
    """XLSX, XLSM, XLSB, XLS and ODS, by calamine."""

    @property
    def fingerprint(self) -> str:
        """With the library's version."""
        return f"sheets-3 python-calamine-{version('python-calamine')}"

    def accepts(self, name: str, head: bytes) -> bool:
        """By its content."""
        return identify(name, head) in ("xlsx", "xls", "xlsb", "ods")

    def parse(self, data: bytes, name: str, limits: Limits) -> ParsedDocument:  # noqa: ARG002
        """Sheets as headings, rows located as "Sheet1!7". Errors: Damaged, Encrypted, Empty, TooLarge."""
        from python_calamine import (
            CalamineError,
            CalamineWorkbook,
            PasswordError,
            SheetTypeEnum,
            SheetVisibleEnum,
        )

        if data.startswith(b"PK"):
            check_archive(data, limits)
        draft = Draft(limits)
        tables: list[Table] = []
        try:
            workbook = CalamineWorkbook.from_filelike(io.BytesIO(data))
            for number, sheet in enumerate(workbook.sheets_metadata):
                if sheet.typ == SheetTypeEnum.WorkSheet and sheet.visible != SheetVisibleEnum.VeryHidden:
                    rows = _rows(workbook.get_sheet_by_index(number), limits)
                    tables += write_sheet(draft, sheet.name, rows)
        except PasswordError as error:
            raise locked() from error
        except CalamineError as error:
            raise Damaged(
                f"The spreadsheet cannot be read: {error}"[:500], remedy="Check that it opens in its application"
            ) from error
        return draft.finish(tables=tables)


def write_sheet(draft: Draft, name: str, cells: Sequence[Sequence[Cell]]) -> list[Table]:
    """Add a sheet: its name as a heading, then its rows. The i'th row is row i + 1 of the sheet.

    Empty rows part tables; a part that does not begin with headers of its own goes on with those above. Returns the
    tables: those with headers, and those without that have two rows and two columns at least.
    """
    rows = [[shown(cell) for cell in row] for row in cells]
    headers: tuple[str, ...] | None = None
    named = False
    drafts: list[TableDraft] = []
    for top, table in _tables(rows):
        if not named:
            draft.add("heading", name, level=1)
            named = True
        first = first_row(table) or 0
        below = table[first + 1 : first + 1 + _SAMPLE]
        new = is_header(table[first], below) and (headers is None or over_values(table[first], below))
        if new:
            headers = header_names(table[first])
            drafts.append(TableDraft(name, headers, written=False))
        elif headers is not None and not _fits(table, headers):
            headers = None
        bare = headers is None and len(table) - first > 1 and sum(1 for cell in table[first] if cell.strip()) > 1
        if bare:
            drafts.append(TableDraft(name, None, written=False))
        for number, row in enumerate(table):
            if number != first or not new:
                alone = number < first or (len(table) == 1 and sum(1 for cell in row if cell.strip()) == 1)
                text = row_text(None if alone else headers, row)
                draft.add("table_row", text, location=f"{name}!{top + number + 1}")
                if not alone and (headers is not None or bare):
                    drafts[-1].add(top + number + 1, [_exact(cell) for cell in cells[top + number]])
    return [made for one in drafts if (made := one.finish()) is not None]


def _rows(sheet: CalamineSheet, limits: Limits) -> list[list[Cell]]:
    """All rows from the sheet's first, cells from column A. A cell merged downwards stands in each row."""
    if sheet.start is None:
        return []
    indent: list[Cell] = [""] * sheet.start[1]
    rows: list[list[Cell]] = []
    for cells in sheet.iter_rows():
        rows.append([*indent, *cells])
        if len(rows) > limits.max_rows:
            raise too_many_rows(limits)
    for (top, column), (bottom, right) in (sheet.merged_cell_ranges or ())[:10_000]:
        if top < len(rows) and bottom > top and right == column < len(rows[top]):
            for row in rows[top + 1 : bottom + 1]:
                row[column] = rows[top][column] if row[column] == "" else row[column]
    return rows


def _tables(rows: Sequence[Sequence[str]]) -> Iterator[tuple[int, Sequence[Sequence[str]]]]:
    """(index of the first row, rows) of each run of rows that are not empty."""
    start: int | None = None
    for number, row in enumerate(rows):
        filled = any(cell.strip() for cell in row)
        if filled and start is None:
            start = number
        elif not filled and start is not None:
            yield start, rows[start:number]
            start = None
    if start is not None:
        yield start, rows[start:]


def _fits(table: Sequence[Sequence[str]], headers: tuple[str, ...]) -> bool:
    """Whether every filled cell stands under one of the names."""
    width = len(headers)
    return all(not cell.strip() for row in table for cell in row[width:])


def _exact(cell: Cell) -> Cell:
    """A number with the 15 digits that spreadsheets show: 0.3 for 0.1 + 0.2."""
    return float(format(cell, ".15g")) if isinstance(cell, float) else cell


def shown(cell: object) -> str:
    """A cell as a person would write it: 3 for 3.0, ISO 8601 for dates."""
    if isinstance(cell, str):
        return cell
    if isinstance(cell, bool):
        return "TRUE" if cell else "FALSE"
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() and abs(cell) < 1e15 else format(cell, ".12g")
    if isinstance(cell, datetime):
        return cell.date().isoformat() if not (cell.hour or cell.minute or cell.second) else cell.isoformat(" ")
    if isinstance(cell, (date, time)):
        return cell.isoformat()
    return str(cell)
