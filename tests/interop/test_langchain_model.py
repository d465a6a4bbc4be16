"""LangChain's chat models inside ours: as a `Model`, by a URL, and under a book."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pytest.importorskip("langchain_core")

from langchain_core import exceptions as theirs
from langchain_core.language_models import BaseChatModel, ModelProfile
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, SystemMessage
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from sourcebook import Sourcebook, errors
from sourcebook.config import Config, Parts
from sourcebook.errors import ConfigError, MissingExtra, ModelError
from sourcebook.interop.langchain import LangChainModel, SourcebookChatModel
from sourcebook.models.base import (
    Finish,
    Message,
    ModelRequest,
    TextPart,
    Tool,
    ToolCall,
    complete,
)
from sourcebook.registry import find
from sourcebook.types import Usage
from tests.interop.conftest import USAGE, a_model, until
from tests.interop.test_langchain import CONVERSATION, THINKING, Place
from tests.models.route.scripted import Scripted

ASKED = ModelRequest(messages=(Message(role="system", text="Be brief."), Message(role="user", text="Hi")))
LOOK = Tool(name="look", description="Looks.", parameters={"type": "object", "properties": {"a": {"type": "integer"}}})


class Theirs(BaseChatModel):
    """One of LangChain's, as an integration writes it: it streams chunks, waits for numbers, and raises errors."""

    says: list[Any]
    model_name: str = "gpt-4o"
    max_tokens: int = 7
    temperature: float = 1.0
    calls: list[tuple[list[BaseMessage], dict[str, Any]]]
    stopped: list[bool]

    @property
    def _llm_type(self) -> str:
        return "theirs"

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> Any:
        return {"ls_provider": "openai", "ls_model_name": self.model_name, "ls_model_type": "chat"}

    def _resolve_model_profile(self) -> ModelProfile:
        return {"max_input_tokens": 128_000, "image_inputs": False, "tool_calling": True}

    def bind_tools(self, tools: Any, *, tool_choice: Any = None, **kwargs: Any) -> Any:
        return self.bind(tools=list(tools), tool_choice=tool_choice, **kwargs)

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        raise NotImplementedError

    async def _agenerate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        self._note(messages, stop, kwargs)
        (message,) = self.says
        return ChatResult(generations=[ChatGeneration(message=message)])

    async def _astream(
        self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        self._note(messages, stop, kwargs)
        over = False
        try:
            for one in self.says:
                if isinstance(one, float):
                    await asyncio.sleep(one)
                elif isinstance(one, BaseException):
                    raise one
                else:
                    message = AIMessageChunk(content=one) if isinstance(one, str) else one
                    yield ChatGenerationChunk(message=message)
            over = True
        finally:
            self.stopped.append(not over)

    def _note(self, messages: Any, stop: Any, kwargs: dict[str, Any]) -> None:
        self.calls.append((messages, {**kwargs, "stop": stop, "max": self.max_tokens, "heat": self.temperature}))


def last(**metadata: Any) -> AIMessageChunk:
    usage = {"input_tokens": 9, "output_tokens": 4, "total_tokens": 13, "input_token_details": {"cache_read": 3}}
    return AIMessageChunk(content="", usage_metadata=usage, response_metadata=metadata, chunk_position="last")  # type: ignore[arg-type]


def theirs_saying(*says: Any, **fields: Any) -> Theirs:
    return Theirs(says=list(says), calls=[], stopped=[], **fields)


# --- a call ---------------------------------------------------------------------------------------------------------


async def test_it_is_one_of_our_models() -> None:
    chat = theirs_saying("Hel", "lo", last(finish_reason="stop", model_name="gpt-4o-2024", id="req-7"))
    model = LangChainModel(chat)
    assert (model.name, model.provider, model.model) == ("langchain:openai:gpt-4o", "openai", "gpt-4o")
    assert model.window == 128_000
    assert model.capabilities.tools
    assert not model.capabilities.images
    assert model.count_tokens("one two three") > 0
    events = [event async for event in model.stream(ASKED)]
    assert events[:2] == [TextPart(text="Hel"), TextPart(text="lo")]
    usage = Usage(input_tokens=9, output_tokens=4, cached_tokens=3, counted_by="vendor")
    assert isinstance(events[2], Finish)
    assert events[2] == Finish(
        reason="stop",
        usage=usage,
        model="gpt-4o-2024",
        request_id="req-7",
        served_by="langchain:openai:gpt-4o",
        sent=events[2].sent,
    )
    await model.close()


async def test_the_settings_of_a_request_are_heeded_and_the_model_left_as_it_was() -> None:
    chat = theirs_saying("Hello", last())
    request = ModelRequest(
        messages=ASKED.messages,
        max_output_tokens=33,
        temperature=0.0,
        stop=("END",),
        tools=(LOOK,),
        tool_choice="required",
    )
    await complete(LangChainModel(chat), request)
    ((messages, said),) = chat.calls
    assert isinstance(messages[0], SystemMessage)
    assert (said["max"], said["heat"], said["stop"], said["tool_choice"]) == (33, 0.0, ["END"], "any")
    assert said["tools"][0]["function"]["parameters"] == LOOK.parameters
    assert (chat.max_tokens, chat.temperature) == (7, 1.0)


async def test_tool_calls_come_whole_and_as_they_were_written() -> None:
    def piece(index: int, args: str, name: str | None = None, id: str | None = None) -> AIMessageChunk:
        return AIMessageChunk(content="", tool_call_chunks=[tool_call_chunk(index=index, args=args, name=name, id=id)])

    chat = theirs_saying(
        piece(0, "", "look", "c-1"), piece(0, '{"a":'), piece(0, "  1}"), piece(1, '{"a": 2', "look", "c-2"), last()
    )
    done = await complete(LangChainModel(chat), ModelRequest(messages=ASKED.messages, tools=(LOOK,)))
    assert done.finish.reason == "tool_calls"
    assert done.tool_calls == (
        ToolCall(id="c-1", name="look", arguments='{"a":  1}'),
        ToolCall(id="c-2", name="look", arguments='{"a": 2'),
    )


async def test_a_reply_that_is_not_streamed() -> None:
    message = AIMessage(
        [{"type": "reasoning", "reasoning": "Hm."}, {"type": "text", "text": "Hello"}],
        tool_calls=[{"name": "look", "args": {"a": 1}, "id": "c"}],
        response_metadata={"stop_reason": "max_tokens"},
    )
    done = await complete(
        LangChainModel(theirs_saying(message)),
        ModelRequest(messages=ASKED.messages, tools=(LOOK,), streamed=False),
    )
    assert (done.text, done.finish.reason, done.thoughts[0].text) == ("Hello", "length", "Hm.")
    assert done.tool_calls == (ToolCall(id="c", name="look", arguments='{"a": 1}'),)
    assert not done.finish.usage.exact
    assert done.finish.usage.input_tokens > 0


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({"finish_reason": "length"}, "length"),
        ({"stop_reason": "end_turn"}, "stop"),
        ({"finish_reason": "FinishReason.SAFETY"}, "filtered"),
        ({"done_reason": "stop"}, "stop"),
        ({"finish_reason": "content_filter"}, "filtered"),
        ({"status": "incomplete"}, "length"),
        ({}, "stop"),
    ],
)
async def test_why_a_reply_ended(metadata: dict[str, Any], reason: str) -> None:
    assert (await complete(LangChainModel(theirs_saying("x", last(**metadata))), ASKED)).finish.reason == reason


