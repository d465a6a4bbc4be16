"""Everything in the prompt against the few passages that matter, over models, on a team's own documents.

For each model the same questions are asked with all documents pasted into the prompt, as far as its window goes, and
with the best passages that retrieval finds; accuracy, tokens, cost and latency are set side by side.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import mean
from time import perf_counter
from typing import TYPE_CHECKING

from sourcebook.answering import written
from sourcebook.book.reading import all_hits
from sourcebook.config import Prompt
from sourcebook.errors import (
    BudgetExceeded,
    ConfigError,
    ModelError,
    NoSuchModel,
    NotAuthorised,
    QuotaExhausted,
    SourcebookError,
)
from sourcebook.evaluate.metrics import contains, interval, overlap, percentile
from sourcebook.pipeline import retrieve
from sourcebook.types import Answer, Hit, Question, Scope, Usage

if TYPE_CHECKING:
    from sourcebook.book import Sourcebook
    from sourcebook.models.base import Model

EVERYTHING = 0
"""As the number of passages: all documents, in their order, as far as the window goes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """A question with its right answers; none: the documents do not answer it, and the model should say so."""

    id: str
    text: str
    answers: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """One question, asked one way. pasted: share of the documents that was in the prompt. error: how it ended instead.

    right: a right answer stands in it; or, where there is none, nothing was claimed.
    """

    item: Item
    answer: str = ""
    known: bool = False
    right: bool = False
    overlap: float = 0.0
    usage: Usage = field(default_factory=Usage)
    seconds: float = 0.0
    pasted: float = 0.0
    error: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """One model with one way of prompting, over all questions. passages: EVERYTHING, or how many."""

    model: str
    passages: int
    asked: tuple[Asked, ...] = field(repr=False)

    @property
    def way(self) -> str:
        """For people."""
        if self.passages == EVERYTHING:
            return "everything"
        return f"{self.passages} passage{'' if self.passages == 1 else 's'}"

    @property
    def accuracy(self) -> float | None:
        """Share of the questions with answers that were answered right, from 0 to 1; errors are wrong."""
        return _share(self._answerable)

    @property
    def accuracy_interval(self) -> tuple[float, float]:
        """Its 95 % confidence interval."""
        return interval(sum(one.right for one in self._answerable), len(self._answerable))

    @property
    def refused(self) -> float | None:
        """Share of the questions without answers to which nothing was claimed; None if there are none."""
        return _share([one for one in self.asked if not one.item.answers])

    @property
    def overlap(self) -> float | None:
        """Mean F1 of answer and right answer, over the questions that have one."""
        return mean(one.overlap for one in self._answerable) if self._answerable else None

    @property
    def errors(self) -> int:
        """Questions that ended in an error."""
        return sum(bool(one.error) for one in self.asked)

    @property
    def usage(self) -> Usage:
        """All questions together, those that ended in an error included, as far as they were charged."""
        return sum((one.usage for one in self.asked), Usage())

    @property
    def tokens(self) -> float:
        """Mean tokens of prompt and answer, over the questions that were answered."""
        return mean([one.usage.input_tokens + one.usage.output_tokens for one in self._answered] or [0])

    @property
    def cost(self) -> float | None:
        """Mean micro-US-dollars a question that was answered; None if prices are not known."""
        if not all(one.usage.priced for one in self._answered):
            return None
        return mean([one.usage.cost for one in self._answered] or [0])

    @property
    def pasted(self) -> float:
        """Mean share of all passages that was in the prompt."""
        return mean([one.pasted for one in self._answered] or [0.0])

    def seconds(self, share: float) -> float:
        """The latency that this share of the questions that were answered stayed below."""
        return percentile([one.seconds for one in self._answered], share)

    @property
    def _answered(self) -> list[Asked]:
        return [one for one in self.asked if not one.error]

    @property
    def _answerable(self) -> list[Asked]:
        return [one for one in self.asked if one.item.answers]


def _share(some: Sequence[Asked]) -> float | None:
    return mean(one.right for one in some) if some else None


def read_questions(path: Path) -> list[Item]:
    """Questions from JSONL: {"text": ..., "answers": [...]}; also "question" and "answer". Errors: ConfigError."""
    items: list[Item] = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path} cannot be read: {error}", remedy="Name a JSONL file with a question a line"
        ) from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            text = row["text"] if "text" in row else row["question"]
            answers = row["answers"] if "answers" in row else row["answer"]
            answers = [answers] if isinstance(answers, str) else answers
            if not isinstance(text, str) or not all(isinstance(one, str) for one in answers):
                raise TypeError
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(
                f"Line {number} of {path} is not a question with its answers",
                remedy='Each line must be {"text": "...", "answers": ["..."]}; no answers: the documents have none',
            ) from error
        items.append(Item(id=str(row.get("id", number)), text=text, answers=tuple(answers)))
    if not items:
        raise ConfigError(f"{path} holds no question", remedy="Write one a line, as JSON")
    return items


