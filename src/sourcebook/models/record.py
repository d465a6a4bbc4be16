"""Requests as JSON, and back: what an answer's record keeps, so that the same bytes can be made again."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from typing import Any

from sourcebook.models.base import Image, Message, ModelRequest, Thought, Tool, ToolCall
from sourcebook.types import Computed, Hit, Passage, PassageId, TableRead

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
    """The request that a record was made from; what a later release added to any part of it is passed over."""
    known = {one.name for one in fields(ModelRequest)} - set(_NOT_KEPT)
    settings: dict[str, Any] = {name: value for name, value in record.items() if name in known}
    if "stop" in settings:
        settings["stop"] = tuple(settings["stop"])
    return replace(
        ModelRequest(**settings),
        evidence=tuple(evidence),
        messages=tuple(_message_from(one) for one in record.get("messages", ())),
        tools=tuple(Tool(**_known(Tool, one)) for one in record.get("tools", ())),
    )


def hit_record(hit: Hit) -> dict[str, Any]:
    """A hit as JSON values."""
    return {
        **{one.name: _plain(getattr(hit.passage, one.name)) for one in fields(Passage)},
        "score": hit.score,
        "channels": dict(hit.channels),
        "duplicates": list(hit.duplicates),
        **({} if hit.computed is None else {"computed": asdict(hit.computed)}),
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
        computed=_computed_from(record["computed"]) if record.get("computed") else None,
    )


def computed_json(computed: Computed) -> dict[str, Any]:
    """A computation for other programs: its rows as arrays, not as the text that the model saw."""
    return {**_plain(asdict(computed)), "rows": [json.loads(row) for row in computed.rows]}


def _computed_from(record: Mapping[str, Any]) -> Computed:
    return Computed(
        sql=record["sql"],
        columns=tuple(record["columns"]),
        rows=tuple(record["rows"]),
        tables=tuple(TableRead(**one) for one in record["tables"]),
        cut=record["cut"],
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
    values = _known(Message, record)
    values["images"] = tuple(_image_from(one) for one in record.get("images", ()))
    values["tool_calls"] = tuple(ToolCall(**_known(ToolCall, one)) for one in record.get("tool_calls", ()))
    values["thoughts"] = tuple(Thought(**_known(Thought, one)) for one in record.get("thoughts", ()))
    return Message(**values)


def _image_from(record: Mapping[str, Any]) -> Image:
    data = record.get("data")
    return Image(**_known(Image, record) | {"data": None if data is None else base64.b64decode(data)})


def _known(kind: type[Message | Image | ToolCall | Thought | Tool], record: Mapping[str, Any]) -> dict[str, Any]:
    """What of a record this release knows."""
    names = {one.name for one in fields(kind)}
    return {name: value for name, value in record.items() if name in names}


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
