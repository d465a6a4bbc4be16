"""Tools for a model that has none of its own: a protocol in JSON, held by a schema where the model obeys one.

The model is shown the tools in its system prompt and replies with one object: {"thought", "calls", "answer"}. Calls
become ToolCallPart, as if the model had asked for them by itself; results go back to it as text. Where it has to
answer, or has lost itself in the protocol, it is asked plainly, and its text streams.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING

from sourcebook.models.base import (
    Capabilities,
    Finish,
    JsonSchema,
    Message,
    Model,
    ModelEvent,
    ModelRequest,
    ReasoningPart,
    Switched,
    TextPart,
    Tool,
    ToolCall,
    ToolCallPart,
)
from sourcebook.prompt.templates import load
from sourcebook.prompt.thinking import without_thought
from sourcebook.types import Usage

if TYPE_CHECKING:
    from pathlib import Path

_LONGEST_THOUGHT = 120  # characters; small models do not find the end by themselves


class PromptedTools:
    """A model like the one that it wraps, and with tools. Close either.

    home: of the book, whose own template `agent-protocol` comes first. Errors: PromptError.
    """

    def __init__(self, model: Model, *, home: Path | None = None) -> None:
        self._model = model
        self._template = load("agent-protocol", home)

    @property
    def name(self) -> str:
        """The wrapped model's, and by which template it is led."""
        return f"{self._model.name}+{self.prompt}"

    @property
    def prompt(self) -> str:
        """Version of the template that it is led by."""
        return self._template.version

    @property
    def window(self) -> int:
        """The wrapped model's."""
        return self._model.window

    @property
    def capabilities(self) -> Capabilities:
        """The wrapped model's, and tools."""
        return replace(self._model.capabilities, tools=True)

    def count_tokens(self, text: str) -> int:
        """By the wrapped model."""
        return self._model.count_tokens(text)

    async def close(self) -> None:
        """Close the wrapped model."""
        await self._model.close()

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """The wrapped model's events; of a reply by the protocol, what it says."""
        offered = _offered(request)
        if not offered:
            async for event in self._plainly(request, Usage()):
                yield event
            return
        told = _told(request.messages, by_protocol=True)
        led = replace(request, messages=added(told, self._protocol(offered)), tools=(), tool_choice="auto")
        if self._model.capabilities.schema:
            led = replace(led, schema=_reply_schema(offered, request))
        said: list[str] = []
        finish = Finish(reason="stop")
        async with aclosing(self._model.stream(replace(led, logprobs=False))) as events:
            async for event in events:
                match event:
                    case TextPart():
                        said.append(event.text)
                    case Switched():  # nothing of the text has gone out yet
                        said = ["".join(said)[: event.kept]]
                        yield replace(event, kept=0)
                    case Finish():
                        finish = event
                    case _:
                        yield event
        text = "".join(said)
        meant = _meant(without_thought(text), finish)
        if meant is None and without_thought(text).lstrip("` \njso").startswith(
            "{"
        ):  # lost in the protocol: ask for the answer alone
            async for event in self._plainly(request, finish.usage):
                yield event
            return
        for part in meant or (TextPart(text=text), finish):
            yield part

    async def _plainly(self, request: ModelRequest, usage: Usage) -> AsyncGenerator[ModelEvent, None]:
        """The model's own events without any protocol. usage: of what was tried before."""
        plain = replace(request, messages=_told(request.messages, by_protocol=False), tools=(), tool_choice="auto")
        async with aclosing(self._model.stream(plain)) as events:
            async for event in events:
                yield replace(event, usage=usage + event.usage) if isinstance(event, Finish) else event

    def _protocol(self, tools: Sequence[Tool]) -> str:
        lines = [
            json.dumps({"name": one.name, "description": one.description, "arguments": one.parameters}) for one in tools
        ]
        return text_of(self._template.messages(tools="\n".join(lines)))


def protocol_tokens(count: Callable[[str], int], home: Path | None) -> int:
    """Tokens of the protocol, the tools themselves left out."""
    return count(text_of(load("agent-protocol", home).messages(tools="")))


def text_of(messages: Sequence[Message]) -> str:
    """The texts of a template that makes a part of a message."""
    return "\n\n".join(message.text for message in messages)


def added(messages: Sequence[Message], text: str) -> tuple[Message, ...]:
    """The messages with a text at the end of the system's, which begins them."""
    if messages and messages[0].role == "system":
        return (replace(messages[0], text=f"{messages[0].text}\n\n{text}"), *messages[1:])
    return (Message(role="system", text=text), *messages)


