"""CSV and TSV: each record is a row that carries its headers, and all of them are a table."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator
from itertools import chain, islice
from typing import Literal

from sourcebook.errors import Damaged, Empty
from sourcebook.parse.base import Limits
from sourcebook.parse.draft import Draft, too_much_text
from sourcebook.parse.encoding import decode
from sourcebook.parse.rows import first_row, header_names, is_header, row_text
from sourcebook.parse.tables import TableDraft
from sourcebook.types import ParsedDocument

_DELIMITERS = ",;\t|"
_SAMPLE_CHARACTERS = 65_536
_SAMPLE_RECORDS = 100


class DelimitedParser:
    """Values parted by commas, semicolons, tabs or bars, whichever the file shows; RFC 4180 quoting."""

    fingerprint = "delimited-3"

    def accepts(self, name: str, head: bytes) -> bool:  # noqa: ARG002
        """By its name: any text could be a table of one column."""
        return name.lower().endswith((".csv", ".tsv", ".tab"))

    def parse(self, data: bytes, name: str, limits: Limits) -> ParsedDocument:
        """Rows located as "row 7", from 1, the header row counted. Errors: Damaged, Empty, TooLarge."""
        text = decode(data)
        if len(text) > limits.max_text:
            raise too_much_text(limits)
        records = _records(text, _delimiter(text, name))
        sample = list(islice(records, _SAMPLE_RECORDS))
        draft = Draft(limits)
        first = first_row(sample)
        if first is None:
            raise Empty("There is no row in it")
        headers = header_names(sample[first]) if is_header(sample[first], sample[first + 1 :]) else None
        table = TableDraft("", headers, written=True)
        for number, record in enumerate(chain(sample, records), 1):
            if number <= first:
                draft.add("paragraph", row_text(None, record))
            elif number > first + 1 or headers is None:
                draft.add("table_row", row_text(headers, record), location=f"row {number}")
                table.add(number, record)
        made = table.finish()
        return draft.finish(tables=() if made is None else (made,))


def _delimiter(text: str, name: str) -> str:
    """The one that parts the most records into the same number (over one) of values."""
    sample = text[:_SAMPLE_CHARACTERS]
    best, best_score = "\t" if name.lower().endswith((".tsv", ".tab")) else ",", 0.0
    for delimiter in _DELIMITERS:
        if delimiter not in sample:
            continue
        widths = [len(record) for record in islice(_records(sample, delimiter), _SAMPLE_RECORDS) if record]
        if len(text) > len(sample) and len(widths) > 1:
            widths.pop()  # cut off
        if not widths:
            continue
        width, times = Counter(widths).most_common(1)[0]
        score = times / len(widths) * (1 - 1 / width) * (1.2 if delimiter == best else 1.0)
        if score > best_score:
            best, best_score = delimiter, score
    return best


def _records(text: str, delimiter: str) -> Iterator[list[str]]:
    """Records by RFC 4180; if a quote is never closed, quotes are taken as they stand."""
    quoted = True
    if '"' in text:
        try:
            for _ in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True):
                pass
        except csv.Error as error:
            quoted = "expected after" in str(error)
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
    try:
        yield from csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, quoting=quoting)
    except csv.Error as error:
        raise Damaged(
            f"It is not a table of values: {error}", remedy="Rename it to .txt to have it read as text"
        ) from error
