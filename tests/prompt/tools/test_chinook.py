"""Questions over a whole database: gold SQL and gold results, over its tables as CSV, as a workbook, and as it is."""

import csv
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sourcebook import Sourcebook
from sourcebook.catalog.tables import ScopedTables
from sourcebook.models.base import Message, ModelRequest
from sourcebook.prompt.agent import AgentLoop
from sourcebook.prompt.agent_run import Step
from sourcebook.prompt.tools.base import Toolboxes
from sourcebook.prompt.tools.query import TableQueries
from sourcebook.prompt.tools.tables import TableTools
from sourcebook.types import Scope
from tests.prompt.told import Told, ask, say
from tests.prompt.tools.table_sources import workbook

pytest.importorskip("duckdb")

SHARED = Path(__file__).parents[4] / "shared" / "data" / "tables"  # beside the repository, where there is such a folder
pytestmark = pytest.mark.skipif(not (SHARED / "chinook.sqlite").exists(), reason="the sample database is not here")


@dataclass(frozen=True)
class Gold:
    question: str
    sql: str
    result: list[list[Any]]


def gold() -> list[Gold]:
    rows = map(json.loads, (SHARED / "qa.jsonl").read_text(encoding="utf-8").splitlines())
    return [Gold(question=row["question"], sql=row["sql"], result=row["result"]) for row in rows]


def write_csv(folder: Path, sheets: dict[str, list[tuple[Any, ...]]]) -> None:
    for name, rows in sheets.items():
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(rows)


def write_workbook(folder: Path, sheets: dict[str, list[tuple[Any, ...]]]) -> None:
    (folder / "chinook.xlsx").write_bytes(workbook(sheets))


def write_database(folder: Path, sheets: dict[str, list[tuple[Any, ...]]]) -> None:
    (folder / "chinook.db").write_bytes((SHARED / "chinook.sqlite").read_bytes())


def contents() -> dict[str, list[tuple[Any, ...]]]:
    """Table -> rows, the names of the columns first."""
    connection = sqlite3.connect(f"file:{SHARED / 'chinook.sqlite'}?mode=ro", uri=True)
    tables: dict[str, list[tuple[Any, ...]]] = {}
    for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        rows = connection.execute(f'SELECT * FROM "{name}"')
        tables[name] = [tuple(column[0] for column in rows.description), *rows.fetchall()]
    connection.close()
    return tables


@pytest.fixture(params=[write_csv, write_workbook, write_database])
async def tools(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Toolboxes]:
    monkeypatch.setenv("SOURCEBOOK_PARTS_EMBED", "hashing")
    monkeypatch.setenv("SOURCEBOOK_PARTS_INDEX", "flat")
    docs = tmp_path / "docs"
    docs.mkdir()
    request.param(docs, contents())
    async with await Sourcebook.open(tmp_path / "book") as book:
        await book.add(docs)
        report = await book.sync()
        assert report.failed == 0
        queries = TableQueries()
        yield Toolboxes([TableTools(ScopedTables(book.catalog, Scope()), queries)])
        queries.close()


def rows_of(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines() if line.startswith("[") and not line.startswith("[cut")]


async def test_a_model_that_writes_the_sql_gets_every_result_exactly(tools: Toolboxes) -> None:
    assert len(gold()) == 24
    listing = await tools.call("list_tables", "{}")
    assert "Track (TrackId BIGINT" in listing.text
    for one in gold():
        model = Told([ask("query_table", json.dumps({"sql": one.sql}))], [say("Done.")])
        question = ModelRequest(question=one.question, messages=(Message(role="user", text=one.question),))
        loop = AgentLoop(model, tools, question)
        async with aclosing(loop.events()) as events:
            steps = [event async for event in events if isinstance(event, Step)]
        (run,) = steps[0].runs
        assert not run.result.failed, (one.question, run.result.text)
        assert rows_of(run.result.text) == one.result, one.question
        assert all(cell in model.requests[1].messages[-1].text for cell in run.result.text.splitlines()), one.question
