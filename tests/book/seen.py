"""How tests look at a book: what a sync has counted, which documents a search finds."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from sourcebook import Scope, Sourcebook, SyncReport
from sourcebook.sources import files
from sourcebook.types import Filter

Write = Callable[[str, str], Path]

ALICE = Scope(principals=frozenset({"alice"}))
BOB = Scope(principals=frozenset({"bob"}))


def counts(report: SyncReport) -> dict[str, int]:
    """What is not nothing of added, changed, deleted, unchanged and failed."""
    names = ("added", "changed", "deleted", "unchanged", "failed")
    return {name: getattr(report, name) for name in names if getattr(report, name)}


async def settled() -> None:
    """Until what has been written so far is old enough for the file system's clock to tell it from later writes."""
    await asyncio.sleep(2 * files._CLOCK_STEP)


async def documents(
    book: Sourcebook, question: str, scope: Scope | None = None, where: str | Filter | None = None
) -> list[str]:
    """The names of the documents that a search finds, or names as saying the same."""
    hits = await book.search(question, scope=scope, where=where)
    found = {uri for hit in hits for uri in (hit.passage.document, *hit.duplicates)}
    return sorted(uri.rpartition("/")[2] for uri in found)
