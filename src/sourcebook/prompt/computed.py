"""Whether a sentence says what a computation gave: its numbers, its names, and the rows that they stand in.

A result has no sentences to be compared with, so no words are asked for: "70" answers in any words. What counts is that
nothing in the sentence is from elsewhere.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Final

from sourcebook.language import detect
from sourcebook.prompt import particulars
from sourcebook.prompt.support import Verdict
from sourcebook.types import Computed


def judge_computed(text: str, results: Sequence[Computed], *, beside: str = "", asked: str = "") -> Verdict:
    """Whether a sentence rests on the results that it cites.

    Each of its numbers is in a row, as it is written there or rounded to as many digits as it has, as a percentage too;
    or it is in the statements or the question. Where it names cells of text, those are the rows that count. It names
    nobody whom results, statements, tables and question do not name; and at least one cell is in it, or, of a result
    without rows, a no. beside: what passages that it cites besides say.
    """
    language = detect(text) or detect(asked)
    known = " ".join((asked, beside, *(_around(one) for one in results)))
    rows = [row for one in results for row in map(_cells, one.rows)]
    named = [row for row in rows if any(isinstance(cell, str) and _says(text, cell) for cell in row)]
    cells = [cell for row in named or rows for cell in row]
    values = [Decimal(cell) for cell in cells if isinstance(cell, int | Decimal)]
    values += [Decimal(len(one.rows)) for one in results if not one.cut and len(one.rows) != 1]
    texts = particulars.amounts(" ".join(cell for cell in cells if isinstance(cell, str)))
    elsewhere = particulars.amounts(known)
    wanted = [
        written
        for written, amount in particulars.numbers(text)
        if not amount & (elsewhere | texts) and not any(_is(written, amount, value, text) for value in values)
    ]
    if wanted:
        return _not(f"the result does not say {', '.join(wanted)}")
    said = f"{known} {' '.join(cell for row in rows for cell in row if isinstance(cell, str))}".casefold()
    lost = [name for name in particulars.names(text, language) if _stem(name) not in said]
    if lost:
        return _not(f"the result does not name {', '.join(lost)}")
    if names_a_cell(text, results) or named:
        return _YES
    empty = any(not one.rows and not one.cut for one in results)
    return _YES if empty and particulars.denied(text, language) else _not("nothing of the result is in it")


def names_a_cell(text: str, results: Iterable[Computed]) -> bool:
    """Whether a number of the sentence is a cell of a result."""
    values = [
        Decimal(cell)
        for one in results
        for row in map(_cells, one.rows)
        for cell in row
        if isinstance(cell, int | Decimal)
    ]
    numbers = particulars.numbers(text)
    if any(_is(written, amount, value, text) for written, amount in numbers for value in values):
        return True
    in_words = particulars.amounts(text)
    return any(_plain(value) in in_words for value in values)


def _around(one: Computed) -> str:
    """What a result says besides its rows."""
    tables = " ".join(f"{table.document} {table.table}" for table in one.tables)
    return " ".join((one.sql, *one.columns, tables))


def _cells(row: str) -> list[object]:
    """The cells of a row: int, Decimal, or text; truth values and missing ones are left out."""
    cells = json.loads(row, parse_float=Decimal)
    return [cell for cell in cells if isinstance(cell, str | int | Decimal) and not isinstance(cell, bool)]


def _says(text: str, cell: str) -> bool:
    """Whether a text names a cell of text."""
    if len(cell) < 2 or cell.casefold() not in text.casefold():
        return False
    return bool(re.search(rf"(?<!\w){re.escape(cell)}(?!\w)", text, re.IGNORECASE))


def _is(written: str, amount: particulars.Amount, value: Decimal, text: str) -> bool:
    """Whether a number of the text is the value, rounded to as many digits as it is written with."""
    digits = len(re.sub(r"\D", "", written).lstrip("0")) or 1
    percent = re.search(rf"{re.escape(written)}\s?(?:%|per ?cent|Prozent|pour ?cent|por ciento)", text, re.IGNORECASE)
    return any(
        _rounds(scaled, Decimal(reading), digits)
        for reading in amount
        for scaled in ((value, value * 100) if percent else (value,))
    )


def _rounds(value: Decimal, said: Decimal, digits: int) -> bool:
    if abs(value) == abs(said):
        return True
    if not said:
        return False
    place = Decimal(1).scaleb(said.adjusted() - digits + 1)
    try:
        return abs(value).quantize(place, ROUND_HALF_UP) == abs(said)
    except InvalidOperation:  # more digits than there are
        return False


def _plain(value: Decimal) -> str:
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _stem(name: str) -> str:
    return re.sub(r"['’]s?\Z", "", name.casefold())


def _not(reason: str) -> Verdict:
    return Verdict(supported=False, probability=0.0, reason=reason)


_YES: Final = Verdict(supported=True, probability=1.0)
