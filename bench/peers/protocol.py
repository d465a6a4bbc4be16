"""How the speed comparison talks to each system: one process per system, JSON lines in and out.

Every system is put behind the same four methods, so that `speed.py` does the same with all of them. A command
is one line on standard input, its result one line on what was standard output; whatever the systems print
themselves goes to standard error.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """One result of a search. document: whatever the system calls it; it ends with the file's name."""

    document: str
    text: str


class Meter(Protocol):
    """What the embedding model cost until now. seconds: inside it; texts: how many went through it."""

    seconds: float
    texts: int


class Peer(Protocol):
    """A system under measurement, used the way its own documentation recommends."""

    @property
    def meter(self) -> Meter: ...

    def open(self, home: Path) -> None:
        """Make what is kept in `home` (nothing, at first) ready to be searched and synced."""
        ...

    def sync(self, folder: Path) -> None:
        """Bring the opened store up to date with the folder's *.txt files: searchable, and kept on disk."""
        ...

    def search(self, query: str, top: int) -> list[Found]:
        """Hybrid search, best first."""
        ...

    def close(self) -> None:
        """Let go of the store."""
        ...


def serve(make: Callable[[dict[str, Any]], Peer]) -> None:
    """Answer commands until standard input ends; `make` gets the first one, with the model's paths in it."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    peer: Peer | None = None
    for line in sys.stdin:
        command: dict[str, Any] = json.loads(line)
        peer = peer or make(command)
        answers.write(json.dumps(_measured(peer, command)) + "\n")
        answers.flush()


def _measured(peer: Peer, command: dict[str, Any]) -> dict[str, Any]:
    embedding, texts = peer.meter.seconds, peer.meter.texts
    started = time.perf_counter()
    result = _perform(peer, command)
    seconds = time.perf_counter() - started
    embedding = peer.meter.seconds - embedding
    return {
        "seconds": seconds,
        "embedding_seconds": embedding,
        "outside": seconds - embedding,
        "embedded": peer.meter.texts - texts,
        **_memory(),
        **result,
    }


def _perform(peer: Peer, command: dict[str, Any]) -> dict[str, Any]:
    match command["do"]:
        case "start":
            return {}
        case "sync":
            peer.open(Path(command["home"]))
            peer.sync(Path(command["folder"]))
            return {}
        case "open":
            peer.open(Path(command["home"]))
            return {}
        case "search":
            return _search(peer, command["queries"], command["top"])
        case "close":
            peer.close()
            return {}
        case unknown:
            raise ValueError(f"unknown command {unknown!r}")


def _search(peer: Peer, queries: list[str], top: int) -> dict[str, Any]:
    times, found = [], []
    for query in queries:
        started = time.perf_counter()
        hits = peer.search(query, top)
        times.append(time.perf_counter() - started)
        found.append([[hit.document, hit.text] for hit in hits])
    return {"times": times, "found": found}


def _memory() -> dict[str, float]:
    """Resident memory of this process in MB, now and at its highest (proc(5): VmRSS, VmHWM).

    Not getrusage: its maximum is inherited from the process that started this one.
    """
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {
        "memory": int(fields["VmRSS"].split()[0]) / 1024,
        "peak_memory": int(fields["VmHWM"].split()[0]) / 1024,
    }
