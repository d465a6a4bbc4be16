"""A stand-in for Anthropic's messages, from the vendor's published schema; requests are checked by its SDK's types."""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import pairwise
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
from sourcebook.testing.doubles import REQUEST_ID, Double, Fault, Reply, Seen, sse
from sourcebook.types import Usage
from tests.models.doubles.tools import halves, reply_tool
from tests.models.doubles.typed import prepare, types_find

RATE = (
    "This request would exceed the rate limit for your organization of 40,000 input tokens per minute. For details, "
    "refer to: https://docs.claude.com/en/api/rate-limits. Please reduce the prompt length or the maximum tokens "
    "requested, or try again later. You may also contact sales at https://www.anthropic.com/contact-sales to discuss "
    "your options for a rate limit increase."
)
CREDIT = (
    "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase "
    "credits."
)
ERRORS: dict[type[ModelError], tuple[int, str, str]] = {
    InvalidRequest: (400, "invalid_request_error", "temperature: Input should be less than or equal to 1"),
    NotAuthorised: (401, "authentication_error", "invalid x-api-key {key}"),
    NoSuchModel: (404, "not_found_error", "model: claude-nothing"),
    ContextTooLong: (400, "invalid_request_error", "prompt is too long: 208310 tokens > 200000 maximum"),
    RateLimited: (429, "rate_limit_error", RATE),
    QuotaExhausted: (400, "invalid_request_error", CREDIT),
    Refused: (400, "invalid_request_error", "Output blocked by content filtering policy"),
    Unavailable: (529, "overloaded_error", "Overloaded"),
}
FINISH = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "filtered": "refusal"}
NEWER = "2026-10-21"  # the version of the API that the SDK asks for
SAMPLES = ("temperature", "top_p", "top_k")  # gone in the newer version, and so from the SDK's types
SIGNATURE = "ErUBCkYIBxgCIkDouble=="


class AnthropicDouble(Double):
    """POST /v1/messages."""

    request_id_header = "request-id"

    def __init__(self) -> None:
        super().__init__()
        prepare(*_params())

    def routes(self) -> Sequence[web.RouteDef]:
        return [web.post("/v1/messages", self.respond)]

    def authorised(self, seen: Seen) -> bool:
        """Either header carries the key: the SDK sends a bearer token since its second version."""
        return _key(seen) == self.key and seen.headers.get("anthropic-version") in ("2023-06-01", NEWER)

    def check(self, seen: Seen) -> str:
        body = seen.body
        streaming, plain = _params()
        wanted = streaming if body.get("stream") else plain
        samples = () if seen.headers.get("anthropic-version") == NEWER else SAMPLES
        return types_find(wanted, body, besides=samples) or next(_rules_broken(body), "")

    def refusal(self, fault: Fault, seen: Seen) -> tuple[int, Mapping[str, str], bytes]:
        status, _, _ = ERRORS[fault.error]
        return status, {}, json.dumps(_error(fault, _key(seen))).encode()

    def fault_event(self, fault: Fault) -> bytes | None:
        return sse(_error(fault, ""), "error")

    def preamble(self, reply: Reply) -> int:
        thoughts = len(reply.thoughts) + 3 if reply.thoughts else 0
        return 3 + thoughts

    def whole(self, reply: Reply, seen: Seen) -> bytes:
        content: list[dict[str, Any]] = []
        if reply.thoughts:
            content.append({"type": "thinking", "thinking": "".join(reply.thoughts), "signature": SIGNATURE})
        if reply.pieces and (name := _reply_tool(seen.body)):
            content.append({"type": "tool_use", "id": "toolu_0", "name": name, "input": json.loads(reply.text)})
        elif reply.pieces:
            content.append({"type": "text", "text": reply.text, "citations": None})
        content += [
            {"type": "tool_use", "id": one.id, "name": one.name, "input": json.loads(one.arguments)}
            for one in reply.tool_calls
        ]
        message = _message(seen, content, _stop_reason(reply, seen), usage_of(reply.usage))
        return json.dumps(message).encode()

    def streamed(self, reply: Reply, seen: Seen) -> list[bytes]:
        usage = usage_of(reply.usage)
        return [
            _event("message_start", message=_message(seen, [], None, {**usage, "output_tokens": 1})),
            _event("ping"),
            *self._blocks(reply, seen),
            _event(
                "message_delta",
                delta={"stop_reason": _stop_reason(reply, seen), "stop_sequence": None},
                usage={name: usage[name] for name in usage if name not in ("cache_creation", "service_tier")},
            ),
            _event("message_stop"),
        ]

    def _blocks(self, reply: Reply, seen: Seen) -> Iterator[bytes]:
        index = 0
        if reply.thoughts:
            deltas: list[dict[str, Any]] = [{"type": "thinking_delta", "thinking": one} for one in reply.thoughts]
            deltas.append({"type": "signature_delta", "signature": SIGNATURE})
            yield from _block(index, {"type": "thinking", "thinking": "", "signature": ""}, deltas)
            index += 1
        if reply.pieces and (name := _reply_tool(seen.body)):
            head = {"type": "tool_use", "id": "toolu_0", "name": name, "input": {}}
            yield from _block(index, head, [{"type": "input_json_delta", "partial_json": one} for one in reply.pieces])
            index += 1
        elif reply.pieces:
            deltas = [{"type": "text_delta", "text": one} for one in reply.pieces]
            yield from _block(index, {"type": "text", "text": "", "citations": None}, deltas)
            index += 1
        for call in reply.tool_calls:
            pieces = ("", *(() if call.arguments == "{}" else halves(call.arguments)))  # no input is not written
            head = {"type": "tool_use", "id": call.id, "name": call.name, "input": {}}
            yield from _block(index, head, [{"type": "input_json_delta", "partial_json": one} for one in pieces])
            index += 1


