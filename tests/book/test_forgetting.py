"""What records of answers forget, and who may see them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sourcebook import Scope, Sourcebook
from sourcebook.catalog.answers import (
    count_answers,
    delete_answers,
    delete_answers_before,
    delete_answers_older_than,
    list_answers,
)
from sourcebook.catalog.conversations import delete_conversation
from sourcebook.config import Answer as AnswerSettings
from sourcebook.config import Config, Parts
from sourcebook.errors import NotFound
from sourcebook.replay import replay
from tests.book.seen import ALICE, BOB, Write

SECRET = "The lighthouse was built in 1873."


@pytest.fixture
async def asked(book: Sourcebook, docs: Path, write: Write) -> str:
    """The id of Alice's answer, made from a document."""
    write("a.txt", SECRET)
    await book.add(docs)
    await book.sync()
    return (await book.ask("When was the lighthouse built?", scope=ALICE)).id


def kept_of(book: Sourcebook) -> str:
    """All that the table of answers holds."""
    return " ".join(row.record for row in book.catalog.rows("SELECT record FROM answer ORDER BY id"))


async def test_a_deleted_document_takes_the_words_of_the_record(book: Sourcebook, docs: Path, asked: str) -> None:
    before = book.answer_record(asked, scope=ALICE)
    await book.remove(str(docs))
    record = book.answer_record(asked, scope=ALICE)
    assert record["removed"] == [f"file://{docs}/a.txt"]
    assert "1873" not in kept_of(book)
    assert (record["answer"], record["request"]["messages"]) == ("", [])
    for name in ("sent", "model", "usage", "known", "asked", "question"):
        assert record[name] == before[name]
    (passage,) = record["passages"]
    assert (passage["document"], passage["version"], passage["start"]) == (f"file://{docs}/a.txt", 1, 0)
    with pytest.raises(NotFound, match="was made from what has been deleted: file://"):
        await replay(book, asked, scope=ALICE)


async def test_a_document_that_its_source_lost_counts_as_deleted(
    book: Sourcebook, docs: Path, write: Write, asked: str
) -> None:
    write("b.txt", "Bread needs flour.")
    (docs / "a.txt").unlink()
    await book.sync()
    assert book.answer_record(asked, scope=ALICE)["removed"]
    assert "1873" not in kept_of(book)


async def test_a_changed_document_leaves_the_record_as_it_was(book: Sourcebook, write: Write, asked: str) -> None:
    before = book.answer_record(asked, scope=ALICE)
    write("a.txt", "It was built in 1999.")
    await book.sync()
    assert book.answer_record(asked, scope=ALICE) == before
    assert (await replay(book, asked, scope=ALICE, run=False)).same_bytes is True


async def test_narrowed_access_closes_the_record(book: Sourcebook, docs: Path, asked: str) -> None:
    assert [one.id for one in list_answers(book.catalog, ALICE)] == [asked]
    await book.add(docs, access=["management"])
    await book.sync()
    with pytest.raises(NotFound):
        book.answer_record(asked, scope=ALICE)
    with pytest.raises(NotFound):
        await replay(book, asked, scope=ALICE)
    with pytest.raises(NotFound):
        delete_answers(book.catalog, [asked], ALICE)
    assert list_answers(book.catalog, ALICE) == []
    both = Scope(principals=frozenset({"alice", "management"}))
    assert book.answer_record(asked, scope=both)["answer"] == SECRET


async def test_a_deleted_conversation_takes_its_records(book: Sourcebook, docs: Path, asked: str) -> None:
    conversation = book.converse(scope=ALICE)
    answer = await book.ask("My diagnosis is leukaemia. When was the lighthouse built?", scope=ALICE,
                            conversation=conversation)  # fmt: skip
    assert "leukaemia" in kept_of(book)
    delete_conversation(book.catalog, conversation, ALICE)
    assert "leukaemia" not in kept_of(book)
    with pytest.raises(NotFound):
        book.answer_record(answer.id, scope=ALICE)
    assert book.answer_record(asked, scope=ALICE)["answer"] == SECRET


async def test_answers_are_listed_named_and_deleted(book: Sourcebook, asked: str) -> None:
    later = await book.ask("Where is the lighthouse?", scope=ALICE)
    await book.ask("Where is the lighthouse?", scope=BOB)
    assert [one.id for one in list_answers(book.catalog, ALICE)] == [later.id, asked]
    assert [one.id for one in list_answers(book.catalog, ALICE, most=1)] == [later.id]
    assert book.answer_record("last", scope=ALICE)["id"] == later.id
    assert book.answer_record(asked[:8], scope=ALICE)["id"] == asked
    for name in ("", asked[:3], "nothing", "%"):
        with pytest.raises(NotFound):
            book.answer_record(name, scope=ALICE)
    with pytest.raises(NotFound):
        delete_answers(book.catalog, [asked], BOB)
    assert delete_answers(book.catalog, [asked], ALICE) == 1
    assert [one.id for one in list_answers(book.catalog, ALICE)] == [later.id]
    assert count_answers(book.catalog)[0] == 2
    assert delete_answers_before(book.catalog, datetime.now(UTC) + timedelta(seconds=1), tenant="other") == 0
    assert delete_answers_before(book.catalog, datetime.now(UTC) + timedelta(seconds=1), tenant="default") == 2
    assert count_answers(book.catalog) == (0, "", 0)
    assert not book.catalog.rows("SELECT * FROM answer_document")


async def test_records_are_kept_for_as_long_as_the_settings_say(tmp_path: Path, docs: Path, write: Write) -> None:
    write("a.txt", SECRET)
    config = Config(parts=Parts(embed="hashing", index="flat", model="verbatim"), answer=AnswerSettings(keep_days=30))
    async with await Sourcebook.open(tmp_path / "home", config=config) as book:
        await book.add(docs)
        await book.sync()
        answer = await book.ask("When was the lighthouse built?")
        in_time = datetime.now(UTC) + timedelta(days=29)
        assert delete_answers_older_than(book.catalog, 0, now=in_time + timedelta(days=9999)) == 0
        assert delete_answers_older_than(book.catalog, 30, now=in_time) == 0
        with book.catalog.writing() as connection:
            connection.exec_driver_sql("UPDATE answer SET asked = '2020-01-01T00:00:00.000+00:00'")
        await book.sync()
        with pytest.raises(NotFound):
            book.answer_record(answer.id)


async def test_a_document_deleted_while_the_model_writes_leaves_no_words(
    book: Sourcebook, docs: Path, write: Write
) -> None:
    write("a.txt", SECRET)
    await book.add(docs)
    await book.sync()
    parts = book.stream("When was the lighthouse built?")
    await anext(parts)
    await book.remove(str(docs))
    async for _ in parts:
        pass
    assert "1873" not in kept_of(book)
    (one,) = list_answers(book.catalog, Scope())
    assert one.removed
