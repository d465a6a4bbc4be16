"""OpenAI chat completions: the suite, and what is particular to servers of this format."""

import json
from dataclasses import replace
from typing import Any, ClassVar

import pytest

from sourcebook.errors import InvalidRequest
from sourcebook.models.base import (
    Capabilities,
    Finish,
    Image,
    Message,
    ReasoningPart,
    TextPart,
    Thought,
    ToolCall,
    ToolCallPart,
)
from sourcebook.models.formats.openai_chat import Dialect, OpenAIChat, azure
from sourcebook.models.opening import wire_format
from sourcebook.models.providers import PRESETS
from sourcebook.models.wire import Frame, Target, WireFormat
from sourcebook.testing.doubles import Double, Reply
from sourcebook.testing.wire import ASKED, BUILT, PIXEL, WEATHER, WireSuite
from tests.models.doubles.openai_chat import AzureDouble, MistralDouble, OpenAIChatDouble


class TestOpenAIChat(WireSuite):
    def double(self) -> Double:
        return OpenAIChatDouble()

    def wire(self, target: Target) -> WireFormat:
        return OpenAIChat(target)

    def target(self, url: str, key: str) -> Target:
        return replace(super().target(url, key), base=f"{url}/v1")


class TestAModelThatKeepsPrompts(TestOpenAIChat):
    model = "gpt-5.6"


class TestAServerThatContinues(TestOpenAIChat):
    def wire(self, target: Target) -> WireFormat:
        dialect = Dialect(continues={"continue_final_message": True, "add_generation_prompt": False})
        return OpenAIChat(target, dialect)

    def double(self) -> Double:
        class ServerDouble(OpenAIChatDouble):
            unknown = ("continue_final_message", "add_generation_prompt")

        return ServerDouble()


class TestAzure(WireSuite):
    options: ClassVar[dict[str, str]] = {}

    def double(self) -> Double:
        return AzureDouble()

    def wire(self, target: Target) -> WireFormat:
        return azure(target)

    def target(self, url: str, key: str) -> Target:
        return replace(super().target(url, key), options=self.options)


class TestAzureWithADate(TestAzure):
    options: ClassVar[dict[str, str]] = {"api_version": "2024-10-21"}


class TestMistral(TestOpenAIChat):
    def double(self) -> Double:
        return MistralDouble()

    def wire(self, target: Target) -> WireFormat:
        return wire_format(PRESETS["mistral"], target)


def read(*chunks: dict[str, object]) -> list[object]:
    reader = OpenAIChat(Target(provider="vendor", base="", model="m")).reader(ASKED)
    return [one for chunk in chunks for one in reader.feed(Frame(data=json.dumps(chunk)))]


def chunk(delta: dict[str, object], finish: str | None = None) -> dict[str, object]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def call(arguments: str, **more: object) -> dict[str, object]:
    return {"index": 0, "id": "c1", "function": {"name": "weather", "arguments": arguments}, **more}


def test_a_call_that_was_cut_off_is_not_run() -> None:
    assert read(chunk({"tool_calls": [call('{"ci')]}), chunk({}, "length")) == []
    whole = call('{"city": "Bergen"}')
    assert [type(one) for one in read(chunk({"tool_calls": [whole]}), chunk({}, "length"))] == [ToolCallPart]


def test_a_call_with_broken_arguments_is_the_models_own_fault() -> None:
    [part] = read(chunk({"tool_calls": [call("{broken")]}), chunk({}, "tool_calls"))
    assert part == ToolCallPart(call=ToolCall(id="c1", name="weather", arguments="{broken"))


def test_a_server_that_says_stop_though_it_calls_and_gives_objects_as_arguments() -> None:
    function = {"name": "weather", "arguments": {"city": "Bergen"}}
    reader = OpenAIChat(Target(provider="vendor", base="", model="m")).reader(ASKED)
    chunks = (chunk({"tool_calls": [{"id": "c1", "function": function}]}), chunk({}, "stop"))
    [part] = [part for one in chunks for part in reader.feed(Frame(data=json.dumps(one)))]
    [finish] = reader.end()
    assert isinstance(part, ToolCallPart)
    assert json.loads(part.call.arguments) == {"city": "Bergen"}
    assert isinstance(finish, Finish)
    assert finish.reason == "tool_calls"


def test_content_in_parts() -> None:
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]}
    parts = [thinking, {"type": "text", "text": "1873"}, {"type": "reference", "reference_ids": [1]}]
    assert read(chunk({"content": parts})) == [ReasoningPart(text="Hm"), TextPart(text="1873")]


def test_a_schema_that_cannot_be_kept_is_refused() -> None:
    wire = wire_format(PRESETS["deepseek"], Target(provider="deepseek", base="", model="m"))
    assert not wire.capabilities.schema
    with pytest.raises(InvalidRequest, match="deepseek cannot be held to a JSON schema"):
        wire.call(replace(ASKED, schema=BUILT))


