"""Requests as JSON, and back: what an answer's record keeps, so that the same bytes can be made again."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from typing import Any

from sourcebook.models.base import Image, Message, ModelRequest, Thought, Tool, ToolCall
from sourcebook.types import Hit, Passage, PassageId

_NOT_KEPT = ("evidence", "deadline", "answer_id", "messages", "tools")
"""Written in their own way, or true of one run only."""


def request_record(request: ModelRequest) -> dict[str, Any]:
    """A request as JSON values, its evidence and its deadline left out. Settings at their default are left out too."""
    default = ModelRequest()
    record: dict[str, Any] = {
        one.name: _plain(getattr(request, one.name))
        for one in fields(ModelRequest)
        if one.name not in _NOT_KEPT and getattr(request, one.name) != getattr(default, one.name)
    }
    record["messages"] = [_message_record(one) for one in request.messages]
    if request.tools:
        record["tools"] = [
            {"name": one.name, "description": one.description, "parameters": one.parameters} for one in request.tools
        ]
    return record


def request_from(record: Mapping[str, Any], evidence: Sequence[Hit] = ()) -> ModelRequest:
    """The request that a record was made from; settings that are unknown now are passed over."""
    known = {one.name for one in fields(ModelRequest)} - set(_NOT_KEPT)
    settings: dict[str, Any] = {name: value for name, value in record.items() if name in known}
    if "stop" in settings:
        settings["stop"] = tuple(settings["stop"])
    return replace(
        ModelRequest(**settings),
        evidence=tuple(evidence),
        messages=tuple(_message_from(one) for one in record.get("messages", ())),
        tools=tuple(Tool(**one) for one in record.get("tools", ())),
    )


def hit_record(hit: Hit) -> dict[str, Any]:
    """A hit as JSON values."""
    return {
        **{one.name: _plain(getattr(hit.passage, one.name)) for one in fields(Passage)},
        "score": hit.score,
        "channels": dict(hit.channels),
        "duplicates": list(hit.duplicates),
    }


def hit_from(record: Mapping[str, Any]) -> Hit:
    """The hit that a record was made from."""
    values: dict[str, Any] = {one.name: record[one.name] for one in fields(Passage) if one.name in record}
    values["id"] = PassageId(record["id"])
    values["heading_path"] = tuple(record.get("heading_path", ()))
    values["metadata"] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in record.get("metadata", {}).items()
    }
    values.setdefault("ordinal", 0)
    return Hit(
        passage=Passage(**values),
        score=record["score"],
        channels=record.get("channels", {}),
        duplicates=tuple(record.get("duplicates", ())),
    )


def _message_record(message: Message) -> dict[str, Any]:
    default = Message(role=message.role)
    record: dict[str, Any] = {"role": message.role}
    for one in fields(Message):
        value = getattr(message, one.name)
        if value != getattr(default, one.name):
            record[one.name] = _plain(value)
    return record


def _message_from(record: Mapping[str, Any]) -> Message:
    values = dict(record)
    values["images"] = tuple(
        Image(**{**one, "data": None if one.get("data") is None else base64.b64decode(one["data"])})
        for one in record.get("images", ())
    )
    values["tool_calls"] = tuple(ToolCall(**one) for one in record.get("tool_calls", ()))
    values["thoughts"] = tuple(Thought(**one) for one in record.get("thoughts", ()))
    return Message(**values)


def _plain(value: object) -> Any:
    match value:
        case bytes():
            return base64.b64encode(value).decode()
        case tuple() | list():
            return [_plain(one) for one in value]
        case Mapping():
            return {str(name): _plain(one) for name, one in value.items()}
        case Image() | ToolCall() | Thought():
            return {name: _plain(one) for name, one in asdict(value).items()}
    return value
