"""What formats share: conversations as turns of the user and of the assistant in alternation, and what goes into them.

Vendors with two roles refuse a conversation in which one of them speaks twice.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from sourcebook.models.base import Message, ToolCall


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """Messages that go into one turn. Results of tools count as the user's, and come first in it."""

    role: Literal["user", "assistant"]
    messages: tuple[Message, ...]


def turns(messages: Sequence[Message]) -> list[Turn]:
    """Neighbours of one side as one turn; system messages are left out, wherever they stand."""
    sides: list[tuple[Literal["user", "assistant"], list[Message]]] = []
    for message in messages:
        if message.role == "system":
            continue
        side: Literal["user", "assistant"] = "assistant" if message.role == "assistant" else "user"
        if not sides or sides[-1][0] != side:
            sides.append((side, []))
        sides[-1][1].append(message)
    return [
        Turn(role=side, messages=tuple(sorted(some, key=lambda one: one.role != "tool")))  # the sort is stable
        for side, some in sides
    ]


def begun(messages: Sequence[Message]) -> str | None:
    """The beginning of the reply, where the last message is the assistant's; None otherwise."""
    return messages[-1].text if messages and messages[-1].role == "assistant" else None


def marked(messages: Sequence[Message], most: int) -> list[Message]:
    """The messages with at most so many prompt-caching markers: the first, which more prompts share, and the last."""
    places = [place for place, one in enumerate(messages) if one.keep]
    kept = set(places[:1] + places[len(places) - most + 1 :] if len(places) > most else places) if most else set()
    dropped = set(places) - kept
    return [replace(one, keep=False) if place in dropped else one for place, one in enumerate(messages)]


def arguments_of(call: ToolCall) -> dict[str, object]:
    """A call's arguments as an object; what is none, because the model wrote broken JSON, as one named "unreadable"."""
    try:
        value = json.loads(call.arguments or "{}")
    except ValueError:
        value = call.arguments
    return value if isinstance(value, dict) else {"unreadable": value}


def plain_id(id: str, allowed: str = "a-zA-Z0-9_-") -> str:
    """A call's id in the characters and the length that the vendor takes; another vendor may have made it."""
    return re.sub(f"[^{allowed}]", "_", id)[:64] or "call"


def told(options: Mapping[str, str], name: str, *, otherwise: bool) -> bool:
    """An option of a model's URL that is true or false."""
    return {"true": True, "false": False}.get(options.get(name, ""), otherwise)


class Continuation:
    """A reply that goes on from a beginning whose blanks at the end could not be sent: they are not written twice."""

    def __init__(self, beginning: str | None) -> None:
        self._blanks = beginning is not None and beginning != beginning.rstrip()

    def rest(self, text: str) -> str:
        """What of the reply's next piece is new."""
        if not self._blanks:
            return text
        rest = text.lstrip()
        self._blanks = not rest
        return rest
