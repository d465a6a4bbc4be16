"""What changes a book: syncing, watching, removing, rebuilding its index.

Two things keep those apart that run at once. The right to write is the process's: whoever writes counts as one of its
holders. `_changing` is held by whoever writes points to the index, from staging to retiring, one at a time. Removing
does not wait for it: documents are withdrawn at once, the sync under way is told, and deletes their points at its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING

from sourcebook.book.index import UNSETTLED
from sourcebook.book.places import canonical, source_at
from sourcebook.errors import BookBusy, NotFound, SourceError, VectorIndexError
from sourcebook.ownership import Ownership
from sourcebook.types import SyncReport

if TYPE_CHECKING:
    from sourcebook.book.book import Sourcebook
    from sourcebook.catalog.records import Draft, Failure, SourceRecord
    from sourcebook.sources.base import Source

Progress = Callable[[int, int], None]
"""Called with (documents listed, documents done) while a sync runs."""


class Syncing:
    """The writing side of an open book, and what a sync under way knows.

    embedded: texts that have gone through the embedding model. source_ids: sources that were followed when the sync
    began. publishing: held for the moment in which documents become live or stop being so.
    """

    def __init__(self, book: Sourcebook, progress: Progress | None) -> None:
        self._book = book
        self._right = Ownership(book.home / "writer.lock", "This book", shared=book.catalog.writer)
        self._changing = asyncio.Lock()
        self.publishing = asyncio.Lock()
        self.reading_slots = asyncio.Semaphore(16)
        self.on_progress = progress
        self.embedded = 0
        self.has_documents = False
        self.source_ids: frozenset[int] = frozenset()
        self._uris: dict[str, int] = {}
        self._listed = self._done = 0
        self._removed_sources: set[int] = set()
        self._removed_documents: set[tuple[str, str]] = set()

    # --- who may write --------------------------------------------------------------------------------------

    @asynccontextmanager
    async def writing(self, wait: float = 0.0) -> AsyncIterator[None]:
        """While this process has the right to write. Errors: BookBusy, after `wait` seconds."""
        await self._right.taking(wait=wait)
        try:
            yield
        finally:
            self._right.release()

    @property
    def held(self) -> bool:
        """Whether this process has the right to write now."""
        return self._right.held

    def drop(self) -> None:
        """Give the right to write back."""
        self._right.drop()

    # --- what changes the book ------------------------------------------------------------------------------

    async def sync(self, *, retry: bool, allow_empty: bool, wait: float) -> SyncReport:
        """See `Sourcebook.sync`."""
        report, trouble = await self._synced(retry=retry, allow_empty=allow_empty, wait=wait)
        if len(trouble) == 1:
            trouble[0].report = report
            raise trouble[0]
        if trouble:
            error = SourceError(
                f"{len(trouble)} sources are out of reach: " + "; ".join(str(one.args[0]) for one in trouble),
                remedy="The others are up to date. " + trouble[0].remedy,
            )
            error.report = report
            raise error from trouble[0]
        return report

    async def _synced(
        self, *, retry: bool = False, allow_empty: bool = False, wait: float = 0.0
    ) -> tuple[SyncReport, list[SourceError]]:
        """What was done, and why sources are out of reach: the others are synced all the same."""
        from sourcebook.pipeline import ingest
        from sourcebook.publish import restore

        book, total, trouble = self._book, SyncReport(), list[SourceError]()
        async with self._changing, self.writing(wait):
            began = perf_counter()
            self._removed_sources.clear()
            self._removed_documents.clear()
            sources = book.catalog.sources()
            self.source_ids = frozenset(one.id for one in sources)
            self._listed = self._done = 0
            for record in sources:
                if record.id in self._removed_sources:
                    continue
                self._uris = {uri: one.source_id for uri, one in book.catalog.documents(record.tenant).items()}
                self.has_documents = bool(self._uris)
                source = source_at(book.config, record.url, record.include, record.exclude)
                try:
                    total = _sum(total, await ingest(book, record, source, retry=retry, allow_empty=allow_empty))
                except SourceError as error:
                    trouble.append(error)
            total = replace(total, deleted=total.deleted + await self._withdraw_orphans())
            await restore(book)
            await asyncio.to_thread(book.forget_old_answers)
        return replace(total, seconds=round(perf_counter() - began, 3)), trouble

    async def _withdraw_orphans(self) -> int:
        """Documents whose source is followed no more, and that no other source has: nothing may find them."""
        from sourcebook.publish import retire

        catalog = self._book.catalog
        rows = await asyncio.to_thread(
            catalog.rows,
            """
            SELECT id FROM document
             WHERE state <> 'deleted' AND NOT EXISTS (SELECT 1 FROM source WHERE source.id = document.source_id)
            """,
        )
        if rows:
            await asyncio.to_thread(catalog.withdraw, [row.id for row in rows])
            await retire(self._book)
        return len(rows)

    async def watch(self, *, allow_empty: bool, wait: float) -> AsyncGenerator[SyncReport, None]:
        """See `Sourcebook.watch`."""
        async with self.writing(wait):
            followers = _Followers()
            try:
                while True:
                    for one in self._book.catalog.sources():
                        source = source_at(self._book.config, one.url, one.include, one.exclude)
                        followers.follow((one.id, one.include, one.exclude), source)
                    await asyncio.sleep(0)  # they watch from here on: nothing falls between the sync and them
                    report, trouble = await self._synced(allow_empty=allow_empty)
                    yield replace(report, unreachable=tuple(str(one.args[0]) for one in trouble))
                    await followers.changed(within=_AGAIN if trouble else None)
            finally:
                await followers.close()

    async def remove(self, name: str, *, tenant: str) -> int:
        """See `Sourcebook.remove`."""
        from sourcebook.publish import retire

        catalog = self._book.catalog
        async with self.writing():
            async with self.publishing:
                url = canonical(self._book.config, name)
                source = next((one for one in catalog.sources() if one.url == url and one.tenant == tenant), None)
                if source is not None:
                    self._removed_sources.add(source.id)
                    removed = await asyncio.to_thread(catalog.remove_source, source.id)
                else:
                    known = catalog.documents(tenant)
                    found = known.get(url) or known.get(name)
                    if found is None:
                        raise NotFound(f"{name!r} is neither a source nor a document", remedy="See: sourcebook status")
                    self._removed_documents.add((tenant, found.uri))
                    await asyncio.to_thread(catalog.withdraw, [found.id])
                    removed = 1
            if not self._changing.locked():  # else the sync that runs does it
                async with self._changing:
                    # Its points are dropped from answers already; if the index is out of reach, the next sync does it.
                    with suppress(BookBusy, VectorIndexError):
                        await retire(self._book)
        return removed

    async def rebuild(self) -> None:
        """See `Sourcebook.rebuild_index`."""
        from sourcebook.publish import ready, retire

        book = self._book
        async with self._changing, self.writing():
            await book.index.close()
            await asyncio.to_thread(book.catalog.set_index_identity, f"{UNSETTLED}:")
            await ready(book, work=True)
            await retire(book)

    # --- what the flow asks of it ---------------------------------------------------------------------------

    def wanted(self, one: Draft | Failure) -> bool:
        """Whether neither its source nor the document was removed while the sync ran. Ask it within `publishing`."""
        return one.source_id not in self._removed_sources and (one.tenant, one.uri) not in self._removed_documents

    def foreign_uris(self, record: SourceRecord) -> frozenset[str]:
        """Documents of the same tenant that another source, still followed, has brought."""
        return frozenset(uri for uri, source in self._uris.items() if source != record.id and source in self.source_ids)

    def note_embedded(self, count: int) -> None:
        """Count texts that went through the embedding model."""
        self.embedded += count

    def listed(self, listed: int, done: int) -> None:
        """A source has been listed."""
        self._listed += listed
        self.advance(done)

    def advance(self, done: int) -> None:
        """So many more documents are done."""
        self._done += done
        if self.on_progress is not None:
            self.on_progress(self._listed, self._done)


class _Followers:
    """Tasks that follow sources. One that fails for a reason of its source begins anew after a while."""

    def __init__(self) -> None:
        self._tasks: dict[object, asyncio.Task[None]] = {}
        self._changed = asyncio.Event()

    def follow(self, key: object, source: Source) -> None:
        """Follow a source, if it is not followed yet."""
        if key not in self._tasks:
            self._tasks[key] = asyncio.create_task(self._follow(source))

    async def changed(self, *, within: float | None) -> None:
        """Wait for a change, or so many seconds. Errors: what a follower died of."""
        waiting = asyncio.create_task(self._changed.wait())
        try:
            done, _ = await asyncio.wait(
                [waiting, *self._tasks.values()], timeout=within, return_when=asyncio.FIRST_COMPLETED
            )
            for one in done:
                one.result()
        finally:
            waiting.cancel()
            self._changed.clear()

    async def close(self) -> None:
        """End them."""
        for one in self._tasks.values():
            one.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _follow(self, source: Source) -> None:
        while True:
            with suppress(SourceError, OSError):
                async for _ in source.changes():
                    self._changed.set()
            await asyncio.sleep(_AGAIN)
            self._changed.set()  # who knows what was missed


_AGAIN = 30.0  # seconds after which a source that is out of reach is tried again


def _sum(one: SyncReport, other: SyncReport) -> SyncReport:
    return SyncReport(
        added=one.added + other.added,
        changed=one.changed + other.changed,
        deleted=one.deleted + other.deleted,
        unchanged=one.unchanged + other.unchanged,
        failed=one.failed + other.failed,
        passages=other.passages,
        embedded=one.embedded + other.embedded,
    )
