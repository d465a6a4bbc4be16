"""A stand-in for OpenAI's responses API, from the vendor's published schema; requests are checked by its SDK."""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from aiohttp import web

from sourcebook.testing.doubles import Double, Fault, Reply, Seen, sse
from sourcebook.types import Usage
from tests.models.doubles.openai_chat import ERRORS
from tests.models.doubles.openai_rules import schema_broken, settings_broken
from tests.models.doubles.tools import halves
from tests.models.doubles.typed import prepare, types_find

ENCRYPTED = "gAAAA-encrypted-thoughts-of-the-double"


class OpenAIResponsesDouble(Double):
    """POST /v1/responses."""

    path = "/v1/responses"

    def __init__(self) -> None:
        super().__init__()
        prepare(*_params())

    def routes(self) -> Sequence[web.RouteDef]:
        return [web.post(self.path, self.respond)]

    def check(self, seen: Seen) -> str:
        return sdk_finds(seen.body) or next(_rules_broken(seen.body), "")

    def refusal(self, fault: Fault, seen: Seen) -> tuple[int, Mapping[str, str], bytes]:
        status, kind, code, message = ERRORS[fault.error]
        error = {"message": message.format(key=self.presented(seen)), "type": kind, "param": None, "code": code}
        return status, {}, json.dumps({"error": error}).encode()

    def fault_event(self, fault: Fault) -> bytes | None:
        _, kind, code, message = ERRORS[fault.error]
        said = {"type": "error", "code": code or kind, "message": message, "param": None, "sequence_number": 99}
        return sse(said, "error")

    def preamble(self, reply: Reply) -> int:
        thinking = 4 + len(reply.thoughts) if reply.thoughts else 0
        return 2 + thinking + 2

    def whole(self, reply: Reply, seen: Seen) -> bytes:
        return json.dumps(_response(reply, seen, _output(reply))).encode()

    def streamed(self, reply: Reply, seen: Seen) -> list[bytes]:
        return [sse({**one, "sequence_number": number}, one["type"]) for number, one in enumerate(_said(reply, seen))]


def _said(reply: Reply, seen: Seen) -> list[dict[str, Any]]:
    """The events, in the order in which the vendor sends them."""
    begun = {**_response(reply, seen, []), "status": "in_progress", "incomplete_details": None}
    del begun["usage"]
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
    ]
    for place, item in enumerate(_output(reply)):
        where = {"item_id": item["id"], "output_index": place}
        added = {**item, "status": "in_progress"}
        if item["type"] == "message":
            events.append(_item("added", place, {**added, "content": []}))
            events += _message(item["content"][0], reply, where)
        elif item["type"] == "reasoning":
            events.append(_item("added", place, {**added, "summary": [], "encrypted_content": None}))
            events += _summary(item["summary"][0], reply, where)
        else:
            events.append(_item("added", place, {**added, "arguments": ""}))
            for part in halves(item["arguments"]):
                events.append({"type": "response.function_call_arguments.delta", **where, "delta": part})
            done = {"arguments": item["arguments"], "name": item["name"]}
            events.append({"type": "response.function_call_arguments.done", **where, **done})
        events.append(_item("done", place, item))
    whole = _response(reply, seen, _output(reply))
    events.append({"type": f"response.{whole['status']}", "response": whole})
    return events


def _message(part: Mapping[str, Any], reply: Reply, where: Mapping[str, Any]) -> list[dict[str, Any]]:
    place = {**where, "content_index": 0}
    if reply.refusal:
        return [
            {"type": "response.content_part.added", **place, "part": {**part, "refusal": ""}},
            *({"type": "response.refusal.delta", **place, "delta": piece} for piece in reply.pieces),
            {"type": "response.refusal.done", **place, "refusal": reply.text},
            {"type": "response.content_part.done", **place, "part": part},
        ]
    events: list[dict[str, Any]] = [
        {"type": "response.content_part.added", **place, "part": {**part, "text": "", "logprobs": []}}
    ]
    for number, piece in enumerate(reply.pieces):
        logprobs = _logprobs(reply, number)
        events.append({"type": "response.output_text.delta", **place, "delta": piece, "logprobs": logprobs})
    done = {"text": reply.text, "logprobs": part["logprobs"]}
    events.append({"type": "response.output_text.done", **place, **done})
    events.append({"type": "response.content_part.done", **place, "part": part})
    return events


