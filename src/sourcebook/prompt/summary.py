"""The running summary: turns that no longer fit the window, in short, carried on a few turns at a time.

A model that generates writes it; with one that only quotes, and of what a model refuses, it is made of the
conversation's own sentences. It begins when the turns outgrow the window, and then reaches so far that the window is
half full: the model is called once in a while, not with every turn, and between summary and window nothing is lost.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sourcebook.catalog.conversations import Conversation, Turn, keep_summary, read_conversation
from sourcebook.errors import ContextTooLong, InvalidReply, InvalidRequest, ModelError, Refused
from sourcebook.language import sentences
from sourcebook.prompt.aside import Payer, ask_aside
from sourcebook.prompt.fence import code_of
from sourcebook.types import Scope, Usage

if TYPE_CHECKING:
    from pathlib import Path

    from sourcebook.catalog.catalog import Catalog
    from sourcebook.config import Memory
    from sourcebook.models.base import Model
    from sourcebook.prompt.terms import Words

TURN_OVERHEAD: Final = 4  # tokens that a message costs besides its text, about
OF_THE_TEXT: Final = (Refused, ContextTooLong, InvalidRequest, InvalidReply)
"""Errors of a model that lie in what it was shown: asked again about the same turns, it would raise them again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Summarised:
    """What was done: turns that the summary newly covers, what it cost, and what went wrong."""

    turns: int = 0
    usage: Usage = field(default_factory=Usage)
    notes: tuple[str, ...] = ()


