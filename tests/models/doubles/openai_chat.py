"""A stand-in for OpenAI's chat completions, from the vendor's published schema; requests are checked by its SDK."""

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
    QuotaExhausted,
    RateLimited,
    Refused,
    Unavailable,
)
from sourcebook.testing.doubles import Double, Fault, Reply, Seen, sse
from sourcebook.types import Usage
from tests.models.doubles.checking import finds

ERRORS: dict[type[ModelError], tuple[int, str, str | None, str]] = {
    InvalidRequest: (400, "invalid_request_error", "invalid_value", "Invalid value for 'temperature'."),
    NotAuthorised: (401, "invalid_request_error", "invalid_api_key", "Incorrect API key provided: {key}."),
    NoSuchModel: (404, "invalid_request_error", "model_not_found", "The model `gpt-9` does not exist."),
    ContextTooLong: (
        400,
        "invalid_request_error",
        "context_length_exceeded",
        "This model's maximum context length is 8192 tokens, however you requested 9000 tokens.",
    ),
    RateLimited: (429, "tokens", "rate_limit_exceeded", "Rate limit reached for gpt-4o on tokens per min."),
    QuotaExhausted: (429, "insufficient_quota", "insufficient_quota", "You exceeded your current quota."),
    Refused: (
        400,
        "invalid_request_error",
        "content_policy_violation",
        "Your request was rejected by our safety system.",
    ),
    Unavailable: (503, "server_error", None, "The engine is currently overloaded, please try again later."),
}
FINISH = {"stop": "stop", "length": "length", "tool_calls": "tool_calls", "filtered": "content_filter"}


class OpenAIChatDouble(Double):
    """POST /v1/chat/completions. thinking: the field that servers put reasoning into, OpenAI itself none."""

    path = "/v1/chat/completions"
    thinking = "reasoning_content"
    unknown: Sequence[str] = ()  # fields that a server of this format takes besides the vendor's

    def routes(self) -> Sequence[web.RouteDef]:
        return [web.post(self.path, self.respond)]

    def check(self, seen: Seen) -> str:
        return sdk_finds({name: value for name, value in seen.body.items() if name not in self.unknown})

    def refusal(self, fault: Fault, seen: Seen) -> tuple[int, Mapping[str, str], bytes]:
        status, kind, code, message = ERRORS[fault.error]
        key = seen.headers.get("authorization", "").removeprefix("Bearer ")
        error = {"message": message.format(key=key), "type": kind, "param": None, "code": code}
        return status, {}, json.dumps({"error": error}).encode()

    def fault_event(self, fault: Fault) -> bytes | None:
        _, kind, code, message = ERRORS[fault.error]
        return sse({"error": {"message": message, "type": kind, "param": None, "code": code}})

    def preamble(self, reply: Reply) -> int:
        return 1 + len(reply.thoughts)

    def whole(self, reply: Reply, seen: Seen) -> bytes:
        message: dict[str, Any] = {"role": "assistant", "content": reply.text or None, "refusal": None}
        if reply.thoughts:
            message[self.thinking] = "".join(reply.thoughts)
        if reply.tool_calls:
            message["tool_calls"] = [
                {"id": one.id, "type": "function", "function": {"name": one.name, "arguments": one.arguments}}
                for one in reply.tool_calls
            ]
        choice = {
            "index": 0,
            "message": message,
            "logprobs": _logprobs(reply.pieces, reply.logprobs),
            "finish_reason": FINISH[reply.finish],
        }
        return json.dumps(
            {**_head("chat.completion", seen), "choices": [choice], "usage": usage_of(reply.usage)}
        ).encode()

    def streamed(self, reply: Reply, seen: Seen) -> list[bytes]:
        def chunk(delta: dict[str, Any], finish: str | None = None, logprobs: object = None) -> bytes:
            choice = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
            return sse({**_head("chat.completion.chunk", seen), "choices": [choice]})

        events = [chunk({"role": "assistant", "content": "", "refusal": None})]
        events += [chunk({self.thinking: one}) for one in reply.thoughts]
        logprobs = reply.logprobs or (None,) * len(reply.pieces)
        for piece, logprob in zip(reply.pieces, logprobs, strict=True):
            events.append(
                chunk({"content": piece}, logprobs=None if logprob is None else _logprobs([piece], [logprob]))
            )
        for number, call in enumerate(reply.tool_calls):
            head = {
                "index": number,
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": ""},
            }
            events.append(chunk({"tool_calls": [head]}))
            half = len(call.arguments) // 2
            for part in (call.arguments[:half], call.arguments[half:]):
                events.append(chunk({"tool_calls": [{"index": number, "function": {"arguments": part}}]}))
        events.append(chunk({}, finish=FINISH[reply.finish]))
        if (seen.body.get("stream_options") or {}).get("include_usage"):
            events.append(sse({**_head("chat.completion.chunk", seen), "choices": [], "usage": usage_of(reply.usage)}))
        events.append(b"data: [DONE]\n\n")
        return events


