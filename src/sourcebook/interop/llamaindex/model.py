"""A LlamaIndex LLM as one of our models."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from hashlib import sha256
from typing import Any, Final

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, ThinkingBlock
from llama_index.core.bridge.pydantic import BaseModel, ConfigDict
from llama_index.core.callbacks.token_counting import get_tokens_from_response
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import LLM, ToolSelection
from llama_index.core.prompts import ChatPromptTemplate
from llama_index.core.tools.types import BaseTool, ToolMetadata, ToolOutput

from sourcebook.errors import InvalidReply, InvalidRequest, ModelError, ToolError
from sourcebook.interop.counting import Counter, Known, counted_usage, counter_of, estimate
from sourcebook.interop.deadlines import in_time
from sourcebook.interop.failures import model_error
from sourcebook.interop.finishing import finish_reason
from sourcebook.interop.llamaindex.messages import to_theirs
from sourcebook.interop.naming import opened
from sourcebook.models.base import (
    Capabilities,
    Finish,
    ModelEvent,
    ModelRequest,
    ReasoningPart,
    TextPart,
    Tool,
    ToolCall,
    ToolCallPart,
)
from sourcebook.models.formats.stopping import StopSequences
from sourcebook.models.formats.turns import begun
from sourcebook.models.wire import to_json
from sourcebook.types import Usage


class LlamaIndexModel:
    """A `Model` that is a LlamaIndex LLM, whatever stands behind it.

    window: tokens of prompt and answer; None: as its metadata says. count: counts tokens; None: an estimate from
    above. provider, model: as in the price file; None: the LLM's class and the name in its metadata.

    Limits, temperature, top_p and seed are set in a copy of the LLM, if it has such a field; stop sequences are
    heeded here. `request.schema` goes through `structured_predict`: such a reply comes as one piece. What cannot be
    said through LlamaIndex: prompt caching (`Message.keep`), log probabilities, a reply that is continued, how much to
    reason, and that a tool's result is an error.
    """

    def __init__(
        self,
        llm: LLM,
        *,
        window: int | None = None,
        count: Callable[[str], int] | None = None,
        counted_by: str = "estimate",
        provider: str | None = None,
        model: str | None = None,
    ) -> None:
        self._llm = llm
        known = llm.metadata
        self.provider = provider or _provider(llm)
        self.model = model or known.model_name
        self.name = f"llamaindex:{self.provider}:{self.model}"
        self.window = window or known.context_window
        self.capabilities = Capabilities(
            tools=known.is_function_calling_model and isinstance(llm, FunctionCallingLLM),
            images=known.is_chat_model,
            schema=True,
            reasoning=True,
            seed="seed" in type(llm).model_fields,
        )
        self._count = count or estimate
        self._counted_by = counted_by

    def count_tokens(self, text: str) -> int:
        """Tokens of a text, as the counter that was given counts."""
        return self._count(text)

    async def close(self) -> None:
        """Nothing: the LLM belongs to whoever made it."""

    def body(self, request: ModelRequest) -> bytes:
        """What LlamaIndex is handed, as JSON; what bytes it sends the vendor is its affair. Errors: InvalidRequest."""
        if begun(request.messages) is not None:
            raise InvalidRequest(f"{self.name} does not go on with a reply that was begun", provider=self.provider)
        messages = [message.model_dump(mode="json") for message in to_theirs(request.messages)]
        settings = {
            **_changes(self._llm, request),
            "stop": list(request.stop),
            "tools": [_Described(one).metadata.to_openai_tool(skip_length_check=True) for one in request.tools],
            "tool_choice": request.tool_choice if request.tools else None,
            "schema": None if request.schema is None else dict(request.schema),
        }
        return to_json({"messages": messages, **{name: value for name, value in settings.items() if value}})

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """The reply as LlamaIndex streams it. Closing the generator closes LlamaIndex's. Errors: ModelError."""
        reply = _Reply(request)
        sent = sha256(self.body(request)).hexdigest()
        events = self._streamed(request, reply) if request.schema is None else self._structured(request, reply)
        try:
            async with aclosing(events):
                async for event in events:
                    yield event
        except ModelError as error:
            error.text = error.text or reply.text
            raise
        except Exception as error:
            raise model_error(error, provider=self.provider, text=reply.text) from error
        yield Finish(
            reason=reply.reason(),
            usage=self._usage(request, reply),
            model=str(reply.said("model") or self.model),
            request_id=str(reply.said("request_id") or reply.said("id") or ""),
            served_by=self.name,
            sent=sent,
        )

    async def _streamed(self, request: ModelRequest, reply: _Reply) -> AsyncGenerator[ModelEvent, None]:
        llm = self._set(request)
        messages = to_theirs(request.messages)
        tools = _offered(request)
        if tools and not isinstance(llm, FunctionCallingLLM):
            raise InvalidRequest(f"{self.name} cannot call tools", provider=self.provider)
        required = {"tool_required": True} if tools and request.tool_choice != "auto" else {}
        offered = {"tools": tools, "chat_history": messages, "allow_parallel_tool_calls": True, **required}
        if not request.streamed:
            work = llm.achat_with_tools(**offered) if tools else llm.achat(messages)
            for event in reply.events(await self._in_time(work, request, reply)):
                yield event
        else:
            work = llm.astream_chat_with_tools(**offered) if tools else llm.astream_chat(messages)
            async with aclosing(await self._in_time(work, request, reply)) as responses:
                while not reply.stopped:
                    response = await self._in_time(anext(responses, None), request, reply)
                    if response is None:
                        break
                    for event in reply.events(response):
                        yield event
        for event in reply.rest():
            yield event
        if tools and reply.last is not None and not reply.stopped:
            for number, call in enumerate(self._calls(llm, reply.last)):
                reply.called = True
                arguments = json.dumps(call.tool_kwargs, ensure_ascii=False)
                name = call.tool_id or f"call_{number}"
                yield ToolCallPart(call=ToolCall(id=name, name=call.tool_name, arguments=arguments))

    async def _structured(self, request: ModelRequest, reply: _Reply) -> AsyncGenerator[ModelEvent, None]:
        if request.tools:
            raise InvalidRequest(f"{self.name} takes tools or a schema, not both", provider=self.provider)
        prompt = ChatPromptTemplate(message_templates=to_theirs(request.messages))
        try:
            work = self._set(request).astructured_predict(_shaped(request.schema or {}), prompt)
            made = await self._in_time(work, request, reply)
        except (ValueError, TypeError) as error:  # what LlamaIndex raises for a reply that it cannot read
            message = f"{self.name}: the reply is not of the schema: {error}"
            raise InvalidReply(message, provider=self.provider) from error
        text = json.dumps(made.model_dump(mode="json"), ensure_ascii=False)
        reply.written.append(text)
        yield TextPart(text=text)

    def _calls(self, llm: FunctionCallingLLM, response: ChatResponse) -> list[ToolSelection]:
        try:
            return llm.get_tool_calls_from_response(response, error_on_no_tool_call=False)
        except ValueError as error:  # arguments that are no JSON
            message = f"{self.name} asks for a tool in a way that cannot be read: {error}"
            raise InvalidReply(message, provider=self.provider) from error

    async def _in_time(self, work: Any, request: ModelRequest, reply: _Reply) -> Any:
        return await in_time(work, request, name=self.name, provider=self.provider, text=lambda: reply.text)

    def _set(self, request: ModelRequest) -> Any:
        """The LLM with the request's settings, as far as it has fields for them."""
        return self._llm.model_copy(update=_changes(self._llm, request))

    def _usage(self, request: ModelRequest, reply: _Reply) -> Usage:
        """As the vendor counted, if LlamaIndex tells; else as we do."""
        if reply.last is not None and not reply.stopped:
            try:
                into, out = get_tokens_from_response(reply.last)
            except (TypeError, ValueError, AttributeError):
                into, out = 0, 0
            told = reply.last.additional_kwargs
            into, out = into or told.get("prompt_tokens") or 0, out or told.get("completion_tokens") or 0
            if into or out:
                return Usage(input_tokens=into, output_tokens=out, counted_by="vendor")
        return counted_usage(request, reply.text, count=self._count, counted_by=self._counted_by)


