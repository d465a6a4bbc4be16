"""Embedded Qdrant: a full search engine in this process, its files in one folder.

One process may hold the files. Points carry two vectors, "dense" and "terms" (sparse, with the inverse document
frequency left to the engine), and a payload: tenant, access ("*" means everybody) and metadata under "m", truth
values once more as text under "b" (the engine's binding takes a bool for a number, which matches no payload).
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID, uuid4

from sourcebook.errors import FilterError, SourcebookError, VectorIndexError
from sourcebook.index.base import Capabilities
from sourcebook.ownership import Ownership
from sourcebook.types import (
    And,
    Candidate,
    Equals,
    Exists,
    Filter,
    In,
    IndexQuery,
    Not,
    Or,
    PassageId,
    Point,
    Range,
    Scope,
)

if TYPE_CHECKING:
    import qdrant_edge

T = TypeVar("T")

_EVERYBODY = "*"
_IDENTITY = "identity.json"  # written last, so that a folder without it is half made
_REMEDY = "Run: sourcebook doctor --repair, which makes it anew from the catalog"
_UNINDEXED_LIMIT = 20_000  # points searched one by one before a graph is built
_SPARE = 48_000_000  # bytes that must be free to open the files; segments of the log have 32 MB
_FILTERED_FIELDS = 64  # metadata fields that get an index of their own, made when first filtered by


class QdrantEdge:
    """The index in the folder `path`; made there if there is none.

    dimension: of the dense vectors. expected: the identity of the index that the catalog filled; another one
    found there is not ours, or half made, and is replaced by an empty one (None: take what is there).
    wait: seconds to wait for another process to let go.
    Errors: BookBusy if another process holds it, VectorIndexError if it is damaged.
    """

    capabilities = Capabilities(keyword=True, filters=True, shared=False)

    def __init__(self, path: Path, dimension: int, *, expected: str | None = None, wait: float = 0.0) -> None:
        self._path = path
        self._ownership = Ownership(path.with_name(path.name + ".lock"), f"The index {path.name!r}")
        self._executor = ThreadPoolExecutor(max_workers=2, thread_name_prefix="qdrant")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._ownership.take(wait=wait)
        try:
            self._shard = _open(path, dimension, expected)
            self.identity = identity_at(path)
            self._tenants = self._facet("tenant")
            self._restricted = bool(self._facet("access") - {_EVERYBODY})
            self._indexed_fields = set(self._shard.info().payload_schema)
        except BaseException:
            self._ownership.release()
            raise

    async def upsert(self, points: Sequence[Point]) -> None:
        """Write points, through the write-ahead log."""
        if not points:
            return
        await self._run(lambda: self._upsert(points))

    def _upsert(self, points: Sequence[Point]) -> None:
        import qdrant_edge as q

        self._tenants.update(point.tenant for point in points)
        self._restricted = self._restricted or any(point.access for point in points)
        self._shard.update(
            q.UpdateOperation.upsert_points(
                [
                    q.Point(
                        str(UUID(hex=point.id)),
                        {
                            "dense": point.vector.tolist(),
                            "terms": q.SparseVector(point.terms.indices.tolist(), point.terms.weights.tolist()),
                        },
                        _payload(point),
                    )
                    for point in points
                ]
            )
        )

    async def delete(self, ids: Sequence[PassageId]) -> None:
        """Delete points; unknown ids are passed over."""
        if not ids:
            return
        import qdrant_edge as q

        names: list[int | str | UUID] = [str(UUID(hex=one)) for one in ids]
        await self._run(lambda: self._shard.update(q.UpdateOperation.delete_points(names)))

    async def search(self, query: IndexQuery) -> list[Candidate]:
        """The best of each channel; the keyword channel exactly, the dense one by graph in large indexes."""
        return await self._run(lambda: self._search(query))

    def _search(self, query: IndexQuery) -> list[Candidate]:
        import qdrant_edge as q

        wanted = self._conditions(query.scope, query.filter)
        channels: list[str] = []
        requests: list[qdrant_edge.QueryRequest] = []
        if query.vector is not None:
            channels.append("dense")
            nearest = q.Query.Nearest(query.vector.tolist(), using="dense")
            requests.append(
                q.QueryRequest(query=nearest, filter=wanted, limit=query.limit, with_payload=False, with_vector=False)
            )
        if query.terms is not None and len(query.terms.indices):
            channels.append("keyword")
            terms = q.SparseVector(query.terms.indices.tolist(), query.terms.weights.tolist())
            requests.append(
                q.QueryRequest(
                    query=q.Query.Nearest(terms, using="terms"),
                    filter=wanted,
                    limit=query.limit,
                    params=self._statistics(query.scope),
                    with_payload=False,
                    with_vector=False,
                )
            )
        if not requests:
            return []
        found: dict[PassageId, dict[str, float]] = {}
        for channel, points in zip(channels, self._shard.query_batch(q.QueryBatchRequest(requests)), strict=True):
            for point in points:
                name = PassageId(str(point.id).replace("-", ""))
                found.setdefault(name, {})[channel] = point.score
        return [Candidate(id=name, scores=scores) for name, scores in found.items()]

    async def count(self, scope: Scope | None) -> int:
        """Points within the scope, exactly; None counts all."""
        import qdrant_edge as q

        wanted = None if scope is None else self._conditions(scope, None)
        return await self._run(lambda: self._shard.count(q.CountRequest(filter=wanted, exact=True)))

    async def settle(self) -> None:
        """Build the search graph if much has been written since it was built."""
        info = await self._run(self._shard.info)
        if 2 * info.points_count - info.indexed_vectors_count > 2 * _UNINDEXED_LIMIT:
            await self._run(self._shard.optimize)
        await self._run(self._shard.flush)

    async def close(self) -> None:
        """Write everything out and let go of the files."""
        if self._ownership.held:
            await self._run(self._shard.close)
            self._executor.shutdown()
            self._ownership.release()

    # --- the filter language, in the engine's terms -----------------------------------------------------

    def _conditions(self, scope: Scope, filter: Filter | None) -> qdrant_edge.Filter | None:
        """What a point must fulfil; None if every point does, which the engine answers fastest."""
        import qdrant_edge as q

        must: list[Any] = []
        if self._tenants - {scope.tenant}:
            must.append(q.FieldCondition(key="tenant", match=q.MatchValue(scope.tenant)))
        if self._restricted:
            names = [*sorted(scope.principals - {_EVERYBODY}), _EVERYBODY]
            must.append(q.FieldCondition(key="access", match=q.MatchAny(names)))
        if filter is not None:
            must.append(self._translated(filter))
        return q.Filter(must=must) if must else None

    def _translated(self, filter: Filter) -> qdrant_edge.Filter:
        import qdrant_edge as q

        match filter:
            case Equals(field, value):
                return q.Filter(must=[self._equals(field, value)])
            case In(field, values):
                return self._either([self._equals(field, value) for value in values])
            case Range():
                return q.Filter(must=[self._range(filter)])
            case Exists(field):
                return q.Filter(must_not=[q.IsEmptyCondition(_path(field))])
            case And(filters):
                return q.Filter(must=[self._translated(one) for one in filters])
            case Or(filters):
                return self._either([self._translated(one) for one in filters])
            case Not(inner):
                return q.Filter(must_not=[self._translated(inner)])

    def _either(self, conditions: list[Any]) -> qdrant_edge.Filter:
        """At least one holds; of none, none does (the engine takes an empty `should` for no condition)."""
        import qdrant_edge as q

        return q.Filter(should=conditions) if conditions else q.Filter(must_not=[q.Filter()])

    def _equals(self, field: str, value: str | float | bool) -> qdrant_edge.FieldCondition:
        import qdrant_edge as q

        if isinstance(value, bool):
            path = _path(field, "b")
            self._ensure_field_index(path, q.PayloadSchemaType.Keyword)
            return q.FieldCondition(key=path, match=q.MatchValue(str(value)))
        if isinstance(value, str):
            self._ensure_field_index(_path(field), q.PayloadSchemaType.Keyword)
            return q.FieldCondition(key=_path(field), match=q.MatchValue(value))
        self._ensure_field_index(_path(field), q.PayloadSchemaType.Float)
        return q.FieldCondition(key=_path(field), range=q.RangeFloat(gte=float(value), lte=float(value)))

    def _range(self, bounds: Range) -> qdrant_edge.FieldCondition:
        import qdrant_edge as q

        given = {"gt": bounds.above, "gte": bounds.at_least, "lt": bounds.below, "lte": bounds.at_most}
        limits: dict[str, Any] = {name: limit for name, limit in given.items() if limit is not None}
        if any(isinstance(limit, str) for limit in limits.values()):
            self._ensure_field_index(_path(bounds.field), q.PayloadSchemaType.Datetime)
            try:
                dates = q.RangeDateTime(**limits)
            except (TypeError, ValueError) as error:
                raise FilterError(f"{limits} are not dates: {error}", remedy="Write them as '2024-05-31'") from error
            return q.FieldCondition(key=_path(bounds.field), range=dates)
        self._ensure_field_index(_path(bounds.field), q.PayloadSchemaType.Float)
        return q.FieldCondition(key=_path(bounds.field), range=q.RangeFloat(**limits))

    def _ensure_field_index(self, path: str, kind: qdrant_edge.PayloadSchemaType) -> None:
        import qdrant_edge as q

        if path not in self._indexed_fields and len(self._indexed_fields) < _FILTERED_FIELDS:
            self._shard.update(q.UpdateOperation.create_field_index(path, kind))
            self._indexed_fields.add(path)

    def _statistics(self, scope: Scope) -> qdrant_edge.SearchParams | None:
        """Term statistics of the asker's tenant alone, so that no tenant's words show in another's scores."""
        import qdrant_edge as q

        if not self._tenants - {scope.tenant}:
            return None
        own = q.Filter(must=[q.FieldCondition(key="tenant", match=q.MatchValue(scope.tenant))])
        return q.SearchParams(idf=q.IdfParams(corpus=own))

    def _facet(self, key: str) -> set[str]:
        import qdrant_edge as q

        return {str(hit.value) for hit in self._shard.facet(q.FacetRequest(key=key, limit=10_000, exact=True)).hits}

    async def _run(self, work: Callable[[], T]) -> T:
        def explained() -> T:
            try:
                return work()
            except SourcebookError:
                raise
            except Exception as error:
                raise VectorIndexError(f"The index {self._path.name!r} failed: {error}", remedy=_REMEDY) from error

        return await asyncio.get_running_loop().run_in_executor(self._executor, explained)


