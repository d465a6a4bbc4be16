"""Never more than allowed, first come first served, and told at once what cannot be in time."""

import asyncio
from contextlib import aclosing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sourcebook.errors import RateLimited, Unavailable
from sourcebook.models.base import Finish, Message, ModelRequest
from sourcebook.models.route import Limited, Limiter
from sourcebook.models.route.attempt import OWN
from sourcebook.models.route.limiter import Bucket
from sourcebook.types import Usage
from tests.models.route.scripted import DONE, Scripted
from tests.models.route.virtual import all_at_once, collect, now, run, virtually


def test_a_bucket_holds_a_minutes_worth_and_fills_evenly() -> None:
    time = 0.0
    bucket = Bucket(60, now=lambda: time)
    bucket.take(60)
    assert bucket.wait(1) == pytest.approx(1.0)
    time = 30.0
    assert bucket.wait(30) == 0.0
    assert bucket.wait(1000) == pytest.approx(30.0)
    time = 1000.0
    bucket.take(1000)
    bucket.give_back(-60)
    assert bucket.wait(1) == pytest.approx(61.0)


@virtually
async def test_no_more_than_so_many_run_at_once() -> None:
    model = Scripted("m", ["a", 1.0, "b", DONE])
    limited = Limited(model, Limiter(concurrency=3, now=now), now=now)
    began = now()
    results = await all_at_once(collect(limited) for _ in range(10))
    assert all(error is None for _, error in results)
    assert (model.most, model.calls) == (3, 10)
    assert now() - began == pytest.approx(4.0)
    assert limited.limiter.running == 0


@virtually
async def test_turns_come_in_the_order_of_asking() -> None:
    limiter = Limiter(concurrency=1, tokens_per_minute=60, now=now)
    served: list[int] = []

    async def call(number: int, tokens: int) -> None:
        permit = await limiter.admit(tokens, until=None)
        served.append(number)
        await asyncio.sleep(0.1)
        permit.release()

    await all_at_once(call(number, 50 if number % 3 == 0 else 1) for number in range(12))
    assert served == list(range(12))


@virtually
async def test_requests_a_minute() -> None:
    limited = Limited(Scripted("m", [DONE]), Limiter(requests_per_minute=30, now=now), now=now)
    began = now()
    await all_at_once(collect(limited) for _ in range(30))
    assert now() == began
    await collect(limited)
    assert now() - began == pytest.approx(2.0, abs=1e-3)


@virtually
async def test_tokens_a_minute_are_thought_first_and_settled_by_what_the_vendor_says() -> None:
    usage = Usage(input_tokens=4, output_tokens=6)
    limited = Limited(
        Scripted("m", [Finish(reason="stop", usage=usage)]), Limiter(tokens_per_minute=600, now=now), now=now
    )
    request = ModelRequest(messages=(Message(role="user", text="one two three"),), max_output_tokens=493)
    began = now()
    await collect(limited, request)  # 500 thought, 10 taken
    await collect(limited, request)
    assert now() == began
    await all_at_once(collect(limited, request) for _ in range(2))  # 580 left, 1000 thought
    assert now() - began == pytest.approx(0.0)  # the first was settled before the second was asked
    limiter = Limiter(tokens_per_minute=600, now=now)
    await limiter.admit(500, until=None)
    await limiter.admit(500, until=None)
    assert now() - began == pytest.approx(40.0, abs=1e-3)


@virtually
async def test_what_cannot_be_in_time_fails_at_once() -> None:
    model = Scripted("m", [DONE])
    limited = Limited(model, Limiter(requests_per_minute=6, now=now), now=now)
    await all_at_once(collect(limited) for _ in range(6))
    began = now()
    _, error = await collect(limited, ModelRequest(deadline=now() + 9.0))
    assert isinstance(error, RateLimited)
    assert error.provider == OWN
    assert error.retry_after == pytest.approx(10.0)
    assert now() == began
    assert (await collect(limited, ModelRequest(deadline=now() + 11.0)))[1] is None
    assert now() - began == pytest.approx(10.0, abs=1e-3)


@virtually
async def test_those_who_wait_before_count() -> None:
    limiter = Limiter(requests_per_minute=60, now=now)
    for _ in range(60):
        (await limiter.admit(0, until=None)).release()
    waiting = [asyncio.create_task(limiter.admit(0, until=None)) for _ in range(5)]
    await asyncio.sleep(0)
    assert limiter.waiting == 5
    with pytest.raises(RateLimited) as caught:
        await limiter.admit(0, until=now() + 5.5)
    assert caught.value.retry_after == pytest.approx(6.0)
    for permit in await all_at_once(waiting):
        permit.release()


