"""Anthropic messages: the suite over three generations of models, the vendor's SDK, and what is particular."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from sourcebook.errors import (
    ContextTooLong,
    InvalidRequest,
    ModelError,
    NoSuchModel,
    NotAuthorised,
    QuotaExhausted,
    RateLimited,
    Unavailable,
)
from sourcebook.models.base import Image, Message, ReasoningPart, Thought, Tool, ToolCall, complete
from sourcebook.models.formats.anthropic import Anthropic
from sourcebook.models.formats.schemas import closed_schema
from sourcebook.models.wire import Frame, Target, WireFormat
from sourcebook.testing.doubles import REQUEST_ID, Double, Fault, Reply, Seen
from sourcebook.testing.wire import ASKED, BUILT, WEATHER, WireSuite
from sourcebook.types import Usage
from tests.models.doubles.anthropic import SIGNATURE, AnthropicDouble
from tests.models.doubles.checking import breaks, component, needs_specs, openapi

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic


class TestAnthropic(WireSuite):
    """A model of the time when temperature, top_p and a begun reply were taken, and a schema only as a tool's."""

    model = "claude-sonnet-4-0"
    early_usage = True
    in_stream = (Unavailable, RateLimited)

    def double(self) -> Double:
        return AnthropicDouble()

    def wire(self, target: Target) -> WireFormat:
        return Anthropic(target)


class TestANewerModel(TestAnthropic):
    model = "claude-opus-4-7"
    samples = False


class TestAnotherServerOfTheFormat(TestAnthropic):
    model = "kimi-k3"


class TestSchemas:
    def test_a_new_model_is_held_to_the_schema(self) -> None:
        wanted = {**BUILT, "properties": {"year": {"type": "integer", "minimum": 1800, "description": "AD"}}}
        sent = body("claude-opus-5", schema=wanted)
        year = sent["output_config"]["format"]["schema"]["properties"]["year"]
        assert year == {"type": "integer", "description": "AD (minimum: 1800)"}

    def test_schemas_are_closed_all_the_way_down(self) -> None:
        inner = {"type": "object", "properties": {"a": {"type": "string", "pattern": "^x"}}}
        schema = {"type": "array", "items": {"oneOf": [inner, {"$ref": "#/$defs/b"}]}, "$defs": {"b": inner}}
        closed = closed_schema(schema)
        assert json.dumps(closed).count('"additionalProperties": false') == 2
        assert json.dumps(closed).count("pattern: ^x") == 2
        assert "oneOf" not in json.dumps(closed)

    @pytest.mark.parametrize("streamed", [True, False])
    async def test_a_list_by_way_of_a_tool(self, streamed: bool) -> None:
        schema = {"type": "array", "items": {"$ref": "#/$defs/year"}, "$defs": {"year": {"type": "integer"}}}
        suite = TestAnthropic()
        async with suite.both(Reply(pieces=('{"reply": [18', "73, 1901]}"))) as (double, model):
            done = await complete(model, replace(ASKED, schema=schema, streamed=streamed))
            assert double.seen[-1].body["tools"][-1]["input_schema"]["$defs"] == schema["$defs"]
        assert json.loads(done.text) == [1873, 1901]
        assert done.finish.reason == "stop"
        assert not done.tool_calls

    @pytest.mark.parametrize(
        "schema", [{"type": "object", "additionalProperties": {"type": "number"}}, {"type": "object"}]
    )
    def test_what_cannot_be_closed_is_the_input_of_a_tool(self, schema: dict[str, Any]) -> None:
        sent = body("claude-opus-4-6", schema=schema)
        assert "output_config" not in sent
        assert sent["tools"][-1]["input_schema"] == schema

    def test_a_tool_of_the_users_may_have_the_name_of_ours(self) -> None:
        sent = body("claude-opus-4-0", schema=BUILT, tools=(replace(WEATHER, name="reply"),))
        assert [one["name"] for one in sent["tools"]] == ["reply", "reply_2"]

    def test_other_tools_may_be_called_before_the_reply(self) -> None:
        assert body("claude-opus-4-0", schema=BUILT, tools=(WEATHER,))["tool_choice"] == {"type": "any"}
        assert body("claude-opus-4-0", schema=BUILT)["tool_choice"] == {"type": "tool", "name": "reply"}


