"""Which passages are live and what they say: asked of the catalog, and remembered until anything changes."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, TypeVar

from sourcebook.catalog.reads import FROM_PASSAGES, LIVE, WHOLE, passage_from
from sourcebook.catalog.statements import access_from, sql
from sourcebook.types import Passage, PassageId, Scope

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from sourcebook.catalog.catalog import Catalog

T = TypeVar("T")

_Audience = tuple[str, frozenset[str]]
"""A tenant, and the access list within it."""


class LivePassages:
    """The join with the catalog that decides what a search finds; an index only proposes.

    Every change of what is live, or of who may see it, advances the book's epoch in its own transaction, and a
    passage never changes. So what was read in one epoch holds for as long as the catalog says that epoch. Each
    call reads the epoch, and of the passages those alone that it does not remember. Any thread may call.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._lock = threading.Lock()
        self._epoch = -1  # in which all that is remembered was read
        self._audiences: dict[PassageId, _Audience | None] = {}  # None: not live
        self._passages: dict[PassageId, tuple[_Audience, Passage] | None] = {}

    def ids(self, ids: Sequence[PassageId], scope: Scope) -> tuple[set[PassageId], int]:
        """Those of the passages that are live and that the scope admits, and the epoch in which they were."""
        with self._lock:
            found = self._recall(ids, self._audiences, self._read_audiences, most=_MOST_AUDIENCES)
            return {name for name, audience in found.items() if audience and scope.admits(*audience)}, self._epoch

    def passages(self, ids: Sequence[PassageId], scope: Scope, *, epoch: int | None = None) -> dict[PassageId, Passage]:
        """Those of the passages that are live and that the scope admits, whole.

        epoch: in which they are to be so, if all that was read in it is still remembered; else, and if None, now.
        """
        with self._lock:
            if epoch is not None and epoch == self._epoch and all(name in self._passages for name in ids):
                found = {name: self._passages[name] for name in ids}
            else:
                found = self._recall(ids, self._passages, self._read_passages, most=_MOST_PASSAGES)
        return {name: one[1] for name, one in found.items() if one and scope.admits(*one[0])}

    def _recall(
        self,
        ids: Sequence[PassageId],
        known: dict[PassageId, T | None],
        read: Callable[[Connection, Sequence[PassageId]], dict[PassageId, T]],
        *,
        most: int,
    ) -> dict[PassageId, T | None]:
        """What is known of each passage in the newest epoch, which becomes `self._epoch`."""
        with self._catalog.reading() as connection:
            epoch = int(connection.execute(sql("SELECT epoch FROM book WHERE id = 1")).scalar_one())
            if epoch != self._epoch:
                self._audiences.clear()
                self._passages.clear()
                self._epoch = epoch
            missing = [name for name in ids if name not in known]
            found = read(connection, missing) if missing else {}
        recalled = {name: known[name] if name in known else found.get(name) for name in ids}
        known.update((name, recalled[name]) for name in missing)
        if len(known) > most:
            for name in list(known)[: len(known) - most // 2]:  # the oldest
                del known[name]
        return recalled

    def _read_audiences(self, connection: Connection, ids: Sequence[PassageId]) -> dict[PassageId, _Audience]:
        rows = connection.execute(
            sql(
                "SELECT passage.id, document.tenant, document.access"
                f"{FROM_PASSAGES} {LIVE} AND passage.id IN {self._catalog.listed}"
            ),
            {"some": json.dumps(ids)},
        )
        return {PassageId(name): (tenant, access_from(access)) for name, tenant, access in rows}

    def _read_passages(
        self, connection: Connection, ids: Sequence[PassageId]
    ) -> dict[PassageId, tuple[_Audience, Passage]]:
        rows = connection.execute(
            sql(f"{WHOLE} {FROM_PASSAGES} {LIVE} AND passage.id IN {self._catalog.listed}"),
            {"some": json.dumps(ids)},
        )
        return {PassageId(row.id): ((row.tenant, access_from(row.access)), passage_from(row)) for row in rows}


_MOST_AUDIENCES: Final = 50_000  # some 200 bytes each
_MOST_PASSAGES: Final = 5_000  # some 2 kB each
