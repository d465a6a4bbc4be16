"""Tables as they come out of files: one type a column, by one rule; names that differ; rows that keep their place."""

import json
import sqlite3
import zlib
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path

import pytest

from sourcebook.errors import Damaged, Empty, ParseError
from sourcebook.parse import Limits, Parsers
from sourcebook.parse.databases import DatabaseParser
from sourcebook.parse.delimited import DelimitedParser
from sourcebook.parse.draft import Draft
from sourcebook.parse.records import JsonParser
from sourcebook.parse.sheets import write_sheet
from sourcebook.parse.tables import SEPARATOR, TableDraft
from sourcebook.types import ParsedDocument, Table

LIMITS = Limits()


def cells(table: Table) -> list[tuple[str, ...]]:
    """The rows of a table, as text."""
    batches = json.loads(zlib.decompress(table.data))
    columns = [[text for batch in batches for text in batch[n].split(SEPARATOR)] for n in range(len(table.columns))]
    assert {len(column) for column in columns} <= {table.rows}
    assert sum(count for _, count in table.places) == table.rows
    return list(zip(*columns, strict=True))


def types(table: Table) -> dict[str, str]:
    return {column.name: column.type for column in table.columns}


def typed(*values: object, written: bool = True) -> tuple[str, list[str]]:
    """(type, cells) of a column of these values."""
    draft = TableDraft("", ["x"], written=written)
    for number, value in enumerate(values, 1):
        draft.add(number, [value, "filled"])
    table = draft.finish()
    assert table is not None
    return table.columns[0].type, [row[0] for row in cells(table)]


def csv_table(text: str) -> Table:
    (table,) = DelimitedParser().parse(text.encode(), "a.csv", LIMITS).tables
    return table


# --- types ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "type_name"),
    [
        (["1", "-20", "0", ""], "BIGINT"),
        (["9" * 18], "BIGINT"),
        (["9" * 19, "1"], "HUGEINT"),
        (["9" * 39], "VARCHAR"),
        (["007", "12"], "VARCHAR"),
        (["+4930123", "5"], "VARCHAR"),
        (["1.50", "2", "-.25"], "DECIMAL(18,2)"),
        (["1" * 17 + ".25"], "DECIMAL(38,2)"),
        (["0.1234567891"], "DOUBLE"),
        (["1e5", "2.5"], "DOUBLE"),
        (["9" * 39 + ".5"], "VARCHAR"),
        (["12E4", "99E1"], "VARCHAR"),
        (["00.5"], "VARCHAR"),
        (["true", "FALSE"], "BOOLEAN"),
        (["yes", "no"], "VARCHAR"),
        (["2024-01-31", "1999-12-01"], "DATE"),
        (["2024-02-30"], "VARCHAR"),
        (["2024-01-31", "2024-01-31 10:30", "2024-01-31T10:30:00.5"], "TIMESTAMP"),
        (["2024-01-31T10:30:00Z", "2024-01-31 10:30Z"], "TIMESTAMP"),
        (["2024-01-31T10:30:00Z", "2024-01-31 10:30"], "VARCHAR"),
        (["2024-01-31T10:30:00+02:00"], "VARCHAR"),
        (["1/2/2024", "3/4/2024"], "VARCHAR"),
        (["1,234", "5,678"], "VARCHAR"),
        (["$5.00"], "VARCHAR"),
        (["n/a", "-"], "VARCHAR"),
        (["١٢"], "VARCHAR"),
        ([], "VARCHAR"),
    ],
)
def test_the_type_of_a_column_is_that_of_all_its_cells(values: list[str], type_name: str) -> None:
    assert typed(*values)[0] == type_name


@pytest.mark.parametrize(
    ("values", "type_name", "expected"),
    [
        (["1,234.50", "7", "1,000,000"], "DECIMAL(18,2)", ["1234.50", "7", "1000000"]),
        (["1,234,567", "1,000"], "BIGINT", ["1234567", "1000"]),
        (["1.234,5", "7", "0,25"], "DECIMAL(18,2)", ["1234.5", "7", "0.25"]),
        (["1,5", "2,25"], "DECIMAL(18,2)", ["1.5", "2.25"]),
        (["31.1.2024", "01.02.2024"], "DATE", ["2024-01-31", "2024-02-01"]),
        (["2024/1/31"], "DATE", ["2024-01-31"]),
        (["31/12/2024", "01/02/2024"], "DATE", ["2024-12-31", "2024-02-01"]),
        (["12/31/2024", "01/02/2024"], "DATE", ["2024-12-31", "2024-01-02"]),
        (["5", "n/a", " NULL ", "–"], "BIGINT", ["5", "", "", ""]),
        ([" 5 ", "\t6"], "BIGINT", ["5", "6"]),
        (["5", "n/a", "five"], "VARCHAR", ["5", "n/a", "five"]),
        (["two\nlines", "a\x1fb"], "VARCHAR", ["two\nlines", "a b"]),
    ],
)
def test_cells_are_written_as_sql_reads_them(values: list[str], type_name: str, expected: list[str]) -> None:
    assert typed(*values) == (type_name, expected)


