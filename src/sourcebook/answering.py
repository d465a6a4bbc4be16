"""The boxes of an answer: what is recalled, found, composed, run and cited."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from uuid import uuid4

from sourcebook.book.reading import verifier
from sourcebook.models.base import Finish, Model, ModelEvent, Switched, TextPart
from sourcebook.prompt.base import Background, Composition
from sourcebook.prompt.cite import AnswerPart, Reading, cite
from sourcebook.prompt.compose import compose_prompt
from sourcebook.prompt.selecting import compose_selection
from sourcebook.types import Hit, PassageId, Question, Usage

if TYPE_CHECKING:
    from sourcebook.book import Sourcebook as Book
    from sourcebook.config import Prompt
    from sourcebook.prompt.agent import AgentLoop
    from sourcebook.prompt.memory import Recollection
    from sourcebook.prompt.rewrite import RewriteLimits
    from sourcebook.prompt.templates import Template
    from sourcebook.prompt.tools.base import Toolboxes


@dataclass(frozen=True, kw_only=True, slots=True)
class Recalled:
    """What a conversation brings to a question.

    question: as one that stands alone, by the asker, a rule or the model, with this version of the prompt.
    usage: of the model's call. notes: what went wrong on the way, for the record.
    """

    recollection: Recollection | None = None
    question: str = ""
    rewritten_by: str = "asker"
    prompt: str = ""
    usage: Usage = field(default_factory=Usage)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What was found for a question: for itself, and for the questions that it was taken apart into, if it was.

    prompt: version of the prompt for taking it apart; usage: of that call. notes: what went wrong, for the record.
    """

    hits: tuple[Hit, ...]
    questions: tuple[str, ...] = ()
    prompt: str = ""
    usage: Usage = field(default_factory=Usage)
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class Run:
    """What is known of a model's run, once it is over. tools: that it may ask for. reply: its text, as it wrote it."""

    tools: Toolboxes | None = None
    finish: Finish | None = None
    reply: str = ""
    switched: list[Switched] = field(default_factory=list)
    agent: AgentLoop | None = None
    notes: tuple[str, ...] = ()

    def evidence(self) -> Sequence[Hit]:
        """The passages by number: those of the prompt, and what tools have found besides."""
        assert self.agent is not None
        return self.agent.run.evidence

    async def watch(self, events: AsyncGenerator[ModelEvent, None]) -> AsyncGenerator[ModelEvent, None]:
        """The events as they are."""
        async with aclosing(events):
            async for event in events:
                match event:
                    case TextPart(text=piece):
                        self.reply += piece
                    case Switched(kept=kept):
                        self.reply = self.reply[:kept]
                        self.switched.append(event)
                    case Finish():
                        self.finish = event
                yield event


async def recall(book: Book, question: Question) -> Recalled:
    """remember, first half: what the conversation brings, and the question as one that stands alone."""
    if question.conversation is None:
        return Recalled(question=question.text)
    from sourcebook.prompt.memory import recall as remembered
    from sourcebook.prompt.rewrite import stand_alone

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
        limits=_rewriting(book, question),
        home=book.home,
    )
    notes = (rewritten.note,) if rewritten.note else ()
    return Recalled(
        recollection=found,
        question=rewritten.text,
        rewritten_by=rewritten.by,
        prompt=rewritten.prompt,
        usage=rewritten.usage,
        notes=notes,
    )


async def searched(book: Book, question: Question, recalled: Recalled) -> Found:
    """retrieve: for the question, or for each of the questions that it is made of, in turns."""
    from sourcebook.pipeline import retrieve

    top = book.config.answer.passages
    whole = replace(question, text=recalled.question)
    if not book.config.retrieve.decompose:
        return Found(hits=tuple(await retrieve(book, whole, top=top)))
    from sourcebook.prompt.rewrite import decompose

    parts = await decompose(
        recalled.question,
        model=book.model,
        words=book.analyzer.words,
        limits=_rewriting(book, question),
        home=book.home,
    )
    asked = [whole, *(replace(whole, text=one) for one in parts.questions if one != whole.text)]
    found = [await retrieve(book, one, top=top) for one in asked]
    return Found(
        hits=tuple(in_turns(found, top) if len(found) > 1 else found[0]),
        questions=tuple(one.text for one in asked[1:]),
        prompt=parts.prompt,
        usage=parts.usage,
        notes=(parts.note,) if parts.note else (),
    )


