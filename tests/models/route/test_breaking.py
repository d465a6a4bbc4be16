"""A model that fails too often is left alone, and asked carefully whether it is back."""

import asyncio
from contextlib import aclosing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sourcebook.errors import (
    BudgetExceeded,
    DeadlineExceeded,
    Interrupted,
    InvalidRequest,
    ModelError,
    NotAuthorised,
    RateLimited,
    Unavailable,
)
from sourcebook.models.base import ModelRequest
from sourcebook.models.route import Breaker, Breaking
from sourcebook.models.route.attempt import OWN
from sourcebook.models.route.breaking import Leave
from tests.models.route.scripted import DONE, Script, Scripted
from tests.models.route.virtual import all_at_once, collect, now, run, virtually


class Clock:
    def __init__(self) -> None:
        self.time = 0.0

    def __call__(self) -> float:
        return self.time


def state(breaker: Breaker) -> str:
    return breaker.state


def pass_of(breaker: Breaker) -> Leave:
    found = breaker.enter()
    assert isinstance(found, Leave)
    return found


def test_failures_in_a_row_open_it_and_a_success_between_them_does_not() -> None:
    breaker = Breaker(failures=3, seconds=10, now=Clock())
    for fails in (True, True, False, True, True):
        leave = pass_of(breaker)
        (breaker.failed if fails else breaker.succeeded)(leave)
    assert state(breaker) == "closed"
    breaker.failed(pass_of(breaker))
    assert state(breaker) == "open"
    assert breaker.enter() == 10


def test_half_of_the_latest_twenty_open_it_too() -> None:
    breaker = Breaker(failures=5, seconds=10, now=Clock())
    for number in range(20):
        assert state(breaker) == "closed"
        leave = pass_of(breaker)
        (breaker.failed if number % 2 else breaker.succeeded)(leave)
    assert state(breaker) == "open"


def test_one_probe_decides() -> None:
    clock = Clock()
    breaker = Breaker(failures=1, seconds=10, now=clock)
    breaker.failed(pass_of(breaker))
    clock.time = 10.0
    assert state(breaker) == "half-open"
    probe = pass_of(breaker)
    assert probe.probe
    assert isinstance(breaker.enter(), float)
    breaker.succeeded(probe)
    breaker.left(probe)
    assert state(breaker) == "closed"
    assert not pass_of(breaker).probe


def test_a_failing_probe_opens_it_for_twice_as_long_up_to_tenfold() -> None:
    clock = Clock()
    breaker = Breaker(failures=1, seconds=10, now=clock)
    waits = []
    for _ in range(6):
        breaker.failed(pass_of(breaker))
        wait = breaker.enter()
        assert isinstance(wait, float)
        waits.append(wait)
        clock.time += wait
    assert waits == [10, 20, 40, 80, 100, 100]
    breaker.succeeded(pass_of(breaker))
    breaker.failed(pass_of(breaker))
    assert breaker.enter() == 10
    assert breaker.openings == 7


def test_a_probe_that_says_nothing_makes_room_for_the_next() -> None:
    clock = Clock()
    breaker = Breaker(failures=1, seconds=10, now=clock)
    breaker.failed(pass_of(breaker))
    clock.time = 10.0
    breaker.left(pass_of(breaker))
    late = pass_of(breaker)
    clock.time = 20.0
    probe = pass_of(breaker)  # the other took too long
    assert probe.probe
    breaker.failed(late)
    assert state(breaker) == "half-open"
    breaker.succeeded(probe)
    assert state(breaker) == "closed"


def test_what_was_begun_before_it_opened_means_nothing_afterwards() -> None:
    clock = Clock()
    breaker = Breaker(failures=1, seconds=10, now=clock)
    old = [pass_of(breaker) for _ in range(3)]
    breaker.failed(old[0])
    assert breaker.openings == 1
    breaker.failed(old[1])
    breaker.succeeded(old[2])
    assert (breaker.openings, breaker.enter()) == (1, 10)


