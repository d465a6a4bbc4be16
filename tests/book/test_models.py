"""The models of a book: opened once, accounted for, told apart, and closed whatever happens."""

from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from sourcebook import Sourcebook
from sourcebook.book.models import Saving, shown
from sourcebook.catalog.usage import UsageLedger
from sourcebook.catalog.usage_report import calls
from sourcebook.errors import BudgetExceeded, ConfigError
from sourcebook.models.base import Capabilities, Finish, Message, ModelEvent, ModelRequest, TextPart, complete
from sourcebook.registry import BUILT_IN, Entry
from sourcebook.types import Budget, CallRecord, Usage

ASKED = ModelRequest(messages=(Message(role="user", text="How tall?"),))


class Plain:
    """A model that says its URL."""

    window = 8_000

    def __init__(self, url: str, *, local: bool) -> None:
        self.name = url.partition("?")[0]
        self.url = url
        self.capabilities = Capabilities(local=local)

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        yield TextPart(text=self.url)
        yield Finish(reason="stop", usage=Usage(input_tokens=1_000, output_tokens=10, counted_by="vendor"))

    def count_tokens(self, text: str) -> int:
        return len(text)

    async def close(self) -> None:
        if "stuck" in self.url:
            raise OSError("stuck")


def open_plain(url: str, **_: Any) -> Plain:
    return Plain(url, local="near" in url)


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BUILT_IN["model"], "plain", Entry("tests.book.test_models:open_plain"))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "priced"
    folder.mkdir()
    (folder / "models.toml").write_text(
        '[[model]]\nprovider = "plain"\nnames = ["plain:a"]\nas_of = 2026-11-01\n'
        "prices = [{ input = 1_000_000, output = 1_000_000 }]\n"
        '[[model]]\nprovider = "plain"\nnames = ["plain:free"]\nas_of = 2026-11-01\nfree = true\n'
    )
    return folder


async def test_a_model_is_opened_once_for_whoever_asks(book: Sourcebook) -> None:
    assert book.models.open("plain:a") is book.models.open("plain:a")
    assert book.models.open("plain:b") is not book.models.open("plain:a")


async def test_each_call_is_in_the_ledger_under_the_url_that_served(home: Path) -> None:
    async with await Sourcebook.open(home) as book:
        reply = await complete(book.models.open("plain:a?base=1&header.x-team=blue#attempts=1"), ASKED)
        assert (reply.finish.served_url, reply.finish.usage.cost) == ("plain:a?base=1", 1_010)
    async with await Sourcebook.open(home) as book:
        assert [(one.model, one.usage.cost) for one in calls(book.catalog)] == [("plain:a", 1_010)]


async def test_two_models_of_one_name_are_not_taken_for_each_other(home: Path) -> None:
    async with await Sourcebook.open(home) as book:
        route = replace(book.config.route, models=("plain:a?base=1", "plain:a?base=2", "plain:b#weight=2"))
        book.config = replace(book.config, parts=replace(book.config.parts, model="route:"), route=route)
        assert book.models.url_of("plain:b") == "plain:b"
        with pytest.raises(ConfigError, match="2 models that are all called plain:a") as caught:
            book.models.url_of("plain:a")
        assert "plain:a?base=1, plain:a?base=2" in caught.value.remedy
        with pytest.raises(ConfigError, match="do not name"):
            book.models.url_of("plain:c")


async def test_a_model_without_a_price_hands_over_to_one_that_a_budget_allows(home: Path) -> None:
    async with await Sourcebook.open(home) as book:
        UsageLedger(book.catalog).set_budget(Budget(period="day", limit=1))
        route = replace(book.config.route, models=("plain:unknown", "plain:a", "plain:free"))
        book.config = replace(book.config, parts=replace(book.config.parts, model="route:"), route=route)
        reply = await complete(book.models.chosen(), ASKED)
        assert reply.text == "plain:free"
        assert "price of plain:unknown is not known" in reply.switched[0].reason
        with pytest.raises(BudgetExceeded):
            await complete(book.models.open("plain:a"), ASKED)


async def test_a_model_of_this_process_is_relieved_within_a_route_too(book: Sourcebook) -> None:
    route = replace(book.config.route, models=("plain:near", "plain:far"), breaker_failures=1)
    book.config = replace(book.config, parts=replace(book.config.parts, model="route:"), route=route)
    model = book.models.chosen()
    near, far = (leaf._breaker for leaf in model._leaves)  # type: ignore[attr-defined]
    assert near is None
    assert far is not None


async def test_what_does_not_close_does_not_lose_the_ledger(home: Path) -> None:
    book = await Sourcebook.open(home)
    await complete(book.models.open("plain:a"), ASKED)
    await complete(book.models.open("plain:stuck"), ASKED)
    with pytest.raises(OSError, match="stuck"):
        await book.models.close()
    assert len(calls(book.catalog)) == 2
    await book.close()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("openai:gpt-5", "openai:gpt-5"),
        ("vllm:m?base=http://one&header.x-team=blue", "vllm:m?base=http://one"),
        ("vllm:m?header.x-team=blue", "vllm:m"),
        ("vllm:m?header_env.x-key=KEY", "vllm:m?header_env.x-key=KEY"),
    ],
)
def test_urls_are_shown_without_values_of_headers(url: str, said: str) -> None:
    assert shown(url) == said


async def test_what_a_cascade_saved_is_told_from_the_ledger(home: Path) -> None:
    async with await Sourcebook.open(home) as book:
        assert book.models.saving() is None
        route = replace(book.config.route, models=("plain:free", "plain:a"), strategy="cascade")
        route = replace(route, cascade_agreement=0.5)
        book.config = replace(book.config, parts=replace(book.config.parts, model="route:"), route=route)
        ledger = UsageLedger(book.catalog)
        first = CallRecord(
            id="1", at="2026-11-01T10:00:00.000+00:00", tenant="default", account="default", purpose="answer",
            model="plain:free", outcome="finished", answer_id="x", usage=Usage(input_tokens=1_000, output_tokens=10),
        )  # fmt: skip
        dear = Usage(input_tokens=1_000, output_tokens=10, cost=1_010)
        ledger.enter(
            settle=[
                first,
                replace(first, id="2"),  # the second of two replies
                replace(first, id="3", answer_id="y", usage=replace(first.usage, cost=7)),
                replace(first, id="4", answer_id="y", model="plain:a", usage=dear),
                replace(first, id="5", answer_id="z", model="plain:other"),
                replace(first, id="6", answer_id=None, purpose="rewrite"),
            ]
        )
        assert book.models.saving() == Saving(answers=2, escalated=1, saved=1_010 - 7)
        assert book.models.saving(since=date(2026, 11, 2)) == Saving(answers=0, escalated=0, saved=0)
