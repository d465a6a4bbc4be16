"""OpenAI responses: the suite, and what is particular to the format."""

import json
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest

from sourcebook.errors import ConfigError, InvalidReply, RateLimited, Refused, Unavailable
from sourcebook.models.base import Finish, Message, ReasoningPart, TextPart, Thought, complete
from sourcebook.models.formats.openai_responses import OpenAIResponses, azure
from sourcebook.models.wire import Frame, Target, WireFormat
from sourcebook.testing.doubles import Double, Reply, Seen
from sourcebook.testing.wire import ASKED, WEATHER, WireSuite
from tests.models.doubles.openai_responses import ENCRYPTED, OpenAIResponsesDouble


class TestOpenAIResponses(WireSuite):
    model = "gpt-5.6"
    refuses = True
    samples = False
    in_stream = (Unavailable, RateLimited)

    def double(self) -> Double:
        return OpenAIResponsesDouble()

    def wire(self, target: Target) -> WireFormat:
        return OpenAIResponses(target)

    def target(self, url: str, key: str) -> Target:
        return replace(super().target(url, key), base=f"{url}/v1")

    @pytest.mark.parametrize("streamed", [True, False])
    async def test_reasoning_goes_back_encrypted(self, streamed: bool) -> None:
        reply = Reply(thoughts=("It says", " 1873."))
        asked = replace(ASKED, reasoning="high", streamed=streamed)
        async with self.both(reply, Reply()) as (double, model):
            done = await complete(model, asked)
            [thought] = done.thoughts
            assert ENCRYPTED in thought.signature
            turn = Message(role="assistant", text=done.text, thoughts=done.thoughts)
            await complete(model, replace(asked, messages=(*ASKED.messages, turn, ASKED.messages[-1])))
            body = double.seen[-1].body
        assert body["store"] is False
        assert body["include"] == ["reasoning.encrypted_content"]
        summary = [{"type": "summary_text", "text": "It says 1873."}]
        wanted = {"type": "reasoning", "id": "rs_1", "summary": summary, "encrypted_content": ENCRYPTED}
        assert body["input"][2] == wanted
        assert body["input"][3]["role"] == "assistant"

    async def test_thoughts_of_others_stay_here(self) -> None:
        signatures = ("EqoBCkgIARAB", "", "openai:vendor:gpt-5:rs_1:x", "openai:another:gpt-5.6:rs_1:x")
        thoughts = tuple(Thought(text="Hm", signature=one) for one in signatures)
        turn = Message(role="assistant", text="1873.", thoughts=thoughts)
        async with self.both() as (double, model):
            await complete(model, replace(ASKED, messages=(*ASKED.messages, turn, ASKED.messages[-1])))
            assert [one.get("type") for one in double.seen[-1].body["input"]] == [None] * 4

    @pytest.mark.parametrize("streamed", [True, False])
    async def test_stop_sequences_are_kept_here(self, streamed: bool) -> None:
        asked = replace(ASKED, stop=("STOP",), streamed=streamed)
        async with self.both(Reply(pieces=("One", ". S", "TO", "P Two", ". Three"))) as (_, model):
            done = await complete(model, asked)
        assert done.text == "One. "
        assert done.finish.reason == "stop"
        assert done.finish.usage.exact != streamed
        async with self.both(Reply(pieces=("One", ". S", "TO"))) as (_, model):
            assert (await complete(model, asked)).text == "One. STO"

    async def test_stopping_here_stops_the_vendor(self) -> None:
        pieces = ("word", "STOP", *("more ",) * 500)
        async with self.both(Reply(pieces=pieces, pause=0.01)) as (double, model):
            async with aclosing(model.stream(replace(ASKED, stop=("STOP",)))) as events:
                assert [type(one) async for one in events] == [TextPart, Finish]
            assert double.account[0].delivered < 50


class TestAModelThatDoesNotReason(TestOpenAIResponses):
    model = "gpt-4o"
    samples = True
    test_reasoning_goes_back_encrypted = None  # type: ignore[assignment]


def read(*events: dict[str, object]) -> list[object]:
    reader = OpenAIResponses(Target(provider="vendor", base="", model="gpt-5")).reader(ASKED)
    return [one for event in events for one in reader.feed(Frame(data=json.dumps(event)))]


def test_a_response_that_failed() -> None:
    for code, kind in (("server_error", Unavailable), ("rate_limit_exceeded", RateLimited)):
        response = {"status": "failed", "error": {"code": code, "message": "Oh."}}
        with pytest.raises(kind):
            read({"type": "response.failed", "response": response})
    with pytest.raises(Refused):
        read({"type": "error", "code": "content_policy_violation", "message": "No.", "param": None})
    with pytest.raises(Unavailable):
        read({"type": "error", "error": {"type": "server_error", "message": "Oh."}})
    with pytest.raises(InvalidReply):
        read({"type": "response.completed", "response": {"status": "queued"}})


def test_a_response_that_failed_is_charged_all_the_same() -> None:
    reader = OpenAIResponses(Target(provider="vendor", base="", model="gpt-5")).reader(ASKED)
    usage = {"input_tokens": 9, "output_tokens": 3}
    response = {"status": "failed", "error": {"code": "server_error", "message": "Oh."}, "usage": usage}
    with pytest.raises(Unavailable):
        list(reader.feed(Frame(data=json.dumps({"type": "response.failed", "response": response}))))
    assert (reader.usage.input_tokens, reader.usage.output_tokens) == (9, 3)


