"""Ollama: the suite, and what is particular to the format."""

import json
from dataclasses import replace

import pytest

from sourcebook.errors import (
    ConfigError,
    ContextTooLong,
    InvalidRequest,
    NoSuchModel,
    NotAuthorised,
    RateLimited,
    Unavailable,
)
from sourcebook.models.base import Finish, Image, Message, ToolCall, ToolCallPart, complete
from sourcebook.models.formats.ollama import Ollama
from sourcebook.models.wire import Frame, Target, WireFormat
from sourcebook.testing.doubles import Double, Reply
from sourcebook.testing.wire import ASKED, WEATHER, WireSuite
from tests.models.doubles.ollama import OllamaDouble, sdk_finds


class TestOllama(WireSuite):
    cached = False
    calls_in_pieces = False
    thinking = False
    errors = (InvalidRequest, NotAuthorised, NoSuchModel, ContextTooLong, RateLimited, Unavailable)
    reasons = ("length",)

    def double(self) -> Double:
        return OllamaDouble()

    def wire(self, target: Target) -> WireFormat:
        return Ollama(target)

    @pytest.mark.parametrize("choice", ["auto", "none", "required", "weather"])
    async def test_tool_choice(self, choice: str) -> None:
        """The vendor has no such setting: what cannot be had is an error, and "none" offers no tools."""
        asked = replace(ASKED, tools=(WEATHER,), tool_choice=choice)
        async with self.both() as (double, model):
            if choice in ("auto", "none"):
                await complete(model, asked)
                assert ("tools" in double.seen[-1].body) == (choice == "auto")
            else:
                with pytest.raises(InvalidRequest, match="be made to call a tool"):
                    await complete(model, asked)

    async def test_results_of_tools_name_their_tool(self) -> None:
        call = ToolCall(id="call_7", name="weather", arguments='{"city": "Bergen"}')
        turns = (
            Message(role="assistant", tool_calls=(call,)),
            Message(role="tool", tool_call_id="call_7", text="Rain"),
        )
        async with self.both() as (double, model):
            await complete(model, replace(ASKED, messages=(*ASKED.messages, *turns)))
            asked, result = double.seen[-1].body["messages"][-2:]
        assert asked["tool_calls"][0]["function"] == {"name": "weather", "arguments": {"city": "Bergen"}}
        assert result == {"role": "tool", "content": "Rain", "tool_name": "weather", "tool_call_id": "call_7"}


def body(model: str = "llama3.2", options: dict[str, str] | None = None, **changes: object) -> dict[str, object]:
    target = Target(provider="ollama", base="http://x", model=model, options=options or {})
    found: dict[str, object] = json.loads(Ollama(target).call(replace(ASKED, **changes)).body)  # type: ignore[arg-type]
    return found


def test_a_prompt_that_does_not_fit_is_not_cut() -> None:
    assert body()["truncate"] is False
    assert body()["shift"] is False


def test_how_much_to_think() -> None:
    assert "think" not in body()
    assert body(reasoning="none")["think"] is False
    assert body(reasoning="high")["think"] is True
    assert body("gpt-oss:20b", reasoning="high")["think"] == "high"
    assert body("gpt-oss:20b", reasoning="none")["think"] is False


def test_options_of_the_url() -> None:
    found = body(options={"num_ctx": "16384", "keep_alive": "-1"})
    assert found["options"] == {"num_ctx": 16384, "num_predict": 64}
    assert found["keep_alive"] == -1
    assert body(options={"keep_alive": "10m"})["keep_alive"] == "10m"
    with pytest.raises(ConfigError, match="num_ctx='much'"):
        body(options={"num_ctx": "much"})


def test_images_are_bytes() -> None:
    picture = Message(role="user", images=(Image(media_type="image/png", url="https://example.com/a.png"),))
    with pytest.raises(InvalidRequest, match="fetch images"):
        body(messages=(picture,))


def test_older_servers_give_calls_no_id_and_may_leave_out_counts() -> None:
    function = {"function": {"name": "weather", "arguments": {"city": "Bergen"}}}
    line = {"model": "m", "message": {"tool_calls": [function, function]}, "done": True, "eval_count": 3}
    first, second, finish = (
        Ollama(Target(provider="ollama", base="", model="m")).reader(ASKED).feed(Frame(data=json.dumps(line)))
    )
    assert isinstance(first, ToolCallPart)
    assert isinstance(second, ToolCallPart)
    assert first.call.id != second.call.id
    assert isinstance(finish, Finish)
    assert not finish.usage.counted_by


async def test_the_sdk_understands_the_double() -> None:
    import ollama

    call = ToolCall(id="call_1", name="weather", arguments='{"city": "Bergen"}')
    tool = {"type": "function", "function": {"name": "weather", "parameters": dict(WEATHER.parameters)}}
    asked = [{"role": "user", "content": "Hello"}]
    async with OllamaDouble() as double:
        client = ollama.AsyncClient(host=double.url, headers={"Authorization": f"Bearer {double.key}"})
        plain = await client.chat(model="llama3.2", messages=asked)
        assert plain.message.content == Reply().text
        assert plain.eval_count == 7
        assert plain.done_reason == "stop"
        double.say(Reply(thoughts=("So",), tool_calls=(call,), finish="tool_calls"))
        stream = await client.chat(model="llama3.2", messages=asked, tools=[tool], stream=True, think=True)
        chunks = [one async for one in stream]
        assert "".join(one.message.content or "" for one in chunks) == Reply().text
        assert [one.message.thinking for one in chunks if one.message.thinking] == ["So"]
        [found] = [each for one in chunks for each in one.message.tool_calls or ()]
        assert found.function.arguments == {"city": "Bergen"}
        wrong = ollama.AsyncClient(host=double.url, headers={"Authorization": "Bearer wrong"})
        with pytest.raises(ollama.ResponseError) as caught:
            await wrong.chat(model="llama3.2", messages=asked)
        assert caught.value.status_code == 401
        for one in (client, wrong):
            await one._client.aclose()


def test_a_model_that_was_only_loaded_has_not_answered() -> None:
    reader = Ollama(Target(provider="ollama", base="", model="m")).reader(ASKED)
    line = {"message": {"role": "assistant", "content": ""}, "done": True, "done_reason": "load"}
    [finish] = reader.feed(Frame(data=json.dumps(line)))
    assert isinstance(finish, Finish)
    assert finish.reason == "length"


def test_the_double_finds_fault() -> None:
    asked = json.loads(Ollama(Target(provider="ollama", base="", model="m")).call(ASKED).body)
    assert not sdk_finds(asked)
    assert "bogus" in sdk_finds({**asked, "messages": [{"role": "user", "content": "x", "bogus": 1}]})
    assert "bogus" in sdk_finds({**asked, "options": {"bogus": 1}})
