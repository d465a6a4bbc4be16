"""Questions answered by a language model behind HTTP: composed, run, cited, paid for, recorded, replayed."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest

from sourcebook import Answer, Citation, Scope, Sourcebook
from sourcebook.answering import in_turns
from sourcebook.config import Agent, Config, Parts, Prompt, Retrieve, Route
from sourcebook.errors import BudgetExceeded, ConfigError, DeadlineExceeded, NotFound, QuotaExhausted, Unavailable
from sourcebook.models.base import Switched, ToolCall
from sourcebook.replay import replay
from sourcebook.testing.doubles import Fault, Reply
from sourcebook.types import Hit, Passage, PassageId, Unsupported, Usage
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
        assert (done.before, done.after) == ("".join(GOOD.pieces), "It was built in 1873 [1].")  # in their own words
        assert done.answer is not None
        assert done.answer.text == "It was built in 1873."
        assert other.seen[0].body["messages"] == vendor.seen[0].body["messages"]
        extractive = await replay(book, answer.id, model="extractive")
        assert "1873" in extractive.after


async def test_replay_of_what_a_cascade_has_sent(tmp_path: Path, vendor: Vendor, other: Vendor) -> None:
    vendor.say(replace(GOOD, logprobs=(-0.01,) * len(GOOD.pieces)))
    async with await opened(tmp_path, vendor.model, other.model, strategy="cascade") as book:
        answer = await book.ask("When was the lighthouse built?")
        assert vendor.seen[-1].body["logprobs"] is True
        done = await replay(book, answer.id, run=False)
    assert done.same_bytes is True
    assert done.body == vendor.seen[-1].raw


async def test_replay_asks_the_one_that_answered_of_two_with_one_name(
    tmp_path: Path, vendor: Vendor, other: Vendor
) -> None:
    vendor.say(Fault(error=Unavailable))
    other.say(GOOD)
    async with await opened(tmp_path, vendor.model, other.model, attempts=1) as book:
        answer = await book.ask("When was the lighthouse built?")
        asked = len(vendor.seen), len(other.seen)
        await replay(book, answer.id)
    assert (len(vendor.seen), len(other.seen)) == (asked[0], asked[1] + 1)


async def test_checking_needs_no_key_and_no_other_model(
    tmp_path: Path, vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    vendor.say(GOOD)
    async with await opened(tmp_path, vendor.model) as book:
        answer = await book.ask("When was the lighthouse built?")
        with book.catalog.writing() as connection:  # as of a version that did not record the URL
            connection.exec_driver_sql("UPDATE answer SET record = replace(record, 'served_url', 'once')")
        config = replace(book.config, parts=replace(book.config.parts, model="route:"))
    config = replace(config, route=Route(models=("llama:missing.gguf", "openai:gpt-4o", vendor.model)))
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    async with await Sourcebook.open(tmp_path / "book", config=config) as book:
        assert (await replay(book, answer.id, run=False)).same_bytes is True
        checked = await replay(book, answer.id, run=False, model="openai:gpt-4o")
    assert checked.same_bytes is None
    assert b"gpt-4o" in checked.body


async def test_replay_reads_the_reply_as_it_was_read_then(tmp_path: Path, vendor: Vendor) -> None:
    said = Reply(pieces=("The lighthouse was built in 1873 [1]. ", "It was designed by Ada Quill in 1902 [1]."))
    vendor.say(said, said)
    async with await opened(tmp_path, vendor.model) as book:
        answer = await book.ask("When was the lighthouse built?")
        config = replace(book.config, prompt=replace(book.config.prompt, unsupported="leave-out", support=0.9))
    async with await Sourcebook.open(tmp_path / "book", config=config) as book:
        done = await replay(book, answer.id)
    assert done.same_text
    assert done.before.endswith("1902 [1].")
    assert done.answer is not None
    assert done.answer.text == answer.text


async def test_an_answer_costs_what_was_asked_for_it(tmp_path: Path, vendor: Vendor) -> None:
    parts = '{"questions": ["When was the lighthouse built?", "How tall is the lighthouse?"]}'
    vendor.say(
        Reply(pieces=(parts,), usage=Usage(input_tokens=900, output_tokens=90, counted_by="vendor")),
        GOOD,
    )
    book = await opened(tmp_path, vendor.model)
    await book.close()
    async with await Sourcebook.open(
        tmp_path / "book", config=replace(book.config, retrieve=Retrieve(decompose=True))
    ) as book:
        answer = await book.ask("When was the lighthouse built, and how tall is it?")
        record = book.answer_record(answer.id)
        home = book.config
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (1100, 110)
    assert record["searched"]["parts"]
    assert record["searched"]["parts_prompt"]
    async with await Sourcebook.open(tmp_path / "book", config=home) as book:
        rows = book.catalog.rows("SELECT purpose, answer_id FROM usage")
    assert {row.purpose for row in rows} == {"decompose", "answer"}
    assert {row.answer_id for row in rows} == {answer.id}


async def test_a_conversation_is_tended_by_one_at_a_time(
    tmp_path: Path, vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sourcebook.prompt import memory

    running = most = times = 0

    async def tend(*_: object, **__: object) -> memory.Tended:
        nonlocal running, most, times
        running, times = running + 1, times + 1
        most = max(most, running)
        await asyncio.sleep(0.05)
        running -= 1
        return memory.Tended()

    monkeypatch.setattr(memory, "tend", tend)
    async with await opened(tmp_path, "extractive") as book:
        conversation = book.converse()
        for _ in range(4):
            await book.ask("When was the lighthouse built?", conversation=conversation)
        await book.tending.finish()
        assert not book.tending.busy
    assert most == 1
    assert 2 <= times <= 4


async def test_tending_that_fails_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from sourcebook.prompt import memory

    async def tend(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(memory, "tend", tend)
    async with await opened(tmp_path, "extractive") as book:
        await book.ask("When was the lighthouse built?", conversation=book.converse())
        await book.tending.finish()
    assert "ZeroDivisionError" in caplog.text


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


async def test_what_an_answer_will_cost(tmp_path: Path, vendor: Vendor) -> None:
    book = await opened(tmp_path, vendor.model, "extractive")
    provider = vendor.url.removeprefix("http://")
    (tmp_path / "book" / "models.toml").write_text(
        f'[[model]]\nprovider = "{provider}"\nnames = ["m-1"]\nas_of = 2026-01-01\nsource = "ours"\n'
        "window = 8192\nprices = [{ input = 1_000_000, output = 2_000_000 }]\n"
    )
    await book.close()
    async with await Sourcebook.open(tmp_path / "book", config=book.config) as book:
        paid, free = await book.estimate("When was the lighthouse built?", conversation=book.converse())
        rows = book.catalog.rows("SELECT 1 FROM usage")
    assert paid.priced
    assert paid.input_tokens > 100
    assert paid.low < paid.high
    assert paid.high >= paid.input_tokens + 2 * paid.output_tokens
    assert (free.model, free.high, free.priced) == ("extractive", 0, True)
    assert not vendor.seen
    assert not rows


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


def test_hits_of_several_searches_take_turns_and_weigh_by_their_ranks() -> None:
    def found(*scores: float, document: str) -> list[Hit]:
        return [
            Hit(passage=Passage(id=PassageId(f"{document}{n}"), document=document, version=1, ordinal=n, text="t",
                                start=n, end=n + 1), score=score)
            for n, score in enumerate(scores)
        ]  # fmt: skip

    one, other = found(9.0, 8.5, 8.0, document="a"), found(0.3, 0.2, document="b")
    other.insert(0, one[0])
    hits = in_turns([one, other], 4)
    assert [hit.passage.id for hit in hits] == ["a0", "a1", "b0", "a2"]
    assert [hit.score for hit in hits] == [1.0, 0.5, 0.5, 1 / 3]


async def test_examples_are_those_of_the_collection_that_the_settings_name(tmp_path: Path, vendor: Vendor) -> None:
    from sourcebook.prompt.examples import add_examples

    vendor.say(GOOD, GOOD)
    book = await opened(tmp_path, vendor.model)
    for name in ("default", "support"):
        pairs = [("When was the tower built?", f"An answer of {name}. [1]")]
        await add_examples(book.catalog, pairs, embedder=book.embedder, collection=name)
    await book.close()
    prompts = []
    for settings in (Prompt(), Prompt(collection="support")):
        async with await Sourcebook.open(tmp_path / "book", config=replace(book.config, prompt=settings)) as other:
            await other.ask("When was the lighthouse built?")
        prompts.append(str(vendor.seen[-1].body["messages"]))
    assert ["of support" in prompt for prompt in prompts] == [False, True]
    assert ["of default" in prompt for prompt in prompts] == [True, False]


async def test_money_is_bounded_before_the_first_step(tmp_path: Path, vendor: Vendor) -> None:
    book = await opened(tmp_path, vendor.model)
    await book.close()
    (tmp_path / "book" / "models.toml").write_text(
        f'[[model]]\nprovider = "{vendor.url.removeprefix("http://")}"\nnames = ["m-1"]\nas_of = 2026-01-01\n'
        'source = "ours"\nwindow = 8192\nprices = [{ input = 50_000_000, output = 50_000_000 }]\n'
    )
    config = replace(book.config, agent=Agent(tools=("search",), cost=100))
    async with await Sourcebook.open(tmp_path / "book", config=config) as other:
        with pytest.raises(BudgetExceeded, match=r"agent\.cost"):
            await other.ask("When was the lighthouse built?")
    assert vendor.seen == []