@virtually
async def test_while_it_is_open_nobody_is_called() -> None:
    model = Scripted("m", [Unavailable("down")])
    breaking = Breaking(model, Breaker(failures=2, seconds=10, now=now), now=now)
    for _ in range(5):
        _, error = await collect(breaking)
        assert isinstance(error, Unavailable)
    assert model.calls == 2
    assert error is not None
    assert error.provider == OWN
    assert error.retry_after == pytest.approx(10)
    await asyncio.sleep(10)
    await collect(breaking)
    assert model.calls == 3


@pytest.mark.parametrize(
    ("script", "counts"),
    [
        ([Unavailable("down")], True),
        (["Hel", Interrupted("cut")], True),
        ([6.0, DeadlineExceeded("slow")], True),
        ([0.1, DeadlineExceeded("the caller's")], False),
        ([InvalidRequest("no")], False),
        ([NotAuthorised("no")], False),
        ([RateLimited("later")], False),
        ([BudgetExceeded("ours")], False),
        ([Unavailable("ours", provider=OWN)], False),
        (["Hello", DONE, Unavailable("while closing")], False),
    ],
)
def test_only_the_vendors_faults_count(script: Script, counts: bool) -> None:
    @virtually
    async def scenario() -> None:
        breaker = Breaker(failures=1, seconds=10, now=now)
        await collect(Breaking(Scripted("m", script), breaker, now=now))
        assert (breaker.state == "open") is counts

    scenario()


@pytest.mark.parametrize(("seconds", "counts"), [(8.0, True), (1.0, False)])
def test_silence_up_to_the_deadline_counts_if_there_was_time(seconds: float, counts: bool) -> None:
    @virtually
    async def scenario() -> None:
        breaker = Breaker(failures=1, seconds=10, now=now)
        breaking = Breaking(Scripted("m", [100.0, DONE]), breaker, now=now)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(seconds):
                await collect(breaking, ModelRequest(deadline=now() + seconds))
        assert (breaker.state == "open") is counts

    scenario()


@virtually
async def test_a_reader_who_leaves_says_nothing_about_the_model() -> None:
    breaker = Breaker(failures=1, seconds=10, now=now)
    model = Scripted("m", [Unavailable("down")], ["Hello", DONE])
    breaking = Breaking(model, breaker, now=now)
    await collect(breaking)
    await asyncio.sleep(10)
    async with aclosing(breaking.stream(ModelRequest())) as probe:
        await anext(probe)
        _, error = await collect(breaking)
        assert isinstance(error, Unavailable)
    assert state(breaker) == "half-open"
    assert (await collect(breaking))[1] is None
    assert state(breaker) == "closed"
    assert model.running == 0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 30), st.floats(0.01, 20), st.booleans()), min_size=1, max_size=60))
def test_never_more_than_one_probe_and_no_call_while_open(calls: list[tuple[float, float, bool]]) -> None:
    async def scenario() -> None:
        breaker = Breaker(failures=2, seconds=5, now=now)
        probing: dict[Leave, float] = {}

        async def call(begin: float, takes: float, fails: bool) -> None:
            await asyncio.sleep(begin)
            found = state(breaker)
            leave = breaker.enter()
            if isinstance(leave, float):
                assert found != "closed"
                assert 0 < leave <= 50
                return
            assert found != "open"
            assert leave.probe == (found == "half-open")
            if leave.probe:
                assert all(now() - since >= 5 for since in probing.values())
                probing[leave] = now()
            await asyncio.sleep(takes)
            (breaker.failed if fails else breaker.succeeded)(leave)
            breaker.left(leave)
            probing.pop(leave, None)

        await all_at_once(call(*one) for one in calls)

    run(scenario())


def test_the_errors_that_count_can_be_chosen() -> None:
    async def scenario(faults: tuple[type[ModelError], ...]) -> str:
        breaker = Breaker(failures=1, seconds=10, now=now)
        await collect(Breaking(Scripted("m", [RateLimited("later")]), breaker, faults=faults, now=now))
        return breaker.state

    assert run(scenario((RateLimited,))) == "open"
    assert run(scenario((Unavailable,))) == "closed"
