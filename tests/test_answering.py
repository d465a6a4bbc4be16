"""Questions answered by a language model behind HTTP: composed, run, cited, paid for, recorded, replayed."""

import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest

from sourcebook import Answer, Citation, Scope, Sourcebook
from sourcebook.config import Agent, Config, Parts, Retrieve, Route
from sourcebook.errors import BudgetExceeded, ConfigError, DeadlineExceeded, NotFound, QuotaExhausted
from sourcebook.models.base import Switched, ToolCall
from sourcebook.replay import replay
from sourcebook.testing.doubles import Fault, Reply
from sourcebook.types import Unsupported, Usage
from tests.models.doubles.openai_chat import OpenAIChatDouble

LIGHTHOUSE = (
    "# The lighthouse\n\nThe lighthouse on Gull Island was built in 1873. "
    "It is 41 metres tall and still in service today."
)
GOOD = Reply(
    pieces=("The lighthouse was bu", "ilt in 1873 [1", "]. It is 41 metres", " tall [1]."),
    usage=Usage(input_tokens=200, output_tokens=20, counted_by="vendor"),
)


class Vendor(OpenAIChatDouble):
    """Behind a URL of nobody in particular, so without a key."""

    def authorised(self, seen: object) -> bool:
        return True

    def check(self, seen: object) -> str:
        return ""

    @property
    def model(self) -> str:
        return f"{self.url}/v1?model=m-1"


@pytest.fixture
async def vendor() -> AsyncIterator[Vendor]:
    async with Vendor() as double:
        yield double


@pytest.fixture
async def other() -> AsyncIterator[Vendor]:
    async with Vendor() as double:
        yield double


async def opened(tmp_path: Path, *urls: str, **route: object) -> Sourcebook:
    docs = tmp_path / "docs"
    docs.mkdir(exist_ok=True)
    (docs / "lighthouse.md").write_text(LIGHTHOUSE)
    parts = Parts(embed="hashing", model=urls[0] if len(urls) == 1 else "route:")
    settings = Route(models=urls, retry_seconds=0.2, **route)  # type: ignore[arg-type]
    book = await Sourcebook.open(tmp_path / "book", config=Config(parts=parts, route=settings))
    await book.add(docs)
    await book.sync()
    return book


async def test_an_answer_with_its_sources(tmp_path: Path, vendor: Vendor) -> None:
    vendor.say(GOOD)
    async with await opened(tmp_path, vendor.model) as book:
        answer = await book.ask("When was the lighthouse built, and how tall is it?")
    assert answer.known
    assert answer.text == "The lighthouse was built in 1873. It is 41 metres tall."
    assert [one.quote for one in answer.citations] == [
        "The lighthouse on Gull Island was built in 1873.",
        "It is 41 metres tall and still in service today.",
    ]
    assert not answer.unsupported
    assert answer.usage.input_tokens == 200
    asked = vendor.seen[-1].body["messages"]
    assert [one["role"] for one in asked] == ["system", "user"]
    assert "It is 41 metres tall" in asked[-1]["content"]


async def test_what_the_sources_do_not_say_is_marked(tmp_path: Path, vendor: Vendor) -> None:
    vendor.say(Reply(pieces=("The lighthouse was built in 1873 [1]. ", "It was designed by Ada Quill in 1902 [1].")))
    async with await opened(tmp_path, vendor.model) as book, aclosing(book.stream("Who built it?")) as stream:
        parts = [part async for part in stream]
    answer = parts[-1]
    assert isinstance(answer, Answer)
    assert [one.text for one in answer.unsupported] == ["It was designed by Ada Quill in 1902."]
    assert any(isinstance(one, Unsupported) for one in parts)
    assert {one.quote for one in parts if isinstance(one, Citation)} == {one.quote for one in answer.citations}


async def test_a_stream_that_breaks_goes_on_elsewhere(tmp_path: Path, vendor: Vendor, other: Vendor) -> None:
    vendor.say(replace(GOOD, cut_after=800))
    other.say(Reply(pieces=(" in 1873 [1]", ". It is 41 metres tall [1].")))
    async with await opened(tmp_path, vendor.model, other.model, attempts=1) as book:
        async with aclosing(book.stream("When was the lighthouse built?")) as stream:
            parts = [part async for part in stream]
        answer = parts[-1]
        assert isinstance(answer, Answer)
        assert any(isinstance(one, Switched) for one in parts)
        assert answer.known
        record = book.answer_record(answer.id)
    assert len(record["switched"]) == 1
    assert len(other.seen) == 1