class TestConversations:
    def test_results_of_a_turn_are_one_message_and_come_first(self) -> None:
        calls = tuple(ToolCall(id=f"call.{number}", name="weather", arguments="{}") for number in (1, 2))
        picture = Image(media_type="image/png", data=b"1")
        sent = body(
            "claude-opus-5",
            messages=(
                Message(role="user", text="Where does it rain?"),
                Message(role="assistant", tool_calls=calls, text=" "),
                Message(role="tool", tool_call_id="call.1", text="Rain"),
                Message(role="user", text="And quickly."),
                Message(role="tool", tool_call_id="call.2", text="", failed=True, images=(picture,)),
            ),
        )  # fmt: skip
        assert [one["role"] for one in sent["messages"]] == ["user", "assistant", "user"]
        assert [one["type"] for one in sent["messages"][1]["content"]] == ["tool_use", "tool_use"]  # blank text is out
        assert [one["type"] for one in sent["messages"][2]["content"]] == ["tool_result", "tool_result", "text"]
        assert sent["messages"][2]["content"][0]["tool_use_id"] == "call_1"  # in the characters that are taken
        assert sent["messages"][2]["content"][1]["is_error"] is True
        assert sent["messages"][2]["content"][1]["content"][0]["type"] == "image"

    def test_thoughts_go_back_with_their_signatures(self) -> None:
        thoughts = (
            Thought(text="So", signature="claude:claude-opus-5:sig"),
            Thought(text="", signature="claude-redacted:claude-opus-5:data"),
            Thought(text="another vendor's", signature="openai:x"),
            Thought(text="another model's", signature="claude:claude-opus-5-5:x"),
        )
        turn = Message(role="assistant", text="1873", thoughts=thoughts, keep=True)
        sent = body("claude-opus-5", messages=(*ASKED.messages, turn, Message(role="user", text="Sure?")))
        assert sent["messages"][1]["content"] == [
            {"type": "thinking", "thinking": "So", "signature": "sig"},
            {"type": "redacted_thinking", "data": "data"},
            {"type": "text", "text": "1873", "cache_control": {"type": "ephemeral"}},
        ]

    @pytest.mark.parametrize("more", [(), (Message(role="user", text="And quickly."),)])
    def test_no_thinking_in_a_turn_that_began_without(self, more: tuple[Message, ...]) -> None:
        call = ToolCall(id="c", name="weather", arguments="{}")
        theirs = Thought(text="t", signature="claude:claude-haiku-4-5:s")
        asked = (*ASKED.messages, Message(role="assistant", tool_calls=(call,), thoughts=(theirs,)))
        asked += (Message(role="tool", tool_call_id="c", text="Rain"), *more)
        sent = body("claude-sonnet-4-5", messages=asked, reasoning="low", max_output_tokens=4000)
        assert "thinking" not in sent

    def test_four_markers_at_most(self) -> None:
        some = tuple(Message(role=role, text="x", keep=True) for role in ("system", *("user", "assistant") * 4, "user"))
        written = json.dumps(body("claude-opus-5", messages=some))
        assert written.count("cache_control") == 4
        assert "cache_control" in json.dumps(body("claude-opus-5", messages=some)["system"])

    async def test_blanks_at_the_end_of_a_beginning_are_not_written_twice(self) -> None:
        begun = (*ASKED.messages, Message(role="assistant", text="The lighthouse was\n"))
        async with TestAnthropic().both(Reply(pieces=("\n", " built", " in 1873."))) as (double, model):
            done = await complete(model, replace(ASKED, messages=begun))
            assert double.seen[-1].body["messages"][-1]["content"][0]["text"] == "The lighthouse was"
        assert done.text == "built in 1873."


