"""Exact search in memory: every vector is compared. For small books, and where the index file is in use.

Scores are those of the other indexes: cosine similarity, and BM25 weights times inverse document frequency.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from uuid import uuid4

from sourcebook.filters import matches
from sourcebook.index.base import Capabilities
from sourcebook.types import Candidate, IndexQuery, PassageId, Point, Scope, Terms

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Flat:
    """An index that holds its points in memory and searches all of them."""

    capabilities = Capabilities(keyword=True, filters=True, shared=False, lasting=False)

    def __init__(self) -> None:
        self.identity = uuid4().hex
        self._points: dict[PassageId, Point] = {}
        self._matrix: NDArray[np.float32] | None = None
        self._order: list[Point] = []

    async def upsert(self, points: Sequence[Point]) -> None:
        """Write points; one with a known id replaces it."""
        self._points.update((point.id, point) for point in points)
        self._matrix = None

    async def delete(self, ids: Sequence[PassageId]) -> None:
        """Delete points; unknown ids are passed over."""
        for one in ids:
            self._points.pop(one, None)
        self._matrix = None

    async def search(self, query: IndexQuery) -> list[Candidate]:
        """The best of each channel, exactly."""
        import numpy as np

        if not self._points:
            return []
        if self._matrix is None:
            self._order = list(self._points.values())
            self._matrix = np.stack([point.vector for point in self._order])
        allowed = [
            row
            for row, point in enumerate(self._order)
            if query.scope.admits(point.tenant, point.access)
            and (query.filter is None or matches(query.filter, point.metadata))
        ]
        found: dict[PassageId, dict[str, float]] = {}
        if query.vector is not None and allowed:
            self._best(found, "dense", self._matrix[allowed] @ query.vector, allowed, query.limit, floor=-2.0)
        if query.terms is not None and allowed:
            self._best(found, "keyword", self._keyword(query, allowed), allowed, query.limit, floor=0.0)
        return [Candidate(id=one, scores=scores) for one, scores in found.items()]

    def _best(
        self,
        found: dict[PassageId, dict[str, float]],
        channel: str,
        scores: NDArray[np.float32],
        rows: Sequence[int],
        limit: int,
        *,
        floor: float,
    ) -> None:
        import numpy as np

        for place in np.argsort(-scores, kind="stable")[:limit]:
            if scores[place] > floor:
                found.setdefault(self._order[rows[place]].id, {})[channel] = float(scores[place])

    def _keyword(self, query: IndexQuery, rows: Sequence[int]) -> NDArray[np.float32]:
        import numpy as np

        assert query.terms is not None
        wanted = {int(term): float(weight) for term, weight in zip(*_pair(query.terms), strict=True)}
        corpus = [point.terms for point in self._order if point.tenant == query.scope.tenant]
        frequency = dict.fromkeys(wanted, 0)
        for terms in corpus:
            for term in wanted.keys() & set(terms.indices.tolist()):
                frequency[term] += 1
        size = len(corpus)
        idf = {term: float(np.log((size - n + 0.5) / (n + 0.5) + 1)) for term, n in frequency.items()}
        scores = np.zeros(len(rows), np.float32)
        for place, row in enumerate(rows):
            terms = self._order[row].terms
            scores[place] = sum(
                wanted[term] * idf[term] * weight for term, weight in zip(*_pair(terms), strict=True) if term in wanted
            )
        return scores

    async def count(self, scope: Scope | None) -> int:
        """Points within the scope; None counts all."""
        return sum(scope is None or scope.admits(point.tenant, point.access) for point in self._points.values())

    async def settle(self) -> None:
        """Nothing to do."""

    async def close(self) -> None:
        """Nothing to let go of."""


def open_flat(_url: str, *, create: bool = True, **_: object) -> Flat | None:
    """For `index = "flat"`: it is not there until it is made, and is then filled from the catalog."""
    return Flat() if create else None


def _pair(terms: Terms) -> tuple[list[int], list[float]]:
    return terms.indices.tolist(), terms.weights.tolist()
