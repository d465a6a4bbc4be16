"""Damaged, mislabelled and hostile files: each ends as a document or with a reason."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from sourcebook.errors import Empty, ParseError
from sourcebook.parse import Limits, Parsers
from tests.damaged import make_damaged
from tests.parse.conftest import EXAMPLES
from tests.parse.parsing_checks import check


def examples() -> list[Path]:
    files = (path for path in EXAMPLES.rglob("*") if path.is_file() and "LICENSE" not in path.name)
    return sorted(files)


@pytest.fixture(scope="module")
def box() -> Iterator[Parsers]:
    box = Parsers(Limits(max_seconds=30, workers=2))
    yield box
    box.close()


async def outcome(box: Parsers, path: Path) -> str:
    """The kind of end it came to. Any other error than a ParseError fails the test."""
    try:
        document = await box.parse(path.read_bytes(), path.name)
    except ParseError as error:
        reason = error
    else:
        check(document)
        return "document"
    assert len(str(reason)) > 10
    assert reason.remedy or isinstance(reason, Empty)
    return type(reason).__name__


def listing(folder: Path) -> set[str]:
    return {os.path.join(here, name) for here, _, names in os.walk(folder) for name in names}


async def test_a_sample(box: Parsers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make_damaged(tmp_path / "damaged", examples(), 60, seed=5, bombs=False)
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    before = listing(tmp_path)
    ends = {await outcome(box, path) for path in made}
    assert ends >= {"document", "Damaged"}
    assert listing(tmp_path) == before


@pytest.mark.slow
async def test_all_three_hundred(box: Parsers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make_damaged(tmp_path / "damaged", examples(), 300)
    assert len(made) == 300
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    before = listing(tmp_path)
    ends = [await outcome(box, path) for path in made]
    assert set(ends) >= {"document", "Damaged", "Empty", "TooLarge", "UnsupportedFormat"}
    assert listing(tmp_path) == before
    assert not Path("/tmp/slipped.txt").exists()


def test_the_same_arguments_make_the_same_files(tmp_path: Path) -> None:
    first = make_damaged(tmp_path / "a", examples(), 40, seed=3, bombs=False)
    second = make_damaged(tmp_path / "b", examples(), 40, seed=3, bombs=False)
    assert [path.name for path in first] == [path.name for path in second]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
