"""Messages, tools and replies, ours and LangChain's, both ways.

The standard content blocks of LangChain 1 (langchain_core.messages.content) are what both sides are read from:
OpenAI's and Anthropic's forms of a picture, for instance, arrive as the same block.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.messages.ai import InputTokenDetails, OutputTokenDetails, UsageMetadata

from sourcebook.errors import InvalidRequest
from sourcebook.interop.tool_calls import SIGNATURES, arguments_of, signed
from sourcebook.models.base import Image, Message, Thought, ToolCall
from sourcebook.types import Usage

_ROLES = {"system": "system", "developer": "system", "user": "user", "human": "user", "assistant": "assistant"}


def to_ours(messages: Iterable[BaseMessage]) -> tuple[Message, ...]:
    """LangChain's messages as ours. Errors: InvalidRequest for audio, video, files and roles that we do not have."""
    return tuple(_to_ours(message) for message in messages)


def _to_ours(message: BaseMessage) -> Message:
    blocks = [dict(block) for block in message.content_blocks]
    keep = isinstance(message.content, list) and any(
        isinstance(block, dict) and "cache_control" in block for block in message.content
    )
    match message:
        case AIMessage():
            return Message(
                role="assistant",
                text="".join(str(block["text"]) for block in blocks if block["type"] == "text"),
                tool_calls=tuple(_calls(message)),
                thoughts=tuple(_thought(block) for block in blocks if block["type"] == "reasoning"),
                keep=keep,
            )
        case ToolMessage():
            return Message(
                role="tool",
                text=_text(blocks),
                images=_images(blocks),
                tool_call_id=message.tool_call_id,
                failed=message.status == "error",
                keep=keep,
            )
        case SystemMessage():
            return Message(role="system", text=_text(blocks), keep=keep)
        case HumanMessage():
            return Message(role="user", text=_text(blocks), images=_images(blocks), keep=keep)
        case ChatMessage(role=role) if role in _ROLES:
            return Message(role=_ROLES[role], text=_text(blocks), images=_images(blocks), keep=keep)  # type: ignore[arg-type]
    raise InvalidRequest(f"A message of type {message.type!r} is not known here")


def to_theirs(messages: Iterable[Message]) -> list[BaseMessage]:
    """Our messages as LangChain's. Thoughts go along where their vendor signed them, and so wants them back."""
    return [_to_theirs(message) for message in messages]


def _to_theirs(message: Message) -> BaseMessage:
    match message.role:
        case "system":
            return SystemMessage(message.text)
        case "user":
            return HumanMessage(_content(message))
        case "tool":
            status = "error" if message.failed else "success"
            return ToolMessage(_content(message), tool_call_id=message.tool_call_id or "", status=status)
    calls = [{"name": one.name, "args": _arguments(one), "id": one.id} for one in message.tool_calls]
    thoughts = [thought for thought in message.thoughts if thought.signature]
    extra: dict[str, Any] = {"additional_kwargs": kept} if (kept := signed(message.tool_calls)) else {}
    if not thoughts:
        return AIMessage(message.text, tool_calls=calls, **extra)
    blocks: list[str | dict[Any, Any]] = [
        {"type": "reasoning", "reasoning": one.text, "extras": {"signature": one.signature}} for one in thoughts
    ]
    if message.text:
        blocks.append({"type": "text", "text": message.text})
    blocks.extend({"type": "tool_call", **call} for call in calls)
    return AIMessage(blocks, tool_calls=calls, response_metadata={"output_version": "v1"}, **extra)


# --- what a message holds ---------------------------------------------------------------------------------------


def _text(blocks: Sequence[Mapping[str, Any]]) -> str:
    return "\n".join(_texts(blocks))


def _texts(blocks: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for block in blocks:
        match block["type"]:
            case "text" | "text-plain":
                yield str(block.get("text", ""))
            case "image" | "reasoning":
                pass
            case kind:
                if kind == "non_standard":
                    kind = block.get("value", {}).get("type", kind)
                raise InvalidRequest(f"A message holds {kind!r}", remedy="Give text and images")


def _images(blocks: Sequence[Mapping[str, Any]]) -> tuple[Image, ...]:
    return tuple(_image(block) for block in blocks if block["type"] == "image")


def _image(block: Mapping[str, Any]) -> Image:
    media_type = block.get("mime_type") or "image/png"
    if data := block.get("base64"):
        return Image(media_type=media_type, data=base64.b64decode(data))
    if url := block.get("url"):
        return image_at(url, media_type)
    raise InvalidRequest("An image has neither bytes nor a URL", remedy="Give base64 data, or a URL")


def image_at(url: str, media_type: str = "image/png") -> Image:
    """The image of a URL; of a data: URL (RFC 2397), its bytes."""
    if url.startswith("data:") and ";base64," in url:
        head, _, data = url.removeprefix("data:").partition(";base64,")
        return Image(media_type=head.partition(";")[0] or media_type, data=base64.b64decode(data))
    return Image(media_type=media_type, url=url)


def _thought(block: Mapping[str, Any]) -> Thought:
    signature = block.get("extras", {}).get("signature") or ""
    return Thought(text=str(block.get("reasoning", "")), signature=signature)


def _calls(message: AIMessage) -> Iterator[ToolCall]:
    signatures = message.additional_kwargs.get(SIGNATURES, {})
    for call in message.tool_calls:
        name = call["id"] or ""
        yield ToolCall(
            id=name,
            name=call["name"],
            arguments=json.dumps(call["args"], ensure_ascii=False),
            signature=signatures.get(name, ""),
        )
    for broken in message.invalid_tool_calls:
        yield ToolCall(id=broken["id"] or "", name=broken["name"] or "", arguments=broken["args"] or "")


def _content(message: Message) -> str | list[str | dict[Any, Any]]:
    if not message.images:
        return message.text
    blocks: list[str | dict[Any, Any]] = [{"type": "text", "text": message.text}] if message.text else []
    for image in message.images:
        where = {"url": image.url} if image.data is None else {"base64": base64.b64encode(image.data).decode()}
        blocks.append({"type": "image", "mime_type": image.media_type, **where})
    return blocks


def _arguments(call: ToolCall) -> dict[str, Any]:
    arguments = arguments_of(call)
    return {} if arguments is None else arguments


# --- usage ------------------------------------------------------------------------------------------------------


def usage_metadata(usage: Usage) -> UsageMetadata:
    """Our count as LangChain keeps it."""
    return UsageMetadata(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        total_tokens=usage.input_tokens + usage.output_tokens,
        input_token_details=InputTokenDetails(cache_read=usage.cached_tokens, cache_creation=usage.cache_write_tokens),
        output_token_details=OutputTokenDetails(reasoning=usage.reasoning_tokens),
    )


def usage_of(metadata: UsageMetadata) -> Usage:
    """LangChain's count, which is the vendor's."""
    into = metadata.get("input_token_details") or {}
    out = metadata.get("output_token_details") or {}
    return Usage(
        input_tokens=metadata["input_tokens"],
        output_tokens=metadata["output_tokens"],
        cached_tokens=into.get("cache_read") or 0,
        cache_write_tokens=into.get("cache_creation") or 0,
        reasoning_tokens=out.get("reasoning") or 0,
        counted_by="vendor",
    )
