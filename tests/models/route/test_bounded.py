"""Nothing runs past its deadline."""

import asyncio

import pytest

from sourcebook.errors import DeadlineExceeded, Interrupted
from sourcebook.models.base import ModelRequest
from sourcebook.models.route import Bounded
from tests.models.route.scripted import DONE, Scripted
from tests.models.route.virtual import collect, finish_of, now, text_of, virtually


@virtually
async def test_the_deadline_ends_it_with_what_had_come() -> None:
    model = Scripted("m", ["Hel", 1.0, "lo", 10.0, DONE])
    began = now()
    events, error = await collect(Bounded(model, now=now), ModelRequest(deadline=now() + 5.0))
    assert isinstance(error, DeadlineExceeded)
    assert error.text == text_of(events) == "Hello"
    assert now() - began == pytest.approx(5.0)
    assert (model.running, model.stopped) == (0, 1)


@virtually
async def test_a_request_without_a_deadline_gets_one() -> None:
    model = Scripted("m", [10.0, DONE])
    began = now()
    _, error = await collect(Bounded(model, seconds=3.0, now=now))
    assert isinstance(error, DeadlineExceeded)
    assert now() - began == pytest.approx(3.0)
    assert model.requests[0].deadline == pytest.approx(began + 3.0)


@virtually
async def test_its_own_deadline_stays_even_if_it_is_later() -> None:
    _, error = await collect(
        Bounded(Scripted("m", [10.0, DONE]), seconds=3.0, now=now), ModelRequest(deadline=now() + 20)
    )
    assert error is None


@virtually
async def test_zero_gives_all_the_time() -> None:
    events, error = await collect(Bounded(Scripted("m", [1e6, "a", DONE]), seconds=0, now=now))
    assert error is None
    assert finish_of(events)


@virtually
async def test_a_deadline_in_the_past_calls_nobody() -> None:
    model = Scripted("m", ["a", DONE])
    _, error = await collect(Bounded(model, now=now), ModelRequest(deadline=now() - 1))
    assert isinstance(error, DeadlineExceeded)
    assert "m had not been asked by then" in str(error)
    assert model.calls == 0


@virtually
async def test_a_slow_reader_meets_the_deadline_too() -> None:
    model = Scripted("m", ["a", "b", DONE])
    stream = Bounded(model, seconds=3.0, now=now).stream(ModelRequest())
    for _ in range(2):
        await anext(stream)
        await asyncio.sleep(2)
    with pytest.raises(DeadlineExceeded) as caught:
        await anext(stream)
    assert caught.value.text == "ab"
    assert model.running == 0


@virtually
async def test_what_is_finished_is_finished() -> None:
    events, error = await collect(Bounded(Scripted("m", ["a", DONE, 100.0]), seconds=3.0, now=now))
    assert error is None
    assert finish_of(events)


@virtually
async def test_a_vendors_own_deadline_error_says_the_text_as_well() -> None:
    _, error = await collect(Bounded(Scripted("m", ["Hello", DeadlineExceeded("slow")]), now=now))
    assert isinstance(error, DeadlineExceeded)
    assert error.text == "Hello"


@virtually
async def test_a_stream_without_a_finish_is_interrupted() -> None:
    _, error = await collect(Bounded(Scripted("m", ["Hello"]), now=now))
    assert isinstance(error, Interrupted)
    assert error.text == "Hello"
