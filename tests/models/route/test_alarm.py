"""As asyncio's own timeouts, with one timer for many waits."""

import asyncio

import pytest

from sourcebook.models.route.alarm import Alarm, Overdue
from tests.models.route.virtual import now, virtually


@virtually
async def test_what_comes_in_time_comes_and_what_does_not_is_cancelled() -> None:
    began = now()
    with Alarm() as alarm:
        for _ in range(100):
            assert await alarm.wait(asyncio.sleep(0.9, "here"), 1.0) == "here"
        with pytest.raises(Overdue):
            await alarm.wait(asyncio.sleep(5.0), 1.0)
        assert now() - began == pytest.approx(91.0)
        await alarm.wait(asyncio.sleep(1e6), 0.0)
        assert await alarm.wait(asyncio.sleep(3.0, "again"), 4.0) == "again"
        with pytest.raises(Overdue):
            await alarm.wait(asyncio.sleep(3.0), 2.0)  # shorter than the timer that is set
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


@virtually
async def test_time_between_waits_does_not_count() -> None:
    with Alarm() as alarm:
        await alarm.wait(asyncio.sleep(0.5), 1.0)
        await asyncio.sleep(10.0)
        await alarm.wait(asyncio.sleep(0.9), 1.0)


@virtually
async def test_errors_pass() -> None:
    async def broken() -> None:
        await asyncio.sleep(0.1)
        raise ValueError("broken")

    with Alarm() as alarm, pytest.raises(ValueError, match="broken"):
        await alarm.wait(broken(), 1.0)


@virtually
async def test_what_answers_a_cancellation_with_an_error_or_not_at_all() -> None:
    async def protests() -> None:
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            raise ValueError("protest") from None

    async def ignores() -> str:
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            await asyncio.sleep(0.1)
        return "late"

    task = asyncio.current_task()
    assert task is not None
    with Alarm() as alarm:
        with pytest.raises(ValueError, match="protest"):
            await alarm.wait(protests(), 1.0)
        assert task.cancelling() == 0
        with pytest.raises(Overdue):
            await alarm.wait(ignores(), 1.0)
        assert task.cancelling() == 0
        await alarm.wait(asyncio.sleep(0.5), 1.0)


@virtually
async def test_a_cancellation_from_elsewhere_stays_one() -> None:
    async def waits(seconds: float) -> None:
        with Alarm() as alarm:
            await alarm.wait(asyncio.sleep(100), seconds)

    for cancelled_after, alarm_after in ((0.5, 1.0), (1.0, 1.0)):
        task = asyncio.create_task(waits(alarm_after))
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_later(cancelled_after, task.cancel)
        with pytest.raises((asyncio.CancelledError, Overdue)) as caught:
            await task
        if cancelled_after < alarm_after:
            assert caught.type is asyncio.CancelledError


@virtually
async def test_alarms_nest_with_each_other_and_with_timeouts() -> None:
    with Alarm() as outer:

        async def inner() -> str:
            with Alarm() as alarm:
                try:
                    await alarm.wait(asyncio.sleep(10), 1.0)
                except Overdue:
                    return "inner"
                return "none"

        assert await outer.wait(inner(), 5.0) == "inner"
        with pytest.raises(Overdue):
            await outer.wait(inner(), 0.5)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await outer.wait(inner(), 5.0)
        with pytest.raises(Overdue):
            async with asyncio.timeout(5.0):
                await outer.wait(asyncio.sleep(10), 0.5)
