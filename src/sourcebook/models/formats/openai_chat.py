"""OpenAI chat completions, and everything that speaks it: vLLM, llama.cpp, Azure, Groq, Together, Databricks, ...

Format: platform.openai.com/docs/api-reference/chat. Where servers differ, a `Dialect` says how.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

from sourcebook.errors import ConfigError, InvalidRequest, ModelError
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
    ToolCall,
    ToolCallPart,
)
from sourcebook.models.formats.replies import finished_calls
from sourcebook.models.framing import ServerSentEvents, Whole
from sourcebook.models.wire import Frame, Framing, HttpCall, Target, failure, from_json, to_json
from sourcebook.types import Usage


@dataclass(frozen=True, kw_only=True, slots=True)
class Dialect:
    """How a server speaks the format.

    path: after the base URL; "{model}" and "{option}" of the model's URL are filled in. limit: the field for
    `max_output_tokens`; seed: the field for the seed. key_header: what carries the key; a "Bearer" goes before it in
    "Authorization". usage_option: whether a stream's usage must be asked for. effort: whether it takes
    `reasoning_effort`. continues: fields that make it go on with a last assistant message, None if it cannot;
    continues_message: fields of that message. keep: fields of a content part that mark the end of a prompt to keep.
    thoughts: the field of a turn with tool calls that takes back what was thought before them, "" if there is none.
    """

    path: str = "/chat/completions"
    limit: str = "max_tokens"
    seed: str = "seed"
    key_header: str = "Authorization"
    usage_option: bool = True
    effort: bool = False
    continues: Mapping[str, object] | None = None
    continues_message: Mapping[str, object] = field(default_factory=dict)
    keep: Mapping[str, object] = field(default_factory=dict)
    thoughts: str = ""
    capabilities: Capabilities = field(
        default_factory=lambda: Capabilities(
            tools=True, images=True, schema=True, reasoning=True, logprobs=True, seed=True
        )
    )


class OpenAIChat:
    """The wire format, for one target."""

    def __init__(self, target: Target, dialect: Dialect | None = None) -> None:
        self._target = target
        self._dialect = dialect or _openai(target)
        self.capabilities = replace(
            self._dialect.capabilities,
            continues=self._dialect.continues is not None,
            caches=bool(self._dialect.keep),
        )
        self._url = target.base + self._dialect.path.format(**target.options, model=quote(target.model, safe=""))
        self._headers = {"Content-Type": "application/json", **_key_header(self._dialect, target.key), **target.headers}

    def call(self, request: ModelRequest) -> HttpCall:
        """POST {base}/chat/completions."""
        return HttpCall(url=self._url, headers=self._headers, body=to_json(self._body(request)))

    def _body(self, request: ModelRequest) -> dict[str, object]:
        dialect = self._dialect
        if any(one.images for one in request.messages) and not self.capabilities.images:
            raise unable(self._target.provider, "take images", "Name a model that can")
        if request.tools and not self.capabilities.tools:
            raise unable(self._target.provider, "call tools", "Name a model that can")
        messages = [_message(one, dialect) for one in request.messages]
        body: dict[str, object] = {
            "model": self._target.model,
            "messages": messages,
            dialect.limit: request.max_output_tokens,
        }
        if request.streamed:
            body["stream"] = True
            if dialect.usage_option:
                body["stream_options"] = {"include_usage": True}
        settings = {"temperature": request.temperature, "top_p": request.top_p, dialect.seed: request.seed}
        body |= {name: value for name, value in settings.items() if value is not None}
        if request.stop:
            body["stop"] = list(request.stop)
        if request.tools:
            body["tools"] = [
                {
                    "type": "function",
                    "function": {"name": one.name, "description": one.description, "parameters": one.parameters},
                }
                for one in request.tools
            ]
            body["tool_choice"] = tool_choice(request.tool_choice)
        if request.schema is not None:
            if not self.capabilities.schema:
                raise unable(self._target.provider, "be held to a JSON schema", "Ask for JSON in words, and check it")
            wanted = {"name": "reply", "schema": request.schema, "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": wanted}
        if request.reasoning is not None and dialect.effort:
            body["reasoning_effort"] = request.reasoning
        if request.logprobs:
            body["logprobs"] = True
        if request.messages and request.messages[-1].role == "assistant":
            if dialect.continues is None:
                raise unable(self._target.provider, "continue a reply that was begun", GO_ON)
            messages[-1] |= dialect.continues_message
            body |= dialect.continues
        return body

    def reader(self, request: ModelRequest) -> OpenAIChatReader:
        """For the reply, streamed or not."""
        return OpenAIChatReader(self._target.provider, streamed=request.streamed)

    def failure(self, status: int, headers: Mapping[str, str], body: bytes) -> ModelError:
        """From {"error": {"message", "type", "code"}}, or whatever else a server says."""
        return openai_failure(self._target.provider, status, headers, body)


def _openai(target: Target) -> Dialect:
    """OpenAI's own: from gpt-5.6 on it takes marks of what to keep."""
    keep = {"prompt_cache_breakpoint": {"mode": "explicit"}} if told(target, "keeps", KEEPS) else {}
    return Dialect(limit="max_completion_tokens", effort=True, keep=keep)


