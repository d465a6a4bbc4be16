"""What is asked of Anthropic's messages."""

from __future__ import annotations

import base64

from sourcebook.models.base import Image, Message, ModelRequest, Thought
from sourcebook.models.formats.claude import (
    REDACTED,
    SIGNED,
    Generation,
    effort_of,
    reply_tool_of,
    samples_of,
    signed,
    thinking_of,
    with_own_thoughts,
)
from sourcebook.models.formats.replies import ReplyTool, shared_stops
from sourcebook.models.formats.schemas import closed_schema
from sourcebook.models.formats.turns import Turn, arguments_of, begun, marked, plain_id, turns

_MOST_MARKERS = 4


def messages_body(request: ModelRequest, generation: Generation, model: str) -> dict[str, object]:
    """The body of POST /v1/messages."""
    request = with_own_thoughts(request, model)
    reply_tool = reply_tool_of(request, schema=generation.schema)
    forced = reply_tool is not None or request.tool_choice not in ("auto", "none")
    messages = marked(request.messages, _MOST_MARKERS)
    thinking = thinking_of(generation, request, forced=forced)
    body: dict[str, object] = {"model": model, "max_tokens": request.max_output_tokens}
    if system := [_text(one) for one in messages if one.role == "system" and one.text.strip()]:
        body["system"] = system
    body["messages"] = _messages(turns(messages), begins=begun(messages) is not None)
    if tools := _tools(request, reply_tool):
        body["tools"] = tools
        body["tool_choice"] = _tool_choice(request, reply_tool)
    body |= samples_of(generation, request, thinks=thinking is not None and thinking["type"] != "disabled")
    if stops := shared_stops(request.stop)[0]:
        body["stop_sequences"] = stops
    if thinking is not None:
        body["thinking"] = thinking
    output: dict[str, object] = {}
    if (effort := effort_of(generation, request)) is not None:
        output["effort"] = effort
    if request.schema is not None and reply_tool is None:
        output["format"] = {"type": "json_schema", "schema": closed_schema(request.schema)}
    if output:
        body["output_config"] = output
    if request.streamed:
        body["stream"] = True
    return body


def _messages(some: list[Turn], *, begins: bool) -> list[dict[str, object]]:
    written: list[dict[str, object]] = []
    for place, turn in enumerate(some):
        last = begins and turn.role == "assistant" and place == len(some) - 1
        content = [block for one in turn.messages for block in _blocks(one, begins=last)]
        if content:
            written.append({"role": turn.role, "content": content})
    return written


def _blocks(message: Message, *, begins: bool) -> list[dict[str, object]]:
    blocks: list[dict[str, object]] = []
    if message.role == "tool":
        blocks.append(_tool_result(message))
    else:
        text = message.text.rstrip() if begins else message.text  # what is to be continued may not end in blanks
        if message.role == "assistant":
            blocks += [_thinking(one) for one in message.thoughts if signed(one)]
        blocks += [_image(one) for one in message.images]
        if text.strip():
            blocks.append({"type": "text", "text": text})
        for call in message.tool_calls:
            blocks.append({"type": "tool_use", "id": plain_id(call.id), "name": call.name, "input": arguments_of(call)})
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
