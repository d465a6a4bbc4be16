"""A second call for the slow ones; one of the two is read, the other stopped."""

import asyncio
from contextlib import aclosing

import pytest

from sourcebook.errors import Interrupted, InvalidRequest, Unavailable
from sourcebook.models.base import ModelRequest, Switched
from sourcebook.models.route import Hedged
from sourcebook.types import Usage
from tests.models.route.scripted import DONE, Script, Scripted
from tests.models.route.virtual import collect, finish_of, now, text_of, virtually

QUICK: Script = [0.1, "quick", DONE]
SLOW: Script = [5.0, "slow", DONE]


async def taught(*scripts: Script, other: Scripted | None = None, **options: float) -> tuple[Hedged, Scripted]:
    """A hedged model that has seen 30 quick replies, and plays the scripts next."""
    model = Scripted("m", *[QUICK] * 30, *scripts)
    hedged = Hedged(model, other, floor=0.12, now=now, **options)  # type: ignore[arg-type]
    for _ in range(30):
        await collect(hedged)
    return hedged, model


@virtually
async def test_nothing_is_hedged_before_enough_was_seen() -> None:
    model = Scripted("m", SLOW)
    hedged = Hedged(model, least=5, now=now)
    for _ in range(5):
        await collect(hedged)
    assert model.calls == 5


@virtually
async def test_a_reply_in_time_is_the_only_call() -> None:
    hedged, model = await taught(QUICK)
    events, error = await collect(hedged)
    assert error is None
    assert text_of(events) == "quick"
    assert (model.calls, hedged.hedges) == (31, 0)


@virtually
async def test_a_slow_reply_gets_a_second_call_and_the_first_to_begin_wins() -> None:
    hedged, model = await taught(SLOW, QUICK)
    began = now()
    events, error = await collect(hedged)
    assert error is None
    assert text_of(events) == "quick"
    assert now() - began == pytest.approx(0.22)
    assert (hedged.hedges, hedged.wins) == (1, 1)
    assert (model.running, model.stopped) == (0, 1)


@virtually
async def test_the_first_may_still_win() -> None:
    hedged, model = await taught([0.15, "first", 1.0, " goes on", DONE], SLOW)
    events, _ = await collect(hedged)
    assert text_of(events) == "first goes on"
    assert (hedged.hedges, hedged.wins, model.stopped) == (1, 0, 1)


@virtually
async def test_the_loser_is_stopped_when_the_winner_begins_not_when_it_ends() -> None:
    other = Scripted("other", [0.1, "begins", 50.0, " and ends", DONE])
    hedged, model = await taught([60.0, DONE], other=other)
    async with aclosing(hedged.stream(ModelRequest())) as events:
        assert isinstance(await anext(events), Switched)
        await anext(events)
        await asyncio.sleep(0.01)
        assert (model.running, model.stopped) == (0, 1)


@virtually
async def test_another_model_says_that_it_took_over_and_what_the_loser_took_is_counted() -> None:
    other = Scripted("other", QUICK)
    hedged, _ = await taught([5.0, DONE], other=other, price=lambda name, usage: 7)  # type: ignore[arg-type]
    events, _ = await collect(hedged, ModelRequest(question="one two three"))
    assert events[0] == Switched(before="m", after="other", reason="nothing came within 0.12 s")
    usage = finish_of(events).usage
    assert usage == Usage(input_tokens=13, output_tokens=5, counted_by="m", exact=False, cost=107)


@virtually
async def test_an_error_before_the_second_call_is_an_error() -> None:
    error = InvalidRequest("no")
    hedged, model = await taught([0.01, error])
    assert (await collect(hedged))[1] is error
    assert model.calls == 31


@virtually
async def test_an_error_of_one_leaves_the_other() -> None:
    hedged, _ = await taught([0.15, Unavailable("down")], [0.5, "second", DONE])
    events, error = await collect(hedged)
    assert error is None
    assert text_of(events) == "second"
    hedged, _ = await taught([0.5, "first", DONE], [0.1, Unavailable("down")])
    events, error = await collect(hedged)
    assert error is None
    assert text_of(events) == "first"


@virtually
async def test_if_both_fail_the_first_error_is_told() -> None:
    one = Unavailable("one", usage=Usage(input_tokens=1))
    hedged, _ = await taught([0.5, one], [0.1, Unavailable("two", usage=Usage(input_tokens=2))])
    assert (await collect(hedged))[1] is one
    assert one.usage == Usage(input_tokens=3)


@virtually
async def test_a_winner_that_breaks_off_is_interrupted() -> None:
    hedged, model = await taught([0.15, "Hel", Interrupted("cut", text="Hel")])
    events, error = await collect(hedged)
    assert isinstance(error, Interrupted)
    assert text_of(events) == "Hel"
    hedged, model = await taught([0.15, "Hel"])
    assert isinstance((await collect(hedged))[1], Interrupted)
    assert model.running == 0


@virtually
async def test_when_all_are_slow_only_a_share_is_hedged() -> None:
    hedged, model = await taught(SLOW, share=0.2)
    await asyncio.gather(*(collect(hedged) for _ in range(100)))
    assert model.running == 0
    assert 5 <= hedged.hedges <= 26
    for _ in range(100):
        await collect(hedged)
    assert hedged.hedges <= 0.2 * 230


@pytest.mark.parametrize("seconds", [0.05, 0.15, 0.25, 3.0])
def test_whoever_leaves_stops_both(seconds: float) -> None:
    @virtually
    async def scenario() -> None:
        other = Scripted("other", [0.1, "a", 100.0, DONE])
        hedged, model = await taught([100.0, DONE], other=other)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(seconds):
                await collect(hedged)
        assert (model.running, other.running) == (0, 0)

    scenario()


@virtually
async def test_a_reader_who_stops_leaves_nothing_behind() -> None:
    other = Scripted("other", [0.1, *["a"] * 500, DONE])
    hedged, model = await taught([100.0, DONE], other=other)
    async with aclosing(hedged.stream(ModelRequest())) as events:
        await anext(events)
        await anext(events)
    assert (model.running, other.running, other.stopped) == (0, 0, 1)
