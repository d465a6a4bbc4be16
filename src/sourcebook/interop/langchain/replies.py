"""Our replies and errors as LangChain's: a message, or chunks that add up to the same message."""

from __future__ import annotations

from typing import Any

from langchain_core import exceptions as theirs
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.tool import invalid_tool_call, tool_call, tool_call_chunk

from sourcebook.errors import (
    ContextTooLong,
    DeadlineExceeded,
    Interrupted,
    InvalidRequest,
    ModelError,
    NoSuchModel,
    NotAuthorised,
    RateLimited,
    Refused,
    Unavailable,
)
from sourcebook.interop.langchain.messages import usage_metadata
from sourcebook.interop.tool_calls import arguments_of, signed
from sourcebook.models.base import (
    Completion,
    Finish,
    ModelEvent,
    ReasoningPart,
    Switched,
    TextPart,
    ToolCall,
    ToolCallPart,
)


def message_of(completion: Completion) -> AIMessage:
    """A whole reply. Its content is text, or blocks where the model showed its reasoning."""
    calls, broken = [], []
    for call in completion.tool_calls:
        arguments = arguments_of(call)
        if arguments is None:
            broken.append(invalid_tool_call(name=call.name, args=call.arguments, id=call.id, error="not a JSON object"))
        else:
            calls.append(tool_call(name=call.name, args=arguments, id=call.id))
    content: str | list[str | dict[Any, Any]] = completion.text
    if completion.thoughts:
        content = [_reasoning(one.text, one.signature) for one in completion.thoughts]
        if completion.text:
            content.append({"type": "text", "text": completion.text})
    return AIMessage(
        content,
        tool_calls=calls,
        invalid_tool_calls=broken,
        usage_metadata=usage_metadata(completion.finish.usage),
        response_metadata=_metadata(completion.finish, completion.switched),
        additional_kwargs=signed(completion.tool_calls),
    )


class Chunks:
    """A reply's events as chunks, as they come."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._block = -1  # index of the content block that is being written; -1: plain text so far
        self._kind = ""
        self._calls: list[ToolCall] = []
        self._switched: list[Switched] = []

    def of(self, event: ModelEvent) -> AIMessageChunk | None:
        """The chunk of an event, if it makes one. Errors: Interrupted where text that was sent is withdrawn."""
        match event:
            case TextPart(text=text):
                self._text.append(text)
                if self._block < 0:
                    return AIMessageChunk(content=text)
                return AIMessageChunk(content=[{"type": "text", "text": text, "index": self._index("text")}])
            case ReasoningPart(text=text, signature=signature):
                block = {**_reasoning(text, signature), "index": self._index("reasoning")}
                self._kind = "" if signature else self._kind  # what follows a signature is another thought
                return AIMessageChunk(content=[block])
            case ToolCallPart(call=call):
                self._calls.append(call)
                chunk = tool_call_chunk(
                    name=call.name, args=call.arguments or "{}", id=call.id, index=len(self._calls) - 1
                )
                return AIMessageChunk(content="", tool_call_chunks=[chunk], additional_kwargs=signed((call,)))
            case Switched():
                self._switched.append(event)
                text = "".join(self._text)
                if event.kept < len(text):
                    message = f"{event.before} gave up ({event.reason}), and {event.after} begins anew"
                    raise Interrupted(message, remedy="Ask again, or without streaming", text=text)
            case Finish():
                return AIMessageChunk(
                    content="",
                    usage_metadata=usage_metadata(event.usage),
                    response_metadata=_metadata(event, tuple(self._switched)),
                    chunk_position="last",
                )
        return None

    def _index(self, kind: str) -> int:
        if kind != self._kind:
            self._block += 1
            self._kind = kind
        return self._block


def _reasoning(text: str, signature: str) -> dict[Any, Any]:
    block: dict[Any, Any] = {"type": "reasoning", "reasoning": text}
    return {**block, "extras": {"signature": signature}} if signature else block


def _metadata(finish: Finish, switched: tuple[Switched, ...]) -> dict[str, Any]:
    """finish_reason: one of ours; cost: micro-US-dollars, and whether all of it is priced."""
    metadata: dict[str, Any] = {
        "finish_reason": finish.reason,
        "model_name": finish.model or finish.served_by or "sourcebook",
        "model_provider": "sourcebook",
        "served_by": finish.served_by,
        "request_id": finish.request_id,
        "cost_micro_usd": finish.usage.cost,
        "cost_known": finish.usage.priced,
    }
    if switched:
        metadata["switched"] = [f"{one.before} -> {one.after}: {one.reason}" for one in switched]
    return metadata


# --- errors -----------------------------------------------------------------------------------------------------

_KINDS: dict[type[ModelError], str] = {
    RateLimited: "ModelRateLimitError",
    Unavailable: "ModelAPIError",
    Interrupted: "ModelConnectionError",
    DeadlineExceeded: "ModelTimeoutError",
    InvalidRequest: "ModelInvalidRequestError",
    Refused: "ModelInvalidRequestError",
    NotAuthorised: "ModelAuthenticationError",
    NoSuchModel: "ModelNotFoundError",
    ContextTooLong: "ContextOverflowError",
}


_MADE: dict[type[ModelError], type[ModelError]] = {}


def as_theirs(error: ModelError) -> ModelError:
    """The same error, of our type and of LangChain's too, so that whoever catches either gets it."""
    return _rebuilt(type(error), error.args[0], _fields(error))


def _fields(error: ModelError) -> dict[str, Any]:
    return {name: value for name, value in error.__dict__.items() if not name.startswith("_")}


def _rebuilt(kind: type[ModelError], message: str, fields: dict[str, Any]) -> ModelError:
    return _both(kind)(message, **fields)


def _both(kind: type[ModelError]) -> type[ModelError]:
    if kind not in _MADE:
        _MADE[kind] = _made(kind)
    return _MADE[kind]


def _made(kind: type[ModelError]) -> type[ModelError]:
    their = getattr(theirs, _KINDS.get(kind, "ModelError"), theirs.LangChainException)
    reduced = {"__reduce__": lambda error: (_rebuilt, (kind, error.args[0], _fields(error)))}
    return type(kind.__name__, (kind, their), {"__doc__": kind.__doc__, "__module__": kind.__module__, **reduced})
