"""I3: killed at any moment and started again, sync ends in the same state as if it had never been killed."""

import random
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.invariants.states import command, doctor, environment, export, first_state, run, second_state, sync


@dataclass(frozen=True)
class Begun:
    """A book of the first state over a folder in the second, and what an undisturbed sync makes of it."""

    home: Path
    expected: str
    seconds: float


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Begun:
    base = tmp_path_factory.mktemp("killed")
    folder, home = base / "docs", base / "home"
    first_state(folder)
    assert run(home, "add", str(folder)).returncode == 0
    assert sync(home)["added"] == 40
    second_state(folder)
    undisturbed = base / "undisturbed"
    shutil.copytree(home, undisturbed)
    report = sync(undisturbed)
    assert report["failed"] == 1
    assert report["changed"] > 0
    assert report["deleted"] > 0
    return Begun(home, export(undisturbed), report["seconds"])


def killed_after(moment: float, home: Path) -> bool:
    """Start a sync and kill it so many seconds after it began to write; whether it was still running then."""
    child = subprocess.Popen(
        command(home, "sync"), env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    holder = home / "writer.holder"
    while child.poll() is None and str(child.pid) not in noted(holder):
        time.sleep(0.001)
    try:
        child.wait(moment)
    except subprocess.TimeoutExpired:
        child.send_signal(signal.SIGKILL)
        child.wait()
        return True
    return False


def noted(holder: Path) -> str:
    """What the holder of the right has written of itself; it goes when the right is given back."""
    with suppress(FileNotFoundError):
        return holder.read_text()
    return ""


def prove(begun: Begun, tmp_path: Path, kills: int, seed: int) -> None:
    """Kill so many syncs, now and then one that goes on after a kill; each time the next ends as if undisturbed."""
    chance = random.Random(seed)
    killed = books = 0
    while killed < kills:
        book = tmp_path / f"book{books}"
        books += 1
        assert books < 4 * kills, "most syncs had ended before they were to be killed"
        shutil.copytree(begun.home, book)
        for _ in range(chance.choice((1, 1, 2))):
            killed += killed_after(chance.uniform(0, begun.seconds), book)
        sync(book)
        assert export(book) == begun.expected, f"book {books}"
        assert doctor(book)["index"], f"book {books}"
        shutil.rmtree(book)


def test_some_kills(begun: Begun, tmp_path: Path) -> None:
    prove(begun, tmp_path, kills=5, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [2, 3, 4, 5])
def test_a_hundred_kills(begun: Begun, tmp_path: Path, seed: int) -> None:
    prove(begun, tmp_path, kills=25, seed=seed)


def test_what_was_embedded_before_the_kill_is_not_embedded_again(tmp_path: Path) -> None:
    folder, home = tmp_path / "docs", tmp_path / "home"
    first_state(folder, documents=150)
    assert run(home, "add", str(folder)).returncode == 0
    child = subprocess.Popen(command(home, "sync"), env=environment(), stderr=subprocess.DEVNULL)
    database = home / "catalog.db-wal"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (database.exists() and database.stat().st_size > 2_000_000):
        time.sleep(0.005)
    child.kill()
    child.wait()
    whole = tmp_path / "whole"
    assert run(whole, "add", str(folder)).returncode == 0
    everything = sync(whole)["embedded"]
    assert 0 < sync(home)["embedded"] < everything
    assert export(home) == export(whole)