async def test_the_record_makes_the_same_bytes(tmp_path: Path, vendor: Vendor) -> None:
    vendor.say(GOOD, GOOD, Reply(pieces=("It was built in 1873 [1].",)))
    async with await opened(tmp_path, vendor.model) as book:
        answer = await book.ask("When was the lighthouse built?")
        same = await replay(book, answer.id)
        changed = await replay(book, answer.id)
        checked = await replay(book, answer.id, run=False)
    assert vendor.seen[0].raw == vendor.seen[1].raw == vendor.seen[2].raw == same.body
    assert same.same_bytes is True
    assert same.same_text
    assert not same.difference()
    assert not changed.same_text
    assert any(line.startswith("+It was built") for line in changed.difference())
    assert checked.answer is None
    assert len(vendor.seen) == 3


async def test_a_changed_record_is_noticed(tmp_path: Path, vendor: Vendor) -> None:
    vendor.say(GOOD)
    async with await opened(tmp_path, vendor.model) as book:
        answer = await book.ask("When was the lighthouse built?")
        with sqlite3.connect(tmp_path / "book" / "catalog.db") as connection:
            connection.execute("UPDATE answer SET record = replace(record, '41 metres', '42 metres')")
        connection.close()
        assert (await replay(book, answer.id, run=False)).same_bytes is False


async def test_replay_on_another_model(tmp_path: Path, vendor: Vendor, other: Vendor) -> None:
    vendor.say(GOOD)
    other.say(Reply(pieces=("It was built in 1873 [1].",)))
    async with await opened(tmp_path, vendor.model) as book:
        answer = await book.ask("When was the lighthouse built?")
        done = await replay(book, answer.id, model=f"{other.url}/v1?model=m-2")
        assert done.same_bytes is None
        assert done.after == "It was built in 1873."
        assert other.seen[0].body["messages"] == vendor.seen[0].body["messages"]
        extractive = await replay(book, answer.id, model="extractive")
        assert "1873" in extractive.after


async def test_replay_of_an_extractive_answer(tmp_path: Path) -> None:
    async with await opened(tmp_path, "extractive") as book:
        answer = await book.ask("When was the lighthouse on Gull Island built?")
        assert answer.known
        done = await replay(book, answer.id)
    assert done.same_bytes is True
    assert done.same_text


async def test_nobody_replays_what_they_may_not_see(tmp_path: Path, vendor: Vendor) -> None:
    vendor.say(GOOD)
    async with await opened(tmp_path, vendor.model) as book:
        answer = await book.ask("When was the lighthouse built?", scope=Scope(principals=frozenset({"anna"})))
        with pytest.raises(NotFound):
            await replay(book, answer.id)
        with pytest.raises(NotFound):
            await replay(book, "nothing", scope=Scope(principals=frozenset({"anna"})))


async def test_calls_are_in_the_ledger_and_budgets_hold(tmp_path: Path, vendor: Vendor) -> None:
    from sourcebook.catalog.usage import UsageLedger
    from sourcebook.types import Budget

    vendor.say(GOOD)
    book = await opened(tmp_path, vendor.model)
    provider = vendor.url.removeprefix("http://")
    (tmp_path / "book" / "models.toml").write_text(
        f'[[model]]\nprovider = "{provider}"\nnames = ["m-1"]\nas_of = 2026-01-01\nsource = "ours"\n'
        "window = 8192\nprices = [{ input = 1_000_000, output = 2_000_000 }]\n"
    )
    await book.ask("When was the lighthouse built?")
    ledger = UsageLedger(book.catalog)
    ledger.set_budget(Budget(tenant="default", account="default", period="day", limit=250))
    await book.close()
    async with await Sourcebook.open(tmp_path / "book", config=book.config) as book:
        with pytest.raises(BudgetExceeded):
            await book.ask("When was the lighthouse built?")
    assert len(vendor.seen) == 1


async def test_errors_of_the_vendor_are_told(tmp_path: Path, vendor: Vendor) -> None:
    vendor.say(Fault(error=QuotaExhausted))
    async with await opened(tmp_path, vendor.model) as book:
        with pytest.raises(QuotaExhausted):
            await book.ask("When was the lighthouse built?")


