"""What stands between a vendor's reply and ours: calls that are whole, a tool whose input is the reply, and stops."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from sourcebook.models.base import Finish, JsonSchema, ModelEvent, TextPart, ToolCall, ToolCallPart
from sourcebook.models.formats.stopping import StopSequences


def finished_calls(calls: Iterable[ToolCall]) -> list[ToolCallPart]:
    """Those whose arguments are whole: of a reply that met its limit the last one may be cut off."""
    return [ToolCallPart(call=one) for one in calls if _is_json(one.arguments)]


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def shared_stops(stops: Sequence[str], *, most: int | None = None) -> tuple[list[str], list[str]]:
    """Stop sequences that the vendor takes, which are not blank and not more than it has room for; and the others."""
    taken = [one for one in stops if one.strip()][:most]
    return taken, [one for one in stops if one not in taken]


def stopped(events: Iterable[ModelEvent], stops: StopSequences) -> Iterator[ModelEvent]:
    """The reply up to the first of the sequences that the vendor did not take; what is left of it is not asked for."""
    for event in events:
        if isinstance(event, TextPart):
            yield from stops.feed(event)
            if stops.stopped:
                yield Finish(reason="stop")
                return
        else:
            if isinstance(event, Finish | ToolCallPart):
                yield from stops.rest()
            yield event


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplyTool:
    """For models that are held to a tool's schema and to no other: a tool that must be called with the reply.

    wrapped: whether the reply is the one property of the input, because the wanted schema is not an object's.
    """

    schema: JsonSchema
    wrapped: bool
    name: str = "reply"
    description: str = "Give the reply to the user. This is the only way to reply."

    @classmethod
    def of(cls, schema: JsonSchema) -> ReplyTool:
        """For the schema that the reply must have."""
        if schema.get("type") == "object":
            return cls(schema=schema, wrapped=False)
        shared = {name: schema[name] for name in ("$defs", "definitions") if name in schema}  # what "$ref" points at
        inner = {name: value for name, value in schema.items() if name not in shared}
        return cls(
            schema={"type": "object", "properties": {"reply": inner}, "required": ["reply"], **shared}, wrapped=True
        )

    def unwrapped(self, arguments: str) -> str:
        """The reply's text of a wrapping input; of others, which were sent on as they came, nothing more."""
        if not self.wrapped:
            return ""
        try:
            value = json.loads(arguments)["reply"]
        except (ValueError, KeyError, TypeError):
            return arguments
        return json.dumps(value, ensure_ascii=False)
