"""Calls that overlap in one process: writers beside writers, closing beside asking."""

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sourcebook import Sourcebook, open_book
from sourcebook.errors import BookBusy, BookError, CatalogError, SourceError
from sourcebook.models.base import CitedPart, ModelEvent, ModelRequest
from sourcebook.registry import BUILT_IN, Entry
from sourcebook.sources.files import Files
from tests.book.seen import Write, counts, documents
from tests.verbatim import Verbatim


class Gate:
    """Holds whoever passes until it is opened; `reached` is set by the first who comes."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.opened = asyncio.Event()

    async def __call__(self) -> None:
        self.reached.set()
        await self.opened.wait()


@pytest.fixture
def embedding(monkeypatch: pytest.MonkeyPatch) -> Gate:
    """Stops the embedding of passages."""
    from sourcebook import publish

    gate = Gate()
    embed = publish.embed

    async def held(*args: Any) -> Any:
        await gate()
        return await embed(*args)

    monkeypatch.setattr(publish, "embed", held)
    return gate


# --- writers beside writers -------------------------------------------------------------------------------


async def test_adding_beside_a_sync_does_not_give_its_right_away(
    tmp_path: Path, docs: Path, write: Write, embedding: Gate
) -> None:
    write("a.txt", "The lighthouse was built in 1873.")
    async with await Sourcebook.open(tmp_path / "home") as book, await Sourcebook.open(tmp_path / "home") as other:
        await book.add(docs)
        syncing = asyncio.create_task(book.sync())
        await embedding.reached.wait()
        await book.add(docs, exclude=["b*"])
        with pytest.raises(BookBusy):
            await other.add(docs)
        embedding.opened.set()
        assert counts(await syncing) == {"added": 1}
        await other.add(docs)


async def test_a_source_removed_beside_a_sync_stays_out(
    book: Sourcebook, docs: Path, write: Write, embedding: Gate
) -> None:
    for number in range(150):
        write(f"{number}.txt", f"The lighthouse number {number} was built in {1800 + number}.")
    write("broken.json", "no json")
    await book.add(docs)
    syncing = asyncio.create_task(book.sync())
    await embedding.reached.wait()
    assert await asyncio.wait_for(book.remove(str(docs)), 10) == 64  # those of the batch that is being embedded
    assert (book.catalog.index_identity() or "").startswith("unsettled:")  # the sync goes on, and may be killed
    embedding.opened.set()
    await syncing
    assert await documents(book, "lighthouse") == []
    assert [entry for entry in book.ledger() if entry.answering] == []
    assert not (book.catalog.index_identity() or "").startswith("unsettled:")
    assert await (await book.index.searchable()).count(None) == 0


async def test_a_document_removed_beside_a_sync_stays_out_until_the_next(
    book: Sourcebook, docs: Path, write: Write, embedding: Gate
) -> None:
    write("a.txt", "The lighthouse was built in 1873.")
    embedding.opened.set()
    await book.add(docs)
    await book.sync()
    embedding.opened.clear()
    embedding.reached.clear()
    write("a.txt", "The lighthouse was built in 1999.")
    syncing = asyncio.create_task(book.sync())
    await embedding.reached.wait()
    assert await book.remove(str(docs / "a.txt")) == 1
    embedding.opened.set()
    await syncing
    assert await documents(book, "lighthouse") == []
    assert counts(await book.sync()) == {"added": 1}


async def test_documents_without_a_source_are_withdrawn_by_the_next_sync(
    book: Sourcebook, docs: Path, write: Write
) -> None:
    write("a.txt", "The lighthouse was built in 1873.")
    record = await book.add(docs)
    await book.sync()
    with book.catalog.writing() as connection:
        connection.exec_driver_sql(f"DELETE FROM source WHERE id = {record.id}")
    assert counts(await book.sync()) == {"deleted": 1}
    assert await documents(book, "lighthouse") == []
    assert book.ledger() == []


# --- watching ---------------------------------------------------------------------------------------------


async def test_watching_syncs_now_and_after_each_change(book: Sourcebook, docs: Path, write: Write) -> None:
    write("a.txt", "The lighthouse was built in 1873.")
    await book.add(docs)
    reports = book.watch()
    assert counts(await anext(reports)) == {"added": 1}
    following = asyncio.ensure_future(anext(reports))
    await asyncio.sleep(0.2)  # the watcher of the file system begins in a thread of its own
    write("b.txt", "The harbour was built in 1875.")
    assert (await asyncio.wait_for(following, 30)).added == 1
    await book.remove(str(docs / "b.txt"))  # in the process that watches, as a server does
    await reports.aclose()
    assert not book.syncing.held


async def test_watching_outlives_a_source_that_is_out_of_reach(
    book: Sourcebook, docs: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sourcebook.book.syncing._AGAIN", 0.05)
    failed = 0

    async def failing(_: Files) -> AsyncIterator[None]:
        nonlocal failed
        failed += 1
        raise SourceError("the share is not mounted")
        yield

    write("a.txt", "The lighthouse was built in 1873.")
    await book.add(docs)
    monkeypatch.setattr(Files, "changes", failing)
    docs.rename(docs.with_name("elsewhere"))
    reports = book.watch()
    (why,) = (await anext(reports)).unreachable
    assert "cannot be read" in why
    docs.with_name("elsewhere").rename(docs)
    while (report := await asyncio.wait_for(anext(reports), 30)).unreachable:
        pass
    assert counts(report) == {"added": 1}
    assert failed
    await reports.aclose()


async def test_watching_ends_with_a_follower_that_is_broken(
    book: Sourcebook, docs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(_: Files) -> AsyncIterator[None]:
        raise ZeroDivisionError
        yield

    await book.add(docs)
    monkeypatch.setattr(Files, "changes", broken)
    reports = book.watch()
    await anext(reports)
    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(anext(reports), 10)


async def test_a_sync_names_all_sources_out_of_reach_and_says_what_it_did(
    book: Sourcebook, tmp_path: Path, docs: Path, write: Write
) -> None:
    write("a.txt", "The lighthouse was built in 1873.")
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        await book.add(tmp_path / name)
        (tmp_path / name).rmdir()
    await book.add(docs)
    with pytest.raises(SourceError, match=r"2 sources are out of reach: .*/one.*/two") as caught:
        await book.sync()
    assert caught.value.report is not None
    assert counts(caught.value.report) == {"added": 1}


# --- closing beside asking ---------------------------------------------------------------------------------


class Slow(Verbatim):
    """Begins to answer, and never ends."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.stopped = False

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        self.begun.set()
        try:
            async for event in super().stream(request):
                yield event
                if isinstance(event, CitedPart):  # up to which text is held back
                    await asyncio.sleep(600)
        finally:
            self.stopped = True


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch, docs: Path, write: Write) -> Slow:
    write("a.txt", "The lighthouse was built in 1873.")
    made = Slow()
    monkeypatch.setitem(BUILT_IN["model"], "slow", Entry("tests.verbatim:open_verbatim"))
    monkeypatch.setattr("tests.verbatim.open_verbatim", lambda *_, **__: made)
    monkeypatch.setenv("SOURCEBOOK_PARTS_MODEL", "slow")
    return made


