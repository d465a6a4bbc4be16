"""Tables -> lines that stand for themselves: each row carries its headers."""

from __future__ import annotations

import re
from collections.abc import Sequence

_PAIR_AHEAD = re.compile(r";\s*[^;:]{1,60}:\s")  # what would read as the next "header: value"
_NUMBER = re.compile(r"[-+(]?\s?[$€£¥₩]?\s?\d[\d\s.,']*\s?(%|[$€£¥₩]|[A-Za-z]{1,3})?\)?")
_DATE = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([T ].*)?|\d{1,2}:\d{2}(:\d{2})?")
_ADDRESS = re.compile(r"\S+@\S+\.\S+|https?://\S+")
_NOTHING = frozenset(("", "-", "–", "?", "n/a", "na", "nan", "null", "none", "unknown"))  # what stands for no value
_YEAR = re.compile(r"(19|20|21)\d\d")


def row_text(headers: Sequence[str] | None, cells: Sequence[str]) -> str:
    """One row on one line: "Header: value; Header: value", or "value | value" without headers.

    Empty cells are left out. A value that would read as several pairs stands in quotes.
    """
    values = [" ".join(cell.split()) for cell in cells]
    if headers is None:
        return " | ".join(value for value in values if value)
    pairs = []
    for column, value in enumerate(values):
        if value:
            header = headers[column] if column < len(headers) else column_name(column)
            shown = f'"{value}"' if ";" in value and _PAIR_AHEAD.search(value) else value
            pairs.append(f"{header}: {shown}" if header else shown)
    return "; ".join(pairs)


def header_names(cells: Sequence[str]) -> tuple[str, ...]:
    """Names for the columns: one line each, repeated ones numbered.

    A first column without a name holds the names of the rows: it stays without ("").
    """
    names: list[str] = []
    taken: dict[str, int] = {}
    for column, cell in enumerate(cells):
        name = " ".join(cell.split()).rstrip(":").rstrip()
        name = name or (column_name(column) if column else "")
        taken[name] = taken.get(name, 0) + 1
        names.append(name if taken[name] == 1 else f"{name} ({taken[name]})")
    return tuple(names)


def column_name(column: int) -> str:
    """What a column without a header is called: "Column C" for 2."""
    letters = ""
    column += 1
    while column:
        column, rest = divmod(column - 1, 26)
        letters = chr(65 + rest) + letters
    return f"Column {letters}"


def is_header(first: Sequence[str], below: Sequence[Sequence[str]]) -> bool:
    """Whether the first row of a table names its columns, judged from it and a sample of the rows below.

    Column names are words; years may be among them. Where no column of numbers or the like tells them from what is
    below, they differ from each other and do not come again.
    """
    filled = [cell.strip() for cell in first if cell.strip()]
    body = [row for row in below if any(cell.strip() for cell in row)]
    if not filled or not body:
        return False
    told = over_values(first, body)
    if not told and len({cell.casefold() for cell in filled}) < len(filled):
        return False
    if any(len(cell) > 100 for cell in filled):
        return False
    data_like = [cell for cell in filled if is_value(cell)]
    if data_like:
        return len(data_like) < len(filled) and all(_YEAR.fullmatch(cell) for cell in data_like)
    width = max(len([cell for cell in row if cell.strip()]) for row in body)
    if len(filled) < width / 2:
        return False
    return told or not any(
        name.strip() and any(column < len(row) and row[column].strip() == name.strip() for row in body)
        for column, name in enumerate(first)
    )


def over_values(first: Sequence[str], below: Sequence[Sequence[str]]) -> bool:
    """Whether numbers, dates or the like stand under one of the names: a sure sign of headers."""
    for column, name in enumerate(first):
        values = [row[column] for row in below if column < len(row) and row[column].strip()]
        named = name.strip().casefold() not in _NOTHING and not is_value(name)
        if named and values and sum(map(is_value, values)) > len(values) / 2:
            return True
    return False


def first_row(rows: Sequence[Sequence[str]]) -> int | None:
    """Where the table begins: the rows before it have at most one filled cell each (a title, a remark).

    None if no row has a filled cell. A table of one column begins with its first filled row.
    """
    filled = [sum(1 for cell in row if cell.strip()) for row in rows]
    for number, count in enumerate(filled):
        if count > 1:
            return number if number <= 10 else next(i for i, some in enumerate(filled) if some)
    return next((number for number, count in enumerate(filled) if count), None)


def is_value(cell: str) -> bool:
    """Whether it is a number, an amount, a date, an address: what stands in a table, not over it."""
    cell = cell.strip()
    return len(cell) < 60 and any(shape.fullmatch(cell) for shape in (_NUMBER, _DATE, _ADDRESS))