# --- what the model is told ---------------------------------------------------------------------------------


def _offered(request: ModelRequest) -> tuple[Tool, ...]:
    if request.tool_choice in ("auto", "required"):
        return request.tools
    return tuple(tool for tool in request.tools if tool.name == request.tool_choice)


def _told(messages: Sequence[Message], *, by_protocol: bool) -> tuple[Message, ...]:
    """The messages in roles and texts alone: calls as the protocol writes them, results as what the user says."""
    told: list[Message] = []
    names: dict[str, str] = {}
    for message in messages:
        if message.role == "assistant" and message.tool_calls:
            names |= {call.id: call.name for call in message.tool_calls}
            told.append(Message(role="assistant", text=_calls_told(message, by_protocol=by_protocol)))
        elif message.role == "tool":
            outcome = "failed" if message.failed else "returned"
            text = f"{names.get(message.tool_call_id or '', 'The tool')} {outcome}:\n{message.text}"
            if told and told[-1].role == "user":
                text = f"{told.pop().text}\n\n{text}"
            told.append(Message(role="user", text=text, keep=message.keep))
        elif message.role == "user" and told and told[-1].role == "user":  # many chat templates want turns
            told[-1] = replace(
                message, text=f"{told[-1].text}\n\n{message.text}", images=told[-1].images + message.images
            )
        else:
            told.append(message)
    return tuple(told)


def _calls_told(message: Message, *, by_protocol: bool) -> str:
    """A turn that asked for tools, as the model would write it; in words where it shall go on in words."""
    if not by_protocol:
        looked = [f"I have called {call.name} with {call.arguments}." for call in message.tool_calls]
        return "\n".join([message.text, *looked]).strip()
    calls = [{"name": call.name, "arguments": _value(call.arguments)} for call in message.tool_calls]
    return json.dumps({"thought": message.text, "calls": calls, "answer": ""}, ensure_ascii=False)


def _reply_schema(tools: Sequence[Tool], request: ModelRequest) -> JsonSchema:
    least = 1 if request.tool_choice != "auto" else 0
    calls = [
        {
            "type": "object",
            "properties": {"name": {"const": one.name}, "arguments": _nested(one.parameters)},
            "required": ["name", "arguments"],
            "additionalProperties": False,
        }
        for one in tools
    ]
    return {
        "type": "object",
        "properties": {
            "thought": {"type": "string", "maxLength": _LONGEST_THOUGHT},
            "calls": {
                "type": "array",
                "items": calls[0] if len(calls) == 1 else {"anyOf": calls},
                "minItems": least,
                "maxItems": 1,  # under a grammar, small models repeat themselves to the end of their budget
            },
            "answer": {"anyOf": [request.schema, {"const": ""}]} if request.schema else {"type": "string"},
        },
        "required": ["thought", "calls", "answer"],
        "additionalProperties": False,
    }


def _nested(schema: JsonSchema) -> JsonSchema:
    """The schema as part of another: references from the root would lead elsewhere there."""
    return {"type": "object"} if "$ref" in json.dumps(schema) else schema


# --- what the model says ------------------------------------------------------------------------------------


def _meant(text: str, finish: Finish) -> list[ModelEvent] | None:
    """The events of a reply by the protocol; None of one that does not keep to it."""
    said = _object(text)
    if said is None:
        return None
    events: list[ModelEvent] = []
    if isinstance(thought := said.get("thought"), str) and thought:
        events.append(ReasoningPart(text=thought))
    listed = said.get("calls")
    for number, call in enumerate(listed if isinstance(listed, list) else []):
        if isinstance(call, dict) and isinstance(name := call.get("name"), str):
            arguments = json.dumps(call.get("arguments", {}), ensure_ascii=False)
            events.append(ToolCallPart(call=ToolCall(id=f"prompted-{number}", name=name, arguments=arguments)))
    if any(isinstance(event, ToolCallPart) for event in events):
        return [*events, replace(finish, reason="tool_calls")]
    answer = said.get("answer", "")
    if answer:
        events.append(TextPart(text=answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)))
    return [*events, finish]


def _object(text: str) -> Mapping[str, object] | None:
    """The first JSON object in the text that is one of the protocol; models like to wrap it in words and fences."""
    decoder = json.JSONDecoder()
    start = text.find("{")
    while start >= 0:
        try:
            found, _ = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            found = None
        if isinstance(found, dict) and ("calls" in found or "answer" in found):
            return found
        start = text.find("{", start + 1)
    return None


def _value(arguments: str) -> object:
    try:
        return json.loads(arguments or "{}")
    except ValueError:
        return arguments
