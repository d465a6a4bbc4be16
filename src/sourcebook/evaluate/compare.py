"""Everything in the prompt against the few passages that matter, over models, on a team's own documents.

For each model the same questions are asked with all documents pasted into the prompt, as far as its window goes, and
with the best passages that retrieval finds; accuracy, tokens, cost and latency are set side by side.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import mean
from time import perf_counter
from typing import TYPE_CHECKING

from sourcebook.answering import written
from sourcebook.errors import ConfigError, SourcebookError
from sourcebook.evaluate.metrics import contains, interval, overlap, percentile
from sourcebook.pipeline import retrieve
from sourcebook.types import Answer, Hit, Question, Scope

if TYPE_CHECKING:
    from sourcebook.book import Sourcebook
    from sourcebook.models.base import Model

_LABEL = 34
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
    """One question, asked one way. cost: micro-US-dollars. pasted: share of the documents that was in the prompt."""

    item: Item
    answer: str
    known: bool
    right: bool
    overlap: float
    input_tokens: int
    output_tokens: int
    cost: int
    seconds: float
    pasted: float
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
    def label(self) -> str:
        """The model's name, for people: as much as fits a table."""
        return self.model if len(self.model) <= _LABEL else f"{self.model[: _LABEL - 1]}…"

    @property
    def accuracy(self) -> float:
        """Share of questions answered right, from 0 to 1; errors are wrong."""
        return mean(one.right for one in self.asked)

    @property
    def accuracy_interval(self) -> tuple[float, float]:
        """Its 95 % confidence interval."""
        return interval(sum(one.right for one in self.asked), len(self.asked))

    @property
    def errors(self) -> int:
        """Questions that ended in an error."""
        return sum(bool(one.error) for one in self.asked)

    @property
    def tokens(self) -> float:
        """Mean tokens of prompt and answer."""
        return mean(one.input_tokens + one.output_tokens for one in self.asked)

    @property
    def cost(self) -> float:
        """Mean micro-US-dollars a question."""
        return mean(one.cost for one in self.asked)

    @property
    def pasted(self) -> float:
        """Mean share of all passages that was in the prompt."""
        return mean(one.pasted for one in self.asked)

    def seconds(self, share: float) -> float:
        """The latency that this share of the questions stayed below."""
        return percentile([one.seconds for one in self.asked], share)


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
    at_once: int = 1,
) -> AsyncIterator[Measured]:
    """Ask all questions of each model in each way; one result as each is done. Nothing is recorded in the book.

    at_once: questions at once; latencies are those of a busy model then.
    """
    scope = scope or Scope()
    everything = book.all_hits(scope)
    if not everything:
        raise ConfigError("The book holds no documents to compare on", remedy="Add some: sourcebook add FOLDER")
    places = asyncio.Semaphore(at_once)
    for model in models:
        pasted = _fitting(everything, model)

        async def one(item: Item, count: int, model: Model = model, pasted: Sequence[Hit] = pasted) -> Asked:
            async with places:
                question = Question(text=item.text, scope=scope, top=max(count, 1))
                hits = pasted if count == EVERYTHING else None
                return await _ask(book, model, item, question, hits, of=len(everything))

        for count in passages:
            asked = await asyncio.gather(*(one(item, count) for item in items))
            yield Measured(model=model.name, passages=count, asked=tuple(asked))


async def _ask(
    book: Sourcebook, model: Model, item: Item, question: Question, hits: Sequence[Hit] | None, *, of: int
) -> Asked:
    """One question. hits: what to put into the prompt; None: what retrieval finds. of: passages in the book."""
    began = perf_counter()
    answer: Answer | None = None
    error = ""
    try:
        hits = await retrieve(book, question, top=question.top) if hits is None else hits
        async with aclosing(written(book, model, question, hits)) as parts:
            async for part in parts:
                if isinstance(part, Answer):
                    answer = part
    except SourcebookError as failed:
        error = str(failed)
    took = perf_counter() - began
    if answer is None:
        return Asked(
            item=item, answer="", known=False, right=False, overlap=0.0, input_tokens=0, output_tokens=0, cost=0,
            seconds=took, pasted=0.0, error=error or "no answer",
        )  # fmt: skip
    usage = answer.usage
    return Asked(
        item=item,
        answer=answer.text,
        known=answer.known,
        right=contains(answer.text, item.answers) if item.answers else not answer.known,
        overlap=overlap(answer.text, item.answers),
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cost=usage.cost,
        seconds=took,
        pasted=min(1.0, len(answer.hits) / of),
    )


def _fitting(hits: Sequence[Hit], model: Model) -> list[Hit]:
    """As many as the model's window can hold, so that what cannot fit is not even composed; all worth the same."""
    taken: list[Hit] = []
    room = model.window
    for hit in hits:
        room -= model.count_tokens(hit.passage.text)
        if room < 0 and taken:
            break
        taken.append(replace(hit, score=0.0))
    return taken
