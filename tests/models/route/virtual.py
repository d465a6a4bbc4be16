"""Time that passes only where somebody waits for it: sleeps and timeouts are exact, and take none.

`run` runs a coroutine on such a loop, and fails if a task or a started generator is left behind.
"""

from __future__ import annotations

import asyncio
import functools
import selectors
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import aclosing
from typing import Any, ParamSpec, TypeVar

from sourcebook.errors import ModelError
from sourcebook.models.base import Finish, Model, ModelEvent, ModelRequest, TextPart

P = ParamSpec("P")
T = TypeVar("T")


class _Selector(selectors.DefaultSelector):
    """Waits for nothing that does not come of itself; the clock is put forward instead."""

    now = 1000.0

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise AssertionError("everybody waits for everybody")
        if not ready and timeout is not None:
            self.now += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now


def now() -> float:
    """The clock of the running loop, for `now=`."""
    return asyncio.get_running_loop().time()


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    complaints: list[str] = []

    async def main() -> T:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: complaints.append(str(context)))
        result = await coroutine
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, f"left behind: {left}"
        open_ones = [one for one in loop._asyncgens if one.ag_frame is not None]  # type: ignore[attr-defined]
        assert not open_ones, f"not closed: {open_ones}"
        return result

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        result = runner.run(main())
    assert not complaints
    return result


def virtually(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """An async test in virtual time."""

    @functools.wraps(test)
    def running(*args: P.args, **kwargs: P.kwargs) -> None:
        run(test(*args, **kwargs))

    return running


async def collect(model: Model, request: ModelRequest | None = None) -> tuple[list[ModelEvent], ModelError | None]:
    """All events, and the error that ended them."""
    events: list[ModelEvent] = []
    try:
        async with aclosing(model.stream(request or ModelRequest())) as stream:
            async for event in stream:
                events.append(event)  # noqa: PERF401  (what came before an error counts)
    except ModelError as error:
        return events, error
    return events, None


def text_of(events: Iterable[ModelEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextPart))


def finish_of(events: list[ModelEvent]) -> Finish:
    assert isinstance(events[-1], Finish)
    assert sum(isinstance(event, Finish) for event in events) == 1
    return events[-1]


async def all_at_once(coroutines: Iterable[Awaitable[T]]) -> list[T]:
    return list(await asyncio.gather(*coroutines))