def test_what_is_text_in_its_file_stays_text() -> None:
    assert typed("1", "2", written=False) == ("VARCHAR", ["1", "2"])
    assert typed(1, 2.5, None, "n/a", written=False) == ("DECIMAL(18,1)", ["1", "2.5", "", ""])
    assert typed(1, "x", True, written=False) == ("VARCHAR", ["1", "x", "true"])
    assert typed(1e300, 3.0, written=False) == ("DOUBLE", ["1e+300", "3"])
    assert typed(date(2024, 1, 2), datetime.fromisoformat("2024-01-02T03:04"), written=False) == (
        "TIMESTAMP",
        ["2024-01-02", "2024-01-02 03:04:00"],
    )
    assert typed("2024-01-02", written=False)[0] == "DATE"


def test_batches_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    values = ["1", "2", "", "3.5", "n/a", "6", "7"]
    whole = typed(*values)
    monkeypatch.setattr("sourcebook.parse.tables._FIRST", 1)
    monkeypatch.setattr("sourcebook.parse.tables._BATCH", 2)
    assert typed(*values) == whole == ("DECIMAL(18,1)", ["1", "2", "", "3.5", "", "6", "7"])


def test_a_table_too_wide_is_none() -> None:
    draft = TableDraft("", None, written=True)
    draft.add(1, ["x"] * 2001)
    assert draft.finish() is None
    assert TableDraft("", None, written=True).finish() is None


# --- files ------------------------------------------------------------------------------------------------


def test_a_csv_file_is_a_table_and_rows_keep_their_places() -> None:
    table = csv_table("Report of May,,\nName,Zip,Sum\nKim,01234,1.50\n,,\nLee,99999,2\n")
    assert table.name == ""
    assert types(table) == {"Name": "VARCHAR", "Zip": "VARCHAR", "Sum": "DECIMAL(18,2)"}
    assert cells(table) == [("Kim", "01234", "1.50"), ("Lee", "99999", "2")]
    assert table.places == ((3, 1), (5, 1))


def test_columns_have_names_that_differ_whatever_their_case() -> None:
    assert list(types(csv_table("A,,C\n1,2,3,4\n5"))) == ["A", "Column B", "C", "Column D"]
    assert list(types(csv_table("1,2\n3,4"))) == ["Column A", "Column B"]
    assert types(csv_table("Region,Sum,sum\nNorth,1,2\nSouth,3,4\nNorth,5,6")) == {
        "Region": "VARCHAR", "Sum": "BIGINT", "sum (2)": "BIGINT",
    }  # fmt: skip
    repeated = csv_table("id,qty,price,qty\n" + "".join(f"{n},{n},{n}.5,{n}\n" for n in range(1, 30)))
    assert (list(types(repeated)), repeated.rows) == (["id", "qty", "price", "qty (2)"], 29)
    draft = TableDraft("", ["Sum", "sum", "", "Column C", "SUM"], written=True)
    draft.add(1, ["1"])
    table = draft.finish()
    assert table is not None
    assert list(types(table)) == ["Sum", "sum (2)", "Column C", "Column C (2)", "SUM (3)"]


def test_each_sheet_is_a_table_and_empty_rows_part_only_what_has_headers_of_its_own() -> None:
    rows: list[list[object]] = [
        ["Sales", ""],
        ["Item", "Price"],
        ["Lamp", 0.1 + 0.2],
        ["", ""],
        ["Desk", 12.0],
        ["", ""],
        ["Region", "Since"],
        ["North", date(2024, 1, 31)],
        ["South", date(2023, 1, 31)],
    ]
    draft = Draft(LIMITS)
    first, second = write_sheet(draft, "May", rows)
    assert (first.name, second.name) == ("May", "May")
    assert (types(first), cells(first)) == (
        {"Item": "VARCHAR", "Price": "DECIMAL(18,1)"},
        [("Lamp", "0.3"), ("Desk", "12")],
    )
    assert first.places == ((3, 1), (5, 1))
    assert (types(second), second.places) == ({"Region": "VARCHAR", "Since": "DATE"}, ((8, 2),))


async def test_workbooks_come_out_of_the_worker_with_their_tables(
    parsers: Parsers, example: Callable[[str], tuple[bytes, str]]
) -> None:
    document = await parsers.parse(*example("unstructured/stanley-cups.xlsx"))
    assert [one.name for one in document.tables] == ["Stanley Cups", "Stanley Cups Since 67"]
    assert types(document.tables[1]) == {"Team": "VARCHAR", "Location": "VARCHAR", "Stanley Cups": "BIGINT"}
    assert ("Maple Leafs", "TOR", "0") in cells(document.tables[1])
    assert (await parsers.parse(b"# no\n\ntable here", "a.md")).tables == ()