def open_llamaindex(
    url: str,
    *,
    known: Callable[[str, str], Known | None] | None = None,
    count: Callable[[str], Counter] | None = None,
    **_: object,
) -> LlamaIndexModel:
    """For `model = "llamaindex:package.module:attribute?window=8192"`: an LLM, or what makes one.

    known: (provider, model) -> what is known of the model. count: tokenizer -> what counts by it. Errors: ConfigError.
    """
    found, window = opened(url, LLM, "an LLM of LlamaIndex")  # type: ignore[type-abstract]
    data = None if known is None else known(_provider(found), found.metadata.model_name)
    counter, counted_by = counter_of(data, count)
    return LlamaIndexModel(found, window=window or None, count=counter, counted_by=counted_by)


# --- the reply ----------------------------------------------------------------------------------------------------


class _Reply:
    """What has come of a reply. Responses of a stream hold all of it so far, and what is new as delta."""

    def __init__(self, request: ModelRequest) -> None:
        self.written: list[str] = []
        self.last: ChatResponse | None = None
        self.called = False
        self._stop = StopSequences(request.stop)
        self._seen = ""
        self._thought = False

    @property
    def text(self) -> str:
        """All that was let through."""
        return "".join(self.written)

    @property
    def stopped(self) -> bool:
        """Whether a stop sequence has come."""
        return self._stop.stopped

    def events(self, response: ChatResponse) -> list[ModelEvent]:
        """What a response adds."""
        self.last = response
        events: list[ModelEvent] = []
        if thinking := response.additional_kwargs.get("thinking_delta"):
            self._thought = True
            events.append(ReasoningPart(text=str(thinking)))
        elif response.delta is None and not self._thought:  # a whole reply
            events.extend(_thoughts(response.message))
        delta = response.delta
        if delta is None:
            whole = response.message.content or ""
            delta, self._seen = whole.removeprefix(self._seen), whole
        if delta:
            events.extend(self._let_through(self._stop.feed(TextPart(text=delta))))
        return events

    def rest(self) -> list[ModelEvent]:
        """What was held back for a stop sequence that did not come."""
        return self._let_through(self._stop.rest())

    def _let_through(self, parts: Any) -> list[ModelEvent]:
        passed = list(parts)
        self.written.extend(part.text for part in passed)
        return passed

    def said(self, name: str) -> object:
        """What the last response says under a name: in additional_kwargs, in raw, or in raw's first choice."""
        if self.last is None:
            return None
        raw = self.last.raw
        choices = _part(raw, "choices")
        first = choices[0] if isinstance(choices, list) and choices else None
        return next((found for one in (self.last.additional_kwargs, raw, first) if (found := _part(one, name))), None)

    def reason(self) -> Any:
        """Why it ended."""
        return "stop" if self.stopped else finish_reason(self.said, called=self.called)


