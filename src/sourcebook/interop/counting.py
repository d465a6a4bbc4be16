"""How tokens are counted for models of other frameworks, whose own counting may fetch a tokenizer from the network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from sourcebook.models.base import ModelRequest
from sourcebook.types import Usage


class Known(Protocol):
    """What the data on models says of one."""

    @property
    def tokenizer(self) -> str:
        """Its name; "": not known."""
        ...

    @property
    def window(self) -> int:
        """Tokens of prompt and answer; 0: not known."""
        ...


class Counter(Protocol):
    """What counts tokens."""

    @property
    def name(self) -> str:
        """The tokenizer's."""
        ...

    def count(self, text: str) -> int:
        """Tokens of a text."""
        ...


def counter_of(data: Known | None, count: Callable[[str], Counter] | None) -> tuple[Callable[[str], int] | None, str]:
    """(what counts the tokens of a model, the tokenizer's name). count: tokenizer -> what counts by it, if known."""
    if count is None:
        return None, "estimate"
    counter = count(data.tokenizer if data is not None else "")
    return counter.count, counter.name


def counted_usage(request: ModelRequest, reply: str, *, count: Callable[[str], int], counted_by: str) -> Usage:
    """Of a call whose vendor does not tell, or whose framework does not hand it on."""
    prompt = "\n".join(message.text for message in request.messages)
    return Usage(input_tokens=count(prompt), output_tokens=count(reply), counted_by=counted_by, exact=False)


def estimate(text: str) -> int:
    """From above: three bytes of UTF-8 are a token, and each word is one."""
    return max(len(text.split()), -(-len(text.encode("utf-8", "replace")) // 3))
