"""The right to one thing, held by one process at a time."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest

from sourcebook.errors import BookBusy, BookError
from sourcebook.ownership import Ownership, own_command

_HOLD = """
import sys, time
from pathlib import Path
from sourcebook.ownership import Ownership
right = Ownership(Path(sys.argv[1]), "This book")
right.take()
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "writer.lock"


def hold(path: Path) -> subprocess.Popen[str]:
    """Another process that holds the right."""
    holder = subprocess.Popen([sys.executable, "-c", _HOLD, str(path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


def end(holder: subprocess.Popen[str]) -> None:
    holder.kill()
    holder.communicate(timeout=30)


def test_it_is_held_from_taking_to_releasing(path: Path) -> None:
    one = Ownership(path, "This book")
    assert not one.held
    one.release()
    one.take()
    assert one.held
    one.take()  # again by the same: it is counted
    one.release()
    assert one.held
    one.release()
    assert not one.held
    one.take()
    one.take()
    one.drop()
    assert not one.held
    other = Ownership(path, "This book")
    other.take()
    other.release()


def test_the_second_is_told_who_holds_it(path: Path) -> None:
    holder = hold(path)
    try:
        with pytest.raises(BookBusy, match=rf"This book is in use by process {holder.pid} \(-c, since \d") as caught:
            Ownership(path, "This book").take()
        assert caught.value.transient
        assert "Wait" in caught.value.remedy
    finally:
        end(holder)


def test_the_note_of_the_holder_holds_nothing_that_was_typed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/usr/bin/sourcebook", "ask", "Was Anna fired?", "--source", "s3://me:secret@x"])

    @click.group()
    def cli() -> None: ...

    @cli.command()
    @click.argument("question")
    @click.option("--source")
    def ask(question: str, source: str) -> None:
        one = Ownership(path, "This book")
        one.take()
        assert json.loads(path.with_suffix(".holder").read_text())["command"] == "sourcebook ask"
        one.release()

    cli.main(sys.argv[1:], prog_name="sourcebook", standalone_mode=False)
    assert own_command() == "sourcebook"
    assert not path.with_suffix(".holder").exists()


def test_it_is_free_once_its_holder_was_killed(path: Path) -> None:
    holder = hold(path)
    holder.send_signal(signal.SIGKILL)
    holder.communicate(timeout=30)
    one = Ownership(path, "This book")
    one.take(wait=5.0)
    with pytest.raises(BookBusy, match=f"process {os.getpid()} "):
        Ownership(path, "This book").take()
    one.release()


def test_waiting_ends_when_it_is_released_or_the_time_is_over(path: Path) -> None:
    holder = hold(path)
    try:
        began = time.monotonic()
        with pytest.raises(BookBusy):
            Ownership(path, "This book").take(wait=0.3)
        assert 0.3 <= time.monotonic() - began < 10
        killer = subprocess.Popen([sys.executable, "-c", f"import os, time; time.sleep(0.3); os.kill({holder.pid}, 9)"])
        one = Ownership(path, "This book")
        one.take(wait=30)
        assert one.held
        one.release()
        assert killer.wait(timeout=30) == 0
    finally:
        end(holder)


async def test_waiting_does_not_block_the_event_loop_and_can_be_cancelled(path: Path) -> None:
    holder = hold(path)
    one = Ownership(path, "This book")
    ticks = 0

    async def ticking() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    clock = asyncio.create_task(ticking())
    try:
        with pytest.raises(BookBusy):
            await one.taking(wait=0.2)
        assert ticks > 3
        waiting = asyncio.create_task(one.taking(wait=60))
        await asyncio.sleep(0.05)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert not one.held
    finally:
        clock.cancel()
        end(holder)
    await one.taking(wait=30)
    assert one.held
    one.release()
    assert not one.held


async def test_a_wait_that_is_cancelled_as_it_succeeds_holds_nothing(path: Path) -> None:
    one = Ownership(path, "This book")
    waiting = asyncio.create_task(one.taking(wait=5))
    await asyncio.sleep(0)  # its thread is at work
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not one.held


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "null", '"x"', "\udcff"])
def test_an_unreadable_note_of_the_holder_is_no_obstacle(path: Path, text: str) -> None:
    holder = hold(path)
    try:
        path.with_suffix(".holder").write_bytes(os.fsencode(text))
        with pytest.raises(BookBusy, match="in use by another process"):
            Ownership(path, "This book").take()
    finally:
        end(holder)


def test_the_note_of_the_holder_is_not_needed(path: Path) -> None:
    path.with_suffix(".holder").mkdir()  # cannot be written, as on a full disk
    one = Ownership(path, "This book")
    one.take()
    assert one.held
    one.release()


class Shared:
    """A right that another machine may hold."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.elsewhere = False

    def take(self, thing: str, *, wait: float) -> None:
        if self.elsewhere:
            raise BookBusy(f"{thing} is in use elsewhere")
        self.taken.append(thing)

    def release(self) -> None:
        self.taken.pop()


def test_a_shared_right_is_held_besides(path: Path) -> None:
    shared = Shared()
    one = Ownership(path, "This book", shared=shared)
    one.take()
    one.take()
    assert (one.held, shared.taken) == (True, ["This book"])
    one.release()
    one.release()
    assert (one.held, shared.taken) == (False, [])
    shared.elsewhere = True
    with pytest.raises(BookBusy, match="This book is in use elsewhere"):
        one.take()
    assert not one.held
    Ownership(path, "This book").take()  # the lock beside it was given back


def test_where_no_lock_can_be_made_it_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    one = Ownership(tmp_path / "file" / "writer.lock", "This book")
    with pytest.raises(BookError, match="cannot be made") as caught:
        one.take()
    assert caught.value.remedy
    assert not one.held