@virtually
async def test_who_waits_for_a_place_waits_to_the_deadline_or_as_long_as_set() -> None:
    model = Scripted("m", [100.0, DONE])
    limiter = Limiter(concurrency=1, now=now)
    first = asyncio.create_task(collect(Limited(model, limiter, now=now)))
    await asyncio.sleep(0)
    began = now()
    _, error = await collect(Limited(model, limiter, now=now), ModelRequest(deadline=now() + 3.0))
    assert isinstance(error, RateLimited)
    assert now() - began == pytest.approx(3.0)
    _, error = await collect(Limited(model, limiter, patience=2.0, now=now), ModelRequest(deadline=now() + 30.0))
    assert isinstance(error, RateLimited)
    assert now() - began == pytest.approx(5.0)
    await first
    assert model.calls == 1


@virtually
async def test_a_stop_asked_for_by_the_vendor_holds_everybody() -> None:
    model = Scripted("m", [RateLimited("later", retry_after=5.0)], [DONE])
    limited = Limited(model, Limiter(concurrency=10, now=now), now=now)
    began = now()
    await collect(limited)
    await all_at_once(collect(limited) for _ in range(3))
    assert now() - began == pytest.approx(5.0, abs=1e-3)


@virtually
async def test_a_call_that_nobody_was_asked_for_takes_nothing() -> None:
    model = Scripted("m", [Unavailable("breaker", provider=OWN)], [DONE])
    limited = Limited(model, Limiter(requests_per_minute=1, tokens_per_minute=1000, now=now), now=now)
    await collect(limited)
    began = now()
    assert (await collect(limited))[1] is None
    assert now() == began


@virtually
async def test_whoever_leaves_gives_up_the_place() -> None:
    model = Scripted("m", ["a", 100.0, DONE])
    limited = Limited(model, Limiter(concurrency=1, now=now), now=now)
    async with aclosing(limited.stream(ModelRequest())) as running:
        await anext(running)
        waiting = asyncio.create_task(collect(limited))
        await asyncio.sleep(1.0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert limited.limiter.waiting == 0
        waiting = asyncio.create_task(collect(limited))
        await asyncio.sleep(1.0)
        assert model.calls == 1
    assert (await waiting)[1] is None
    assert limited.limiter.running == 0


@virtually
async def test_who_is_stopped_in_the_moment_of_the_turn_hands_it_on() -> None:
    limiter = Limiter(concurrency=1, requests_per_minute=2, now=now)
    permit = await limiter.admit(0, until=None)
    stopped = asyncio.create_task(limiter.admit(0, until=None))
    after = asyncio.create_task(limiter.admit(0, until=None))
    await asyncio.sleep(0)
    permit.release()  # the turn is the first one's now
    stopped.cancel()
    began = now()
    (await after).release()
    assert now() == began  # and its request was not counted
    assert stopped.cancelled()
    assert limiter.running == 0


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(0, 20), st.floats(0, 5), st.integers(0, 400), st.none() | st.floats(0, 30), st.booleans()),
        min_size=1,
        max_size=50,
    ),
    st.integers(1, 4),
)
def test_the_limits_hold_whatever_happens(
    calls: list[tuple[float, float, int, float | None, bool]], concurrency: int
) -> None:
    async def scenario() -> None:
        limiter = Limiter(concurrency=concurrency, requests_per_minute=20, tokens_per_minute=600, now=now)
        running = 0
        admitted: list[tuple[float, int]] = []

        async def call(begin: float, takes: float, tokens: int, patience: float | None, leaves: bool) -> None:
            nonlocal running
            await asyncio.sleep(begin)
            until = None if patience is None else now() + patience
            try:
                async with asyncio.timeout(3.0 if leaves else None):
                    permit = await limiter.admit(tokens, until=until)
            except RateLimited:
                assert until is not None
                assert now() <= until + 1e-3
                return
            except TimeoutError:
                return
            assert until is None or now() <= until + 1e-3
            admitted.append((now(), tokens))
            running += 1
            assert running <= concurrency
            await asyncio.sleep(takes)
            running -= 1
            permit.release()

        await all_at_once(call(*one) for one in calls)
        assert (limiter.running, limiter.waiting, running) == (0, 0, 0)
        for place, (begin, _) in enumerate(admitted):
            for end, (until, _) in enumerate(admitted[place:], start=place + 1):
                seconds = until - begin
                assert end - place <= 20 * (1 + seconds / 60) + 1e-3
                assert sum(tokens for _, tokens in admitted[place:end]) <= 600 * (1 + seconds / 60) + 1e-1

    run(scenario())
