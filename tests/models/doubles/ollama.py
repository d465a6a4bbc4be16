"""A stand-in for Ollama, from its documentation and its SDK's types; requests are checked by the latter."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web

from sourcebook.errors import (
    ContextTooLong,
    InvalidRequest,
    ModelError,
    NoSuchModel,
    NotAuthorised,
    RateLimited,
    Unavailable,
)
from sourcebook.testing.doubles import Double, Fault, Reply, Seen
from tests.models.doubles.typed import dumps_find

ERRORS: dict[type[ModelError], tuple[int, str]] = {
    InvalidRequest: (400, "invalid options: temperature"),
    NotAuthorised: (401, "unauthorized: {key}"),
    NoSuchModel: (404, "model 'llama9' not found"),
    ContextTooLong: (400, "the input length exceeds the context length"),
    RateLimited: (429, "too many concurrent requests"),
    Unavailable: (503, "server busy, please try again. maximum pending requests exceeded"),
}


class OllamaDouble(Double):
    """POST /api/chat."""

    content_type = "application/x-ndjson"

    def routes(self) -> Sequence[web.RouteDef]:
        return [web.post("/api/chat", self.respond)]

    def check(self, seen: Seen) -> str:
        return sdk_finds(seen.body)

    def streams(self, seen: Seen) -> bool:
        return bool(seen.body.get("stream", True))

    def refusal(self, fault: Fault, seen: Seen) -> tuple[int, Mapping[str, str], bytes]:
        status, message = ERRORS[fault.error]
        return status, {}, json.dumps({"error": message.format(key=self.presented(seen))}).encode()

    def fault_event(self, fault: Fault) -> bytes | None:
        return json.dumps({"error": ERRORS[fault.error][1]}).encode() + b"\n"

    def preamble(self, reply: Reply) -> int:
        return len(reply.thoughts)

    def whole(self, reply: Reply, seen: Seen) -> bytes:
        message: dict[str, Any] = {"role": "assistant", "content": reply.text}
        if reply.thoughts:
            message["thinking"] = "".join(reply.thoughts)
        if reply.tool_calls:
            message["tool_calls"] = _calls(reply)
        said = {"message": message, **_logprobs(reply, range(len(reply.logprobs)))}
        return json.dumps(_line(seen, said, reply)).encode()

    def streamed(self, reply: Reply, seen: Seen) -> list[bytes]:
        says: list[dict[str, Any]] = [{"message": _said("", thinking=one)} for one in reply.thoughts]
        for number, piece in enumerate(reply.pieces):
            logprobs = _logprobs(reply, [number] if reply.logprobs else [])
            says.append({"message": _said(piece), **logprobs})
        if reply.tool_calls:
            says.append({"message": _said("", tool_calls=_calls(reply))})
        lines = [_line(seen, one) for one in says]
        lines.append(_line(seen, {"message": _said("")}, reply))
        return [json.dumps(one, ensure_ascii=False).encode() + b"\n" for one in lines]


def _said(text: str, **more: object) -> dict[str, Any]:
    return {"role": "assistant", "content": text, **more}


def _calls(reply: Reply) -> list[dict[str, Any]]:
    return [
        {"id": one.id, "function": {"index": number, "name": one.name, "arguments": json.loads(one.arguments)}}
        for number, one in enumerate(reply.tool_calls)
    ]


def _logprobs(reply: Reply, numbers: Sequence[int]) -> dict[str, Any]:
    tokens = [{"token": reply.pieces[one], "logprob": reply.logprobs[one]} for one in numbers]
    return {"logprobs": tokens} if tokens else {}


def _line(seen: Seen, said: Mapping[str, Any], over: Reply | None = None) -> dict[str, Any]:
    line = {"model": seen.body.get("model") or "double", "created_at": "2026-11-22T12:00:00.123456Z", **said}
    if over is None:
        return {**line, "done": False}
    return {
        **line,
        "done": True,
        "done_reason": "length" if over.finish == "length" else "stop",
        "total_duration": 4_883_583_458,
        "load_duration": 1_334_875,
        "prompt_eval_count": over.usage.input_tokens,
        "prompt_eval_duration": 342_546_000,
        "eval_count": over.usage.output_tokens,
        "eval_duration": 4_535_599_000,
    }


def sdk_finds(body: Mapping[str, Any]) -> str:
    """What the official SDK's own types find wrong with a request.

    It does not know `truncate`, `shift` and the ids of calls yet, which the server takes.
    """
    from ollama._types import ChatRequest, Message, Options

    rest = {name: value for name, value in body.items() if name not in ("truncate", "shift")}
    unknown = sorted(set(body.get("options") or {}) - set(Options.model_fields))
    if unknown:
        return f"unknown options: {unknown}"
    rest["tools"] = [_narrowed(one) for one in rest.get("tools") or ()]
    wrong = [dumps_find(Message, _without_the_new(one)) for one in rest.get("messages") or ()]  # ChatRequest takes any
    return (
        next(filter(None, wrong), "")
        or dumps_find(ChatRequest, rest)
        or ("" if body.get("messages") else "no messages")
    )


def _narrowed(tool: dict[str, Any]) -> dict[str, Any]:
    """The tool without those words of its parameters' schema that the SDK drops and the server takes."""
    parameters = {name: one for name, one in tool["function"]["parameters"].items() if name != "additionalProperties"}
    return {**tool, "function": {**tool["function"], "parameters": parameters}}


def _without_the_new(message: dict[str, Any]) -> dict[str, Any]:
    """The message without ids, and without pictures, which the SDK writes from objects of its own."""
    written = {name: value for name, value in message.items() if name not in ("tool_call_id", "images")}
    if "tool_calls" in written:
        written["tool_calls"] = [{name: one[name] for name in one if name != "id"} for one in written["tool_calls"]]
    return written
