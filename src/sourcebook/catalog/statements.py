"""What all statements of the catalog share: preparing SQL, values on their way in and out, errors explained."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from sourcebook.catalog import postgresql
from sourcebook.errors import CatalogBusy, CatalogError
from sourcebook.types import Metadata

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
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


def kept(text: str) -> str:
    """Text as every database takes it, of the same length: a null character or half of a pair becomes U+FFFD."""
    if "\0" in text:
        text = text.replace("\0", "\ufffd")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            text = "".join("\ufffd" if "\ud800" <= character <= "\udfff" else character for character in text)
    return text


def access_from(text: str) -> frozenset[str]:
    """An access list, or the names of an owner, as `names_json` keeps them."""
    return frozenset() if text == "[]" else frozenset(json.loads(text))


def vector_bytes(vector: NDArray[np.float32]) -> bytes:
    """A vector as it is kept: float32, little endian."""
    return vector.astype("<f4").tobytes()


def vector_from(data: bytes) -> NDArray[np.float32]:
    """A vector from what `vector_bytes` made of it: shape (d,)."""
    import numpy as np

    return np.frombuffer(data, "<f4").astype(np.float32, copy=False)


@contextmanager
def explained(url: str) -> Iterator[None]:
    """Database errors as CatalogError, with what the user can do; as CatalogBusy where it may pass by itself.

    url: without a password.
    """
    from sqlalchemy.exc import DBAPIError
    from sqlalchemy.exc import TimeoutError as NoConnection

    try:
        yield
    except DBAPIError as error:
        reason = " ".join(str(error.orig).split())
        remedy, transient = postgresql.advice(error.orig, reason) or _advice(reason)
        kind = CatalogBusy if transient else CatalogError
        raise kind(f"The catalog {url} failed: {reason}", remedy=remedy) from error
    except NoConnection as error:
        raise CatalogBusy(f"The catalog {url} is overloaded: {error}", remedy="Try again in a moment") from error
    except UnicodeEncodeError as error:
        raise CatalogError(
            f"The catalog {url} cannot keep half of a surrogate pair in a name",
            remedy="Write the name in valid Unicode",
        ) from error


def _advice(reason: str) -> tuple[str, bool]:
    """What can be done about an error of SQLite, and whether the same may succeed later."""
    lower = reason.lower()
    if "full" in lower or "disk i/o" in lower:
        return "Free some disk space and run the same command again; what was in the book is unharmed", False
    if "locked" in lower:
        return "Another process is writing; try again in a moment", True
    if "malformed" in lower or "not a database" in lower:
        return "Restore the file from a backup, or move it away and sync again", False
    if "readonly" in lower or "unable to open" in lower:
        return "Check that the folder exists and can be written", False
    return "Run: sourcebook doctor", False
