"""Tables as they are read: rows go in one by one; out comes a table whose columns have types, packed.

The type of a column is that of all its cells, by the first of these rules that holds for every one:

    BIGINT, HUGEINT   whole numbers without leading zeros or plus sign (007 and +49 30 1234 are no numbers), up to
                      18 or 38 digits
    DECIMAL(p,s)      numbers with a decimal point, exactly as written, up to 9 digits after it
    DOUBLE            such numbers with more digits, or in scientific notation with one digit before the point
    DECIMAL, BIGINT   1,234.50 and 1.234,50, if the column shows which of the two it is
    BOOLEAN           true and false
    DATE              2024-01-31, 2024/01/31, 31.01.2024; 31/01/2024 and 01/31/2024, if a day over 12 shows which
    TIMESTAMP         ISO 8601 without time zone, dates may be among them; or all of it in UTC, with Z at the end
    VARCHAR           everything else, as it stands, without white space at the ends

Empty cells are NULL; so are n/a, null, - and the like where all other cells are of one of the types above. What is a
text in its file already (in spreadsheets, databases, JSON) stays one, unless it is an ISO 8601 date or time.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import zip_longest

from sourcebook.parse.draft import storable
from sourcebook.parse.rows import column_name
from sourcebook.types import Column, Table

SEPARATOR = "\x1f"  # never in a storable text
_FIRST = 10  # rows of the first batch, which can be read without the others
_BATCH = 20_000  # rows of each of the others
_MAX_COLUMNS = 2_000  # wider is no table that anybody queries
_MISSING = frozenset(("", "n/a", "na", "#n/a", "null", "none", "nan", "nil", "-", "--", "–", "—", "?"))
_MAX_DIGITS, _MAX_SCALE = 38, 9

Cell = object
"""A text, number, truth value, date, datetime or None; anything else counts as the text that str() makes of it."""


class TableDraft:
    """A table being read. headers: the names of its columns, as far as it has any; the list may grow until the end.

    written: cells are texts as somebody wrote them, which say nothing of their type; else text is meant as text.
    """

    def __init__(self, name: str, headers: Sequence[str] | None, *, written: bool) -> None:
        self._name = name
        self._headers = () if headers is None else headers
        self._written = written
        self._batch: list[Sequence[Cell]] = []
        self._packed: list[list[str]] = []
        self._columns: list[_ColumnDraft] = []
        self._places: list[tuple[int, int]] = []
        self._rows = 0

    def add(self, number: int, cells: Sequence[Cell]) -> None:
        """Append a row; number: where it stands, from 1. Rows without any value are left out."""
        if not any(cell not in (None, "") and (type(cell) is not str or cell.strip()) for cell in cells):
            return
        first, count = self._places[-1] if self._places else (0, 0)
        if count and first + count == number:
            self._places[-1] = (first, count + 1)
        else:
            self._places.append((number, 1))
        self._batch.append(cells)
        self._rows += 1
        if len(self._batch) >= (_BATCH if self._packed else _FIRST):
            self._pack()

    def finish(self) -> Table | None:
        """The table, or None if it has no columns or too many."""
        self._pack()
        self._widen(len(self._headers))
        if not self._columns or len(self._columns) > _MAX_COLUMNS:
            return None
        for batch in self._packed:
            batch += [SEPARATOR * (batch[0].count(SEPARATOR))] * (len(self._columns) - len(batch))
        kinds = [column.decided(batch[n] for batch in self._packed) for n, column in enumerate(self._columns)]
        batches = [[kind.rewritten(cells) for kind, cells in zip(kinds, batch, strict=True)] for batch in self._packed]
        return Table(
            name=storable(self._name),
            columns=tuple(Column(name=name, type=kind.type) for name, kind in zip(self._names(), kinds, strict=True)),
            rows=self._rows,
            places=tuple(self._places),
            data=zlib.compress(json.dumps(batches, ensure_ascii=False).encode(), 1),
        )

    def _pack(self) -> None:
        """Rows into columns, which take a tenth of the memory."""
        if not self._batch:
            return
        columns = list(zip_longest(*self._batch, fillvalue=""))
        columns = columns[: _MAX_COLUMNS + 1]  # a wider table is not kept: `finish` sees it by the number of columns
        columns += [("",) * len(self._batch)] * (len(self._columns) - len(columns))
        self._batch = []
        self._widen(len(columns))
        self._packed.append([column.take(cells) for column, cells in zip(self._columns, columns, strict=True)])

    def _widen(self, width: int) -> None:
        while len(self._columns) < min(width, _MAX_COLUMNS + 1):
            self._columns.append(_ColumnDraft(written=self._written))

    def _names(self) -> list[str]:
        """The headers, distinct whatever their case; columns without one are named by their letter."""
        taken: set[str] = set()
        names = []
        for number in range(len(self._columns)):
            header = self._headers[number] if number < len(self._headers) else ""
            name = plain = " ".join(storable(header).split()) or column_name(number)
            count = 1
            while name.casefold() in taken:
                count += 1
                name = f"{plain} ({count})"
            taken.add(name.casefold())
            names.append(name)
        return names


@dataclass(frozen=True, slots=True)
class _Kind:
    """A type that a column may have.

    matches: whether a cell could be of it. typed: the SQL type that all the cells together have, or None if they are
    not of it after all. written: a cell as SQL reads it; None: as it stands.
    """

    matches: Callable[[str], object]
    typed: Callable[[Sequence[str]], str | None]
    written: Callable[[str], str] | None = None


class _ColumnDraft:
    """What a column can still be."""

    def __init__(self, *, written: bool) -> None:
        self._written = written
        self._kinds = list(_KINDS)
        self._empty = True

    def take(self, cells: Sequence[Cell]) -> str:
        """The cells, packed; kinds that one of them is not of fall away."""
        texts = [cell.strip() if type(cell) is str else "" if cell is None else _text(cell) for cell in cells]
        if storable(plain := "".join(texts)) != plain:
            texts = [storable(text).strip() for text in texts]
        if self._kinds:
            values = [text for text in texts if text and text.casefold() not in _MISSING]
            self._empty = self._empty and not values
            if not self._written and any(
                type(cell) is str and cell.strip().casefold() not in _MISSING for cell in cells
            ):
                self._kinds = [kind for kind in self._kinds if kind in _ISO]
            self._kinds = [kind for kind in self._kinds if all(map(kind.matches, values))]
        return SEPARATOR.join(texts)

    def decided(self, batches: Iterable[str]) -> _Decided:
        """The type of the whole column."""
        if self._empty or not self._kinds:
            return _Decided("VARCHAR", None)
        values = [
            text for batch in batches for text in batch.split(SEPARATOR) if text and text.casefold() not in _MISSING
        ]
        for kind in self._kinds:
            if (found := kind.typed(values)) is not None:
                return _Decided(found, kind.written or (lambda text: text))
        return _Decided("VARCHAR", None)


@dataclass(frozen=True, slots=True)
class _Decided:
    """A column's type, and how its cells are written for it (None: as they stand)."""

    type: str
    written: Callable[[str], str] | None

    def rewritten(self, cells: str) -> str:
        if self.written is None:
            return cells
        written = self.written
        return SEPARATOR.join("" if text.casefold() in _MISSING else written(text) for text in cells.split(SEPARATOR))


