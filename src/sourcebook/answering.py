"""The boxes of an answer after its passages are found: what is remembered, composed, run, cited and recorded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from uuid import uuid4
from typing import TYPE_CHECKING, Any

from sourcebook.catalog import answers
from sourcebook.models.base import Finish, Model, ModelEvent, Switched
from sourcebook.models.record import hit_record, request_record
from sourcebook.models.wire import to_json
from sourcebook.prompt.base import Background, Composition
from sourcebook.prompt.cite import AnswerPart, Reading, cite
from sourcebook.prompt.compose import compose_prompt
from sourcebook.types import Answer, Hit, Question

if TYPE_CHECKING:
    from sourcebook.book import Sourcebook as Book
    from sourcebook.prompt.memory import Recollection
    from sourcebook.prompt.templates import Template


@dataclass(frozen=True, kw_only=True, slots=True)
class Recalled:
    """What a conversation brings to a question. notes: what went wrong on the way, for the record."""

    recollection: Recollection | None = None
    question: str = ""
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class Run:
    """What is known of a model's run, once it is over."""

    finish: Finish | None = None
    switched: list[Switched] = field(default_factory=list)

    async def watch(self, events: AsyncGenerator[ModelEvent, None]) -> AsyncGenerator[ModelEvent, None]:
        """The events as they are."""
        async with aclosing(events):
            async for event in events:
                if isinstance(event, Finish):
                    self.finish = event
                elif isinstance(event, Switched):
                    self.switched.append(event)
                yield event


async def recall(book: Book, question: Question) -> Recalled:
    """remember, first half: what the conversation brings, and the question as one that stands alone."""
    if question.conversation is None:
        return Recalled(question=question.text)
    from sourcebook.prompt.memory import recall as remembered
    from sourcebook.prompt.rewrite import Bounds, stand_alone

    found = await remembered(
        book.catalog,
        question.conversation,
        question.text,
        question.scope,
        embedder=book.embedder,
        words=book.analyzer.words,
        count=book.model.count_tokens,
        settings=book.config.memory,
    )
    if not book.config.memory.rewrite:
        return Recalled(recollection=found, question=question.text)
    rewritten = await stand_alone(
        question.text,
        found.turns,
        model=book.model,
        words=book.analyzer.words,
        summary=found.summary,
        bounds=Bounds(
            seconds=book.config.memory.seconds,
            deadline=question.deadline,
            tenant=question.scope.tenant,
            account=question.account,
        ),
        home=book.home,
    )
    notes = (rewritten.note,) if rewritten.note else ()
    return Recalled(recollection=found, question=rewritten.text, notes=notes)


async def composed(
    book: Book, model: Model, question: Question, hits: Sequence[Hit], recalled: Recalled | None = None
) -> Composition:
    """compose: the request, for whichever model."""
    settings = book.config.prompt
    if model.capabilities.cites:
        asked = question if recalled is None else replace(question, text=recalled.question)
        composition = compose_prompt(
            asked, hits, model=model, template=None, settings=settings, sentences=book.config.answer.sentences
        )
    else:
        template = _template(book)
        composition = compose_prompt(
            question,
            hits,
            model=model,
            template=template,
            settings=settings,
            sentences=book.config.answer.sentences,
            background=await _background(book, question, template, recalled),
            words=book.analyzer.words,
        )
    request = replace(
        composition.request,
        tenant=question.scope.tenant,
        account=question.account,
        deadline=question.deadline,
        answer_id=uuid4().hex,
    )
    return replace(composition, request=request)


def _template(book: Book) -> Template:
    from sourcebook.prompt.templates import load

    return load(book.config.prompt.template, book.home)


async def _background(book: Book, question: Question, template: Template, recalled: Recalled | None) -> Background:
    found = recalled.recollection if recalled is not None else None
    background = Background()
    if found is not None:
        background = Background(summary=found.summary, history=found.turns, facts=found.notes)
    if "examples" in template.variables and book.config.prompt.examples:
        from sourcebook.prompt.examples import choose_examples

        examples = await choose_examples(
            book.catalog,
            question.text,
            embedder=book.embedder,
            words=book.analyzer.words,
            tenant=question.scope.tenant,
            most=book.config.prompt.examples,
        )
        background = replace(background, examples=examples)
    return background


def cited(
    book: Book, model: Model, question: Question, composition: Composition, events: AsyncGenerator[ModelEvent, None]
) -> AsyncGenerator[AnswerPart, None]:
    """cite: the model's events into an answer whose citations hold."""
    reading: Reading | None = None
    if not model.capabilities.cites:
        settings = book.config.prompt
        reading = Reading(
            judge=book.support_judge,
            answer_tag=composition.answer_tag,
            attribute=settings.attribute,
            leave_out=settings.unsupported == "leave-out",
        )
    return cite(
        events,
        composition.request,
        model=model.name,
        verify=book.verifier(question.scope),
        reading=reading,
        left_out=composition.left_out,
    )


async def written(
    book: Book, model: Model, question: Question, hits: Sequence[Hit]
) -> AsyncGenerator[AnswerPart, None]:
    """compose, route and cite, without memory, tools or a record: for whoever compares models."""
    composition = await composed(book, model, question, hits)
    parts = cited(book, model, question, composition, model.stream(composition.request))
    async with aclosing(parts):
        async for part in parts:
            yield part


async def remember(
    book: Book, question: Question, composition: Composition, run: Run, answer: Answer, recalled: Recalled
) -> None:
    """remember, second half: the answer with all that made it, and the turn of the conversation."""
    made_from: dict[str, Any] = {
        "prompt": composition.version,
        "answer_tag": composition.answer_tag,
        "request": request_record(composition.request),
        "passages": [hit_record(hit) for hit in composition.request.evidence],
        "left_out": [asdict(one) for one in answer.left_out],
        "unsupported": [asdict(one) for one in answer.unsupported],
        "embedding": book.embedding_fingerprint,
        "switched": [asdict(one) for one in run.switched],
        "conversation": question.conversation,
        "searched": recalled.question,
        "notes": list(recalled.notes),
    }
    if run.finish is not None:
        made_from |= {
            "finish": run.finish.reason,
            "vendor_model": run.finish.model,
            "request_id": run.finish.request_id,
            "served_by": run.finish.served_by or answer.model,
            "sent": run.finish.sent or sha256(to_json(made_from["request"])).hexdigest(),
        }
    await asyncio.to_thread(answers.record_answer, book.catalog, question, answer, made_from)
    if recalled.recollection is not None:
        from sourcebook.prompt.memory import keep

        quotes = book.model.capabilities.cites
        await keep(book.catalog, recalled.recollection, question.text, answer, question.scope, quotes=quotes)
        book.tend_later(question)
