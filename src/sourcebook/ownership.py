"""Who may write: a lock on a file, which says who holds it when a second asks.

The lock is the operating system's, so it is gone with the process that held it, however that ended. Where several
machines share a thing, a right that they share is taken besides.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from sourcebook.errors import BookBusy, BookError

if TYPE_CHECKING:
    from filelock import FileLock


class SharedRight(Protocol):
    """A right that several machines share."""

    def take(self, thing: str, *, wait: float) -> None:
        """Take it, waiting at most `wait` seconds. Errors: BookBusy, naming the holder of the `thing`."""

    def release(self) -> None:
        """Give it back."""


class Ownership:
    """The right to one thing, held by one process at a time.

    path: the lock file. thing: what is held, for the message ("This book"). shared: what is to be held besides.
    """

    def __init__(self, path: Path, thing: str, *, shared: SharedRight | None = None) -> None:
        self._path = path
        self._holder = path.with_suffix(".holder")
        self._thing = thing
        self._shared = shared
        self._lock: FileLock | None = None

    @property
    def held(self) -> bool:
        """Whether this object holds the right now."""
        return self._lock is not None

    def take(self, *, wait: float = 0.0) -> None:
        """Take the right, waiting at most `wait` seconds.

        Errors: BookBusy, naming the holder; BookError if the lock file cannot be made.
        """
        if self._lock is not None:
            return
        from filelock import FileLock, Timeout

        until = monotonic() + wait
        lock = FileLock(self._path, is_singleton=False, thread_local=False)
        try:
            lock.acquire(timeout=wait, poll_interval=0.02)
        except Timeout as error:
            raise BookBusy(
                f"{self._thing} is in use by {self._description()}",
                remedy="Wait for it to end, or stop it, and try again",
            ) from error
        except OSError as error:
            raise BookError(
                f"The lock file {self._path} cannot be made: {error.strerror}",
                remedy="Check that its folder can be written and that the disk is not full",
            ) from error
        if self._shared is not None:
            try:
                self._shared.take(self._thing, wait=max(0.0, until - monotonic()))
            except BaseException:
                lock.release()
                raise
        self._lock = lock
        with suppress(OSError):  # on a full disk the right is held all the same; only the message to others suffers
            self._holder.write_text(json.dumps({"pid": os.getpid(), "command": _command(), "since": _now()}))

    def release(self) -> None:
        """Give the right back."""
        if self._lock is not None:
            if self._shared is not None:
                self._shared.release()
            self._lock.release()
            self._lock = None

    def _description(self) -> str:
        try:
            holder = json.loads(self._holder.read_text())
            return f"process {holder['pid']} ({holder['command']}, since {holder['since']})"
        except (OSError, ValueError, KeyError, TypeError):
            return "another process"


def _command() -> str:
    return " ".join([os.path.basename(sys.argv[0] or "python"), *sys.argv[1:3]])[:80]


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
