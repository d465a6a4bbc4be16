"""Our side of the chaos: models wired as a book wires them, every attempt noted down, and budgets that run out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Final

from sourcebook.catalog.catalog import Catalog
from sourcebook.catalog.usage import UsageLedger
from sourcebook.config import Route
from sourcebook.errors import DeadlineExceeded, ModelError
from sourcebook.models.around import Around, told
from sourcebook.models.base import Finish, Model, ModelEvent, ModelRequest, Said, TextPart
from sourcebook.models.cost import Bookkeeper, Metered, price
from sourcebook.models.formats.anthropic import Anthropic
from sourcebook.models.formats.cohere import Cohere
from sourcebook.models.formats.openai_chat import OpenAIChat
from sourcebook.models.http import HttpModel
from sourcebook.models.route import Routed, build
from sourcebook.models.wire import Target
from sourcebook.types import Budget, Usage
from tests.models.chaotic import Chaotic, ChaoticAnthropic, ChaoticCohere, ChaoticOpenAI, words

NAMES: Final = ("ash", "birch", "cedar")
DEADLINE: Final = 6.0
"""Seconds that a call without a deadline is given, at a pace of 1."""


@dataclass(slots=True)
class Ours:
    """Our side, wired as a book wires it, and the vendors."""

    doubles: dict[str, Chaotic]
    ledger: UsageLedger
    bookkeeper: Bookkeeper
    pace: float
    running: int = 0
    most: int = 0
    routes: dict[str, Routed] = field(default_factory=dict)
    attempts: list[Attempt] = field(default_factory=list)
    taps: list[Tapped] = field(default_factory=list)

    def opened(self, name: str) -> Model:
        """The model of this vendor: the wire, tapped."""
        double = self.doubles[name]
        form, path, idle = WIRES[name]
        target = Target(provider=name, base=double.url + path, model=double.tariff.model, key=double.key)
        model = HttpModel(
            form(target),
            provider=name,
            model=double.tariff.model,
            window=8_000,
            count=words,
            counted_by="words",
            idle_seconds=idle * self.pace,
            secrets=(double.key,),
        )
        tap = Tapped(model, self.attempts)
        self.taps.append(tap)
        return tap

    def metered(self, model: Model, name: str) -> Model:
        """With an account of what its calls take."""
        double = self.doubles[name]
        known = double.tariff.known(name)
        return Metered(model, known=known, ledger=self.bookkeeper, counter=double.counter, url=name)

    def price(self, name: str, usage: Usage) -> int | None:
        """Micro-dollars of a model's tokens."""
        double = self.doubles.get(name.partition(":")[0])
        return None if double is None else price(usage, double.tariff.known(double.name))


WIRES: Final[Mapping[str, tuple[type[OpenAIChat | Anthropic | Cohere], str, float]]] = {
    "ash": (OpenAIChat, "/v1", 0.6),
    "birch": (Anthropic, "", 0.3),
    "cedar": (Cohere, "", 0.6),
}


@asynccontextmanager
async def ours(seed: int, pace: float, home: Path) -> AsyncIterator[Ours]:
    """Three vendors, and a route of each kind to them."""
    catalog = Catalog("sqlite:catalog.db", home)
    ledger = UsageLedger(catalog)
    bookkeeper = Bookkeeper(ledger)
    async with (
        ChaoticOpenAI("ash", seed, pace) as ash,
        ChaoticAnthropic("birch", seed, pace) as birch,
        ChaoticCohere("cedar", seed, pace) as cedar,
    ):
        side = Ours({one.name: one for one in (ash, birch, cedar)}, ledger, bookkeeper, pace)
        for number, (name, route) in enumerate(routes(pace).items()):
            models = NAMES[number % 3 :] + NAMES[: number % 3]
            chance = Random(f"{seed} {name}")
            side.routes[name] = build(
                replace(route, models=models), side.opened, meter=side.metered, price=side.price, random=chance
            )
        try:
            yield side
        finally:
            for routed in side.routes.values():
                await routed.close()
            await bookkeeper.close()
            catalog.close()
            async with asyncio.timeout(5.0):
                while any(double.connected for double in side.doubles.values()):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)


