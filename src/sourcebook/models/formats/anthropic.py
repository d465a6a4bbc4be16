"""Anthropic messages, and everything that speaks it.

Format: platform.claude.com/docs/en/api/messages. What a model accepts is told by `claude`. The version of the API is
2023-06-01, because the next one, 2026-10-21, takes no temperature even for the models that have one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sourcebook.errors import ModelError
from sourcebook.models.base import (
    Capabilities,
    Finish,
    FinishReason,
    ModelEvent,
    ModelRequest,
    ReasoningPart,
    TextPart,
    ToolCall,
)
from sourcebook.models.formats.anthropic_request import messages_body
from sourcebook.models.formats.claude import REDACTED, SIGNED, Generation, generation_of, marked_with, reply_tool_of
from sourcebook.models.formats.replies import ReplyTool, finished_calls, shared_stops, stopped
from sourcebook.models.formats.stopping import StopSequences
from sourcebook.models.formats.turns import Continuation, begun
from sourcebook.models.formats.wishes import chosen, ensure_able
from sourcebook.models.framing import ServerSentEvents, Whole
from sourcebook.models.meaning import failure, finish_reason
from sourcebook.models.wire import Frame, Framing, HttpCall, OneCall, Target, from_json, json_headers, said, to_json
from sourcebook.types import Usage

_VERSION = "2023-06-01"


class Anthropic:
    """The wire format, for one target.

    Options of the target: those of `generation_of`; "auth" = "bearer" sends the key as a bearer token.
    Temperature and top_p are left out where the model takes neither; so is the seed, which none takes.
    """

    def __init__(self, target: Target, generation: Generation | None = None) -> None:
        self._target = target
        self._generation = generation or generation_of(target.model, target.options)
        self.capabilities = Capabilities(
            tools=True,
            images=True,
            schema=True,
            reasoning=self._generation.thinking != "none",
            continues=self._generation.continues,
            caches=True,
        )
        self._url = target.base + ("/messages" if target.base.endswith("/v1") else "/v1/messages")
        bearer = chosen(target.options, "auth", ("bearer", "key")) == "bearer"
        key_header = "Authorization" if bearer else "x-api-key"
        self._headers = json_headers(target, key_header=key_header, **{"anthropic-version": _VERSION})

    def call(self, request: ModelRequest) -> HttpCall:
        """POST {base}/v1/messages."""
        ensure_able(request, self.capabilities, self._target.provider)
        return HttpCall(
            url=self._url,
            headers=self._headers,
            body=to_json(messages_body(request, self._generation, self._target.model)),
        )

    def reader(self, request: ModelRequest) -> AnthropicReader:
        """For the reply, streamed or not."""
        return AnthropicReader(
            self._target.provider,
            self._target.model,
            reply_tool=reply_tool_of(request, schema=self._generation.schema),
            continuation=Continuation(begun(request.messages)),
            stops=shared_stops(request.stop)[1],
        )

    def failure(self, status: int, headers: Mapping[str, str], body: bytes) -> ModelError:
        """From {"type": "error", "error": {"type", "message"}, "request_id"}, or whatever else a server says."""
        return _error(self._target.provider, status, headers, said(body, self._target.provider))


class AnthropicReader(OneCall):
    """One reply: events from message_start to message_stop, or one message."""

    def __init__(
        self,
        provider: str,
        model: str,
        *,
        reply_tool: ReplyTool | None,
        continuation: Continuation,
        stops: Sequence[str],
    ) -> None:
        self._provider = provider
        self._asked = model
        self._reply_tool = reply_tool
        self._continuation = continuation
        self._stops = StopSequences(stops)
        self._block: dict[str, Any] = {}
        self._pieces: list[str] = []
        self._calls: list[ToolCall] = []
        self._counts: dict[str, Any] = {}
        self._model = ""
        self._reason: FinishReason | None = None

    def framing(self, content_type: str) -> Framing:
        """Server-sent events, or one body."""
        return Whole() if content_type.endswith("json") else ServerSentEvents()

    def feed(self, frame: Frame) -> Iterable[ModelEvent]:
        """Text and thoughts as they come, tool calls once it is known that they are whole, Finish at message_stop."""
        told = from_json(frame.data, self._provider)
        if told.get("type") == "error" or told.get("error"):
            raise _error(self._provider, 0, {}, told)
        events = self._whole(told) if frame.event == "reply" else self._event(told)
        return stopped(events, self._stops, self)

    def _whole(self, message: dict[str, Any]) -> Iterator[ModelEvent]:
        self._started(message)
        for block in message.get("content") or ():
            yield from self._block_start(block)
            yield from self._block_stop()
        yield from self._ended(message.get("stop_reason"))
        yield from self.end()

    def _event(self, event: dict[str, Any]) -> Iterator[ModelEvent]:
        match event.get("type"):
            case "message_start":
                self._started(event.get("message") or {})
            case "content_block_start":
                yield from self._block_start(event.get("content_block") or {})
            case "content_block_delta":
                yield from self._delta(event.get("delta") or {})
            case "content_block_stop":
                yield from self._block_stop()
            case "message_delta":
                self._count(event.get("usage") or {})
                yield from self._ended((event.get("delta") or {}).get("stop_reason"))
            case "message_stop":
                yield from self.end()

    def _started(self, message: dict[str, Any]) -> None:
        self._model = message.get("model") or self._model
        self._count(message.get("usage") or {})

    def _count(self, usage: dict[str, Any]) -> None:
        self._counts |= {name: value for name, value in usage.items() if value is not None}
        self.usage = _usage(self._counts)

    def _block_start(self, block: dict[str, Any]) -> Iterator[ModelEvent]:
        self._block, self._pieces = dict(block), []
        match block.get("type"):
            case "text":
                yield from self._text(block.get("text") or "")
            case "thinking" if block.get("thinking"):
                yield ReasoningPart(text=block["thinking"])
            case "tool_use" if block.get("input"):
                yield from self._arguments(to_json(block["input"]).decode())

    def _delta(self, delta: dict[str, Any]) -> Iterator[ModelEvent]:
        match delta.get("type"):
            case "text_delta":
                yield from self._text(delta.get("text") or "")
            case "thinking_delta" if delta.get("thinking"):
                yield ReasoningPart(text=delta["thinking"])
            case "signature_delta":
                self._block["signature"] = f"{self._block.get('signature') or ''}{delta.get('signature') or ''}"
            case "input_json_delta":
                yield from self._arguments(delta.get("partial_json") or "")

    def _text(self, text: str) -> Iterator[ModelEvent]:
        if rest := self._continuation.rest(text):
            yield TextPart(text=rest)

    def _arguments(self, piece: str) -> Iterator[ModelEvent]:
        if self._writes_the_reply() and self._reply_tool is not None and not self._reply_tool.wrapped:
            if piece:
                yield TextPart(text=piece)
        else:
            self._pieces.append(piece)

    def _writes_the_reply(self) -> bool:
        return self._reply_tool is not None and self._block.get("name") == self._reply_tool.name

    def _block_stop(self) -> Iterator[ModelEvent]:
        block, self._block = self._block, {}
        match block.get("type"):
            case "thinking" if block.get("signature"):
                yield ReasoningPart(text="", signature=marked_with(SIGNED, self._asked, block["signature"]))
            case "redacted_thinking" if block.get("data"):
                yield ReasoningPart(text="", signature=marked_with(REDACTED, self._asked, block["data"]))
            case "tool_use" if self._reply_tool is not None and block.get("name") == self._reply_tool.name:
                if text := self._reply_tool.unwrapped("".join(self._pieces)):
                    yield TextPart(text=text)
            case "tool_use":
                arguments = "".join(self._pieces)
                self._calls.append(
                    ToolCall(id=block.get("id") or "", name=block.get("name") or "", arguments=arguments)
                )

    def _ended(self, why: str | None) -> Iterator[ModelEvent]:
        if why is None:
            return
        self._reason = finish_reason(why, self._provider)
        calls = finished_calls(self._calls, self._reason)
        yield from calls
        if self._reason == "tool_calls" and not calls:
            self._reason = "stop"  # it was the tool that writes the reply
        self._calls = []

    def end(self) -> Iterable[ModelEvent]:
        """Finish, if the vendor had said why it stopped."""
        if self._reason is not None:
            yield from self._stops.rest()
            yield Finish(reason=self._reason, usage=self.usage, model=self._model)


_STATUSES = {  # that go with the types of errors, for those that come within a stream
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}


def _error(provider: str, status: int, headers: Mapping[str, str], reply: Mapping[str, Any]) -> ModelError:
    error = reply.get("error") or reply.get("message") or ""
    told = error if isinstance(error, dict) else {"message": error}
    return failure(
        provider,
        status or _STATUSES.get(str(told.get("type")), 0),
        headers,
        message=str(told.get("message") or ""),
        code=str(told.get("type") or ""),
        request_id=str(reply.get("request_id") or "") if not status else "",
    )


def _usage(usage: dict[str, Any]) -> Usage:
    """The vendor counts tokens that were read from the cache, written to it, and neither, each apart."""
    if not usage:
        return Usage()
    cached = usage.get("cache_read_input_tokens") or 0
    written = usage.get("cache_creation_input_tokens") or 0
    details = usage.get("output_tokens_details") or {}
    return Usage(
        input_tokens=(usage.get("input_tokens") or 0) + cached + written,
        output_tokens=usage.get("output_tokens") or 0,
        cached_tokens=cached,
        cache_write_tokens=written,
        reasoning_tokens=details.get("thinking_tokens") or 0,
        counted_by="vendor",
    )
