"""Opening a book."""

import os
import time
from pathlib import Path

import pytest

from sourcebook import Config, Sourcebook
from sourcebook.errors import (
    BookBusy,
    NoBook,
)
from tests.book.seen import Write, counts, documents


async def test_where_the_book_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "project" / "deep").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "project")
    with pytest.raises(NoBook, match=r"There is no book in .*project/\.sourcebook"):
        await Sourcebook.open(create=False)
    async with await Sourcebook.open() as book:
        assert book.home == tmp_path / "project" / ".sourcebook"
    monkeypatch.chdir(tmp_path / "project" / "deep")
    async with await Sourcebook.open(create=False) as book:
        assert book.home == tmp_path / "project" / ".sourcebook"
    monkeypatch.setenv("SOURCEBOOK_HOME", str(tmp_path / "named"))
    async with await Sourcebook.open() as book:
        assert book.home == tmp_path / "named"
    async with await Sourcebook.open("given") as book:
        assert book.home == tmp_path / "project" / "deep" / "given"
    (tmp_path / "file").write_text("x")
    with pytest.raises(NoBook, match=r"No book can be made in .*file"):
        await Sourcebook.open(tmp_path / "file")


async def test_given_settings_stand_for_the_file(tmp_path: Path, docs: Path, write: Write) -> None:
    from sourcebook.config import Parts, Retrieve

    write("a.txt", "The lighthouse was built in 1873.")
    settings = Config(parts=Parts(embed="hashing:64", index="flat", model="verbatim"), retrieve=Retrieve(fusion="rrf"))
    async with await Sourcebook.open(tmp_path / "home", config=settings) as book:
        await book.add(docs)
        await book.sync()
        assert book.embedder.dimension == 64
        assert await documents(book, "lighthouse") == ["a.txt"]


async def test_the_second_who_writes_is_told_who_writes(tmp_path: Path, docs: Path, write: Write) -> None:
    write("a.txt", "The lighthouse was built in 1873.")
    async with await Sourcebook.open(tmp_path / "home") as one, await Sourcebook.open(tmp_path / "home") as two:
        await one.add(docs)
        async with one.syncing.writing():
            for work in (two.sync(), two.add(docs), two.remove(str(docs))):
                with pytest.raises(BookBusy, match=f"process {os.getpid()}"):
                    await work
            began = time.monotonic()
            with pytest.raises(BookBusy):
                await two.sync(wait=0.3)
            assert time.monotonic() - began >= 0.3
        assert counts(await two.sync()) == {"added": 1}
        assert await documents(one, "lighthouse") == ["a.txt"]


async def test_progress_is_told(tmp_path: Path, docs: Path, write: Write) -> None:
    told: list[tuple[int, int]] = []
    for number in range(5):
        write(f"{number}.txt", f"Text number {number}")
    async with await Sourcebook.open(tmp_path / "home", progress=lambda *one: told.append(one)) as book:
        await book.add(docs)
        await book.sync()
        assert told[0] == (5, 0)
        assert told[-1] == (5, 5)
