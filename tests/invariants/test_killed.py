"""I3: killed at any moment and started again, sync ends in the same state as if it had never been killed."""

import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.invariants.states import command, doctor, environment, export, first_state, run, second_state, sync


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str, float]:
    """(book of the first state, folder in the second, what an undisturbed sync makes of it, how long that took)."""
    base = tmp_path_factory.mktemp("killed")
    folder, home = base / "docs", base / "home"
    first_state(folder)
    assert run(home, "add", str(folder)).returncode == 0
    assert sync(home)["added"] == 40
    second_state(folder)
    undisturbed = base / "undisturbed"
    shutil.copytree(home, undisturbed)
    began = time.monotonic()
    report = sync(undisturbed)
    took = time.monotonic() - began
    assert report["failed"] == 1
    assert report["changed"] > 0
    assert report["deleted"] > 0
    return home, folder, export(undisturbed), took


def killed_at(moment: float, home: Path) -> bool:
    """Start a sync and kill it after so many seconds; whether it was still running then."""
    child = subprocess.Popen(
        command(home, "sync"), env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        child.wait(moment)
    except subprocess.TimeoutExpired:
        child.send_signal(signal.SIGKILL)
        child.wait()
        return True
    return False


def prove(begun: tuple[Path, Path, str, float], tmp_path: Path, kills: int, seed: int) -> None:
    home, _, expected, took = begun
    chance = random.Random(seed)
    killed = 0
    for number in range(kills):
        book = tmp_path / f"book{number}"
        shutil.copytree(home, book)
        for _ in range(chance.choice((1, 1, 2))):
            # The first half second is the start of Python; what matters comes after it.
            killed += killed_at(chance.uniform(0.25 * took, 1.05 * took), book)
        sync(book)
        assert export(book) == expected, f"kill {number}"
        assert doctor(book)["index"], f"kill {number}"
        shutil.rmtree(book)
    assert killed > kills // 2


def test_some_kills(begun: tuple[Path, Path, str, float], tmp_path: Path) -> None:
    prove(begun, tmp_path, kills=6, seed=1)


@pytest.mark.slow
def test_a_hundred_kills(begun: tuple[Path, Path, str, float], tmp_path: Path) -> None:
    prove(begun, tmp_path, kills=100, seed=2)


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
