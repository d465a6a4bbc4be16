"""Where vectors and terms are kept. Derived from the catalog; never believed about text, liveness or access."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from sourcebook.types import Candidate, IndexQuery, PassageId, Point, Scope


@dataclass(frozen=True, kw_only=True, slots=True)
class Capabilities:
    """What an index can do; the core asks for these and never for a vendor's name.

    keyword: it searches sparse term vectors. filters: it evaluates metadata filters itself.
    shared: several processes may use it at once. lasting: what it holds is there in the next process, too.
    """

    keyword: bool = True
    filters: bool = True
    shared: bool = False
    lasting: bool = True


class Index(Protocol):
    """A vector index with a dense and a keyword channel."""

    @property
    def capabilities(self) -> Capabilities: ...
    @property
    def identity(self) -> str:
        """The name it got when it was made: an index that was made anew has another."""
        ...

    async def upsert(self, points: Sequence[Point]) -> None:
        """Write points; one with a known id replaces it. When it returns, a crash cannot lose them."""
        ...

    async def delete(self, ids: Sequence[PassageId]) -> None:
        """Delete points; unknown ids are passed over."""
        ...

    async def search(self, query: IndexQuery) -> list[Candidate]:
        """At most `limit` candidates per channel, within scope and filter, merged by id, best first in none."""
        ...

    async def count(self, scope: Scope | None) -> int:
        """Points within the scope; None counts all."""
        ...

    async def settle(self) -> None:
        """Called after a sync: the time for building graphs and writing out."""
        ...

    async def close(self) -> None:
        """Let go of files and connections."""
        ...
