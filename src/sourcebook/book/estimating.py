"""What a question will cost, before it is asked: its prompt is made, and no model is called."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sourcebook.book.book import Sourcebook
    from sourcebook.types import Question


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelEstimate:
    """What one model will take for an answer, in one call: with tools, each step is another.

    model: as its URL names it. input_tokens: of the prompt, as counted by `counted_by`; output_tokens: of the longest
    reply that is allowed. low, high: micro-US-dollars; priced: false if no price is known, and they mean nothing.
    """

    model: str
    input_tokens: int
    output_tokens: int
    counted_by: str
    low: int
    high: int
    priced: bool


async def estimated(book: Sourcebook, question: Question) -> tuple[ModelEstimate, ...]:
    """An estimate for each of the models that the settings name, in their order. Free ones cost 0.

    A question of a conversation is taken as it is, and not rewritten. Errors: ConfigError, NotAuthorised, NotFound.
    """
    from sourcebook.answering import Recalled, composed
    from sourcebook.pipeline import retrieve
    from sourcebook.prompt.memory import recall

    model = book.model
    await book.models.ready()
    recalled = Recalled(question=question.text)
    if question.conversation is not None:
        found = await recall(
            book.catalog,
            question.conversation,
            question.text,
            question.scope,
            embedder=book.embedder,
            words=book.analyzer.words,
            count=model.count_tokens,
            settings=book.config.memory,
        )
        recalled = Recalled(question=question.text, recollection=found)
    hits = await retrieve(book, question, top=book.config.answer.passages)
    composition = await composed(book, model, question, hits, recalled)
    rows = await asyncio.to_thread(book.models.estimates, composition.request)
    return tuple(
        ModelEstimate(
            model=name,
            input_tokens=one.input_tokens,
            output_tokens=one.output_tokens,
            counted_by=one.counted_by,
            low=one.low,
            high=one.high,
            priced=one.priced,
        )
        for name, one in rows
    )
