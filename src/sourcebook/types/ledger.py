"""The ledger of documents: what a sync did, and how each document stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class SyncReport:
    """What one sync did. embedded: texts that went through the model; seconds: wall time.

    unreachable: why sources could not be listed; nothing has changed of theirs.
    """

    added: int = 0
    changed: int = 0
    deleted: int = 0
    unchanged: int = 0
    failed: int = 0
    passages: int = 0
    embedded: int = 0
    seconds: float = 0.0
    unreachable: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class LedgerEntry:
    """The ledger's row for one document.

    state: "live", "failed" (see error), "pending". answering: whether a version of it can be found now;
    a document whose newest content failed still answers from the version before.
    seconds: time by stage of the last attempt ("parse", "embed", ...).
    """

    uri: str
    source: str
    state: str
    answering: bool
    error: str | None
    attempts: int
    version: int
    passages: int
    content_hash: str | None
    updated: str
    seconds: Mapping[str, float] = field(default_factory=dict)
