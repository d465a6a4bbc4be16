"""For whom documents are."""

import os
from pathlib import Path

import pytest

from sourcebook import Scope, Sourcebook
from sourcebook.errors import (
    FilterError,
    NotFound,
    SourceError,
)
from sourcebook.sources import files
from sourcebook.types import And, Equals, In, Or
from tests.book.seen import ALICE, BOB, Write, counts, documents


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
