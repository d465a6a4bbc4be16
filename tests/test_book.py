"""The book over a small folder: what goes in, what comes out, for whom, and what it costs."""

import asyncio
import os
import shutil
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from sourcebook import Answer, Citation, Config, Scope, Sourcebook, SourcebookError, SyncReport, open_book
from sourcebook.errors import (
    BookBusy,
    ConfigError,
    EmbedError,
    FilterError,
    NoBook,
    NotFound,
    ParseError,
    SourceError,
)
from sourcebook.parse.parsing import Parsers
from sourcebook.registry import BUILT_IN, Entry
from sourcebook.sources import files
from sourcebook.types import And, Equals, Filter, In, Or, ParsedDocument

Write = Callable[[str, str], Path]

ALICE = Scope(principals=frozenset({"alice"}))
BOB = Scope(principals=frozenset({"bob"}))


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


def counts(report: SyncReport) -> dict[str, int]:
    """What is not nothing of added, changed, deleted, unchanged and failed."""
    names = ("added", "changed", "deleted", "unchanged", "failed")
    return {name: getattr(report, name) for name in names if getattr(report, name)}


async def settled() -> None:
    """Until what has been written so far is old enough for the file system's clock to tell it from later writes."""
    await asyncio.sleep(2 * files._CLOCK_STEP)


async def documents(
    book: Sourcebook, question: str, scope: Scope | None = None, where: str | Filter | None = None
) -> list[str]:
    """The names of the documents that a search finds, or names as saying the same."""
    hits = await book.search(question, scope=scope, where=where)
    found = {uri for hit in hits for uri in (hit.passage.document, *hit.duplicates)}
    return sorted(uri.rpartition("/")[2] for uri in found)


# --- in, and out again ------------------------------------------------------------------------------------


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


# --- what goes wrong --------------------------------------------------------------------------------------


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
        assert book.embedded == 0
    assert not parsed


# --- for whom ---------------------------------------------------------------------------------------------


