"""Cohere chat, version 2.

Format: docs.cohere.com/reference/chat and /reference/chat-stream.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sourcebook.errors import ModelError, RateLimited, Refused, Unavailable
from sourcebook.models.base import (
    Capabilities,
    Finish,
    FinishReason,
    Message,
    ModelEvent,
    ModelRequest,
    ReasoningPart,
    TextPart,
    ToolCall,
)
from sourcebook.models.formats.replies import ReplyTool, finished_calls, shared_stops, stopped
from sourcebook.models.formats.stopping import StopSequences
from sourcebook.models.formats.turns import data_url, thinking_budget, with_pictures_apart
from sourcebook.models.formats.wishes import ensure_able, told
from sourcebook.models.framing import ServerSentEvents, Whole
from sourcebook.models.meaning import FORBIDDEN, WAIT, failure, finish_reason
from sourcebook.models.wire import Frame, Framing, HttpCall, OneCall, Target, from_json, json_headers, said, to_json
from sourcebook.types import Usage

_MOST_STOPS = 5
_PLAN = "tool_plan"  # the signature of a thought that goes back as the plan of a turn with tool calls
_READS_ONLY = re.compile(r"^(command-(r|light|nightly|a-(03|reasoning|translate))|c4ai-aya-expanse)")
_DOES_NOT_THINK = re.compile(r"^(command-(r|light|nightly|a-(03|vision|translate))|c4ai)")


class Cohere:
    """The wire format, for one target. The older models, by their names, neither see pictures nor think.

    Options of the target: "images" and "reasons" (true, false) overrule what the name tells.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self.capabilities = Capabilities(
            tools=True,
            images=told(target.options, "images", otherwise=not _READS_ONLY.match(target.model)),
            schema=True,
            reasoning=told(target.options, "reasons", otherwise=not _DOES_NOT_THINK.match(target.model)),
            logprobs=True,
            seed=True,
        )
        self._url = target.base + ("/chat" if target.base.endswith("/v2") else "/v2/chat")
        self._headers = json_headers(target)

    def call(self, request: ModelRequest) -> HttpCall:
        """POST {base}/v2/chat."""
        ensure_able(request, self.capabilities, self._target.provider)
        return HttpCall(url=self._url, headers=self._headers, body=to_json(self._body(request)))

    def _body(self, request: ModelRequest) -> dict[str, object]:
        body: dict[str, object] = {
            "model": self._target.model,
            "messages": [_message(one) for one in with_pictures_apart(request.messages)],
            "max_tokens": request.max_output_tokens,
        }
        reply_tool = self._reply_tool(request)
        if request.tools or reply_tool is not None:
            body |= _tools(request, reply_tool)
        if request.schema is not None and reply_tool is None:
            body["response_format"] = {"type": "json_object", "json_schema": request.schema}
        if request.temperature is not None:
            body["temperature"] = request.temperature
        if request.top_p is not None:
            body["p"] = min(max(request.top_p, 0.01), 0.99)  # the range that is taken
        if request.seed is not None:
            body["seed"] = request.seed
        if stops := shared_stops(request.stop, most=_MOST_STOPS)[0]:
            body["stop_sequences"] = stops
        if request.logprobs:
            body["logprobs"] = True
        if request.reasoning is not None and self.capabilities.reasoning:
            body["thinking"] = _thinking(request)
        body["stream"] = request.streamed
        return body

    def _reply_tool(self, request: ModelRequest) -> ReplyTool | None:
        """A schema goes neither together with tools, nor may it be other than an object's."""
        if request.schema is None or not (request.tools or request.schema.get("type") != "object"):
            return None
        return ReplyTool.of(request)

    def reader(self, request: ModelRequest) -> CohereReader:
        """For the reply, streamed or not."""
        stops = shared_stops(request.stop, most=_MOST_STOPS)[1]
        return CohereReader(self._target.provider, reply_tool=self._reply_tool(request), stops=stops)

    def failure(self, status: int, headers: Mapping[str, str], body: bytes) -> ModelError:
        """From {"message", "id"}, or whatever else comes."""
        return _error(self._target.provider, status, headers, said(body, self._target.provider, otherwise="message"))