@cache
def _params() -> tuple[Any, Any]:
    from anthropic.types import message_create_params as params

    return params.MessageCreateParamsStreaming, params.MessageCreateParamsNonStreaming


def usage_of(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens,
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cached_tokens,
        "cache_creation": None,
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"thinking_tokens": usage.reasoning_tokens},
        "server_tool_use": None,
        "service_tier": "standard",
    }


def _block(index: int, head: dict[str, Any], deltas: Sequence[dict[str, Any]]) -> Iterator[bytes]:
    yield _event("content_block_start", index=index, content_block=head)
    for delta in deltas:
        yield _event("content_block_delta", index=index, delta=delta)
    yield _event("content_block_stop", index=index)


def _event(kind: str, **fields: Any) -> bytes:
    return sse({"type": kind, **fields}, kind)


def _message(seen: Seen, content: list[dict[str, Any]], reason: str | None, usage: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": "msg_01",
        "type": "message",
        "role": "assistant",
        "model": seen.body.get("model") or "claude-double",
        "content": content,
        "stop_reason": reason,
        "stop_sequence": None,
        "usage": usage,
    }


def _stop_reason(reply: Reply, seen: Seen) -> str:
    return "tool_use" if _reply_tool(seen.body) and reply.finish == "stop" else FINISH[reply.finish]


def _key(seen: Seen) -> str:
    return seen.headers.get("x-api-key") or seen.headers.get("authorization", "").removeprefix("Bearer ")


def _reply_tool(body: Mapping[str, Any]) -> str:
    """The tool that must be called with the reply, where it is the only one that may be."""
    name = reply_tool(body.get("tools") or ())
    return name if (body.get("tool_choice") or {}).get("name") == name else ""


def _error(fault: Fault, key: str) -> dict[str, Any]:
    _, kind, message = ERRORS[fault.error]
    return {"type": "error", "error": {"type": kind, "message": message.format(key=key)}, "request_id": REQUEST_ID}


# --- rules that the types do not tell -----------------------------------------------------------------------


def _rules_broken(body: Mapping[str, Any]) -> Iterator[str]:
    messages = body["messages"]
    if not messages or messages[0]["role"] != "user":
        yield "the first message is not the user's"
    if any(one["role"] == other["role"] for one, other in pairwise(messages)):
        yield "roles do not alternate"
    blocks = [block for one in messages for block in one["content"]] + list(body.get("system") or ())
    if any(one["type"] == "text" and not one["text"].strip() for one in blocks):
        yield "text content blocks must contain non-whitespace text"
    if sum("cache_control" in one for one in [*blocks, *(body.get("tools") or ())]) > 4:
        yield "more than 4 blocks with cache_control"
    yield from _tool_rules_broken(messages)
    yield from _thinking_rules_broken(body)
    last = messages[-1]["content"][-1] if messages[-1]["role"] == "assistant" else {}
    if last.get("type") == "text" and last["text"] != last["text"].rstrip():
        yield "final assistant content cannot end with trailing whitespace"


def _tool_rules_broken(messages: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for number, message in enumerate(messages):
        asked = [one["id"] for one in message["content"] if one["type"] == "tool_use"]
        kinds = [one["type"] for one in message["content"]]
        if asked:
            after = messages[number + 1]["content"] if number + 1 < len(messages) else []
            answered = [one["tool_use_id"] for one in after if one["type"] == "tool_result"]
            if sorted(asked) != sorted(answered):
                yield "tool_use without tool_result in the next message"
        if "tool_result" in kinds and kinds.index("tool_result") != 0:
            yield "tool results must come first"
        if "thinking" in kinds and kinds.index("thinking") != 0:
            yield "thinking must come first"


def _thinking_rules_broken(body: Mapping[str, Any]) -> Iterator[str]:
    thinking = body.get("thinking") or {}
    if thinking.get("type") == "enabled":
        if not 1024 <= thinking["budget_tokens"] < body["max_tokens"]:
            yield "the budget is not between 1024 and max_tokens"
        if body["messages"][-1]["role"] == "assistant":
            yield "no prefill with thinking"
    if thinking.get("type") in ("enabled", "adaptive"):
        if body.get("temperature", 1) != 1:
            yield "temperature may only be set to 1 when thinking is enabled"
        if (body.get("tool_choice") or {}).get("type") in ("any", "tool"):
            yield "thinking may not be enabled when tool_choice forces tool use"
