"""OpenAI responses: items in, semantic events out.

Format: platform.openai.com/docs/api-reference/responses. Nothing is stored with the vendor; the reasoning of a turn
goes back with the conversation, encrypted, so that the model goes on thinking where it was when tools are run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from sourcebook.errors import InvalidReply, ModelError
from sourcebook.models.base import (
    Capabilities,
    Finish,
    FinishReason,
    Message,
    ModelEvent,
    ModelRequest,
    ReasoningPart,
    TextPart,
    Thought,
    ToolCall,
)
from sourcebook.models.formats.openai_chat import (
    GO_ON,
    KEEPS,
    data_url,
    openai_error,
    openai_failure,
    openai_usage,
    told,
    unable,
)
from sourcebook.models.formats.replies import finished_calls
from sourcebook.models.formats.stopping import StopSequences
from sourcebook.models.framing import ServerSentEvents, Whole
from sourcebook.models.wire import Frame, Framing, HttpCall, Target, from_json, to_json
from sourcebook.types import Usage

_OURS: Final = "openai:"  # begins the signatures of this format's thoughts
_REASONS: Final = re.compile(r"(o\d|gpt-(?:[5-9]|\d\d)(?!.*chat)|codex|gpt-oss)")


class OpenAIResponses:
    """The wire format, for one target.

    Of the URL's options it heeds `reasons` and `keeps` ("true" or "false"): whether the model thinks before it
    answers, and whether it takes prompt-caching markers, where its name does not tell.
    """

    def __init__(self, target: Target, *, path: str = "/responses", key_header: str = "Authorization") -> None:
        self._target = target
        self._reasons = told(target, "reasons", _REASONS)
        self._keeps = told(target, "keeps", KEEPS)
        self.capabilities = Capabilities(
            tools=True, images=True, schema=True, reasoning=True, logprobs=True, caches=self._keeps
        )
        key = {key_header: f"Bearer {target.key}" if key_header == "Authorization" else target.key}
        self._url = target.base + path
        self._headers = {"Content-Type": "application/json", **(key if target.key else {}), **target.headers}

    def call(self, request: ModelRequest) -> HttpCall:
        """POST {base}/responses."""
        return HttpCall(url=self._url, headers=self._headers, body=to_json(self._body(request)))

    def _body(self, request: ModelRequest) -> dict[str, object]:
        if request.messages and request.messages[-1].role == "assistant":
            raise unable(self._target.provider, "continue a reply that was begun", GO_ON)
        body: dict[str, object] = {
            "model": self._target.model,
            "input": [item for one in request.messages for item in _items(one, keeps=self._keeps)],
            "max_output_tokens": request.max_output_tokens,
            "store": False,
        }
        if request.streamed:
            body["stream"] = True
        if request.temperature is not None:
            body["temperature"] = request.temperature
        if request.top_p is not None:
            body["top_p"] = request.top_p
        if request.tools:
            body["tools"] = [
                {
                    "type": "function",
                    "name": one.name,
                    "description": one.description,
                    "parameters": one.parameters,
                    "strict": False,
                }
                for one in request.tools
            ]
            named = request.tool_choice not in ("auto", "none", "required")
            choice = {"type": "function", "name": request.tool_choice}
            body["tool_choice"] = choice if named else request.tool_choice
        if request.schema is not None:
            wanted = {"type": "json_schema", "name": "reply", "schema": request.schema, "strict": True}
            body["text"] = {"format": wanted}
        if request.reasoning is not None:
            summary = {} if request.reasoning == "none" else {"summary": "auto"}
            body["reasoning"] = {"effort": request.reasoning, **summary}
        include = ["reasoning.encrypted_content"] if self._reasons else []
        if request.logprobs:
            include.append("message.output_text.logprobs")
        if include:
            body["include"] = include
        return body

    def reader(self, request: ModelRequest) -> OpenAIResponsesReader:
        """For the reply, streamed or not."""
        return OpenAIResponsesReader(self._target.provider, stop=request.stop)

    def failure(self, status: int, headers: Mapping[str, str], body: bytes) -> ModelError:
        """From {"error": {"message", "type", "code"}}."""
        return openai_failure(self._target.provider, status, headers, body)


def azure(target: Target) -> OpenAIResponses:
    """Azure's undated v1 API. Source: learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle."""
    return OpenAIResponses(target, path="/openai/v1/responses", key_header="api-key")