def test_the_double_finds_fault() -> None:
    asked = json.loads(OpenAIResponses(Target(provider="openai", base="", model="gpt-5")).call(ASKED).body)

    def wrong(**changed: Any) -> str:
        seen = Seen(method="POST", path="/", headers={}, query={}, body={**asked, **changed}, raw=b"")
        return OpenAIResponsesDouble().check(seen)

    assert not wrong()
    assert wrong(input=[{"role": "user", "content": "x", "bogus": 1}])
    assert "top_p" in wrong(top_p=0.5)
    assert "none" in wrong(reasoning={"effort": "none"})


def test_a_refusal_is_filtered() -> None:
    *text, finish = read(
        {"type": "response.refusal.delta", "delta": "I cannot"},
        {"type": "response.completed", "response": {"status": "completed"}},
    )
    assert text == [TextPart(text="I cannot")]
    assert isinstance(finish, Finish)
    assert finish.reason == "filtered"


def test_several_summaries_are_paragraphs_and_open_reasoning_is_shown() -> None:
    delta = "response.reasoning_summary_text.delta"
    assert read(
        {"type": "response.reasoning_summary_part.added", "summary_index": 0},
        {"type": delta, "item_id": "rs_1", "delta": "One"},
        {"type": "response.reasoning_summary_part.added", "summary_index": 1},
        {"type": delta, "item_id": "rs_1", "delta": "Two"},
        {"type": "response.reasoning_text.delta", "item_id": "rs_2", "delta": "Three"},
    ) == [ReasoningPart(text=one) for one in ("One", "\n\n", "Two", "Three")]


def test_a_call_that_was_cut_off_is_not_run() -> None:
    item = {"type": "function_call", "call_id": "c", "name": "weather", "arguments": "", "status": "incomplete"}
    over = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    [finish] = read(
        {"type": "response.output_item.done", "item": item}, {"type": "response.incomplete", "response": over}
    )
    assert isinstance(finish, Finish)
    assert finish.reason == "length"


@pytest.mark.parametrize(
    ("model", "options", "reasons", "keeps"),
    [
        ("gpt-4o", {}, False, False),
        ("o4-mini", {}, True, False),
        ("gpt-5", {}, True, False),
        ("gpt-5-chat-latest", {}, False, False),
        ("gpt-5.6", {}, True, True),
        ("ft:gpt-4o:mine", {}, False, False),
        ("my-deployment", {"reasons": "true", "keeps": "true"}, True, True),
    ],
)
def test_what_a_model_can_is_known_or_told(model: str, options: dict[str, str], reasons: bool, keeps: bool) -> None:
    wire = OpenAIResponses(Target(provider="openai", base="", model=model, options=options))
    assert ("include" in json.loads(wire.call(ASKED).body)) == reasons
    assert wire.capabilities.caches == keeps


def test_an_option_that_is_neither() -> None:
    with pytest.raises(ConfigError, match="reasons='maybe'"):
        OpenAIResponses(Target(provider="openai", base="", model="m", options={"reasons": "maybe"}))


def test_azure() -> None:
    call = azure(Target(provider="azure", base="https://x.openai.azure.com", model="mine", key="k")).call(ASKED)
    assert call.url == "https://x.openai.azure.com/openai/v1/responses"
    assert call.headers["api-key"] == "k"
    assert "Authorization" not in call.headers


# --- the vendor's SDK on the double -----------------------------------------------------------------------------


async def test_the_sdk_understands_the_double() -> None:
    import openai

    from sourcebook.models.base import ToolCall

    call = ToolCall(id="call_1", name="weather", arguments='{"city": "Bergen"}')
    tool = {
        "type": "function",
        "name": "weather",
        "description": "",
        "parameters": dict(WEATHER.parameters),
        "strict": False,
    }
    async with OpenAIResponsesDouble() as double:
        base = f"{double.url}/v1"
        client: Any
        async with openai.AsyncOpenAI(api_key=double.key, base_url=base, max_retries=0) as client:
            plain = await client.responses.create(model="gpt-5", input="Hello", max_output_tokens=64)
            assert plain.output_text == Reply().text
            assert plain.usage is not None
            assert plain.usage.output_tokens == 7
            double.say(Reply(thoughts=("So",), tool_calls=(call,), finish="tool_calls"))
            stream = await client.responses.create(
                model="gpt-5",
                input="Hello",
                stream=True,
                tools=[tool],
            )
            events = [one async for one in stream]
            text = "".join(one.delta for one in events if one.type == "response.output_text.delta")
            assert text == Reply().text
            last = events[-1]
            assert last.type == "response.completed"
            assert [one.type for one in last.response.output] == ["reasoning", "message", "function_call"]
            async with client.responses.stream(model="gpt-5", input="Hello") as accumulated:
                assert (await accumulated.get_final_response()).output_text == Reply().text
        async with openai.AsyncOpenAI(api_key="wrong", base_url=base, max_retries=0) as client:
            with pytest.raises(openai.AuthenticationError) as caught:
                await client.responses.create(model="gpt-5", input="Hello")
            assert caught.value.request_id
