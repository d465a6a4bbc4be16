"""What the flows read of live documents, within what the asker may see."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from sourcebook.catalog import reads
from sourcebook.catalog.catalog import Catalog
from sourcebook.types import Citation, Hit, Passage, Scope


def verifier(catalog: Catalog, scope: Scope) -> Callable[[Citation], Awaitable[bool]]:
    """Whether a citation's quote stands, now, in a live document that the scope admits."""

    async def verify(citation: Citation) -> bool:
        found = await asyncio.to_thread(
            reads.quote, catalog, citation.document, citation.version, citation.start, citation.end, scope
        )
        return found == citation.quote

    return verify


def reader(catalog: Catalog, scope: Scope) -> Callable[[Passage, int, int], str | None]:
    """How to read on in the live document that a passage is from."""

    def read(passage: Passage, start: int, end: int) -> str | None:
        return reads.quote(catalog, passage.document, passage.version, start, end, scope)

    return read


def all_hits(catalog: Catalog, scope: Scope) -> list[Hit]:
    """Every live passage that the scope admits, in the order of documents, all worth the same."""
    return [Hit(passage=one, score=0.0) for one in reads.all_passages(catalog, scope)]
