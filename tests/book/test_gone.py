"""What is gone without anybody having said so: the index, or all that a place held."""

import shutil
from collections import Counter
from contextlib import aclosing
from pathlib import Path

import pytest

from sourcebook import Sourcebook
from sourcebook.errors import SourceError
from tests.book.seen import Write, counts, documents


async def test_a_lost_index_is_noticed_by_a_sync_that_finds_nothing_to_do(
    tmp_path: Path, docs: Path, write: Write, monkeypatch: pytest.MonkeyPatch, parsed: Counter[str]
) -> None:
    monkeypatch.setenv("SOURCEBOOK_PARTS_INDEX", "qdrant:index")
    write("a.txt", "The lighthouse was built in 1873.")
    async with await Sourcebook.open(tmp_path / "home") as book:
        await book.add(docs)
        await book.sync()
    shutil.rmtree(tmp_path / "home" / "index")
    parsed.clear()
    async with await Sourcebook.open(tmp_path / "home") as book:
        assert counts(await book.sync()) == {"unchanged": 1}
        index = await book.index.own()
        assert index is not None
        assert await index.count(None) == 1
        assert book.syncing.embedded == 0
        assert await documents(book, "lighthouse") == ["a.txt"]
    assert not parsed


# --- a place that is empty all at once --------------------------------------------------------------------


async def test_a_folder_that_is_empty_all_at_once_keeps_its_documents_until_it_is_said_to_be_emptied(
    book: Sourcebook, docs: Path, tmp_path: Path, write: Write
) -> None:
    write("a.txt", "The lighthouse was built in 1873.")
    other = tmp_path / "other"
    other.mkdir()
    (other / "b.txt").write_text("The harbour was built in 1875.")
    await book.add(docs)
    await book.add(other)
    await book.sync()
    (docs / "a.txt").unlink()
    (other / "c.txt").write_text("The mole was built in 1877.")
    with pytest.raises(
        SourceError, match=f"{docs.name} lists no document any more.*has 1 of it.*--allow-empty"
    ) as caught:
        await book.sync()
    assert caught.value.report is not None
    assert counts(caught.value.report) == {"added": 1, "unchanged": 1}
    assert await documents(book, "lighthouse") == ["a.txt", "b.txt", "c.txt"]
    assert counts(await book.sync(allow_empty=True)) == {"deleted": 1, "unchanged": 2}
    assert await documents(book, "lighthouse") == ["b.txt", "c.txt"]
    assert counts(await book.sync()) == {"unchanged": 2}  # it has been empty before


async def test_watching_reports_a_folder_that_is_empty_all_at_once(book: Sourcebook, docs: Path, write: Write) -> None:
    write("a.txt", "The lighthouse was built in 1873.")
    await book.add(docs)
    await book.sync()
    (docs / "a.txt").unlink()
    async with aclosing(book.watch()) as reports:
        report = await anext(reports)
    assert len(report.unreachable) == 1
    assert await documents(book, "lighthouse") == ["a.txt"]
    async with aclosing(book.watch(allow_empty=True)) as reports:
        assert (await anext(reports)).deleted == 1