@pytest.fixture(params=["flat", "qdrant:index"])
def each_index(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCEBOOK_PARTS_INDEX", request.param)


@pytest.mark.usefixtures("each_index")
async def test_access_lists_hide_documents_from_everybody_else(tmp_path: Path, write: Write) -> None:
    async with await Sourcebook.open(tmp_path / "home") as book:
        await book.add(write("open/a.txt", "The lighthouse keeper earns 800 crowns.").parent)
        await book.add(write("closed/b.txt", "The lighthouse keeper earns 900 crowns.").parent, access=["alice", "hr"])
        await book.sync()
        question = "What does the lighthouse keeper earn?"
        for scope, names in ((None, ["a.txt"]), (BOB, ["a.txt"]), (ALICE, ["a.txt", "b.txt"])):
            assert await documents(book, question, scope) == names
            answer = await book.ask(question, scope=scope)
            seen = [*(one.document for one in answer.citations), *(hit.passage.document for hit in answer.hits)]
            assert sorted({uri.rpartition("/")[2] for uri in seen}) == names
            assert ("900" in answer.text) is (scope is ALICE)
        closed = f"file://{tmp_path}/docs/closed/b.txt"
        assert book.show(closed, scope=ALICE)[0]
        passage = book.show(closed, scope=ALICE)[1][0].id
        for name in (closed, passage):
            book.find(name, scope=ALICE)
            with pytest.raises(NotFound):
                book.find(name, scope=BOB)


@pytest.mark.usefixtures("each_index")
async def test_narrowing_and_widening_access(tmp_path: Path, docs: Path, write: Write) -> None:
    write("a.txt", "The lighthouse was built in 1873.")
    async with await Sourcebook.open(tmp_path / "home") as book:
        await book.add(docs)
        await book.sync()
        assert await documents(book, "lighthouse", BOB) == ["a.txt"]
        for access, allowed in (
            (["alice"], [ALICE]),
            (["bob"], [BOB]),
            (["alice", "bob"], [ALICE, BOB]),
            ([], [ALICE, BOB]),
        ):
            await book.add(docs, access=access)
            report = await book.sync()
            assert report.embedded == 0
            for scope in (ALICE, BOB):
                assert await documents(book, "lighthouse", scope) == (["a.txt"] if scope in allowed else [])


async def test_narrowed_access_holds_although_the_file_cannot_be_read_any_more(
    book: Sourcebook, docs: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("a.txt", "The lighthouse was built in 1873.")
    await book.add(docs)
    await book.sync()
    await book.add(docs, access=["alice"])
    monkeypatch.setattr(files.Files, "_read", lambda *_: (_ for _ in ()).throw(SourceError("gone")))
    assert counts(await book.sync()) == {"failed": 1}
    assert await documents(book, "lighthouse", BOB) == []
    assert await documents(book, "lighthouse", ALICE) == ["a.txt"]


async def test_narrowed_access_holds_below_a_folder_that_cannot_be_listed(
    book: Sourcebook, docs: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("closed/a.txt", "The lighthouse was built in 1873.")
    await book.add(docs)
    await book.sync()
    await book.add(docs, access=["alice"])
    scandir = os.scandir

    def refusing(path: str) -> object:
        if Path(path) == docs / "closed":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    with monkeypatch.context() as patched:
        patched.setattr(os, "scandir", refusing)
        await book.sync()
    assert await documents(book, "lighthouse", BOB) == []


@pytest.mark.usefixtures("each_index")
async def test_tenants_do_not_see_each_other(tmp_path: Path, docs: Path, write: Write) -> None:
    write("a.txt", "The lighthouse was built in 1873.")
    other = Scope(tenant="other")
    async with await Sourcebook.open(tmp_path / "home") as book:
        await book.add(docs)
        await book.add(write("extra/b.txt", "The lighthouse keeper is called Anna.").parent, tenant="other")
        await book.sync()
        assert await documents(book, "lighthouse") == ["a.txt", "b.txt"]  # it lies below docs
        assert await documents(book, "lighthouse", other) == ["b.txt"]
        assert await documents(book, "lighthouse", Scope(tenant="nobody")) == []
        assert await book.remove(str(docs)) == 2
        assert await documents(book, "lighthouse", other) == ["b.txt"]
        with pytest.raises(NotFound):
            await book.remove(str(docs / "extra"))
        assert await book.remove(str(docs / "extra"), tenant="other") == 1


async def test_the_record_of_an_answer_is_not_for_others(book: Sourcebook, docs: Path, write: Write) -> None:
    write("a.txt", "The lighthouse keeper earns 900 crowns.")
    await book.add(docs, access=["alice"])
    await book.sync()
    answer = await book.ask("What does the lighthouse keeper earn?", scope=ALICE)
    assert answer.known
    for scope in (BOB, None, Scope(tenant="other", principals=frozenset({"alice"}))):
        for look in (book.find, book.answer_record):
            with pytest.raises(NotFound):
                look(answer.id, scope=scope)
    assert "900" in str(book.find(answer.id, scope=ALICE))


@pytest.mark.usefixtures("each_index")
async def test_filters_over_metadata(tmp_path: Path, docs: Path, write: Write) -> None:
    write("a.txt", "The lighthouse was built in 1873.")
    write("b.md", "The lighthouse was built in 1874.")
    write("c d.md", "The lighthouse was built in 1875.")
    async with await Sourcebook.open(tmp_path / "home") as book:
        await book.add(docs)
        await book.sync()
        for where, names in (
            ("type = 'md'", ["b.md", "c%20d.md"]),
            ("type != 'md'", ["a.txt"]),
            ("type in ('txt', 'pdf') or name = 'c d.md'", ["a.txt", "c%20d.md"]),
            ("exists(nothing)", []),
            ("not exists(nothing) and not type = 'txt'", ["b.md", "c%20d.md"]),
        ):
            assert await documents(book, "lighthouse", where=where) == names, where
        for nothing in (In("type", ()), Or(())):
            assert await documents(book, "lighthouse", where=nothing) == []
        assert len(await documents(book, "lighthouse", where=And(()))) == 3
        assert await documents(book, "lighthouse", where="type > '2024-05-31' or name < 5") == []
        (hit,) = await book.search("lighthouse", where=Equals("name", "a.txt"))
        assert hit.passage.metadata["type"] == "txt"
        answer = await book.ask("When was the lighthouse built?", where="name = 'b.md'")
        assert answer.text == "The lighthouse was built in 1874."
        with pytest.raises(FilterError, match="at character 7"):
            await book.search("lighthouse", where="type == 1")


# --- answers ----------------------------------------------------------------------------------------------


async def test_citations_are_the_parsed_text_at_their_offsets(book: Sourcebook, docs: Path, write: Write) -> None:
    paragraphs = [
        f"Paragraph {number} tells of \u00e9lan\U0001f603. The lighthouse number {number} was built in {1800 + number}."
        for number in range(60)
    ]
    write("a.md", "# Title\r\n\r\n" + "\n\n".join(paragraphs))
    write("b.txt", "灯台は1873年に建てられた。 The lighthouse stands still.")
    await book.add(docs)
    await book.sync()
    answer = await book.ask("When was lighthouse number 42 built?")
    assert len(answer.citations) == 2
    for citation in answer.citations:
        text, passages = book.show(citation.document)
        assert text[citation.start : citation.end] == citation.quote
        assert citation.quote in answer.text
        (passage,) = (one for one in passages if one.id == citation.passage)
        assert citation.version == passage.version
    for hit in answer.hits:
        text, _ = book.show(hit.passage.document)
        assert text[hit.passage.start : hit.passage.end] == hit.passage.text


async def test_an_answer_comes_in_pieces_and_whole_at_the_end(book: Sourcebook, docs: Path, write: Write) -> None:
    write("a.txt", "The lighthouse was built in 1873.")
    write("b.txt", "The lighthouse stands on Gull Island.")
    await book.add(docs)
    await book.sync()
    parts = [part async for part in book.stream("Where is the lighthouse?")]
    assert [type(part) for part in parts] == [str, Citation, str, Citation, Answer]
    answer = parts[-1]
    assert isinstance(answer, Answer)
    assert "".join(part for part in parts if isinstance(part, str)).strip() == answer.text
    assert tuple(part for part in parts if isinstance(part, Citation)) == answer.citations


async def test_an_answer_is_recorded_with_what_made_it(book: Sourcebook, docs: Path, write: Write) -> None:
    from sourcebook.prompt.compose import VERSION

    write("a.txt", "The lighthouse was built in 1873.")
    await book.add(docs)
    await book.sync()
    answer = await book.ask("When was the lighthouse built?", scope=ALICE, where="type = 'txt'")
    record = book.answer_record(answer.id, scope=ALICE)
    assert record["question"] == "When was the lighthouse built?"
    assert record["answer"] == answer.text
    assert record["prompt"] == VERSION
    assert record["model"] == "verbatim-1"
    assert record["embedding"] == book.embedding_fingerprint
    assert record["top"] == book.config.answer.passages
    assert len(record["sent"]) == 64
    assert record["asked_by"] == {"tenant": "default", "principals": ["alice"]}
    assert "txt" in record["filter"]
    (passage,) = record["passages"]
    assert (passage["document"], passage["version"], passage["text"]) == (
        f"file://{docs}/a.txt", 1, "The lighthouse was built in 1873.",
    )  # fmt: skip
    assert any("The lighthouse was built in 1873." in one["text"] for one in record["request"]["messages"])
    assert record["citations"][0]["quote"] == answer.citations[0].quote
    unknown = await book.ask("Who discovered penicillin?")
    assert book.answer_record(unknown.id)["known"] is False
    await book.remove(str(docs))
    assert book.answer_record(answer.id, scope=ALICE) == record
    assert book.find(answer.id, scope=ALICE) == record
    with pytest.raises(NotFound):
        book.answer_record("nothing")


async def test_the_extractive_model_answers_in_the_book(
    tmp_path: Path, docs: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCEBOOK_PARTS_MODEL", "extractive")
    write("a.txt", "The lighthouse on Gull Island was built in 1873. It is 41 metres tall.")
    async with await Sourcebook.open(tmp_path / "home") as book:
        await book.add(docs)
        await book.sync()
        answer = await book.ask("When was the lighthouse on Gull Island built?")
        assert answer.known
        assert "1873" in answer.citations[0].quote


@pytest.mark.parametrize("question", ["", "  \n"])
async def test_an_empty_question_is_an_error(book: Sourcebook, question: str) -> None:
    with pytest.raises(SourcebookError, match="question is empty"):
        await book.ask(question)
    with pytest.raises(SourcebookError, match="question is empty"):
        await book.search(question)


@pytest.mark.parametrize("question", ["?!", "\N{SMILING FACE WITH OPEN MOUTH}", "x" * 100_000, "null\0byte", "灯台"])
async def test_odd_questions_are_answered(book: Sourcebook, docs: Path, write: Write, question: str) -> None:
    write("a.txt", "The lighthouse was built in 1873.")
    await book.add(docs)
    await book.sync()
    answer = await book.ask(question)
    assert book.answer_record(answer.id)["question"] == question.replace("\0", "\ufffd")


async def test_a_question_with_half_characters_is_an_error_or_answered(
    book: Sourcebook, docs: Path, write: Write
) -> None:
    write("a.txt", "The lighthouse was built in 1873.")
    await book.add(docs)
    await book.sync()
    try:
        await book.ask("When was the lighthouse built?\udcff")
    except SourcebookError as error:
        assert error.remedy  # noqa: PT017


async def test_top_bounds_the_hits(book: Sourcebook, docs: Path, write: Write) -> None:
    for number in range(30):
        write(f"{number}.txt", f"The lighthouse number {number} was built in {1800 + number} by master {number * 7}.")
    await book.add(docs)
    await book.sync()
    for top in (1, 5, 30, 100):
        hits = await book.search("lighthouse built", top=top)
        assert len(hits) == min(top, 30)
        assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
        assert len({hit.passage.id for hit in hits}) == len(hits)


# --- opening ----------------------------------------------------------------------------------------------


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
        with one._writing():
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


# --- the blocking facade ----------------------------------------------------------------------------------


def test_the_same_without_async(tmp_path: Path, docs: Path, write: Write) -> None:
    write("a.txt", "The lighthouse was built in 1873.")
    with open_book(tmp_path / "home") as book:
        assert book.add(docs).url == f"file://{docs}"
        assert book.sync().added == 1
        assert [hit.passage.document for hit in book.search("lighthouse")] == [f"file://{docs}/a.txt"]
        answer = book.ask("When was the lighthouse built?")
        assert "1873" in answer.text
        assert isinstance(list(book.stream("When was the lighthouse built?"))[-1], Answer)
        assert next(book.stream("When was the lighthouse built?")) == "The lighthouse was built in 1873."
        assert book.show(str(docs / "a.txt"))[0] == "The lighthouse was built in 1873."
        assert [row["kind"] for row in book.export()] == ["document", "passage"]
        assert book.answer_record(answer.id)["answer"] == answer.text
        assert [entry.state for entry in book.ledger()] == ["live"]
        assert len(book.sources()) == 1
        assert book.remove(str(docs)) == 1
        with pytest.raises(SourcebookError):
            book.ask("")
    book.close()
    with pytest.raises(NoBook):
        open_book(tmp_path / "nowhere", create=False)


async def test_the_blocking_facade_works_inside_a_running_loop_and_from_threads(
    tmp_path: Path, docs: Path, write: Write
) -> None:
    write("a.txt", "The lighthouse was built in 1873.")
    with open_book(tmp_path / "home") as book:
        book.add(docs)
        book.sync()
        answers = await asyncio.gather(
            *(asyncio.to_thread(book.ask, "When was the lighthouse built?") for _ in range(5))
        )
        assert len({answer.id for answer in answers}) == 5
        assert {answer.text for answer in answers} == {"The lighthouse was built in 1873."}


def test_a_closed_book_says_so(tmp_path: Path) -> None:
    book = open_book(tmp_path / "home")
    book.close()
    with pytest.raises(SourcebookError, match="closed"):
        book.ask("Is anybody there?")
