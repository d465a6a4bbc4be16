"""What goes into a book and out of it again, and what that costs."""

import os
import shutil
from collections import Counter
from pathlib import Path

import pytest

from sourcebook import Sourcebook
from sourcebook.errors import (
    NotFound,
)
from sourcebook.sources import files
from tests.book.seen import Write, counts, documents, settled


async def test_add_sync_search_ask_remove(book: Sourcebook, docs: Path, write: Write) -> None:
    write("light.md", "# Lighthouses\n\nThe lighthouse on Gull Island was built in 1873.\n")
    write("bread.txt", "Bread needs flour, water and salt.")
    record = await book.add(docs)
    assert (record.url, record.tenant, record.access) == (f"file://{docs}", "default", frozenset())
    assert await book.search("lighthouse") == []
    report = await book.sync()
    assert counts(report) == {"added": 2}
    assert (report.passages, report.embedded) == (2, 2)
    assert report.seconds > 0
    best, *_ = await book.search("When was the lighthouse built?")
    assert best.passage.document == f"file://{docs}/light.md"
    answer = await book.ask("When was the lighthouse built?")
    assert answer.known
    assert answer.text == "The lighthouse on Gull Island was built in 1873."
    unknown = await book.ask("Who discovered penicillin?")
    assert (unknown.known, unknown.text, unknown.citations) == (False, "", ())
    assert await book.remove(str(docs)) == 2
    assert await book.search("lighthouse") == []
    assert not (await book.ask("When was the lighthouse built?")).known
    assert book.ledger() == []
    assert book.sources() == []


async def test_it_is_all_there_after_opening_it_again(tmp_path: Path, docs: Path, write: Write) -> None:
    write("a.txt", "The lighthouse was built in 1873.")
    async with await Sourcebook.open(tmp_path / "home") as book:
        await book.add(docs)
        await book.sync()
        before = list(book.export())
    async with await Sourcebook.open(tmp_path / "home", create=False) as book:
        assert list(book.export()) == before
        assert await documents(book, "lighthouse") == ["a.txt"]
        assert counts(await book.sync()) == {"unchanged": 1}


async def test_changes_are_told_apart(book: Sourcebook, docs: Path, write: Write, parsed: Counter[str]) -> None:
    for name in ("same.txt", "edit.txt", "gone.txt", "move.txt", "copy.txt"):
        write(name, f"The document called {name} as it was at first, about {name[:4]}.")
    await book.add(docs)
    assert (await book.sync()).embedded == 5
    write("edit.txt", "The document has been rewritten entirely.")
    (docs / "gone.txt").unlink()
    (docs / "sub").mkdir()
    (docs / "move.txt").rename(docs / "sub" / "moved.txt")
    shutil.copy(docs / "copy.txt", docs / "sub" / "copied.txt")
    write("new.txt", "Something new altogether.")
    parsed.clear()
    report = await book.sync()
    assert counts(report) == {"added": 3, "changed": 1, "deleted": 2, "unchanged": 2}
    assert report.embedded == 2
    assert report.passages == 6
    assert parsed == {"edit.txt": 1, "new.txt": 1}
    assert await documents(book, "document called") == [
        "copied.txt",
        "copy.txt",
        "edit.txt",
        "moved.txt",
        "new.txt",
        "same.txt",
    ]
    texts = " ".join(hit.passage.text for hit in await book.search("edit.txt document"))
    assert "about edit" not in texts
    assert "rewritten" in texts
    assert counts(await book.sync()) == {"unchanged": 6}


async def test_a_touched_file_costs_no_parsing_and_no_embedding(
    book: Sourcebook, docs: Path, write: Write, parsed: Counter[str]
) -> None:
    path = write("a.txt", "The lighthouse was built in 1873.")
    await book.add(docs)
    await book.sync()
    parsed.clear()
    version = book.ledger()[0].version
    for touch in (lambda: os.utime(path), lambda: path.write_text(path.read_text()), lambda: path.chmod(0o600)):
        touch()
        report = await book.sync()
        assert (counts(report), report.embedded) == ({"unchanged": 1}, 0)
    assert not parsed
    assert book.ledger()[0].version == version


