"""Our models as a LangChain chat model."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, closing
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Literal

from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.base import LangSmithParams
from langchain_core.output_parsers import BaseOutputParser
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import RunnableMap, RunnablePassthrough
from langchain_core.utils.function_calling import convert_to_json_schema, convert_to_openai_tool
from langchain_core.utils.pydantic import is_basemodel_subclass
from pydantic import PrivateAttr

from sourcebook.errors import InvalidRequest, ModelError
from sourcebook.interop.calling import Calling, calling
from sourcebook.interop.langchain.messages import to_ours
from sourcebook.interop.langchain.replies import Chunks, as_theirs, message_of
from sourcebook.interop.langchain.structured import WholeJson, WholeObject
from sourcebook.models.base import Effort, JsonSchema, ModelRequest, Served, Tool

if TYPE_CHECKING:
    from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
    from langchain_core.language_models import LanguageModelInput, ModelProfile
    from langchain_core.messages import AIMessage, BaseMessage
    from langchain_core.runnables import Runnable
    from langchain_core.tools import BaseTool
    from pydantic import BaseModel


class SourcebookChatModel(BaseChatModel):
    """Any of our models as a LangChain chat model.

    model: a model's URL ("openai:gpt-4o", "llama:/path/model.gguf"); an open BlockingSourcebook, whose model is
    taken with its route, ledger and budgets; or a `Model` (`book.model`, any wrapper). Which loop calls run in is
    said in `sourcebook.interop.calling`.
    max_tokens: of a reply; None: half the window, 4096 at most. timeout: seconds for a call. max_retries: further
    calls of a model given by its URL when it fails for a moment; others retry as they were made to.
    tenant, account, purpose: who pays, and for what, in the ledger of a book's model.

    Settings may be given with a call, too: temperature, max_tokens, top_p, seed, reasoning, timeout, stop, and as
    model the URL of another one.
    A reply's response_metadata has finish_reason, model_name, request_id and cost_micro_usd. Errors are ours and
    LangChain's at once: `RateLimited`, say, is a `ModelRateLimitError`.
    """

    model: Any
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
    purpose: str = "langchain"

    _calling: Calling = PrivateAttr()
    _others: dict[str, Calling] = PrivateAttr(default_factory=dict)

    def model_post_init(self, context: Any, /) -> None:
        """Open the model. Errors: ConfigError, MissingExtra, NotAuthorised."""
        super().model_post_init(context)
        self._calling = calling(self.model, attempts=1 + self.max_retries)

    def close(self) -> None:
        """Let go of connections and memory, if the model was given by its URL. It may be used again."""
        for one in (self._calling, *self._others.values()):
            one.close()

    # --- calls --------------------------------------------------------------------------------------------------

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,  # noqa: ARG002
        **kwargs: Any,
    ) -> ChatResult:
        try:
            called, request = self._call(messages, stop, kwargs, streamed=False)
            completion = called.complete(request)
        except ModelError as error:
            raise as_theirs(error) from error
        return ChatResult(generations=[ChatGeneration(message=message_of(completion))])

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,  # noqa: ARG002
        **kwargs: Any,
    ) -> ChatResult:
        try:
            called, request = self._call(messages, stop, kwargs, streamed=False)
            completion = await called.acomplete(request)
        except ModelError as error:
            raise as_theirs(error) from error
        return ChatResult(generations=[ChatGeneration(message=message_of(completion))])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        chunks = Chunks()
        try:
            called, request = self._call(messages, stop, kwargs)
            with closing(called.stream(request)) as events:
                for event in events:
                    if (message := chunks.of(event)) is not None:
                        chunk = ChatGenerationChunk(message=message)
                        if run_manager is not None:
                            run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                        yield chunk
        except ModelError as error:
            raise as_theirs(error) from error

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        chunks = Chunks()
        try:
            called, request = self._call(messages, stop, kwargs)
            async with aclosing(called.astream(request)) as events:
                async for event in events:
                    if (message := chunks.of(event)) is not None:
                        chunk = ChatGenerationChunk(message=message)
                        if run_manager is not None:
                            await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                        yield chunk
        except ModelError as error:
            raise as_theirs(error) from error

    def _call(
        self, messages: list[BaseMessage], stop: list[str] | None, given: dict[str, Any], *, streamed: bool = True
    ) -> tuple[Calling, ModelRequest]:
        """The model, or another that the call names, and what it is asked."""
        url = given.pop("model", None)
        if url is not None and url not in self._others:
            self._others[url] = calling(url, attempts=1 + self.max_retries)
        called = self._calling if url is None else self._others[url]

        def setting(name: str) -> Any:
            own = getattr(self, name)
            return own if given.get(name) is None else given[name]

        unknown = given.keys() - _CALL_SETTINGS
        if unknown or given.get("parallel_tool_calls") is False:
            names = ", ".join(sorted(unknown)) or "parallel_tool_calls=False"
            known = ", ".join(sorted(_CALL_SETTINGS))
            raise InvalidRequest(f"Models of Sourcebook have no setting {names}", remedy=f"Known: {known}")
        ours = to_ours(messages)
        timeout = setting("timeout")
        request = ModelRequest(
            question=next((one.text for one in reversed(ours) if one.role == "user"), ""),
            messages=ours,
            max_output_tokens=called.most_output(setting("max_tokens")),
            temperature=setting("temperature"),
            top_p=setting("top_p"),
            seed=setting("seed"),
            reasoning=setting("reasoning"),
            stop=tuple(stop or self.stop or ()),
            tools=tuple(_tool(tool) for tool in given.get("tools") or ()),
            tool_choice=given.get("tool_choice") or "auto",
            schema=_schema(given.get("response_format")),
            streamed=streamed,
            deadline=None if timeout is None else time.monotonic() + timeout,
            tenant=self.tenant,
            account=self.account,
            purpose=self.purpose,
        )
        return called, request

    # --- tools and schemas --------------------------------------------------------------------------------------

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | bool | dict[str, Any] | None = None,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """A model that may ask for these tools.

        tool_choice: "auto", "none", "any" (the same: "required", True), or the name of the tool to call.
        """
        described = [convert_to_openai_tool(tool, strict=strict) for tool in tools]
        return self.bind(tools=described, tool_choice=_choice(tool_choice), **kwargs)

    def with_structured_output(
        self,
        schema: dict[str, Any] | type,
        *,
        include_raw: bool = False,
        method: Literal["json_schema", "json_mode", "function_calling"] | None = None,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, dict[str, Any] | BaseModel]:
        """A model whose replies are of a schema: an instance of a Pydantic class, else a dict.

        method: "json_schema" constrains the reply's text, and is taken where the model can; "json_mode" is the same
        here; "function_calling" has the model call a tool with these arguments.
        """
        if method is None:
            method = "json_schema" if self._calling.model.capabilities.schema else "function_calling"
        if method == "function_calling":
            return super().with_structured_output(schema, include_raw=include_raw, **kwargs)
        if kwargs:
            raise ValueError(f"Received unsupported arguments {kwargs}")
        described: dict[str, Any]
        if isinstance(schema, Mapping) and "title" not in schema and "name" not in schema and "type" in schema:
            described = dict(schema)
        else:
            described = convert_to_json_schema(schema, strict=strict)
        model = self.bind(
            response_format={"type": "json_schema", "json_schema": {"name": "reply", "schema": described}},
            ls_structured_output_format={"kwargs": {"method": method}, "schema": schema},
        )
        parser: BaseOutputParser[Any] = (
            WholeObject(pydantic_object=schema)
            if isinstance(schema, type) and is_basemodel_subclass(schema)
            else WholeJson(shape=described)
        )
        if not include_raw:
            return model | parser
        parsed = RunnablePassthrough.assign(parsed=itemgetter("raw") | parser, parsing_error=lambda _: None)
        failed = RunnablePassthrough.assign(parsed=lambda _: None)
        return RunnableMap(raw=model) | parsed.with_fallbacks([failed], exception_key="parsing_error")

    # --- what LangChain asks of a model ------------------------------------------------------------------------

    def get_num_tokens(self, text: str) -> int:
        """Tokens of a text by the model's own tokenizer, where it is known."""
        return self._calling.model.count_tokens(text)

    @property
    def _llm_type(self) -> str:
        return "sourcebook"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        settings = ("temperature", "max_tokens", "top_p", "seed", "reasoning", "stop")
        given = {name: getattr(self, name) for name in settings if getattr(self, name) is not None}
        return {"model": self._calling.model.name, **given}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = super()._get_ls_params(stop=stop or self.stop, **kwargs)
        model = self._calling.model
        params["ls_provider"] = model.provider if isinstance(model, Served) else "sourcebook"
        params["ls_model_name"] = kwargs.get("model") or (model.model if isinstance(model, Served) else model.name)
        return params

    def _resolve_model_profile(self) -> ModelProfile | None:
        can = self._calling.model.capabilities
        return {
            "max_input_tokens": self._calling.model.window,
            "text_inputs": True,
            "image_inputs": can.images,
            "image_url_inputs": can.images,
            "reasoning_output": can.reasoning,
            "tool_calling": can.tools,
            "structured_output": can.schema,
        }