async def test_ours_through_theirs_and_back_loses_nothing() -> None:
    inner = Scripted("scripted", THINKING)
    model = LangChainModel(SourcebookChatModel(model=inner))
    request = ModelRequest(messages=CONVERSATION, tools=(LOOK,), max_output_tokens=50, temperature=0.1, seed=3)
    done = await complete(model, request)
    assert (done.text, done.finish.reason, done.finish.request_id) == ("It is 41.", "tool_calls", "r-1")
    assert [one.signature for one in done.tool_calls] == ["sig-2", ""]
    assert done.thoughts[0].signature == "sig-1"
    assert done.finish.usage.reasoning_tokens == USAGE.reasoning_tokens
    (seen,) = inner.requests
    assert seen.messages == CONVERSATION
    assert (seen.tools, seen.max_output_tokens, seen.temperature, seen.seed) == ((LOOK,), 50, 0.1, 3)


async def test_a_schema() -> None:
    inner = a_model()
    request = ModelRequest(messages=ASKED.messages, schema=Place.model_json_schema())
    done = await complete(LangChainModel(SourcebookChatModel(model=inner)), request)
    assert Place.model_validate_json(done.text) == Place(name="some name", inhabitants=4)
    assert inner.requests[0].schema is not None
    broken = SourcebookChatModel(model=Scripted("s", ["no", Finish(reason="stop")], capabilities=inner.capabilities))
    with pytest.raises(errors.InvalidReply, match="not of the schema"):
        await complete(LangChainModel(broken), request)
    with pytest.raises(errors.InvalidRequest, match="not both"):
        await complete(
            LangChainModel(theirs_saying("x")), ModelRequest(messages=ASKED.messages, schema={}, tools=(LOOK,))
        )


