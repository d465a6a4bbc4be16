"""A stand-in for Cohere's chat, version 2, from its published schema and examples; its SDK's types check requests."""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from aiohttp import web

from sourcebook.errors import (
    ContextTooLong,
    InvalidRequest,
    ModelError,
    NoSuchModel,
    NotAuthorised,
    QuotaExhausted,
    RateLimited,
    Refused,
    Unavailable,
)
from sourcebook.models.base import ToolCall
from sourcebook.testing.doubles import Double, Fault, Reply, Seen, sse
from sourcebook.types import Usage
from tests.models.doubles.tools import halves, reply_tool
from tests.models.doubles.typed import models_find, prepare

_UPGRADE = (
    "You can continue to use the Trial key for free or upgrade to a Production key with higher rate limits at "
    "'https://dashboard.cohere.com/api-keys'."
)
ERRORS: dict[type[ModelError], tuple[int, str]] = {
    InvalidRequest: (422, "invalid request: temperature must be between 0 and 1.0 inclusive."),
    NotAuthorised: (401, "invalid api token {key}"),
    NoSuchModel: (404, "model 'command-nothing' not found, make sure the correct model ID was used"),
    ContextTooLong: (400, "too many tokens: the prompt's total number of tokens cannot exceed 128000"),
    RateLimited: (429, f"You are using a Trial key, which is limited to 20 API calls / minute. {_UPGRADE}"),
    QuotaExhausted: (429, f"You are using a Trial key, which is limited to 1000 API calls / month. {_UPGRADE}"),
    Refused: (498, "invalid token: the request has a deny-listed word"),
    Unavailable: (503, "the service is unavailable"),
}  # fmt: skip
FINISH = {"stop": "COMPLETE", "length": "MAX_TOKENS", "tool_calls": "TOOL_CALL"}
FIELDS = frozenset((
    "model", "messages", "tools", "strict_tools", "documents", "citation_options", "response_format", "safety_mode",
    "max_tokens", "stop_sequences", "temperature", "seed", "frequency_penalty", "presence_penalty", "k", "p",
    "logprobs", "tool_choice", "thinking", "priority", "stream", "raw_prompting",
))  # fmt: skip


class CohereDouble(Double):
    """POST /v2/chat. planned: whether what is thought before tools is a plan, as of models that do not reason."""

    request_id_header = "x-debug-trace-id"
    planned = False

    def __init__(self) -> None:
        super().__init__()
        prepare(*_kinds().values())

    def routes(self) -> Sequence[web.RouteDef]:
        return [web.post("/v2/chat", self.respond)]

    def check(self, seen: Seen) -> str:
        body = seen.body
        if unknown := set(body) - FIELDS:
            return f"unknown fields {sorted(unknown)}"
        if not isinstance(body.get("model"), str) or not body.get("messages"):
            return "model and messages are required"
        found = [models_find(kind, body[name], name) for name, kind in _kinds().items() if name in body]
        return next(filter(None, found), "") or next(_rules_broken(body), "")

    def refusal(self, fault: Fault, seen: Seen) -> tuple[int, Mapping[str, str], bytes]:
        status, message = ERRORS[fault.error]
        return status, {}, json.dumps({"id": "id-1", "message": message.format(key=self.presented(seen))}).encode()

    def fault_event(self, fault: Fault) -> bytes | None:
        delta = {"finish_reason": "ERROR", "error": ERRORS[fault.error][1]}
        return _event("message-end", delta=delta)

    def preamble(self, reply: Reply) -> int:
        plain = 2
        if not reply.thoughts:
            return plain
        return plain + len(reply.thoughts) + (0 if self.planned else 2)

    def whole(self, reply: Reply, seen: Seen) -> bytes:
        message: dict[str, Any] = {"role": "assistant"}
        content = []
        if reply.thoughts and self.planned:
            message["tool_plan"] = "".join(reply.thoughts)
        elif reply.thoughts:
            content.append({"type": "thinking", "thinking": "".join(reply.thoughts)})
        calls = list(reply.tool_calls)
        if name := _reply_tool(seen.body):
            calls = [ToolCall(id="reply_1", name=name, arguments=reply.text), *calls]
        elif reply.pieces:
            content.append({"type": "text", "text": reply.text})
        if content:
            message["content"] = content
        if calls:
            message["tool_calls"] = [
                {"id": one.id, "type": "function", "function": {"name": one.name, "arguments": one.arguments}}
                for one in calls
            ]
        body: dict[str, Any] = {
            "id": "c14c80c3",
            "message": message,
            "finish_reason": _reason(reply, seen),
            "usage": usage_of(reply.usage),
        }
        if reply.logprobs:
            pairs = zip(reply.pieces, reply.logprobs, strict=True)
            body["logprobs"] = [_logprob(piece, logprob) for piece, logprob in pairs]
        return json.dumps(body).encode()

    def streamed(self, reply: Reply, seen: Seen) -> list[bytes]:
        end = {"finish_reason": _reason(reply, seen), "usage": usage_of(reply.usage)}
        return [
            _event("message-start", id="c14c80c3", delta={"message": {"role": "assistant"}}),
            *self._thoughts(reply),
            *_text(reply, seen),
            *(event for number, call in enumerate(reply.tool_calls) for event in _call(number, call)),
            _event("message-end", delta=end),
        ]

    def _thoughts(self, reply: Reply) -> Iterator[bytes]:
        if self.planned:
            for one in reply.thoughts:
                yield _event("tool-plan-delta", delta={"message": {"tool_plan": one}})
        elif reply.thoughts:
            yield from _content(0, "thinking", [_event_of_content(0, "thinking", one) for one in reply.thoughts])


