"""Ollama's own chat route: JSON lines.

Format: github.com/ollama/ollama/blob/main/docs/api.md. Prompts that do not fit are an error here, not cut in silence.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from sourcebook.errors import ConfigError, ModelError
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
    Tool,
    ToolCall,
    ToolCallPart,
)
from sourcebook.models.formats.openai_shapes import openai_error, openai_failure
from sourcebook.models.formats.turns import arguments_of
from sourcebook.models.formats.wishes import ensure_able, unable
from sourcebook.models.framing import JsonLines, Whole
from sourcebook.models.meaning import finish_reason
from sourcebook.models.wire import Frame, Framing, HttpCall, OneCall, Target, from_json, json_headers, to_json
from sourcebook.types import Usage

_LEVELS: Final = "gpt-oss"  # the models that take how much to think; others only whether


class Ollama:
    """The wire format, for one target. Of the URL's options it heeds `num_ctx` and `keep_alive`."""

    capabilities = Capabilities(tools=True, images=True, schema=True, reasoning=True, logprobs=True, seed=True)

    def __init__(self, target: Target) -> None:
        self._target = target
        self._headers = json_headers(target)
        context = target.options.get("num_ctx", "")
        if context and not context.isdigit():
            raise ConfigError(f"num_ctx={context!r} in the model's URL is not a number", remedy="Write tokens")
        self._options: dict[str, object] = {"num_ctx": int(context)} if context else {}

    def call(self, request: ModelRequest) -> HttpCall:
        """POST {base}/api/chat."""
        ensure_able(request, self.capabilities, self._target.provider)
        return HttpCall(url=f"{self._target.base}/api/chat", headers=self._headers, body=to_json(self._body(request)))

    def _body(self, request: ModelRequest) -> dict[str, object]:
        options: dict[str, object] = {**self._options, "num_predict": request.max_output_tokens}
        for name in ("temperature", "top_p", "seed"):
            if (value := getattr(request, name)) is not None:
                options[name] = value
        if request.stop:
            options["stop"] = list(request.stop)
        names = {call.id: call.name for one in request.messages for call in one.tool_calls}
        body: dict[str, object] = {
            "model": self._target.model,
            "messages": [self._message(one, names) for one in request.messages],
            "stream": request.streamed,
            "options": options,
            "truncate": False,
            "shift": False,
        }
        if tools := self._tools(request):
            body["tools"] = tools
        if request.schema is not None:
            body["format"] = request.schema
        if request.reasoning is not None:
            levels = _LEVELS in self._target.model and request.reasoning != "none"
            body["think"] = request.reasoning if levels else request.reasoning != "none"
        if request.logprobs:
            body["logprobs"] = True
        if keep := self._target.options.get("keep_alive"):
            body["keep_alive"] = int(keep) if keep.lstrip("-").isdigit() else keep
        return body

    def _tools(self, request: ModelRequest) -> list[dict[str, object]]:
        """Those that may be called: there is no choice but by what is offered."""
        if request.tool_choice == "none":
            return []
        if request.tools and request.tool_choice != "auto":
            remedy = 'Use tool_choice "auto", and ask for the call in words'
            raise unable(self._target.provider, "be made to call a tool", remedy)
        return [_tool(one) for one in request.tools]

    def _message(self, message: Message, names: Mapping[str, str]) -> dict[str, object]:
        if message.role == "tool":
            called = message.tool_call_id or ""
            named = {"tool_name": names.get(called, called), "tool_call_id": called}
            return {"role": "tool", "content": message.text, **named, **self._images(message.images)}
        written: dict[str, object] = {"role": message.role, "content": message.text, **self._images(message.images)}
        if thought := "".join(one.text for one in message.thoughts):
            written["thinking"] = thought
        if message.tool_calls:
            written["tool_calls"] = [
                {"id": one.id, "function": {"name": one.name, "arguments": arguments_of(one)}}
                for one in message.tool_calls
            ]
        return written

    def _images(self, images: Sequence[Image]) -> dict[str, object]:
        if any(one.data is None for one in images):
            raise unable(self._target.provider, "fetch images", "Give the image's bytes in place of its URL")
        return {"images": [base64.b64encode(one.data or b"").decode() for one in images]} if images else {}

    def reader(self, _request: ModelRequest) -> OllamaReader:
        """For the reply, streamed or not."""
        return OllamaReader(self._target.provider)

    def failure(self, status: int, headers: Mapping[str, str], body: bytes) -> ModelError:
        """From {"error": "..."}."""
        return openai_failure(self._target.provider, status, headers, body)


class OllamaReader(OneCall):
    """One reply: lines until the one that is done, or one object."""

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._calls = 0

    def framing(self, content_type: str) -> Framing:
        """JSON lines, or one body."""
        return Whole() if content_type == "application/json" else JsonLines()

    def feed(self, frame: Frame) -> Iterator[ModelEvent]:
        """Reasoning, text and tool calls; Finish with the line that is done."""
        said = from_json(frame.data, self._provider)
        if said.get("error"):
            raise openai_error(self._provider, 0, {}, said)
        message = said.get("message") or {}
        if thought := message.get("thinking"):
            yield ReasoningPart(text=thought)
        if text := message.get("content"):
            logprobs = tuple(float(one["logprob"]) for one in said.get("logprobs") or ())
            yield TextPart(text=text, logprobs=logprobs)
        for call in message.get("tool_calls") or ():
            self._calls += 1
            yield ToolCallPart(call=_call(call, self._calls))
        if said.get("done"):
            yield Finish(reason=self._reason(said), usage=_usage(said), model=said.get("model") or "")

    def _reason(self, said: dict[str, Any]) -> FinishReason:
        """Older servers give no reason. A model that was only loaded or unloaded ("load") has not answered."""
        reason = finish_reason(said.get("done_reason") or "stop", self._provider)
        return "tool_calls" if self._calls and reason == "stop" else reason

    def end(self) -> Iterable[ModelEvent]:
        """Nothing: only a line that is done ends a reply."""
        return ()


def _tool(tool: Tool) -> dict[str, object]:
    described = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return {"type": "function", "function": described}


def _call(call: dict[str, Any], number: int) -> ToolCall:
    """Older servers give calls no id: then it is their number."""
    function = call.get("function") or {}
    arguments = function.get("arguments") or {}
    return ToolCall(
        id=call.get("id") or f"call_{number}",
        name=function.get("name") or "",
        arguments=arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False),
    )


def _usage(said: dict[str, Any]) -> Usage:
    """The vendor's, unless it left out the prompt's, as older servers do for a prompt that they remember."""
    if said.get("prompt_eval_count") is None or said.get("eval_count") is None:
        return Usage()
    return Usage(input_tokens=said["prompt_eval_count"], output_tokens=said["eval_count"], counted_by="vendor")