class OpenAIResponsesReader:
    """One reply: events until one that ends it, or one response.

    The vendor has no stop sequences. Where the text meets one, a streamed reply ends there, with tokens counted
    here, and the vendor's stream is closed.
    """

    def __init__(self, provider: str, *, stop: tuple[str, ...] = ()) -> None:
        self._provider = provider
        self._stop = StopSequences(stop)
        self._model = ""
        self._summaries = 0
        self._shown: set[str] = set()
        self._calls: list[ToolCall] = []
        self._refused = False

    def framing(self, content_type: str) -> Framing:
        """Server-sent events, or one body."""
        return Whole() if content_type.endswith("json") else ServerSentEvents()

    def feed(self, frame: Frame) -> Iterable[ModelEvent]:
        """Text, reasoning, tool calls; Finish with the event that carries the usage."""
        said = from_json(frame.data, self._provider)
        if frame.event == "reply":
            return self._whole(said)
        return self._event(said)

    def _event(self, said: dict[str, Any]) -> Iterator[ModelEvent]:
        match said.get("type"):
            case "response.output_text.delta":
                yield from self._text(said.get("delta") or "", said.get("logprobs"))
            case "response.refusal.delta":
                self._refused = True
                yield TextPart(text=said.get("delta") or "")
            case "response.reasoning_summary_part.added" if said.get("summary_index"):
                yield ReasoningPart(text="\n\n")
            case "response.reasoning_summary_text.delta" | "response.reasoning_text.delta":
                self._shown.add(str(said.get("item_id")))
                yield ReasoningPart(text=said.get("delta") or "")
            case "response.output_item.done":
                yield from self._item_done(said.get("item") or {})
            case "response.created" | "response.in_progress":
                self._model = (said.get("response") or {}).get("model") or self._model
            case "response.completed" | "response.incomplete" | "response.failed" | "response.cancelled":
                yield from self._over(said.get("response") or {})
            case "error":
                raise openai_error(self._provider, 0, {}, said if "error" in said else {"error": said})

    def _item_done(self, item: dict[str, Any]) -> Iterator[ModelEvent]:
        """An item that is complete: a tool call, or the end of a thought."""
        if item.get("type") == "function_call":
            self._calls.append(_call(item))
            yield from finished_calls(self._calls[-1:])
        elif item.get("type") == "reasoning":
            yield from _thought(item, shown=str(item.get("id")) in self._shown)

    def _text(self, text: str, logprobs: object) -> Iterator[ModelEvent]:
        yield from self._stop.feed(TextPart(text=text, logprobs=_logprobs(logprobs)))
        if self._stop.stopped:
            yield Finish(reason="stop", model=self._model)

    def _whole(self, response: dict[str, Any]) -> Iterator[ModelEvent]:
        if response.get("error"):
            yield from self._over(response)
        for item in response.get("output") or ():
            if item.get("type") == "message":
                for part in item.get("content") or ():
                    if part.get("type") == "refusal":
                        self._refused = True
                        yield TextPart(text=part.get("refusal") or "")
                    else:
                        text = TextPart(text=part.get("text") or "", logprobs=_logprobs(part.get("logprobs")))
                        yield from self._stop.feed(text)
            else:
                yield from self._item_done(item)
        yield from self._over(response)

    def _over(self, response: dict[str, Any]) -> Iterator[ModelEvent]:
        yield from self._stop.rest()
        status = response.get("status") or "completed"
        error = response.get("error")
        if error or status == "failed":
            raise openai_error(self._provider, 0, {}, {"error": error or "the response failed"})
        if status not in ("completed", "incomplete"):
            raise InvalidReply(f"{self._provider} left the response {status}", provider=self._provider)
        reason: FinishReason = "tool_calls" if self._calls else "stop"
        if status == "incomplete":
            why = (response.get("incomplete_details") or {}).get("reason")
            reason = "filtered" if why == "content_filter" else "length"
        if self._refused:
            reason = "filtered"
        usage = response.get("usage")
        yield Finish(
            reason=reason,
            usage=openai_usage(usage) if usage else Usage(),
            model=response.get("model") or self._model,
        )

    def end(self) -> Iterable[ModelEvent]:
        """Nothing: only an event ends a reply."""
        return ()

    def next_call(self) -> HttpCall | None:
        """None: one call is the whole."""
        return None

    def cancelling_call(self) -> HttpCall | None:
        """None: closing the connection stops the work."""
        return None


def _items(message: Message, *, keeps: bool) -> Iterator[dict[str, object]]:
    """A message as items. What an assistant thought stands before what it said and called."""
    if message.role == "tool":
        yield {"type": "function_call_output", "call_id": message.tool_call_id, "output": message.text}
        return
    if message.role == "assistant":
        if message.text or message.tool_calls:  # reasoning that nothing follows is refused
            yield from filter(None, map(_sent_back, message.thoughts))
        if message.text:
            yield {"role": "assistant", "content": message.text}
        for call in message.tool_calls:
            yield {"type": "function_call", "call_id": call.id, "name": call.name, "arguments": call.arguments}
        return
    mark = {"prompt_cache_breakpoint": {"mode": "explicit"}} if message.keep and keeps else {}
    if not message.images and not mark:
        yield {"role": message.role, "content": message.text}
        return
    parts: list[dict[str, object]] = [{"type": "input_text", "text": message.text}] if message.text else []
    parts += ({"type": "input_image", "image_url": data_url(one), "detail": "auto"} for one in message.images)
    if parts:
        parts[-1] |= mark
    yield {"role": message.role, "content": parts}


def _thought(item: dict[str, Any], *, shown: bool) -> Iterator[ReasoningPart]:
    """The text of a thought if it was not shown yet, and its signature: the item's id and encrypted content."""
    parts = item.get("summary") or item.get("content") or ()
    text = "" if shown else "\n\n".join(one.get("text") or "" for one in parts)
    encrypted = item.get("encrypted_content")
    if text or encrypted:
        yield ReasoningPart(text=text, signature=f"{_OURS}{item.get('id')}:{encrypted}" if encrypted else "")


def _sent_back(thought: Thought) -> dict[str, object] | None:
    if not thought.signature.startswith(_OURS):
        return None  # another vendor's, or shown only
    item, _, encrypted = thought.signature.removeprefix(_OURS).partition(":")
    summary = [{"type": "summary_text", "text": thought.text}] if thought.text else []
    return {"type": "reasoning", "id": item, "summary": summary, "encrypted_content": encrypted}


def _call(item: dict[str, Any]) -> ToolCall:
    called = item.get("call_id") or item.get("id") or ""
    return ToolCall(id=called, name=item.get("name") or "", arguments=item.get("arguments") or "{}")


def _logprobs(said: object) -> tuple[float, ...]:
    return tuple(float(one["logprob"]) for one in said) if isinstance(said, list) else ()