async def carry_on(
    catalog: Catalog,
    name: str,
    scope: Scope,
    *,
    model: Model,
    words: Words,
    settings: Memory,
    account: str = "default",
    home: Path | None = None,
) -> Summarised:
    """Carry the summary of a conversation on, if its turns have outgrown the window.

    Every step is written in one transaction with the number of the turn that it reaches to, and not at all if what
    it was made from has changed meanwhile. It does not reach past a turn, nor replace a summary, that this reader may
    not see and others may. Errors: NotFound, PromptError; a model's error is a note.
    """
    turns, usage = 0, Usage()
    notes: list[str] = []
    for _ in range(_STEPS):
        conversation = await asyncio.to_thread(read_conversation, catalog, name, scope)
        some = _due(conversation, settings.window, min(_AT_ONCE, model.window // 2), model.count_tokens)
        if not some:
            break
        told = [turn for turn in some if turn.text]
        try:
            summary, cost = await _summary(model, conversation, told, settings.summary, words, account, home)
        except OF_THE_TEXT as error:
            notes.append(f"The summary was carried on by rule: {error}")
            summary = _extracted(model, conversation, told, settings.summary, words)
            cost = error.usage or Usage()
        except ModelError as error:
            notes.append(f"The summary could not be carried on: {error}")
            usage += error.usage or Usage()
            break
        usage += cost
        origins = conversation.summary_origins.union(*(turn.origins for turn in told))
        kept = await asyncio.to_thread(
            keep_summary, catalog, conversation, summary, upto=some[-1].number, origins=origins
        )
        turns += len(some) if kept else 0
    return Summarised(turns=turns, usage=usage, notes=tuple(notes))


def _due(conversation: Conversation, window: int, most: int, count: Callable[[str], int]) -> list[Turn]:
    """The oldest turns, whole exchanges, that the summary should take in next: up to `most` tokens, or one."""
    if conversation.hidden:
        return []
    later = [turn for turn in conversation.turns if turn.number > conversation.summarised]
    costs = [count(turn.text) + TURN_OVERHEAD for turn in later]
    if sum(costs) <= window:
        return []
    stays = 0
    end = len(later)
    while end and stays + costs[end - 1] <= window // 2:
        end -= 1
        stays += costs[end]
    end = min(end, len(later) - 2)  # the last exchange stays in the window whatever its length
    if 0 < end < len(later) - 2 and later[end].role == "assistant":  # its question stays too, or both go
        end += -1 if sum(costs[end - 1 :]) <= window else 1
    taken: list[Turn] = []
    cost = 0
    for exchange in exchanges(later[:end]):
        its = sum(count(turn.text) + TURN_OVERHEAD for turn in exchange)
        if any(turn.hidden for turn in exchange) or (taken and cost + its > most):
            break
        taken += exchange
        cost += its
    return taken


def exchanges(turns: Sequence[Turn]) -> list[tuple[Turn, ...]]:
    """Turns grouped into questions with their answers."""
    grouped: list[tuple[Turn, ...]] = []
    for turn in turns:
        if turn.role == "assistant" and grouped and grouped[-1][-1].role == "user":
            grouped[-1] = (*grouped[-1], turn)
        else:
            grouped.append((turn,))
    return grouped


async def _summary(
    model: Model,
    before: Conversation,
    turns: Sequence[Turn],
    tokens: int,
    words: Words,
    account: str,
    home: Path | None,
) -> tuple[str, Usage]:
    if not turns:
        return before.summary, Usage()
    if model.capabilities.cites:
        return _extracted(model, before, turns, tokens, words), Usage()
    from sourcebook.prompt.templates import load

    template = load("summarise", home)
    longest = model.window // 2 // len(turns)
    told = [{"role": one.role, "text": beginning(one.text, longest, model.count_tokens)} for one in turns]
    given: dict[str, object] = {"turns": told, "summary": before.summary}
    if "fence" in template.variables:
        given["fence"] = code_of([before.summary, *(one["text"] for one in told)], salt=before.id)
    reply = await ask_aside(
        model,
        template.messages(**given, words=max(20, int(tokens * _WORDS_PER_TOKEN))),
        purpose="summarise",
        tokens=tokens,
        seconds=_SECONDS,
        payer=Payer(tenant=before.tenant, account=account),
    )
    text = reply.text.strip()
    if reply.finish.reason == "length":  # up to the last whole sentence
        spans = sentences(text)
        text = text[: spans[-2][1]] if len(spans) > 1 else text
    if not text or reply.finish.reason == "filtered":
        text = _extracted(model, before, turns, tokens, words)
    return text, reply.finish.usage


def beginning(text: str, tokens: int, count: Callable[[str], int]) -> str:
    """As much of a text as has about so many tokens: one alone could fill the model's window."""
    size = count(text)
    return text if size <= tokens else text[: len(text) * tokens // size]


# --- without a model that writes ----------------------------------------------------------------------------


def _extracted(model: Model, before: Conversation, turns: Sequence[Turn], tokens: int, words: Words) -> str:
    return extract(before.summary, turns, tokens=tokens, count=model.count_tokens, words=words)


def extract(before: str, turns: Sequence[Turn], *, tokens: int, count: Callable[[str], int], words: Words) -> str:
    """A summary of the conversation's own sentences, one a line, in their order, of at most so many tokens.

    A sentence is worth the mean frequency of its words in all of them, and a word that has been said counts less
    from then on: SumBasic (Nenkova and Vanderwende, The Impact of Frequency on Summarization, 2005), the mean taken
    over two more words, so that a "Thanks a lot!" is worth little. Of two as good the later one is taken.
    before: the summary so far, whose lines take part again.
    """
    lines = [line for line in before.splitlines() if line.strip()]
    for turn in turns:
        for start, end in sentences(turn.text):
            lines.append(f"{_SPEAKER[turn.role]}: {' '.join(turn.text[start:end].split())}")
    lines = list(dict.fromkeys(lines))
    terms = [set(words(line.partition(": ")[2])) for line in lines]
    frequency = Counter(term for some in terms for term in some)
    total = frequency.total()
    weight = {term: number / total for term, number in frequency.items()}
    waiting = {i for i, some in enumerate(terms) if some}
    chosen: list[int] = []
    left = tokens
    while waiting:
        best = max(waiting, key=lambda i: (sum(weight[term] for term in terms[i]) / (len(terms[i]) + 2), i))
        waiting.remove(best)
        cost = count(lines[best]) + 1
        if cost > left:
            continue
        left -= cost
        chosen.append(best)
        for term in terms[best]:
            weight[term] **= 2
    return "\n".join(lines[i] for i in sorted(chosen))


_SPEAKER: Final = {"user": "Asked", "assistant": "Answered"}
_SECONDS: Final = 60.0  # for one model call; nobody waits for it, but it may hold up what somebody waits for
_STEPS: Final = 8  # model calls at most in one go; the rest is for the next time
_AT_ONCE: Final = 3000  # tokens of turns for one call
_WORDS_PER_TOKEN: Final = 0.6  # of English; said to the model, which is cut at the tokens
