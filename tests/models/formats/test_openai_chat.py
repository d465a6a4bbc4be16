"""OpenAI chat completions: the suite, and what is particular to servers of this format."""

import json
from dataclasses import replace
from typing import Any, ClassVar

import pytest

from sourcebook.errors import InvalidRequest, Transient
from sourcebook.models.base import (
    Capabilities,
    Image,
    Message,
    ReasoningPart,
    TextPart,
    Thought,
    ToolCall,
    ToolCallPart,
    complete,
)
from sourcebook.models.formats.openai_chat import Dialect, OpenAIChat, azure
from sourcebook.models.formats.openai_shapes import openai_usage
from sourcebook.models.opening import wire_format
from sourcebook.models.providers import PRESETS
from sourcebook.models.wire import Frame, Target, WireFormat
from sourcebook.testing.doubles import Double, Reply, Seen
from sourcebook.testing.wire import ASKED, BUILT, PIXEL, WEATHER, WireSuite
from tests.models.doubles.openai_chat import (
    AzureDouble,
    GroqDouble,
    MistralDouble,
    OpenAIChatDouble,
    ServerDouble,
    XaiDouble,
)


class TestOpenAIChat(WireSuite):
    refuses = True

    def double(self) -> Double:
        return OpenAIChatDouble()

    def wire(self, target: Target) -> WireFormat:
        return OpenAIChat(target)

    def target(self, url: str, key: str) -> Target:
        return replace(super().target(url, key), base=f"{url}/v1")


class TestAModelThatReasons(TestOpenAIChat):
    model = "gpt-5-mini"
    samples = False


class TestAModelThatKeepsPrompts(TestOpenAIChat):
    model = "gpt-5.6"
    samples = False


class TestAServerThatContinues(TestOpenAIChat):
    def wire(self, target: Target) -> WireFormat:
        dialect = Dialect(continues={"continue_final_message": True, "add_generation_prompt": False})
        return OpenAIChat(target, dialect)

    def double(self) -> Double:
        return ServerDouble()


class TestAzure(WireSuite):
    refuses = True
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
    refuses = False

    def double(self) -> Double:
        return MistralDouble()

    def wire(self, target: Target) -> WireFormat:
        return wire_format(PRESETS["mistral"], target)


class TestGroq(TestOpenAIChat):
    refuses = False

    def double(self) -> Double:
        return GroqDouble()

    def wire(self, target: Target) -> WireFormat:
        return wire_format(PRESETS["groq"], target)


class TestXai(TestGroq):
    def double(self) -> Double:
        return XaiDouble()

    def wire(self, target: Target) -> WireFormat:
        return wire_format(PRESETS["xai"], target)


def read(*chunks: dict[str, object]) -> list[Any]:
    reader = OpenAIChat(Target(provider="vendor", base="", model="m")).reader(ASKED)
    events = [one for chunk in chunks for one in reader.feed(Frame(data=json.dumps(chunk)))]
    return [*events, *reader.end()]


def chunk(delta: dict[str, object], finish: str | None = None) -> dict[str, object]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def call(arguments: str, **more: object) -> dict[str, object]:
    return {"index": 0, "id": "c1", "function": {"name": "weather", "arguments": arguments}, **more}


def calls_in(events: list[Any]) -> list[ToolCall]:
    return [one.call for one in events if isinstance(one, ToolCallPart)]


def test_a_call_with_broken_arguments_is_the_models_own_fault() -> None:
    part, finish = read(chunk({"tool_calls": [call("{broken")]}), chunk({}, "tool_calls"))
    assert part == ToolCallPart(call=ToolCall(id="c1", name="weather", arguments="{broken"))
    assert finish.reason == "tool_calls"


def test_a_server_that_says_stop_though_it_calls_and_gives_objects_as_arguments() -> None:
    function = {"name": "weather", "arguments": {"city": "Bergen"}}
    part, finish = read(chunk({"tool_calls": [{"id": "c1", "function": function}]}), chunk({}, "stop"))
    assert json.loads(part.call.arguments) == {"city": "Bergen"}
    assert finish.reason == "tool_calls"


@pytest.mark.parametrize("index", [{"index": 0}, {"index": None}, {}])
def test_calls_that_are_numbered_carelessly(index: dict[str, object]) -> None:
    """Every call begins with an id of its own; its further pieces have none."""

    def piece(arguments: str, **more: object) -> dict[str, object]:
        return chunk({"tool_calls": [{**index, "function": {"arguments": arguments, **more}}]})

    def begins(id: str, name: str) -> dict[str, object]:
        return chunk({"tool_calls": [{**index, "id": id, "function": {"name": name, "arguments": ""}}]})

    events = read(
        begins("a", "first"), piece('{"x"'), piece(": 1}"), begins("b", "second"), piece('{"y": 2}'), chunk({}, "stop")
    )
    assert calls_in(events) == [
        ToolCall(id="a", name="first", arguments='{"x": 1}'),
        ToolCall(id="b", name="second", arguments='{"y": 2}'),
    ]


