"""Cohere chat: the suite, the vendor's SDK and published schema, and what is particular."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from sourcebook.errors import (
    ContextTooLong,
    InvalidRequest,
    NoSuchModel,
    NotAuthorised,
    QuotaExhausted,
    RateLimited,
    Refused,
    Unavailable,
)
from sourcebook.models.base import (
    Finish,
    Message,
    ReasoningPart,
    TextPart,
    Thought,
    Tool,
    ToolCall,
    ToolCallPart,
    complete,
)
from sourcebook.models.formats.cohere import Cohere
from sourcebook.models.wire import Frame, Target, WireFormat
from sourcebook.testing.doubles import REQUEST_ID, Double, Fault, Reply, Seen, sse
from sourcebook.testing.wire import ASKED, BUILT, WEATHER, WireSuite
from tests.models.doubles.checking import SPECS, breaks, component, needs_specs, openapi
from tests.models.doubles.cohere import CohereDouble

if TYPE_CHECKING:
    import cohere

SPEC = "cohere/cohere-openapi.yaml"


class TestCohere(WireSuite):
    model = "command-a-plus"
    thinking = False  # its usage does not tell
    reasons = ("length",)

    def double(self) -> Double:
        return CohereDouble()

    def wire(self, target: Target) -> WireFormat:
        return Cohere(target)


class Planning(CohereDouble):
    planned = True


class TestAModelThatPlans(TestCohere):
    def double(self) -> Double:
        return Planning()


class TestAnOlderModel(TestCohere):
    model = "command-r-08-2024"

    def test_what_it_cannot_do(self) -> None:
        capabilities = self.wire(self.target("http://x", "k")).capabilities
        assert not capabilities.images
        assert not capabilities.reasoning
        assert capabilities.tools


class TestRequests:
    def test_the_least(self) -> None:
        assert body() == {
            "model": "command-a-plus",
            "messages": [{"role": one.role, "content": one.text} for one in ASKED.messages],
            "max_tokens": 64,
            "stream": True,
        }

    def test_one_tool_that_must_be_called_is_the_only_one(self) -> None:
        other = Tool(name="other", description="d", parameters=BUILT)
        sent = body(tools=(WEATHER, other), tool_choice="other")
        assert [one["function"]["name"] for one in sent["tools"]] == ["other"]
        assert sent["tool_choice"] == "REQUIRED"

    def test_a_schema_with_tools_is_a_tool(self) -> None:
        sent = body(tools=(WEATHER,), schema=BUILT)
        assert [one["function"]["name"] for one in sent["tools"]] == ["weather", "reply"]
        assert "response_format" not in sent

    @pytest.mark.parametrize("streamed", [True, False])
    @pytest.mark.parametrize("tools", [(), (WEATHER,)])
    async def test_a_schema_with_tools_is_answered(self, streamed: bool, tools: tuple[Tool, ...]) -> None:
        asked = replace(ASKED, tools=tools, streamed=streamed, schema={"type": "array", "items": {"type": "integer"}})
        async with TestCohere().both(Reply(pieces=('{"reply": [1873', "]}"))) as (_, model):
            done = await complete(model, asked)
        assert json.loads(done.text) == [1873]
        assert done.finish.reason == "stop"

    @pytest.mark.parametrize("streamed", [True, False])
    async def test_an_object_with_tools_is_streamed(self, streamed: bool) -> None:
        asked = replace(ASKED, tools=(WEATHER,), streamed=streamed, schema=BUILT)
        async with TestCohere().both(Reply(pieces=('{"year": 1873', "}"))) as (_, model):
            assert json.loads((await complete(model, asked)).text) == {"year": 1873}

    def test_thinking(self) -> None:
        assert body(reasoning="low", max_output_tokens=800)["thinking"] == {"type": "enabled", "token_budget": 600}
        assert body(reasoning="none")["thinking"] == {"type": "disabled"}

    def test_top_p_within_the_range(self) -> None:
        assert body(top_p=1.0)["p"] == 0.99

    def test_a_turn_goes_back_with_its_plan_and_its_thoughts(self) -> None:
        turn = Message(
            role="assistant",
            tool_calls=(ToolCall(id="a", name="weather", arguments=""),),
            thoughts=(
                Thought(text="I plan", signature="tool_plan"),
                Thought(text="Hm"),
                Thought(text="no", signature="another vendor's"),
            ),
        )
        results = (Message(role="tool", tool_call_id="a", text="No such city", failed=True),)
        sent = body(messages=(*ASKED.messages, turn, *results))["messages"]
        assert sent[2] == {
            "role": "assistant",
            "content": [{"type": "thinking", "thinking": "Hm"}],
            "tool_plan": "I plan",
            "tool_calls": [{"id": "a", "type": "function", "function": {"name": "weather", "arguments": "{}"}}],
        }
        assert sent[3] == {"role": "tool", "tool_call_id": "a", "content": '{"error":"No such city"}'}


class TestReplies:
    async def test_more_stop_sequences_than_are_taken(self) -> None:
        async with TestCohere().both(Reply(pieces=("One", "SI", "XTwo"))) as (double, model):
            done = await complete(model, replace(ASKED, stop=("A1", "B2", "C3", "D4", "E5", "SIX")))
            assert double.seen[-1].body["stop_sequences"] == ["A1", "B2", "C3", "D4", "E5"]
        assert (done.text, done.finish.reason) == ("One", "stop")

    async def test_a_plan_comes_back_as_one(self) -> None:
        calls = (ToolCall(id="a", name="weather", arguments="{}"),)
        for streamed in (True, False):
            async with TestAModelThatPlans().both(
                Reply(thoughts=("I will", " look"), pieces=(), tool_calls=calls, finish="tool_calls")
            ) as (_, model):
                done = await complete(model, replace(ASKED, tools=(WEATHER,), streamed=streamed))
            assert done.thoughts == (Thought(text="I will look", signature="tool_plan"),)

    @pytest.mark.parametrize(
        ("status", "message", "kind"),
        [
            (429, "You are using a Trial key, which is limited to 20 API calls / minute.", RateLimited),
            (429, "You are using a Trial key, which is limited to 1000 API calls / month.", QuotaExhausted),
            (499, "request cancelled", Unavailable),
            (498, "deny-listed token", Refused),
            (402, "Please add or update your payment method", QuotaExhausted),
        ],
    )
    def test_errors(self, status: int, message: str, kind: type[Exception]) -> None:
        said = json.dumps({"id": "the id", "message": message}).encode()
        error = wire().failure(status, {"retry-after": "3"}, said)
        assert type(error) is kind
        assert (error.status, error.request_id, error.retry_after) == (status, "the id", 3.0)

    def test_a_reply_that_was_given_up_is_charged_all_the_same(self) -> None:
        reader = wire().reader(ASKED)
        usage = {"billed_units": {"input_tokens": 9, "output_tokens": 3}}
        for delta in ({"finish_reason": "ERROR", "usage": usage}, {"error": "Oh", "usage": usage}):
            with pytest.raises(Unavailable):
                list(reader.feed(Frame(data=json.dumps({"type": "message-end", "delta": delta}))))
            assert (reader.usage.input_tokens, reader.usage.output_tokens) == (9, 3)


def wire() -> Cohere:
    return Cohere(Target(provider="vendor", base="http://x", model="command-a-plus", key="k"))


def body(**asked: Any) -> Any:
    return json.loads(wire().call(replace(ASKED, **asked)).body)


# --- the published schema -----------------------------------------------------------------------------------


@needs_specs
def test_requests_are_as_published() -> None:
    operation = openapi(SPEC)["paths"]["/v2/chat"]["post"]
    wanted = operation["requestBody"]["content"]["application/json"]["schema"]
    for asked in EVERY_REQUEST:
        assert not breaks(openapi(SPEC), wanted, body(**asked))
    assert breaks(openapi(SPEC), wanted, {**body(), "max_tokens": "many"})


EVERY_REQUEST: tuple[dict[str, Any], ...] = (
    {},
    {"temperature": 0.2, "top_p": 0.9, "seed": 7, "stop": ("x",), "logprobs": True, "reasoning": "low"},
    {"tools": (WEATHER,), "tool_choice": "required"},
    {"tools": (WEATHER,), "tool_choice": "none", "schema": BUILT},
    {"schema": BUILT},
    {
        "messages": (
            Message(role="user", text="x"),
            Message(
                role="assistant",
                tool_calls=(ToolCall(id="a", name="w", arguments="{}"),),
                thoughts=(Thought(text="t"),),
            ),
            Message(role="tool", tool_call_id="a", text="y"),
        )
    },
)


@needs_specs
def test_replies_are_as_published() -> None:
    calls = (ToolCall(id="a", name="weather", arguments="{}"),)
    seen = Seen(method="POST", path="/", headers={}, query={}, body={"stream": True}, raw=b"")
    for double in (CohereDouble(), Planning()):
        for reply in (Reply(), Reply(thoughts=("a",)), Reply(tool_calls=calls, finish="tool_calls")):
            assert not breaks(openapi(SPEC), component("ChatResponseV2"), json.loads(double.whole(reply, seen)))
            for event in double.streamed(reply, seen):
                said = json.loads(event.decode().split("data: ", 1)[1])
                kind = EVENTS[said["type"]]
                assert not breaks(openapi(SPEC), component(kind), said)


EVENTS = {
    "message-start": "ChatMessageStartEvent",
    "content-start": "ChatContentStartEvent",
    "content-delta": "ChatContentDeltaEvent",
    "content-end": "ChatContentEndEvent",
    "tool-plan-delta": "ChatToolPlanDeltaEvent",
    "tool-call-start": "ChatToolCallStartEvent",
    "tool-call-delta": "ChatToolCallDeltaEvent",
    "tool-call-end": "ChatToolCallEndEvent",
    "message-end": "ChatMessageEndEvent",
}


EXAMPLES = SPECS / "cohere" / "examples" / "responses" / "chat-v2-post"


def example(name: str) -> Any:
    import yaml

    return yaml.safe_load((EXAMPLES / name).read_text())


def read(pieces: Iterable[bytes]) -> list[Any]:
    reader = wire().reader(ASKED)
    framing = reader.framing("text/event-stream")
    events = [event for piece in pieces for frame in framing.feed(piece) for event in reader.feed(frame)]
    return [*events, *reader.end()]


@needs_specs
@pytest.mark.parametrize(
    ("name", "tokens"),
    [
        ("stream.yaml", (5, 26)),
        ("stream-tools.yaml", (126, 84)),
        ("stream-documents.yaml", None),
        ("stream-image.yaml", None),
    ],
)
def test_the_vendors_own_streams(name: str, tokens: tuple[int, int] | None) -> None:
    """Published recordings, read whole and cut short."""
    said = example(name)["stream"]
    recorded = b"".join(sse(one["data"], one["event"]) for one in said)
    events = read([recorded])
    end = events[-1]
    assert isinstance(end, Finish)
    assert end.request_id == said[0]["data"]["id"]
    if tokens:
        assert (end.usage.input_tokens, end.usage.output_tokens) == tokens
    if "tools" in name:
        calls = [one.call for one in events if isinstance(one, ToolCallPart)]
        assert [one.name for one in calls] == ["query_daily_sales_report", "query_product_catalog"]
        assert json.loads(calls[1].arguments) == {"category": "Electronics"}
        assert end.reason == "tool_calls"
        assert "".join(one.text for one in events if isinstance(one, ReasoningPart)).startswith("I will use the query")
    else:
        assert "".join(one.text for one in events if isinstance(one, TextPart))
    for cut in range(1, len(recorded), max(1, len(recorded) // 40)):
        some = read([recorded[:cut]])
        assert some == events or (some == events[: len(some)] and not any(isinstance(one, Finish) for one in some))


@needs_specs
@pytest.mark.parametrize("name", ["default.yaml", "tools.yaml", "documents.yaml", "image.yaml"])
def test_the_vendors_own_replies(name: str) -> None:
    said = example(name)["body"]
    events = list(wire().reader(ASKED).feed(Frame(event="reply", data=json.dumps(said))))
    assert isinstance(events[-1], Finish)
    assert events[-1].usage.output_tokens == said["usage"]["billed_units"]["output_tokens"]
    texts = [one["text"] for one in said["message"].get("content") or () if one["type"] == "text"]
    assert "".join(one.text for one in events if isinstance(one, TextPart)) == "".join(texts)
    if name == "tools.yaml":
        assert len([one for one in events if isinstance(one, ToolCallPart)]) == 2


def test_the_double_finds_fault() -> None:
    def wrong(**changed: Any) -> str:
        sent = {**body(), **changed}
        return CohereDouble().check(Seen(method="POST", path="/", headers={}, query={}, body=sent, raw=b""))

    assert not wrong()
    assert wrong(max_output_tokens=7)
    assert wrong(messages=[{"role": "user", "text": "x"}])
    assert wrong(messages=[{"role": "user", "content": "x", "keep": True}])
    assert wrong(messages=[{"role": "tool", "tool_call_id": "z", "content": "x"}])
    assert wrong(response_format={"type": "json_schema"})
    assert wrong(p=1.0)


# --- the vendor's own SDK -----------------------------------------------------------------------------------


class TestTheSdk:
    def client(self, double: Double) -> cohere.AsyncClientV2:
        sdk = pytest.importorskip("cohere")
        client: cohere.AsyncClientV2 = sdk.AsyncClientV2(api_key=double.key, base_url=double.url)
        return client

    async def test_a_reply(self) -> None:
        async with CohereDouble() as double, self.client(double) as client:
            double.say(Reply(thoughts=("So",), logprobs=(-0.1, -0.2, -0.3)))
            done = await client.chat(model="m", messages=[{"role": "user", "content": "x"}])
        assert done.finish_reason == "COMPLETE"
        assert done.message.content is not None
        assert [one.type for one in done.message.content] == ["thinking", "text"]
        assert done.usage is not None
        assert done.usage.billed_units is not None
        assert done.usage.billed_units.input_tokens == 11

    async def test_a_stream_with_tools(self) -> None:
        calls = (ToolCall(id="a", name="weather", arguments='{"city": "Bergen"}'),)
        async with CohereDouble() as double, self.client(double) as client:
            double.say(Reply(thoughts=("So",), tool_calls=calls, finish="tool_calls"))
            text, arguments, kinds = "", "", []
            async for event in client.chat_stream(model="m", messages=[{"role": "user", "content": "x"}]):
                said: Any = event
                kinds.append(said.type)
                if said.type == "content-delta":
                    text += said.delta.message.content.text or ""
                if said.type == "tool-call-delta":
                    arguments += said.delta.message.tool_calls.function.arguments
        assert text == Reply().text
        assert json.loads(arguments) == {"city": "Bergen"}
        assert (kinds[0], kinds[-1]) == ("message-start", "message-end")

    @pytest.mark.parametrize(
        ("kind", "theirs"),
        [
            (NotAuthorised, "UnauthorizedError"),
            (NoSuchModel, "NotFoundError"),
            (ContextTooLong, "BadRequestError"),
            (InvalidRequest, "UnprocessableEntityError"),
            (RateLimited, "TooManyRequestsError"),
        ],
    )
    async def test_errors(self, kind: Any, theirs: str) -> None:
        import cohere

        async with CohereDouble() as double, self.client(double) as client:
            double.say(Fault(error=kind))
            with pytest.raises(getattr(cohere, theirs)) as caught:
                await client.chat(
                    model="m",
                    messages=[{"role": "user", "content": "x"}],
                    request_options={"max_retries": 0},
                )
        headers: Any = caught.value
        assert headers.headers["x-debug-trace-id"] == REQUEST_ID