def _summary(part: Mapping[str, Any], reply: Reply, where: Mapping[str, Any]) -> list[dict[str, Any]]:
    place = {**where, "summary_index": 0}
    named = "response.reasoning_summary_"
    return [
        {"type": f"{named}part.added", **place, "part": {**part, "text": ""}},
        *({"type": f"{named}text.delta", **place, "delta": one} for one in reply.thoughts),
        {"type": f"{named}text.done", **place, "text": part["text"]},
        {"type": f"{named}part.done", **place, "part": part},
    ][: 2 + len(reply.thoughts)]


def _item(what: str, place: int, item: dict[str, Any]) -> dict[str, Any]:
    return {"type": f"response.output_item.{what}", "output_index": place, "item": item}


def _output(reply: Reply) -> list[dict[str, Any]]:
    output: list[dict[str, Any]] = []
    if reply.thoughts:
        summary = [{"type": "summary_text", "text": "".join(reply.thoughts)}]
        output.append({"type": "reasoning", "id": "rs_1", "summary": summary, "encrypted_content": ENCRYPTED})
    logprobs = [one for number in range(len(reply.logprobs)) for one in _logprobs(reply, number)]
    content: dict[str, Any] = {
        "type": "output_text", "text": reply.text, "annotations": [], "logprobs": logprobs
    }  # fmt: skip
    if reply.refusal:
        content = {"type": "refusal", "refusal": reply.text}
    output.append({"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [content]})
    for number, call in enumerate(reply.tool_calls):
        named = {"call_id": call.id, "name": call.name, "arguments": call.arguments}
        status = "completed" if reply.finish != "length" or _is_whole(call.arguments) else "incomplete"
        output.append({"type": "function_call", "id": f"fc_{number}", "status": status, **named})
    return output


def _is_whole(arguments: str) -> bool:
    return arguments.endswith("}")


def _logprobs(reply: Reply, number: int) -> list[dict[str, Any]]:
    if not reply.logprobs:
        return []
    return [{"token": reply.pieces[number], "logprob": reply.logprobs[number], "bytes": [], "top_logprobs": []}]


def _response(reply: Reply, seen: Seen, output: list[dict[str, Any]]) -> dict[str, Any]:
    why = None if reply.refusal else {"length": "max_output_tokens", "filtered": "content_filter"}.get(reply.finish)
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1_700_000_000,
        "status": "incomplete" if why else "completed",
        "error": None,
        "incomplete_details": {"reason": why} if why else None,
        "instructions": None,
        "max_output_tokens": seen.body.get("max_output_tokens"),
        "metadata": {},
        "model": f"{seen.body.get('model') or 'gpt-double'}-2026",
        "output": output,
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": _usage(reply.usage),
    }


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens, "cache_write_tokens": usage.cache_write_tokens},
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }


@cache
def _params() -> tuple[Any, Any]:
    from openai.types.responses import response_create_params as params

    return params.ResponseCreateParamsStreaming, params.ResponseCreateParamsNonStreaming


def sdk_finds(body: Mapping[str, Any]) -> str:
    """What the official SDK's own types find wrong with a request."""
    streaming, plain = _params()
    return types_find(streaming if body.get("stream") else plain, body) or ("" if body.get("input") else "no input")


def _rules_broken(body: Mapping[str, Any]) -> Iterator[str]:
    settings = {name: body[name] for name in ("temperature", "top_p") if name in body}
    if "message.output_text.logprobs" in (body.get("include") or ()):
        settings["logprobs"] = True
    yield from settings_broken(body["model"], settings, (body.get("reasoning") or {}).get("effort"))
    wanted = (body.get("text") or {}).get("format")
    if wanted and (wrong := schema_broken(wanted["schema"], strict=wanted["strict"])):
        yield f"Invalid schema for response_format 'reply': {wrong}"
