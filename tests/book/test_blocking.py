"""The same book for code that is not async."""

import asyncio
from pathlib import Path

import pytest

from sourcebook import Answer, SourcebookError, open_book
from sourcebook.errors import (
    NoBook,
)
from tests.book.seen import Write


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
