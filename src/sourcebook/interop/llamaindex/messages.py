"""Messages and replies, ours and LlamaIndex's, both ways."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from llama_index.core.base.llms.types import (
    CachePoint,
    ChatMessage,
    ChatResponse,
    CitableBlock,
    CitationBlock,
    ContentBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)

from sourcebook.errors import Interrupted, InvalidRequest
from sourcebook.interop.tool_calls import SIGNATURES, arguments_of, signed
from sourcebook.models.base import (
    Completion,
    Finish,
    Image,
    Message,
    ModelEvent,
    ReasoningPart,
    Switched,
    TextPart,
    Thought,
    ToolCall,
    ToolCallPart,
)

_ASSISTANT = {MessageRole.ASSISTANT, MessageRole.CHATBOT, MessageRole.MODEL}
_TOOL = {MessageRole.TOOL, MessageRole.FUNCTION}
_SYSTEM = {MessageRole.SYSTEM, MessageRole.DEVELOPER}


def to_ours(messages: Iterable[ChatMessage]) -> tuple[Message, ...]:
    """LlamaIndex's messages as ours. Errors: InvalidRequest for audio, video and documents."""
    return tuple(_to_ours(message) for message in messages)


def _to_ours(message: ChatMessage) -> Message:
    text = "\n".join(_texts(message.blocks))
    images = tuple(_image(block) for block in message.blocks if isinstance(block, ImageBlock))
    keep = any(isinstance(block, CachePoint) for block in message.blocks)
    if message.role in _SYSTEM:
        return Message(role="system", text=text, keep=keep)
    if message.role in _TOOL:
        call_id = str(message.additional_kwargs.get("tool_call_id") or message.additional_kwargs.get("name") or "")
        return Message(role="tool", text=text, images=images, tool_call_id=call_id, keep=keep)
    if message.role in _ASSISTANT:
        calls = tuple(_calls(message)) or tuple(_old_calls(message.additional_kwargs.get("tool_calls") or ()))
        thoughts = tuple(
            Thought(text=block.content or "", signature=str(block.additional_information.get("signature") or ""))
            for block in message.blocks
            if isinstance(block, ThinkingBlock)
        )
        return Message(role="assistant", text=text, tool_calls=calls, thoughts=thoughts, keep=keep)
    return Message(role="user", text=text, images=images, keep=keep)


def to_theirs(messages: Iterable[Message]) -> list[ChatMessage]:
    """Our messages as LlamaIndex's. Thoughts go along where their vendor signed them, and so wants them back."""
    return [_to_theirs(message) for message in messages]


def _to_theirs(message: Message) -> ChatMessage:
    blocks: list[ContentBlock] = [
        ThinkingBlock(content=one.text, additional_information={"signature": one.signature})
        for one in message.thoughts
        if one.signature
    ]
    if message.text or not (message.images or message.tool_calls):
        blocks.append(TextBlock(text=message.text))
    for image in message.images:
        where: dict[str, Any] = {"url": image.url} if image.data is None else {"image": image.data}
        blocks.append(ImageBlock(image_mimetype=image.media_type, **where))
    blocks.extend(_call_block(call) for call in message.tool_calls)
    extra = {"tool_call_id": message.tool_call_id} if message.role == "tool" else signed(message.tool_calls)
    return ChatMessage(role=MessageRole(message.role), blocks=blocks, additional_kwargs=extra)


# --- our replies ------------------------------------------------------------------------------------------------


