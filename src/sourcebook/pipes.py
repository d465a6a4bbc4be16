"""How a process speaks with the workers that it starts: framed messages over pipes, and an end shared with it."""

from __future__ import annotations

import os
import struct
import threading
import time
from collections.abc import Callable
from typing import IO


def read_message(stream: IO[bytes]) -> bytes | None:
    """The next message (eight bytes of length, big endian, and that much), or None if the other side is gone."""
    head = stream.read(8)
    if len(head) < 8:
        return None
    (length,) = struct.unpack(">Q", head)
    body = stream.read(length)
    return body if len(body) == length else None


def write_message(stream: IO[bytes], body: bytes) -> None:
    """Send one message. Errors: OSError if the other side is gone."""
    stream.write(struct.pack(">Q", len(body)))
    stream.write(body)
    stream.flush()


def end_with_parent(before: Callable[[], object] | None = None) -> None:
    """From now on this process ends within a second of the one that started it, even in the middle of its work.

    before: what to do first, in a thread of its own.
    """
    threading.Thread(target=_watch, args=(os.getppid(), before), name="sourcebook-parent", daemon=True).start()


def _watch(parent: int, before: Callable[[], object] | None) -> None:
    while os.getppid() == parent:
        time.sleep(1.0)
    try:
        if before is not None:
            before()
    finally:
        os._exit(1)
