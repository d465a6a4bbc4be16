"""JSON and JSON Lines: each record is a row that carries its keys; nested keys are dotted. Records make a table."""

from __future__ import annotations

import json
from collections.abc import Iterator

from sourcebook.errors import Damaged, Empty, TooLarge
from sourcebook.parse.base import Limits
from sourcebook.parse.draft import Draft
from sourcebook.parse.encoding import decode
from sourcebook.parse.rows import row_text
from sourcebook.parse.tables import Cell, TableDraft
from sourcebook.types import ParsedDocument, Table

_MAX_DEPTH = 200

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]


class JsonParser:
    """One JSON value, or one a line."""

    fingerprint = "json-2"

    def accepts(self, name: str, head: bytes) -> bool:  # noqa: ARG002
        """By its name."""
        return name.lower().endswith((".json", ".jsonl", ".ndjson", ".geojson"))

    def parse(self, data: bytes, name: str, limits: Limits) -> ParsedDocument:
        """Rows located as "item 7" (of an array) or "line 7". Errors: Damaged, Empty, TooLarge."""
        text = decode(data)
        if not text.strip():
            raise Empty("There is no text in it")
        draft = Draft(limits)
        tables: list[Table] = []
        by_line = name.lower().endswith((".jsonl", ".ndjson"))
        try:
            if by_line:
                tables += _write_lines(draft, text)
            else:
                tables += _write_value(draft, _load(text))
        except json.JSONDecodeError as error:
            if by_line or not _looks_like_lines(text):
                raise _broken(error) from error
            draft = Draft(limits)
            try:
                tables += _write_lines(draft, text)
            except json.JSONDecodeError:
                raise _broken(error) from error
        return draft.finish(tables=() if name.lower().endswith(".ipynb") else tables)


def _write_value(draft: Draft, value: Json) -> Iterator[Table]:
    """An array of records as rows; an object that holds such arrays with their names as headings."""
    if isinstance(value, list):
        yield from _write_array(draft, value, "")
        return
    if not isinstance(value, dict):
        draft.add("paragraph", _scalar(value))
        return
    arrays = {key: item for key, item in value.items() if _is_records(item)}
    rest = {key: item for key, item in value.items() if key not in arrays}
    flat: dict[str, Json] = {key: item for key, item in rest.items() if not isinstance(item, (dict, list))}
    groups: list[dict[str, Json]] = [flat, *({key: item} for key, item in rest.items() if key not in flat)]
    for group in groups:
        draft.add("paragraph", "\n".join(f"{path}: {leaf}" for path, leaf in leaves(group) if leaf))
    for key, item in arrays.items():
        if isinstance(item, list):
            draft.add("heading", key, level=1)
            yield from _write_array(draft, item, key)


def _write_array(draft: Draft, items: list[Json], name: str) -> Iterator[Table]:
    table = _Records(name)
    for number, item in enumerate(items, 1):
        draft.add("table_row", _record_text(item), location=f"item {number}")
        table.add(number, item)
    yield from table.finish()


def _write_lines(draft: Draft, text: str) -> Iterator[Table]:
    table = _Records("")
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            item = _load(line)
            draft.add("table_row", _record_text(item), location=f"line {number}")
            table.add(number, item)
    yield from table.finish()


class _Records:
    """The table of records: a column for each path to a scalar, or to a list of such. Lists of objects are left out."""

    def __init__(self, name: str) -> None:
        self._columns: list[str] = []
        self._places: dict[str, int] = {}
        self._table: TableDraft | None = TableDraft(name, self._columns, written=False)

    def add(self, number: int, item: Json) -> None:
        """Append a record; what is none makes that there is no table."""
        if self._table is None or not isinstance(item, dict):
            self._table = None
            return
        row: list[Cell] = [None] * len(self._columns)
        for path, leaf in _leaves(item):
            if "[" in path:
                continue
            if path not in self._places:
                self._places[path] = len(self._columns)
                self._columns.append(path)
                row.append(None)
            row[self._places[path]] = _scalar(leaf) if isinstance(leaf, list) else leaf
        self._table.add(number, row)

    def finish(self) -> Iterator[Table]:
        """The table, if there is one."""
        if self._table is not None and (made := self._table.finish()) is not None:
            yield made


def _record_text(item: Json) -> str:
    pairs = list(leaves(item))
    if len(pairs) == 1 and not pairs[0][0]:
        return " ".join(pairs[0][1].split())
    return row_text([path for path, _ in pairs], [leaf for _, leaf in pairs])


def leaves(value: Json) -> Iterator[tuple[str, str]]:
    """(dotted path, text) of each scalar; lists of scalars are one leaf. Errors: TooLarge if nested too deep."""
    return ((path, _scalar(leaf)) for path, leaf in _leaves(value))


def _leaves(value: Json) -> Iterator[tuple[str, Json]]:
    stack: list[tuple[str, Json, int]] = [("", value, 0)]
    while stack:
        path, item, depth = stack.pop()
        if depth > _MAX_DEPTH:
            raise _too_deep()
        if isinstance(item, dict):
            below = [(f"{path}.{key}" if path else key, child, depth + 1) for key, child in item.items()]
            stack.extend(reversed(below))
        elif isinstance(item, list) and any(isinstance(child, (dict, list)) for child in item):
            below = [(f"{path}[{number}]", child, depth + 1) for number, child in enumerate(item, 1)]
            stack.extend(reversed(below))
        else:
            yield path, item


def _scalar(value: Json) -> str:
    if isinstance(value, list):
        return ", ".join(map(_scalar, value))
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _is_records(value: Json) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)


def _load(text: str) -> Json:
    try:
        value: Json = json.loads(text, parse_int=_whole)
    except RecursionError as error:
        raise _too_deep() from error
    return value


def _whole(digits: str) -> int | str:
    """Numbers too long to convert stay as they are written."""
    return int(digits) if len(digits) < 1000 else digits


def _looks_like_lines(text: str) -> bool:
    lines = [line for line in text.split("\n", 20) if line.strip()]
    return len(lines) > 1 and lines[0].lstrip()[:1] in "{[" and lines[0].rstrip()[-1:] in "}]"


def _broken(error: json.JSONDecodeError) -> Damaged:
    return Damaged(
        f"It is not valid JSON: {error.msg} at line {error.lineno}, column {error.colno}",
        remedy="Repair the file, or rename it to .txt to have it read as text",
    )


def _too_deep() -> TooLarge:
    return TooLarge(f"Its values are nested deeper than {_MAX_DEPTH} levels", remedy="Flatten the file")