class Responses:
    """A reply's events as responses, as they come; each holds all that has come so far."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._thoughts: list[Thought] = []
        self._open = False  # whether the last thought goes on
        self._calls: list[ToolCall] = []

    def of(self, event: ModelEvent) -> ChatResponse | None:
        """The response of an event, if it makes one. Errors: Interrupted where text that was sent is withdrawn."""
        match event:
            case TextPart(text=text):
                self._text.append(text)
                return self._response(delta=text)
            case ReasoningPart(text=text, signature=signature):
                before = self._thoughts.pop().text if self._open else ""
                self._thoughts.append(Thought(text=before + text, signature=signature))
                self._open = not signature
                return self._response(thinking_delta=text)
            case ToolCallPart(call=call):
                self._calls.append(call)
                return self._response()
            case Switched():
                text = "".join(self._text)
                if event.kept < len(text):
                    message = f"{event.before} gave up ({event.reason}), and {event.after} begins anew"
                    raise Interrupted(message, remedy="Ask again, or without streaming", text=text)
            case Finish():
                return self._response(finish=event)
        return None

    def _response(self, *, delta: str = "", finish: Finish | None = None, **extra: Any) -> ChatResponse:
        message = _message("".join(self._text), self._thoughts, self._calls)
        return _said(message, finish, delta=delta, **extra)


def response_of(completion: Completion) -> ChatResponse:
    """A whole reply. raw: usage, finish_reason, model, request_id and cost_micro_usd."""
    message = _message(completion.text, completion.thoughts, completion.tool_calls)
    return _said(message, completion.finish)


def _said(message: ChatMessage, finish: Finish | None, *, delta: str | None = None, **extra: Any) -> ChatResponse:
    if finish is None:
        return ChatResponse(message=message, delta=delta, additional_kwargs=extra)
    counts = {
        "prompt_tokens": finish.usage.input_tokens,
        "completion_tokens": finish.usage.output_tokens,
        "total_tokens": finish.usage.input_tokens + finish.usage.output_tokens,
    }
    raw = {
        "usage": counts,
        "finish_reason": finish.reason,
        "model": finish.model or finish.served_by,
        "request_id": finish.request_id,
        "cost_micro_usd": finish.usage.cost,
        "cached_tokens": finish.usage.cached_tokens,
        "reasoning_tokens": finish.usage.reasoning_tokens,
    }
    return ChatResponse(message=message, raw=raw, delta=delta, additional_kwargs={**counts, **extra})


def _message(text: str, thoughts: Iterable[Thought], calls: Iterable[ToolCall]) -> ChatMessage:
    blocks: list[ContentBlock] = [
        ThinkingBlock(content=one.text, additional_information={"signature": one.signature} if one.signature else {})
        for one in thoughts
    ]
    blocks.append(TextBlock(text=text))
    blocks.extend(_call_block(call) for call in calls)
    return ChatMessage(role=MessageRole.ASSISTANT, blocks=blocks, additional_kwargs=signed(calls))


# --- what a message holds ---------------------------------------------------------------------------------------


def _texts(blocks: Iterable[ContentBlock]) -> Iterator[str]:
    for block in blocks:
        match block:
            case TextBlock():
                yield block.text
            case CitableBlock():
                yield from _texts(block.content)
            case CitationBlock():
                yield from _texts([block.cited_content])
            case ImageBlock() | CachePoint() | ThinkingBlock() | ToolCallBlock():
                pass
            case _:
                raise InvalidRequest(f"A message holds a {type(block).__name__}", remedy="Give text and images")


def _image(block: ImageBlock) -> Image:
    media_type = block.image_mimetype or "image/png"
    if block.image is None and block.path is None and block.url is not None:
        url = str(block.url)
        if not url.startswith("data:"):
            return Image(media_type=media_type, url=url)
    return Image(media_type=media_type, data=block.resolve_image().read())


def _calls(message: ChatMessage) -> Iterator[ToolCall]:
    signatures = message.additional_kwargs.get(SIGNATURES) or {}
    for block in message.blocks:
        if isinstance(block, ToolCallBlock):
            arguments = block.tool_kwargs
            yield ToolCall(
                id=block.tool_call_id or "",
                name=block.tool_name,
                arguments=arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False),
                signature=signatures.get(block.tool_call_id, ""),
            )


def _old_calls(calls: Iterable[Any]) -> Iterator[ToolCall]:
    """Tool calls as OpenAI's SDK has them, which agents kept in additional_kwargs before there were blocks."""
    for call in calls:
        plain = call if isinstance(call, Mapping) else call.model_dump()
        function = plain.get("function") or {}
        arguments = str(function.get("arguments") or "{}")
        yield ToolCall(id=str(plain.get("id") or ""), name=str(function.get("name") or ""), arguments=arguments)


def _call_block(call: ToolCall) -> ToolCallBlock:
    arguments = arguments_of(call)
    kwargs = call.arguments if arguments is None else arguments
    return ToolCallBlock(tool_call_id=call.id, tool_name=call.name, tool_kwargs=kwargs)
