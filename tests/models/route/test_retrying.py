"""Again, but only what may help, only unseen, and only in time."""

from random import Random

import pytest

from sourcebook.errors import (
    DeadlineExceeded,
    Interrupted,
    InvalidRequest,
    ModelError,
    RateLimited,
    Refused,
    Unavailable,
)
from sourcebook.models.base import ModelRequest, ReasoningPart, Switched, ToolCall, ToolCallPart
from sourcebook.models.route import Retrying
from sourcebook.models.route.attempt import OWN
from sourcebook.types import Usage
from tests.models.route.scripted import DONE, Scripted, Step
from tests.models.route.virtual import collect, finish_of, now, text_of, virtually


class Longest(Random):
    """No luck: always the longest wait."""

    def uniform(self, a: float, b: float) -> float:
        return b


@virtually
async def test_what_fails_for_a_moment_is_asked_again() -> None:
    model = Scripted("m", [Unavailable("down")], [RateLimited("slow down")], ["Hello", DONE])
    retrying = Retrying(model, now=now)
    events, error = await collect(retrying)
    assert error is None
    assert text_of(events) == "Hello"
    assert finish_of(events) == DONE.__class__(reason="stop", usage=DONE.usage, model="m")
    assert model.calls == 3
    assert retrying.retries == 2


@virtually
async def test_it_waits_longer_each_time_up_to_the_longest() -> None:
    model = Scripted("m", [Unavailable("down")])
    began = now()
    _, error = await collect(
        Retrying(model, attempts=6, first=1.0, longest=4.0, patience=100, now=now, random=Longest())
    )
    assert isinstance(error, Unavailable)
    assert model.calls == 6
    assert now() - began == pytest.approx(1 + 2 + 4 + 4 + 4)


@virtually
async def test_waits_are_spread_over_the_whole_range() -> None:
    waits = []
    for seed in range(200):
        model = Scripted("m", [Unavailable("down")], [DONE])
        began = now()
        await collect(Retrying(model, first=8.0, now=now, random=Random(seed)))
        waits.append(now() - began)
    assert min(waits) < 0.5
    assert max(waits) > 7.5
    assert 3.5 < sum(waits) / len(waits) < 4.5


@virtually
async def test_retry_after_is_honoured_and_not_to_the_same_instant() -> None:
    waits = set()
    for seed in range(20):
        model = Scripted("m", [RateLimited("later", retry_after=7.0)], [DONE])
        began = now()
        assert (await collect(Retrying(model, now=now, random=Random(seed))))[1] is None
        waits.add(round(now() - began, 6))
    assert min(waits) >= 7.0
    assert max(waits) < 8.0
    assert len(waits) > 10


@virtually
async def test_a_vendor_that_asks_for_more_patience_than_there_is_is_not_waited_for() -> None:
    model = Scripted("m", [RateLimited("later", retry_after=30.0)])
    began = now()
    _, error = await collect(Retrying(model, patience=20.0, now=now))
    assert isinstance(error, RateLimited)
    assert error.retry_after == 30.0
    assert (model.calls, now()) == (1, began)


@virtually
async def test_a_slow_failure_uses_the_patience_up() -> None:
    model = Scripted("m", [25.0, Unavailable("timed out")])
    await collect(Retrying(model, patience=20.0, now=now))
    assert model.calls == 1


@virtually
async def test_no_wait_begins_that_would_end_at_the_deadline() -> None:
    model = Scripted("m", [Unavailable("down", retry_after=2.0)])
    began = now()
    _, error = await collect(Retrying(model, now=now), ModelRequest(deadline=now() + 2.0))
    assert isinstance(error, Unavailable)
    assert now() == began


@pytest.mark.parametrize(
    "error",
    [
        InvalidRequest("no"),
        Refused("no"),
        DeadlineExceeded("over"),
        RateLimited("our own limit", provider=OWN, retry_after=0.1),
        Unavailable("our own breaker", provider=OWN, retry_after=0.1),
    ],
)
def test_what_another_attempt_does_not_cure_is_not_tried_again(error: ModelError) -> None:
    @virtually
    async def scenario() -> None:
        model = Scripted("m", [error])
        assert (await collect(Retrying(model, now=now)))[1] is error
        assert model.calls == 1

    scenario()


@pytest.mark.parametrize(
    "seen", ["Hel", ReasoningPart(text="Hm"), ToolCallPart(call=ToolCall(id="1", name="f", arguments="{}"))]
)
def test_what_was_seen_is_not_begun_anew(seen: Step) -> None:
    @virtually
    async def scenario() -> None:
        model = Scripted("m", [seen, Interrupted("cut", text="Hel")])
        events, error = await collect(Retrying(model, now=now))
        assert isinstance(error, Interrupted)
        assert (model.calls, len(events)) == (1, 1)

    scenario()


@virtually
async def test_what_nobody_sees_may_come_twice() -> None:
    model = Scripted("m", ["", Switched(before="a", after="b", reason="r"), Unavailable("down")], ["Hello", DONE])
    events, error = await collect(Retrying(model, now=now))
    assert error is None
    assert text_of(events) == "Hello"


@virtually
async def test_an_error_after_the_finish_changes_nothing() -> None:
    model = Scripted("m", ["Hello", DONE, Unavailable("while closing")])
    events, error = await collect(Retrying(model, now=now))
    assert error is None
    assert finish_of(events)
    assert model.calls == 1


@virtually
async def test_what_failed_attempts_say_they_took_is_in_the_usage() -> None:
    charged = Unavailable("down")
    charged.usage = Usage(input_tokens=3, cost=7)
    model = Scripted("m", [charged], ["Hello", DONE])
    events, _ = await collect(Retrying(model, now=now))
    assert finish_of(events).usage == Usage(input_tokens=13, output_tokens=5, counted_by="vendor", cost=107)


@virtually
async def test_closing_it_while_it_waits_or_reads_stops_the_model() -> None:
    model = Scripted("m", ["Hello", 100.0, DONE])
    stream = Retrying(model, now=now).stream(ModelRequest())
    await anext(stream)
    await stream.aclose()
    assert (model.running, model.stopped) == (0, 1)


@virtually
async def test_an_error_that_ends_it_says_what_the_attempts_before_took() -> None:
    first = Unavailable("did not answer", usage=Usage(cost=936))
    model = Scripted("m", [first], [Refused("no", usage=Usage(cost=4))])
    _, error = await collect(Retrying(model, now=now))
    assert isinstance(error, Refused)
    assert (error.usage and error.usage.cost) == 940