_CALL_SETTINGS = {
    "temperature", "max_tokens", "top_p", "seed", "reasoning", "timeout", "tools", "tool_choice", "response_format",
    "parallel_tool_calls", "ls_structured_output_format",
}  # fmt: skip


def _tool(described: Mapping[str, Any]) -> Tool:
    function = described.get("function")
    if not isinstance(function, Mapping):
        raise InvalidRequest(
            f"A tool of type {described.get('type')!r} runs at its vendor, and is not known here",
            remedy="Give functions, tools of LangChain, or schemas",
        )
    parameters = function.get("parameters") or {"type": "object", "properties": {}}
    return Tool(name=function["name"], description=function.get("description") or "", parameters=parameters)


def _choice(given: str | bool | dict[str, Any] | None) -> str:
    """As a `ModelRequest` has it."""
    match given:
        case None | False:
            return "auto"
        case True | "any":
            return "required"
        case {"function": {"name": str(name)}} | {"name": str(name)}:
            return name
        case {"type": str(kind)}:
            return "required" if kind == "any" else kind
    return str(given)


def _schema(response_format: Any) -> JsonSchema | None:
    """The schema of OpenAI's response_format, which LangChain's agents bind; or of a Pydantic class."""
    match response_format:
        case None | {"type": "text"}:
            return None
        case {"type": "json_schema", "json_schema": {"schema": Mapping() as schema}}:
            return schema
        case {"type": "json_object"}:
            return {"type": "object"}
    schema_of: JsonSchema = convert_to_json_schema(response_format)
    return schema_of
