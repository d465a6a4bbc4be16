"""Replies whose JSON is not what the format knows: an error of ours, never a crash, never a wrong end."""

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from sourcebook.errors import ModelError
from sourcebook.models.base import complete
from sourcebook.models.framing import EventStream
from sourcebook.models.http import HttpModel
from sourcebook.testing.doubles import Double, Fault, Reply, Seen
from sourcebook.testing.wire import ASKED, WEATHER, WireSuite
from tests.models.doubles.bedrock import message_of
from tests.models.formats.test_anthropic import TestAnthropic as OfAnthropic
from tests.models.formats.test_bedrock import TestBedrock as OfBedrock
from tests.models.formats.test_cohere import TestCohere as OfCohere
from tests.models.formats.test_gemini import TestGemini as OfGemini
from tests.models.formats.test_huggingface import TestTextGeneration as OfTextGeneration
from tests.models.formats.test_ollama import TestOllama as OfOllama
from tests.models.formats.test_openai_chat import TestMistral as OfMistral
from tests.models.formats.test_openai_chat import TestOpenAIChat as OfOpenAIChat
from tests.models.formats.test_openai_responses import TestOpenAIResponses as OfOpenAIResponses
from tests.models.formats.test_replicate import TestReplicate as OfReplicate
from tests.models.formats.test_replicate import quick  # noqa: F401

SUITES = (
    OfOpenAIChat, OfMistral, OfOpenAIResponses, OfAnthropic, OfBedrock, OfCohere, OfGemini, OfOllama, OfTextGeneration,
    OfReplicate,
)  # fmt: skip
STRANGE: tuple[Any, ...] = (None, 7, -1.5, True, "strange", "", [], {}, [None], [[7]], {"strange": None}, ["x"])


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where in a JSON value something stands."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield from places(one, (*path, key))


def changed(value: Any, path: tuple[Any, ...], to: Any) -> Any:
    if not path:
        return to
    copied = value.copy()
    copied[path[0]] = changed(value[path[0]], path[1:], to)
    return copied


def strange(text: str, dice: random.Random) -> str:
    """The JSON of an event with one thing in it changed."""
    before, brace, data = text.partition("{")
    try:
        value = json.loads(brace + data)
    except ValueError:
        return text
    return f"{before}{json.dumps(_strange(value, dice))}{text[len(text.rstrip()) :]}"


def _strange(value: Any, dice: random.Random) -> Any:
    return changed(value, dice.choice(list(places(value))), dice.choice(STRANGE))


def strange_bytes(event: bytes, dice: random.Random) -> bytes:
    """The same for an event of any framing."""
    if event[:2] != b"\0\0":
        return strange(event.decode(), dice).encode()
    [frame] = EventStream().feed(event)
    said = _strange(json.loads(frame.data), dice)
    return message_of({":event-type": frame.event, ":message-type": "event"}, said)


@pytest.mark.parametrize("suite", SUITES, ids=lambda one: one.__name__)
@pytest.mark.parametrize("streamed", [True, False])
async def test_no_shape_crashes(suite: type[WireSuite], streamed: bool) -> None:
    made = suite()
    dice = random.Random(4711)
    double = made.double()
    streamed_well, whole_well = double.streamed, double.whole

    def streamed_badly(reply: Reply, seen: Seen) -> list[bytes]:
        events = streamed_well(reply, seen)
        number = dice.randrange(len(events))
        events[number] = strange_bytes(events[number], dice)
        return events

    def whole_badly(reply: Reply, seen: Seen) -> bytes:
        return strange(whole_well(reply, seen).decode(), dice).encode()

    double.streamed = streamed_badly  # type: ignore[method-assign]
    double.whole = whole_badly  # type: ignore[method-assign]
    async with double:
        model = made.make(double.url, double.key, 0.2)
        can = model.capabilities
        asked = replace(ASKED, streamed=streamed, tools=(WEATHER,) if can.tools else (), logprobs=can.logprobs)
        ended = 0
        told: list[ModelError] = []
        for _ in range(80):
            double.say(Reply(thoughts=("So",) if can.reasoning else (), logprobs=(-0.1, -0.2, -0.3)))
            try:
                done = await complete(model, asked)
            except ModelError as error:
                told.append(error)
            else:
                ended += 1
                assert isinstance(done.text, str)
                assert type(done.finish.usage.input_tokens) is type(done.finish.usage.output_tokens) is int
                assert all(type(one) is float for one in done.logprobs)
        await model.close()
    assert ended
    assert all(one.provider == "vendor" for one in told)


@pytest.mark.parametrize("suite", SUITES, ids=lambda one: one.__name__)
async def test_no_error_of_a_strange_shape_crashes(suite: type[WireSuite]) -> None:
    made = suite()
    dice = random.Random(4711)
    double: Double = made.double()
    refused_well = double.refusal

    def refused_badly(fault: Fault, seen: Seen) -> tuple[int, Any, bytes]:
        status, headers, body = refused_well(fault, seen)
        return status, headers, strange(body.decode(), dice).encode()

    double.refusal = refused_badly  # type: ignore[method-assign]
    async with double:
        model: HttpModel = made.make(double.url, double.key)
        for kind in [*made.errors] * 4:
            double.say(Fault(error=kind))
            with pytest.raises(ModelError) as caught:
                await complete(model, ASKED)
            assert caught.value.status >= 400
            assert caught.value.remedy
        await model.close()


def test_the_changes_change_something() -> None:
    dice = random.Random(1)
    text = 'event: x\ndata: {"a": [1, {"b": null}]}\n\n'
    said = {strange(text, dice) for _ in range(50)}
    assert len(said) > 20
    assert all(one.startswith("event: x\ndata: ") and one.endswith("\n\n") for one in said)