def _text(cell: Cell) -> str:
    """A cell that is no text as SQL reads it."""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() and abs(cell) < 1e15 else repr(cell)
    if isinstance(cell, datetime):
        return cell.replace(tzinfo=None).isoformat(" ")
    if isinstance(cell, date):
        return cell.isoformat()
    return str(cell).strip()


# --- numbers ------------------------------------------------------------------------------------------------

_WHOLE = re.compile(r"-?(?:0|[1-9]\d*)", re.ASCII)
_DECIMAL = re.compile(r"-?(?:(?:0|[1-9]\d*)(?:\.\d+)?|\.\d+)", re.ASCII)
_FLOAT = re.compile(r"-?(?:(?:0|[1-9]\d*)(?:\.\d+)?|\.\d+|\d(?:\.\d+)?[eE][-+]?\d{1,3})", re.ASCII)
_ENGLISH = re.compile(r"-?(?:0|[1-9]\d*|[1-9]\d{0,2}(?:,\d{3})+)(?:\.\d+)?", re.ASCII)
_EUROPEAN = re.compile(r"-?(?:0|[1-9]\d*|[1-9]\d{0,2}(?:\.\d{3})+)(?:,\d+)?", re.ASCII)


def _whole(values: Sequence[str]) -> str | None:
    digits = max(len(value.lstrip("-")) for value in values)
    return "BIGINT" if digits <= 18 else "HUGEINT" if digits <= _MAX_DIGITS else None


