"""Sourcebook with its default settings, and a meter around its embedder."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from embedding import random_projection
from protocol import Found, serve

from sourcebook.book import Sourcebook

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from sourcebook.embed.base import Embedder, EmbedKind


class Metered:
    """Sourcebook's own embedder, timed; the meter of the other systems' shared model, in the place of ours.

    stand_in: passages get `random_projection` instead of the model.
    """

    def __init__(self, *, stand_in: bool) -> None:
        self.seconds = 0.0
        self.texts = 0
        self.embedder: Embedder | None = None
        self._stand_in = stand_in

    def around(self, embedder: Embedder) -> Metered:
        """Itself, measuring another embedder from now on."""
        self.embedder = embedder
        return self

    async def embed(self, texts: Sequence[str], *, kind: EmbedKind = "passage") -> NDArray[np.float32]:
        assert self.embedder is not None
        started = time.perf_counter()
        try:
            if self._stand_in and kind == "passage":
                return random_projection(texts)
            return await self.embedder.embed(texts, kind=kind)
        finally:
            self.seconds += time.perf_counter() - started
            self.texts += len(texts)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.embedder, name)


class SourcebookPeer:
    """Sourcebook, its calls run one by one on an event loop of its own."""

    def __init__(self, *, stand_in: bool) -> None:
        self.meter = Metered(stand_in=stand_in)
        self._runner = asyncio.Runner()
        self._book: Sourcebook | None = None

    def open(self, home: Path) -> None:
        self._book = self._runner.run(Sourcebook.open(home))
        self._book.__dict__["embedder"] = self.meter.around(self._book.embedder)

    def sync(self, folder: Path) -> None:
        self._runner.run(self._opened.add(folder))
        report = self._runner.run(self._opened.sync())
        assert report.failed == 0, f"{report.failed} documents failed"

    def search(self, query: str, top: int) -> list[Found]:
        hits = self._runner.run(self._opened.search(query, top=top))
        return [Found(document=hit.passage.document, text=hit.passage.text) for hit in hits]

    def close(self) -> None:
        self._runner.run(self._opened.close())

    @property
    def _opened(self) -> Sourcebook:
        assert self._book is not None, "not opened"
        return self._book


def make(command: dict[str, Any]) -> SourcebookPeer:
    """As `speed.py` starts it; the model's paths are its own affair."""
    return SourcebookPeer(stand_in=command["stand_in"])


if __name__ == "__main__":
    serve(make)