class CohereReader(OneCall):
    """One reply: events from message-start to message-end, or one message."""

    def __init__(self, provider: str, *, reply_tool: ReplyTool | None, stops: Sequence[str]) -> None:
        self._provider = provider
        self._reply_tool = reply_tool
        self._stops = StopSequences(stops)
        self._id = ""
        self._planned = False
        self._call: dict[str, str] = {}
        self._calls: list[ToolCall] = []

    def framing(self, content_type: str) -> Framing:
        """Server-sent events, or one body."""
        return Whole() if content_type.endswith("json") else ServerSentEvents()

    def feed(self, frame: Frame) -> Iterable[ModelEvent]:
        """Text, plans and thoughts as they come, tool calls and Finish with message-end."""
        if frame.data.strip() == "[DONE]":
            return ()
        told = from_json(frame.data, self._provider)
        if "type" not in told and "finish_reason" not in told:
            raise _error(self._provider, 0, {}, told)
        events = self._whole(told) if frame.event == "reply" else self._event(told)
        return stopped(events, self._stops, self)

    def _whole(self, reply: dict[str, Any]) -> Iterator[ModelEvent]:
        self._id = reply.get("id") or ""
        message = reply.get("message") or {}
        if message.get("tool_plan"):
            yield ReasoningPart(text=message["tool_plan"], signature=_PLAN)
        logprobs = tuple(float(one) for item in reply.get("logprobs") or () for one in item.get("logprobs") or ())
        for content in message.get("content") or ():
            for part in _content(content):
                if isinstance(part, TextPart):
                    yield TextPart(text=part.text, logprobs=logprobs)
                    logprobs = ()
                else:
                    yield part
        for call in message.get("tool_calls") or ():
            function = call.get("function") or {}
            yield from self._called(call.get("id"), function.get("name"), function.get("arguments") or "")
        yield from self._ended(reply)

    def _event(self, event: dict[str, Any]) -> Iterator[ModelEvent]:
        delta = event.get("delta") or {}
        message = delta.get("message") or {}
        kind = event["type"]
        if kind != "tool-plan-delta" and self._planned:
            self._planned = False
            yield ReasoningPart(text="", signature=_PLAN)
        match kind:
            case "message-start":
                self._id = event.get("id") or ""
            case "content-start" | "content-delta":
                logprobs = tuple(map(float, (event.get("logprobs") or {}).get("logprobs") or ()))
                yield from _content(message.get("content") or {}, logprobs)
            case "tool-plan-delta" if message.get("tool_plan"):
                self._planned = True
                yield ReasoningPart(text=message["tool_plan"])
            case "tool-call-start":
                call = message.get("tool_calls") or {}
                function = call.get("function") or {}
                self._call = {"id": call.get("id") or "", "name": function.get("name") or "", "arguments": ""}
                yield from self._arguments(function.get("arguments") or "")
            case "tool-call-delta":
                function = (message.get("tool_calls") or {}).get("function") or {}
                yield from self._arguments(function.get("arguments") or "")
            case "tool-call-end" if self._call:
                call, self._call = self._call, {}
                yield from self._called(call["id"], call["name"], call["arguments"], sent=True)
            case "message-end":
                yield from self._ended(delta)

    def _arguments(self, piece: str) -> Iterator[ModelEvent]:
        self._call["arguments"] = self._call.get("arguments", "") + piece
        tool = self._reply_tool
        if tool is not None and self._call.get("name") == tool.name and not tool.wrapped and piece:
            yield TextPart(text=piece)

    def _called(self, id: str | None, name: str | None, arguments: str, *, sent: bool = False) -> Iterator[ModelEvent]:
        """A whole call. sent: whether the reply that it may carry was sent on as it came."""
        tool = self._reply_tool
        if tool is None or name != tool.name:
            self._calls.append(ToolCall(id=id or name or "", name=name or "", arguments=arguments))
        elif text := tool.unwrapped(arguments) or ("" if sent else arguments):
            yield TextPart(text=text)

    def _ended(self, last: dict[str, Any]) -> Iterator[ModelEvent]:
        self.usage = _usage(last.get("usage") or {})
        why = str(last.get("finish_reason") or "ERROR")
        if error := last.get("error"):
            raise Unavailable(
                f"{self._provider} gave the reply up: {error}",
                remedy=WAIT,
                provider=self._provider,
                request_id=self._id,
            )
        reason: FinishReason = "filtered" if why == "ERROR_TOXIC" else finish_reason(why, self._provider)
        calls = finished_calls(self._calls, reason)
        yield from calls
        if reason == "tool_calls" and not calls:
            reason = "stop"  # it was the tool that writes the reply
        yield Finish(reason=reason, usage=self.usage, request_id=self._id)

    def end(self) -> Iterable[ModelEvent]:
        """Nothing: a reply without its message-end is cut off."""
        return ()


