"""What every vector index must do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from unittest import SkipTest

import numpy as np

from sourcebook.filters import matches, parse_filter
from sourcebook.index.base import Index
from sourcebook.types import Candidate, IndexQuery, Metadata, PassageId, Point, Scope, Terms

DIMENSION = 16

_METADATA: Sequence[Metadata] = (
    {"type": "pdf", "year": 2020, "tags": ("law", "tax")},
    {"type": "html", "year": 2021, "draft": True},
    {"type": "pdf", "year": 2022, "price": 9.5},
    {"type": "md", "tags": ("law",), "updated": "2024-05-01"},
    {"type": "csv", "year": 2020, "draft": False, "updated": "2025-01-31"},
    {},
    {"odd name": "a \"quoted\" 'value'", "type": "한국어"},
)
_FILTERS = (
    "type = 'pdf'",
    "type != 'pdf'",
    "type in ('pdf', 'md')",
    "type not in ('pdf', 'md')",
    "year = 2020",
    "year in (2020, 2022)",
    "year >= 2021",
    "year > 2020 and year < 2022",
    "price = 9.5",
    "price <= 9.5",
    "tags = 'law'",
    "tags in ('tax', 'none')",
    "draft = true",
    "draft = false",
    "not draft = true",
    "exists(draft)",
    "not exists(year)",
    "updated >= '2024-06-01'",
    "type = 'pdf' and (year = 2020 or year = 2022)",
    "not (type = 'pdf' or type = 'html')",
    "\"odd name\" = 'a \"quoted\" ''value'''",
    "type = '한국어'",
    "nowhere = 'x'",
    "not nowhere = 'x'",
)


class IndexSuite:
    """Subclass it and give `make`: an empty index of DIMENSION dimensions, whose files may lie in `folder`."""

    def make(self, folder: Path) -> Index:
        """A fresh, empty index."""
        raise NotImplementedError

    def reopen(self, index: Index, folder: Path) -> Index:
        """The same index opened anew after it was closed, if it is `lasting`."""
        raise NotImplementedError

    def _run(self, folder: Path, work: Callable[[Index], Awaitable[None]]) -> None:
        async def whole() -> None:
            index = self.make(folder)
            try:
                await work(index)
            finally:
                await index.close()

        asyncio.run(whole())

    def test_finds_the_nearest_first(self, tmp_path: Path) -> None:
        async def work(index: Index) -> None:
            points = [point(number) for number in range(50)]
            await index.upsert(points)
            found = await index.search(query(vector=points[7].vector, limit=5))
            best = max(found, key=lambda one: one.scores["dense"])
            assert best.id == points[7].id
            assert abs(best.scores["dense"] - 1.0) < 1e-3
            assert len(found) == 5
            exact = sorted(range(50), key=lambda n: -float(points[n].vector @ points[7].vector))[:5]
            assert {one.id for one in found} == {points[n].id for n in exact}

        self._run(tmp_path, work)

    def test_keyword_scores_follow_idf_and_weight(self, tmp_path: Path) -> None:
        async def work(index: Index) -> None:
            await index.upsert([point(n, terms={1: 1.0, 100 + n: 1.0}) for n in range(20)])
            await index.upsert([point(20, terms={1: 2.0, 7: 1.0})])
            common = await index.search(query(terms={1: 1.0}, limit=30))
            assert len(common) == 21
            assert max(common, key=lambda one: one.scores["keyword"]).id == point(20).id
            rare = await index.search(query(terms={1: 1.0, 105: 1.0}, limit=30))
            assert max(rare, key=lambda one: one.scores["keyword"]).id == point(5).id
            assert await index.search(query(terms={999: 1.0})) == []

        self._run(tmp_path, work)

    def test_channels_are_merged_by_id(self, tmp_path: Path) -> None:
        async def work(index: Index) -> None:
            await index.upsert([point(n, terms={n: 1.0}) for n in range(10)])
            found = await index.search(query(vector=point(3).vector, terms={3: 1.0}, limit=3))
            both = [one for one in found if set(one.scores) == {"dense", "keyword"}]
            assert [one.id for one in both] == [point(3).id]
            assert len({one.id for one in found}) == len(found)

        self._run(tmp_path, work)

    def test_upsert_replaces_and_repeats_harmlessly(self, tmp_path: Path) -> None:
        async def work(index: Index) -> None:
            await index.upsert([point(1), point(2)])
            await index.upsert([point(1), point(2)])
            assert await index.count(None) == 2
            moved = Point(id=point(1).id, vector=point(9).vector, terms=terms({5: 1.0}), metadata={"type": "new"})
            await index.upsert([moved])
            assert await index.count(None) == 2
            found = await index.search(query(vector=point(9).vector, limit=1))
            assert [one.id for one in found] == [moved.id]
            assert ids(await index.search(query(terms={5: 1.0}))) == {moved.id}
            assert ids(await index.search(query(vector=point(9).vector, where="type = 'new'"))) == {moved.id}

        self._run(tmp_path, work)

    def test_of_the_same_id_twice_at_once_the_last_counts(self, tmp_path: Path) -> None:
        async def work(index: Index) -> None:
            later = Point(id=point(1).id, vector=point(9).vector, terms=terms({5: 1.0}), metadata={"type": "new"})
            await index.upsert([point(1, terms={1: 1.0}), point(2, terms={1: 1.0}), later])
            assert await index.count(None) == 2
            assert ids(await index.search(query(terms={1: 1.0}))) == {point(2).id}
            assert ids(await index.search(query(terms={5: 1.0}))) == {later.id}
            assert ids(await index.search(query(vector=point(9).vector, limit=1))) == {later.id}

        self._run(tmp_path, work)

    def test_thousands_are_written_and_deleted_at_once(self, tmp_path: Path) -> None:
        async def work(index: Index) -> None:
            points = [point(n, terms={1: 1.0, 10 + n: 1.0}) for n in range(2_000)]
            await index.upsert(points)
            assert await index.count(None) == 2_000
            for n in (0, 999, 1_999):
                assert ids(await index.search(query(terms={10 + n: 1.0}))) == {points[n].id}
            await index.delete([one.id for one in points[1:]])
            assert await index.count(None) == 1
            assert ids(await index.search(query(vector=points[5].vector, terms={1: 1.0}))) == {points[0].id}

        self._run(tmp_path, work)

    def test_the_limit_holds_for_each_channel(self, tmp_path: Path) -> None:
        async def work(index: Index) -> None:
            await index.upsert([point(n, terms={1: 1.0 + n / 100}) for n in range(60)])
            by_words = await index.search(query(terms={1: 1.0}, limit=7))
            assert ids(by_words) == {point(n).id for n in range(53, 60)}
            both = await index.search(query(vector=point(3).vector, terms={1: 1.0}, limit=7))
            for channel in ("dense", "keyword"):
                assert sum(channel in one.scores for one in both) == 7

        self._run(tmp_path, work)

    def test_deleted_points_are_gone_and_unknown_ids_are_passed_over(self, tmp_path: Path) -> None:
        async def work(index: Index) -> None:
            await index.upsert([point(n, terms={1: 1.0}) for n in range(5)])
            await index.delete([point(1).id, point(3).id, PassageId("f" * 32)])
            await index.delete([])
            assert await index.count(None) == 3
            left = {point(n).id for n in (0, 2, 4)}
            assert ids(await index.search(query(vector=point(1).vector))) == left
            assert ids(await index.search(query(terms={1: 1.0}))) == left

        self._run(tmp_path, work)

    def test_nothing_outside_the_scope_is_found_or_counted(self, tmp_path: Path) -> None:
        async def work(index: Index) -> None:
            await index.upsert(
                [
                    point(0, terms={1: 1.0}),
                    point(1, terms={1: 1.0}, access={"alice", "hr"}),
                    point(2, terms={1: 1.0}, access={"bob"}),
                    point(3, terms={1: 1.0}, tenant="other"),
                ]
            )
            cases: tuple[tuple[Scope, set[int]], ...] = (
                (Scope(), {0}),
                (Scope(principals=frozenset({"alice"})), {0, 1}),
                (Scope(principals=frozenset({"hr", "bob"})), {0, 1, 2}),
                (Scope(principals=frozenset({"*"})), {0}),
                (Scope(tenant="other"), {3}),
                (Scope(tenant="nobody"), set()),
            )
            for scope, expected in cases:
                wanted = {point(n).id for n in expected}
                assert ids(await index.search(query(vector=point(2).vector, scope=scope))) == wanted
                assert ids(await index.search(query(terms={1: 1.0}, scope=scope))) == wanted
                assert await index.count(scope) == len(wanted)

        self._run(tmp_path, work)

    def test_a_scope_of_many_principals(self, tmp_path: Path) -> None:
        async def work(index: Index) -> None:
            await index.upsert([point(n, terms={1: 1.0}, access={f"group-{n}", "staff"}) for n in range(20)])
            groups = Scope(principals=frozenset(f"group-{n}" for n in range(10, 310)))
            wanted = {point(n).id for n in range(10, 20)}
            assert ids(await index.search(query(vector=point(0).vector, scope=groups, limit=50))) == wanted
            assert ids(await index.search(query(terms={1: 1.0}, scope=groups, limit=50))) == wanted
            assert await index.count(groups) == 10

        self._run(tmp_path, work)

    def test_filters_mean_what_the_language_says(self, tmp_path: Path) -> None:
        async def work(index: Index) -> None:
            points = [point(n, terms={1: 1.0}, metadata=one) for n, one in enumerate(_METADATA)]
            await index.upsert(points)
            for where in _FILTERS:
                expected = {one.id for one in points if matches(parse_filter(where), one.metadata)}
                for found in (
                    await index.search(query(vector=points[0].vector, where=where)),
                    await index.search(query(terms={1: 1.0}, where=where)),
                ):
                    assert ids(found) == expected, where

        self._run(tmp_path, work)

    def test_an_empty_index_finds_nothing(self, tmp_path: Path) -> None:
        async def work(index: Index) -> None:
            await index.upsert([])
            assert await index.search(query(vector=point(1).vector, terms={1: 1.0})) == []
            assert await index.count(Scope()) == 0
            await index.settle()

        self._run(tmp_path, work)

    def test_each_index_that_is_made_has_a_name_of_its_own(self, tmp_path: Path) -> None:
        async def work() -> None:
            names = []
            for folder in (tmp_path / "one", tmp_path / "other"):
                folder.mkdir()
                index = self.make(folder)
                names.append(index.identity)
                await index.close()
            assert names[0] != names[1]
            assert all(names)

        asyncio.run(work())

    def test_points_survive_closing(self, tmp_path: Path) -> None:
        async def work() -> None:
            index = self.make(tmp_path)
            await index.upsert([point(n, tenant="a" if n % 2 else "b", access={"x"}) for n in range(10)])
            identity = index.identity
            await index.close()
            if not index.capabilities.lasting:
                raise SkipTest("the index keeps nothing between runs")
            again = self.reopen(index, tmp_path)
            try:
                assert again.identity == identity
                assert await again.count(None) == 10
                assert await again.count(Scope(tenant="a")) == 0
                assert await again.count(Scope(tenant="a", principals=frozenset({"x"}))) == 5
            finally:
                await again.close()

        asyncio.run(work())

    def test_many_searches_at_once_while_points_are_written(self, tmp_path: Path) -> None:
        async def work(index: Index) -> None:
            await index.upsert([point(n) for n in range(100)])

            async def write() -> None:
                for start in range(100, 300, 20):
                    await index.upsert([point(n) for n in range(start, start + 20)])

            async def read() -> None:
                for n in range(20):
                    found = await index.search(query(vector=point(n).vector, limit=1))
                    assert ids(found) == {point(n).id}

            await asyncio.gather(write(), *(read() for _ in range(4)))
            assert await index.count(None) == 300

        self._run(tmp_path, work)


def point(
    number: int,
    *,
    terms: dict[int, float] | None = None,
    tenant: str = "default",
    access: set[str] | None = None,
    metadata: Metadata | None = None,
) -> Point:
    """The number'th of a series of distinct points."""
    vector = np.random.default_rng(number).normal(size=DIMENSION).astype(np.float32)
    return Point(
        id=PassageId(f"{number + 1:032x}"),
        vector=vector / np.float32(np.linalg.norm(vector)),
        terms=_terms(terms or {}),
        tenant=tenant,
        access=frozenset(access or ()),
        metadata=metadata or {},
    )


def query(
    *,
    vector: np.typing.NDArray[np.float32] | None = None,
    terms: dict[int, float] | None = None,
    scope: Scope | None = None,
    where: str | None = None,
    limit: int = 10,
) -> IndexQuery:
    """A search of an index."""
    return IndexQuery(
        vector=vector,
        terms=None if terms is None else _terms(terms),
        scope=scope or Scope(),
        filter=None if where is None else parse_filter(where),
        limit=limit,
    )


def terms(weights: dict[int, float]) -> Terms:
    """Terms from a mapping of number to weight."""
    return _terms(weights)


def _terms(weights: dict[int, float]) -> Terms:
    return Terms(
        indices=np.array(list(weights), dtype=np.uint32), weights=np.array(list(weights.values()), dtype=np.float32)
    )


def ids(found: Sequence[Candidate]) -> set[PassageId]:
    """The ids of candidates."""
    return {one.id for one in found}
