"""What the generations of Claude accept, by their names, and what is then asked of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sourcebook.errors import ConfigError
from sourcebook.models.base import complete
from sourcebook.models.formats.anthropic import Anthropic
from sourcebook.models.formats.claude import generation_of
from sourcebook.models.wire import Target
from sourcebook.testing.wire import ASKED, WEATHER
from tests.models.formats.test_anthropic import TestAnthropic as _Anthropic
from tests.models.formats.test_anthropic import body


class TestWhatAModelAccepts:
    @pytest.mark.parametrize(
        ("model", "thinking", "samples", "continues", "schema", "unthinking"),
        [
            ("claude-2.1", "none", 2, True, False, "disabled"),
            ("claude-3-5-haiku-20241022", "none", 2, True, False, "disabled"),
            ("claude-3-7-sonnet-latest", "budget", 2, True, False, "disabled"),
            ("claude-opus-4-20250514", "budget", 2, True, False, "disabled"),
            ("claude-opus-4-1", "budget", 1, True, False, "disabled"),
            ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "budget", 1, True, True, "disabled"),
            ("claude-sonnet-4-6", "adaptive", 1, False, True, "disabled"),
            ("anthropic/claude-opus-4.8", "adaptive", 0, False, True, "disabled"),
            ("claude-opus-5", "adaptive", 0, False, True, "disabled"),
            ("claude-opus-5-5", "adaptive", 0, False, True, ""),
            ("claude-sonnet-5-5", "adaptive", 0, False, True, "between_tools"),
            ("claude-haiku-5-5", "adaptive", 0, False, True, "disabled"),
            ("claude-fable-5", "adaptive", 0, False, True, ""),
            ("claude-mythos-preview", "adaptive", 0, False, True, ""),
            ("glm-6", "budget", 2, False, False, "disabled"),
        ],
    )
    def test_by_its_name(
        self, model: str, thinking: str, samples: int, continues: bool, schema: bool, unthinking: str
    ) -> None:
        found = generation_of(model)
        assert (found.thinking, found.samples, found.continues, found.schema, found.unthinking) == (
            thinking,
            samples,
            continues,
            schema,
            unthinking,
        )

    def test_options_overrule(self) -> None:
        found = generation_of("claude-opus-5", {"thinking": "budget", "continues": "true", "samples": "2"})
        assert (found.thinking, found.continues, found.samples) == ("budget", True, 2)

    @pytest.mark.parametrize(
        "options", [{"thinking": "budgets"}, {"samples": "7"}, {"continues": "yes"}, {"auth": "Bearer"}]
    )
    def test_options_that_are_none(self, options: dict[str, str]) -> None:
        [name] = options
        with pytest.raises(ConfigError, match=name):
            Anthropic(Target(provider="v", base="http://x", model="claude-opus-5", options=options))

    @pytest.mark.parametrize(
        ("model", "effort", "thinking", "output"),
        [
            ("claude-sonnet-4-5", "low", {"type": "enabled", "budget_tokens": 1024}, None),
            ("claude-sonnet-4-5", "high", {"type": "enabled", "budget_tokens": 6000}, None),
            ("claude-sonnet-4-5", "none", None, None),
            ("claude-opus-4-6", "low", {"type": "adaptive"}, {"effort": "low"}),
            ("claude-opus-4-8", "high", {"type": "adaptive", "display": "summarized"}, {"effort": "high"}),
            ("claude-opus-5", "none", {"type": "disabled"}, None),
            ("claude-sonnet-5-5", "none", {"type": "between_tools"}, None),
            ("claude-opus-5-5", "none", None, {"effort": "low"}),
            ("claude-opus-5-5", None, None, None),
            ("claude-3-haiku", "high", None, None),
        ],
    )
    def test_reasoning_by_generation(self, model: str, effort: Any, thinking: object, output: object) -> None:
        sent = body(model, reasoning=effort, max_output_tokens=8000)
        assert sent.get("thinking") == thinking
        assert sent.get("output_config") == output

    @pytest.mark.parametrize("model", ["claude-sonnet-4-5", "claude-opus-4-8"])
    async def test_no_thinking_where_a_tool_must_be_called(self, model: str) -> None:
        suite = _Anthropic()
        suite.model = model
        asked = replace(ASKED, tools=(WEATHER,), tool_choice="required", reasoning="high", max_output_tokens=9000)
        async with suite.both() as (double, ours):
            await complete(ours, asked)
            assert double.seen[-1].body.get("thinking") in (None, {"type": "disabled"})

    def test_a_budget_never_exceeds_what_was_reserved(self) -> None:
        assert body("claude-sonnet-4-5", reasoning="high", max_output_tokens=1200).get("thinking") is None
        sent = body("claude-sonnet-4-5", reasoning="high", max_output_tokens=2000, temperature=0.3)
        assert sent["thinking"]["budget_tokens"] < sent["max_tokens"] == 2000
        assert "temperature" not in sent  # only 1 is taken then

    def test_one_sample_setting_where_only_one_is_taken(self) -> None:
        sent = body("claude-sonnet-4-6", temperature=0.2, top_p=0.9)
        assert sent["temperature"] == 0.2
        assert "top_p" not in sent