def open_qdrant_edge(
    url: str, *, home: Path, dimension: int, expected: str | None, create: bool, wait: float, **_: object
) -> QdrantEdge | None:
    """For `index = "qdrant:FOLDER"`. create: make one if there is none; otherwise None is returned then.

    None is returned as well, or an error raised, where the disk is nearly full: to open the files, the engine maps
    a new segment of its log, and a page of it that cannot be written would end the process (SIGBUS).
    """
    path = home / url.removeprefix("qdrant:")
    free = shutil.disk_usage(home).free
    if free < _SPARE:
        if not create:
            return None
        raise VectorIndexError(
            f"The disk that holds {home} is full: {free // 1_000_000} MB are free, "
            f"the index needs {_SPARE // 1_000_000} MB to be opened",
            remedy="Free some space and run the same command again; all that was in the book is unharmed and answers",
        )
    if not create and (not identity_at(path) or expected not in (None, identity_at(path))):
        return None
    return QdrantEdge(path, dimension, expected=expected, wait=wait)


def identity_at(path: Path) -> str:
    """The name that the index in this folder got when it was made, or "" if there is none."""
    try:
        return str(json.loads((path / _IDENTITY).read_text())["identity"])
    except (OSError, ValueError, KeyError):
        return ""


def _open(path: Path, dimension: int, expected: str | None) -> qdrant_edge.EdgeShard:
    import qdrant_edge as q

    identity = identity_at(path)
    try:
        if identity and expected in (None, identity):
            return q.EdgeShard.load(str(path))
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
        shard = q.EdgeShard.create(
            str(path),
            q.EdgeConfig(
                vectors={"dense": q.EdgeVectorParams(size=dimension, distance=q.Distance.Dot)},
                sparse_vectors={"terms": q.EdgeSparseVectorParams(modifier=q.Modifier.Idf)},
            ),
        )
        for key in ("tenant", "access"):
            shard.update(q.UpdateOperation.create_field_index(key, q.PayloadSchemaType.Keyword))
        (path / _IDENTITY).write_text(json.dumps({"identity": uuid4().hex, "dimension": dimension}))
        return shard
    except Exception as error:
        raise VectorIndexError(f"The index {path.name!r} cannot be opened: {error}", remedy=_REMEDY) from error


def _payload(point: Point) -> dict[str, Any]:
    return {
        "tenant": point.tenant,
        "access": sorted(point.access) or [_EVERYBODY],
        "m": {key: list(value) if isinstance(value, tuple) else value for key, value in point.metadata.items()},
        "b": {key: str(value) for key, value in point.metadata.items() if isinstance(value, bool)},
    }


def _path(field: str, part: str = "m") -> str:
    """Where the engine finds a field; its paths have no way to quote a quote."""
    if '"' in field:
        raise FilterError(f"This index cannot filter by the field {field!r}", remedy="Use a name without quotes")
    return f'{part}."{field}"' if not field.replace("_", "").isalnum() else f"{part}.{field}"
