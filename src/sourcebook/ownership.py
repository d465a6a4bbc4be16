"""Who may write: a lock on a file, which says who holds it when a second asks.

The lock is the operating system's, so it is gone with the process that held it, however that ended. Where several
machines share a thing, a right that they share is taken besides.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
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
    """The right to one thing, held by one process at a time. Within the process it is counted.

    Whoever takes it again holds it as well, and it is given back with the last release. Thread-safe.
    path: the lock file. thing: what is held, for the message ("This book"). shared: what is to be held besides.
    """

    def __init__(self, path: Path, thing: str, *, shared: SharedRight | None = None) -> None:
        self._path = path
        self._holder = path.with_suffix(".holder")
        self._thing = thing
        self._shared = shared
        self._lock: FileLock | None = None
        self._holders = 0
        self._turn = Lock()
        self._command = own_command()  # now: the right may be taken in another thread

    @property
    def held(self) -> bool:
        """Whether this object holds the right now."""
        return self._lock is not None

    def take(self, *, wait: float = 0.0) -> None:
        """Take the right, waiting at most `wait` seconds.

        Errors: BookBusy, naming the holder; BookError if the lock file cannot be made.
        """
        with self._turn:
            if self._lock is None:
                self._lock = self._taken(wait)
            self._holders += 1

    async def taking(self, *, wait: float = 0.0) -> None:
        """The same without blocking the event loop. Whoever is cancelled while waiting holds nothing."""
        until = monotonic() + wait
        while True:
            some = min(_SLICE, max(0.0, until - monotonic()))
            attempt = asyncio.ensure_future(asyncio.to_thread(self.take, wait=some))
            try:
                await asyncio.shield(attempt)
            except asyncio.CancelledError:
                with suppress(BookError):
                    await attempt
                    self.release()
                raise
            except BookBusy:
                if monotonic() >= until:
                    raise
            else:
                return

    def _taken(self, wait: float) -> FileLock:
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
        with suppress(OSError):  # on a full disk the right is held all the same; only the message to others suffers
            self._holder.write_text(json.dumps({"pid": os.getpid(), "command": self._command, "since": _now()}))
        return lock

    def release(self) -> None:
        """Give the right back, unless it was taken more than once."""
        with self._turn:
            self._holders = max(0, self._holders - 1)
            if not self._holders:
                self._free()

    def drop(self) -> None:
        """Give the right back, however often it was taken."""
        with self._turn:
            self._holders = 0
            self._free()

    def _free(self) -> None:
        if self._lock is not None:
            if self._shared is not None:
                self._shared.release()
            with suppress(OSError):  # before the lock: after it, the note may be of the next
                self._holder.unlink(missing_ok=True)
            self._lock.release()
            self._lock = None

    def _description(self) -> str:
        try:
            holder = json.loads(self._holder.read_text())
            return f"process {holder['pid']} ({holder['command']}, since {holder['since']})"
        except (OSError, ValueError, KeyError, TypeError):
            return "another process"


_SLICE = 0.5  # seconds; as long may it take to cancel a wait


def own_command() -> str:
    """What this process runs, as others may read it: the program and its command, no word of what it was given."""
    program = os.path.basename(sys.argv[0] or "python")
    click = sys.modules.get("click")  # the command line has loaded it; its context is of the thread it runs in
    context = click.get_current_context(silent=True) if click else None
    names: list[str] = []
    while context is not None and context.parent is not None:
        names.insert(0, str(context.info_name))
        context = context.parent
    return " ".join([program, *names])[:80]


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
