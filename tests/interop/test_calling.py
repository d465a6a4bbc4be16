"""Calls across threads and loops end when the book does, and never hang."""

import asyncio
import gc
import threading
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from sourcebook import open_book
from sourcebook.config import Config, Parts
from sourcebook.errors import BookError
from sourcebook.interop.calling import awaited, blocking, calling, followed, iterated, thread_loop
from sourcebook.models.base import Capabilities, ModelEvent, ModelRequest, TextPart


class Endless:
    """A model that says one word and no more."""

    name = "endless"
    window = 1000
    capabilities = Capabilities()

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        yield TextPart(text="a")
        await asyncio.sleep(3600)

    def count_tokens(self, text: str) -> int:
        return len(text)

    async def close(self) -> None:
        pass


def in_thread(work: Any) -> tuple[threading.Thread, list[object]]:
    """A thread that does it, and what came of it."""
    came: list[object] = []

    def run() -> None:
        try:
            came.extend(work())
        except BaseException as error:
            came.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, came


def test_a_book_that_closes_ends_what_other_threads_wait_for(tmp_path: Path) -> None:
    book = open_book(tmp_path / "book", config=Config(parts=Parts(embed="hashing", index="flat")))
    book.book.model = Endless()
    called = calling(book)
    streaming, streamed = in_thread(lambda: called.stream(ModelRequest()))
    completing, completed = in_thread(lambda: [called.complete(ModelRequest())])
    for _ in range(200):
        if streamed:
            break
        threading.Event().wait(0.01)
    book.close()
    for thread in (streaming, completing):
        thread.join(10)
        assert not thread.is_alive()
    assert streamed[0] == TextPart(text="a")
    for error in (streamed[1], completed[0]):
        assert isinstance(error, BookError)
        assert "closed" in str(error)
    with pytest.raises(BookError):
        called.complete(ModelRequest())


def loop_that_ends(seconds: float) -> asyncio.AbstractEventLoop:
    """A loop in a thread that is stopped and closed without another word."""
    loop = asyncio.new_event_loop()

    def run() -> None:
        loop.call_later(seconds, loop.stop)
        loop.run_forever()
        for task in asyncio.all_tasks(loop):
            task.cancel()
            task._log_destroy_pending = False  # type: ignore[attr-defined]
        loop.close()

    threading.Thread(target=run, daemon=True).start()
    return loop


async def one_word() -> AsyncGenerator[str, None]:
    yield "a"
    await asyncio.sleep(3600)


@pytest.mark.filterwarnings("ignore")
def test_a_loop_that_ends_without_a_word_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sourcebook.interop.calling._LOOK", 0.05)
    with pytest.raises(BookError, match="closed"):
        blocking(asyncio.sleep(3600), loop_that_ends(0.1))
    came: list[str] = []
    with pytest.raises(BookError, match="closed"):
        came.extend(iterated(one_word(), loop_that_ends(0.3)))
    gc.collect()


async def test_who_is_cancelled_is_cancelled() -> None:
    for work in (awaited(asyncio.sleep(3600), thread_loop()), anext(followed(one_word(), thread_loop()))):
        task = asyncio.ensure_future(work)
        await asyncio.sleep(0.05)
        if task.done():
            continue  # the first word has come
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


def test_a_timeout_of_the_work_itself_is_told() -> None:
    async def times_out() -> None:
        raise TimeoutError("of its own")

    with pytest.raises(TimeoutError, match="of its own"):
        blocking(times_out(), thread_loop())