def _error(provider: str, status: int, headers: Mapping[str, str], reply: Mapping[str, Any]) -> ModelError:
    """The vendor has statuses of its own: 498 for a forbidden word, 499 for a call that was given up."""
    error = failure(
        provider,
        status,
        headers,
        message=str(reply.get("message") or reply.get("error") or ""),
        request_id=headers.get("x-debug-trace-id") or str(reply.get("id") or ""),
    )
    if status == 498:
        return _as(Refused, error, FORBIDDEN)
    if status == 499:
        return _as(Unavailable, error, WAIT)
    if status == 429 and "/ minute" in str(error):  # trial keys have a limit of minutes besides that of months
        return _as(RateLimited, error, "Wait, or set route.requests_per_minute")
    return error


def _as(kind: type[ModelError], error: ModelError, remedy: str) -> ModelError:
    return kind(
        error.args[0],
        remedy=remedy,
        provider=error.provider,
        status=error.status,
        request_id=error.request_id,
        retry_after=error.retry_after,
    )


def _usage(usage: dict[str, Any]) -> Usage:
    """What is billed, where it is told: the tokens that the vendor's own prompt takes are not."""
    counted = usage.get("billed_units") or usage.get("tokens")
    if not counted:
        return Usage()
    tokens = int(counted.get("input_tokens") or 0)
    return Usage(
        input_tokens=tokens,
        output_tokens=int(counted.get("output_tokens") or 0),
        cached_tokens=min(tokens, int(usage.get("cached_tokens") or 0)),
        counted_by="vendor",
    )


def _content(content: dict[str, Any], logprobs: tuple[float, ...] = ()) -> Iterator[TextPart | ReasoningPart]:
    if content.get("thinking"):
        yield ReasoningPart(text=content["thinking"])
    if content.get("text"):
        yield TextPart(text=content["text"], logprobs=logprobs)


# --- the request --------------------------------------------------------------------------------------------


def _message(message: Message) -> dict[str, object]:
    if message.role == "tool":
        # An error has no place of its own.
        text = to_json({"error": message.text}).decode() if message.failed else message.text
        return {"role": "tool", "tool_call_id": message.tool_call_id or "", "content": text}
    if message.role == "assistant":
        return _assistant(message)
    if not message.images:
        return {"role": message.role, "content": message.text}
    content: list[dict[str, object]] = [{"type": "text", "text": message.text}] if message.text else []
    content += [{"type": "image_url", "image_url": {"url": data_url(one)}} for one in message.images]
    return {"role": message.role, "content": content}


def _assistant(message: Message) -> dict[str, object]:
    written: dict[str, object] = {"role": "assistant"}
    content = [{"type": "thinking", "thinking": one.text} for one in message.thoughts if one.text and not one.signature]
    if message.text:
        content.append({"type": "text", "text": message.text})
    if content:
        written["content"] = message.text if len(content) == 1 and message.text else content
    if message.tool_calls:
        if plan := "".join(one.text for one in message.thoughts if one.signature == _PLAN):
            written["tool_plan"] = plan
        written["tool_calls"] = [
            {"id": one.id, "type": "function", "function": {"name": one.name, "arguments": one.arguments or "{}"}}
            for one in message.tool_calls
        ]
    elif not content:
        written["content"] = ""
    return written


def _tools(request: ModelRequest, reply_tool: ReplyTool | None) -> dict[str, object]:
    """Tools and the choice of them. One that must be called is the only one that is offered."""
    choice = request.tool_choice
    functions = [
        {"name": one.name, "description": one.description, "parameters": one.parameters}
        for one in request.tools
        if choice in ("auto", "none", "required", one.name)
    ]
    if reply_tool is not None:
        if choice == "none":
            functions = []
        functions.append(
            {"name": reply_tool.name, "description": reply_tool.description, "parameters": reply_tool.schema}
        )
    written: dict[str, object] = {"tools": [{"type": "function", "function": one} for one in functions]}
    if reply_tool is not None or choice not in ("auto", "none"):
        written["tool_choice"] = "REQUIRED"
    elif choice == "none":
        written["tool_choice"] = "NONE"
    return written


def _thinking(request: ModelRequest) -> dict[str, object]:
    budget = thinking_budget(request)
    return {"type": "enabled", "token_budget": budget} if budget > 0 else {"type": "disabled"}