# --- what goes wrong ------------------------------------------------------------------------------------------------


class StatusError(Exception):
    """As vendors' SDKs raise them."""

    def __init__(self, status: int, message: str = "no") -> None:
        super().__init__(message)
        self.status_code = status
        self.request_id = "req-9"
        self.response = type("Response", (), {"headers": {"Retry-After": "3"}, "status_code": status})()


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (StatusError(429), errors.RateLimited),
        (StatusError(401), errors.NotAuthorised),
        (StatusError(404), errors.NoSuchModel),
        (StatusError(503), errors.Unavailable),
        (StatusError(400, "maximum context length is 8192 tokens"), errors.ContextTooLong),
        (theirs.ContextOverflowError("too long"), errors.ContextTooLong),
        (theirs.ModelRateLimitError("slowly"), errors.RateLimited),
        (theirs.ModelTimeoutError("late"), errors.Unavailable),
        (ConnectionResetError("reset"), errors.Unavailable),
        (ValueError("temperature must be below 2"), errors.InvalidRequest),
        (RuntimeError("?"), errors.Unavailable),
        (errors.BudgetExceeded("spent"), errors.BudgetExceeded),
    ],
)
async def test_what_they_raise_is_ours(raised: Exception, kind: type[ModelError]) -> None:
    with pytest.raises(kind) as caught:
        await complete(LangChainModel(theirs_saying(raised)), ASKED)
    assert type(caught.value) is kind
    if isinstance(raised, StatusError):
        assert (caught.value.status, caught.value.request_id, caught.value.retry_after) == (
            raised.status_code,
            "req-9",
            3.0,
        )
    with pytest.raises(ModelError) as caught:
        await complete(LangChainModel(theirs_saying("half", raised)), ASKED)
    assert type(caught.value) is (errors.Interrupted if kind.transient else kind)
    assert caught.value.text == "half"


async def test_a_model_that_says_nothing_at_all_has_not_answered() -> None:
    with pytest.raises(ModelError):
        await complete(LangChainModel(theirs_saying()), ASKED)


async def test_a_deadline_ends_a_call() -> None:
    chat = theirs_saying("one", 30.0, "two")
    began = time.monotonic()
    with pytest.raises(errors.DeadlineExceeded) as caught:
        await complete(LangChainModel(chat), ModelRequest(messages=ASKED.messages, deadline=began + 0.05))
    assert caught.value.text == "one"
    assert time.monotonic() - began < 5
    await until(lambda: chat.stopped == [True])


async def test_leaving_a_stream_stops_theirs() -> None:
    chat = theirs_saying("one", 30.0, "two")
    async with aclosing(LangChainModel(chat).stream(ASKED)) as events:
        async for _ in events:
            break
    await until(lambda: chat.stopped == [True])


# --- by its URL -----------------------------------------------------------------------------------------------------


