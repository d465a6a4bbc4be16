"""OpenAI responses: items in, semantic events out.

Format: platform.openai.com/docs/api-reference/responses. Nothing is stored with the vendor; the reasoning of a turn
goes back with the conversation, encrypted, so that the model goes on thinking where it was when tools are run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from sourcebook.errors import InvalidReply, ModelError
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
)
from sourcebook.models.formats.gpt import effort_of, generation_of, samples_of
from sourcebook.models.formats.openai_shapes import openai_error, openai_failure, openai_usage
from sourcebook.models.formats.replies import finished_calls, stopped
from sourcebook.models.formats.schemas import strict_schema
from sourcebook.models.formats.stopping import StopSequences
from sourcebook.models.formats.turns import data_url
from sourcebook.models.formats.wishes import ensure_able
from sourcebook.models.framing import ServerSentEvents, Whole
from sourcebook.models.wire import Frame, Framing, HttpCall, OneCall, Target, from_json, json_headers, to_json

_OURS: Final = "openai:"  # begins the signatures of this format's thoughts; provider and model follow


class OpenAIResponses:
    """The wire format, for one target. Options of the target: those of `gpt.generation_of`.

    The vendor has neither stop sequences nor a seed; the former are kept to here.
    """

    def __init__(self, target: Target, *, path: str = "/responses", key_header: str = "Authorization") -> None:
        self._target = target
        self._generation = generation_of(target.model, target.options)
        self._mark = f"{_OURS}{target.provider}:{target.model}:"
        self.capabilities = Capabilities(
            tools=True,
            images=True,
            schema=True,
            reasoning=bool(self._generation.efforts),
            logprobs=self._generation.logprobs,
            caches=self._generation.keeps,
        )
        self._url = target.base + path
        self._headers = json_headers(target, key_header=key_header)

    def call(self, request: ModelRequest) -> HttpCall:
        """POST {base}/responses."""
        ensure_able(request, self.capabilities, self._target.provider)
        return HttpCall(url=self._url, headers=self._headers, body=to_json(self._body(request)))

    def _body(self, request: ModelRequest) -> dict[str, object]:
        keeps = self._generation.keeps
        body: dict[str, object] = {
            "model": self._target.model,
            "input": [item for one in request.messages for item in _items(one, self._mark, keeps=keeps)],
            "max_output_tokens": request.max_output_tokens,
            "store": False,
        }
        if request.streamed:
            body["stream"] = True
        body |= samples_of(self._generation, request)
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
            schema, strict = strict_schema(request.schema, openai=True)
            body["text"] = {"format": {"type": "json_schema", "name": "reply", "schema": schema, "strict": strict}}
        if (effort := effort_of(self._generation, request)) is not None:
            body["reasoning"] = {"effort": effort, **({} if request.reasoning == "none" else {"summary": "auto"})}
        include = ["reasoning.encrypted_content"] if self._generation.reasons else []
        if request.logprobs and self.capabilities.logprobs:
            include.append("message.output_text.logprobs")
        if include:
            body["include"] = include
        return body

    def reader(self, request: ModelRequest) -> OpenAIResponsesReader:
        """For the reply, streamed or not."""
        return OpenAIResponsesReader(self._target.provider, mark=self._mark, stops=request.stop)

    def failure(self, status: int, headers: Mapping[str, str], body: bytes) -> ModelError:
        """From {"error": {"message", "type", "code"}}."""
        return openai_failure(self._target.provider, status, headers, body)


def azure(target: Target) -> OpenAIResponses:
    """Azure's undated v1 API. Source: learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle."""
    return OpenAIResponses(target, path="/openai/v1/responses", key_header="api-key")


