"""Our models as a LlamaIndex LLM."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import aclosing, closing
from typing import TYPE_CHECKING, Any

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
    LLMMetadata,
    MessageRole,
    ToolCallBlock,
)
from llama_index.core.bridge.pydantic import BaseModel, Field, PrivateAttr, ValidationError
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import ToolSelection

from sourcebook.errors import InvalidReply, InvalidRequest
from sourcebook.interop.calling import Calling, calling
from sourcebook.interop.llamaindex.messages import Responses, response_of, to_ours
from sourcebook.models.base import Effort, ModelRequest, Tool

if TYPE_CHECKING:
    from llama_index.core.prompts import BasePromptTemplate
    from llama_index.core.tools.types import BaseTool


class SourcebookLLM(FunctionCallingLLM):
    """Any of our models as a LlamaIndex LLM.

    model: a model's URL ("openai:gpt-4o", "llama:/path/model.gguf"); an open BlockingSourcebook, whose model is
    taken with its route, ledger and budgets; or a `Model` (`book.model`, any wrapper). Which loop calls run in is
    said in `sourcebook.interop.calling`.
    max_tokens: of a reply; None: half the window, 4096 at most. timeout: seconds for a call. max_retries: further
    calls of a model given by its URL when it fails for a moment; others retry as they were made to.
    tenant, account, purpose: who pays, and for what, in the ledger of a book's model.

    Settings may be given with a call, too: temperature, max_tokens, top_p, seed, reasoning, timeout, stop, and
    schema: the JSON Schema that the reply's text obeys. `structured_predict` uses it where the model can.
    A response's raw has usage, finish_reason, model, request_id and cost_micro_usd. Errors are ours.
    """

    model: Any = Field(exclude=True)
    temperature: float | None = None
    max_tokens: int | None = None
    top_p: float | None = None
    seed: int | None = None
    reasoning: Effort | None = None
    stop: list[str] | None = None
    timeout: float | None = None
    max_retries: int = 2
    tenant: str = "default"
    account: str = "default"
    purpose: str = "llamaindex"

    _calling: Calling = PrivateAttr()

    def model_post_init(self, context: Any, /) -> None:
        """Open the model. Errors: ConfigError, MissingExtra, NotAuthorised."""
        super().model_post_init(context)
        self._calling = calling(self.model, attempts=1 + self.max_retries)

    def close(self) -> None:
        """Let go of connections and memory, if the model was given by its URL. It may be used again."""
        self._calling.close()

    @classmethod
    def class_name(cls) -> str:
        """As LlamaIndex names it in traces."""
        return "Sourcebook_LLM"

    @property
    def metadata(self) -> LLMMetadata:
        """Window, name and whether it calls tools, of the model."""
        model = self._calling.model
        return LLMMetadata(
            context_window=model.window,
            num_output=self._most(),
            is_chat_model=True,
            is_function_calling_model=model.capabilities.tools,
            model_name=model.name,
        )

    # --- chat ---------------------------------------------------------------------------------------------------

    @llm_chat_callback()
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """The whole reply. Errors: ModelError."""
        return response_of(self._calling.complete(self._request(messages, kwargs, streamed=False)))

    @llm_chat_callback()
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """The whole reply. Errors: ModelError."""
        return response_of(await self._calling.acomplete(self._request(messages, kwargs, streamed=False)))

    @llm_chat_callback()
    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        """The reply as it comes. Closing the generator stops the model. Errors: ModelError."""
        request = self._request(messages, kwargs)

        def responses() -> ChatResponseGen:
            reading = Responses()
            with closing(self._calling.stream(request)) as events:
                for event in events:
                    if (response := reading.of(event)) is not None:
                        yield response

        return responses()

    @llm_chat_callback()
    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseAsyncGen:
        """The reply as it comes. Closing the generator stops the model. Errors: ModelError."""
        request = self._request(messages, kwargs)

        async def responses() -> ChatResponseAsyncGen:
            reading = Responses()
            async with aclosing(self._calling.astream(request)) as events:
                async for event in events:
                    if (response := reading.of(event)) is not None:
                        yield response

        return responses()

    # --- completion ---------------------------------------------------------------------------------------------

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:  # noqa: ARG002
        """The reply to one message of the user. Errors: ModelError."""
        return _completed(self.chat(_asked(prompt), **kwargs))

    @llm_completion_callback()
    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:  # noqa: ARG002
        """The reply to one message of the user. Errors: ModelError."""
        return _completed(await self.achat(_asked(prompt), **kwargs))

    @llm_completion_callback()
    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:  # noqa: ARG002
        """The reply as it comes. Errors: ModelError."""

        def responses() -> CompletionResponseGen:
            with closing(self.stream_chat(_asked(prompt), **kwargs)) as stream:
                for response in stream:
                    yield _completed(response)

        return responses()

    @llm_completion_callback()
    async def astream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseAsyncGen:  # noqa: ARG002
        """The reply as it comes. Errors: ModelError."""

        async def responses() -> CompletionResponseAsyncGen:
            async with aclosing(await self.astream_chat(_asked(prompt), **kwargs)) as stream:
                async for response in stream:
                    yield _completed(response)

        return responses()

    # --- tools --------------------------------------------------------------------------------------------------

    def _prepare_chat_with_tools(
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,  # noqa: ARG002
        allow_parallel_tool_calls: bool = False,  # noqa: ARG002
        tool_required: bool = False,
        tool_choice: str | dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        messages = list(chat_history or [])
        if user_msg is not None:
            said = ChatMessage(role=MessageRole.USER, content=user_msg) if isinstance(user_msg, str) else user_msg
            messages.append(said)
        described = [tool.metadata.to_openai_tool(skip_length_check=True) for tool in tools]
        choice = tool_choice or ("required" if tool_required else "auto")
        return {"messages": messages, "tools": described, "tool_choice": choice, **kwargs}

    def _validate_chat_with_tools_response(
        self,
        response: ChatResponse,
        tools: Sequence[BaseTool],  # noqa: ARG002
        allow_parallel_tool_calls: bool = False,
        **kwargs: Any,  # noqa: ARG002
    ) -> ChatResponse:
        """Where one call at a time is wanted, the first is kept."""
        if not allow_parallel_tool_calls:
            calls = [block for block in response.message.blocks if isinstance(block, ToolCallBlock)]
            response.message.blocks = [block for block in response.message.blocks if block not in calls[1:]]
        return response

    def get_tool_calls_from_response(
        self,
        response: ChatResponse,
        error_on_no_tool_call: bool = True,
        **kwargs: Any,  # noqa: ARG002
    ) -> list[ToolSelection]:
        """The tools that the model asks for. Errors: InvalidReply for arguments that are not a JSON object."""
        selected = []
        for block in response.message.blocks:
            if isinstance(block, ToolCallBlock):
                if isinstance(block.tool_kwargs, str):
                    raise InvalidReply(
                        f"The arguments for {block.tool_name} are not a JSON object: {block.tool_kwargs}"
                    )
                selected.append(
                    ToolSelection(
                        tool_id=block.tool_call_id or "", tool_name=block.tool_name, tool_kwargs=block.tool_kwargs
                    )
                )
        if not selected and error_on_no_tool_call:
            raise ValueError("Expected at least one tool call, but got none")
        return selected

    # --- schemas ------------------------------------------------------------------------------------------------

    def structured_predict(
        self,
        output_cls: type[BaseModel],
        prompt: BasePromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Any:
        """An instance of the class, from a reply that obeys its schema. Errors: ModelError."""
        if not self._calling.model.capabilities.schema:
            return super().structured_predict(output_cls, prompt, llm_kwargs, **prompt_args)
        messages = self._extend_messages(prompt.format_messages(**prompt_args))
        return _parsed(output_cls, self.chat(messages, schema=output_cls.model_json_schema(), **(llm_kwargs or {})))

    async def astructured_predict(
        self,
        output_cls: type[BaseModel],
        prompt: BasePromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Any:
        """An instance of the class, from a reply that obeys its schema. Errors: ModelError."""
        if not self._calling.model.capabilities.schema:
            return await super().astructured_predict(output_cls, prompt, llm_kwargs, **prompt_args)
        messages = self._extend_messages(prompt.format_messages(**prompt_args))
        schema = output_cls.model_json_schema()
        return _parsed(output_cls, await self.achat(messages, schema=schema, **(llm_kwargs or {})))

    # --- the request --------------------------------------------------------------------------------------------

    def _most(self) -> int:
        return self._calling.most_output(self.max_tokens)

    def _request(
        self, messages: Sequence[ChatMessage], given: dict[str, Any], *, streamed: bool = True
    ) -> ModelRequest:
        def setting(name: str) -> Any:
            return getattr(self, name) if given.get(name) is None else given[name]

        if unknown := given.keys() - _CALL_SETTINGS:
            raise InvalidRequest(
                f"Models of Sourcebook have no setting {', '.join(sorted(unknown))}",
                remedy=f"Known: {', '.join(sorted(_CALL_SETTINGS))}",
            )
        ours = to_ours(messages)
        timeout = setting("timeout")
        return ModelRequest(
            question=next((one.text for one in reversed(ours) if one.role == "user"), ""),
            messages=ours,
            max_output_tokens=given.get("max_tokens") or self._most(),
            temperature=setting("temperature"),
            top_p=setting("top_p"),
            seed=setting("seed"),
            reasoning=setting("reasoning"),
            stop=tuple(setting("stop") or ()),
            tools=tuple(_tool(one["function"]) for one in given.get("tools") or ()),
            tool_choice=_choice(given.get("tool_choice")),
            schema=given.get("schema"),
            streamed=streamed,
            deadline=None if timeout is None else time.monotonic() + timeout,
            tenant=self.tenant,
            account=self.account,
            purpose=self.purpose,
        )


_CALL_SETTINGS = {
    "temperature", "max_tokens", "top_p", "seed", "reasoning", "timeout", "stop", "tools", "tool_choice", "schema",
}  # fmt: skip


def _asked(prompt: str) -> list[ChatMessage]:
    return [ChatMessage(role=MessageRole.USER, content=prompt)]


def _completed(response: ChatResponse) -> CompletionResponse:
    return CompletionResponse(
        text=response.message.content or "",
        delta=response.delta,
        raw=response.raw,
        additional_kwargs=response.additional_kwargs,
    )


def _tool(function: dict[str, Any]) -> Tool:
    return Tool(name=function["name"], description=function.get("description") or "", parameters=function["parameters"])


def _choice(given: str | dict[str, Any] | None) -> str:
    """As a `ModelRequest` has it."""
    match given:
        case None:
            return "auto"
        case "any":
            return "required"
        case {"function": {"name": str(name)}}:
            return name
    return str(given)


def _parsed(output_cls: type[BaseModel], response: ChatResponse) -> BaseModel:
    text = response.message.content or ""
    try:
        return output_cls.model_validate_json(text)
    except ValidationError as error:
        message = f"The reply is not a {output_cls.__name__}: {text[:200]!r}"
        raise InvalidReply(message, text=text) from error