def _decimal(values: Sequence[str]) -> str | None:
    """As few digits as hold every value, but 18 at least: that costs nothing and leaves room for sums."""
    whole = scale = 0
    for value in values:
        before, _, after = value.lstrip("-").partition(".")
        whole, scale = max(whole, len(before)), max(scale, len(after))
    if not scale:
        return _whole(values)
    if scale > _MAX_SCALE or whole + scale > _MAX_DIGITS:
        return _double(values)
    return f"DECIMAL({18 if whole + scale <= 18 else _MAX_DIGITS},{scale})"


def _double(values: Sequence[str]) -> str | None:
    """Not what would lose the digits before its point: that is a code."""
    whole = (value.lstrip("-").partition(".")[0] for value in values if "e" not in value.lower())
    return "DOUBLE" if all(len(digits) <= _MAX_DIGITS for digits in whole) else None


def _english(values: Sequence[str]) -> str | None:
    """1,234.50; a column of nothing but 1,234 could be European as well."""
    sure = any(("," in value and "." in value) or value.count(",") > 1 for value in values)
    return _decimal([_without_commas(value) for value in values]) if sure else None


def _european(values: Sequence[str]) -> str | None:
    """1.234,50 and 0,5; a column of nothing but 1,234 could be English as well."""
    sure = any(
        ("," in value and ("." in value or len(value.rpartition(",")[2]) != 3 or value.lstrip("-").startswith("0,")))
        or value.count(".") > 1
        for value in values
    )
    return _decimal([_with_point(value) for value in values]) if sure else None


def _without_commas(text: str) -> str:
    return text.replace(",", "")


def _with_point(text: str) -> str:
    return text.replace(".", "").replace(",", ".")


# --- dates --------------------------------------------------------------------------------------------------

_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_TIMESTAMP = re.compile(r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?)?", re.ASCII)
_YEAR_FIRST = re.compile(r"(\d{4})/(\d{1,2})/(\d{1,2})", re.ASCII)
_DOTTED = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})", re.ASCII)
_SLASHED = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})", re.ASCII)


def _by(pattern: re.Pattern[str], year: int, month: int, day: int) -> Callable[[str], str]:
    """What makes an ISO date of a text whose groups hold year, month and day; "" of one that is no date."""

    def rewritten(text: str) -> str:
        found = pattern.fullmatch(text)
        try:
            return date(int(found[year]), int(found[month]), int(found[day])).isoformat() if found else ""
        except ValueError:
            return ""

    return rewritten


def _is_date(text: str) -> bool:
    try:
        return _ISO_DATE.fullmatch(text) is not None and date.fromisoformat(text).year > 0
    except ValueError:
        return False


def _is_timestamp(text: str) -> bool:
    try:
        return _TIMESTAMP.fullmatch(text) is not None and datetime.fromisoformat(text).year > 0
    except ValueError:
        return False


def _is_utc(text: str) -> bool:
    return text.endswith("Z") and len(text) > len("2024-01-31Z") and _is_timestamp(text[:-1])


def _without_zone(text: str) -> str:
    return text.removesuffix("Z")


def _days_over_12(group: int) -> Callable[[Sequence[str]], str | None]:
    def typed(values: Sequence[str]) -> str | None:
        found = (_SLASHED.fullmatch(value) for value in values)
        return "DATE" if any(one is not None and int(one[group]) > 12 for one in found) else None

    return typed


def _always(type_name: str) -> Callable[[Sequence[str]], str | None]:
    return lambda _values: type_name


_year_first = _by(_YEAR_FIRST, 1, 2, 3)
_dotted = _by(_DOTTED, 3, 2, 1)
_day_first = _by(_SLASHED, 3, 2, 1)
_month_first = _by(_SLASHED, 3, 1, 2)

_ISO = (
    _Kind(_is_date, _always("DATE")),
    _Kind(_is_timestamp, _always("TIMESTAMP")),
    _Kind(_is_utc, _always("TIMESTAMP"), _without_zone),
)
_KINDS = (
    _Kind(_WHOLE.fullmatch, _whole),
    _Kind(_DECIMAL.fullmatch, _decimal),
    _Kind(_FLOAT.fullmatch, _double),
    _Kind(_ENGLISH.fullmatch, _english, _without_commas),
    _Kind(_EUROPEAN.fullmatch, _european, _with_point),
    _Kind(re.compile("true|false", re.IGNORECASE).fullmatch, _always("BOOLEAN")),
    *_ISO,
    _Kind(_year_first, _always("DATE"), _year_first),
    _Kind(_dotted, _always("DATE"), _dotted),
    _Kind(_day_first, _days_over_12(1), _day_first),
    _Kind(_month_first, _days_over_12(2), _month_first),
)