async def test_closing_ends_questions_in_an_error_and_stops_the_model(tmp_path: Path, docs: Path, slow: Slow) -> None:
    book = await Sourcebook.open(tmp_path / "home")
    await book.add(docs)
    await book.sync()
    asking = asyncio.create_task(book.ask("When was the lighthouse built?"))
    reading = book.stream("When was the lighthouse built?")
    assert await anext(reading) == "The lighthouse was built in 1873."
    await asyncio.to_thread(slow.begun.wait)
    await asyncio.wait_for(book.close(), 10)
    with pytest.raises(BookError, match="The book is closed"):
        await asking
    assert not asking.cancelled()
    with pytest.raises(BookError, match="The book is closed"):
        await anext(reading)
    assert slow.stopped
    await book.close()


async def test_a_closed_book_does_nothing_any_more(tmp_path: Path, docs: Path, write: Write) -> None:
    write("a.txt", "The lighthouse was built in 1873.")
    book = await Sourcebook.open(tmp_path / "home")
    await book.add(docs)
    await book.sync()
    await book.close()
    for work in (book.ask("When?"), book.search("When?"), book.sync(), book.add(docs), book.remove(str(docs))):
        with pytest.raises(BookError, match="The book is closed"):
            await work
    for call in (book.ledger, book.sources, book.converse):
        with pytest.raises(BookError, match="The book is closed"):
            call()
    with pytest.raises(BookError, match="The book is closed"):
        await anext(book.stream("When?"))


