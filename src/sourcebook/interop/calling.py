"""Models of ours for callers that may block: which event loop a call runs in, and how its events get out of there.

given                   async calls run in       blocking calls run in
a model's URL           a thread's own loop      the same: connections belong to one loop
a BlockingSourcebook    the book's loop          the same
a `Model`               the caller's loop        a thread's own loop: use one object for one kind of call
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import contextvars
import os
import queue
import threading
import weakref
from collections.abc import AsyncGenerator, Coroutine, Generator
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sourcebook.errors import BookError, ConfigError
from sourcebook.models.base import Completion, Model, ModelEvent, ModelRequest, complete
from sourcebook.registry import find

if TYPE_CHECKING:
    from sourcebook.book.blocking import BlockingSourcebook

T = TypeVar("T")


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class Calling:
    """A model, and the loop of another thread that it runs in; None: the caller's, or one made for blocking calls.

    owned: it was opened here, runs in a thread of its own (in a forked process: in one of that), and is closed with
    this, or when nobody holds this any more.
    """

    model: Model
    loop: asyncio.AbstractEventLoop | None = None
    owned: bool = False

    def complete(self, request: ModelRequest) -> Completion:
        """The whole reply; blocks. Errors: ModelError."""
        return blocking(complete(self.model, request), self._home() or thread_loop())

    async def acomplete(self, request: ModelRequest) -> Completion:
        """The whole reply. Errors: ModelError."""
        return await awaited(complete(self.model, request), self._home())

    def close(self) -> None:
        """Close the model, if it was opened here."""
        if self.owned:
            blocking(self.model.close(), self._home() or thread_loop())

    def stream(self, request: ModelRequest) -> Generator[ModelEvent, None, None]:
        """Events as they come; blocks. Closing the generator stops the model. Errors: ModelError."""
        return iterated(self.model.stream(request), self._home() or thread_loop())

    def astream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Events as they come. Closing the generator stops the model. Errors: ModelError."""
        return followed(self.model.stream(request), self._home())

    def most_output(self, given: int | None) -> int:
        """Tokens of a reply, where a number may be given."""
        return given or min(MOST_OUTPUT, max(1, self.model.window // 2))

    def _home(self) -> asyncio.AbstractEventLoop | None:
        return thread_loop() if self.owned else self.loop


def calling(given: object, *, attempts: int = 1) -> Calling:
    """For a `Model`, a model's URL ("openai:gpt-4o"), or a BlockingSourcebook, whose model is taken.

    attempts: calls in all to a model that is given by its URL, when it fails for a moment.
    Errors: ConfigError, MissingExtra, NotAuthorised.
    """
    if isinstance(given, str):
        made = Calling(_opened(given, attempts), owned=True)
        weakref.finalize(made, _let_go, made.model).atexit = False
        return made
    if (book := blocking_book(given)) is not None:
        return Calling(book.book.model, loop_of(book))
    if not hasattr(given, "count_tokens"):
        raise ConfigError(
            f"{type(given).__name__} is not a model", remedy="Give a URL such as openai:gpt-4o, or `book.model`"
        )
    return Calling(given)  # type: ignore[arg-type]


def blocking_book(given: object) -> BlockingSourcebook | None:
    """The book, if it is one whose methods block."""
    from sourcebook.book.blocking import BlockingSourcebook

    return given if isinstance(given, BlockingSourcebook) else None


def loop_of(book: BlockingSourcebook) -> asyncio.AbstractEventLoop:
    """The loop that a blocking book runs in."""
    return book.loop


def _opened(url: str, attempts: int) -> Model:
    """A model by its URL, outside any book: priced, but in nobody's ledger."""
    from sourcebook.models.base import Served
    from sourcebook.models.cost.known import known
    from sourcebook.models.cost.metered import Metered
    from sourcebook.models.cost.tokens import counter_for
    from sourcebook.models.route.retrying import Retrying

    try:
        model: Model = find("model", url)(url, known=known, count=counter_for)
    except TypeError as error:
        raise ConfigError(f"{url!r} needs a book", remedy="Open the book, and give it in place of the URL") from error
    data = known(model.provider, model.model) if isinstance(model, Served) else None
    metered = Metered(model, known=data, ledger=None)
    return Retrying(metered, attempts=attempts) if attempts > 1 else metered


def _let_go(model: Model) -> None:
    asyncio.run_coroutine_threadsafe(model.close(), thread_loop())


# --- from loop to loop ----------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Thread:
    """The thread of the loop for calls that have none, one in a process. process: a fork has none of its own yet."""

    process: int = 0
    loop: asyncio.AbstractEventLoop | None = None


_THREAD: Final = _Thread()
_STARTING: Final = threading.RLock()  # a model that is collected as garbage in here asks for the loop as well
_LOOK: Final = 1.0  # seconds after which who waits for another loop looks whether it is still there
MOST_OUTPUT: Final = 4096
"""Tokens of a reply at most, where nothing is said: half the window, and no more than these."""


def thread_loop() -> asyncio.AbstractEventLoop:
    """A loop that runs in a thread of its own, for as long as the process."""
    with _STARTING:
        if _THREAD.loop is None or _THREAD.process != os.getpid():
            loop = asyncio.new_event_loop()
            threading.Thread(target=loop.run_forever, name="sourcebook-interop", daemon=True).start()
            _THREAD.loop, _THREAD.process = loop, os.getpid()
        return _THREAD.loop


def blocking(work: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop) -> T:
    """Run it in the other thread's loop, and wait. Errors: BookError if that ends with its book."""
    _check(loop, work)
    future = asyncio.run_coroutine_threadsafe(work, loop)
    try:
        while True:
            try:
                return future.result(_LOOK)
            except TimeoutError:
                if future.done():  # it is the work's own
                    return future.result()
                _check(loop)
    except concurrent.futures.CancelledError:  # by the loop's end: nobody else has the future
        raise _closed() from None
    except BaseException:
        future.cancel()
        raise


async def awaited(work: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop | None) -> T:
    """Await it, in the other thread's loop if one is given; cancelling cancels it there.

    Errors: BookError if that ends with its book.
    """
    if loop is None or loop is asyncio.get_running_loop():
        return await work
    _check(loop, work)
    try:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, loop))
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and not task.cancelling():
            raise _closed() from None
        raise


