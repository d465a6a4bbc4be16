"""What all statements of the catalog share: preparing SQL, values on their way in and out, errors explained."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from sourcebook.errors import CatalogError
from sourcebook.types import Metadata

if TYPE_CHECKING:
    from sqlalchemy import TextClause

T = TypeVar("T")

IN_LIST = 900  # values in one IN list; SQLite allows 32,766

_statements: dict[tuple[str, tuple[str, ...]], TextClause] = {}


def sql(statement: str, *expanding: str) -> TextClause:
    """The statement, prepared once; `expanding` names the parameters that are IN lists."""
    known = _statements.get((statement, expanding))
    if known is None:
        from sqlalchemy import bindparam, text

        known = text(statement).bindparams(*(bindparam(name, expanding=True) for name in expanding))
        _statements[statement, expanding] = known
    return known


def batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Slices of at most `size`, in order."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def metadata_from(text: str) -> Metadata:
    """Metadata from its JSON; lists become tuples."""
    values: dict[str, Any] = json.loads(text)
    return {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}


def names_json(access: frozenset[str]) -> str:
    """An access list as the JSON that is kept of it."""
    return json.dumps(sorted(access), ensure_ascii=False)


def now() -> str:
    """The time as it is kept: UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@contextmanager
def explained(url: str) -> Iterator[None]:
    """Database errors as CatalogError, with what the user can do."""
    from sqlalchemy.exc import DatabaseError, OperationalError

    try:
        yield
    except (DatabaseError, OperationalError) as error:
        reason = str(error.orig)
        raise CatalogError(f"The catalog {url} failed: {reason}", remedy=_remedy(reason)) from error


def _remedy(reason: str) -> str:
    lower = reason.lower()
    if "full" in lower or "disk i/o" in lower:
        return "Free some disk space and run the same command again; what was in the book is unharmed"
    if "locked" in lower:
        return "Another process is writing; try again in a moment"
    if "malformed" in lower or "not a database" in lower:
        return "Restore the file from a backup, or move it away and sync again"
    if "readonly" in lower or "unable to open" in lower:
        return "Check that the folder exists and can be written"
    return "Run: sourcebook doctor"
