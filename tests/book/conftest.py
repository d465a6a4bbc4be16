"""A book without models in an empty folder, and what happens in it."""

from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sourcebook import Sourcebook
from sourcebook.parse.parsing import Parsers
from sourcebook.registry import BUILT_IN, Entry
from sourcebook.types import ParsedDocument


@pytest.fixture(autouse=True)
def without_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCEBOOK_PARTS_EMBED", "hashing")
    monkeypatch.setenv("SOURCEBOOK_PARTS_MODEL", "verbatim")
    monkeypatch.setenv("SOURCEBOOK_PARTS_INDEX", "flat")
    monkeypatch.setitem(BUILT_IN["model"], "verbatim", Entry("tests.verbatim:open_verbatim"))


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    return folder


@pytest.fixture
async def book(tmp_path: Path) -> AsyncIterator[Sourcebook]:
    async with await Sourcebook.open(tmp_path / "home") as made:
        yield made


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each file has been parsed, by name."""
    counted: Counter[str] = Counter()
    parse = Parsers.parse

    async def counting(self: Parsers, data: bytes, name: str) -> ParsedDocument:
        counted[name] += 1
        return await parse(self, data, name)

    monkeypatch.setattr(Parsers, "parse", counting)
    return counted


@pytest.fixture(params=["flat", "qdrant:index"])
def each_index(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCEBOOK_PARTS_INDEX", request.param)