def usage_of(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def _head(kind: str, seen: Seen) -> dict[str, Any]:
    model = seen.body.get("model") or "gpt-double"
    return {"id": "chatcmpl-1", "object": kind, "created": 1_700_000_000, "model": f"{model}-2026"}


def _logprobs(pieces: Sequence[str], logprobs: Sequence[float]) -> dict[str, Any] | None:
    if not logprobs:
        return None
    return {
        "content": [
            {"token": piece, "logprob": logprob, "bytes": None, "top_logprobs": []}
            for piece, logprob in zip(pieces, logprobs, strict=True)
        ],
        "refusal": None,
    }


def sdk_finds(body: Mapping[str, Any]) -> str:
    """What the official SDK's own types find wrong with a request."""
    from openai.types.chat import completion_create_params as params

    streaming, plain = params.CompletionCreateParamsStreaming, params.CompletionCreateParamsNonStreaming
    return finds(streaming if body.get("stream") else plain, body) or ("" if body.get("messages") else "no messages")


class AzureDouble(OpenAIChatDouble):
    """Azure's: the undated v1 path and the dated one, the key in a header of its own."""

    def routes(self) -> Sequence[web.RouteDef]:
        paths = ("/openai/v1/chat/completions", "/openai/deployments/{deployment}/chat/completions")
        return [web.post(path, self.respond) for path in paths]

    def authorised(self, seen: Seen) -> bool:
        return seen.headers.get("api-key") == self.key and "authorization" not in seen.headers

    def check(self, seen: Seen) -> str:
        dated = "/deployments/" in seen.path
        if dated != ("api-version" in seen.query):
            return "a dated path needs api-version, the undated one has none"
        return super().check(seen)


class MistralDouble(OpenAIChatDouble):
    """Mistral's: thoughts are parts of the content, the seed and a reply that was begun have fields of their own."""

    def check(self, seen: Seen) -> str:
        rest = {name: value for name, value in seen.body.items() if name != "random_seed"}
        if extra := {"seed", "stream_options"} & set(rest):
            return f"Extra inputs are not permitted: {extra}"
        messages = [dict(one) for one in rest.get("messages", ())]
        if messages and (messages[-1]["role"] == "assistant") != (messages[-1].pop("prefix", False) is True):
            return "Expected last role User or Tool (or Assistant with prefix True)"
        return sdk_finds({**rest, "messages": messages})

    def whole(self, reply: Reply, seen: Seen) -> bytes:
        said = json.loads(super().whole(reply, seen))
        message = said["choices"][0]["message"]
        if thought := message.pop(self.thinking, None):
            text = {"type": "text", "text": message["content"] or ""}
            message["content"] = [{"type": "thinking", "thinking": [{"type": "text", "text": thought}]}, text]
        return json.dumps(said).encode()

    def streamed(self, reply: Reply, seen: Seen) -> list[bytes]:
        asked = Seen(**{**_fields(seen), "body": {**seen.body, "stream_options": {"include_usage": True}}})
        events = []
        for event in super().streamed(reply, asked):
            text = event.decode().removeprefix("data: ").strip()
            said = {} if text == "[DONE]" else json.loads(text)
            for choice in said.get("choices", ()):
                if thought := choice["delta"].pop(self.thinking, None):
                    part = {"type": "thinking", "thinking": [{"type": "text", "text": thought}]}
                    choice["delta"]["content"] = [part]
            events.append(sse(said) if said else event)
        return events


def _fields(seen: Seen) -> dict[str, Any]:
    return {name: getattr(seen, name) for name in ("method", "path", "headers", "query", "body", "raw")}
