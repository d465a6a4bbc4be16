"""Our parts inside LlamaIndex, and LlamaIndex's models inside ours."""

import asyncio
import sys
import time
from contextlib import aclosing
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pytest.importorskip("llama_index.core")

from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import (
    CachePoint,
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    DocumentBlock,
    ImageBlock,
    LLMMetadata,
    MessageRole,
    ThinkingBlock,
)
from llama_index.core.base.response.schema import Response
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.llms import CustomLLM
from llama_index.core.prompts import PromptTemplate
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.response_synthesizers import get_response_synthesizer
from llama_index.core.tools import FunctionTool

from sourcebook import BlockingSourcebook, Scope, Sourcebook, errors
from sourcebook.config import Config, Parts
from sourcebook.errors import ConfigError, InvalidRequest, MissingExtra, ModelError
from sourcebook.interop.llamaindex import (
    LlamaIndexModel,
    SourcebookLLM,
    SourcebookQueryEngine,
    SourcebookRetriever,
)
from sourcebook.interop.llamaindex.messages import to_ours, to_theirs
from sourcebook.models.base import (
    Capabilities,
    Finish,
    Message,
    ModelRequest,
    Switched,
    TextPart,
    Thought,
    Tool,
    ToolCall,
    ToolCallPart,
    complete,
)
from sourcebook.registry import find
from tests.interop.conftest import a_model, until
from tests.interop.test_langchain import CONVERSATION, DONE, THINKING, Place
from tests.models.route.scripted import Scripted

ASKED = ModelRequest(messages=(Message(role="system", text="Be brief."), Message(role="user", text="Hi")))
HI = [ChatMessage(role=MessageRole.USER, content="Hi")]
LOOK = Tool(name="look", description="Looks.", parameters={"type": "object", "properties": {"a": {"type": "integer"}}})


# --- our models in LlamaIndex ---------------------------------------------------------------------------------------


async def test_chat_in_every_way() -> None:
    model = a_model()
    llm = SourcebookLLM(model=model, temperature=0.5, max_tokens=50, tenant="acme")
    assert llm.metadata.context_window == model.window
    assert llm.metadata.is_function_calling_model
    said = "Hello from the model."
    assert llm.chat(HI).message.content == said
    assert (await llm.achat(HI, seed=3)).message.content == said
    assert llm.complete("Hi").text == said
    assert (await llm.acomplete("Hi")).text == said
    streams: list[list[Any]] = [
        list(llm.stream_chat(HI)),
        [one async for one in await llm.astream_chat(HI)],
        list(llm.stream_complete("Hi")),
        [one async for one in await llm.astream_complete("Hi")],
    ]
    for stream in streams:
        assert "".join(one.delta or "" for one in stream) == said
        whole = stream[-1].message.content if isinstance(stream[-1], ChatResponse) else stream[-1].text
        assert whole == said
        assert stream[-1].raw["usage"] == {"prompt_tokens": 30, "completion_tokens": 12, "total_tokens": 42}
        assert stream[-1].raw["cost_micro_usd"] == 210
    request = model.requests[1]
    assert (request.temperature, request.max_output_tokens, request.seed, request.tenant) == (0.5, 50, 3, "acme")
    with pytest.raises(InvalidRequest, match="no setting frequency_penalty"):
        llm.chat(HI, frequency_penalty=1)


def test_messages_come_back_as_they_went() -> None:
    back = to_ours(to_theirs(CONVERSATION))
    assert back[:4] == CONVERSATION[:4]
    assert back[4] == Message(role="tool", text="It is gone.", tool_call_id="c-1")  # that it failed has no place there


