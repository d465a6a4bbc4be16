"""A model's events into an answer whose citations hold: each quote is checked before it leaves.

Models that cite themselves, and models that generate text with markers, are read in two ways; `verify` is asked for
every quote of both.

    cites itself    text is let through once a citation of it holds; what has none is left out
    generates       sentence by sentence: markers -> sentences of the passages -> verify -> supported or not
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from uuid import uuid4

from sourcebook.errors import Interrupted
from sourcebook.models.base import (
    CitedPart,
    Finish,
    ModelEvent,
    ModelRequest,
    ReasoningPart,
    Switched,
    TextPart,
    ToolCallPart,
)
from sourcebook.types import Answer, Citation, Computed, Hit, LeftOut, Unsupported

if TYPE_CHECKING:
    from sourcebook.prompt.claims import Kind
    from sourcebook.prompt.markers import Sentence, SentenceReader
    from sourcebook.prompt.support import Source, SupportJudge, Verdict
    from sourcebook.prompt.thinking import Shown

AnswerPart = str | Citation | Unsupported | ReasoningPart | ToolCallPart | Switched | Answer
"""What an answer's stream holds: text, then the citations of that text, then whether it is unsupported; Answer last.

Reasoning is never part of the text. `Switched.kept` counts characters of the text that was streamed: what came after
them is withdrawn, with its citations.
"""

Verify = Callable[[Citation], Awaitable[bool]]
"""Whether a live document that the asker may see has exactly this quote at this place."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """How the text of a model that generates is read.

    answer_tag: of the template; see `Composition`. attribute: a sentence without a marker gets the citation of a
    passage that supports it, if one does. leave_out: unsupported sentences are not let through.
    """

    judge: SupportJudge
    answer_tag: str = ""
    attribute: bool = True
    leave_out: bool = False


async def cite(
    events: AsyncIterator[ModelEvent],
    request: ModelRequest,
    *,
    model: str,
    verify: Verify,
    reading: Reading | None = None,
    evidence: Callable[[], Sequence[Hit]] | None = None,
    left_out: tuple[LeftOut, ...] = (),
) -> AsyncGenerator[AnswerPart, None]:
    """Text and citations as they become certain, then the whole answer.

    reading: for models that generate; None for those that cite themselves. evidence: the passages by number, where
    more may join while the model answers; else the request's. left_out: of the prompt, for the answer's record.
    Errors: ModelError, as the model raises it; Interrupted if its events end without a Finish.
    """
    parts = (
        _quoted(events, request, verify)
        if reading is None
        else _Generated(request, verify, reading, evidence or (lambda: request.evidence)).read(events)
    )
    name = model
    try:
        async with aclosing(parts):
            async for part in parts:
                if isinstance(part, Switched):
                    name = part.after
                yield replace(part, model=name, left_out=left_out) if isinstance(part, Answer) else part
    finally:
        if isinstance(events, AsyncGenerator):
            await events.aclose()  # whoever stops listening stops the model


# --- models that cite themselves ----------------------------------------------------------------------------


async def _quoted(
    events: AsyncIterator[ModelEvent], request: ModelRequest, verify: Verify
) -> AsyncGenerator[AnswerPart, None]:
    """Text is held back until a citation that follows it holds; a sentence whose source is gone by then is left out."""
    text: list[str] = []
    citations: list[Citation] = []
    waiting: list[str] = []
    refused = False
    async for event in events:
        match event:
            case TextPart(text=piece):
                if refused:
                    waiting, refused = [], False
                waiting.append(piece)
            case CitedPart():
                citation = _citation(event, request.evidence)
                if citation is None or not await verify(citation):
                    refused = bool(waiting)
                    continue
                for piece in waiting:
                    text.append(piece)
                    yield piece
                waiting, refused = [], False
                citations.append(citation)
                yield citation
            case ReasoningPart() | ToolCallPart():
                yield event
            case Switched():  # what was let through stays; it is true whoever found it
                waiting, refused = [], False
                yield replace(event, kept=sum(map(len, text)))
            case Finish():
                known = event.reason != "unknown" and bool(citations)
                yield Answer(
                    id=uuid4().hex,
                    question=request.question,
                    text="".join(text).strip() if known else "",
                    known=known,
                    citations=tuple(citations) if known else (),
                    hits=request.evidence,
                    usage=event.usage,
                    finish=event.reason,
                )
                return
    raise _unfinished("".join(text))


def _unfinished(text: str) -> Interrupted:
    return Interrupted("The model's reply broke off: it ended without a finish", remedy="Ask again", text=text)


def _citation(part: CitedPart, evidence: Sequence[Hit]) -> Citation | None:
    """The citation that a model means, or None if it points at nothing that it was given."""
    if not 1 <= part.number <= len(evidence):
        return None
    hit = evidence[part.number - 1]
    passage = hit.passage
    return Citation(
        document=passage.document,
        version=passage.version,
        passage=passage.id,
        start=passage.start + part.start,
        end=passage.start + part.end,
        quote=passage.text[part.start : part.end],
        page=passage.page,
        location=passage.location,
        title=passage.title,
        computed=hit.computed,
    )


# --- models that generate -----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class _Said:
    """What became of one sentence. shown: its text as streamed, "" if it was left out."""

    shown: str
    kind: Kind = "frame"
    citations: tuple[Citation, ...] = ()
    unsupported: Unsupported | None = None

    @property
    def supported(self) -> bool:
        """Whether it says something that a source says."""
        return self.kind in ("claim", "remark") and bool(self.citations) and self.unsupported is None


@dataclass(slots=True)
class _Generated:
    """One reply, read sentence by sentence."""

    request: ModelRequest
    verify: Verify
    reading: Reading
    evidence: Callable[[], Sequence[Hit]]
    said: list[_Said] = field(default_factory=list)
    written: str = ""  # all that the model wrote and that counts, reasoning between tags included

    async def read(self, events: AsyncIterator[ModelEvent]) -> AsyncGenerator[AnswerPart, None]:
        """The parts of the answer as they become certain, the answer last."""
        shown, reader = self._start()
        async for event in events:
            match event:
                case TextPart(text=piece):
                    self.written += piece
                    thought, answer = shown.feed(piece)
                    if thought:
                        yield ReasoningPart(text=thought)
                    for sentence in reader.feed(answer):
                        for part in await self._say(sentence):
                            yield part
                case CitedPart(number=number, start=start, end=end):
                    reader.cite(number, start, end)
                case ReasoningPart() | ToolCallPart():
                    yield event
                case Switched():
                    shown, reader = self._resume(event, shown, reader)
                    yield replace(event, kept=sum(len(one.shown) for one in self.said))
                case Finish():
                    for sentence in (*reader.feed(shown.close()), *reader.close()):
                        for part in await self._say(sentence):
                            yield part
                    yield self._answer(event)
                    return
        raise _unfinished(self.written)

    def _start(self) -> tuple[Shown, SentenceReader]:
        from sourcebook.language import detect
        from sourcebook.prompt.markers import SentenceReader
        from sourcebook.prompt.thinking import Shown

        names = [_name(hit) for hit in self.evidence()]

        def known() -> Sequence[str]:
            hits = self.evidence()
            names.extend(_name(hit) for hit in hits[len(names) :])
            return names

        return Shown(self.reading.answer_tag), SentenceReader(known, language=detect(self.request.question))

    def _resume(self, event: Switched, shown: Shown, reader: SentenceReader) -> tuple[Shown, SentenceReader]:
        """Another model goes on. If it keeps less than was written, what came after is withdrawn."""
        if event.kept >= len(self.written):
            return shown, reader
        self.written = self.written[: max(0, event.kept)]
        shown, reader = self._start()
        _, answer = shown.feed(self.written)
        del self.said[len(reader.feed(answer)) :]  # the same text makes the same sentences
        return shown, reader

    async def _say(self, sentence: Sentence) -> list[AnswerPart]:
        said = await self._weigh(sentence)
        self.said.append(said)
        if not said.shown:
            return []
        return [said.shown, *said.citations, *([said.unsupported] if said.unsupported else [])]

    async def _weigh(self, sentence: Sentence) -> _Said:
        """Resolve a sentence's markers, have the quotes verified, and judge whether they support it."""
        from sourcebook.prompt.claims import kind_of

        text = sentence.text.strip()
        kind = kind_of(sentence, self.request.question, self.reading.judge.words)
        claimed = kind == "claim"
        if kind == "unknown" or (not claimed and not any(mark.number for mark in sentence.marks)):
            return _Said(shown=sentence.text, kind=kind)  # of what is not known, the passages looked at are no source
        evidence = self.evidence()
        sources = self._sources(sentence, evidence)
        unmarked = not sources
        if unmarked and claimed and self.reading.attribute:
            sources = self._attributed(text, evidence)
        standing = await self._standing(sources)
        if sources and not standing and not unmarked:
            return _Said(shown="", kind=kind)  # its source is gone, and what it says goes with it
        verdict = self._judged(text, standing) if standing else None
        unsupported = None
        if claimed and (verdict is None or not verdict.supported):
            beyond = any(mark.number > len(evidence) for mark in sentence.marks)
            why = "it cites a passage that does not exist" if beyond else "it names no source"
            unsupported = Unsupported(text=text, reason=verdict.reason if verdict else why)
        citations = tuple(dict.fromkeys(citation for _, citation in standing))
        if unsupported and self.reading.leave_out:
            return _Said(shown="", kind=kind, unsupported=unsupported)
        return _Said(shown=sentence.text, kind=kind, citations=citations, unsupported=unsupported)

    async def _standing(self, sources: Sequence[tuple[Source, Citation]]) -> list[tuple[Source, Citation]]:
        """Those whose quotes are verified. A result stands with all the documents that it was computed from."""
        verified = [await self.verify(one) for _, one in sources]
        fallen = {one.computed for (_, one), holds in zip(sources, verified, strict=True) if not holds} - {None}
        return [
            (source, one)
            for (source, one), holds in zip(sources, verified, strict=True)
            if holds and one.computed not in fallen
        ]

    def _judged(self, text: str, standing: Sequence[tuple[Source, Citation]]) -> Verdict:
        """Whether a sentence is supported by the results, or by the passages, that it cites."""
        passages = [source for source, one in standing if one.computed is None]
        results = tuple(dict.fromkeys(one.computed for _, one in standing if one.computed is not None))
        if results:
            from sourcebook.prompt.computed import judge_computed

            beside = " ".join(source.passage.text[source.start : source.end] for source in passages)
            verdict = judge_computed(text, results, beside=beside, asked=self.request.question)
            if verdict.supported or not passages:
                return verdict
        return self.reading.judge.judge(text, passages)

    def _sources(self, sentence: Sentence, evidence: Sequence[Hit]) -> list[tuple[Source, Citation]]:
        """For each marker that names a passage the part of it that supports what stands before the marker best."""
        from sourcebook.prompt.support import Source

        judge, text = self.reading.judge, sentence.text
        found: list[tuple[Source, Citation]] = []
        ends = sorted({mark.at for mark in sentence.marks})
        for mark in sentence.marks:
            if not 1 <= mark.number <= len(evidence):
                continue
            passage = evidence[mark.number - 1].passage
            if (computed := evidence[mark.number - 1].computed) is not None:
                found += _of_result(computed, evidence)
                continue
            if mark.span is None:
                before = max((end for end in ends if end < mark.at), default=0)
                clause = text[before : mark.at] if before or mark.at < len(text.rstrip()) - 1 else text
                source = judge.place(clause if len(judge.words(clause)) >= _CLAUSE else text, passage)
            else:
                start, end = max(0, mark.span[0]), min(len(passage.text), mark.span[1])
                source = Source(passage=passage, start=start, end=end)
            found.append((source, _of_source(mark.number, source, evidence)))
        return found

    def _attributed(self, text: str, evidence: Sequence[Hit]) -> list[tuple[Source, Citation]]:
        """What supports a sentence without a marker, if anything: a result whose number it says, else a passage."""
        from sourcebook.prompt.computed import judge_computed, names_a_cell

        for computed in dict.fromkeys(hit.computed for hit in evidence if hit.computed is not None):
            verdict = judge_computed(text, [computed], asked=self.request.question)
            if verdict.supported and names_a_cell(text, [computed]):
                return _of_result(computed, evidence)
        judge = self.reading.judge
        best: tuple[float, int, Source] | None = None
        for number, hit in enumerate(evidence, 1):
            if hit.computed is not None:
                continue
            source = judge.place(text, hit.passage)
            verdict = judge.judge(text, [source])
            if verdict.supported and verdict.probability >= _SURE and (best is None or verdict.probability > best[0]):
                best = (verdict.probability, number, source)
        return [(best[2], _of_source(best[1], best[2], evidence))] if best else []

    def _answer(self, finish: Finish) -> Answer:
        """Known if something that it says is supported. What a model says when it does not know stays as its text."""
        known = finish.reason != "unknown" and any(one.supported for one in self.said)
        citations = dict.fromkeys(citation for one in self.said for citation in one.citations)
        return Answer(
            id=uuid4().hex,
            question=self.request.question,
            text="".join(one.shown for one in self.said).strip(),
            known=known,
            citations=tuple(citations) if known else (),
            hits=tuple(self.evidence()),
            usage=finish.usage,
            unsupported=tuple(one.unsupported for one in self.said if one.unsupported),
            finish=finish.reason,
        )


def _of_result(computed: Computed, evidence: Sequence[Hit]) -> list[tuple[Source, Citation]]:
    """A result as sources: the first line of each of its tables, which stands for the document."""
    from sourcebook.prompt.support import Source

    found: list[tuple[Source, Citation]] = []
    for number, hit in enumerate(evidence, 1):
        if hit.computed == computed:
            line = hit.passage.text.partition("\n")[0]
            source = Source(passage=hit.passage, start=0, end=len(line) or len(hit.passage.text))
            found.append((source, _of_source(number, source, evidence)))
    return found


def _of_source(number: int, source: Source, evidence: Sequence[Hit]) -> Citation:
    citation = _citation(CitedPart(number=number, start=source.start, end=source.end), evidence)
    assert citation is not None
    return citation


def _name(hit: Hit) -> str:
    """What stands for a passage in a sentence that uses its marker as a noun."""
    return hit.passage.title or hit.passage.document.rstrip("/").rpartition("/")[2] or hit.passage.document


_SURE = 0.5  # probability from which a passage is named that the model did not name
_CLAUSE = 2  # terms that a part of a sentence must have to be placed by itself
