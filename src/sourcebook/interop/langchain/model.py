"""A LangChain chat model as one of ours."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, convert_to_openai_messages
from langchain_core.messages.ai import add_usage
from langchain_core.runnables import Runnable
from langchain_core.runnables.base import RunnableBindingBase
from langchain_core.runnables.fallbacks import RunnableWithFallbacks

from sourcebook.errors import InvalidReply, InvalidRequest, ModelError
from sourcebook.interop.counting import Counter, Known, counted_usage, counter_of, estimate
from sourcebook.interop.deadlines import in_time
from sourcebook.interop.failures import model_error
from sourcebook.interop.finishing import finish_reason
from sourcebook.interop.langchain.messages import to_theirs, usage_of
from sourcebook.interop.naming import opened
from sourcebook.interop.tool_calls import SIGNATURES
from sourcebook.models.base import (
    Capabilities,
    Finish,
    FinishReason,
    ModelEvent,
    ModelRequest,
    ReasoningPart,
    TextPart,
    Tool,
    ToolCall,
    ToolCallPart,
)
from sourcebook.models.formats.turns import begun
from sourcebook.models.wire import to_json
from sourcebook.types import Usage

if TYPE_CHECKING:
    from langchain_core.language_models import LanguageModelInput
    from langchain_core.messages.ai import UsageMetadata

_DEFAULT_WINDOW: Final = 8192


class LangChainModel:
    """A `Model` that is a LangChain chat model, whatever stands behind it.

    chat_model: a BaseChatModel, or one with retries, fallbacks or bound arguments around it. window: tokens of prompt
    and answer; None: as its profile says, else 8192. count: counts tokens; LangChain's own counting may fetch a
    tokenizer from the network, and is not used. provider, model: as in the price file; None: as it traces itself.

    Limits, temperature, top_p and seed are set in a copy of the model, if it has such a field. `request.schema` goes
    through `with_structured_output`: such a reply comes as one piece. What cannot be said through LangChain: prompt
    caching (`Message.keep`), log probabilities, a reply that is continued, how much to reason.
    """

    def __init__(
        self,
        chat_model: Runnable[LanguageModelInput, BaseMessage],
        *,
        window: int | None = None,
        count: Callable[[str], int] | None = None,
        counted_by: str = "estimate",
        provider: str | None = None,
        model: str | None = None,
    ) -> None:
        self._chat_model = chat_model
        inner = _inner(chat_model)
        traced = inner._get_ls_params() if inner is not None else {}
        self.provider = provider or str(traced.get("ls_provider") or "langchain")
        self.model = model or str(traced.get("ls_model_name") or type(inner or chat_model).__name__)
        self.name = f"langchain:{self.provider}:{self.model}"
        profile: Mapping[str, Any] = (inner.profile if inner is not None else None) or {}
        self.window = window or profile.get("max_input_tokens") or _DEFAULT_WINDOW
        tools = _has(inner, "bind_tools") and profile.get("tool_calling", True)
        self.capabilities = Capabilities(
            tools=tools and _has(chat_model, "bind_tools"),
            images=profile.get("image_inputs", True),
            schema=_has(chat_model, "with_structured_output") and (tools or _has(inner, "with_structured_output")),
            reasoning=profile.get("reasoning_output", False),
            seed=_field(inner, ("seed",)) is not None,
        )
        self._count = count or estimate
        self._counted_by = counted_by

    def count_tokens(self, text: str) -> int:
        """Tokens of a text, as the counter that was given counts."""
        return self._count(text)

    async def close(self) -> None:
        """Nothing: the chat model belongs to whoever made it."""

    def body(self, request: ModelRequest) -> bytes:
        """What LangChain is handed, as JSON; what bytes it sends the vendor is its affair. Errors: InvalidRequest."""
        if begun(request.messages) is not None:
            raise InvalidRequest(f"{self.name} does not go on with a reply that was begun", provider=self.provider)
        messages = convert_to_openai_messages(to_theirs(request.messages))
        return to_json({"messages": messages, **_settings(request)})

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """The reply as LangChain streams it. Closing the generator closes LangChain's. Errors: ModelError."""
        reply = _Reply()
        sent = sha256(self.body(request)).hexdigest()
        events = self._streamed(request, reply) if request.schema is None else self._structured(request, reply)
        try:
            async with aclosing(events):
                async for event in events:
                    yield event
            for call in reply.calls():
                yield ToolCallPart(call=call)
        except ModelError as error:
            error.text = error.text or "".join(reply.text)
            raise
        except Exception as error:
            raise model_error(error, provider=self.provider, text="".join(reply.text)) from error
        yield Finish(
            reason=reply.reason(),
            usage=self._usage(request, reply),
            model=str(reply.metadata.get("model_name") or reply.metadata.get("model") or self.model),
            request_id=str(reply.metadata.get("request_id") or reply.metadata.get("id") or ""),
            served_by=self.name,
            sent=sent,
        )

    async def _streamed(self, request: ModelRequest, reply: _Reply) -> AsyncGenerator[ModelEvent, None]:
        model = self._set(request)
        if request.tools and request.tool_choice != "none":
            choice = {"required": "any"}.get(request.tool_choice, request.tool_choice)
            bound = {} if choice == "auto" else {"tool_choice": choice}
            model = _called(model, "bind_tools")([_described(tool) for tool in request.tools], **bound)
        messages = to_theirs(request.messages)
        stop = {"stop": list(request.stop)} if request.stop else {}
        if not request.streamed:
            message = await self._in_time(model.ainvoke(messages, **stop), request, reply)
            for event in reply.events(message):
                yield event
            return
        chunks = model.astream(messages, **stop)
        async with aclosing(chunks):
            while (chunk := await self._in_time(anext(chunks, None), request, reply)) is not None:
                for event in reply.events(chunk):
                    yield event

    async def _structured(self, request: ModelRequest, reply: _Reply) -> AsyncGenerator[ModelEvent, None]:
        if request.tools:
            raise InvalidRequest(f"{self.name} takes tools or a schema, not both", provider=self.provider)
        schema = {"title": "Reply", "description": "The reply.", **(request.schema or {})}
        model = _called(self._set(request), "with_structured_output")(schema, include_raw=True)
        stop = {"stop": list(request.stop)} if request.stop else {}
        got = await self._in_time(model.ainvoke(to_theirs(request.messages), **stop), request, reply)
        raw: AIMessage = got["raw"]
        for event in reply.events(raw):
            if isinstance(event, ReasoningPart):
                yield event
        reply.chunks, reply.whole = {}, []  # the tool that carried the reply is none of the request's
        if got.get("parsing_error") is not None or got["parsed"] is None:
            if reply.reason() not in ("length", "filtered"):
                why = got.get("parsing_error") or "it is empty"
                raise InvalidReply(f"{self.name}: the reply is not of the schema: {why}", provider=self.provider)
            text = "".join(reply.text)
        else:
            text = json.dumps(got["parsed"], ensure_ascii=False)
        reply.text = [text]
        if text:
            yield TextPart(text=text)

    async def _in_time(self, work: Any, request: ModelRequest, reply: _Reply) -> Any:
        return await in_time(work, request, name=self.name, provider=self.provider, text=lambda: "".join(reply.text))

    def _set(self, request: ModelRequest) -> Any:
        """The chat model with the request's settings, as far as it has fields for them."""
        return _changed(self._chat_model, lambda model: self._with_settings(model, request))

    def _with_settings(self, model: BaseChatModel, request: ModelRequest) -> BaseChatModel:
        changes: dict[str, object] = {}
        for names, value in (
            (_LIMITS, request.max_output_tokens),
            (("temperature",), request.temperature),
            (("top_p",), request.top_p),
            (("seed",), request.seed),
        ):
            if value is not None and (name := _field(model, names)) is not None:
                changes[name] = value
        return model.model_copy(update=changes) if changes else model

    def _usage(self, request: ModelRequest, reply: _Reply) -> Usage:
        """As the vendor counted; without that, as we do."""
        if reply.usage is not None:
            return usage_of(reply.usage)
        return counted_usage(request, "".join(reply.text), count=self._count, counted_by=self._counted_by)