def test_what_else_a_message_may_hold(tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    picture.write_bytes(b"\x89PNG")
    blocks = [ImageBlock(path=picture), CachePoint(cache_control={"type": "ephemeral"})]  # type: ignore[arg-type]
    (message,) = to_ours([ChatMessage(role=MessageRole.USER, content=blocks)])
    assert message.keep
    assert (message.images[0].data, message.images[0].media_type) == (b"\x89PNG", "image/png")
    old = {"tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "{}"}}]}
    (message,) = to_ours([ChatMessage(role=MessageRole.ASSISTANT, content="", additional_kwargs=old)])
    assert message.tool_calls == (ToolCall(id="c", name="f", arguments="{}"),)
    with pytest.raises(InvalidRequest, match="DocumentBlock"):
        to_ours([ChatMessage(role=MessageRole.USER, content=[DocumentBlock(data=b"x", title="t")])])


def test_reasoning_and_tool_calls() -> None:
    llm = SourcebookLLM(model=Scripted("s", THINKING))
    for response in (llm.chat(HI), list(llm.stream_chat(HI))[-1]):
        (back,) = to_ours([response.message])
        assert back.thoughts == (Thought(text="Let me think.", signature="sig-1"), Thought(text="Again."))
        assert [one.signature for one in back.tool_calls] == ["sig-2", ""]
        assert isinstance(response.message.blocks[0], ThinkingBlock)
        selected = llm.get_tool_calls_from_response(response)
        assert [(one.tool_id, one.tool_kwargs) for one in selected] == [("c-1", {"a": 1}), ("c-2", {"a": 2})]
    broken = SourcebookLLM(model=Scripted("s", [ToolCallPart(call=ToolCall(id="c", name="f", arguments="{")), DONE]))
    with pytest.raises(errors.InvalidReply, match="not a JSON object"):
        broken.get_tool_calls_from_response(broken.chat(HI))


def test_one_call_at_a_time_where_that_is_wanted() -> None:
    llm = SourcebookLLM(model=Scripted("s", THINKING))
    tool = FunctionTool.from_defaults(lambda a: a, name="look", description="Looks.")
    assert len(llm.get_tool_calls_from_response(llm.chat_with_tools([tool], "Hi"))) == 1
    both = llm.chat_with_tools([tool], "Hi", allow_parallel_tool_calls=True)
    assert len(llm.get_tool_calls_from_response(both)) == 2


async def test_leaving_a_stream_stops_the_model_and_errors_are_ours() -> None:
    model = Scripted("s", ["one", "two", 60.0, "three", DONE])
    stream = await SourcebookLLM(model=model).astream_chat(HI)
    async for _ in stream:
        break
    await stream.aclose()
    await until(lambda: (model.running, model.stopped) == (0, 1))
    failing = SourcebookLLM(model=Scripted("s", [errors.RateLimited("slowly")]))
    with pytest.raises(errors.RateLimited):
        await failing.achat(HI)
    withdrawn = Scripted("s", ["One", Switched(before="a", after="b", reason="it stalled"), "Another", DONE])
    with pytest.raises(errors.Interrupted, match="b begins anew"):
        list(SourcebookLLM(model=withdrawn).stream_chat(HI))


async def test_structured_output_as_the_model_can() -> None:
    prompt = PromptTemplate("A place in {country}?")
    expected = Place(name="some name", inhabitants=4)
    model = a_model()
    llm = SourcebookLLM(model=model)
    assert llm.structured_predict(Place, prompt, country="Korea") == expected
    assert await llm.astructured_predict(Place, prompt, country="Korea") == expected
    assert model.requests[0].schema is not None
    assert model.requests[0].messages[-1].text == "A place in Korea?"
    assert llm.as_structured_llm(Place).chat(HI).raw == expected
    model = a_model(can=Capabilities(tools=True))
    assert SourcebookLLM(model=model).structured_predict(Place, prompt, country="Korea") == expected
    assert model.requests[0].tool_choice == "required"
    broken = SourcebookLLM(model=Scripted("s", ["no", DONE], capabilities=Capabilities(schema=True)))
    with pytest.raises(errors.InvalidReply, match="not a Place"):
        broken.structured_predict(Place, prompt, country="Korea")


def test_tokens_are_counted_where_llamaindex_counts_them() -> None:
    counting = TokenCountingHandler(tokenizer=str.split)
    llm = SourcebookLLM(model=a_model(), callback_manager=CallbackManager([counting]))
    llm.chat(HI)
    assert (counting.prompt_llm_token_count, counting.completion_llm_token_count) == (30, 12)


@pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince20")  # its workflows look at all members
@pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince211")
async def test_an_agent_uses_our_model_and_a_tool() -> None:
    def inhabitants(city: str) -> str:
        """How many live there."""
        return f"212 live in {city}"

    model = a_model()
    agent = FunctionAgent(tools=[inhabitants], llm=SourcebookLLM(model=model), system_prompt="Look it up.")
    answer = await agent.run("How many live there?")
    assert str(answer) == "The tool says 212 live in 서울."
    assert [one.role for one in model.requests[1].messages] == ["system", "user", "assistant", "tool"]


# --- our book in LlamaIndex -----------------------------------------------------------------------------------------


async def test_hits_are_nodes(book: BlockingSourcebook) -> None:
    retriever = SourcebookRetriever(book, similarity_top_k=2)
    question = "When was the lighthouse built?"
    found = retriever.retrieve(question)
    hits = book.search(question, top=2)
    assert [one.node.get_content() for one in found] == [one.passage.text for one in hits]
    assert [one.score for one in found] == [one.score for one in hits]
    assert [one.node_id for one in await retriever.aretrieve(question)] == [one.passage.id for one in hits]
    known = found[0].node.metadata
    assert found[0].node.ref_doc_id == known["source"] == hits[0].passage.document
    assert "passage" not in found[0].node.get_metadata_str(mode="llm")  # type: ignore[arg-type]
    assert SourcebookRetriever(book, scope=Scope(tenant="other")).retrieve(question) == []
    with pytest.raises(ConfigError, match="Call aretrieve"):
        SourcebookRetriever(book.book).retrieve(question)


async def test_their_query_engine_over_our_retriever_and_model(book: BlockingSourcebook) -> None:
    model = Scripted("s", script=lambda request: [request.messages[-1].text[:400], DONE])
    llm = SourcebookLLM(model=model)
    engine = RetrieverQueryEngine(
        SourcebookRetriever(book, similarity_top_k=1), response_synthesizer=get_response_synthesizer(llm=llm)
    )
    answer = engine.query("When was the lighthouse built?")
    assert isinstance(answer, Response)
    assert "built in 1873" in str(answer)
    assert len(answer.source_nodes) == 1


async def test_a_book_is_a_query_engine(book: BlockingSourcebook) -> None:
    engine = SourcebookQueryEngine(book)
    for answer in (
        engine.query("When was the lighthouse on Gull Island built?"),
        await engine.aquery("When was the lighthouse on Gull Island built?"),
    ):
        assert isinstance(answer, Response)
        assert "1873" in str(answer)
        assert answer.metadata is not None
        (citation, *_) = answer.metadata["citations"]
        text, _ = book.show(citation["document"])
        assert text[citation["start"] : citation["end"]] == citation["quote"]
        assert answer.source_nodes[0].node.node_id == citation["passage"]
        assert book.answer_record(answer.metadata["answer_id"])
    unknown = engine.query("Who won the chess game in Oslo?")
    assert unknown.metadata is not None
    assert unknown.metadata["known"] is False
    assert unknown.source_nodes == []


# --- LlamaIndex's models in ours --------------------------------------------------------------------------------------


class Theirs(CustomLLM):
    """One of LlamaIndex's that completes prompts: without tools, and told nothing of usage."""

    says: list[Any]
    stopped: list[bool]
    max_tokens: int = 7
    limits: list[int]

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(context_window=900, num_output=self.max_tokens, model_name="gpt-4o")

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        return CompletionResponse(text="".join(self.says))

    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        raise NotImplementedError

    async def astream_chat(self, messages: Any, **kwargs: Any) -> Any:
        self.limits.append(self.max_tokens)

        async def responses() -> Any:
            text, over = "", False
            try:
                for one in self.says:
                    if isinstance(one, float):
                        await asyncio.sleep(one)
                    elif isinstance(one, Exception):
                        raise one
                    else:
                        text += one
                        message = ChatMessage(role=MessageRole.ASSISTANT, content=text)
                        yield ChatResponse(message=message, delta=one, raw={"finish_reason": "length"})
                over = True
            finally:
                self.stopped.append(not over)

        return responses()


def theirs_saying(*says: Any) -> Theirs:
    return Theirs(says=list(says), stopped=[], limits=[])


async def test_it_is_one_of_our_models() -> None:
    llm = theirs_saying("Hel", "lo")
    model = LlamaIndexModel(llm, provider="openai")
    assert (model.name, model.window) == ("llamaindex:openai:gpt-4o", 900)
    assert not model.capabilities.tools
    events = [event async for event in model.stream(ASKED)]
    assert events[:2] == [TextPart(text="Hel"), TextPart(text="lo")]
    assert isinstance(events[2], Finish)
    assert (events[2].reason, events[2].usage.exact, events[2].served_by) == ("length", False, model.name)
    assert events[2].usage.output_tokens > 0
    assert (llm.limits, llm.max_tokens) == ([512], 7)
    whole = await complete(model, ModelRequest(messages=ASKED.messages, streamed=False))
    assert whole.text == "Hello"
    with pytest.raises(InvalidRequest, match="cannot call tools"):
        await complete(model, ModelRequest(messages=ASKED.messages, tools=(LOOK,)))
    await model.close()


async def test_stop_sequences_are_heeded() -> None:
    llm = theirs_saying("One E", "ND two", 30.0)
    done = await complete(LlamaIndexModel(llm), ModelRequest(messages=ASKED.messages, stop=("END",)))
    assert (done.text, done.finish.reason) == ("One ", "stop")
    await until(lambda: llm.stopped == [True])


async def test_ours_through_theirs_and_back() -> None:
    inner = Scripted("scripted", THINKING, capabilities=Capabilities(tools=True, schema=True))
    model = LlamaIndexModel(SourcebookLLM(model=inner))
    assert model.name == "llamaindex:sourcebook:scripted"
    request = ModelRequest(messages=CONVERSATION, tools=(LOOK,), max_output_tokens=50, temperature=0.1, seed=3)
    for streamed in (True, False):
        done = await complete(model, ModelRequest(**{**_fields(request), "streamed": streamed}))
        assert (done.text, done.finish.reason, done.finish.request_id) == ("It is 41.", "tool_calls", "r-1")
        assert "".join(one.text for one in done.thoughts).startswith("Let me think.")
        assert [(one.id, one.arguments) for one in done.tool_calls] == [("c-1", '{"a": 1}'), ("c-2", '{"a": 2}')]
        assert (done.finish.usage.input_tokens, done.finish.usage.output_tokens) == (30, 12)
    seen = inner.requests[0]
    assert seen.messages[:4] == CONVERSATION[:4]
    assert (seen.tools, seen.max_output_tokens, seen.temperature, seen.seed) == ((LOOK,), 50, 0.1, 3)


def _fields(request: ModelRequest) -> dict[str, Any]:
    return {name: getattr(request, name) for name in ModelRequest.__dataclass_fields__}


@pytest.mark.parametrize("can", [Capabilities(tools=True, schema=True), Capabilities(tools=True), Capabilities()])
async def test_a_schema_and_braces_in_a_prompt(can: Capabilities) -> None:
    if can.tools:
        inner = a_model(can=can)
    else:
        inner = Scripted("s", ['```json\n{"name": "some name", "inhabitants": 4}\n```', DONE], capabilities=can)
    messages = (Message(role="user", text='What of {"name": 1} and {curly}?'),)
    request = ModelRequest(messages=messages, schema=Place.model_json_schema())
    done = await complete(LlamaIndexModel(SourcebookLLM(model=inner)), request)
    assert Place.model_validate_json(done.text) == Place(name="some name", inhabitants=4)
    assert '{"name": 1} and {curly}' in inner.requests[0].messages[-1].text


async def test_what_goes_wrong() -> None:
    with pytest.raises(errors.Unavailable):
        await complete(LlamaIndexModel(theirs_saying(ConnectionResetError("reset"))), ASKED)
    with pytest.raises(errors.Interrupted) as caught:
        await complete(LlamaIndexModel(theirs_saying("half", RuntimeError("?"))), ASKED)
    assert caught.value.text == "half"
    llm = theirs_saying("one", 30.0)
    request = ModelRequest(messages=ASKED.messages, deadline=time.monotonic() + 0.05)
    with pytest.raises(errors.DeadlineExceeded) as late:
        await complete(LlamaIndexModel(llm), request)
    assert late.value.text == "one"
    await until(lambda: llm.stopped == [True])
    llm = theirs_saying("one", 30.0)
    async with aclosing(LlamaIndexModel(llm).stream(ASKED)) as events:
        async for _ in events:
            break
    await until(lambda: llm.stopped == [True])
    assert issubclass(errors.DeadlineExceeded, ModelError)


async def test_by_its_url_under_a_book(tmp_path: Path, a_module: ModuleType) -> None:
    a_module.make = lambda: theirs_saying("The lighthouse was ", "built in 1873 [1].")  # type: ignore[attr-defined]
    a_module.number = 7  # type: ignore[attr-defined]
    url = "llamaindex:my_models:make?window=5000"
    assert find("model", url)(url).window == 5000
    wrong = "llamaindex:my_models:number"
    with pytest.raises(ConfigError, match="is a int"):
        find("model", wrong)(wrong)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("# Gull Island\n\nThe lighthouse on Gull Island was built in 1873.\n")
    parts = Parts(embed="hashing", index="flat", model=url)
    async with await Sourcebook.open(tmp_path / "book", config=Config(parts=parts)) as book:
        await book.add(tmp_path / "docs")
        await book.sync()
        answer = await book.ask("When was the lighthouse built?")
        assert answer.text == "The lighthouse was built in 1873."
        assert answer.citations[0].quote == "The lighthouse on Gull Island was built in 1873."


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [one for one in sys.modules if one.startswith("sourcebook.interop.llamaindex")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "llama_index.core", None)
    with pytest.raises(MissingExtra, match=r'pip install "sourcebook\[llamaindex\]"'):
        find("model", "llamaindex:a:b")