@cache
def _kinds() -> Mapping[str, Any]:
    import cohere

    return {
        "messages": cohere.ChatMessages,
        "tools": list[cohere.ToolV2],
        "response_format": cohere.ResponseFormatV2,
        "thinking": cohere.Thinking,
    }


def usage_of(usage: Usage) -> dict[str, Any]:
    billed = {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}
    tokens = {"input_tokens": usage.input_tokens + 66.0, "output_tokens": usage.output_tokens}
    return {"billed_units": billed, "tokens": tokens, "cached_tokens": usage.cached_tokens}


def _text(reply: Reply, seen: Seen) -> Iterator[bytes]:
    index = 1 if reply.thoughts else 0
    if reply.pieces and (name := _reply_tool(seen.body)):
        yield from _call(0, ToolCall(id="reply_1", name=name, arguments=""), reply.pieces)
    elif reply.pieces:
        logprobs = reply.logprobs or (None,) * len(reply.pieces)
        pairs = zip(reply.pieces, logprobs, strict=True)
        yield from _content(index, "text", [_event_of_content(index, "text", *one) for one in pairs])


def _content(index: int, kind: str, deltas: Sequence[bytes]) -> Iterator[bytes]:
    yield _event("content-start", index=index, delta={"message": {"content": {"type": kind, kind: ""}}})
    yield from deltas
    yield _event("content-end", index=index)


def _event_of_content(index: int, kind: str, piece: str, logprob: float | None = None) -> bytes:
    more = {} if logprob is None else {"logprobs": _logprob(piece, logprob)}
    return _event("content-delta", index=index, delta={"message": {"content": {kind: piece}}}, **more)


def _call(index: int, call: ToolCall, pieces: Sequence[str] = ()) -> Iterator[bytes]:
    head = {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": ""}}
    yield _event("tool-call-start", index=index, delta={"message": {"tool_calls": head}})
    for piece in pieces or halves(call.arguments):
        delta = {"message": {"tool_calls": {"function": {"arguments": piece}}}}
        yield _event("tool-call-delta", index=index, delta=delta)
    yield _event("tool-call-end", index=index)


def _event(kind: str, **fields: Any) -> bytes:
    return sse({"type": kind, **fields}, kind)


def _logprob(piece: str, logprob: float) -> dict[str, Any]:
    return {"text": piece, "token_ids": [17], "logprobs": [logprob]}


def _reason(reply: Reply, seen: Seen) -> str:
    return "TOOL_CALL" if _reply_tool(seen.body) and reply.finish == "stop" else FINISH[reply.finish]


def _reply_tool(body: Mapping[str, Any]) -> str:
    return reply_tool(one["function"] for one in body.get("tools") or ())


def _rules_broken(body: Mapping[str, Any]) -> Iterator[str]:
    """Rules that the types do not tell."""
    if not 0.01 <= body.get("p", 0.75) <= 0.99 or not 0 <= body.get("temperature", 0.3) <= 1:
        yield "p or temperature is out of its range"
    if body.get("tool_choice") not in (None, "REQUIRED", "NONE"):
        yield "tool_choice is none of REQUIRED, NONE"
    if "tool_choice" in body and not body.get("tools"):
        yield "tool_choice without tools"
    if "response_format" in body and body.get("tools"):
        yield "response_format is not supported with tools"
    wanted = (body.get("response_format") or {}).get("json_schema") or {"type": "object"}
    if wanted.get("type") != "object":
        yield "the schema's top level is not an object"
    asked: set[str] = set()
    for message in body["messages"]:
        asked |= {one["id"] for one in message.get("tool_calls") or ()}
        if message["role"] == "tool" and message["tool_call_id"] not in asked:
            yield "a result of a call that nobody made"
    if body["messages"][-1]["role"] == "assistant":
        yield "the last message is the assistant's"
