"""Our parts inside LangChain: what its own suites do not ask."""

import asyncio
import pickle
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("langchain_core")

from langchain_core import exceptions as theirs
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage, ToolMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnablePassthrough
from pydantic import BaseModel

from sourcebook import BlockingSourcebook, Scope, open_book
from sourcebook import errors as ours
from sourcebook.config import Config, Parts
from sourcebook.errors import ConfigError, InvalidRequest, ModelError
from sourcebook.interop.langchain import SourcebookAnswers, SourcebookChatModel, SourcebookRetriever
from sourcebook.interop.langchain.messages import to_ours, to_theirs
from sourcebook.interop.langchain.replies import as_theirs
from sourcebook.models.base import (
    Capabilities,
    Finish,
    Image,
    Message,
    ReasoningPart,
    Switched,
    TextPart,
    Thought,
    ToolCall,
    ToolCallPart,
)
from sourcebook.testing.doubles import Reply
from tests.interop.conftest import USAGE, a_model
from tests.models.doubles.openai_chat import OpenAIChatDouble
from tests.models.route.scripted import Scripted

DONE = Finish(reason="stop", usage=USAGE, request_id="r-1", served_by="scripted")


class Vendor(OpenAIChatDouble):
    def authorised(self, seen: object) -> bool:
        return True


@pytest.fixture
async def vendor() -> AsyncIterator[Vendor]:
    async with Vendor() as double:
        yield double


# --- what is asked ------------------------------------------------------------------------------------------------


async def test_a_call_carries_all_that_was_said() -> None:
    model = a_model()
    chat = SourcebookChatModel(
        model=model, temperature=0.5, seed=7, timeout=30, tenant="acme", account="mia", stop=["END"], max_retries=0
    )
    await chat.bind_tools(
        [{"name": "look", "parameters": {"type": "object", "properties": {}}}], tool_choice="look"
    ).ainvoke([SystemMessage("Be brief."), HumanMessage("Hi")], top_p=0.9, max_tokens=99, reasoning="low")
    (request,) = model.requests
    assert [one.role for one in request.messages] == ["system", "user"]
    assert (request.temperature, request.top_p, request.seed, request.reasoning) == (0.5, 0.9, 7, "low")
    assert (request.max_output_tokens, request.stop, request.tool_choice) == (99, ("END",), "look")
    assert (request.tenant, request.account, request.purpose) == ("acme", "mia", "langchain")
    assert request.deadline is not None
    assert 20 < request.deadline - time.monotonic() <= 30
    assert not request.streamed
    assert [one.name for one in request.tools] == ["look"]


async def test_without_a_limit_a_reply_may_have_half_the_window() -> None:
    model = a_model()
    model.window = 1000
    await SourcebookChatModel(model=model).ainvoke("Hi")
    assert model.requests[0].max_output_tokens == 500


async def test_settings_that_we_do_not_have_are_refused() -> None:
    chat = SourcebookChatModel(model=a_model())
    with pytest.raises(InvalidRequest, match="no setting frequency_penalty"):
        await chat.ainvoke("Hi", frequency_penalty=1)
    with pytest.raises(InvalidRequest, match="parallel_tool_calls=False"):
        await chat.ainvoke("Hi", parallel_tool_calls=False)
    with pytest.raises(InvalidRequest, match="runs at its vendor"):
        await chat.ainvoke("Hi", tools=[{"type": "web_search_preview"}])


def test_a_model_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="int is not a model"):
        SourcebookChatModel(model=7)
    with pytest.raises(ConfigError, match="needs a book"):
        SourcebookChatModel(model="extractive")


# --- messages, both ways --------------------------------------------------------------------------------------------

CONVERSATION = (
    Message(role="system", text="Be brief."),
    Message(role="user", text="What is this?", images=(Image(media_type="image/png", data=b"\x89PNG"),)),
    Message(role="user", text="And this?", images=(Image(media_type="image/png", url="https://pictures.example/a"),)),
    Message(
        role="assistant",
        text="Let me look.",
        tool_calls=(ToolCall(id="c-1", name="look", arguments='{"where": "갈매기섬"}', signature="sig-2"),),
        thoughts=(Thought(text="I should look.", signature="sig-1"),),
    ),
    Message(role="tool", text="It is gone.", tool_call_id="c-1", failed=True),
)


