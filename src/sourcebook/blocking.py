"""The one synchronous facade: the same book for code that is not async.

It runs an event loop in a thread of its own, so it works in scripts, notebooks and web workers alike, and may
be called from several threads.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Self, TypeVar

from sourcebook.book import Progress, Sourcebook
from sourcebook.catalog.records import SourceRecord
from sourcebook.config import Config
from sourcebook.errors import BookError
from sourcebook.types import Answer, Filter, Hit, LedgerEntry, Passage, Scope, SyncReport

if TYPE_CHECKING:
    from types import TracebackType

    from sourcebook.prompt.cite import AnswerPart

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
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="sourcebook", daemon=True)
        self._thread.start()
        try:
            self.book = self._run(Sourcebook.open(home, create=create, config=config, progress=progress))
        except BaseException:
            self._end()
            raise

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that the book lives in, in a thread of its own; for whoever awaits its parts."""
        return self._loop

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        if self._loop.is_closed():
            work.close()
            raise BookError("The book is closed", remedy="Open it again")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def _end(self) -> None:
        self._run(self._loop.shutdown_asyncgens())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def close(self) -> None:
        """Write everything out and let go of files, processes and locks."""
        if not self._loop.is_closed():
            self._run(self.book.close())
            self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def add(
        self,
        source: str | os.PathLike[str],
        *,
        tenant: str = "default",
        access: Iterable[str] = (),
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
    ) -> SourceRecord:
        """Follow a source."""
        return self._run(self.book.add(source, tenant=tenant, access=access, include=include, exclude=exclude))

    def sync(self, *, retry: bool = False, wait: float = 0.0) -> SyncReport:
        """Bring the book up to date with all its sources."""
        return self._run(self.book.sync(retry=retry, wait=wait))

    def remove(self, name: str, *, tenant: str = "default") -> int:
        """Remove a source with its documents, or one document."""
        return self._run(self.book.remove(name, tenant=tenant))

    def search(
        self, question: str, *, top: int = 10, scope: Scope | None = None, where: str | Filter | None = None
    ) -> list[Hit]:
        """The passages that matter for a question, best first."""
        return self._run(self.book.search(question, top=top, scope=scope, where=where))

    def ask(
        self,
        question: str,
        *,
        scope: Scope | None = None,
        where: str | Filter | None = None,
        conversation: str | None = None,
        account: str = "default",
        seconds: float | None = None,
    ) -> Answer:
        """The answer to a question, with its citations."""
        return self._run(
            self.book.ask(
                question, scope=scope, where=where, conversation=conversation, account=account, seconds=seconds
            )
        )

    def stream(
        self,
        question: str,
        *,
        scope: Scope | None = None,
        where: str | Filter | None = None,
        conversation: str | None = None,
        account: str = "default",
        seconds: float | None = None,
    ) -> Iterator[AnswerPart]:
        """The answer as it comes."""
        parts = self.book.stream(
            question, scope=scope, where=where, conversation=conversation, account=account, seconds=seconds
        )

        async def following() -> AnswerPart | None:
            return await anext(parts, None)

        while (part := self._run(following())) is not None:
            yield part

    def converse(self, *, scope: Scope | None = None, owner: Iterable[str] | None = None) -> str:
        """Begin a conversation; its id is for `ask` and `stream`."""
        return self.book.converse(scope=scope, owner=owner)

    def ledger(self) -> list[LedgerEntry]:
        """Every document that is known."""
        return self.book.ledger()

    def sources(self) -> list[SourceRecord]:
        """The sources that are followed."""
        return self.book.sources()

    def show(self, name: str, *, scope: Scope | None = None) -> tuple[str, list[Passage]]:
        """A live document's text and passages."""
        return self.book.show(name, scope=scope)

    def export(self) -> Iterator[dict[str, Any]]:
        """Live documents, then their passages, in a stable order."""
        return self.book.export()

    def answer_record(self, answer_id: str, *, scope: Scope | None = None) -> dict[str, Any]:
        """An answer with all that made it."""
        return self.book.answer_record(answer_id, scope=scope)
