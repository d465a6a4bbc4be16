"""The one synchronous facade: the same book for code that is not async.

It runs an event loop in a thread of its own, so it works in scripts, notebooks and web workers alike, and may
be called from several threads.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from concurrent.futures import CancelledError
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, TypeVar

from sourcebook.book.book import Sourcebook
from sourcebook.book.syncing import Progress
from sourcebook.config import Config
from sourcebook.errors import BookError

if TYPE_CHECKING:
    from types import TracebackType

P = ParamSpec("P")
T = TypeVar("T")


def open_book(
    home: str | os.PathLike[str] | None = None,
    *,
    create: bool = True,
    config: Config | None = None,
    progress: Progress | None = None,
) -> BlockingSourcebook:
    """Open a book for blocking use; parameters and errors as for `Sourcebook.open`."""
    return BlockingSourcebook(home, create=create, config=config, progress=progress)


def _awaited(
    method: Callable[Concatenate[Sourcebook, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[BlockingSourcebook, P], T]:
    @wraps(method)
    def call(self: BlockingSourcebook, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._run(method(self.book, *args, **kwargs))

    return call


def _streamed(
    method: Callable[Concatenate[Sourcebook, P], AsyncGenerator[T, None]],
) -> Callable[Concatenate[BlockingSourcebook, P], Iterator[T]]:
    """Closing the iterator closes the book's generator, and that stops what is behind it."""

    @wraps(method)
    def call(self: BlockingSourcebook, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        parts = method(self.book, *args, **kwargs)
        end = object()

        async def following() -> T | object:
            return await anext(parts, end)

        try:
            while (part := self._run(following())) is not end:
                yield part  # type: ignore[misc]
        finally:
            if not self._closing:
                self._run(parts.aclose())

    return call


def _plain(
    method: Callable[Concatenate[Sourcebook, P], T],
) -> Callable[Concatenate[BlockingSourcebook, P], T]:
    @wraps(method)
    def call(self: BlockingSourcebook, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return method(self.book, *args, **kwargs)

    return call


class BlockingSourcebook:
    """A book whose methods block. Each does what the method of the same name does in `Sourcebook`."""

    def __init__(
        self,
        home: str | os.PathLike[str] | None = None,
        *,
        create: bool = True,
        config: Config | None = None,
        progress: Progress | None = None,
    ) -> None:
        self._closing = False
        self._gate = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="sourcebook", daemon=True)
        self._thread.start()
        try:
            self.book = self._run(Sourcebook.open(home, create=create, config=config, progress=progress))
        except BaseException:
            self._end()
            raise

    add = _awaited(Sourcebook.add)
    sync = _awaited(Sourcebook.sync)
    watch = _streamed(Sourcebook.watch)
    remove = _awaited(Sourcebook.remove)
    rebuild_index = _awaited(Sourcebook.rebuild_index)
    search = _awaited(Sourcebook.search)
    ask = _awaited(Sourcebook.ask)
    stream = _streamed(Sourcebook.stream)
    estimate = _awaited(Sourcebook.estimate)
    converse = _plain(Sourcebook.converse)
    follows = _plain(Sourcebook.follows)
    ledger = _plain(Sourcebook.ledger)
    sources = _plain(Sourcebook.sources)
    show = _plain(Sourcebook.show)
    find = _plain(Sourcebook.find)
    export = _plain(Sourcebook.export)
    answer_record = _plain(Sourcebook.answer_record)
    forget_old_answers = _plain(Sourcebook.forget_old_answers)

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that the book lives in, in a thread of its own; for whoever awaits its parts."""
        return self._loop

    def close(self) -> None:
        """End what is being asked, write everything out, and let go of files, processes and locks."""
        with self._gate:
            if self._closing:
                return
            self._closing = True  # from here on nothing is handed to the loop but what follows
        try:
            asyncio.run_coroutine_threadsafe(self.book.close(), self._loop).result()
        finally:
            self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        with self._gate:
            if self._closing or threading.current_thread() is self._thread:
                work.close()
                if self._closing:
                    raise _closed()
                raise BookError(
                    "A blocking book was called from the thread of its own event loop, where it would wait for itself",
                    remedy="There, await the methods of its attribute `book`",
                )
            future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except CancelledError:
            raise _closed() from None
        except BaseException:
            future.cancel()
            raise

    def _end(self) -> None:
        """Stop the loop, once nothing in it waits any more: whoever waits for it is told."""

        async def last() -> None:
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            await self._loop.shutdown_asyncgens()
            await self._loop.shutdown_default_executor()

        self._closing = True
        asyncio.run_coroutine_threadsafe(last(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def _closed() -> BookError:
    return BookError("The book is closed", remedy="Open it again")