def test_calls_of_which_some_are_numbered() -> None:
    events = read(
        chunk({"tool_calls": [{"index": None, "id": "a", "function": {"name": "f", "arguments": "{}"}}]}),
        chunk({"tool_calls": [{"index": 1, "id": "b", "function": {"name": "g", "arguments": "{}"}}]}),
        chunk({}, "tool_calls"),
    )
    assert [one.id for one in calls_in(events)] == ["a", "b"]


@pytest.mark.parametrize(
    ("said", "reason"), [("stop", "stop"), ("eos", "stop"), ("model_length", "length"), ("new", "length")]
)
def test_reasons(said: str, reason: str) -> None:
    assert read(chunk({"content": "Hi"}, said))[-1].reason == reason


@pytest.mark.parametrize("said", ["error", "abort", "insufficient_system_resource"])
@pytest.mark.parametrize("streamed", [True, False])
async def test_a_reply_that_the_server_gave_up_on_is_no_reply(said: str, streamed: bool) -> None:
    class GivesUp(OpenAIChatDouble):
        finish = {"stop": said}  # noqa: RUF012

    suite = TestOpenAIChat()
    suite.double = GivesUp  # type: ignore[method-assign]
    async with suite.both() as (_, model):
        with pytest.raises(Transient) as caught:
            await complete(model, replace(ASKED, streamed=streamed))
    assert caught.value.text == Reply().text


def test_a_refusal_that_is_cut_off_is_no_reply() -> None:
    assert read(chunk({"refusal": "I'm sor"})) == [TextPart(text="I'm sor")]


@pytest.mark.parametrize(
    ("usage", "written"),
    [
        ({"prompt_tokens": 32, "completion_tokens": 9, "total_tokens": 135}, 103),
        ({"prompt_tokens": 32, "completion_tokens": 9, "total_tokens": 41}, 9),
        ({"prompt_tokens": 32, "completion_tokens": 9}, 9),
    ],
)
def test_what_was_thought_is_part_of_what_was_written(usage: dict[str, int], written: int) -> None:
    assert openai_usage(usage).output_tokens == written


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
    deepseek = openai_usage({"prompt_tokens": 9, "completion_tokens": 2, "prompt_cache_hit_tokens": 5})
    assert (deepseek.input_tokens, deepseek.output_tokens, deepseek.cached_tokens) == (9, 2, 5)
    written = openai_usage({"prompt_tokens": 9, "prompt_tokens_details": {"cache_write_tokens": 4}})
    assert written.cache_write_tokens == 4


def test_pictures_of_results_follow_them() -> None:
    called = ToolCall(id="c1", name="weather", arguments="{}")
    picture = (Image(media_type="image/png", data=PIXEL),)
    turns = (
        Message(role="assistant", tool_calls=(called,)),
        Message(role="tool", tool_call_id="c1", text="Rain", images=picture),
    )
    wire = OpenAIChat(Target(provider="openai", base="", model="gpt-4o"))
    _, result, shown = json.loads(wire.call(replace(ASKED, messages=turns)).body)["messages"]
    assert result == {"role": "tool", "tool_call_id": "c1", "content": "Rain"}
    assert (shown["role"], [one["type"] for one in shown["content"]]) == ("user", ["image_url"])


def test_the_double_finds_fault() -> None:
    asked = json.loads(OpenAIChat(Target(provider="openai", base="", model="gpt-5")).call(ASKED).body)

    def wrong(**changed: Any) -> str:
        seen = Seen(method="POST", path="/", headers={}, query={}, body={**asked, **changed}, raw=b"")
        return OpenAIChatDouble().check(seen)

    assert not wrong()
    assert "bogus" in wrong(messages=[{"role": "user", "content": "x", "bogus": 1}])
    assert "bogus" in wrong(stream_options={"bogus": 2})
    assert "temperature" in wrong(temperature=0.0)
    assert "stop" in wrong(stop=["x"])
    assert "none" in wrong(reasoning_effort="none")
    schema = {"name": "reply", "schema": {"type": "object", "properties": {}}, "strict": True}
    assert "additionalProperties" in wrong(response_format={"type": "json_schema", "json_schema": schema})


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