async def compare(
    book: Sourcebook,
    items: Sequence[Item],
    models: Sequence[Model],
    *,
    passages: Sequence[int] = (EVERYTHING, 1, 4, 8),
    scope: Scope | None = None,
    account: str = "default",
    at_once: int = 1,
    on_asked: Callable[[Model, int, Asked], None] | None = None,
) -> AsyncIterator[Measured]:
    """Ask all questions of each model in each way; one result as each is done. Nothing is recorded in the book.

    The bounds of [prompt] on passages do not hold here: the model's window does. at_once: questions at once; latencies
    are those of a busy model then. on_asked: is told each answer as it comes, with the model and the way.
    Errors: ConfigError; and those that all further questions would end in, as BudgetExceeded and NotAuthorised.
    """
    scope = scope or Scope()
    everything = all_hits(book.catalog, scope)
    if not everything:
        raise ConfigError("The book holds no documents to compare on", remedy="Add some: sourcebook add FOLDER")
    await retrieve(book, Question(text=items[0].text, scope=scope), top=1)  # so that the first way does not pay for it
    for model in models:
        pasted = _fitting(everything, model, book.config.prompt)
        for count in passages:
            places = asyncio.Semaphore(at_once)

            async def one(
                item: Item, model: Model = model, count: int = count, places: asyncio.Semaphore = places,
                pasted: Sequence[Hit] = pasted,
            ) -> Asked:  # fmt: skip
                async with places:
                    question = Question(text=item.text, scope=scope, account=account, top=max(count, 1))
                    hits = pasted if count == EVERYTHING else None
                    asked = await _ask(book, model, item, question, hits, of=len(everything))
                if on_asked is not None:
                    on_asked(model, count, asked)
                return asked

            yield Measured(model=model.name, passages=count, asked=await _all([one(item) for item in items]))


async def _all(work: Sequence[Coroutine[None, None, Asked]]) -> tuple[Asked, ...]:
    """What each gives; if one fails, the others are ended, and nobody pays for what is not looked at."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in work]
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return tuple(task.result() for task in tasks)


async def _ask(
    book: Sourcebook, model: Model, item: Item, question: Question, hits: Sequence[Hit] | None, *, of: int
) -> Asked:
    """One question. hits: what to put into the prompt; None: what retrieval finds. of: passages in the book."""
    settings = replace(book.config.prompt, passage_tokens=max(model.window, 1))
    if hits is not None:
        settings = replace(settings, diversity=0.0, order="best-first")  # all of them, in their order
    began = perf_counter()
    answer: Answer | None = None
    try:
        hits = await retrieve(book, question, top=question.top) if hits is None else hits
        async with aclosing(written(book, model, question, hits, settings=settings, purpose="compare")) as parts:
            async for part in parts:
                if isinstance(part, Answer):
                    answer = part
    except _FATAL:
        raise
    except SourcebookError as error:
        usage = error.usage if isinstance(error, ModelError) and error.usage is not None else Usage()
        return Asked(item=item, usage=usage, seconds=perf_counter() - began, error=str(error))
    took = perf_counter() - began
    if answer is None:
        return Asked(item=item, seconds=took, error="no answer")
    claimed = answer.known or bool(answer.unsupported)
    return Asked(
        item=item,
        answer=answer.text,
        known=answer.known,
        right=contains(answer.text, item.answers) if item.answers else not claimed,
        overlap=overlap(answer.text, item.answers),
        usage=answer.usage,
        seconds=took,
        pasted=min(1.0, len(answer.hits) / of),
    )


_FATAL = (BudgetExceeded, NotAuthorised, NoSuchModel, QuotaExhausted, ConfigError)
"""Every further question would end so."""


def _fitting(hits: Sequence[Hit], model: Model, settings: Prompt) -> list[Hit]:
    """As many, in their order, as the model's window holds beside instructions, question and reply."""
    taken: list[Hit] = []
    room = model.window - min(settings.output_tokens, model.window // 4) - _INSTRUCTIONS
    for hit in hits:
        room -= model.count_tokens(hit.passage.text) + _FENCE
        if room < 0 and taken:
            break
        taken.append(hit)
    return taken


_INSTRUCTIONS = 600  # tokens that the template and a question take at most, as a rule
_FENCE = 40  # tokens around a passage in a prompt: its number, title and place
