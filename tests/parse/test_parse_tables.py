"""CSV, spreadsheets, JSON: rows that stand for themselves and say where they stand."""

from collections.abc import Callable

import pytest

from sourcebook.errors import Damaged, Encrypted, TooLarge
from sourcebook.parse import Limits, Parsers
from sourcebook.parse.delimited import DelimitedParser
from sourcebook.parse.records import JsonParser
from sourcebook.parse.rows import column_name, header_names, row_text
from tests.parse.parsing_checks import located, shown

LIMITS = Limits()
Example = Callable[[str], tuple[bytes, str]]


def csv_rows(text: str, name: str = "a.csv") -> list[tuple[str | None, str]]:
    return located(DelimitedParser().parse(text.encode(), name, LIMITS))


def json_rows(text: str, name: str = "a.json") -> list[tuple[str | None, str]]:
    return located(JsonParser().parse(text.encode(), name, LIMITS))


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_shows_itself(delimiter: str) -> None:
    lines = ["Name", "Amount", "Note"], ["Kim", "3.5", ""], ["Lee", "4", "late"]
    assert csv_rows("\n".join(map(delimiter.join, lines))) == [
        ("row 2", "Name: Kim; Amount: 3.5"),
        ("row 3", "Name: Lee; Amount: 4; Note: late"),
    ]


def test_decimal_commas_do_not_part_values() -> None:
    assert csv_rows("Year;Cost\n2022;1,5\n2023;2,5")[1] == ("row 3", "Year: 2023; Cost: 2,5")


def test_quotes_hold_delimiters_and_line_ends_and_rows_are_counted_as_records() -> None:
    text = 'Name,Note\n"Kim, Ann","two\nlines"\n\nLee,"said ""no"""\n'
    assert csv_rows(text) == [("row 2", "Name: Kim, Ann; Note: two lines"), ("row 4", 'Name: Lee; Note: said "no"')]


def test_ragged_rows_and_columns_without_a_name() -> None:
    assert csv_rows("A,,C\n1,2,3,4\n5") == [("row 2", "A: 1; Column B: 2; C: 3; Column D: 4"), ("row 3", "A: 5")]


def test_no_header_row() -> None:
    assert csv_rows("1,2\n3,4")[0] == ("row 1", "1 | 2")
    assert csv_rows("a,x\nb,y\na,z")[0] == ("row 1", "a | x")


def test_a_title_over_the_table_is_no_header() -> None:
    document = DelimitedParser().parse(b"Stanley Cups,,\nTeam,Location,Cups\nBlues,STL,1", "a.csv", LIMITS)
    assert shown(document) == [("paragraph", "Stanley Cups"), ("table_row", "Team: Blues; Location: STL; Cups: 1")]


def test_a_quote_that_is_never_closed_does_not_swallow_the_table() -> None:
    assert len(csv_rows('Name,Size\n"pipe,5\nrod,6\nbar,7')) == 3


def test_values_that_read_like_pairs_are_quoted() -> None:
    assert row_text(["A", "B"], ["x; B: y", "z"]) == 'A: "x; B: y"; B: z'
    assert header_names(["", "X", "X", ""]) == ("", "X", "X (2)", "Column D")
    assert [column_name(n) for n in (0, 25, 26, 701, 702)] == [f"Column {c}" for c in ("A", "Z", "AA", "ZZ", "AAA")]


def test_limits_of_rows() -> None:
    with pytest.raises(TooLarge, match=r"parse\.max_rows"):
        DelimitedParser().parse(b"a,b\n" + b"1,2\n" * 50, "a.csv", Limits(max_rows=10))


def test_records_of_json_carry_dotted_keys() -> None:
    text = '[{"id": 1, "who": {"name": "Kim", "tags": ["a", "b"]}, "none": null}, {"id": 2, "list": [{"x": true}]}]'
    assert json_rows(text) == [
        ("item 1", "id: 1; who.name: Kim; who.tags: a, b"),
        ("item 2", "id: 2; list[1].x: true"),
    ]


def test_json_lines_under_either_name() -> None:
    text = '{"a": 1}\n\n{"a": "two\\nlines"}\n'
    expected = [("line 1", "a: 1"), ("line 3", "a: two lines")]
    assert json_rows(text, "a.jsonl") == json_rows(text, "a.json") == expected


def test_an_object_with_records_has_them_under_its_key() -> None:
    document = JsonParser().parse(b'{"name": "List", "items": [{"a": 1}]}', "a.json", LIMITS)
    assert shown(document) == [("paragraph", "name: List"), ("heading", "items"), ("table_row", "a: 1")]


def test_broken_and_bottomless_json() -> None:
    with pytest.raises(Damaged, match="line 1"):
        json_rows('{"a": ')
    with pytest.raises(TooLarge):
        json_rows("[" * 100_000)
    assert json_rows('[{"a": "half \\ud800"}]')[0][1] == "a: half \ufffd"


async def test_sheets_have_true_row_numbers(parsers: Parsers, example: Example) -> None:
    document = await parsers.parse(*example("docling/odf_table_with_title_01.ods"))
    rows = located(document)
    assert rows[0] == ("Sheet1!2", "Number of freshwater ducks per year")
    assert rows[1] == ("Sheet1!5", "Year: 2019; Freshwater Ducks: 120")
    document = await parsers.parse(*example("unstructured/stanley-cups.xlsx"))
    assert [text for kind, text in shown(document) if kind == "heading"] == ["Stanley Cups", "Stanley Cups Since 67"]
    assert ("Stanley Cups Since 67!5", "Team: Maple Leafs; Location: TOR; Stanley Cups: 0") in located(document)


async def test_a_protected_workbook_says_so(parsers: Parsers, example: Example) -> None:
    with pytest.raises(Encrypted, match="password"):
        await parsers.parse(*example("unstructured/password_protected.xlsx"))