def budgets(calls: int) -> list[Budget]:
    """Anna's is never reached, Ben's and Carl's run out in the middle, Dora's at once, Emma has none of her own."""
    return [
        Budget(tenant="island", account="anna", period="total", limit=1_000_000_000),
        Budget(tenant="island", account="ben", period="day", limit=40_000 + 60 * calls),
        Budget(tenant="island", account="carl", period="total", limit=40_000 + 25 * calls),
        Budget(tenant="island", account="carl", period="day", limit=1_000_000_000),
        Budget(tenant="island", account="dora", period="day", limit=3_000),
        Budget(tenant="island", account="*", period="day", limit=900_000_000),
    ]


@asynccontextmanager
async def outages(side: Ours, seed: int) -> AsyncIterator[None]:
    """Now and then a vendor cannot be reached at all."""
    chance = Random(f"outages {seed}")

    async def happen() -> None:
        while True:
            await asyncio.sleep(chance.uniform(0.1, 0.6))
            await side.doubles[chance.choice(NAMES)].away(chance.uniform(0.02, 0.15))

    task = asyncio.create_task(happen())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


def routes(pace: float) -> dict[str, Route]:
    """Every way of putting models together. pace: what all times are multiplied with."""
    usual = Route(
        attempts=2, retry_seconds=2.0 * pace, breaker_failures=6, breaker_seconds=0.2, deadline_seconds=DEADLINE * pace,
        first_seconds=0.5 * pace, idle_seconds=0.4 * pace,
    )  # fmt: skip
    return {
        "fallback": usual,
        "limited": replace(usual, concurrency=12, queue_seconds=1.0 * pace, requests_per_minute=6000),
        "hedged": replace(usual, hedge_percentile=80.0, strategy="fastest"),
        "cascade": replace(usual, strategy="cascade", cascade_agreement=0.3),
        "split": replace(usual, strategy="split", split_by="account", breaker_failures=0),
        "patient": replace(usual, strategy="cheapest", first_seconds=0.0, idle_seconds=0.0),  # the wire is not
    }


# --- what went over the wire ----------------------------------------------------------------------------------


@dataclass(slots=True)
class Attempt:
    """One call of one vendor as it went on the wire.

    received: the text that came of it. longest: tokens that it may have.
    """

    id: int
    call: int
    model: str
    streamed: bool
    texts: tuple[str, ...]
    longest: int
    received: list[str] = field(default_factory=list)
    finish: Finish | None = None
    error: ModelError | None = None

    @property
    def given_up(self) -> bool:
        """Whether our side left: nothing came for too long, the time was over, or nobody wanted it any more."""
        if self.error is None:
            return self.finish is None
        return isinstance(self.error, DeadlineExceeded) or isinstance(self.error.__cause__, TimeoutError)


class Tapped(Around):
    """A model whose attempts are noted down, between meter and wire. "Attempt ?" in the prompt gets a number."""

    def __init__(self, model: Model, attempts: list[Attempt]) -> None:
        super().__init__(model)
        self._attempts = attempts
        self.running = 0

    def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        return self.telling(request, Said())

    async def telling(self, request: ModelRequest, said: Said) -> AsyncGenerator[ModelEvent, None]:
        number = len(self._attempts)
        first, *others = request.messages
        messages = (replace(first, text=first.text.replace("Attempt ?", f"Attempt {number}")), *others)
        attempt = Attempt(
            id=number,
            call=int(request.answer_id or 0),
            model=self.name,
            streamed=request.streamed,
            texts=tuple(one.text for one in messages),
            longest=request.max_output_tokens,
        )
        self._attempts.append(attempt)
        self.running += 1
        try:
            async with aclosing(told(self._model, replace(request, messages=messages), said)) as events:
                async for event in events:
                    if isinstance(event, TextPart):
                        attempt.received.append(event.text)
                    elif isinstance(event, Finish):
                        attempt.finish = event
                    yield event
        except ModelError as error:
            attempt.error = error
            raise
        finally:
            self.running -= 1
