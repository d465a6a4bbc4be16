"""A stand-in for OpenAI's chat completions, from the vendor's published schema; requests are checked by its SDK."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
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
from sourcebook.testing.doubles import Double, Fault, Reply, Seen, sse
from sourcebook.types import Usage
from tests.models.doubles.openai_rules import schema_broken, settings_broken
from tests.models.doubles.tools import halves
from tests.models.doubles.typed import prepare, types_find

Error = tuple[int, str, str | None, str]  # status, type, code, message
WRONG = "invalid_request_error"
VALUE = (
    "Unsupported value: 'temperature' does not support 0.2 with this model. Only the default (1) value is supported."
)
KEY = "Incorrect API key provided: {key}. You can find your API key at https://platform.openai.com/account/api-keys."
LENGTH = (
    "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens. Please reduce "
    "the length of the messages."
)
RATE = (
    "Rate limit reached for gpt-4o in organization org-1 on requests per min (RPM): Limit 3, Used 3, Requested 1. "
    "Please try again in 20s. Visit https://platform.openai.com/account/rate-limits to learn more. You can increase "
    "your rate limit by adding a payment method to your account at https://platform.openai.com/account/billing."
)
QUOTA = (
    "You exceeded your current quota, please check your plan and billing details. For more information on this error, "
    "read the docs: https://platform.openai.com/docs/guides/error-codes/api-errors."
)
REFUSED = "Your request was rejected as a result of our safety system."
ERRORS: dict[type[ModelError], Error] = {
    InvalidRequest: (400, WRONG, "unsupported_value", VALUE),
    NotAuthorised: (401, WRONG, "invalid_api_key", KEY),
    NoSuchModel: (404, WRONG, "model_not_found", "The model `gpt-9` does not exist or you do not have access to it."),
    ContextTooLong: (400, WRONG, "context_length_exceeded", LENGTH),
    RateLimited: (429, "requests", "rate_limit_exceeded", RATE),
    QuotaExhausted: (429, "insufficient_quota", "insufficient_quota", QUOTA),
    Refused: (400, WRONG, "content_policy_violation", REFUSED),
    Unavailable: (503, "server_error", None, "The engine is currently overloaded, please try again later"),
}
FINISH = {"stop": "stop", "length": "length", "tool_calls": "tool_calls", "filtered": "content_filter"}


class OpenAIChatDouble(Double):
    """POST /v1/chat/completions. thinking: the field that servers put reasoning into, OpenAI itself none."""

    path = "/v1/chat/completions"
    thinking = "reasoning_content"
    unknown: Sequence[str] = ()  # fields that a server of this format takes besides the vendor's
    errors: Mapping[type[ModelError], Error] = ERRORS
    finish: Mapping[str, str] = FINISH
    openai = True  # whether it is the vendor itself, which has rules for schemas

    def __init__(self) -> None:
        super().__init__()
        prepare(*_params())

    def routes(self) -> Sequence[web.RouteDef]:
        return [web.post(self.path, self.respond)]

    def check(self, seen: Seen) -> str:
        return sdk_finds(seen.body, besides=self.unknown) or next(self.rules_broken(seen.body), "")

    def rules_broken(self, body: Mapping[str, Any]) -> Iterator[str]:
        settings = {name: body[name] for name in ("temperature", "top_p", "stop", "logprobs") if name in body}
        yield from settings_broken(body["model"], settings, body.get("reasoning_effort"))
        wanted = (body.get("response_format") or {}).get("json_schema")
        if wanted and self.openai and (wrong := schema_broken(wanted["schema"], strict=wanted["strict"])):
            yield f"Invalid schema for response_format 'reply': {wrong}"

    def refusal(self, fault: Fault, seen: Seen) -> tuple[int, Mapping[str, str], bytes]:
        status, kind, code, message = self.errors[fault.error]
        error = {"message": message.format(key=self.presented(seen)), "type": kind, "param": None, "code": code}
        return status, {}, json.dumps({"error": error}).encode()

    def fault_event(self, fault: Fault) -> bytes | None:
        _, kind, code, message = self.errors[fault.error]
        return sse({"error": {"message": message, "type": kind, "param": None, "code": code}})

    def preamble(self, reply: Reply) -> int:
        return 1 + len(reply.thoughts)

    def usage(self, usage: Usage) -> dict[str, Any]:
        return usage_of(usage)

    def _finish(self, reply: Reply) -> str:
        """A refusal ends as any reply does."""
        return self.finish["stop" if reply.refusal else reply.finish]

    def whole(self, reply: Reply, seen: Seen) -> bytes:
        said, other = ("refusal", "content") if reply.refusal else ("content", "refusal")
        message: dict[str, Any] = {"role": "assistant", said: reply.text or None, other: None}
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
            "finish_reason": self._finish(reply),
        }
        usage = self.usage(reply.usage)
        return json.dumps({**_head("chat.completion", seen), "choices": [choice], "usage": usage}).encode()

    def streamed(self, reply: Reply, seen: Seen) -> list[bytes]:
        def chunk(delta: dict[str, Any], finish: str | None = None, logprobs: object = None) -> bytes:
            choice = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
            return sse({**_head("chat.completion.chunk", seen), "choices": [choice]})

        events = [chunk({"role": "assistant", "content": "", "refusal": None})]
        events += [chunk({self.thinking: one}) for one in reply.thoughts]
        logprobs = reply.logprobs or (None,) * len(reply.pieces)
        for piece, logprob in zip(reply.pieces, logprobs, strict=True):
            events.append(
                chunk(
                    {"refusal" if reply.refusal else "content": piece},
                    logprobs=None if logprob is None else _logprobs([piece], [logprob]),
                )
            )
        for number, call in enumerate(reply.tool_calls):
            head = {
                "index": number,
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": ""},
            }
            events.append(chunk({"tool_calls": [head]}))
            for part in halves(call.arguments):
                events.append(chunk({"tool_calls": [{"index": number, "function": {"arguments": part}}]}))
        events.append(chunk({}, finish=self._finish(reply)))
        if (seen.body.get("stream_options") or {}).get("include_usage"):
            events.append(
                sse({**_head("chat.completion.chunk", seen), "choices": [], "usage": self.usage(reply.usage)})
            )
        events.append(b"data: [DONE]\n\n")
        return events


def _finish(reply: Reply) -> str:
    """A refusal ends as any reply does."""
    return "stop" if reply.refusal else FINISH[reply.finish]


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


@cache
def _params() -> tuple[Any, Any]:
    from openai.types.chat import completion_create_params as params

    return params.CompletionCreateParamsStreaming, params.CompletionCreateParamsNonStreaming


def sdk_finds(body: Mapping[str, Any], *, besides: Sequence[str] = ()) -> str:
    """What the official SDK's own types find wrong with a request."""
    streaming, plain = _params()
    found = types_find(streaming if body.get("stream") else plain, body, besides=besides)
    return found or ("" if body.get("messages") else "no messages")


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


