"""The boxes of an answer after its passages are found: what is remembered, composed, run, cited and recorded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from sourcebook.catalog import answers
from sourcebook.models.base import Finish, Model, ModelEvent, Switched
from sourcebook.models.record import hit_record, request_record
from sourcebook.models.wire import to_json
from sourcebook.prompt.base import Background, Composition
from sourcebook.prompt.cite import AnswerPart, Reading, cite
from sourcebook.prompt.compose import compose_prompt
from sourcebook.types import Answer, Hit, PassageId, Question

if TYPE_CHECKING:
    from sourcebook.book import Sourcebook as Book
    from sourcebook.prompt.agent import AgentLoop
    from sourcebook.prompt.memory import Recollection
    from sourcebook.prompt.templates import Template


@dataclass(frozen=True, kw_only=True, slots=True)
class Recalled:
    """What a conversation brings to a question.

    question: as one that stands alone, by the asker, a rule or the model, with this version of the prompt.
    notes: what went wrong on the way, for the record.
    """

    recollection: Recollection | None = None
    question: str = ""
    rewritten_by: str = "asker"
    prompt: str = ""
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class Run:
    """What is known of a model's run, once it is over."""

    finish: Finish | None = None
    switched: list[Switched] = field(default_factory=list)
    agent: AgentLoop | None = None

    def evidence(self) -> Sequence[Hit]:
        """The passages by number: those of the prompt, and what tools have found besides."""
        assert self.agent is not None
        return self.agent.run.evidence

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
    return Recalled(
        recollection=found,
        question=rewritten.text,
        rewritten_by=rewritten.by,
        prompt=rewritten.prompt,
        notes=notes,
    )


async def searched(book: Book, question: Question, recalled: Recalled) -> list[Hit]:
    """retrieve: for the question, or for each of the questions that it is made of, in turns."""
    from sourcebook.pipeline import retrieve

    top = book.config.answer.passages
    whole = replace(question, text=recalled.question)
    if not book.config.retrieve.decompose:
        return await retrieve(book, whole, top=top)
    from sourcebook.prompt.rewrite import Bounds, decompose

    bounds = Bounds(
        seconds=book.config.memory.seconds,
        deadline=question.deadline,
        tenant=question.scope.tenant,
        account=question.account,
    )
    parts = await decompose(
        recalled.question, model=book.model, words=book.analyzer.words, bounds=bounds, home=book.home
    )
    asked = [whole, *(replace(whole, text=one) for one in parts.questions if "{" not in one and one != whole.text)]
    found = [await retrieve(book, one, top=top) for one in asked]
    hits: dict[PassageId, Hit] = {}
    for rank in range(top):
        for some in found:
            if rank < len(some):
                hits.setdefault(some[rank].passage.id, some[rank])
    return list(hits.values())[:top]


async def running(
    book: Book, question: Question, composition: Composition, run: Run
) -> AsyncGenerator[ModelEvent, None]:
    """route: the model's events; with tools, those of the agent loop's answer."""
    if not book.tools.some or book.model.capabilities.cites:
        return run.watch(book.model.stream(composition.request))
    from sourcebook.prompt.agent import AgentLoop
    from sourcebook.prompt.agent_run import Bounds

    settings = book.config.agent
    bounds = Bounds(
        steps=settings.steps,
        tokens=settings.tokens,
        seconds=settings.seconds,
        cost=settings.cost,
        parallel=settings.parallel,
        repeats=settings.repeats,
    )
    run.agent = AgentLoop(book.model, await book.tools.for_question(question), composition.request, bounds=bounds)
    return run.watch(run.agent.answer())


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
    book: Book,
    model: Model,
    question: Question,
    composition: Composition,
    events: AsyncGenerator[ModelEvent, None],
    run: Run | None = None,
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
        evidence=None if run is None or run.agent is None else run.evidence,
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
    request, steps = composition.request, None
    if run.agent is not None:
        steps = run.agent.run.record()
        request = replace(run.agent.request, evidence=run.agent.run.evidence)
    made_from: dict[str, Any] = {
        "prompt": composition.version,
        "answer_tag": composition.answer_tag,
        "request": request_record(request),
        "passages": [hit_record(hit) for hit in request.evidence],
        "steps": steps,
        "left_out": [asdict(one) for one in answer.left_out],
        "unsupported": [asdict(one) for one in answer.unsupported],
        "embedding": book.embedding_fingerprint,
        "switched": [asdict(one) for one in run.switched],
        "conversation": question.conversation,
        "searched": {"question": recalled.question, "by": recalled.rewritten_by, "prompt": recalled.prompt},
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
