"""A whole book as a LangChain runnable: a question in, an answer with its citations out."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterable, Iterator, Mapping
from contextlib import aclosing, closing
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, message_chunk_to_message
from langchain_core.prompt_values import PromptValue
from langchain_core.runnables import Runnable, RunnableConfig

from sourcebook.errors import Interrupted, ModelError, SourcebookError
from sourcebook.interop.calling import blocking_book, followed, iterated, loop_of
from sourcebook.interop.langchain.messages import usage_metadata
from sourcebook.interop.langchain.replies import as_theirs
from sourcebook.interop.passages import async_only, source_of
from sourcebook.models.base import Switched
from sourcebook.types import Answer, Citation, Filter, Scope, Unsupported

if TYPE_CHECKING:
    from sourcebook.book import Sourcebook
    from sourcebook.book.blocking import BlockingSourcebook
    from sourcebook.prompt.cite import AnswerPart


class SourcebookAnswers(Runnable[Any, AIMessage]):
    """Asks a book: retrieval, prompt, model and checked citations, recorded as the book's own answers are.

    book: a BlockingSourcebook, for blocking and async calls; or a Sourcebook, for async calls. Parameters as of
    `Sourcebook.ask`. Input: a question as text; messages, of which the last is the question; or a mapping with
    "question" and, if it has one, "conversation".
    Output: an AIMessage of one text block, whose annotations are the citations: url (the document), title,
    cited_text (exactly the document's words), start_index and end_index of the sentence in the answer, and in extras
    where the quote stands. response_metadata: answer_id, known (False: the documents do not answer it), unsupported
    (sentences that nothing cited supports), finish_reason, model_name. Streamed, it comes in chunks that add up to it.
    """

    def __init__(
        self,
        book: Sourcebook | BlockingSourcebook,
        *,
        scope: Scope | None = None,
        where: str | Filter | None = None,
        account: str = "default",
        seconds: float | None = None,
    ) -> None:
        self._book = book
        self._scope = scope
        self._where = where
        self._account = account
        self._seconds = seconds

    def invoke(self, input: Any, config: RunnableConfig | None = None, **_: Any) -> AIMessage:
        """The whole answer. Errors: ConfigError for an async book; those of `Sourcebook.ask`."""
        return self._call_with_config(lambda asked: _whole(self._read(iter([asked]))), input, config)

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **_: Any) -> AIMessage:
        """The whole answer. Errors: those of `Sourcebook.ask`."""

        async def asking(asked: Any) -> AIMessage:
            return _whole([part async for part in self._aread(_one(asked))])

        return await self._acall_with_config(asking, input, config)

    def stream(self, input: Any, config: RunnableConfig | None = None, **_: Any) -> Iterator[AIMessage]:
        """The answer as it comes, in chunks."""
        return self.transform(iter([input]), config)

    async def astream(self, input: Any, config: RunnableConfig | None = None, **_: Any) -> AsyncIterator[AIMessage]:
        """The answer as it comes, in chunks."""
        async for chunk in self.atransform(_one(input), config):
            yield chunk

    def transform(self, input: Iterator[Any], config: RunnableConfig | None = None, **_: Any) -> Iterator[AIMessage]:
        """The same, for a question that itself comes in pieces."""
        return self._transform_stream_with_config(input, self._chunks, config)

    async def atransform(
        self, input: AsyncIterator[Any], config: RunnableConfig | None = None, **_: Any
    ) -> AsyncIterator[AIMessage]:
        """The same, for a question that itself comes in pieces."""
        async for chunk in self._atransform_stream_with_config(input, self._achunks, config):
            yield chunk

    def _chunks(self, asked: Iterator[Any]) -> Iterator[AIMessageChunk]:
        reading = _Reading()
        with closing(self._read(asked)) as parts:
            for part in parts:
                yield from reading.chunks(part)

    async def _achunks(self, asked: AsyncIterator[Any]) -> AsyncIterator[AIMessageChunk]:
        reading = _Reading()
        async with aclosing(self._aread(asked)) as parts:
            async for part in parts:
                for chunk in reading.chunks(part):
                    yield chunk

    def _read(self, asked: Iterator[Any]) -> Generator[AnswerPart, None, None]:
        book = blocking_book(self._book)
        if book is None:
            raise async_only("invoke", "ainvoke")
        with closing(iterated(self._parts(book.book, list(asked)), loop_of(book))) as parts:
            yield from parts

    async def _aread(self, asked: AsyncIterator[Any]) -> AsyncGenerator[AnswerPart, None]:
        book = blocking_book(self._book)
        parts = self._parts(self._book if book is None else book.book, [one async for one in asked])  # type: ignore[arg-type]
        async with aclosing(followed(parts, None if book is None else loop_of(book))) as followed_parts:
            async for part in followed_parts:
                yield part

    async def _parts(self, book: Sourcebook, asked: list[Any]) -> AsyncGenerator[AnswerPart, None]:
        question, conversation = _question(asked)
        stream = book.stream(
            question,
            scope=self._scope,
            where=self._where,
            conversation=conversation,
            account=self._account,
            seconds=self._seconds,
        )
        try:
            async with aclosing(stream) as parts:
                async for part in parts:
                    yield part
        except ModelError as error:
            raise as_theirs(error) from error


def _question(asked: list[Any]) -> tuple[str, str | None]:
    """The question, and the conversation that it belongs to. asked: the input, or pieces of one."""
    if asked and all(isinstance(one, str) for one in asked):
        return "".join(asked), None
    whole = reduce(add, asked) if len(asked) > 1 else (asked or [""])[0]
    if isinstance(whole, PromptValue):
        whole = whole.to_messages()
    if isinstance(whole, list) and whole:
        whole = whole[-1]
    match whole:
        case BaseMessage():
            return str(whole.text), None
        case str():
            return whole, None
        case Mapping() if "question" in whole:
            return _question([whole["question"]])[0], whole.get("conversation")
    raise SourcebookError(
        f"A {type(whole).__name__} is not a question", remedy='Give text, messages, or {"question": ...}'
    )


class _Reading:
    """An answer's parts as chunks; it keeps the place of the sentence that citations belong to."""

    def __init__(self) -> None:
        self._text = ""
        self._sentence = 0  # where it begins
        self._cited = False

    def chunks(self, part: AnswerPart) -> Iterator[AIMessageChunk]:
        """Those of a part. Errors: Interrupted where text that was sent is withdrawn."""
        match part:
            case str():
                if self._cited:
                    self._sentence, self._cited = len(self._text), False
                self._text += part
                yield _chunk(part)
            case Citation():
                self._cited = True
                yield _chunk("", annotations=[self._annotation(part)])
            case Unsupported():
                self._cited = True  # its sentence is over as well
            case Switched() if part.kept < len(self._text):
                message = f"{part.before} gave up ({part.reason}), and {part.after} begins anew"
                raise Interrupted(message, remedy="Ask again", text=self._text)
            case Answer():
                yield AIMessageChunk(
                    content=[],
                    usage_metadata=usage_metadata(part.usage),
                    response_metadata={
                        "answer_id": part.id,
                        "known": part.known,
                        "unsupported": [one.text for one in part.unsupported],
                        "finish_reason": part.finish,
                        "model_name": part.model or "sourcebook",
                        "model_provider": "sourcebook",
                        "cost_micro_usd": part.usage.cost,
                    },
                    chunk_position="last",
                )

    def _annotation(self, citation: Citation) -> dict[str, Any]:
        sentence = self._text[self._sentence :]
        named = {} if citation.title is None else {"title": citation.title}
        return {
            "type": "citation",
            "url": citation.document,
            **named,
            "cited_text": citation.quote,
            "start_index": self._sentence + len(sentence) - len(sentence.lstrip()),
            "end_index": self._sentence + len(sentence.rstrip()),
            "extras": source_of(citation),
        }


def _chunk(text: str, **block: Any) -> AIMessageChunk:
    return AIMessageChunk(content=[{"type": "text", "text": text, "index": 0, **block}])


def _whole(parts: Iterable[AnswerPart]) -> AIMessage:
    """The answer of all parts, without those that were withdrawn."""
    reading = _Reading()
    chunks = [chunk for part in _standing(parts) for chunk in reading.chunks(part)]
    whole = message_chunk_to_message(reduce(add, chunks))
    assert isinstance(whole, AIMessage)
    return whole


def _standing(parts: Iterable[AnswerPart]) -> list[AnswerPart]:
    """The parts that hold in the end: where another model begins anew, what it does not keep is dropped."""
    standing: list[tuple[int, AnswerPart]] = []  # with the characters of text before each
    length = 0
    for part in parts:
        if isinstance(part, Switched):
            kept, length = min(part.kept, length), min(part.kept, length)
            standing = [
                (at, one[: kept - at] if isinstance(one, str) else one)
                for at, one in standing
                if (at < kept if isinstance(one, str) else at <= kept)
            ]
            continue
        standing.append((length, part))
        length += len(part) if isinstance(part, str) else 0
    return [one for _, one in standing]


async def _one(asked: Any) -> AsyncIterator[Any]:
    yield asked
