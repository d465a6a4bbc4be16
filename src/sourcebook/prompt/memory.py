"""What a conversation brings into a prompt, and what an answer leaves behind in it.

    recall     before the answer: the last turns verbatim, the summary of those before, facts about the question
    keep       with the answer: both turns, with everything that the answer was made from
    tend       after the answer, while nobody waits: carry the summary on, learn facts

An answer is made from its passages and, where a model writes in its own words, from whatever was recalled into its
prompt; it is forgotten with any of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from sourcebook.catalog.conversations import Conversation, Turn, keep_exchange, read_conversation
from sourcebook.catalog.facts import Fact, keep_vectors, recallable_facts
from sourcebook.catalog.origins import Origin
from sourcebook.language import sentences
from sourcebook.prompt.learning import learn
from sourcebook.prompt.similarity import similarities
from sourcebook.prompt.summary import TURN_OVERHEAD, carry_on, exchanges
from sourcebook.types import Answer, Scope, Usage

if TYPE_CHECKING:
    from pathlib import Path

    from sourcebook.catalog.catalog import Catalog
    from sourcebook.config import Memory
    from sourcebook.embed.base import Embedder
    from sourcebook.models.base import Model
    from sourcebook.prompt.terms import Words

REMOVED: Final = "(removed: what this answer was made from was deleted, changed, or is no longer open to you)"
"""What stands in the place of an answer that is forgotten."""

UNKNOWN: Final = "(no answer was found in the documents)"


@dataclass(frozen=True, kw_only=True, slots=True)
class Recollection:
    """What is remembered for a question.

    turns: the last ones, oldest first, each with a text. summary: of the turns before; "" if there is none.
    facts: preferences, then facts about the question, the nearest first. origins: what all of it was made from.
    tokens: of turns, summary and facts, by the model's tokenizer. left_out: turns in neither window nor summary.
    """

    conversation: str
    turns: tuple[Turn, ...] = ()
    summary: str = ""
    facts: tuple[Fact, ...] = ()
    origins: frozenset[Origin] = frozenset()
    tokens: int = 0
    left_out: int = 0

    @property
    def notes(self) -> tuple[str, ...]:
        """The facts as texts, as templates take them."""
        return tuple(fact.text for fact in self.facts)


@dataclass(frozen=True, kw_only=True, slots=True)
class Tended:
    """What tending a conversation did. summarised: turns; learned: facts; notes: what went wrong, if anything."""

    summarised: int = 0
    learned: int = 0
    usage: Usage = field(default_factory=Usage)
    notes: tuple[str, ...] = ()


async def recall(
    catalog: Catalog,
    name: str,
    question: str,
    scope: Scope,
    *,
    embedder: Embedder,
    words: Words,
    count: Callable[[str], int],
    settings: Memory,
) -> Recollection:
    """What the conversation of this id brings into the prompt for a question.

    No model is called. Nothing is recalled that was made from what the asker may not see now.
    count: tokens of a text. Errors: NotFound, EmbedError.
    """
    conversation = await asyncio.to_thread(read_conversation, catalog, name, scope, last=_LAST)
    later = [turn for turn in conversation.turns if turn.number > conversation.summarised]
    turns = window(later, settings.window, count)
    facts = await recall_facts(
        catalog, conversation, question, scope, embedder=embedder, words=words, settings=settings
    )
    shown = {turn.number for turn in turns}
    facts = [one for one in facts if one.conversation != name or one.number not in shown]
    origins = conversation.summary_origins.union(*(turn.origins for turn in turns), *(fact.origins for fact in facts))
    texts = [*(turn.text for turn in turns), conversation.summary, *(fact.text for fact in facts)]
    return Recollection(
        conversation=name,
        turns=tuple(turns),
        summary=conversation.summary,
        facts=tuple(facts),
        origins=origins,
        tokens=sum(count(text) for text in texts if text) + TURN_OVERHEAD * len(turns),
        left_out=conversation.length - conversation.summarised - len(turns),
    )


async def keep(
    catalog: Catalog,
    recalled: Recollection,
    question: str,
    answer: Answer,
    scope: Scope,
    *,
    quotes: bool,
    versions: Collection[tuple[str, int]] = (),
) -> tuple[Turn, Turn] | None:
    """Add the question, as asked, and its answer to the conversation; None if it was deleted meanwhile.

    quotes: the answer's words are the documents' own (`Capabilities.cites`), so that it was made from the passages
    that it cites alone; else it was made from all passages, and all that was recalled. versions: of documents, as
    (URI, number), whose content tools have read for it (`AgentRun.origins`). Errors: NotFound.
    """
    passages = {one.passage for one in answer.citations}
    if not quotes:
        passages |= {hit.passage.id for hit in answer.hits}
    return await asyncio.to_thread(
        keep_exchange,
        catalog,
        recalled.conversation,
        scope,
        question=question,
        answer=answer.text,
        answer_id=answer.id,
        passages=passages if answer.text else (),
        versions=versions if answer.text else (),
        origins=recalled.origins if answer.text and not quotes else (),
    )


async def tend(
    catalog: Catalog,
    name: str,
    scope: Scope,
    *,
    model: Model,
    embedder: Embedder,
    words: Words,
    settings: Memory,
    account: str = "default",
    home: Path | None = None,
) -> Tended:
    """Carry the conversation's summary on and learn facts from its new turns. To be run when the answer is out.

    It may be stopped at any moment and run again, by several processes at once: every step is one transaction, and
    says up to which turn it reaches. A model that fails is a note; what it did not do is done the next time.
    account: who pays. home: of the book, whose own templates come first. Errors: NotFound, EmbedError, PromptError.
    """
    summary = await carry_on(
        catalog, name, scope, model=model, words=words, settings=settings, account=account, home=home
    )
    if not settings.learn:
        return Tended(summarised=summary.turns, usage=summary.usage, notes=summary.notes)
    learned = await learn(catalog, name, scope, model=model, embedder=embedder, words=words, account=account, home=home)
    return Tended(
        summarised=summary.turns,
        learned=learned.facts,
        usage=summary.usage + learned.usage,
        notes=(*summary.notes, *learned.notes),
    )


# --- the window ---------------------------------------------------------------------------------------------


def window(turns: Sequence[Turn], budget: int, count: Callable[[str], int]) -> list[Turn]:
    """The last turns that fit into `budget` tokens, verbatim, each question with its answer, oldest first.

    Turns without a text get what stands for them. The last exchange is there even if it does not fit: then its
    answer ends after the sentence that still does.
    """
    chosen: list[Turn] = []
    left = budget
    for exchange in reversed(exchanges(turns)):
        shown = [replace(turn, text=turn.text or (REMOVED if turn.removed else UNKNOWN)) for turn in exchange]
        cost = sum(count(turn.text) + TURN_OVERHEAD for turn in shown)
        if cost > left:
            return chosen or _shortened(shown, left, count)
        chosen = [*shown, *chosen]
        left -= cost
    return chosen


def _shortened(exchange: Sequence[Turn], budget: int, count: Callable[[str], int]) -> list[Turn]:
    shown: list[Turn] = []
    left = budget
    for turn in exchange:
        text = shortened(turn.text, left - TURN_OVERHEAD, count)
        if not text:
            break
        shown.append(replace(turn, text=text))
        left -= count(text) + TURN_OVERHEAD
    return shown


def shortened(text: str, budget: int, count: Callable[[str], int]) -> str:
    """As many of the first sentences as fit; "" if not even the first does."""
    if count(text) <= budget:
        return text
    ends = [end for _, end in sentences(text)]
    while ends and count(f"{text[: ends[-1]]} {_CUT}") > budget:
        ends.pop()
    return f"{text[: ends[-1]]} {_CUT}" if ends else ""


# --- facts --------------------------------------------------------------------------------------------------


async def recall_facts(
    catalog: Catalog,
    conversation: Conversation,
    question: str,
    scope: Scope,
    *,
    embedder: Embedder,
    words: Words,
    settings: Memory,
) -> list[Fact]:
    """The owner's newest preferences, then the facts nearest to the question: `settings.facts` of each at most.

    Of a conversation without an owner, those that were learned in it. Facts less similar than `settings.threshold`
    are left out, and those that say the same as a newer one. Vectors of another embedder are made anew first, the
    newest of them. Errors: EmbedError.
    """
    import numpy as np

    if not settings.facts:
        return []
    facts = await asyncio.to_thread(recallable_facts, catalog, scope, conversation.owner, conversation.id)
    preferences = _distinct([one for one in facts if one.kind == "preference"])[: settings.facts]
    facts = await _embedded(catalog, [one for one in facts if one.kind == "fact"], embedder)
    if not facts:
        return preferences
    vectors = np.stack([one.vector for one in facts])
    scores = await similarities(question, [one.text for one in facts], vectors, embedder=embedder, words=words)
    order = np.argsort(-scores, kind="stable")  # of equals, the newer first
    near = [facts[i] for i in order if scores[i] >= settings.threshold]
    return preferences + _distinct(near)[: settings.facts]


def _distinct(facts: Sequence[Fact]) -> list[Fact]:
    """The first of those that have the same text, in order."""
    seen: dict[str, Fact] = {}
    for one in facts:
        seen.setdefault(" ".join(one.text.casefold().split()), one)
    return list(seen.values())


async def _embedded(catalog: Catalog, facts: Sequence[Fact], embedder: Embedder) -> list[Fact]:
    """The facts with vectors of this embedder; of those that need new ones only the newest, for now."""
    old = [one for one in facts if one.fingerprint != embedder.fingerprint][:_EMBEDDED_AT_ONCE]
    if not old:
        return [one for one in facts if one.fingerprint == embedder.fingerprint]
    vectors = await embedder.embed([one.text for one in old])
    await asyncio.to_thread(
        keep_vectors,
        catalog,
        [(one.id, vector) for one, vector in zip(old, vectors, strict=True)],
        fingerprint=embedder.fingerprint,
    )
    made = {one.id: vector for one, vector in zip(old, vectors, strict=True)}
    return [
        replace(one, vector=made.get(one.id, one.vector), fingerprint=embedder.fingerprint)
        for one in facts
        if one.id in made or one.fingerprint == embedder.fingerprint
    ]


_LAST: Final = 200  # turns that are read; far more than any window holds
_EMBEDDED_AT_ONCE: Final = 128  # texts of a fact's length, before an answer that somebody waits for
_CUT: Final = "[...]"
