"""`sourcebook tables` and `sourcebook sql`: for people, for programs, and only what the asker may see."""

import json
from decimal import Decimal
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sourcebook import Sourcebook
from sourcebook.commands.tables import sql, tables
from sourcebook.errors import ToolError

pytest.importorskip("duckdb")


@pytest.fixture
async def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A book with a table for everybody and one for Alice."""
    monkeypatch.setenv("SOURCEBOOK_PARTS_EMBED", "hashing")
    monkeypatch.setenv("SOURCEBOOK_PARTS_INDEX", "flat")
    for folder, text in (("open", "Item,Price\nLamp,49.00\nDesk,120.50\n"), ("closed", "Who,Pay\nKim,7\n")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"{folder} list.csv").write_text(text)
    async with await Sourcebook.open(tmp_path / "book") as book:
        await book.add(tmp_path / "open")
        await book.add(tmp_path / "closed", access=["alice"])
        await book.sync()
    return tmp_path / "book"


def run(command: object, home: Path, *arguments: str) -> Result:
    result = CliRunner().invoke(command, [*arguments, "--home", str(home)])  # type: ignore[arg-type]
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_the_tables_that_there_are(home: Path) -> None:
    shown = run(tables, home).stdout
    assert shown.splitlines()[0].startswith("open_list  2 rows  ")
    assert shown.splitlines()[1:] == ["  Item  VARCHAR", "  Price  DECIMAL(18,2)"]
    assert run(tables, home, "nowhere").stdout == "No tables.\n"
    (one,) = json.loads(run(tables, home, "price", "--json").stdout)["tables"]
    assert one == {
        "name": "open_list",
        "aliases": ["open list"],
        "document": (home.parent / "open" / "open list.csv").as_uri(),
        "version": 1,
        "sheet": "",
        "rows": 2,
        "columns": [{"name": "Item", "type": "VARCHAR"}, {"name": "Price", "type": "DECIMAL(18,2)"}],
    }


def test_a_result_for_people_and_for_programs(home: Path) -> None:
    statement = "SELECT Item, Price FROM open_list ORDER BY Price"
    assert run(sql, home, statement).stdout.splitlines() == [
        "Item   Price",
        "----  ------",
        "Lamp   49.00",
        "Desk  120.50",
        "(2 rows)",
    ]
    printed = run(sql, home, statement, "--json", "--limit", "1").stdout
    assert "49.00" in printed
    result = json.loads(printed, parse_float=Decimal)
    assert result["rows"] == [["Lamp", Decimal("49.00")]]
    assert result["cut"].startswith("only the first 1 rows")
    assert [one["name"] for one in result["tables"]] == ["open_list"]
    assert run(sql, home, "SELECT * FROM open_list WHERE Price > 500").stdout.splitlines()[-1] == "(0 rows)"


def test_nobody_sees_what_is_not_for_them(home: Path) -> None:
    assert "closed_list" not in run(tables, home).stdout
    assert "closed_list" in run(tables, home, "--as", "alice").stdout
    assert run(sql, home, "SELECT sum(Pay) FROM closed_list", "--as", "alice").stdout.splitlines()[2].strip() == "7"
    with pytest.raises(ToolError) as error:
        run(sql, home, "SELECT sum(Pay) FROM closed_list")
    assert "closed_list" not in str(error.value).partition("The tables are")[2]
    with pytest.raises(ToolError, match="Only reading"):
        run(sql, home, "DROP TABLE open_list")
