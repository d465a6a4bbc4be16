"""What goes wrong while a book is synced: nothing is lost by it."""

import os
import shutil
from collections import Counter
from pathlib import Path

import pytest

from sourcebook import Sourcebook
from sourcebook.errors import (
    ConfigError,
    EmbedError,
    ParseError,
    SourceError,
)
from sourcebook.parse.parsing import Parsers
from sourcebook.sources import files
from sourcebook.types import ParsedDocument
from tests.book.seen import Write, counts, documents, settled


async def test_a_source_that_is_missing_deletes_nothing(book: Sourcebook, docs: Path, write: Write) -> None:
    write("a.txt", "The lighthouse was built in 1873.")
    await book.add(docs)
    await book.sync()
    docs.rename(docs.with_name("elsewhere"))
    with pytest.raises(SourceError, match="cannot be read"):
        await book.sync()
    assert await documents(book, "lighthouse") == ["a.txt"]
    assert book.ledger()[0].state == "live"
    docs.with_name("elsewhere").rename(docs)
    assert counts(await book.sync()) == {"unchanged": 1}
    with pytest.raises(SourceError):
        await book.add(docs / "nowhere")
    with pytest.raises(ConfigError, match="Nothing is registered for source = 'gopher://host/'"):
        await book.add("gopher://host/")
    assert len(book.sources()) == 1


