"""One timer for the many short waits of a stream; `asyncio.timeout` would set and take back one for each event."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from types import TracebackType
from typing import Self, TypeVar

T = TypeVar("T")


class Overdue(TimeoutError):
    """What was waited for did not come in time. It was cancelled, and has let go."""


class Alarm:
    """Bounds one wait after the other. Leave its `with` block when there is no further one.

    Like `asyncio.timeout` it cancels the task that waits and takes the cancellation back, so that it composes with
    cancellations from elsewhere.
    """

    def __init__(self) -> None:
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[object] | None = None  # that waits now
        self._due = 0.0
        self._rung = False

    def __enter__(self) -> Self:
        """Nothing is set yet."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Take back what is set."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def wait(self, coming: Awaitable[T], seconds: float) -> T:
        """What comes. seconds: 0 waits forever. Errors: Overdue; whatever is raised by what is waited for."""
        if not seconds:
            return await coming
        task = asyncio.current_task()
        assert task is not None
        loop = task.get_loop()
        self._due = loop.time() + seconds
        if self._timer is None:
            self._timer = loop.call_at(self._due, self._ring)
        elif self._timer.when() > self._due:
            self._timer.cancel()
            self._timer = loop.call_at(self._due, self._ring)
        before = task.cancelling()
        self._task = task
        try:
            result = await coming
        except asyncio.CancelledError as error:
            if self._answered(task) and task.cancelling() <= before:
                raise Overdue from error
            raise
        except BaseException:
            self._answered(task)
            raise
        if self._answered(task):
            raise Overdue  # it would not be cancelled
        return result

    def _answered(self, task: asyncio.Task[object]) -> bool:
        """Whether it has rung for the wait that is over now; if so, the cancellation is taken back."""
        self._task = None
        rung, self._rung = self._rung, False
        if rung:
            task.uncancel()
        return rung

    def _ring(self) -> None:
        self._timer = None
        if self._task is None:
            return  # the next wait sets it again
        loop = self._task.get_loop()
        if loop.time() < self._due:  # that wait ended long ago; another has begun since
            self._timer = loop.call_at(self._due, self._ring)
            return
        self._rung = True
        self._task.cancel()