def test_messages_come_back_as_they_went() -> None:
    assert to_ours(to_theirs(CONVERSATION)) == CONVERSATION


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image_url", "image_url": {"url": "data:image/gif;base64,AAAA"}},  # OpenAI's
        {"type": "image", "source": {"type": "base64", "media_type": "image/gif", "data": "AAAA"}},  # Anthropic's
        {"type": "image", "source_type": "base64", "mime_type": "image/gif", "data": "AAAA"},  # LangChain's before 1.0
        {"type": "image", "base64": "AAAA", "mime_type": "image/gif"},
    ],
)
def test_every_form_of_a_picture_is_one(block: dict[str, Any]) -> None:
    (message,) = to_ours([HumanMessage([{"type": "text", "text": "Look:"}, block])])
    assert message == Message(role="user", text="Look:", images=(Image(media_type="image/gif", data=b"\0\0\0"),))


def test_what_we_cannot_show_a_model_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="audio"):
        to_ours([HumanMessage([{"type": "audio", "base64": "AAAA", "mime_type": "audio/wav"}])])


def test_a_cache_marker_is_kept() -> None:
    (message,) = to_ours([SystemMessage([{"type": "text", "text": "Long.", "cache_control": {"type": "ephemeral"}}])])
    assert message.keep
    assert message.text == "Long."


def test_a_call_with_broken_arguments_goes_back_with_them() -> None:
    model = Scripted("s", [ToolCallPart(call=ToolCall(id="c", name="f", arguments='{"a": ')), DONE])
    message = SourcebookChatModel(model=model).invoke("Hi")
    assert message.tool_calls == []
    assert message.invalid_tool_calls[0]["args"] == '{"a": '
    assert to_ours([message])[0].tool_calls == (ToolCall(id="c", name="f", arguments='{"a": '),)


# --- replies --------------------------------------------------------------------------------------------------------

THINKING = (
    ReasoningPart(text="Let me "),
    ReasoningPart(text="think.", signature="sig-1"),
    ReasoningPart(text="Again."),
    TextPart(text="It is "),
    TextPart(text="41."),
    ToolCallPart(call=ToolCall(id="c-1", name="look", arguments='{"a": 1}', signature="sig-2")),
    ToolCallPart(call=ToolCall(id="c-2", name="look", arguments='{"a": 2}')),
    DONE,
)


def test_a_streamed_reply_adds_up_to_the_whole_one() -> None:
    chat = SourcebookChatModel(model=Scripted("scripted", THINKING))
    whole = chat.invoke("Hi")
    streamed: Any = None
    for chunk in chat.stream("Hi"):
        streamed = chunk if streamed is None else streamed + chunk
    for message in (whole, streamed):
        blocks = [{k: v for k, v in one.items() if k not in ("index", "id")} for one in message.content_blocks]
        assert blocks[:3] == [
            {"type": "reasoning", "reasoning": "Let me think.", "extras": {"signature": "sig-1"}},
            {"type": "reasoning", "reasoning": "Again."},
            {"type": "text", "text": "It is 41."},
        ]
        assert [(one["id"], one["args"]) for one in message.tool_calls] == [("c-1", {"a": 1}), ("c-2", {"a": 2})]
        assert message.usage_metadata == {
            "input_tokens": 30,
            "output_tokens": 12,
            "total_tokens": 42,
            "input_token_details": {"cache_read": 8, "cache_creation": 4},
            "output_token_details": {"reasoning": 5},
        }
        assert message.response_metadata["finish_reason"] == "stop"
        assert message.response_metadata["model_name"] == "scripted"
        assert message.response_metadata["request_id"] == "r-1"
        assert message.response_metadata["cost_micro_usd"] == 210
        (back,) = to_ours([message])
        assert back.thoughts == (Thought(text="Let me think.", signature="sig-1"), Thought(text="Again."))
        assert [one.signature for one in back.tool_calls] == ["sig-2", ""]