async def test_a_question_has_a_deadline(tmp_path: Path, vendor: Vendor) -> None:
    vendor.say(Reply(pause=1.0))
    async with await opened(tmp_path, vendor.model) as book:
        with pytest.raises(DeadlineExceeded):
            await book.ask("When was the lighthouse built?", seconds=0.3)


async def test_conversations_go_on_in_another_process(tmp_path: Path, vendor: Vendor) -> None:
    vendor.say(GOOD)
    async with await opened(tmp_path, vendor.model) as book:
        conversation = book.converse()
        await book.ask("When was the lighthouse built?", conversation=conversation)
        config = book.config
    before = len(vendor.seen)
    vendor.say(Reply(pieces=("How tall is the lighthouse?",)), Reply(pieces=("It is 41 metres tall [1].",)))
    async with await Sourcebook.open(tmp_path / "book", config=config) as book:
        answer = await book.ask("And how tall is it?", conversation=conversation)
        assert answer.text == "It is 41 metres tall."
        assert book.answer_record(answer.id)["searched"]["question"] == "How tall is the lighthouse?"
    told = json.dumps(vendor.seen[before + 1].body["messages"])
    assert "When was the lighthouse built?" in told


async def test_a_model_that_nobody_knows(tmp_path: Path) -> None:
    async with await opened(tmp_path, "never-heard-of:model") as book:
        with pytest.raises(ConfigError):
            await book.ask("When was the lighthouse built?")


def lamps(number: int) -> int:
    """How many lamps so many lighthouses have. number: of lighthouses"""
    return number * 7


async def test_a_model_uses_tools(tmp_path: Path, vendor: Vendor) -> None:
    pytest.importorskip("duckdb")
    calls = (
        ToolCall(id="c1", name="query_table", arguments='{"sql": "SELECT SUM(height) FROM towers"}'),
        ToolCall(id="c2", name="lamps", arguments='{"number": 3}'),
    )
    vendor.say(
        Reply(pieces=(), tool_calls=calls, finish="tool_calls"),
        Reply(pieces=("The lighthouse was built in 1873 [1].",)),
    )
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "towers.csv").write_text("name,height\nGull,41\nTern,30\n")
    book = await opened(tmp_path, vendor.model)
    config = replace(book.config, agent=Agent(tools=("search", "tables", f"python:{__name__}:lamps")))
    await book.close()
    async with await Sourcebook.open(tmp_path / "book", config=config) as book:
        answer = await book.ask("When was the lighthouse built?")
        record = book.answer_record(answer.id)
        assert (await replay(book, answer.id, run=False)).same_bytes is None
    assert answer.text == "The lighthouse was built in 1873."
    results = [one["content"] for one in vendor.seen[-1].body["messages"] if one["role"] == "tool"]
    assert "71" in results[0]
    assert "21" in results[1]
    assert {one["function"]["name"] for one in vendor.seen[0].body["tools"]} == {
        "search", "list_tables", "query_table", "lamps",
    }  # fmt: skip
    first = record["steps"]["steps"][0]
    assert [run["tool"] for run in first["calls"]] == ["query_table", "lamps"]


async def test_tools_that_are_none(tmp_path: Path, vendor: Vendor) -> None:
    book = await opened(tmp_path, vendor.model)
    await book.close()
    for spec in ("nothing", "python:no.such.module:f", "python:json:nothing"):
        config = replace(book.config, agent=Agent(tools=(spec,)))
        async with await Sourcebook.open(tmp_path / "book", config=config) as other:
            with pytest.raises(ConfigError):
                await other.ask("When was the lighthouse built?")


async def test_a_question_of_several_parts(tmp_path: Path, vendor: Vendor) -> None:
    parts = '{"questions": ["When was the lighthouse built?", "How tall is the lighthouse?"]}'
    vendor.say(Reply(pieces=(parts,)), GOOD)
    book = await opened(tmp_path, vendor.model)
    await book.close()
    config = replace(book.config, retrieve=Retrieve(decompose=True))
    async with await Sourcebook.open(tmp_path / "book", config=config) as book:
        answer = await book.ask("When was the lighthouse built, and how tall is it?")
    assert answer.known
    assert len(vendor.seen) == 2
