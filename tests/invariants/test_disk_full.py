"""A disk that fills up: the error is clear, what was in the book is unharmed, and with space again it goes on."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.invariants.states import doctor, environment, export, first_state, run, second_state, sync

_UNGUARDED = """
import sourcebook.publish
import sourcebook.index.qdrant_edge
sourcebook.publish._require_space = lambda book, drafts: None
sourcebook.index.qdrant_edge._SPARE = 0
"""
_LIMITED = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
"""
_RUN = "from sourcebook.cli import main; main()"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 200 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200m", "tmpfs", str(place)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("mounting a small file system needs the rights of root")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def leave(disk: Path, free: int) -> Path:
    """Fill the disk up to so many bytes; what fills it can be deleted."""
    ballast = disk / "ballast"
    with ballast.open("wb") as file:
        while (rest := shutil.disk_usage(disk).free - free) > 0:
            file.write(b"\0" * min(rest, 1_000_000))
            file.flush()
    return ballast


def syncing(home: Path, before: str = "", **more: str) -> subprocess.CompletedProcess[str]:
    """A sync in a process that first runs some statements."""
    return subprocess.run(
        [sys.executable, "-c", before + _RUN, "--home", str(home), "sync", "--json"],
        env=environment(**more), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def complaint(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """The error that it ended with."""
    assert done.returncode == 1, (done.returncode, done.stderr)
    assert "Traceback" not in done.stderr
    error: dict[str, str] = json.loads(done.stderr)["error"]
    return error


def by_document(exported: str) -> dict[str, list[str]]:
    """The lines of an export that are of each document, in order."""
    lines: dict[str, list[str]] = {}
    for line in exported.splitlines():
        row = json.loads(line)
        lines.setdefault(row.get("uri") or row["document"], []).append(line)
    return lines


def whole(exported: str, *states: str) -> bool:
    """Whether each document is as it was in one of the states: no mixture, and no part of it (I2)."""
    known = [by_document(state) for state in states]
    return all(any(one.get(uri) == lines for one in known) for uri, lines in by_document(exported).items())


def test_a_mixture_is_no_whole_document() -> None:
    one, other = (
        f'{{"kind": "document", "uri": "a", "hash": "{n}"}}\n{{"kind": "passage", "document": "a", "text": "{n}"}}'
        for n in range(2)
    )
    assert whole(one, one, other)
    assert whole("", one)
    assert not whole(one.splitlines()[0], one, other)
    assert not whole("\n".join([one.splitlines()[0], other.splitlines()[1]]), one, other)


def begun(folder: Path, home: Path, **more: str) -> tuple[str, str]:
    """A book of the first state, the folder in the second; the export now, and as it should become."""
    first_state(folder, documents=30)
    assert run(home, "add", str(folder), **more).returncode == 0
    sync(home, **more)
    before = export(home)
    second_state(folder, documents=30)
    undisturbed = folder.parent / "undisturbed"
    shutil.copytree(home, undisturbed)
    sync(undisturbed, **more)
    after = export(undisturbed)
    assert after != before
    return before, after


@pytest.mark.parametrize("free", [20_000_000, 60_000_000])
def test_too_little_space_is_noticed_in_time(disk: Path, tmp_path: Path, free: int) -> None:
    """The embedded index maps its files: a page of them that cannot be written would kill the process."""
    home = disk / "home"
    before, after = begun(tmp_path / "docs", home)
    ballast = leave(disk, free)
    error = complaint(syncing(home))
    assert error["kind"] in ("CatalogError", "VectorIndexError")
    assert f"The disk that holds {home} is full" in error["message"]
    assert "Free some space and " in error["remedy"]
    # What was deleted or moved away in the folder is gone, and nothing else has changed.
    now = export(home)
    assert by_document(now).keys() < by_document(before).keys()
    assert whole(now, before)
    assert json.loads(run(home, "search", "markerd000v1", "--json").stdout)["hits"]
    ballast.unlink()
    sync(home)
    assert export(home) == after
    assert doctor(home)["index"]


@pytest.mark.slow
@pytest.mark.parametrize("free", [0, 300_000, 3_000_000])
def test_a_disk_that_is_full_all_the_same_loses_nothing(disk: Path, tmp_path: Path, free: int) -> None:
    """Others fill the disk as well, so the check before may come too early; the process may even be killed."""
    home = disk / "home"
    before, after = begun(tmp_path / "docs", home)
    ballast = leave(disk, free)
    done = syncing(home, _UNGUARDED)
    if done.returncode >= 0:
        assert done.returncode in (0, 1), done.stderr
        assert "Traceback" not in done.stderr, done.stderr
    ballast.unlink()
    if done.returncode == 0:
        assert export(home) == after
    assert whole(export(home), before, after)
    sync(home)
    assert export(home) == after
    verdicts = doctor(home)
    assert verdicts["index"]
    assert verdicts["catalog"]
    assert json.loads(run(home, "search", "markerd003v2", "--json").stdout)["hits"]


def test_a_catalog_that_cannot_grow(tmp_path: Path) -> None:
    """The same without a small disk: the process may write no file beyond a size."""
    home = tmp_path / "home"
    flat = {"SOURCEBOOK_PARTS_INDEX": "flat"}
    _, after = begun(tmp_path / "docs", home, **flat)
    now = export(home)
    for limit in (20_000, 200_000):
        error = complaint(syncing(home, _LIMITED.format(limit=limit), **flat))
        assert error["kind"] == "CatalogError"
        assert "Free some disk space" in error["remedy"]
        assert whole(export(home), now)
    sync(home, **flat)
    assert export(home) == after