KEEPS = re.compile(r"gpt-(?:5\.(?:[6-9]|\d\d)|[6-9]|\d\d)")


def told(target: Target, option: str, names: re.Pattern[str]) -> bool:
    """What an option of the URL says, or else the model's name ("ft:gpt-..." is one that was trained further)."""
    said = target.options.get(option)
    if said is None:
        return names.match(target.model.removeprefix("ft:")) is not None
    if said not in ("true", "false"):
        raise ConfigError(f"{option}={said!r} in the model's URL is neither true nor false", remedy="Correct it")
    return said == "true"


def azure(target: Target) -> OpenAIChat:
    """Azure's: the undated v1 API, or the paths of a dated one if `api_version` is given.

    Source: learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle.
    """
    path = "/openai/v1/chat/completions"
    if "api_version" in target.options:
        path = "/openai/deployments/{model}/chat/completions?api-version={api_version}"
    return OpenAIChat(target, replace(_openai(target), path=path, key_header="api-key"))


class OpenAIChatReader:
    """One reply: chunks until [DONE], or one completion."""

    def __init__(self, provider: str, *, streamed: bool) -> None:
        self._provider = provider
        self._streamed = streamed
        self._calls: dict[int, _Call] = {}
        self._reason: FinishReason | None = None
        self._usage = Usage()
        self._model = ""

    def framing(self, content_type: str) -> Framing:
        """Server-sent events, or one body."""
        return Whole() if content_type.endswith("json") else ServerSentEvents()

    def feed(self, frame: Frame) -> Iterable[ModelEvent]:
        """Text, reasoning and tool calls; Finish at [DONE], after which usage is known."""
        if frame.data.strip() == "[DONE]":
            return self.end()
        chunk = from_json(frame.data, self._provider)
        if chunk.get("error"):
            raise openai_error(self._provider, 0, {}, chunk)
        return self._chunk(chunk, whole=frame.event == "reply")

    def _chunk(self, chunk: dict[str, Any], *, whole: bool) -> Iterator[ModelEvent]:
        self._model = chunk.get("model") or self._model
        if chunk.get("usage"):
            self._usage = openai_usage(chunk["usage"])
        for choice in chunk.get("choices") or ():
            said = choice.get("message" if whole else "delta") or {}
            if thought := said.get("reasoning_content") or said.get("reasoning"):
                yield ReasoningPart(text=thought)
            if content := said.get("content"):
                yield from _content(content, _logprobs(choice))
            if refusal := said.get("refusal"):
                yield TextPart(text=refusal)
                self._reason = "filtered"
            for position, part in enumerate(said.get("tool_calls") or ()):
                self._calls.setdefault(part.get("index", position), _Call()).add(part)
            if reason := choice.get("finish_reason"):
                self._reason = _REASONS.get(reason, "stop") if self._reason is None else self._reason
                calls = [self._calls[position].whole() for position in sorted(self._calls)]
                self._calls = {}
                if calls and self._reason in ("stop", "tool_calls"):
                    self._reason = "tool_calls"
                    yield from (ToolCallPart(call=one) for one in calls)
                else:
                    yield from finished_calls(calls)
        if whole:
            yield from self.end()

    def end(self) -> Iterable[ModelEvent]:
        """Finish, if the server had said why it stopped."""
        if self._reason is not None:
            yield Finish(reason=self._reason, usage=self._usage, model=self._model)

    def next_call(self) -> HttpCall | None:
        """None: one call is the whole."""
        return None

    def cancelling_call(self) -> HttpCall | None:
        """None: closing the connection stops the work."""
        return None


class _Call:
    """A tool call that comes in pieces."""

    def __init__(self) -> None:
        self._id = ""
        self._name = ""
        self._arguments: list[str] = []

    def add(self, part: dict[str, Any]) -> None:
        function = part.get("function") or {}
        self._id = part.get("id") or self._id
        self._name = function.get("name") or self._name
        arguments = function.get("arguments")
        if arguments:
            self._arguments.append(arguments if isinstance(arguments, str) else to_json(arguments).decode())

    def whole(self) -> ToolCall:
        return ToolCall(id=self._id or self._name, name=self._name, arguments="".join(self._arguments) or "{}")


