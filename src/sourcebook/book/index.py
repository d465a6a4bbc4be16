"""The index of an open book: opened when first needed, for writing or for searching, and what stands in for it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sourcebook.catalog.embeddings import live_points
from sourcebook.errors import BookBusy, ConfigError
from sourcebook.registry import find

if TYPE_CHECKING:
    from sourcebook.book import Sourcebook
    from sourcebook.index.base import Index

UNSETTLED = "unsettled:"
"""Stands before the identity that the catalog notes, while points are being written."""


class BookIndex:
    """One index at most is open at a time; every call gets that one."""

    def __init__(self, book: Sourcebook) -> None:
        self._book = book
        self._opening = asyncio.Lock()
        self._filling = asyncio.Lock()
        self._open: Index | None = None
        self._checked = -1  # the epoch in which the open index was last known to be the catalog's
        self._stand_in: tuple[int, Index] | None = None  # epoch in which it was filled, and the index

    async def writable(self, *, expected: str | None = None) -> Index:
        """The index, for writing; made if there is none, or if the one there has not the identity `expected`.

        Errors: BookBusy if another process has it open.
        """
        async with self._opening:
            if self._open is not None and expected not in (None, self._open.identity):
                await self._let_go()
            if self._open is None:
                self._open = await self._opened(expected=expected, create=True, wait=10.0)
            assert self._open is not None
            return self._open

    async def searchable(self) -> Index:
        """The index, for searching; where another process has it open, an exact one filled from the catalog."""
        if self._open is not None:
            return self._open if await self._is_the_catalogs(self._open) else await self._filled_from_catalog()
        try:
            return await self.own() or await self._filled_from_catalog()
        except BookBusy:
            return await self._filled_from_catalog()

    async def _is_the_catalogs(self, index: Index) -> bool:
        """Whether what is live is in this index; it is not, once another machine has written to one of its own."""
        if not index.capabilities.shared and self._checked != self._book.seen_epoch:
            epoch = self._book.seen_epoch
            known = await asyncio.to_thread(self._book.catalog.index_identity) or ""
            if known.removeprefix(UNSETTLED).rpartition(":")[0] not in ("", index.identity):
                return False
            self._checked = epoch
        return True

    async def own(self) -> Index | None:
        """The index that was filled from this catalog; None if it is not there.

        Errors: BookBusy; ConfigError if it was filled by another embedder than the book has now.
        """
        async with self._opening:
            if self._open is None:
                known = (self._book.catalog.index_identity() or "").removeprefix(UNSETTLED)
                identity, _, fingerprint = known.rpartition(":")
                if identity and fingerprint != self._book.embedding_fingerprint:
                    raise ConfigError(
                        f"The book was indexed by another embedder than {self._book.config.parts.embed!r}",
                        remedy="Run sourcebook sync, which embeds its passages anew, or name the embedder it had",
                    )
                if identity:
                    self._open = await self._opened(expected=identity, create=False, wait=0.5)
            return self._open

    async def close(self) -> None:
        """Write everything out and let go of it; the next call opens it again."""
        async with self._opening:
            await self._let_go()

    async def _let_go(self) -> None:
        if self._open is not None:
            await self._open.close()
            self._open = None

    async def _opened(self, *, expected: str | None, create: bool, wait: float) -> Index | None:
        book, url = self._book, self._book.config.parts.index
        made = find("index", url)
        opened: Index | None = await asyncio.to_thread(
            lambda: made(
                url, home=book.home, dimension=book.embedder.dimension, expected=expected, create=create, wait=wait
            )
        )
        return opened

    async def _filled_from_catalog(self) -> Index:
        from sourcebook.index.flat import Flat

        async with self._filling:  # one for all who ask at once
            epoch = await asyncio.to_thread(self._book.catalog.epoch)
            if self._stand_in is None or self._stand_in[0] != epoch:
                made = Flat()
                batches = live_points(self._book.catalog, self._book.embedding_fingerprint)
                while points := await asyncio.to_thread(next, batches, None):
                    await made.upsert(points)
                self._stand_in = (epoch, made)
            return self._stand_in[1]