def test_records_are_a_table_of_dotted_columns() -> None:
    text = '[{"id": 1, "who": {"zip": "007", "tags": ["a", "b"]}}, {"id": 2.5, "list": [{"x": 1}], "ok": true}]'
    (table,) = JsonParser().parse(text.encode(), "a.json", LIMITS).tables
    assert types(table) == {"id": "DECIMAL(18,1)", "who.zip": "VARCHAR", "who.tags": "VARCHAR", "ok": "BOOLEAN"}
    assert cells(table) == [("1", "007", "a, b", ""), ("2.5", "", "", "true")]
    lines = JsonParser().parse(b'{"a": 1}\n\n{"a": 2}\n', "a.jsonl", LIMITS)
    assert (cells(lines.tables[0]), lines.tables[0].places) == ([("1",), ("2",)], ((1, 1), (3, 1)))
    inside = JsonParser().parse(b'{"made": "May", "items": [{"a": 1}], "n": [1, 2]}', "a.json", LIMITS)
    assert [(one.name, cells(one)) for one in inside.tables] == [("items", [("1",)])]
    assert JsonParser().parse(b'[{"a": 1}, 2]', "a.json", LIMITS).tables == ()


# --- databases --------------------------------------------------------------------------------------------


def database(path: Path, *statements: str) -> bytes:
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()
    return path.read_bytes()


def parsed(data: bytes) -> ParsedDocument:
    return DatabaseParser().parse(data, "a.db", LIMITS)


async def test_the_tables_of_a_database(tmp_path: Path, parsers: Parsers) -> None:
    data = database(
        tmp_path / "a.db",
        "PRAGMA journal_mode=WAL",
        'CREATE TABLE "my items" (id INTEGER PRIMARY KEY, price NUMERIC, zip TEXT, at TEXT, raw BLOB)',
        "INSERT INTO \"my items\" VALUES (1, 1.98, '01234', '2024-01-31', x'00ff'), (2, NULL, '9', '2024-02-01', NULL)",
        "CREATE TABLE blank (a, b)",
        "CREATE VIEW seen AS SELECT * FROM blank",
    )
    document = await parsers.parse(data, "shop.db")
    items, blank = document.tables
    assert items.name == "my items"
    assert types(items) == {
        "id": "BIGINT",
        "price": "DECIMAL(18,2)",
        "zip": "VARCHAR",
        "at": "DATE",
        "raw": "VARCHAR",
    }
    assert cells(items) == [("1", "1.98", "01234", "2024-01-31", ""), ("2", "", "9", "2024-02-01", "")]
    assert (blank.name, blank.rows, types(blank)) == ("blank", 0, {"a": "VARCHAR", "b": "VARCHAR"})
    assert "id: 1; price: 1.98; zip: 01234; at: 2024-01-31" in document.text
    assert [block.location for block in document.blocks if block.kind == "table_row"] == ["my items!1", "my items!2"]


def test_what_a_database_would_compute_is_not_run(tmp_path: Path) -> None:
    data = database(
        tmp_path / "a.db",
        "CREATE TABLE t (a, b)",
        "INSERT INTO t VALUES (1, 'x')",
        "CREATE VIRTUAL TABLE search USING fts5(body)",
        "CREATE VIEW bomb AS WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT * FROM r",
    )
    assert [one.name for one in parsed(data).tables] == ["t"]


def test_databases_that_are_none(tmp_path: Path) -> None:
    data = database(tmp_path / "a.db", "CREATE TABLE t (a, b)", "INSERT INTO t VALUES (1, 'x')")
    with pytest.raises(Damaged, match="database"):
        parsed(data[:100] + b"\xff" * 4000)
    with pytest.raises(ParseError):
        parsed(data[:200])
    with pytest.raises(Empty):
        parsed(database(tmp_path / "b.db", "CREATE TABLE t (a)", "DROP TABLE t"))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("id,state\n1,active\n2,state\n", ["id", "state"]),  # a cell that is the name of its column
        ("name,city\nKim,Seoul\nLee,Busan\n", ["name", "city"]),
        ("Kim,Seoul\nLee,Seoul\n", ["Column A", "Column B"]),  # words alone: the first row is one like the others
        ("Kim,Kim\nLee,Seoul\n", ["Column A", "Column B"]),
        ("Kim,n/a\nLee,3\nKim,4\n", ["Column A", "Column B"]),  # what stands for nothing names no column
        ("1,2\n1,4\n", ["Column A", "Column B"]),
    ],
)
def test_where_names_of_columns_are_and_where_not(text: str, names: list[str]) -> None:
    assert list(types(csv_table(text))) == names


def test_sheets_have_repeated_names_as_well() -> None:
    rows: list[list[object]] = [["id", "qty", "qty"], [1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
    draft = Draft(LIMITS)
    (drawn,) = write_sheet(draft, "Stock", rows)
    assert list(types(drawn)) == ["id", "qty", "qty (2)"]
    assert drawn.rows == 2
