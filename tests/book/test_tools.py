"""The tools of a book: opened once, closed all, left out when out of reach, and bound to what the asker may see."""

import asyncio
import json
import socket
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from sourcebook import Sourcebook
from sourcebook.book import tools as book_tools
from sourcebook.book.tools import BookTools
from sourcebook.config import Agent, Config, Parts
from sourcebook.errors import ConfigError, ToolError
from sourcebook.models.base import Tool
from sourcebook.prompt.tools.base import ToolResult
from sourcebook.serve.mcp_tools import Served
from sourcebook.serve.mcp_tools import ask as mcp_ask
from sourcebook.types import Question
from tests.prompt.told import Told, ask, say


class Box:
    """A toolbox that says who it is."""

    def __init__(self, *names: str, breaks: bool = False) -> None:
        parameters = {"type": "object", "properties": {}}
        self.tools = tuple(Tool(name=name, description=name, parameters=parameters) for name in names)
        self.closed = 0
        self._breaks = breaks

    async def call(self, name: str, arguments: str) -> ToolResult:
        return ToolResult(text=f"{name} {arguments}")

    async def close(self) -> None:
        self.closed += 1
        if self._breaks:
            raise RuntimeError("it does not close")


class Book:
    """As much of a book as its tools need."""

    def __init__(self, *tools: str, **agent: Any) -> None:
        self.config = Config(agent=Agent(tools=tools, **agent))


def opening(monkeypatch: pytest.MonkeyPatch, *boxes: Box | Exception, seconds: float = 0.05) -> list[str]:
    """Make `mcp:` specs open these, one after the other; what was opened."""
    opened: list[str] = []

    async def open_box(place: str) -> Box:
        await asyncio.sleep(seconds)
        opened.append(place)
        box = boxes[len(opened) - 1]
        if isinstance(box, Exception):
            raise box
        return box

    monkeypatch.setitem(book_tools._SHARED, "mcp", open_box)
    return opened


ASKED = Question(text="?")


async def test_questions_at_once_share_one_opening(monkeypatch: pytest.MonkeyPatch) -> None:
    box = Box("add")
    opened = opening(monkeypatch, box)
    tools = BookTools(Book("mcp:x"))  # type: ignore[arg-type]
    sets = await asyncio.gather(*(tools.for_question(ASKED) for _ in range(5)))
    assert [[tool.name for tool in one.tools] for one in sets] == [["add"]] * 5
    await tools.close()
    assert (opened, box.closed) == (["x"], 1)


async def test_all_is_closed_whatever_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    boxes = [Box("a", breaks=True), Box("b")]
    opening(monkeypatch, *boxes)
    tools = BookTools(Book("mcp:x", "mcp:y"))  # type: ignore[arg-type]
    own = Box("c", breaks=True)
    tools.add(own)
    await tools.for_question(ASKED)
    with pytest.raises(RuntimeError, match="does not close"):
        await tools.close()
    assert [box.closed for box in (*boxes, own)] == [1, 1, 1]


async def test_what_is_still_opening_is_given_up_when_the_book_closes(monkeypatch: pytest.MonkeyPatch) -> None:
    opening(monkeypatch, Box("a"), seconds=60)
    tools = BookTools(Book("mcp:x", tool_seconds=0.1))  # type: ignore[arg-type]
    assert (await tools.for_question(ASKED)).missing == (
        "without the tools of mcp:x: it was not reached within 0.1 seconds",
    )
    await asyncio.wait_for(tools.close(), 5)


async def test_a_service_that_is_down_is_left_out_and_tried_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    box = Box("add")
    opened = opening(monkeypatch, ToolError("nobody is there"), box)
    tools = BookTools(Book("mcp:x"))  # type: ignore[arg-type]
    for _ in range(2):  # the second question does not wait for it again
        found = await tools.for_question(ASKED)
        assert found.tools == ()
        assert found.missing == ("without the tools of mcp:x: nobody is there",)
    assert opened == ["x"]
    monkeypatch.setattr(book_tools, "_AGAIN", 0.0)
    assert [tool.name for tool in (await tools.for_question(ASKED)).tools] == ["add"]


async def test_a_slow_service_does_not_outlast_the_question(monkeypatch: pytest.MonkeyPatch) -> None:
    opening(monkeypatch, Box("add"), seconds=1)
    tools = BookTools(Book("mcp:x"))  # type: ignore[arg-type]
    began = monotonic()
    found = await tools.for_question(replace(ASKED, deadline=began + 0.2))
    assert monotonic() - began < 0.8
    assert found.tools == ()
    assert [tool.name for tool in (await tools.for_question(ASKED)).tools] == ["add"]  # it went on opening
    await tools.close()