class ServerDouble(OpenAIChatDouble):
    """Another server of the format, which takes any schema."""

    openai = False
    unknown = ("continue_final_message", "add_generation_prompt")


class MistralDouble(ServerDouble):
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
        asked = replace(seen, body={**seen.body, "stream_options": {"include_usage": True}})
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


GROQ_RATE = (
    "Rate limit reached for model `llama-3.3-70b-versatile` in organization `org_1` service tier `on_demand` on tokens "
    "per minute (TPM): Limit 12000, Used 11500, Requested 2200. Please try again in 8.5s. Need more tokens? Upgrade to "
    "Dev Tier today at https://console.groq.com/settings/billing"
)
XAI_LENGTH = "This model's maximum prompt length is 131072 but the request contains 140000 tokens."


class GroqDouble(ServerDouble):
    """Groq's words."""

    errors = ERRORS | {RateLimited: (429, "tokens", "rate_limit_exceeded", GROQ_RATE)}


class XaiDouble(ServerDouble):
    """xAI's words, and its way of counting: what was thought stands beside what was written."""

    errors = ERRORS | {ContextTooLong: (400, WRONG, None, XAI_LENGTH)}

    def usage(self, usage: Usage) -> dict[str, Any]:
        written = usage.output_tokens - usage.reasoning_tokens
        return {**super().usage(usage), "completion_tokens": written}
