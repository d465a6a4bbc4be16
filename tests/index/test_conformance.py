from pathlib import Path

import pytest

from sourcebook.errors import BookBusy
from sourcebook.index.base import Index
from sourcebook.index.flat import Flat
from sourcebook.index.qdrant_edge import QdrantEdge
from sourcebook.testing import IndexSuite
from sourcebook.testing.index import DIMENSION, point


class TestFlat(IndexSuite):
    def make(self, folder: Path) -> Index:
        return Flat()


class TestQdrantEdge(IndexSuite):
    def make(self, folder: Path) -> Index:
        return QdrantEdge(folder / "index", DIMENSION)

    def reopen(self, index: Index, folder: Path) -> Index:
        return QdrantEdge(folder / "index", DIMENSION)


async def test_the_second_who_opens_it_is_told_who_holds_it(tmp_path: Path) -> None:
    index = QdrantEdge(tmp_path / "index", DIMENSION)
    with pytest.raises(BookBusy, match=r"process \d+"):
        QdrantEdge(tmp_path / "index", DIMENSION)
    await index.close()
    await QdrantEdge(tmp_path / "index", DIMENSION).close()


async def test_an_index_of_another_book_or_half_made_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "index"
    first = QdrantEdge(path, DIMENSION)
    await first.upsert([point(1)])
    await first.close()
    (path / "identity.json").unlink()  # as if killed while it was made
    second = QdrantEdge(path, DIMENSION)
    assert await second.count(None) == 0
    assert second.identity != first.identity
    await second.upsert([point(1)])
    await second.close()
    other = QdrantEdge(path, DIMENSION, expected="another")
    assert await other.count(None) == 0
    await other.close()