def test_an_object_or_what_makes_one(a_module: ModuleType) -> None:
    a_module.chat = theirs_saying("Hello", last())  # type: ignore[attr-defined]
    a_module.make = lambda: theirs_saying("Hello", last(), model_name="gpt-4o-mini")  # type: ignore[attr-defined]
    a_module.bound = a_module.chat.with_retry()  # type: ignore[attr-defined]
    opener = find("model", "langchain:my_models:chat")
    assert opener("langchain:my_models:chat").name == "langchain:openai:gpt-4o"
    assert opener("langchain:my_models:make?window=900").window == 900
    assert opener("langchain:my_models:make").model == "gpt-4o-mini"
    retried = opener("langchain:my_models:bound")
    assert retried.name == "langchain:openai:gpt-4o"
    assert asyncio.run(complete(retried, ASKED)).text == "Hello"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("langchain:", "names no object"),
        ("langchain:my_models", "names no object"),
        ("langchain:no_such_module:chat", "No module named 'no_such_module'"),
        ("langchain:my_models:none", "has no attribute 'none'"),
        ("langchain:my_models:number", "is a int"),
        ("langchain:my_models:number?windows=3", "unknown option 'windows'"),
        ("langchain:my_models:number?window=x", "window is 'x'"),
    ],
)
def test_a_url_that_is_wrong_says_how(a_module: ModuleType, url: str, message: str) -> None:
    a_module.number = 7  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match=message):
        find("model", url)(url)


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [one for one in sys.modules if one.startswith("sourcebook.interop.langchain")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "langchain_core", None)
    with pytest.raises(MissingExtra, match=r'pip install "sourcebook\[langchain\]"'):
        find("model", "langchain:a:b")


async def test_a_book_answers_through_it(tmp_path: Path, a_module: ModuleType) -> None:
    a_module.chat = theirs_saying("The lighthouse was built in 1873 [1].", last(finish_reason="stop"))  # type: ignore[attr-defined]
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("# Gull Island\n\nThe lighthouse on Gull Island was built in 1873.\n")
    parts = Parts(embed="hashing", index="flat", model="langchain:my_models:chat")
    async with await Sourcebook.open(tmp_path / "book", config=Config(parts=parts)) as book:
        await book.add(tmp_path / "docs")
        await book.sync()
        answer = await book.ask("When was the lighthouse built?")
        assert answer.text == "The lighthouse was built in 1873."
        assert answer.citations[0].quote == "The lighthouse on Gull Island was built in 1873."
        assert answer.model == "langchain:openai:gpt-4o"
        assert answer.usage.input_tokens == 9
        assert answer.usage.cost > 0  # as the price file has openai's gpt-4o
        assert book.answer_record(answer.id)["sent"]


# --- replies in odd pieces, settings behind wrappers ------------------------------------------------------------


async def test_what_a_vendor_says_again_with_each_piece_is_said_once() -> None:
    pieces = [
        AIMessageChunk(content="", tool_call_chunks=[tool_call_chunk(name="look", id="call_1", args=args, index=0)])
        for args in ('{"a"', ": 1}")
    ]
    done = await complete(LangChainModel(theirs_saying(*pieces, last())), replace(ASKED, tools=(LOOK,)))
    assert done.tool_calls == (ToolCall(id="call_1", name="look", arguments='{"a": 1}'),)


async def test_settings_reach_the_model_behind_retries_fallbacks_and_bindings() -> None:
    chat = theirs_saying("Hi", last())
    wrapped = chat.with_retry().with_fallbacks([theirs_saying("Hi", last())]).bind(stop=["END"])
    seen: list[int] = []
    monkey = LangChainModel(wrapped)
    changed = monkey._set(replace(ASKED, max_output_tokens=99, temperature=0.25))
    models = [changed.bound.runnable.bound, *changed.bound.fallbacks]
    seen += [one.max_tokens for one in models]
    assert seen == [99, 99]
    assert [one.temperature for one in models] == [0.25, 0.25]
    assert chat.max_tokens == 7