async def test_a_folder_that_cannot_be_listed_keeps_what_is_below(
    book: Sourcebook, docs: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("open/a.txt", "The lighthouse was built in 1873.")
    write("closed/b.txt", "The harbour was built in 1875.")
    write("closed-too/c.txt", "The church was built in 1900.")
    await book.add(docs)
    await book.sync()
    (docs / "open" / "a.txt").unlink()
    (docs / "closed-too" / "c.txt").unlink()
    scandir = os.scandir

    def refusing(path: str) -> object:
        if Path(path) == docs / "closed":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    with monkeypatch.context() as patched:
        patched.setattr(os, "scandir", refusing)
        report = await book.sync()
    assert (report.deleted, report.failed) == (2, 1)
    assert await documents(book, "when was it built") == ["b.txt"]
    states = {entry.uri: (entry.state, entry.error) for entry in book.ledger()}
    assert states[f"file://{docs}/closed"] == ("failed", "The folder cannot be listed: Permission denied")
    assert states[f"file://{docs}/closed/b.txt"] == ("live", None)
    assert (await book.sync()).unchanged == 1
    assert [entry.uri for entry in book.ledger()] == [f"file://{docs}/closed/b.txt"]


async def test_one_bad_file_stops_no_other_and_its_old_version_answers(
    book: Sourcebook, docs: Path, write: Write
) -> None:
    write("a.json", '{"lighthouse": "built in 1873"}')
    write("b.txt", "The harbour was built in 1875.")
    await book.add(docs)
    await book.sync()
    (docs / "a.json").write_bytes(b"\x00\x01\x02\x03" * 50)
    write("b.txt", "The harbour was built in 1999.")
    report = await book.sync()
    assert counts(report) == {"changed": 1, "failed": 1}
    a, b = book.ledger()
    assert (a.state, a.answering, a.passages, a.version, b.state) == ("failed", True, 1, 1, "live")
    assert a.error
    assert a.attempts == 2
    found = " ".join(hit.passage.text for hit in await book.search("when was it built"))
    assert "1873" in found
    assert "1999" in found
    assert "1875" not in found
    (docs / "a.json").unlink()
    await book.sync()
    assert await documents(book, "lighthouse built") == ["b.txt"]


async def test_final_failures_are_tried_again_only_when_asked_or_changed(
    book: Sourcebook, docs: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts: list[str] = []

    async def failing(self: Parsers, data: bytes, name: str) -> ParsedDocument:
        attempts.append(name)
        raise ParseError("It is beyond reading")

    write("a.txt", "The lighthouse was built in 1873.")
    await settled()
    await book.add(docs)
    with monkeypatch.context() as patched:
        patched.setattr(Parsers, "parse", failing)
        for _ in range(3):
            assert counts(await book.sync()) == {"failed": 1}
        assert attempts == ["a.txt"]
        assert counts(await book.sync(retry=True)) == {"failed": 1}
        assert len(attempts) == 2
        write("a.txt", "The lighthouse was built in 1874.")
        await settled()
        assert counts(await book.sync()) == {"failed": 1}
        assert len(attempts) == 3
        assert book.ledger()[0].attempts == 3
    assert counts(await book.sync()) == {"failed": 1}
    assert counts(await book.sync(retry=True)) == {"added": 1}
    assert book.ledger()[0].error is None


async def test_transient_failures_are_tried_again(
    book: Sourcebook, docs: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted(ParseError):
        transient = True

    async def failing(self: Parsers, data: bytes, name: str) -> ParsedDocument:
        raise Interrupted("Not now")

    write("a.txt", "The lighthouse was built in 1873.")
    await settled()
    await book.add(docs)
    with monkeypatch.context() as patched:
        patched.setattr(Parsers, "parse", failing)
        assert counts(await book.sync()) == {"failed": 1}
    assert counts(await book.sync()) == {"added": 1}


async def test_a_file_that_could_not_be_read_is_tried_again(
    book: Sourcebook, docs: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unreadable(self: files.Files, item: object) -> tuple[bytes, str]:
        raise SourceError("The file cannot be read: Too many open files")

    write("a.txt", "The lighthouse was built in 1873.")
    await settled()
    await book.add(docs)
    with monkeypatch.context() as patched:
        patched.setattr(files.Files, "read", unreadable)
        assert counts(await book.sync()) == {"failed": 1}
    assert counts(await book.sync()) == {"added": 1}


async def test_raised_limits_try_failed_documents_again(
    tmp_path: Path, docs: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("a.txt", "The lighthouse was built in 1873. " * 100)
    await settled()
    monkeypatch.setenv("SOURCEBOOK_PARSE_MAX_BYTES", "1000")
    async with await Sourcebook.open(tmp_path / "home") as book:
        await book.add(docs)
        assert counts(await book.sync()) == {"failed": 1}
        assert "parse.max_bytes" in (book.ledger()[0].error or "")
    monkeypatch.setenv("SOURCEBOOK_PARSE_MAX_BYTES", "10000")
    async with await Sourcebook.open(tmp_path / "home") as book:
        assert counts(await book.sync()) == {"added": 1}


async def test_a_failing_embedder_leaves_the_old_state(
    book: Sourcebook, docs: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("a.txt", "The lighthouse was built in 1873.")
    await book.add(docs)
    await book.sync()
    before = list(book.export())
    write("a.txt", "The lighthouse was torn down.")
    write("b.txt", "The harbour was built in 1875.")

    async def failing(*_: object, **__: object) -> None:
        raise EmbedError("Out of memory")

    with monkeypatch.context() as patched:
        patched.setattr(type(book.embedder), "embed", failing)
        with pytest.raises(EmbedError):
            await book.sync()
    assert list(book.export()) == before
    assert await documents(book, "lighthouse built") == ["a.txt"]
    assert counts(await book.sync()) == {"added": 1, "changed": 1}


@pytest.mark.usefixtures("each_index")
async def test_a_lost_index_is_noticed_by_a_sync_that_only_deletes(tmp_path: Path, docs: Path, write: Write) -> None:
    write("a.txt", "The lighthouse was built in 1873.")
    write("b.txt", "The harbour was built in 1875.")
    async with await Sourcebook.open(tmp_path / "home") as book:
        await book.add(docs)
        await book.sync()
    shutil.rmtree(tmp_path / "home" / "index", ignore_errors=True)
    (docs / "b.txt").unlink()
    async with await Sourcebook.open(tmp_path / "home") as book:
        await book.sync()
        assert await documents(book, "lighthouse") == ["a.txt"]


async def test_a_lost_index_is_made_anew_without_parsing_or_embedding(
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
        assert await documents(book, "lighthouse") == ["a.txt"]
        await book.rebuild_index()
        assert await (await book.index.searchable()).count(None) == 1
        assert await documents(book, "lighthouse") == ["a.txt"]
        assert book.syncing.embedded == 0
    assert not parsed