async def test_a_stream_that_is_left_stops_the_model() -> None:
    model = Scripted("s", ["one", "two", 60.0, "three", DONE])
    stream: Any = SourcebookChatModel(model=model).astream("Hi")
    async for _ in stream:
        break
    await stream.aclose()
    for _ in range(100):
        if not model.running:
            break
        await asyncio.sleep(0.001)
    assert (model.running, model.stopped) == (0, 1)


def test_a_blocking_stream_that_is_left_stops_the_model() -> None:
    model = Scripted("s", ["one", "two", 60.0, "three", DONE])
    stream: Any = SourcebookChatModel(model=model).stream("Hi")
    assert next(stream).text == "one"
    stream.close()
    assert (model.running, model.stopped) == (0, 1)


def test_a_reply_whose_beginning_is_withdrawn_is_no_reply() -> None:
    switched = Switched(before="a", after="b", reason="it stalled", kept=0)
    chat = SourcebookChatModel(model=Scripted("s", ["One", switched, "Another", DONE]))
    with pytest.raises(ours.Interrupted, match="b begins anew"):
        list(chat.stream("Hi"))
    kept = Scripted("s", ["One", Switched(before="a", after="b", reason="it stalled", kept=3), " more", DONE])
    message = SourcebookChatModel(model=kept).invoke("Hi")
    assert message.text == "One more"
    assert message.response_metadata["switched"] == ["a -> b: it stalled"]


ERRORS = [
    one
    for one in vars(ours).values()
    if isinstance(one, type) and issubclass(one, ModelError) and one not in (ModelError, ours.Transient, ours.Terminal)
]


@pytest.mark.parametrize("kind", ERRORS)
def test_errors_are_ours_and_theirs(kind: type[ModelError]) -> None:
    error = kind("It went wrong", remedy="Mend it", provider="p", status=418, request_id="r", text="half")
    with pytest.raises(kind) as caught:
        SourcebookChatModel(model=Scripted("s", [error]), max_retries=0).invoke("Hi")
    assert isinstance(caught.value, theirs.ModelError)
    assert str(caught.value) == str(error)
    assert (caught.value.status, caught.value.request_id, caught.value.text) == (418, "r", "half")
    assert type(caught.value).__name__ == kind.__name__
    again = pickle.loads(pickle.dumps(caught.value))
    assert (type(again), again.args, again.__dict__) == (type(caught.value), caught.value.args, caught.value.__dict__)
    if caught.value.is_retryable:
        assert kind.transient


def test_the_window_that_is_too_short_is_what_langchain_waits_for() -> None:
    assert isinstance(as_theirs(ours.ContextTooLong("x")), theirs.ContextOverflowError)
    assert isinstance(as_theirs(ours.RateLimited("x")), theirs.ModelRateLimitError)


# --- schemas --------------------------------------------------------------------------------------------------------


class Place(BaseModel):
    """A place."""

    name: str
    inhabitants: int


def test_a_schema_is_asked_for_as_the_model_can() -> None:
    model = a_model()
    assert SourcebookChatModel(model=model).with_structured_output(Place).invoke("Hi") == Place(
        name="some name", inhabitants=4
    )
    assert model.requests[0].schema is not None
    assert model.requests[0].schema["required"] == ["name", "inhabitants"]
    model = a_model(can=Capabilities(tools=True))
    assert SourcebookChatModel(model=model).with_structured_output(Place).invoke("Hi") == Place(
        name="some name", inhabitants=4
    )
    assert model.requests[0].schema is None
    assert (model.requests[0].tools[0].name, model.requests[0].tool_choice) == ("Place", "required")


def test_a_schema_of_no_name_and_the_raw_reply() -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    chat = SourcebookChatModel(model=a_model())
    got = chat.with_structured_output(schema, include_raw=True).invoke("Hi")
    assert isinstance(got, dict)
    assert got["parsed"] == {"city": "서울"}
    assert isinstance(got["raw"], AIMessage)
    broken = SourcebookChatModel(model=Scripted("s", ["no JSON", DONE], capabilities=Capabilities(schema=True)))
    got = broken.with_structured_output(Place, include_raw=True).invoke("Hi")
    assert isinstance(got, dict)
    assert got["parsed"] is None
    assert got["parsing_error"] is not None