def iterated(events: AsyncGenerator[T, None], loop: asyncio.AbstractEventLoop) -> Generator[T, None, None]:
    """What an async generator yields in another thread's loop. It runs in one task, and ahead of who listens."""
    pieces: queue.SimpleQueue[tuple[T] | None] = queue.SimpleQueue()
    pump = _Pump(events, loop, pieces.put)
    try:
        while (piece := _next(pieces, loop)) is not None:
            yield piece[0]
        pump.raise_error()
    finally:
        if pump.stop():
            with contextlib.suppress(BookError):
                while _next(pieces, loop) is not None:  # what it needs for its end is done when this returns
                    pass


def _next(pieces: queue.SimpleQueue[tuple[T] | None], loop: asyncio.AbstractEventLoop) -> tuple[T] | None:
    """The next piece. Errors: BookError if the loop that is to make it is closed."""
    while True:
        try:
            return pieces.get(timeout=_LOOK)
        except queue.Empty:
            _check(loop)


async def followed(events: AsyncGenerator[T, None], loop: asyncio.AbstractEventLoop | None) -> AsyncGenerator[T, None]:
    """What an async generator yields, in the other thread's loop if one is given."""
    here = asyncio.get_running_loop()
    if loop is None or loop is here:
        async with aclosing(events):
            async for event in events:
                yield event
        return
    pieces: asyncio.Queue[tuple[T] | None] = asyncio.Queue()
    pump = _Pump(events, loop, lambda piece: here.call_soon_threadsafe(pieces.put_nowait, piece))
    try:
        while (piece := await pieces.get()) is not None:
            yield piece[0]
        pump.raise_error()
    finally:
        if pump.stop():
            while await pieces.get() is not None:
                pass


def _check(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any] | None = None) -> None:
    if loop.is_closed():
        if work is not None:
            work.close()
        raise _closed()


def _closed() -> BookError:
    return BookError("The book is closed", remedy="Open it again")


class _Pump:
    """One task of another thread's loop that runs a generator to its end and hands on what it yields, then None."""

    def __init__(self, events: AsyncGenerator[Any, None], loop: asyncio.AbstractEventLoop, put: Any) -> None:
        _check(loop)
        self._loop = loop
        self._put = put
        self._task: asyncio.Task[None] | None = None
        self._error: BaseException | None = None
        self._over = False
        context = contextvars.copy_context()  # so that traces know where the call belongs
        loop.call_soon_threadsafe(self._start, events, context)

    def _start(self, events: AsyncGenerator[Any, None], context: contextvars.Context) -> None:
        self._task = self._loop.create_task(self._run(events), context=context)
        self._task.add_done_callback(self._ended)

    async def _run(self, events: AsyncGenerator[Any, None]) -> None:
        async with aclosing(events):
            async for event in events:
                self._put((event,))

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._error = _closed() if task.cancelled() else task.exception()  # who stops it asks for no error
        self._over = True
        self._put(None)

    def raise_error(self) -> None:
        """What the generator raised, if it did."""
        if self._error is not None:
            raise self._error

    def stop(self) -> bool:
        """Stop the generator. Whether it was still under way, so that a None will follow."""
        if self._over or self._loop.is_closed():
            return False
        self._loop.call_soon_threadsafe(self._cancel)
        return True

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()