def test_what_a_server_cannot_take_is_refused() -> None:
    picture = Message(role="user", images=(Image(media_type="image/png", data=PIXEL),))
    wire = wire_format(PRESETS["deepseek"], Target(provider="deepseek", base="", model="m"))
    with pytest.raises(InvalidRequest, match="deepseek cannot take images"):
        wire.call(replace(ASKED, messages=(picture,)))
    bare = OpenAIChat(Target(provider="bare", base="", model="m"), Dialect(capabilities=Capabilities()))
    with pytest.raises(InvalidRequest, match="bare cannot call tools"):
        bare.call(replace(ASKED, tools=(WEATHER,)))


def test_thoughts_go_back_with_the_calls_that_they_led_to() -> None:
    called = ToolCall(id="c1", name="weather", arguments="{}")
    thoughts = (Thought(text="Ask "), Thought(text="first."))
    turns = (
        Message(role="assistant", text="Hello", thoughts=thoughts),
        Message(role="assistant", tool_calls=(called,), thoughts=thoughts),
        Message(role="tool", tool_call_id="c1", text="Rain"),
    )
    for name, field in (("deepseek", "reasoning_content"), ("vllm", "reasoning"), ("groq", None)):
        wire = wire_format(PRESETS[name], Target(provider=name, base="", model="m"))
        plain, calling, _ = json.loads(wire.call(replace(ASKED, messages=turns)).body)["messages"]
        assert set(plain) == {"role", "content"}
        assert set(calling) == {"role", "content", "tool_calls", *([field] if field else [])}
        assert field is None or calling[field] == "Ask first."


def test_a_mark_goes_to_the_last_part_of_a_message() -> None:
    picture = Message(role="user", text="What?", images=(Image(media_type="image/png", data=PIXEL),), keep=True)
    wire = OpenAIChat(Target(provider="openai", base="", model="gpt-5.6"))
    [message] = json.loads(wire.call(replace(ASKED, messages=(picture,))).body)["messages"]
    assert ["prompt_cache_breakpoint" in one for one in message["content"]] == [False, True]


def test_tokens_as_servers_name_them() -> None:
    from sourcebook.models.formats.openai_chat import openai_usage

    deepseek = openai_usage({"prompt_tokens": 9, "completion_tokens": 2, "prompt_cache_hit_tokens": 5})
    assert (deepseek.input_tokens, deepseek.output_tokens, deepseek.cached_tokens) == (9, 2, 5)
    written = openai_usage({"prompt_tokens": 9, "prompt_tokens_details": {"cache_write_tokens": 4}})
    assert written.cache_write_tokens == 4


# --- the vendor's SDK on the double -----------------------------------------------------------------------------


async def test_the_sdk_understands_the_double() -> None:
    import openai

    called = ToolCall(id="call_1", name="weather", arguments='{"city": "Bergen"}')
    tool = {"type": "function", "function": {"name": "weather", "parameters": dict(WEATHER.parameters)}}
    asked = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}]}
    async with OpenAIChatDouble() as double:
        base = f"{double.url}/v1"
        client: Any
        async with openai.AsyncOpenAI(api_key=double.key, base_url=base, max_retries=0) as client:
            plain = await client.chat.completions.create(**asked)
            assert plain.choices[0].message.content == Reply().text
            assert plain.usage.completion_tokens == 7
            double.say(Reply(tool_calls=(called,), finish="tool_calls"))
            stream = await client.chat.completions.create(
                **asked, stream=True, stream_options={"include_usage": True}, tools=[tool]
            )
            chunks = [one async for one in stream]
            assert "".join(one.choices[0].delta.content or "" for one in chunks if one.choices) == Reply().text
            arguments = [
                part.function.arguments or ""
                for one in chunks
                for choice in one.choices
                for part in choice.delta.tool_calls or ()
            ]
            assert json.loads("".join(arguments)) == {"city": "Bergen"}
            assert chunks[-1].usage.prompt_tokens == 11
        async with openai.AsyncOpenAI(api_key="wrong", base_url=base, max_retries=0) as client:
            with pytest.raises(openai.AuthenticationError) as caught:
                await client.chat.completions.create(**asked)
            assert caught.value.code == "invalid_api_key"


async def test_the_sdk_for_azure_understands_its_double() -> None:
    import openai

    async with (
        AzureDouble() as double,
        openai.AsyncAzureOpenAI(
            api_key=double.key, azure_endpoint=double.url, api_version="2024-10-21", max_retries=0
        ) as client,
    ):
        messages = [{"role": "user", "content": "Hello"}]
        made: Any = client.chat.completions
        plain = await made.create(model="mine", messages=messages)
        assert plain.choices[0].message.content == Reply().text