# --- over loops and vendors -----------------------------------------------------------------------------------------


async def test_a_model_by_its_url_from_any_loop(vendor: Vendor) -> None:
    chat = SourcebookChatModel(model=f"{vendor.url}/v1?model=m-1", max_tokens=20)
    assert (await chat.ainvoke("Hi")).text == "The lighthouse was built in 1873."
    assert (await asyncio.to_thread(chat.invoke, "Hi")).text == "The lighthouse was built in 1873."
    pieces = [chunk.text async for chunk in chat.astream("Hi") if chunk.text]
    assert pieces == await asyncio.to_thread(lambda: [chunk.text for chunk in chat.stream("Hi") if chunk.text])
    assert pieces == ["The lighthouse", " was built", " in 1873."]
    assert len(await chat.abatch(["a", "b", "c"])) == 3
    assert vendor.seen[0].body["messages"] == [{"role": "user", "content": "Hi"}]
    await chat.ainvoke("Hi", model=f"{vendor.url}/v1?model=m-2")
    assert [one.body["model"] for one in vendor.seen][-2:] == ["m-1", "m-2"]
    chat.close()


async def test_cancelling_stops_the_vendor(vendor: Vendor) -> None:
    vendor.say(Reply(stall_after=5))
    chat = SourcebookChatModel(model=f"{vendor.url}/v1?model=m-1", max_retries=0)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await chat.ainvoke("Hi")
    chat.close()
    for _ in range(200):
        if not vendor.open:
            break
        await asyncio.sleep(0.005)
    assert not vendor.open


async def test_a_books_model_is_in_its_ledger_until_the_book_closes(vendor: Vendor, tmp_path: Path) -> None:
    config = Config(parts=Parts(embed="hashing", index="flat", model=f"{vendor.url}/v1?model=m-1"))
    opened = await asyncio.to_thread(lambda: open_book(tmp_path / "book", config=config))
    chat = SourcebookChatModel(model=opened, account="mia")
    assert (await chat.ainvoke("Hi")).text == "The lighthouse was built in 1873."
    assert (
        await asyncio.to_thread(lambda: "".join(one.text for one in chat.stream("Hi")))
        == "The lighthouse was built in 1873."
    )
    await asyncio.to_thread(opened.close)
    with closing(sqlite3.connect(tmp_path / "book" / "catalog.db")) as ledger:
        rows = ledger.execute("select account, purpose, outcome, input_tokens from usage").fetchall()
    assert rows == [("mia", "langchain", "finished", 11)] * 2
    for ask in (chat.invoke, lambda text: list(chat.stream(text))):
        with pytest.raises(ours.BookError, match="is closed"):
            ask("Hi")
    with pytest.raises(ours.BookError, match="is closed"):
        await chat.ainvoke("Hi")


async def test_retries_are_langchains_too() -> None:
    model = Scripted("s", [ours.RateLimited("slowly")], ["Hello", DONE])
    chat = SourcebookChatModel(model=model).with_retry(
        retry_if_exception_type=(theirs.ModelRateLimitError,), wait_exponential_jitter=False
    )
    assert (await chat.ainvoke("Hi")).text == "Hello"


# --- the book -------------------------------------------------------------------------------------------------------


def test_hits_are_documents(book: BlockingSourcebook) -> None:
    (document, *_) = SourcebookRetriever(book=book, k=2).invoke("When was the lighthouse built?")
    hit = book.search("When was the lighthouse built?", top=2)[0]
    assert document.page_content == hit.passage.text
    assert document.id == hit.passage.id
    known = document.metadata
    text, _ = book.show(known["source"])
    assert text[known["start"] : known["end"]] == document.page_content
    assert known["source"].endswith("lighthouse.md")
    assert (known["title"], known["document_version"], known["score"]) == ("The lighthouse", 1, hit.score)


