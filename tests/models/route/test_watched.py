"""Silence and broken protocols become errors that others can act on."""

import asyncio

import pytest

from sourcebook.errors import Interrupted, Unavailable
from sourcebook.models.base import ModelRequest
from sourcebook.models.route import Watched
from tests.models.route.scripted import DONE, Script, Scripted
from tests.models.route.virtual import collect, finish_of, now, text_of, virtually


@virtually
async def test_a_model_that_never_begins_is_unavailable() -> None:
    model = Scripted("m", [61.0, "late", DONE])
    began = now()
    events, error = await collect(Watched(model))
    assert isinstance(error, Unavailable)
    assert (events, error.provider) == ([], "m")
    assert now() - began == pytest.approx(60)
    assert model.running == 0


@virtually
async def test_a_reply_that_stalls_is_interrupted_with_its_text() -> None:
    model = Scripted("m", [59.0, "Hel", 29.0, "lo", 31.0, DONE])
    events, error = await collect(Watched(model))
    assert isinstance(error, Interrupted)
    assert error.text == text_of(events) == "Hello"
    assert (model.running, model.stopped) == (0, 1)


@virtually
async def test_a_reply_that_is_not_streamed_may_take_its_time() -> None:
    events, error = await collect(Watched(Scripted("m", [600.0, "Hello", DONE])), ModelRequest(streamed=False))
    assert error is None
    assert finish_of(events)


@virtually
async def test_zero_waits_forever() -> None:
    _, error = await collect(Watched(Scripted("m", [600.0, "a", 600.0, DONE]), first=0, idle=0))
    assert error is None


@virtually
async def test_a_slow_reader_is_not_a_silent_model() -> None:
    stream = Watched(Scripted("m", ["a", "b", DONE])).stream(ModelRequest())
    async for _ in stream:
        await asyncio.sleep(100)


@virtually
async def test_a_stream_without_a_finish_is_interrupted() -> None:
    events, error = await collect(Watched(Scripted("m", ["Hel", "lo"])))
    assert isinstance(error, Interrupted)
    assert error.text == "Hello"
    assert len(events) == 2


@virtually
async def test_nothing_comes_after_a_finish() -> None:
    scripts: list[Script] = [["Hello", DONE, "more", DONE], ["Hello", DONE, Unavailable("while closing")]]
    for script in scripts:
        model = Scripted("m", script)
        events, error = await collect(Watched(model))
        assert error is None
        assert text_of(events) == "Hello"
        assert finish_of(events)
        assert model.running == 0


@virtually
async def test_a_stream_that_does_not_end_after_its_finish_is_ended() -> None:
    model = Scripted("m", ["Hello", DONE, 100.0])
    began = now()
    events, error = await collect(Watched(model))
    assert error is None
    assert finish_of(events)
    assert now() - began == pytest.approx(1.0)
    assert model.running == 0


@virtually
async def test_silence_is_told_from_a_vendor_that_said_so() -> None:
    scripts: list[Script] = [[100.0, DONE], ["Hel", 100.0, DONE]]
    for script in scripts:
        _, error = await collect(Watched(Scripted("m", script)))
        assert error is not None
        assert isinstance(error.__cause__, TimeoutError)
    _, error = await collect(Watched(Scripted("m", [Unavailable("down")])))
    assert error is not None
    assert error.__cause__ is None


@virtually
async def test_an_interruption_says_all_the_text() -> None:
    _, error = await collect(Watched(Scripted("m", ["Hel", "lo", Interrupted("cut")])))
    assert isinstance(error, Interrupted)
    assert error.text == "Hello"


@virtually
async def test_a_timeout_of_the_models_own_stays_what_it_is() -> None:
    with pytest.raises(TimeoutError, match="its own"):
        await collect(Watched(Scripted("m", [TimeoutError("its own")])))
