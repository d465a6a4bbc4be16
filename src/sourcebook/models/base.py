"""prompt -> completion: one request in, a stream of typed events out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Literal, Protocol

from sourcebook.types import Hit, Usage

FinishReason = Literal["stop", "length", "unknown"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelRequest:
    """What a model is asked.

    messages: the composed prompt, for models that generate.
    question, evidence: the same as data, for models that select; evidence is best first, and the i'th hit is
    the passage that markers call [i + 1].
    """

    question: str
    evidence: tuple[Hit, ...]
    messages: tuple[Message, ...] = ()
    max_sentences: int = 3
    max_output_tokens: int = 512


@dataclass(frozen=True, kw_only=True, slots=True)
class TextPart:
    """A further piece of the answer's text."""

    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class CitedPart:
    """The sentence just written rests on evidence[number - 1], characters [start, end) of the passage's text."""

    number: int
    start: int
    end: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Finish:
    """The last event. reason "unknown": the model found nothing that supports an answer."""

    reason: FinishReason
    usage: Usage = field(default_factory=Usage)


ModelEvent = TextPart | CitedPart | Finish


class Model(Protocol):
    """Anything that turns a request into an answer: the extractive one and language models alike.

    name: as recorded with the answer; changes whenever answers would. window: tokens of prompt and answer.
    """

    @property
    def name(self) -> str: ...
    @property
    def window(self) -> int: ...

    def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        """Text and citations as they come, then one Finish. Errors: ModelError."""
        ...

    def count_tokens(self, text: str) -> int:
        """Tokens of a text by the model's own tokenizer where it is known."""
        ...