async def test_a_retriever_heeds_scope_and_filter(book: BlockingSourcebook) -> None:
    retriever = SourcebookRetriever(book=book, scope=Scope(tenant="other"))
    assert await retriever.ainvoke("lighthouse") == []
    assert await retriever.ainvoke("lighthouse", scope=Scope())
    found = SourcebookRetriever(book=book, where="name in ('bread.md', 'ferry.md')").invoke("lighthouse")
    assert len(found) > 1
    assert all(one.metadata["source"].endswith(("bread.md", "ferry.md")) for one in found)


async def test_an_async_book_is_for_async_calls(book: BlockingSourcebook) -> None:
    with pytest.raises(ConfigError, match="Call ainvoke"):
        SourcebookRetriever(book=book.book).invoke("lighthouse")
    with pytest.raises(ConfigError, match="Call ainvoke"):
        SourcebookAnswers(book.book).invoke("lighthouse")


def test_a_chain_over_our_retriever_and_model(book: BlockingSourcebook) -> None:
    model = Scripted("s", script=lambda request: [request.messages[-1].text, DONE])
    prompt = ChatPromptTemplate.from_template("{passages}\n\n{question}")
    chain = (
        {
            "passages": SourcebookRetriever(book=book, k=1) | (lambda found: found[0].page_content),
            "question": RunnablePassthrough(),
        }
        | prompt
        | SourcebookChatModel(model=model)
        | StrOutputParser()
    )
    said = chain.invoke("When was the lighthouse built?")
    assert said == "".join(chain.stream("When was the lighthouse built?"))
    assert "built in 1873" in said
    assert said.endswith("When was the lighthouse built?")


async def test_a_book_answers_with_citations(book: BlockingSourcebook) -> None:
    ask = SourcebookAnswers(book)
    question = "When was the lighthouse on Gull Island built?"
    whole = ask.invoke(question)
    chunks = [one async for one in ask.astream({"question": question})]
    assert all(isinstance(one, AIMessageChunk) for one in chunks)
    streamed: Any = chunks[0]
    for chunk in chunks[1:]:
        streamed = streamed + chunk
    for message in (whole, streamed, await ask.ainvoke([HumanMessage(question)])):
        assert "1873" in message.text
        blocks: Any = message.content_blocks
        (block,) = blocks
        assert block["type"] == "text"
        (citation, *_) = block["annotations"]
        assert citation["type"] == "citation"
        text, _ = book.show(citation["url"])
        extras = citation["extras"]
        assert text[extras["start"] : extras["end"]] == citation["cited_text"]
        assert "1873" in message.text[citation["start_index"] : citation["end_index"]]
        assert message.response_metadata["known"] is True
    record = book.answer_record(whole.response_metadata["answer_id"])
    assert record["question"] == question


def test_a_book_says_what_it_does_not_know(book: BlockingSourcebook) -> None:
    answer = SourcebookAnswers(book).invoke("Who won the chess game in Oslo?")
    assert answer.response_metadata["known"] is False
    assert SourcebookAnswers(book, scope=Scope(tenant="other")).invoke("When was it built?").text == ""


def test_a_question_can_be_what_a_chain_makes(book: BlockingSourcebook) -> None:
    prompt = ChatPromptTemplate.from_template("When was the {thing} on Gull Island built?")
    assert "1873" in (prompt | SourcebookAnswers(book) | StrOutputParser()).invoke({"thing": "lighthouse"})
    with pytest.raises(ours.SourcebookError, match="is not a question"):
        SourcebookAnswers(book).invoke(7)


