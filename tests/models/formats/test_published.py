"""Our requests and the doubles' replies against the vendors' published schemas, where those are at hand."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from sourcebook.models.base import Image, Message, ModelRequest, Thought, ToolCall
from sourcebook.models.formats.openai_chat import OpenAIChat
from sourcebook.models.formats.openai_responses import OpenAIResponses
from sourcebook.models.formats.replicate import Replicate
from sourcebook.models.wire import Target
from sourcebook.testing.doubles import Double, Reply, Seen
from sourcebook.testing.wire import ASKED, BUILT, PIXEL, WEATHER
from tests.models.doubles.checking import breaks, component, needs_specs, openapi
from tests.models.doubles.openai_chat import OpenAIChatDouble
from tests.models.doubles.openai_responses import OpenAIResponsesDouble
from tests.models.doubles.replicate import ReplicateDouble

CALL = ToolCall(id="call_1", name="weather", arguments='{"city": "Bergen"}')
TURNS = (
    Message(
        role="assistant",
        text="Let me look.",
        tool_calls=(CALL,),
        thoughts=(Thought(text="So", signature="openai:openai:gpt-5.6:rs_1:xyz"),),
    ),
    Message(role="tool", tool_call_id="call_1", text="Rain"),
    Message(role="user", text="And this?", images=(Image(media_type="image/png", data=PIXEL),), keep=True),
)
REQUESTS: dict[str, ModelRequest] = {
    "plain": replace(ASKED, streamed=False),
    "streamed": ASKED,
    "settings": replace(ASKED, temperature=0.2, top_p=0.9, seed=7, reasoning="low", logprobs=True),
    "tools": replace(ASKED, tools=(WEATHER,), tool_choice="weather"),
    "schema": replace(ASKED, schema=BUILT),
    "conversation": replace(ASKED, messages=(*ASKED.messages, *TURNS), tools=(WEATHER,)),
}
REPLIES = {
    "text": Reply(logprobs=(-0.1, -0.2, -0.3)),
    "thoughts and tools": Reply(thoughts=("So", " it was"), tool_calls=(CALL, CALL), finish="tool_calls"),
    "length": Reply(finish="length"),
    "filtered": Reply(finish="filtered"),
}
OPENAI = "openai/openapi.yaml"
SEEN = Seen(
    method="POST",
    path="/",
    headers={},
    query={},
    body={"model": "gpt-5.6", "stream_options": {"include_usage": True}},
    raw=b"",
)


def events(double: Double, reply: Reply) -> Iterator[Any]:
    for event in double.streamed(reply, SEEN):
        data = event.decode().partition("data: ")[2].strip()
        if data != "[DONE]":
            yield json.loads(data)


@needs_specs
@pytest.mark.parametrize("name", REQUESTS)
def test_requests_to_openai(name: str) -> None:
    target = Target(provider="openai", base="", model="gpt-5.6")
    stop = () if name != "settings" else ("\n",)
    chat = json.loads(OpenAIChat(target).call(replace(REQUESTS[name], stop=stop)).body)
    assert not breaks(openapi(OPENAI), component("CreateChatCompletionRequest"), chat)
    response = json.loads(OpenAIResponses(target).call(REQUESTS[name]).body)
    assert not breaks(openapi(OPENAI), component("CreateResponse"), response)


@needs_specs
@pytest.mark.parametrize("name", REPLIES)
def test_replies_of_openais_chat(name: str) -> None:
    double = OpenAIChatDouble()
    whole = json.loads(double.whole(REPLIES[name], SEEN))
    assert not breaks(openapi(OPENAI), component("CreateChatCompletionResponse"), whole)
    for event in events(double, REPLIES[name]):
        assert not breaks(openapi(OPENAI), component("CreateChatCompletionStreamResponse"), event)


@needs_specs
@pytest.mark.parametrize("name", REPLIES)
def test_replies_of_openais_responses(name: str) -> None:
    double = OpenAIResponsesDouble()
    whole = json.loads(double.whole(REPLIES[name], SEEN))
    assert not breaks(openapi(OPENAI), component("Response"), whole)
    known = _by_type()
    for event in events(double, REPLIES[name]):
        assert not breaks(openapi(OPENAI), component(known[event["type"]]), event)


def _by_type() -> dict[str, str]:
    """The type of an event of a response -> the component that describes it."""
    schemas = openapi(OPENAI)["components"]["schemas"]
    found = {}
    for name, schema in schemas.items():
        if name.startswith("Response") and name.endswith("Event"):
            for kind in (schema.get("properties") or {}).get("type", {}).get("enum", ()):
                found[kind] = name
    return found


@needs_specs
def test_a_schema_that_is_broken_is_found() -> None:
    assert breaks(openapi(OPENAI), component("CreateResponse"), {"model": "m", "input": 7})
    assert breaks(openapi(OPENAI), component("CreateChatCompletionResponse"), {"id": "x"})


@needs_specs
async def test_replicate() -> None:
    described = openapi("replicate/openapi.rebuilt.json")
    path = described["paths"]["/models/{model_owner}/{model_name}/predictions"]["post"]
    wanted = path["requestBody"]["content"]["application/json"]["schema"]
    target = Target(provider="replicate", base="", model="meta/llama")
    for name in ("plain", "streamed", "settings"):
        body = json.loads(Replicate(target).call(REQUESTS[name]).body)
        owned = {"model_owner": "meta", "model_name": "llama", **body}  # the SDK's arguments are in the path
        assert not breaks(described, wanted, owned)
        assert set(body) <= set(wanted["properties"])
    shown = path["responses"]["200"]["content"]["application/json"]["schema"]
    assert not breaks(described, shown, json.loads(ReplicateDouble().whole(Reply(), SEEN)))
