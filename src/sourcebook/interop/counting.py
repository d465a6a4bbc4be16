"""How tokens are counted for models of other frameworks, whose own counting may fetch a tokenizer from the network."""

from __future__ import annotations

from typing import Protocol


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


def estimate(text: str) -> int:
    """From above: three bytes of UTF-8 are a token, and each word is one."""
    return max(len(text.split()), -(-len(text.encode("utf-8", "replace")) // 3))