async def test_what_nobody_waited_for_is_recorded(tmp_path: Path, docs: Path, slow: Slow) -> None:
    async with await Sourcebook.open(tmp_path / "home") as book:
        await book.add(docs)
        await book.sync()
        reading = book.stream("When was the lighthouse built?")
        await anext(reading)
        await reading.aclose()
        record = book.answer_record("last")
    assert (record["finish"], record["known"], record["answer"]) == ("cancelled", False, "")
    assert record["reply"] == "The lighthouse was built in 1873."


async def test_an_answer_that_cannot_be_recorded_is_not_lost(
    book: Sourcebook, docs: Path, write: Write, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def failing(*_: object, **__: object) -> None:
        raise CatalogError("The catalog is locked")

    write("a.txt", "The lighthouse was built in 1873.")
    await book.add(docs)
    await book.sync()
    monkeypatch.setattr("sourcebook.catalog.answers.record_answer", failing)
    assert (await book.ask("When was the lighthouse built?")).known
    assert "could not be recorded" in caplog.text


async def test_who_cancels_a_question_gets_it_cancelled(tmp_path: Path, docs: Path, slow: Slow) -> None:
    async with await Sourcebook.open(tmp_path / "home") as book:
        await book.add(docs)
        await book.sync()
        asking = asyncio.create_task(book.ask("When was the lighthouse built?"))
        await asyncio.to_thread(slow.begun.wait)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking


def test_closing_lets_no_thread_wait_for_ever(tmp_path: Path, docs: Path, slow: Slow) -> None:
    book = open_book(tmp_path / "home")
    book.add(docs)
    book.sync()
    ends: list[BaseException] = []

    def ask() -> None:
        try:
            book.ask("When was the lighthouse built?")
        except BaseException as error:
            ends.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    reading = book.stream("When was the lighthouse built?")
    next(reading)
    book.close()
    thread.join(timeout=10)
    assert not thread.is_alive()
    assert [type(one) for one in ends] == [BookError]
    with pytest.raises(BookError, match="closed"):
        next(reading)


def test_breaking_off_a_blocking_stream_stops_the_model(tmp_path: Path, docs: Path, slow: Slow) -> None:
    with open_book(tmp_path / "home") as book:
        book.add(docs)
        book.sync()
        reading = book.stream("When was the lighthouse built?")
        next(reading)
        reading.close()  # type: ignore[attr-defined]
        assert slow.stopped


def test_a_blocking_book_does_not_wait_for_itself(tmp_path: Path) -> None:
    with open_book(tmp_path / "home") as book:

        async def within() -> None:
            book.search("anything")

        with pytest.raises(BookError, match="its own event loop"):
            asyncio.run_coroutine_threadsafe(within(), book.loop).result(timeout=10)


async def test_every_part_is_closed_whatever_the_others_do(tmp_path: Path, docs: Path, write: Write) -> None:
    class Box:
        tools = ()

        async def call(self, name: str, arguments: str) -> Any:
            raise AssertionError

        async def close(self) -> None:
            raise RuntimeError("it does not close")

    write("a.txt", "The lighthouse was built in 1873.")
    book = await Sourcebook.open(tmp_path / "home")
    await book.add(docs)
    await book.sync()
    book.tools.add(Box())
    closed = 0
    close = book.embedder.close

    async def closing() -> None:
        nonlocal closed
        closed += 1
        await close()

    book.embedder.close = closing  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="it does not close"):
        await book.close()
    assert closed == 1
    assert book.index._open is None
    assert not book.syncing.held
