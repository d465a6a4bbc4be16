"""Models that fail, stall, cut and repeat at random: what must hold whatever they do.

- A stream ends in exactly one Finish, its last event, or in a ModelError; an Interrupted says all the text.
- The text of a finished reply is the intended one, wherever it broke off and whoever went on.
- Nothing runs past its deadline, and nothing runs on once its reader is gone.
- No model ever runs more calls than it is allowed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sourcebook.config import Route
from sourcebook.errors import (
    DeadlineExceeded,
    Interrupted,
    InvalidRequest,
    ModelError,
    NotAuthorised,
    RateLimited,
    Refused,
    Unavailable,
)
from sourcebook.models.base import (
    Capabilities,
    Finish,
    Message,
    ModelEvent,
    ModelRequest,
    ReasoningPart,
    Switched,
    TextPart,
    ToolCall,
    ToolCallPart,
)
from sourcebook.models.route import build
from sourcebook.types import Usage
from tests.models.route.scripted import Script, Scripted, Step, pieces
from tests.models.route.virtual import now, run

NAMES = ("ash", "birch", "cedar")
_WORDS = "a quick harbour lamp swings over nine grey boats while bells count the slow tide home again".split()
TOOL = ToolCallPart(call=ToolCall(id="1", name="search", arguments="{}"))


def intended(number: int) -> str:
    """Long enough to break off anywhere, and saying nothing twice."""
    return " ".join(f"{word}-{number}.{place}," for place, word in enumerate(_WORDS)) + f"\n\nEnd of {number}. "


def asked(number: int, deadline: float | None) -> ModelRequest:
    return ModelRequest(
        messages=(Message(role="user", text=f"Recite {number}"),), max_output_tokens=400, deadline=deadline
    )


def erratic(name: str, rng: Random, *, trouble: float, capabilities: Capabilities) -> Scripted:
    """Writes what is missing of the intended text, more or less; with the given probability something goes wrong."""

    def script(request: ModelRequest) -> Script:
        number = int(request.messages[0].text.split()[1])
        text = intended(number)
        start = 0
        for message in request.messages:
            if message.role == "assistant":
                assert text.startswith(message.text)
                start = len(message.text)
        if start and not capabilities.continues:
            anchor = len(request.messages[-1].text.partition("<<<")[2].partition(">>>")[0])
            earlier = text.rfind(" ", 0, max(start - 30, 0)) + 1
            start = rng.choice([start, start - anchor, earlier, 0])
        steps: list[Step] = [rng.expovariate(2.0)]
        if rng.random() < 0.2:
            steps.append(ReasoningPart(text="Let me think."))
        for piece in pieces(text[start:], rng.randint(1, 60)):
            steps.append(piece)
            if rng.random() < 0.3:
                steps.append(rng.expovariate(10.0))
        if rng.random() < 0.05:
            steps.append(TOOL)
        usage = Usage(input_tokens=3, output_tokens=len(steps), cost=len(steps))
        steps += [Finish(reason="stop", usage=usage)]
        if rng.random() < trouble:
            place = rng.randrange(len(steps) + 1)
            steps[place:] = [_trouble(rng)] if rng.random() < 0.8 else []
        return steps

    return Scripted(name, script=script, capabilities=capabilities)


def _trouble(rng: Random) -> Step:
    kinds: list[Callable[[], Step]] = [
        lambda: Interrupted("cut"),
        lambda: Unavailable("down", retry_after=rng.choice([None, 0.5, 60.0])),
        lambda: RateLimited("busy", retry_after=rng.choice([None, 0.1, 3.0])),
        lambda: Refused("no"),
        lambda: NotAuthorised("no key"),
        lambda: InvalidRequest("no"),
        lambda: DeadlineExceeded("too slow"),
        lambda: 10_000.0,
    ]
    return rng.choice(kinds)()


@dataclass
class Ending:
    number: int
    events: list[ModelEvent]
    error: BaseException | None
    began: float
    ended: float
    deadline: float | None


def checked(one: Ending, default: float) -> None:
    text = "".join(event.text for event in one.events if isinstance(event, TextPart))
    finishes = [place for place, event in enumerate(one.events) if isinstance(event, Finish)]
    whole = intended(one.number)
    limit = one.deadline if one.deadline is not None else one.began + default
    assert one.ended <= limit + 1e-3
    assert whole.startswith(text)
    if one.error is None:
        assert finishes == [len(one.events) - 1]
        assert text == whole
    else:
        assert isinstance(one.error, ModelError)
        assert finishes == []
        if isinstance(one.error, Interrupted | DeadlineExceeded):
            assert one.error.text == text
    kept = 0
    for event in one.events:
        if isinstance(event, TextPart):
            kept += len(event.text)
        elif isinstance(event, Switched):
            assert event.kept == kept


async def storm(route: Route, rng: Random, calls: int, trouble: float) -> tuple[list[Ending], dict[str, Scripted]]:
    models = {
        name: erratic(
            name, rng, trouble=trouble, capabilities=Capabilities(continues=rng.random() < 0.5, logprobs=True)
        )
        for name in NAMES
    }
    routed = build(
        replace(route, models=NAMES),
        models.__getitem__,
        price=lambda _, usage: usage.output_tokens,
        now=now,
        random=rng,
    )

    async def call(number: int) -> Ending:
        await asyncio.sleep(rng.uniform(0, 20))
        began = now()
        deadline = began + rng.uniform(0.0, 30.0) if rng.random() < 0.5 else None
        events: list[ModelEvent] = []
        error: BaseException | None = None
        leaves = rng.randrange(1, 20) if rng.random() < 0.1 else None
        try:
            async with aclosing(routed.stream(asked(number, deadline))) as stream:
                async for event in stream:
                    events.append(event)
                    if len(events) == leaves:
                        error = asyncio.CancelledError()
                        break
        except ModelError as failure:
            error = failure
        return Ending(number, events, error, began, now(), deadline)

    async def stopped(number: int) -> Ending | None:
        """Now and then the caller's task is cancelled."""
        task = asyncio.create_task(call(number))
        if rng.random() < 0.1:
            await asyncio.wait([task], timeout=rng.uniform(0, 25))
            task.cancel()
        try:
            return await task
        except asyncio.CancelledError:
            return None

    endings = await asyncio.gather(*(stopped(number) for number in range(calls)))
    report = routed.report()
    assert all(one.running == one.waiting == 0 for one in report.models)
    assert all(model.running == 0 for model in models.values())
    return [one for one in endings if one is not None and not isinstance(one.error, asyncio.CancelledError)], models