async def test_tools_of_one_name_are_told_apart_by_where_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    opening(monkeypatch, Box("search", "fetch"), Box("search", "fetch"), Box("search"))
    specs = ("mcp:https://one.example/mcp", "mcp:https://www.two.example/mcp", "mcp:/opt/wiki.py --all")
    tools = BookTools(Book(*specs))  # type: ignore[arg-type]
    found = await tools.for_question(ASKED)
    assert [tool.name for tool in found.tools] == [
        "search", "fetch", "two-example_search", "two-example_fetch", "wiki_search",
    ]  # fmt: skip
    assert (await found.call("two-example_fetch", "{}")).text == "fetch {}"


@pytest.mark.parametrize(
    "spec", ['mcp:cmd "unclosed', "nothing:x", "python:json:nothing", "python:json", "python:json:__doc__"]
)
async def test_specs_that_are_wrong_say_so(spec: str) -> None:
    with pytest.raises(ConfigError):
        await BookTools(Book(spec)).for_question(ASKED)  # type: ignore[arg-type]


# --- tables, from end to end --------------------------------------------------------------------------------

pytest.importorskip("duckdb")


async def with_tables(folder: Path, files: dict[str, str], tools: Sequence[str] = ("tables",)) -> Sourcebook:
    docs = folder / "docs"
    docs.mkdir()
    for name, text in files.items():
        (docs / name).write_text(text)
    config = Config(parts=Parts(embed="hashing", index="flat"), agent=Agent(tools=tuple(tools)))
    book = await Sourcebook.open(folder / "book", config=config)
    await book.add(docs)
    await book.sync()
    return book


ORDERS = "id,amount\n1,30\n2,40\n"
FILES = {"orders.csv": ORDERS, "salaries.csv": "who,pay\nAnn,100\n"}
NOTES = {f"note{n}.md": f"# Receipt {n}\n\nReceipts are kept in drawer {n}." for n in range(30)}


def query(sql: str) -> Any:
    return ask("query_table", json.dumps({"sql": sql}))


async def test_a_sum_is_known_cited_and_forgotten_with_its_table(tmp_path: Path) -> None:
    async with await with_tables(tmp_path, {**FILES, **NOTES}) as book:
        book.model = Told([query("SELECT SUM(amount) AS total FROM orders")], [say("They come to 70 in total.")])
        conversation = book.converse()
        answer = await book.ask("What do receipts come to?", conversation=conversation)
        assert (answer.known, answer.unsupported) == (True, ())
        (citation,) = answer.citations
        assert citation.document.endswith("orders.csv")
        assert citation.computed is not None
        assert citation.computed.rows == ("[70]",)
        record = book.answer_record(answer.id)
        assert record["citations"][0]["computed"]["sql"] == "SELECT SUM(amount) AS total FROM orders"
        (tmp_path / "docs" / "orders.csv").unlink()
        await book.sync()
        turns = book.catalog.rows("SELECT text, removed FROM turn ORDER BY number")
        assert [(row.text, bool(row.removed)) for row in turns][-1] == ("", True)
        assert [one["computed"] for one in book.answer_record(answer.id)["citations"]] == [None]


async def test_tables_that_were_only_listed_are_forgotten_too(tmp_path: Path) -> None:
    async with await with_tables(tmp_path, {**FILES, **NOTES}) as book:
        book.model = Told([ask("list_tables")], [say("One of the orders is 30.")])
        await book.ask("What do receipts come to?", conversation=book.converse())
        (tmp_path / "docs" / "orders.csv").unlink()
        await book.sync()
        turns = book.catalog.rows("SELECT text FROM turn ORDER BY number")
        assert turns[-1].text == ""


async def test_a_filter_holds_for_tables(tmp_path: Path) -> None:
    async with await with_tables(tmp_path, FILES) as book:
        served = Served(where="name = 'orders.csv'")
        for call in (query("SELECT * FROM salaries"), ask("list_tables")):
            book.model = model = Told([call], [say("Nothing.")])
            await mcp_ask(book, served, "What does Ann earn?")
            (result,) = [message.text for message in model.requests[-1].messages if message.role == "tool"]
            assert "orders" in result
            assert "Ann" not in result
            assert "pay" not in result


async def test_a_service_that_accepts_and_is_silent_costs_an_answer_no_more_than_its_time(tmp_path: Path) -> None:
    pytest.importorskip("mcp")
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        spec = f"mcp:http://127.0.0.1:{silent.getsockname()[1]}/mcp"
        async with await with_tables(tmp_path, FILES, ("tables", spec)) as book:
            book.model = Told([say("It is not known.")])
            began = monotonic()
            answer = await book.ask("What do the orders come to?", seconds=1.0)
            assert monotonic() - began < 5
            assert any(spec in note for note in book.answer_record(answer.id)["notes"])