def _part(holder: object, name: str) -> Any:
    return holder.get(name) if isinstance(holder, Mapping) else getattr(holder, name, None)


def _thoughts(message: ChatMessage) -> list[ReasoningPart]:
    return [
        ReasoningPart(text=block.content or "", signature=str(block.additional_information.get("signature") or ""))
        for block in message.blocks
        if isinstance(block, ThinkingBlock) and (block.content or block.additional_information.get("signature"))
    ]


# --- the request --------------------------------------------------------------------------------------------------

_FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "max_output_tokens": ("max_tokens", "max_output_tokens", "max_completion_tokens", "max_new_tokens", "num_output"),
    "temperature": ("temperature",),
    "top_p": ("top_p",),
    "seed": ("seed",),
}


def _changes(llm: LLM, request: ModelRequest) -> dict[str, Any]:
    """The request's settings, by the LLM's own names of them."""
    changes: dict[str, Any] = {}
    for setting, names in _FIELDS.items():
        name = next((name for name in names if name in type(llm).model_fields), None)
        if name is not None and (value := getattr(request, setting)) is not None:
            changes[name] = value
    return changes


def _offered(request: ModelRequest) -> list[_Described]:
    """The tools to offer: where one is to be called, that one."""
    if request.tool_choice == "none":
        return []
    named = [tool for tool in request.tools if tool.name == request.tool_choice]
    return [_Described(tool) for tool in named or request.tools]


class _Metadata(ToolMetadata):
    def __init__(self, tool: Tool) -> None:
        super().__init__(description=tool.description, name=tool.name, fn_schema=None)
        self._parameters = tool.parameters

    def get_parameters_dict(self) -> dict[str, Any]:
        return dict(self._parameters)


class _Described(BaseTool):
    """A tool that is described, and run by whoever asked."""

    def __init__(self, tool: Tool) -> None:
        self._metadata = _Metadata(tool)

    @property
    def metadata(self) -> ToolMetadata:
        return self._metadata

    def __call__(self, input: Any) -> ToolOutput:  # noqa: ARG002
        raise ToolError(f"{self._metadata.name} is run by whoever asked the model")


def _shaped(schema: Mapping[str, object]) -> type[BaseModel]:
    """A class of any fields whose schema is this one: what LlamaIndex wants where a schema is meant."""
    described = {"title": "Reply", "description": "The reply.", **schema}

    class Reply(BaseModel):
        model_config = ConfigDict(extra="allow")

        @classmethod
        def model_json_schema(cls, *_: Any, **__: Any) -> dict[str, Any]:
            return described

        @classmethod
        def __get_pydantic_json_schema__(cls, *_: Any) -> dict[str, Any]:
            return described

    return Reply


def _provider(llm: LLM) -> str:
    """The LLM's class, as the price file would have it: "openai" for "openai_llm"."""
    return llm.class_name().lower().removesuffix("_llm").removesuffix("llm").rstrip("_") or "llamaindex"
