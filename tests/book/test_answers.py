"""Answers, and what is recorded of them."""

from pathlib import Path

import pytest

from sourcebook import Answer, Citation, Sourcebook, SourcebookError
from sourcebook.errors import (
    NotFound,
)
from tests.book.seen import ALICE, Write


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
    from sourcebook.prompt.selecting import VERSION

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
    assert record["filter"] == {"kind": "equals", "field": "type", "value": "txt"}
    (passage,) = record["passages"]
    assert (passage["document"], passage["version"], passage["text"]) == (
        f"file://{docs}/a.txt", 1, "The lighthouse was built in 1873.",
    )  # fmt: skip
    assert any("The lighthouse was built in 1873." in one["text"] for one in record["request"]["messages"])
    assert record["citations"][0]["quote"] == answer.citations[0].quote
    unknown = await book.ask("Who discovered penicillin?")
    assert book.answer_record(unknown.id)["known"] is False
    assert book.find(answer.id, scope=ALICE) == record
    write("a.txt", "The lighthouse was built in 1874, as is known now.")
    await book.sync()
    assert book.answer_record(answer.id, scope=ALICE) == record  # a version that is superseded is why it is kept
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


async def test_half_characters_in_a_question_are_replaced(book: Sourcebook, docs: Path, write: Write) -> None:
    write("a.txt", "The lighthouse was built in 1873.")
    await book.add(docs)
    await book.sync()
    answer = await book.ask("When was the lighthouse built?\udcff")
    assert answer.text == "The lighthouse was built in 1873."
    assert book.answer_record(answer.id)["question"] == "When was the lighthouse built?\ufffd"


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