def open_langchain(
    url: str,
    *,
    known: Callable[[str, str], Known | None] | None = None,
    count: Callable[[str], Counter] | None = None,
    **_: object,
) -> LangChainModel:
    """For `model = "langchain:package.module:attribute?window=8192"`: a chat model, or what makes one.

    known: (provider, model) -> what is known of the model. count: tokenizer -> what counts by it. Errors: ConfigError.
    """
    found, window = opened(url, Runnable, "a LangChain chat model")  # type: ignore[type-abstract]
    made = LangChainModel(found, window=window or None)
    data = None if known is None else known(made.provider, made.model)
    counter, counted_by = counter_of(data, count)
    return LangChainModel(
        found,
        window=window or _profiled(found) or (data.window if data is not None else 0) or None,
        count=counter,
        counted_by=counted_by,
    )


# --- the reply ----------------------------------------------------------------------------------------------------


class _Reply:
    """What has come of a reply, message by message: chunks of a stream, or one that is whole."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self.metadata: dict[str, Any] = {}
        self.usage: UsageMetadata | None = None
        self.chunks: dict[object, dict[str, str]] = {}  # tool calls in pieces, by index
        self.whole: list[ToolCall] = []
        self._signatures: dict[str, str] = {}

    def events(self, message: AIMessage) -> list[ModelEvent]:
        """What a message adds. Tool calls are kept until they are complete."""
        self.metadata |= {name: value for name, value in message.response_metadata.items() if value}
        if message.usage_metadata is not None:
            self.usage = add_usage(self.usage, message.usage_metadata)
        self._signatures |= message.additional_kwargs.get(SIGNATURES, {})
        events: list[ModelEvent] = []
        for block in message.content_blocks:
            if block["type"] == "reasoning":
                signature = (block.get("extras") or {}).get("signature") or ""
                thought = ReasoningPart(text=block.get("reasoning") or "", signature=str(signature))
                if thought.text or thought.signature:
                    events.append(thought)
        if text := str(message.text):
            self.text.append(text)
            events.append(TextPart(text=text))
        if isinstance(message, AIMessageChunk) and message.tool_call_chunks:
            for piece in message.tool_call_chunks:
                self._add(dict(piece))
        elif not isinstance(message, AIMessageChunk) or not self.chunks:
            self.whole.extend(_calls(message))
        return events

    def _add(self, piece: dict[str, Any]) -> None:
        index = piece.get("index")
        if index is None:
            index = piece.get("id") or len(self.chunks)
        call = self.chunks.setdefault(index, {"id": "", "name": "", "args": ""})
        for name in ("id", "name"):
            said = piece.get(name) or ""
            if said != call[name]:  # some vendors say it again with each piece
                call[name] += said
        call["args"] += piece.get("args") or ""

    def calls(self) -> list[ToolCall]:
        """The tool calls, whole, with the arguments as the model wrote them."""
        pieces = [
            ToolCall(id=one["id"], name=one["name"], arguments=one["args"] or "{}") for one in self.chunks.values()
        ]
        return [
            ToolCall(
                id=one.id or f"call_{number}",
                name=one.name,
                arguments=one.arguments,
                signature=self._signatures.get(one.id, ""),
            )
            for number, one in enumerate([*pieces, *self.whole])
        ]

    def reason(self) -> FinishReason:
        """Why it ended: a reply with tool calls, that nothing cut off, to have them run."""
        return finish_reason(self.metadata.get, called=bool(self.chunks or self.whole))


def _calls(message: AIMessage) -> list[ToolCall]:
    whole = [
        ToolCall(id=one["id"] or "", name=one["name"], arguments=json.dumps(one["args"], ensure_ascii=False))
        for one in message.tool_calls
    ]
    broken = [
        ToolCall(id=one["id"] or "", name=one["name"] or "", arguments=one["args"] or "")
        for one in message.invalid_tool_calls
    ]
    return whole + broken


# --- the chat model -----------------------------------------------------------------------------------------------

_LIMITS: Final = ("max_tokens", "max_output_tokens", "max_completion_tokens", "num_predict", "max_new_tokens")


def _changed(model: Any, change: Callable[[BaseChatModel], BaseChatModel]) -> Any:
    """The model with the change made to every chat model within bindings, retries and fallbacks."""
    if isinstance(model, BaseChatModel):
        return change(model)
    if isinstance(model, RunnableBindingBase):
        return model.model_copy(update={"bound": _changed(model.bound, change)})
    if isinstance(model, RunnableWithFallbacks):
        others = [_changed(one, change) for one in model.fallbacks]
        return model.model_copy(update={"runnable": _changed(model.runnable, change), "fallbacks": others})
    return model


def _inner(model: object) -> BaseChatModel | None:
    """The chat model within bindings, retries and fallbacks."""
    while not isinstance(model, BaseChatModel):
        if isinstance(model, RunnableBindingBase):
            model = model.bound
        elif hasattr(model, "runnable"):
            model = model.runnable  # the first of those with fallbacks
        else:
            return None
    return model


def _has(model: object, method: str) -> bool:
    """Whether a chat model makes good on a method that all have by inheritance."""
    found = getattr(type(model), method, None) if isinstance(model, BaseChatModel) else getattr(model, method, None)
    return found is not None and found is not getattr(BaseChatModel, method)


def _called(model: Any, method: str) -> Any:
    if not hasattr(model, method):
        raise InvalidRequest(f"{type(model).__name__} has no {method}", remedy="Give the chat model itself")
    return getattr(model, method)


def _field(model: BaseChatModel | None, names: tuple[str, ...]) -> str | None:
    fields = type(model).model_fields if model is not None else {}
    return next((name for name in names if name in fields), None)


def _profiled(model: object) -> int:
    inner = _inner(model)
    return int(((inner.profile if inner is not None else None) or {}).get("max_input_tokens") or 0)


def _described(tool: Tool) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)}
    return {"type": "function", "function": function}


def _settings(request: ModelRequest) -> dict[str, Any]:
    settings = {
        "max_tokens": request.max_output_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "seed": request.seed,
        "stop": list(request.stop) or None,
        "tools": [_described(tool) for tool in request.tools] or None,
        "tool_choice": request.tool_choice if request.tools else None,
        "schema": None if request.schema is None else dict(request.schema),
    }
    return {name: value for name, value in settings.items() if value is not None}
