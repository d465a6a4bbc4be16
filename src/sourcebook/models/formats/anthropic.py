"""Anthropic messages, and everything that speaks it.

Format: platform.claude.com/docs/en/api/messages. What a model accepts is told by `claude`. The version of the API is
2023-06-01, because the next one, 2026-10-21, takes no temperature even for the models that have one.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sourcebook.errors import InvalidRequest, ModelError
from sourcebook.models.base import (
    Capabilities,
    Finish,
    FinishReason,
    Image,
    Message,
    ModelEvent,
    ModelRequest,
    ReasoningPart,
    TextPart,
    Thought,
    ToolCall,
    ToolCallPart,
)
from sourcebook.models.formats.claude import (
    REDACTED,
    SIGNED,
    Generation,
    closed_schema,
    effort_of,
    generation_of,
    samples_of,
    signed,
    thinking_of,
)
from sourcebook.models.formats.replies import ReplyTool, finished_calls
from sourcebook.models.formats.turns import Continuation, Turn, arguments_of, begun, marked, plain_id, turns
from sourcebook.models.framing import ServerSentEvents, Whole
from sourcebook.models.wire import Frame, Framing, HttpCall, Target, failure, from_json, to_json
from sourcebook.types import Usage

_VERSION = "2023-06-01"
_MOST_MARKERS = 4


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
        self._headers = {
            "Content-Type": "application/json",
            "anthropic-version": _VERSION,
            **_key_header(target),
            **target.headers,
        }

    def call(self, request: ModelRequest) -> HttpCall:
        """POST {base}/v1/messages."""
        return HttpCall(url=self._url, headers=self._headers, body=to_json(self._body(request)))

    def _body(self, request: ModelRequest) -> dict[str, object]:
        generation = self._generation
        beginning = begun(request.messages)
        if beginning is not None and not generation.continues:
            raise InvalidRequest(
                f"{self._target.model} of {self._target.provider} cannot continue a reply that was begun",
                remedy="Ask it in a message of the user to go on",
                provider=self._target.provider,
            )
        reply_tool = self._reply_tool(request)
        forced = reply_tool is not None or request.tool_choice not in ("auto", "none")
        messages = marked(request.messages, _MOST_MARKERS)
        thinking = thinking_of(generation, request, forced=forced)
        body: dict[str, object] = {
            "model": self._target.model,
            "max_tokens": request.max_output_tokens,
        }
        if system := [_text(one) for one in messages if one.role == "system" and one.text.strip()]:
            body["system"] = system
        body["messages"] = _messages(turns(messages), begins=beginning is not None)
        if tools := _tools(request, reply_tool):
            body["tools"] = tools
            body["tool_choice"] = _tool_choice(request, reply_tool)
        body |= samples_of(generation, request, thinks=thinking is not None and thinking["type"] != "disabled")
        if stops := [one for one in request.stop if one.strip()]:  # the vendor takes none that is blank
            body["stop_sequences"] = stops
        if thinking is not None:
            body["thinking"] = thinking
        output: dict[str, object] = {}
        if (effort := effort_of(generation, request)) is not None:
            output["effort"] = effort
        if request.schema is not None and generation.schema:
            output["format"] = {"type": "json_schema", "schema": closed_schema(request.schema)}
        if output:
            body["output_config"] = output
        if request.streamed:
            body["stream"] = True
        return body

    def _reply_tool(self, request: ModelRequest) -> ReplyTool | None:
        """What stands in for a schema where the model is not held to one."""
        return ReplyTool.of(request.schema) if request.schema is not None and not self._generation.schema else None

    def reader(self, request: ModelRequest) -> AnthropicReader:
        """For the reply, streamed or not."""
        return AnthropicReader(
            self._target.provider,
            reply_tool=self._reply_tool(request),
            continuation=Continuation(begun(request.messages)),
        )

    def failure(self, status: int, headers: Mapping[str, str], body: bytes) -> ModelError:
        """From {"type": "error", "error": {"type", "message"}, "request_id"}, or whatever else a server says."""
        try:
            said = from_json(body, self._target.provider)
        except ModelError:
            said = {"error": body.decode("utf-8", "replace")[:500]}
        return _error(self._target.provider, status, headers, said)


class AnthropicReader:
    """One reply: events from message_start to message_stop, or one message."""

    def __init__(
        self, provider: str, *, reply_tool: ReplyTool | None = None, continuation: Continuation | None = None
    ) -> None:
        self._provider = provider
        self._reply_tool = reply_tool
        self._continuation = continuation or Continuation(None)
        self._block: dict[str, Any] = {}
        self._pieces: list[str] = []
        self._calls: list[ToolCall] = []
        self._usage: dict[str, Any] = {}
        self._model = ""
        self._reason: FinishReason | None = None

    def framing(self, content_type: str) -> Framing:
        """Server-sent events, or one body."""
        return Whole() if content_type.endswith("json") else ServerSentEvents()

    def feed(self, frame: Frame) -> Iterable[ModelEvent]:
        """Text and thoughts as they come, tool calls once it is known that they are whole, Finish at message_stop."""
        said = from_json(frame.data, self._provider)
        if said.get("type") == "error" or said.get("error"):
            raise _error(self._provider, 0, {}, said)
        return self._whole(said) if frame.event == "reply" else self._event(said)

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
        self._usage |= {name: value for name, value in usage.items() if value is not None}

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
                yield ReasoningPart(text="", signature=SIGNED + block["signature"])
            case "redacted_thinking" if block.get("data"):
                yield ReasoningPart(text="", signature=REDACTED + block["data"])
            case "tool_use" if self._reply_tool is not None and block.get("name") == self._reply_tool.name:
                if text := self._reply_tool.unwrapped("".join(self._pieces)):
                    yield TextPart(text=text)
            case "tool_use":
                arguments = "".join(self._pieces) or "{}"
                self._calls.append(
                    ToolCall(id=block.get("id") or "", name=block.get("name") or "", arguments=arguments)
                )

    def _ended(self, why: str | None) -> Iterator[ModelEvent]:
        if why is None:
            return
        self._reason = _REASONS.get(why, "length")
        calls = finished_calls(self._calls)
        yield from calls
        if self._reason == "tool_calls" and not calls:
            self._reason = "stop"  # it was the tool that writes the reply
        self._calls = []

    def end(self) -> Iterable[ModelEvent]:
        """Finish, if the vendor had said why it stopped."""
        if self._reason is not None:
            yield Finish(reason=self._reason, usage=_usage(self._usage), model=self._model)

    def next_call(self) -> HttpCall | None:
        """None: one call is the whole."""
        return None

    def cancelling_call(self) -> HttpCall | None:
        """None: closing the connection stops the work."""
        return None


_REASONS: Mapping[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "pause_turn": "length",  # it would go on if asked to
    "tool_use": "tool_calls",
    "refusal": "filtered",
}


def _error(provider: str, status: int, headers: Mapping[str, str], said: dict[str, Any]) -> ModelError:
    error = said.get("error") or said.get("message") or ""
    told = error if isinstance(error, dict) else {"message": error}
    return failure(
        provider,
        status,
        headers,
        message=str(told.get("message") or ""),
        code=str(told.get("type") or ""),
        request_id=str(said.get("request_id") or "") if not status else "",
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


# --- the request --------------------------------------------------------------------------------------------


def _messages(some: list[Turn], *, begins: bool) -> list[dict[str, object]]:
    written: list[dict[str, object]] = []
    for place, turn in enumerate(some):
        last = begins and place == len(some) - 1
        content = [block for one in turn.messages for block in _blocks(one, begins=last)]
        if content:
            written.append({"role": turn.role, "content": content})
    return written


def _blocks(message: Message, *, begins: bool) -> list[dict[str, object]]:
    if message.role == "tool":
        blocks = [_tool_result(message)]
    else:
        text = message.text.rstrip() if begins else message.text  # what is to be continued may not end in blanks
        blocks = [
            *(_thinking(one) for one in message.thoughts if signed(one) and message.role == "assistant"),
            *(_image(one) for one in message.images),
            *([{"type": "text", "text": text}] if text.strip() else []),
            *(
                {"type": "tool_use", "id": plain_id(one.id), "name": one.name, "input": arguments_of(one)}
                for one in message.tool_calls
            ),
        ]
    if message.keep and blocks and blocks[-1]["type"] not in ("thinking", "redacted_thinking"):
        blocks[-1]["cache_control"] = {"type": "ephemeral"}
    return blocks


def _text(message: Message) -> dict[str, object]:
    block: dict[str, object] = {"type": "text", "text": message.text}
    if message.keep:
        block["cache_control"] = {"type": "ephemeral"}
    return block


def _thinking(thought: Thought) -> dict[str, object]:
    if thought.signature.startswith(REDACTED):
        return {"type": "redacted_thinking", "data": thought.signature.removeprefix(REDACTED)}
    return {"type": "thinking", "thinking": thought.text, "signature": thought.signature.removeprefix(SIGNED)}


def _image(image: Image) -> dict[str, object]:
    if image.url is not None:
        return {"type": "image", "source": {"type": "url", "url": image.url}}
    data = base64.b64encode(image.data or b"").decode()
    return {"type": "image", "source": {"type": "base64", "media_type": image.media_type, "data": data}}


def _tool_result(message: Message) -> dict[str, object]:
    content: list[dict[str, object]] = [{"type": "text", "text": message.text}] if message.text.strip() else []
    block: dict[str, object] = {"type": "tool_result", "tool_use_id": plain_id(message.tool_call_id or "")}
    if content or message.images:
        block["content"] = content + [_image(one) for one in message.images]
    if message.failed:
        block["is_error"] = True
    return block


def _tools(request: ModelRequest, reply_tool: ReplyTool | None) -> list[dict[str, object]]:
    tools: list[dict[str, object]] = [
        {"name": one.name, "description": one.description, "input_schema": one.parameters} for one in request.tools
    ]
    if reply_tool is not None:
        tools.append(
            {"name": reply_tool.name, "description": reply_tool.description, "input_schema": reply_tool.schema}
        )
    return tools


def _tool_choice(request: ModelRequest, reply_tool: ReplyTool | None) -> dict[str, object]:
    if reply_tool is not None and (not request.tools or request.tool_choice == "none"):
        return {"type": "tool", "name": reply_tool.name}
    if reply_tool is not None and request.tool_choice == "auto":
        return {"type": "any"}
    named = {"auto": "auto", "none": "none", "required": "any"}.get(request.tool_choice)
    return {"type": named} if named else {"type": "tool", "name": request.tool_choice}


def _key_header(target: Target) -> dict[str, str]:
    if not target.key:
        return {}
    return {"Authorization": f"Bearer {target.key}"} if target.options.get("auth") == "bearer" else {
        "x-api-key": target.key
    }