class TestReplies:
    @pytest.mark.parametrize("streamed", [True, False])
    async def test_a_blank_stop_sequence_is_kept_to_here(self, streamed: bool) -> None:
        """The vendor takes none that is blank."""
        asked = replace(ASKED, stop=("\n\n", "END"), streamed=streamed)
        async with TestAnthropic().both(
            Reply(pieces=("One.", "\n", "\nTwo.", "Three.")), Reply(pieces=("One.\n",))
        ) as (double, model):
            done = await complete(model, asked)
            assert double.seen[-1].body["stop_sequences"] == ["END"]
            assert (await complete(model, asked)).text == "One.\n"  # what was held back comes at the end
        assert (done.text, done.finish.reason) == ("One.", "stop")
        assert done.finish.usage.exact != streamed

    @pytest.mark.parametrize(
        ("kind", "error"),
        [
            ("overloaded_error", Unavailable),
            ("api_error", Unavailable),
            ("timeout_error", Unavailable),
            ("rate_limit_error", RateLimited),
            ("invalid_request_error", InvalidRequest),
            ("permission_error", NotAuthorised),
            ("not_found_error", NoSuchModel),
            ("billing_error", QuotaExhausted),
            ("request_too_large", ContextTooLong),
            ("a_new_error", Unavailable),
        ],
    )
    def test_errors_within_a_stream(self, kind: str, error: type[ModelError]) -> None:
        with pytest.raises(error) as caught:
            self._events({"type": "error", "error": {"type": kind, "message": "Oh"}})
        assert type(caught.value) is error

    def _events(self, *events: dict[str, Any]) -> list[Any]:
        reader = Anthropic(Target(provider="vendor", base="http://x", model="claude-opus-5")).reader(ASKED)
        return [one for event in events for one in reader.feed(Frame(data=json.dumps(event)))]

    def test_thoughts_that_are_not_shown(self) -> None:
        events = self._events(
            {"type": "content_block_start", "index": 0, "content_block": {"type": "redacted_thinking", "data": "xyz"}},
            {"type": "content_block_stop", "index": 0},
            {"type": "content_block_start", "index": 1, "content_block": {"type": "thinking", "thinking": ""}},
            {"type": "content_block_delta", "index": 1, "delta": {"type": "signature_delta", "signature": "s"}},
            {"type": "content_block_stop", "index": 1},
        )
        assert events == [
            ReasoningPart(text="", signature="claude-redacted:claude-opus-5:xyz"),
            ReasoningPart(text="", signature="claude:claude-opus-5:s"),
        ]

    @pytest.mark.parametrize(
        ("why", "reason"),
        [
            ("pause_turn", "length"),
            ("model_context_window_exceeded", "length"),
            ("stop_sequence", "stop"),
            ("new", "length"),
        ],
    )
    def test_reasons(self, why: str, reason: str) -> None:
        events = self._events({"type": "message_delta", "delta": {"stop_reason": why}}, {"type": "message_stop"})
        assert events[-1].reason == reason

    def test_a_call_that_was_cut_off_is_none(self) -> None:
        call = {"type": "tool_use", "id": "t", "name": "weather", "input": {}}
        events = self._events(
            {"type": "content_block_start", "index": 0, "content_block": call},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": '{"ci'}},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": "max_tokens"}},
            {"type": "message_stop"},
        )
        assert [one.reason for one in events] == ["length"]

    async def test_tokens_are_added_up(self) -> None:
        usage = Usage(input_tokens=100, output_tokens=9, cached_tokens=60, cache_write_tokens=30, counted_by="vendor")
        async with TestAnthropic().both(Reply(usage=usage)) as (_, model):
            assert (await complete(model, ASKED)).finish.usage == usage

    async def test_an_error_in_a_stream_names_the_request(self) -> None:
        async with TestAnthropic().both(Fault(error=RateLimited, after=1)) as (_, model):
            with pytest.raises(RateLimited) as caught:
                await complete(model, ASKED)
        assert caught.value.request_id == REQUEST_ID


def body(model: str, **asked: Any) -> Any:
    call = Anthropic(Target(provider="vendor", base="http://x/v1", model=model)).call(replace(ASKED, **asked))
    assert call.url == "http://x/v1/messages"
    return json.loads(call.body)


# --- the published schema -----------------------------------------------------------------------------------


SPEC = "anthropic/openapi.yaml"  # of the older version of the API, before output_config and adaptive thinking


@needs_specs
def test_requests_are_as_published() -> None:
    call = ToolCall(id="a", name="weather", arguments='{"city": "Bergen"}')
    turn = Message(
        role="assistant", tool_calls=(call,), thoughts=(Thought(text="x", signature="claude:claude-sonnet-4-0:s"),)
    )
    result = Message(role="tool", tool_call_id="a", text="Rain", failed=True, keep=True)
    picture = Message(role="user", text="And?", images=(Image(media_type="image/png", data=b"x"),))
    for asked in (
        {"temperature": 0.2, "top_p": 0.9, "stop": ("x",)},
        {"tools": (WEATHER,), "tool_choice": "required"},
        {"tools": (WEATHER,), "messages": (*ASKED.messages, turn, result, picture), "tool_choice": "weather"},
        {"schema": BUILT, "streamed": False},
        {"reasoning": "low", "max_output_tokens": 4096},
    ):
        assert not breaks(openapi(SPEC), component("CreateMessageParams"), body("claude-sonnet-4-0", **asked))
    assert breaks(openapi(SPEC), component("CreateMessageParams"), {**body("claude-sonnet-4-0"), "seed": 3})