def test_an_agent_uses_our_model_and_our_book(book: BlockingSourcebook) -> None:
    agents = pytest.importorskip("langchain.agents")
    from langchain_core.tools import create_retriever_tool

    tool = create_retriever_tool(SourcebookRetriever(book=book, k=1), "look_up", "Passages for a question.")

    def script(request: Any) -> list[Any]:
        if request.messages[-1].role == "tool":
            return [TextPart(text=f"It says: {request.messages[-1].text}"), DONE]
        call = ToolCall(id="c-1", name="look_up", arguments='{"query": "When was the lighthouse built?"}')
        return [ToolCallPart(call=call), Finish(reason="tool_calls", usage=USAGE)]

    model = a_model(script)
    agent = agents.create_agent(SourcebookChatModel(model=model), [tool], system_prompt="Look it up.")
    messages = agent.invoke({"messages": [HumanMessage("When was the lighthouse built?")]})["messages"]
    assert isinstance(messages[2], ToolMessage)
    assert "1873" in messages[-1].text
    assert [one.role for one in model.requests[1].messages] == ["system", "user", "assistant", "tool"]


def test_an_agent_with_a_schema(book: BlockingSourcebook) -> None:
    agents = pytest.importorskip("langchain.agents")
    agent = agents.create_agent(SourcebookChatModel(model=a_model()), [], response_format=Place)
    done = agent.invoke({"messages": [HumanMessage("Where?")]})
    assert done["structured_response"] == Place(name="some name", inhabitants=4)


# --- whole or not at all ------------------------------------------------------------------------------------------

DUNE = {
    "title": "Dune",
    "type": "object",
    "required": ["name", "pages"],
    "properties": {"name": {"type": "string"}, "pages": {"type": "array", "items": {"type": "integer"}}},
}


class Dune(BaseModel):
    name: str
    pages: list[int] = []


@pytest.mark.parametrize("schema", [DUNE, Dune])
@pytest.mark.parametrize(
    ("said", "reason", "why"),
    [
        ('{"name": "Dune", "pages": [412, 13', "length", "cut off"),
        ('{"name": "Dune", "pages": [412, 13', "stop", "no JSON"),
        ('{"name": "Dune", "pages": [412, 13]}', "length", "cut off"),
        ('{"pages": [412]}', "stop", "schema|Failed to parse"),
        ('{"name": "Dune", "pages": ["many"]}', "stop", "schema|Failed to parse"),
    ],
)
def test_a_structured_reply_is_whole_or_an_error(schema: Any, said: str, reason: Any, why: str) -> None:
    model = Scripted("s", [said, Finish(reason=reason)], capabilities=Capabilities(schema=True))
    with pytest.raises(theirs.OutputParserException, match=why):
        SourcebookChatModel(model=model).with_structured_output(schema).invoke("Hi")


@pytest.mark.parametrize("said", ['{"name": "Dune", "pages": [412]}', '```json\n{"name": "Dune", "pages": [412]}\n```'])
def test_a_structured_reply_that_is_whole(said: str) -> None:
    model = Scripted("s", [said, DONE], capabilities=Capabilities(schema=True))
    chat = SourcebookChatModel(model=model)
    assert chat.with_structured_output(DUNE).invoke("Hi") == {"name": "Dune", "pages": [412]}
    assert chat.with_structured_output(Dune).invoke("Hi") == Dune(name="Dune", pages=[412])


def test_a_whole_answer_is_what_holds_in_the_end(tmp_path: Path) -> None:
    switched = Switched(before="a", after="b", reason="it broke off", kept=0)
    found = (
        TextPart(text="The tower is very tall indeed. It also"),
        switched,
        TextPart(text="The lighthouse was built in 1873 [1]."),
        DONE,
    )
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "light.md").write_text("# Light\n\nThe lighthouse was built in 1873.\n")
    with open_book(tmp_path / "book", config=Config(parts=Parts(embed="hashing", index="flat"))) as opened:
        opened.add(docs)
        opened.sync()
        opened.book.model = Scripted("s", list(found))
        answer = SourcebookAnswers(opened).invoke("When was the lighthouse built?")
        assert answer.text == "The lighthouse was built in 1873."
        blocks: list[Any] = list(answer.content_blocks)
        (annotation,) = [one for block in blocks for one in block.get("annotations", ())]
        assert (annotation["start_index"], annotation["end_index"]) == (0, len(answer.text))
        with pytest.raises(ours.Interrupted):
            list(SourcebookAnswers(opened).stream("When was the lighthouse built?"))