USUAL = Route(deadline_seconds=40.0, first_seconds=60.0, idle_seconds=30.0)
ROUTES = {
    "plain": USUAL,
    "limited": replace(USUAL, concurrency=3, requests_per_minute=200, tokens_per_minute=60_000),
    "spilling": replace(USUAL, concurrency=2, queue_seconds=1.0, retry_seconds=5.0),
    "hedged": replace(USUAL, hedge_percentile=80.0, concurrency=8),
    "nervous": replace(USUAL, breaker_failures=2, breaker_seconds=1.0, first_seconds=2.0, idle_seconds=1.0),
    "split": replace(USUAL, strategy="split", split_by="tenant"),
    "cheapest": replace(USUAL, strategy="cheapest"),
    "fastest": replace(USUAL, strategy="fastest", hedge_percentile=90.0),
    "cascade": replace(USUAL, strategy="cascade", cascade_agreement=0.5, concurrency=5),
}


@pytest.mark.parametrize("name", ROUTES)
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32), trouble=st.sampled_from([0.0, 0.3, 0.7, 1.0]))
def test_what_must_hold_holds_in_every_weather(name: str, seed: int, trouble: float) -> None:
    route = ROUTES[name]
    endings, models = run(storm(route, Random(seed), 40, trouble))
    for one in endings:
        checked(one, route.deadline_seconds)
    if route.concurrency:
        assert all(model.most <= route.concurrency for model in models.values())
    if not trouble and name in ("plain", "hedged", "split", "cheapest", "fastest"):
        assert all(one.error is None for one in endings if one.deadline is None)


def test_most_replies_survive_bad_weather() -> None:
    endings, _ = run(storm(ROUTES["plain"], Random(7), 300, 0.4))
    whole = [one for one in endings if one.error is None]
    continued = [one for one in whole if any(isinstance(event, Switched) and event.kept for event in one.events)]
    given_time = [one for one in endings if one.deadline is None]
    assert len(continued) > 20
    assert sum(one.error is None for one in given_time) > 0.85 * len(given_time)
