"""What stands between a vendor's reply and ours: calls that are whole, a tool whose input is the reply, and stops."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from sourcebook.models.base import (
    Finish,
    FinishReason,
    JsonSchema,
    ModelEvent,
    ModelRequest,
    TextPart,
    ToolCall,
    ToolCallPart,
)
from sourcebook.models.formats.stopping import StopSequences
from sourcebook.models.wire import Reader
from sourcebook.types import Usage


def finished_calls(calls: Iterable[ToolCall], reason: FinishReason | None) -> list[ToolCallPart]:
    """The calls of a reply that ended for this reason, whose arguments are "" where none had come.

    Of a reply that was cut off only those are left whose arguments are whole: one whose arguments had not begun must
    not run without them. Of others what the model wrote is its own fault, and nothing means that there are none.
    """
    if reason in ("length", "filtered"):
        return [ToolCallPart(call=one) for one in calls if _is_object(one.arguments)]
    return [ToolCallPart(call=replace(one, arguments=one.arguments or "{}")) for one in calls]


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def shared_stops(stops: Sequence[str], *, most: int | None = None, blank: bool = False) -> tuple[list[str], list[str]]:
    """Stop sequences that the vendor takes, which are not more than it has room for; and the others.

    blank: whether it takes such as consist of blanks.
    """
    taken = [one for one in stops if one and (blank or one.strip())][:most]
    return taken, [one for one in stops if one not in taken]


def stopped(events: Iterable[ModelEvent], stops: StopSequences, reader: Reader) -> Iterator[ModelEvent]:
    """The events of a frame, up to the first of the sequences that the vendor did not take.

    A whole reply, which is one frame, is read on for its Finish and the tokens in it. What is left of a stream is not
    asked for: it ends here, with the tokens that the reader has heard of by then.
    """
    ended = False
    for event in events:
        if isinstance(event, Finish):
            ended = True
            yield from stops.rest()
            yield replace(event, reason="stop") if stops.stopped else event
        elif not stops.stopped:
            if isinstance(event, TextPart):
                yield from stops.feed(event)
                continue
            if isinstance(event, ToolCallPart):
                yield from stops.rest()
            yield event
    if stops.stopped and not ended:
        yield Finish(reason="stop", usage=so_far(reader.usage))


def so_far(usage: Usage) -> Usage:
    """The tokens of a reply that is left before its end: what the vendor has told is not all that it charges."""
    return replace(usage, exact=False) if usage.counted_by else usage


_DESCRIPTION: Final = "Give the reply to the user. This is the only way to reply."


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplyTool:
    """For models that are held to a tool's schema and to no other: a tool that must be called with the reply.

    wrapped: whether the reply is the one property of the input, because the wanted schema is not an object's.
    """

    schema: JsonSchema
    wrapped: bool
    name: str = "reply"
    description: str = _DESCRIPTION

    @classmethod
    def of(cls, request: ModelRequest) -> ReplyTool | None:
        """For the schema that the reply must have, under a name that no tool of the request has; None without one."""
        schema = request.schema
        if schema is None:
            return None
        taken = {one.name for one in request.tools}
        name = next(one for one in ("reply", *(f"reply_{number}" for number in range(2, 1000))) if one not in taken)
        if schema.get("type") == "object":
            return cls(schema=schema, wrapped=False, name=name)
        shared = {name: schema[name] for name in ("$defs", "definitions") if name in schema}  # what "$ref" points at
        inner = {name: value for name, value in schema.items() if name not in shared}
        wrapping = {"type": "object", "properties": {"reply": inner}, "required": ["reply"], **shared}
        return cls(schema=wrapping, wrapped=True, name=name)

    def unwrapped(self, arguments: str) -> str:
        """The reply's text of a wrapping input; of others, which were sent on as they came, nothing more."""
        if not self.wrapped:
            return ""
        try:
            value = json.loads(arguments)["reply"]
        except (ValueError, KeyError, TypeError, RecursionError):
            return arguments
        return json.dumps(value, ensure_ascii=False)