class OpenAIResponsesReader(OneCall):
    """One reply: events until one that ends it, or one response.

    mark: begins the signatures of its thoughts. stops: the request's stop sequences.
    """

    def __init__(self, provider: str, *, mark: str, stops: Sequence[str] = ()) -> None:
        self._provider = provider
        self._mark = mark
        self._stops = StopSequences(stops)
        self._model = ""
        self._shown: set[str] = set()
        self._called = False
        self._refused = False

    def framing(self, content_type: str) -> Framing:
        """Server-sent events, or one body."""
        return Whole() if content_type.endswith("json") else ServerSentEvents()

    def feed(self, frame: Frame) -> Iterable[ModelEvent]:
        """Text, reasoning, tool calls; Finish with the event that carries the usage."""
        said = from_json(frame.data, self._provider)
        events = self._whole(said) if frame.event == "reply" else self._event(said)
        return stopped(events, self._stops, self)

    def _event(self, said: dict[str, Any]) -> Iterator[ModelEvent]:
        match said.get("type"):
            case "response.output_text.delta":
                yield TextPart(text=said.get("delta") or "", logprobs=_logprobs(said.get("logprobs")))
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
        """An item that is complete: a tool call, or the end of a thought. What is not complete is passed over."""
        if item.get("status") == "incomplete":
            return
        if item.get("type") == "function_call":
            self._called = True
            yield from finished_calls([_call(item)], None)
        elif item.get("type") == "reasoning":
            yield from self._thought(item, shown=str(item.get("id")) in self._shown)

    def _thought(self, item: dict[str, Any], *, shown: bool) -> Iterator[ReasoningPart]:
        """The text of a thought if it was not shown yet, and its signature: the item's id and encrypted content."""
        parts = item.get("summary") or item.get("content") or ()
        text = "" if shown else "\n\n".join(one.get("text") or "" for one in parts)
        encrypted = item.get("encrypted_content")
        if text or encrypted:
            signature = f"{self._mark}{item.get('id')}:{encrypted}" if encrypted else ""
            yield ReasoningPart(text=text, signature=signature)

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
                        yield TextPart(text=part.get("text") or "", logprobs=_logprobs(part.get("logprobs")))
            else:
                yield from self._item_done(item)
        yield from self._over(response)

    def _over(self, response: dict[str, Any]) -> Iterator[ModelEvent]:
        if response.get("usage"):
            self.usage = openai_usage(response["usage"])
        status = response.get("status") or "completed"
        error = response.get("error")
        if error or status == "failed":
            raise openai_error(self._provider, 0, {}, {"error": error or "the response failed"})
        if status not in ("completed", "incomplete"):
            raise InvalidReply(f"{self._provider} left the response {status}", provider=self._provider)
        reason: FinishReason = "tool_calls" if self._called else "stop"
        if status == "incomplete":
            why = (response.get("incomplete_details") or {}).get("reason")
            reason = "filtered" if why == "content_filter" else "length"
        if self._refused:
            reason = "filtered"
        yield Finish(reason=reason, usage=self.usage, model=response.get("model") or self._model)

    def end(self) -> Iterable[ModelEvent]:
        """Nothing: only an event ends a reply."""
        return ()


def _items(message: Message, mark: str, *, keeps: bool) -> Iterator[dict[str, object]]:
    """A message as items. What an assistant thought stands before what it said and called."""
    if message.role == "tool":
        text: list[dict[str, object]] = [{"type": "input_text", "text": message.text}] if message.text else []
        output = [*text, *map(_picture, message.images)] if message.images else message.text
        yield {"type": "function_call_output", "call_id": message.tool_call_id, "output": output}
        return
    if message.role == "assistant":
        if message.text or message.tool_calls:  # reasoning that nothing follows is refused
            yield from (_sent_back(one, mark) for one in message.thoughts if one.signature.startswith(mark))
        if message.text:
            yield {"role": "assistant", "content": message.text}
        for call in message.tool_calls:
            yield {"type": "function_call", "call_id": call.id, "name": call.name, "arguments": call.arguments}
        return
    point = {"prompt_cache_breakpoint": {"mode": "explicit"}} if message.keep and keeps else {}
    if not message.images and not point:
        yield {"role": message.role, "content": message.text}
        return
    parts: list[dict[str, object]] = [{"type": "input_text", "text": message.text}] if message.text else []
    parts += map(_picture, message.images)
    if parts:
        parts[-1] |= point
    yield {"role": message.role, "content": parts}


def _picture(image: Image) -> dict[str, object]:
    return {"type": "input_image", "image_url": data_url(image), "detail": "auto"}


def _sent_back(thought: Thought, mark: str) -> dict[str, object]:
    """A thought of this model's; others, and those of other organisations, cannot be decrypted."""
    item, _, encrypted = thought.signature.removeprefix(mark).partition(":")
    summary = [{"type": "summary_text", "text": thought.text}] if thought.text else []
    return {"type": "reasoning", "id": item, "summary": summary, "encrypted_content": encrypted}


def _call(item: dict[str, Any]) -> ToolCall:
    called = item.get("call_id") or item.get("id") or ""
    return ToolCall(id=called, name=item.get("name") or "", arguments=item.get("arguments") or "")


def _logprobs(said: object) -> tuple[float, ...]:
    return tuple(float(one["logprob"]) for one in said) if isinstance(said, list) else ()
