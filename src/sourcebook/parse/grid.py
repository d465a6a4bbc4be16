"""Tables of documents and web pages: cells with spans -> rows that carry their headers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sourcebook.parse.rows import first_row, header_names, is_header, row_text

_MAX_SPAN = 1000
_MAX_CELLS = 2_000_000
_LONG = 1000  # characters; a cell as long as this, without headers, is layout


class Grid:
    """A table as it is read, row by row. A cell that spans several places stands in each of them."""

    def __init__(self) -> None:
        self.layout = False
        self._rows: list[list[str]] = []
        self._header_rows = 0
        self._named_rows = 0
        self._below: dict[int, tuple[int, str]] = {}  # column -> rows still to fill, and with what
        self._row: list[tuple[list[str], bool, int, int]] | None = None
        self._in_head = False
        self._size = 0

    def begin_row(self, *, head: bool = False) -> None:
        """A new row; head: it stands in the table's head."""
        self.end_row()
        self._row = []
        self._in_head = head

    def begin_cell(self, *, header: bool = False, columns: int = 1, rows: int = 1) -> None:
        """A new cell of the row, over so many columns and rows."""
        if self._row is None:
            self.begin_row()
        if self._row is not None:
            self._row.append(([], header, max(1, min(columns, _MAX_SPAN)), max(1, min(rows, _MAX_SPAN))))

    def add(self, text: str) -> bool:
        """Text of the cell that was begun last; False if there is none."""
        if not self._row:
            return False
        self._row[-1][0].append(text)
        return True

    def end_row(self) -> None:
        """Lay the row out, with what hangs down from the rows above."""
        cells, self._row = self._row, None
        if cells is None or self._size > _MAX_CELLS:
            return
        values: list[str] = []
        for text, _, columns, rows in cells:
            self._hanging(values)
            value = " ".join(text)
            for _ in range(columns):
                if rows > 1:
                    self._below[len(values)] = (rows - 1, value)
                values.append(value)
        self._hanging(values)
        self._size += len(values)
        is_head = bool(cells) and (self._in_head or all(header for _, header, _, _ in cells))
        if is_head and self._header_rows == len(self._rows):
            self._header_rows += 1
        if len(cells) > 1 and cells[0][1] and not any(header for _, header, _, _ in cells[1:]):
            self._named_rows += 1
        self._rows.append(values)

    def _hanging(self, values: list[str]) -> None:
        while (column := len(values)) in self._below:
            left, value = self._below.pop(column)
            values.append(value)
            if left > 1:
                self._below[column] = (left - 1, value)

    def cells(self) -> list[str]:
        """Every text of it, in order, for a table that is only layout."""
        texts = [" ".join(text) for text, *_ in self._row or ()]
        return [text for row in self._rows for text in row if text] + [text for text in texts if text]

    def rows(self) -> Iterator[tuple[int, str]]:
        """(row number from 1, text) of each row that is not a header; none at all if it is only layout."""
        self.end_row()
        rows = self._rows
        width = max(map(len, rows), default=0)
        plain = not self._header_rows and not self._named_rows
        if width < 2 or (plain and any(len(cell) > _LONG for row in rows for cell in row)):
            self.layout = True
            return
        if plain or self._header_rows == len(rows):
            yield from table_rows(rows)
        elif self._header_rows:
            headers = header_names(_merged(rows[: self._header_rows], width))
            for number, row in enumerate(rows[self._header_rows :], self._header_rows + 1):
                yield number, row_text(headers, row)
        else:
            for number, row in enumerate(rows, 1):
                values = row_text(None, row[1:])
                yield number, f"{row[0].rstrip(':')}: {values}" if row[0] and values else row_text(None, row)


def table_rows(rows: Sequence[Sequence[str]]) -> Iterator[tuple[int, str]]:
    """(row number from 1, text) of the rows of a table that does not say which of them are headers."""
    first = first_row(rows)
    if first is None:
        return
    headers = header_names(rows[first]) if is_header(rows[first], rows[first + 1 :]) else None
    for number, row in enumerate(rows, 1):
        if number <= first:
            yield number, row_text(None, row)
        elif number > first + 1 or headers is None:
            yield number, row_text(headers, row)


def _merged(heads: Sequence[Sequence[str]], width: int) -> list[str]:
    """One name a column from several header rows: "Results / Accuracy"."""
    names = []
    for column in range(width):
        parts = [row[column] for row in heads if column < len(row) and row[column]]
        names.append(" / ".join(dict.fromkeys(parts)))
    return names