def in_turns(found: Sequence[Sequence[Hit]], top: int) -> list[Hit]:
    """The best of each search, then the second of each, and so on, none twice, at most `top`.

    Scores of different searches cannot be compared, so each hit gets one of its rank: the first of each have the
    same.
    """
    hits: dict[PassageId, Hit] = {}
    for rank in range(top):
        for some in found:
            if rank < len(some):
                hits.setdefault(some[rank].passage.id, replace(some[rank], score=1 / (1 + rank)))
    return list(hits.values())[:top]


def _rewriting(book: Book, question: Question) -> RewriteLimits:
    """How long a model may take over the question itself, and who pays."""
    from sourcebook.prompt.aside import Payer
    from sourcebook.prompt.rewrite import RewriteLimits

    return RewriteLimits(
        seconds=book.config.memory.seconds,
        deadline=question.deadline,
        payer=Payer(tenant=question.scope.tenant, account=question.account, answer_id=question.id),
    )


async def offered(book: Book, question: Question) -> Toolboxes | None:
    """The tools that the model may ask for, if there are any and it is one that asks."""
    if not book.tools.some or book.model.capabilities.cites:
        return None
    return await book.tools.for_question(question)


async def running(book: Book, composition: Composition, run: Run) -> AsyncGenerator[ModelEvent, None]:
    """route: the model's events; with tools, those of the agent loop's answer."""
    if run.tools is None:
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
    run.notes = run.tools.missing
    run.agent = AgentLoop(
        book.model, run.tools, composition.request, bounds=bounds, estimate=book.models.foreseen, home=book.home
    )
    return run.watch(run.agent.answer())


async def composed(
    book: Book,
    model: Model,
    question: Question,
    hits: Sequence[Hit],
    recalled: Recalled | None = None,
    *,
    settings: Prompt | None = None,
    tools: Toolboxes | None = None,
) -> Composition:
    """compose: the request, for whichever model.

    settings: instead of the book's section [prompt]. tools: that will take their part of the window.
    """
    answer = question.id or uuid4().hex
    sentences = book.config.answer.sentences
    if model.capabilities.cites:
        asked = question if recalled is None else replace(question, text=recalled.question)
        composition = compose_selection(asked, hits, model=model, sentences=sentences)
    else:
        template = _template(book)
        composition = compose_prompt(
            question,
            hits,
            model=model,
            template=template,
            settings=settings or book.config.prompt,
            sentences=sentences,
            background=await _background(book, question, template, recalled),
            words=book.analyzer.words,
            reserved=_reserved(book, model, tools),
            salt=answer,
        )
    request = replace(
        composition.request,
        tenant=question.scope.tenant,
        account=question.account,
        deadline=question.deadline,
        answer_id=answer,
    )
    return replace(composition, request=request)


def _reserved(book: Book, model: Model, tools: Toolboxes | None) -> int:
    if tools is None:
        return 0
    from sourcebook.prompt.agent import reserved_for_tools

    return reserved_for_tools(model, tools.tools, home=book.home)


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
            collection=book.config.prompt.collection,
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
    *,
    settings: Prompt | None = None,
) -> AsyncGenerator[AnswerPart, None]:
    """cite: the model's events into an answer whose citations hold. settings: instead of the section [prompt]."""
    reading: Reading | None = None
    if not model.capabilities.cites:
        settings = settings or book.config.prompt
        reading = Reading(
            judge=book.support_judge.at(settings.support),
            answer_tag=composition.answer_tag,
            attribute=settings.attribute,
            leave_out=settings.unsupported == "leave-out",
        )
    return cite(
        events,
        composition.request,
        model=model.name,
        verify=verifier(book.catalog, question.scope),
        reading=reading,
        evidence=None if run is None or run.agent is None else run.evidence,
        left_out=composition.left_out,
    )


async def written(
    book: Book, model: Model, question: Question, hits: Sequence[Hit], *, settings: Prompt, purpose: str
) -> AsyncGenerator[AnswerPart, None]:
    """compose, route and cite, without memory, tools or a record: for whoever compares models.

    settings: of the prompt. purpose: as the usage ledger has it.
    """
    composition = await composed(book, model, question, hits, settings=settings)
    composition = replace(composition, request=replace(composition.request, purpose=purpose, answer_id=None))
    parts = cited(book, model, question, composition, model.stream(composition.request))
    async with aclosing(parts):
        async for part in parts:
            yield part
