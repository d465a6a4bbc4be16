"""OpenAI chat completions, and everything that speaks it: vLLM, llama.cpp, Azure, Groq, Together, Databricks, ...

Format: platform.openai.com/docs/api-reference/chat. Where servers differ, a `Dialect` says how.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import quote

from sourcebook.errors import ModelError
from sourcebook.models.base import Capabilities, Message, ModelRequest
from sourcebook.models.formats.gpt import effort_of, generation_elsewhere, generation_of, samples_of
from sourcebook.models.formats.openai_chat_reader import OpenAIChatReader
from sourcebook.models.formats.openai_shapes import openai_failure, tool_choice
from sourcebook.models.formats.replies import shared_stops
from sourcebook.models.formats.schemas import strict_schema
from sourcebook.models.formats.turns import begun, data_url, with_pictures_apart
from sourcebook.models.formats.wishes import ensure_able
from sourcebook.models.wire import HttpCall, Target, json_headers, to_json


@dataclass(frozen=True, kw_only=True, slots=True)
class Dialect:
    """How a server speaks the format.

    path: after the base URL; "{model}" and "{option}" of the model's URL are filled in. limit: the field for
    `max_output_tokens`; seed: the field for the seed. key_header: what carries the key; a "Bearer" goes before it in
    "Authorization". openai: whether OpenAI's own models are behind it, of which it is known what they take.
    usage_option: whether a stream's usage must be asked for. effort: whether it takes `reasoning_effort`.
    continues: fields that make it go on with a last assistant message, None if it cannot; continues_message: fields of
    that message. keep: fields of a content part that mark the end of a prompt to keep. thoughts: the field of a turn
    with tool calls that takes back what was thought before them, "" if there is none.
    """

    path: str = "/chat/completions"
    limit: str = "max_tokens"
    seed: str = "seed"
    key_header: str = "Authorization"
    openai: bool = False
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


OPENAI = Dialect(limit="max_completion_tokens", openai=True, effort=True)
"""OpenAI's own."""
_BREAKPOINT: Mapping[str, object] = {"prompt_cache_breakpoint": {"mode": "explicit"}}


class OpenAIChat:
    """The wire format, for one target; OpenAI's own, if no dialect is given.

    What OpenAI's models take is told by `gpt`; options of the target: those of `gpt.generation_of`. Temperature and
    the like are left out where a model takes none; stop sequences are then kept to here.
    """

    def __init__(self, target: Target, dialect: Dialect = OPENAI) -> None:
        self._target = target
        generation = generation_elsewhere(target.model, effort=dialect.effort)
        if dialect.openai:
            generation = generation_of(target.model, target.options)
            dialect = replace(dialect, keep=_BREAKPOINT if generation.keeps else {})
        self._dialect = dialect
        self._generation = generation
        self.capabilities = replace(
            dialect.capabilities,
            reasoning=dialect.capabilities.reasoning and (bool(generation.efforts) or not dialect.openai),
            logprobs=dialect.capabilities.logprobs and generation.logprobs,
            continues=dialect.continues is not None,
            caches=bool(dialect.keep),
        )
        self._url = target.base + dialect.path.format(**target.options, model=quote(target.model, safe=""))
        self._headers = json_headers(target, key_header=dialect.key_header)

    def call(self, request: ModelRequest) -> HttpCall:
        """POST {base}/chat/completions."""
        ensure_able(request, self.capabilities, self._target.provider)
        return HttpCall(url=self._url, headers=self._headers, body=to_json(self._body(request)))

    def _body(self, request: ModelRequest) -> dict[str, object]:
        dialect = self._dialect
        messages = [_message(one, dialect) for one in with_pictures_apart(request.messages)]
        body: dict[str, object] = {
            "model": self._target.model,
            "messages": messages,
            dialect.limit: request.max_output_tokens,
        }
        if request.streamed:
            body["stream"] = True
            if dialect.usage_option:
                body["stream_options"] = {"include_usage": True}
        body |= samples_of(self._generation, request)
        if request.seed is not None:
            body[dialect.seed] = request.seed
        if stops := self._stops(request)[0]:
            body["stop"] = stops
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
            schema, strict = strict_schema(request.schema, openai=dialect.openai)
            wanted = {"name": "reply", "schema": schema, "strict": strict}
            body["response_format"] = {"type": "json_schema", "json_schema": wanted}
        if (effort := effort_of(self._generation, request)) is not None:
            body["reasoning_effort"] = effort
        if request.logprobs and self.capabilities.logprobs:
            body["logprobs"] = True
        if begun(request.messages) is not None:
            messages[-1] |= dialect.continues_message
            body |= dialect.continues or {}
        return body

    def _stops(self, request: ModelRequest) -> tuple[list[str], list[str]]:
        """Stop sequences that the server takes, and those that are kept to here."""
        return shared_stops(request.stop, most=self._generation.stops, blank=True)

    def reader(self, request: ModelRequest) -> OpenAIChatReader:
        """For the reply, streamed or not."""
        return OpenAIChatReader(self._target.provider, stops=self._stops(request)[1])

    def failure(self, status: int, headers: Mapping[str, str], body: bytes) -> ModelError:
        """From {"error": {"message", "type", "code"}}, or whatever else a server says."""
        return openai_failure(self._target.provider, status, headers, body)


def azure(target: Target) -> OpenAIChat:
    """Azure's: the undated v1 API, or the paths of a dated one if `api_version` is given.

    Source: learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle.
    """
    path = "/openai/v1/chat/completions"
    if "api_version" in target.options:
        path = "/openai/deployments/{model}/chat/completions?api-version={api_version}"
    return OpenAIChat(target, replace(OPENAI, path=path, key_header="api-key"))


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