async def test_nothing_is_read_of_what_is_unchanged(
    book: Sourcebook, docs: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("a.txt", "The lighthouse was built in 1873.")
    await settled()
    await book.add(docs)
    await book.sync()
    monkeypatch.setattr(files.Files, "_read", lambda *_: pytest.fail("it was read"))
    assert counts(await book.sync()) == {"unchanged": 1}


async def test_text_that_two_documents_share_is_embedded_once(book: Sourcebook, docs: Path, write: Write) -> None:
    for number in range(3):
        write(f"{number}.txt", "The very same text in three documents.")
    await book.add(docs)
    assert (await book.sync()).embedded == 1
    (hit,) = await book.search("same text")
    named = {hit.passage.document, *hit.duplicates}
    assert named == {f"file://{docs}/{number}.txt" for number in range(3)}


async def test_changed_settings_make_documents_anew(
    tmp_path: Path, docs: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("a.txt", " ".join(f"Sentence number {number} stands here." for number in range(40)))
    async with await Sourcebook.open(tmp_path / "home") as book:
        await book.add(docs)
        few = (await book.sync()).passages
    monkeypatch.setenv("SOURCEBOOK_CHUNK_TOKENS", "32")
    async with await Sourcebook.open(tmp_path / "home") as book:
        report = await book.sync()
        assert counts(report) == {"changed": 1}
        assert report.passages > few
        assert counts(await book.sync()) == {"unchanged": 1}


async def test_another_embedder_embeds_everything_anew_and_parses_nothing(
    tmp_path: Path, docs: Path, write: Write, monkeypatch: pytest.MonkeyPatch, parsed: Counter[str]
) -> None:
    monkeypatch.setenv("SOURCEBOOK_PARTS_INDEX", "qdrant:index")
    write("a.txt", "The lighthouse was built in 1873.")
    async with await Sourcebook.open(tmp_path / "home") as book:
        await book.add(docs)
        await book.sync()
    parsed.clear()
    monkeypatch.setenv("SOURCEBOOK_PARTS_EMBED", "hashing:64")
    async with await Sourcebook.open(tmp_path / "home") as book:
        write("b.txt", "The harbour was built in 1875.")
        report = await book.sync()
        assert (counts(report), report.embedded) == ({"added": 1, "unchanged": 1}, 2)
        assert await documents(book, "when was it built") == ["a.txt", "b.txt"]
    assert parsed == {"b.txt": 1}


async def test_removing_one_document(book: Sourcebook, docs: Path, write: Write) -> None:
    write("a.txt", "The lighthouse was built in 1873.")
    write("b.txt", "The harbour was built in 1875.")
    await book.add(docs)
    await book.sync()
    assert await book.remove(str(docs / "a.txt")) == 1
    assert await documents(book, "when was it built") == ["b.txt"]
    assert await book.remove(f"file://{docs}/b.txt") == 1
    assert await documents(book, "when was it built") == []
    with pytest.raises(NotFound, match="neither a source nor a document"):
        await book.remove(str(docs / "b.txt"))
    assert counts(await book.sync()) == {"added": 2}  # their source is still followed


async def test_the_same_file_through_two_sources_is_one_document(book: Sourcebook, docs: Path, write: Write) -> None:
    write("sub/a.txt", "The lighthouse was built in 1873.")
    write("b.txt", "The harbour was built in 1875.")
    await book.add(docs / "sub")
    await book.add(docs)
    report = await book.sync()
    assert (report.added, report.passages, report.embedded) == (2, 2, 2)
    assert len(book.ledger()) == 2
    assert await book.remove(str(docs / "sub")) == 1
    assert await documents(book, "when was it built") == ["b.txt"]
    report = await book.sync()
    assert report.added == 1
    assert await documents(book, "when was it built") == ["a.txt", "b.txt"]
    (docs / "sub" / "a.txt").unlink()
    assert (await book.sync()).deleted == 1


async def test_include_and_exclude_can_be_changed(book: Sourcebook, docs: Path, write: Write) -> None:
    for name in ("a.md", "b.txt", "drafts/c.md"):
        write(name, f"The lighthouse of {name} was built in 1873.")
    await book.add(docs, include=["*.md"], exclude=["drafts/"])
    assert counts(await book.sync()) == {"added": 1}
    await book.add(docs, include=["*.md"])
    assert counts(await book.sync()) == {"added": 1, "unchanged": 1}
    await book.add(docs, exclude=["*.md"])
    assert counts(await book.sync()) == {"added": 1, "deleted": 2}
    assert await documents(book, "lighthouse") == ["b.txt"]
