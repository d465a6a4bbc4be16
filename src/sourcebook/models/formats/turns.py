"""What formats share: conversations as turns of the user and of the assistant in alternation, and what goes into them.

Vendors with two roles refuse a conversation in which one of them speaks twice.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from sourcebook.models.base import Image, Message, ModelRequest, ToolCall


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """Messages that go into one turn. Results of tools count as the user's, and come first in it."""

    role: Literal["user", "assistant"]
    messages: tuple[Message, ...]


def turns(messages: Sequence[Message]) -> list[Turn]:
    """Neighbours of one side as one turn; system messages are left out, wherever they stand, and blank ones."""
    sides: list[tuple[Literal["user", "assistant"], list[Message]]] = []
    for message in messages:
        if message.role == "system" or _is_blank(message):
            continue
        side: Literal["user", "assistant"] = "assistant" if message.role == "assistant" else "user"
        if not sides or sides[-1][0] != side:
            sides.append((side, []))
        sides[-1][1].append(message)
    return [
        Turn(role=side, messages=tuple(sorted(some, key=lambda one: one.role != "tool")))  # the sort is stable
        for side, some in sides
    ]


def _is_blank(message: Message) -> bool:
    """Whether nothing of it would be sent: then the messages around it are neighbours."""
    said = message.text.strip() or message.images or message.tool_calls
    return message.role != "tool" and not said


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
    except (ValueError, RecursionError):
        value = call.arguments
    return value if isinstance(value, dict) else {"unreadable": value}


def plain_id(id: str, allowed: str = "a-zA-Z0-9_-") -> str:
    """A call's id in the characters and the length that the vendor takes; another vendor may have made it."""
    return re.sub(f"[^{allowed}]", "_", id)[:64] or "call"


def data_url(image: Image) -> str:
    """The image's URL, or its bytes as a data URL (RFC 2397)."""
    if image.url is not None:
        return image.url
    return f"data:{image.media_type};base64,{base64.b64encode(image.data or b'').decode()}"


def with_pictures_apart(messages: Sequence[Message]) -> list[Message]:
    """For vendors whose results of tools are text only: the user shows their pictures, after all of them."""
    written: list[Message] = []
    pictures: list[Image] = []
    for message in messages:
        if pictures and message.role == "user":
            message = replace(message, images=(*pictures, *message.images))
            pictures = []
        elif pictures and message.role != "tool":
            written.append(Message(role="user", images=tuple(pictures)))
            pictures = []
        if message.role == "tool":
            pictures += message.images
            message = replace(message, images=())
        written.append(message)
    return [*written, Message(role="user", images=tuple(pictures))] if pictures else written


_BUDGETS: Final = {"low": 1024, "medium": 4096, "high": 16384}  # tokens to think with


def thinking_budget(request: ModelRequest) -> int:
    """Tokens to think with, for models that are told how many; 0 for none.

    They are a part of the tokens that the reply may have in all, so that what was reserved for it suffices.
    """
    return min(_BUDGETS.get(request.reasoning or "", 0), request.max_output_tokens * 3 // 4)


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
