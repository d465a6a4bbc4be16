"""Lines as they are typed at a terminal, or come through a pipe, while the event loop runs on."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from threading import Thread


async def typed_lines() -> AsyncIterator[str]:
    """Each line that is not blank, without white space around it, until the input or /quit ends them."""
    typed = _line_at_terminal if sys.stdin.isatty() else _line_in_pipe
    while (line := await typed()) is not None:
        if line.strip() in ("/quit", "/exit", "/q"):
            return
        if line.strip():
            yield line.strip()


async def _line_in_pipe() -> str | None:
    return await asyncio.to_thread(sys.stdin.readline) or None


async def _line_at_terminal() -> str | None:
    """A line, with editing and history; None at its end. In a thread that nobody waits for when Ctrl-C ends all."""
    with suppress(ImportError):
        import readline  # noqa: F401  # makes `input` an editor

    loop = asyncio.get_running_loop()
    coming: asyncio.Future[str | None] = loop.create_future()

    def read() -> None:
        try:
            line = input("> ")
        except (EOFError, ValueError):
            line = None
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(lambda: None if coming.done() else coming.set_result(line))

    with _terminal_restored():
        Thread(target=read, daemon=True).start()
        return await coming


@contextmanager
def _terminal_restored() -> Iterator[None]:
    """An editor that is left in the middle of a line leaves the terminal without an echo."""
    try:
        import termios
    except ImportError:  # not on Windows, where nothing is to be restored
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
