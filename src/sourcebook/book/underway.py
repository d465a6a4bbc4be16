"""What a book is asked to do while it is open: counted, so that closing the book ends it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

from sourcebook.errors import BookError

T = TypeVar("T")


class UnderWay:
    """The calls of a book that have not ended. After `end` there are none, and no new ones begin."""

    def __init__(self) -> None:
        self.ended = False
        self._tasks: Counter[asyncio.Task[object]] = Counter()
        self._cancelled: set[asyncio.Task[object]] = set()
        self._streams: set[AsyncGenerator[object, None]] = set()
        self._left = asyncio.Event()

    def require_open(self) -> None:
        """Errors: BookError if the book is closed."""
        if self.ended:
            raise BookError("The book is closed", remedy="Open it again")

    @contextmanager
    def inside(self) -> Iterator[None]:
        """While the current task works for the book. If the book is closed meanwhile, it ends in a BookError."""
        self.require_open()
        task = asyncio.current_task()
        assert task is not None
        self._tasks[task] += 1
        try:
            yield
        except asyncio.CancelledError:
            if task in self._cancelled and task.uncancel() == 0:
                self.require_open()
            raise
        finally:
            self._tasks[task] -= 1
            if not self._tasks[task]:
                del self._tasks[task]
                self._cancelled.discard(task)
                self._left.set()

    async def through(self, parts: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
        """The same parts. Only while one is waited for is it the reader's task that works for the book."""
        self.require_open()
        self._streams.add(parts)
        try:
            while True:
                with self.inside():
                    try:
                        part = await anext(parts)
                    except StopAsyncIteration:
                        self.require_open()
                        return
                yield part
        finally:
            self._streams.discard(parts)
            with suppress(RuntimeError):  # `end` is closing it at this moment
                await parts.aclose()

    async def end(self) -> None:
        """End them all, but the one that this is called from."""
        self.ended = True
        own = asyncio.current_task()
        while others := [task for task in self._tasks if task is not own]:
            self._left.clear()
            for task in others:
                if task not in self._cancelled:
                    self._cancelled.add(task)
                    task.cancel()
            await self._left.wait()
        for parts in list(self._streams):
            with suppress(RuntimeError):  # it is running: this is called from within it
                await parts.aclose()