@needs_specs
def test_replies_are_as_published() -> None:
    calls = (ToolCall(id="toolu_1", name="weather", arguments="{}"),)
    seen = Seen(method="POST", path="/", headers={}, query={}, body={"stream": True}, raw=b"")
    for reply in (
        Reply(),
        Reply(thoughts=("a",)),
        Reply(tool_calls=calls, finish="tool_calls"),
        Reply(finish="filtered"),
    ):
        assert not breaks(openapi(SPEC), component("Message"), json.loads(AnthropicDouble().whole(reply, seen)))
        for event in AnthropicDouble().streamed(reply, seen):
            said = json.loads(event.decode().split("data: ", 1)[1])
            if said["type"] != "ping":
                assert not breaks(openapi(SPEC), component("MessageStreamEvent"), said)
    _, _, refused = AnthropicDouble().refusal(Fault(), seen)
    assert not breaks(openapi(SPEC), component("ErrorResponse"), json.loads(refused))


# --- the vendor's own SDK -----------------------------------------------------------------------------------

QUESTION: Any = [{"role": "user", "content": [{"type": "text", "text": "When was it built?"}]}]


@pytest.fixture
def quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.mark.usefixtures("quiet")
class TestTheSdk:
    def client(self, double: Double) -> AsyncAnthropic:
        anthropic = pytest.importorskip("anthropic")
        client: AsyncAnthropic = anthropic.AsyncAnthropic(base_url=double.url, api_key=double.key, max_retries=0)
        return client

    async def test_a_reply(self) -> None:
        async with AnthropicDouble() as double, self.client(double) as client:
            double.say(Reply(thoughts=("So", " it was")))
            done = await client.messages.create(model="claude-opus-5", max_tokens=9, messages=QUESTION)
        assert [one.type for one in done.content] == ["thinking", "text"]
        assert done.stop_reason == "end_turn"
        assert done._request_id == REQUEST_ID
        assert (done.usage.input_tokens, done.usage.output_tokens) == (11, 7)

    async def test_a_stream_with_tools(self) -> None:
        calls = tuple(
            ToolCall(id=f"c{city}", name="weather", arguments=json.dumps({"city": city})) for city in ("A", "B")
        )
        tool: Any = {"name": "weather", "description": "d", "input_schema": WEATHER.parameters}
        async with AnthropicDouble() as double, self.client(double) as client:
            double.say(Reply(thoughts=("Hm",), tool_calls=calls, finish="tool_calls"))
            async with client.messages.stream(
                model="claude-opus-5", max_tokens=9, messages=QUESTION, tools=[tool]
            ) as stream:
                text = "".join([one async for one in stream.text_stream])
                done = await stream.get_final_message()
        assert text == Reply().text
        assert [one.input for one in done.content if one.type == "tool_use"] == [{"city": "A"}, {"city": "B"}]
        assert [one.signature for one in done.content if one.type == "thinking"] == [SIGNATURE]
        assert done.stop_reason == "tool_use"

    async def test_errors(self) -> None:
        import anthropic

        async with AnthropicDouble() as double, self.client(double) as client:
            double.say(Fault(error=RateLimited), Fault(error=Unavailable, after=1))
            with pytest.raises(anthropic.RateLimitError) as caught:
                await client.messages.create(model="claude-opus-5", max_tokens=9, messages=QUESTION)
            assert caught.value.request_id == REQUEST_ID
            with pytest.raises(anthropic.APIStatusError, match="Overloaded"):
                async with client.messages.stream(model="claude-opus-5", max_tokens=9, messages=QUESTION) as stream:
                    await stream.get_final_message()


def test_the_double_finds_fault() -> None:
    """A double that takes everything would prove nothing."""

    def wrong(**changed: Any) -> str:
        sent = {**body("claude-opus-5"), **changed}
        return AnthropicDouble().check(Seen(method="POST", path="/", headers={}, query={}, body=sent, raw=b""))

    text = {"type": "text", "text": "Hello"}
    assert not wrong()
    assert wrong(max_tokens="many")
    assert wrong(max_output_tokens=9)
    assert wrong(messages=[{"role": "user", "content": [{**text, "cachecontrol": {}}]}])
    assert wrong(messages=[{"role": "assistant", "content": [text]}])
    assert wrong(messages=[{"role": "user", "content": [text]}, {"role": "user", "content": [text]}])
    assert wrong(thinking={"type": "enabled", "budget_tokens": 9000})
    assert wrong(tools=[{"name": Tool.__name__}])
