"""Hugging Face: text-generation-inference's own routes, its chat route, and the router."""

import json
from dataclasses import replace
from typing import Any

import pytest

from sourcebook.errors import (
    ConfigError,
    ContextTooLong,
    InvalidRequest,
    NotAuthorised,
    RateLimited,
    Unavailable,
)
from sourcebook.models.base import Message, complete
from sourcebook.models.formats.huggingface import TextGeneration
from sourcebook.models.opening import wire_format
from sourcebook.models.providers import PRESETS
from sourcebook.models.wire import Target, WireFormat
from sourcebook.testing.doubles import Double, Reply
from sourcebook.testing.wire import ASKED, WEATHER, WireSuite
from tests.models.doubles.huggingface import TextGenerationDouble, schema_finds
from tests.models.doubles.openai_chat import OpenAIChatDouble, ServerDouble


class TestTextGeneration(WireSuite):
    cached = False
    thinking = False
    errors = (InvalidRequest, NotAuthorised, ContextTooLong, RateLimited, Unavailable)
    reasons = ("length",)

    def double(self) -> Double:
        return TextGenerationDouble()

    def wire(self, target: Target) -> WireFormat:
        return TextGeneration(target)

    async def test_the_server_writes_the_template_and_its_beginning_is_not_doubled(self) -> None:
        async with self.both() as (double, model):
            await complete(model, ASKED)
            assert isinstance(double, TextGenerationDouble)
            [rendered], [generated] = double.rendered, double.seen
        assert [one["role"] for one in rendered.body["messages"]] == ["system", "user"]
        assert generated.body["inputs"].startswith("<|im_start|>system\n")
        assert generated.body["inputs"].endswith("<|im_start|>assistant\n")

    async def test_a_reply_that_was_begun_follows_the_template(self) -> None:
        begun = (*ASKED.messages, Message(role="assistant", text="The lighthouse was"))
        async with self.both() as (double, model):
            await complete(model, replace(ASKED, messages=begun))
            assert double.seen[-1].body["inputs"].endswith("<|im_start|>assistant\nThe lighthouse was")

    @pytest.mark.parametrize("streamed", [True, False])
    async def test_the_stop_sequence_is_not_part_of_the_text(self, streamed: bool) -> None:
        """The server stops at it, but sends it."""
        asked = replace(ASKED, stop=("STOP",), streamed=streamed)
        async with self.both(Reply(pieces=("One. ", "ST", "OP"))) as (_, model):
            done = await complete(model, asked)
        assert done.text == "One. "
        assert done.finish.usage.exact

    async def test_temperature_zero_is_no_sampling(self) -> None:
        async with self.both() as (double, model):
            await complete(model, replace(ASKED, temperature=0.0, top_p=1.0))
            assert not {"temperature", "top_p", "do_sample"} & set(double.seen[-1].body["parameters"])

    async def test_tools_need_the_chat_route(self) -> None:
        async with self.both() as (_, model):
            with pytest.raises(InvalidRequest, match="tools or images"):
                await complete(model, replace(ASKED, tools=(WEATHER,)))


class TestWithoutATemplate(TestTextGeneration):
    def target(self, url: str, key: str) -> Target:
        return replace(super().target(url, key), options={"template": "plain"})

    async def test_the_server_writes_the_template_and_its_beginning_is_not_doubled(self) -> None:
        async with self.both() as (double, model):
            await complete(model, ASKED)
            assert double.seen[-1].body["inputs"] == "\n\n".join(one.text for one in ASKED.messages)

    async def test_a_reply_that_was_begun_follows_the_template(self) -> None:
        begun = (*ASKED.messages, Message(role="assistant", text="The lighthouse was"))
        async with self.both() as (double, model):
            await complete(model, replace(ASKED, messages=begun))
            assert double.seen[-1].body["inputs"].endswith("built?\n\nThe lighthouse was")


class TestRouter(WireSuite):
    """`huggingface:`, which speaks OpenAI's format."""

    name = "huggingface"

    def double(self) -> Double:
        return ServerDouble()

    def wire(self, target: Target) -> WireFormat:
        return wire_format(PRESETS[self.name], target)

    def target(self, url: str, key: str) -> Target:
        return replace(super().target(url, key), base=f"{url}/v1")


class TestChatRoute(TestRouter):
    name = "tgi-chat"


def test_a_server_without_the_route_says_what_to_do() -> None:
    error = TextGeneration(Target(provider="tgi", base="", model="m")).failure(404, {"x-request-id": "r1"}, b"")
    assert isinstance(error, InvalidRequest)
    assert "template=plain" in error.remedy
    assert error.request_id == "r1"


def test_a_template_that_is_none() -> None:
    with pytest.raises(ConfigError, match="template='mine'"):
        TextGeneration(Target(provider="tgi", base="", model="m", options={"template": "mine"}))


def test_replies_of_the_double_fit_the_schemas() -> None:
    from sourcebook.testing.doubles import Seen

    seen = Seen(method="POST", path="/generate", headers={}, query={}, body={}, raw=b"")
    double = TextGenerationDouble()
    assert not schema_finds("output", json.loads(double.whole(Reply(), seen)))
    for event in double.streamed(Reply(), seen):
        assert not schema_finds("stream_output", json.loads(event.decode().removeprefix("data: ")))
    assert schema_finds("output", {"generated": 1})
    assert schema_finds("input", {"inputs": "x", "parameters": {"max_tokens": 1}}) == "unknown: max_tokens"


async def test_the_sdk_understands_the_double() -> None:
    from huggingface_hub import AsyncInferenceClient
    from huggingface_hub.errors import HfHubHTTPError

    async with TextGenerationDouble() as double:
        async with AsyncInferenceClient(double.url, token=double.key) as client:
            plain = await client.text_generation("Hello", details=True, max_new_tokens=20)
            assert plain.generated_text == Reply().text
            assert plain.details is not None
            assert plain.details.generated_tokens == 7
            stream: Any = await client.text_generation("Hello", details=True, stream=True, max_new_tokens=20)
            chunks = [one async for one in stream]
            assert "".join(one.token.text for one in chunks if not one.token.special) == Reply().text
            assert chunks[-1].details.input_length == 11
        async with AsyncInferenceClient(double.url, token="wrong-token-of-the-test") as client:
            with pytest.raises(HfHubHTTPError):
                await client.text_generation("Hello")


async def test_the_sdk_understands_the_routers_double() -> None:
    from huggingface_hub import AsyncInferenceClient

    from sourcebook.models.base import ToolCall

    call = ToolCall(id="call_1", name="weather", arguments='{"city": "Bergen"}')
    tool = {"type": "function", "function": {"name": "weather", "parameters": dict(WEATHER.parameters)}}
    asked = [{"role": "user", "content": "Hello"}]
    async with (
        OpenAIChatDouble() as double,
        AsyncInferenceClient(base_url=f"{double.url}/v1", api_key=double.key) as client,
    ):
        plain = await client.chat_completion(asked, model="m", max_tokens=20)
        assert plain.choices[0].message.content == Reply().text
        double.say(Reply(tool_calls=(call,), finish="tool_calls"))
        called: Any = await client.chat_completion(asked, model="m", tools=[tool])
        assert called.choices[0].message.tool_calls[0].function.name == "weather"
        stream: Any = await client.chat_completion(asked, model="m", stream=True)
        text = "".join([one.choices[0].delta.content or "" async for one in stream if one.choices])
        assert text == Reply().text