_REASONS: Mapping[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "filtered",
}


def openai_failure(provider: str, status: int, headers: Mapping[str, str], body: bytes) -> ModelError:
    """The error of an HTTP reply, whose body may be anything."""
    try:
        said = from_json(body, provider)
    except ModelError:
        said = {"error": body.decode("utf-8", "replace")[:500]}
    return openai_error(provider, status, headers, said)


def openai_error(provider: str, status: int, headers: Mapping[str, str], said: dict[str, Any]) -> ModelError:
    """The error that a JSON object tells of, in one of the shapes that servers of this format use."""
    error = said.get("error") or said.get("detail") or said.get("message") or said.get("errors") or ""
    if not isinstance(error, dict):
        return failure(provider, status, headers, message=str(error))
    code = f"{error.get('type') or ''} {error.get('code') or ''}"
    if not status and str(error.get("code") or "").isdigit():
        status = int(error["code"])
    inner = error.get("innererror") or {}
    return failure(
        provider, status, headers, message=str(error.get("message") or ""), code=f"{code} {inner.get('code') or ''}"
    )


def openai_usage(usage: dict[str, Any]) -> Usage:
    """Tokens as this format counts them: cached ones within the prompt's, reasoning within the completion's."""
    prompt = usage.get("prompt_tokens_details") or usage.get("input_tokens_details") or {}
    completion = usage.get("completion_tokens_details") or usage.get("output_tokens_details") or {}
    return Usage(
        input_tokens=usage.get("prompt_tokens") or usage.get("input_tokens") or 0,
        output_tokens=usage.get("completion_tokens") or usage.get("output_tokens") or 0,
        cached_tokens=prompt.get("cached_tokens") or usage.get("prompt_cache_hit_tokens") or 0,
        cache_write_tokens=prompt.get("cache_write_tokens") or 0,
        reasoning_tokens=completion.get("reasoning_tokens") or 0,
        counted_by="vendor",
    )


GO_ON = "Ask it in a message of the user to go on"


def unable(provider: str, what: str, remedy: str) -> InvalidRequest:
    """The error for a wish that a server of this kind cannot grant."""
    return InvalidRequest(f"{provider} cannot {what}", remedy=remedy, provider=provider)


def tool_choice(choice: str) -> object:
    """One of "auto", "none" and "required", or the one function to call."""
    return choice if choice in ("auto", "none", "required") else {"type": "function", "function": {"name": choice}}


def data_url(image: Image) -> str:
    """The image's URL, or its bytes as a data URL (RFC 2397)."""
    if image.url is not None:
        return image.url
    return f"data:{image.media_type};base64,{base64.b64encode(image.data or b'').decode()}"


def _message(message: Message, dialect: Dialect) -> dict[str, object]:
    mark = dialect.keep if message.keep else {}
    if message.role == "tool":
        return {"role": "tool", "tool_call_id": message.tool_call_id, "content": message.text}
    content: object = message.text
    if message.images or (mark and message.text):
        parts: list[dict[str, object]] = [{"type": "text", "text": message.text}] if message.text else []
        parts += ({"type": "image_url", "image_url": {"url": data_url(one)}} for one in message.images)
        parts[-1] |= mark
        content = parts
    written: dict[str, object] = {"role": message.role, "content": content}
    if message.tool_calls:
        written["tool_calls"] = [
            {"id": one.id, "type": "function", "function": {"name": one.name, "arguments": one.arguments}}
            for one in message.tool_calls
        ]
        written["content"] = content or None
        if dialect.thoughts and (thought := "".join(one.text for one in message.thoughts)):
            written[dialect.thoughts] = thought
    return written


def _content(content: object, logprobs: tuple[float, ...]) -> Iterator[ModelEvent]:
    """Text, or a list of parts as Mistral sends them, thoughts among them."""
    if isinstance(content, str):
        yield TextPart(text=content, logprobs=logprobs)
        return
    for part in content if isinstance(content, list) else ():
        if part.get("type") == "thinking":
            yield ReasoningPart(text="".join(one.get("text") or "" for one in part.get("thinking") or ()))
        elif part.get("text"):
            yield TextPart(text=part["text"], logprobs=logprobs)


def _logprobs(choice: dict[str, Any]) -> tuple[float, ...]:
    tokens = (choice.get("logprobs") or {}).get("content") or ()
    return tuple(float(one["logprob"]) for one in tokens)


def _key_header(dialect: Dialect, key: str) -> dict[str, str]:
    if not key:
        return {}
    return {dialect.key_header: f"Bearer {key}" if dialect.key_header == "Authorization" else key}
