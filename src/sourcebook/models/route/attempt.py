"""One call of one model as its caller sees it: what has come, what it took, how it broke off."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

from sourcebook.errors import Interrupted, ModelError
from sourcebook.models.base import (
    CitedPart,
    Finish,
    Model,
    ModelEvent,
    ModelRequest,
    ReasoningPart,
    TextPart,
    ToolCallPart,
)
from sourcebook.models.cost.price import prompt_tokens as priced_prompt_tokens
from sourcebook.types import Usage

Now = Callable[[], float]
"""Seconds of a monotonic clock: the one that `ModelRequest.deadline` is read from."""

Price = Callable[[str, Usage], int | None]
"""(name of a model, tokens) -> micro-US-dollars; None if no price is known."""

OWN: Final = "sourcebook"
"""The `provider` of errors that the router itself raises without having called anybody: a full queue, an open
breaker. They cost nothing, and say nothing about a vendor."""

CHANCE: Final = random.SystemRandom()
"""What chooses where nobody hands in a generator with a seed."""

DEADLINE_PASSED: Final = "The time that was given for the call is over"


@dataclass(slots=True)
class Attempt:
    """What has come of a reply.

    text: its pieces. thinking: pieces of reasoning. calls: number of tool calls; called: their text.
    finish: the last event, once it is there.
    """

    text: list[str] = field(default_factory=list)
    thinking: list[str] = field(default_factory=list)
    called: list[str] = field(default_factory=list)
    cited: bool = False
    finish: Finish | None = None

    def take(self, event: ModelEvent) -> None:
        """Remember the event."""
        if type(event) is TextPart:  # most are
            self.text.append(event.text)
            return
        match event:
            case ReasoningPart():
                self.thinking.append(event.text)
            case ToolCallPart():
                self.called.append(event.call.name + event.call.arguments)
            case CitedPart():
                self.cited = True
            case Finish():
                self.finish = event

    @property
    def visible(self) -> bool:
        """Whether its reader has seen anything of it, so that it cannot be begun anew unnoticed."""
        return bool(any(self.text) or any(self.thinking) or self.called or self.cited)


def is_over(request: ModelRequest, now: Now) -> bool:
    """Whether the deadline has come, or so nearly that nothing can be begun before it."""
    return request.deadline is not None and now() >= request.deadline - _NO_TIME


def shows(event: ModelEvent) -> bool:
    """Whether the event is a piece of the reply that a reader sees, or its end."""
    match event:
        case TextPart() | ReasoningPart():
            return bool(event.text)
        case ToolCallPart() | CitedPart() | Finish():
            return True
    return False


def unfinished(model: Model, text: str) -> Interrupted:
    """The error of a stream that ended without a Finish."""
    return Interrupted(f"The reply of {model.name} ended without saying why", provider=model.name, text=text)


# --- tokens and money ---------------------------------------------------------------------------------------


def prompt_tokens(model: Model, request: ModelRequest) -> int:
    """Tokens of the prompt by the model's own counter, counted as what a call costs is."""
    return _counted(request, model.count_tokens)


def most_prompt_tokens(request: ModelRequest) -> int:
    """What no tokenizer's count exceeds, without running one: each byte a token."""
    return _counted(request, lambda text: len(text.encode("utf-8", "replace")))


def _counted(request: ModelRequest, count: Callable[[str], int]) -> int:
    """All that a model reads: the messages, or question and evidence where there are none."""
    if request.messages:
        return priced_prompt_tokens(request, count)
    return count("\n".join([request.question, *(hit.passage.text for hit in request.evidence)]))


def spent(
    model: Model, request: ModelRequest, attempt: Attempt, error: BaseException | None, price: Price | None
) -> Usage:
    """What an attempt took that came to nothing.

    What its Finish says, if there was one that nobody read. Else the error's own account, if it has one
    (`error.usage`, as whoever meters the model sets it). Else the prompt and what had come, counted by the model's
    tokenizer (exact=False), if anything had come or nobody said why it ended; an attempt that failed before it sent
    anything was not charged.
    """
    if attempt.finish is not None:
        return attempt.finish.usage
    if isinstance(error, ModelError) and error.usage is not None:
        return error.usage
    if error is not None and not attempt.visible:
        return Usage()
    thoughts = model.count_tokens("".join(attempt.thinking)) if attempt.thinking else 0
    written = model.count_tokens("".join([*attempt.text, *attempt.called])) if attempt.text or attempt.called else 0
    usage = Usage(
        input_tokens=prompt_tokens(model, request),
        output_tokens=written + thoughts,
        reasoning_tokens=thoughts,
        counted_by=model.name,
        exact=False,
    )
    cost = price(model.name, usage) if price is not None else None
    return replace(usage, cost=cost or 0, priced=cost is not None)


def charge(error: ModelError, usage: Usage) -> None:
    """Let the error say what was spent up to it."""
    if usage != Usage():
        error.usage = usage


Kind = TypeVar("Kind", bound=ModelError)


def with_text(error: Kind, text: str) -> Kind:
    """The error, which says what had come of the reply."""
    error.text = text or error.text
    return error


_NO_TIME: Final = 0.005  # seconds
