"""A conversation that goes on with another vendor: its tool calls, thoughts and signatures must be acceptable there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from sourcebook.models.base import Message, ToolCall, complete
from sourcebook.testing.doubles import Reply
from sourcebook.testing.wire import ASKED, WEATHER, WireSuite
from tests.models.formats.test_anthropic import TestANewerModel as _NewAnthropic
from tests.models.formats.test_anthropic import TestAnthropic as _Anthropic
from tests.models.formats.test_bedrock import TestBedrock as _Bedrock
from tests.models.formats.test_bedrock import TestNova as _Nova
from tests.models.formats.test_cohere import TestAModelThatPlans as _Planning
from tests.models.formats.test_cohere import TestCohere as _Cohere
from tests.models.formats.test_gemini import TestAnOlderSeries as _OldGemini
from tests.models.formats.test_gemini import TestGemini as _Gemini
from tests.models.formats.test_openai_chat import TestOpenAIChat as _OpenAI

SUITES: Mapping[str, Callable[[], WireSuite]] = {
    "anthropic": _Anthropic,
    "anthropic-new": _NewAnthropic,
    "bedrock": _Bedrock,
    "nova": _Nova,
    "cohere": _Cohere,
    "cohere-planning": _Planning,
    "gemini": _Gemini,
    "gemini-old": _OldGemini,
    "openai": _OpenAI,
}


@pytest.mark.parametrize("before", SUITES)
async def test_the_next_turn_elsewhere(before: str) -> None:
    calls = tuple(
        ToolCall(id=f"functions.weather:{number}", name="weather", arguments=f'{{"city": "{city}"}}')
        for number, city in enumerate(("Bergen", "서울"))
    )
    asked = replace(ASKED, tools=(WEATHER,), reasoning="low", max_output_tokens=4096)
    async with SUITES[before]().both(
        Reply(thoughts=("I need", " the weather."), pieces=("Let me look.",), tool_calls=calls, finish="tool_calls")
    ) as (_, model):
        done = await complete(model, asked)
    assert len(done.tool_calls) == 2
    turn = Message(role="assistant", text=done.text, tool_calls=done.tool_calls, thoughts=done.thoughts)
    results = (
        Message(role="tool", tool_call_id=done.tool_calls[0].id, text="Rain", keep=True),
        Message(role="tool", tool_call_id=done.tool_calls[1].id, text="No such city", failed=True),
    )
    asked = replace(asked, messages=(*asked.messages, turn, *results))
    for after, suite in SUITES.items():
        async with suite().both(Reply(pieces=("It rains.",))) as (double, model):
            assert (await complete(model, asked)).text == "It rains.", after
            raw = double.seen[-1].raw.decode()
        assert "서울" in raw
        assert "No such city" in raw
        for mark in ("claude:", "gemini:", "openai:", "redacted:"):
            assert mark not in raw, f"{after} got a signature of {before}"
