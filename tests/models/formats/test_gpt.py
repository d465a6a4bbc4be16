"""What OpenAI's models take, by their names."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from sourcebook.errors import ConfigError
from sourcebook.models.base import Effort, ModelRequest, complete
from sourcebook.models.formats.gpt import effort_of, generation_elsewhere, generation_of, samples_of
from sourcebook.models.formats.openai_chat import OpenAIChat
from sourcebook.models.opening import wire_format
from sourcebook.models.providers import PRESETS
from sourcebook.models.route.cascade import Cascade
from sourcebook.models.route.doubt import Thresholds
from sourcebook.models.wire import Target
from sourcebook.prompt.aside import Payer, ask_aside
from sourcebook.testing.doubles import Reply
from sourcebook.testing.wire import ASKED
from tests.models.formats.test_openai_chat import TestAModelThatReasons as _Reasons

EFFORTS: tuple[Effort, ...] = ("none", "low", "medium", "high")


@pytest.mark.parametrize(
    ("model", "efforts", "samples", "logprobs", "stops", "keeps"),
    [
        ("gpt-4o", [None] * 4, "always", True, 4, False),
        ("gpt-4.1-mini", [None] * 4, "always", True, 4, False),
        ("gpt-35-turbo", [None] * 4, "always", True, 4, False),
        ("ft:gpt-4o:mine", [None] * 4, "always", True, 4, False),
        ("gpt-4o-search-preview", [None] * 4, "never", False, 4, False),
        ("o1-mini", [None] * 4, "never", False, 0, False),
        ("o3", ["low", "low", "medium", "high"], "never", False, 0, False),
        ("o4-mini-2025-04-16", ["low", "low", "medium", "high"], "never", False, 0, False),
        ("gpt-5", ["minimal", "low", "medium", "high"], "never", False, 0, False),
        ("gpt-5-mini", ["minimal", "low", "medium", "high"], "never", False, 0, False),
        ("gpt-5-codex", ["low", "low", "medium", "high"], "never", False, 0, False),
        ("gpt-5-pro", ["high"] * 4, "never", False, 0, False),
        ("gpt-5-chat-latest", [None] * 4, "always", True, 4, False),
        ("gpt-5.2-chat-latest", [None] * 4, "never", False, 0, False),
        ("gpt-5.2-pro", ["medium", "medium", "medium", "high"], "never", False, 0, False),
        ("gpt-5.1", ["none", "low", "medium", "high"], "unthinking", False, 0, False),
        ("gpt-5.6-sol", ["none", "low", "medium", "high"], "unthinking", False, 0, True),
        ("gpt-6", ["none", "low", "medium", "high"], "unthinking", False, 0, True),
        ("my-deployment", [None, "low", "medium", "high"], "always", True, 4, False),
        ("prod-gpt-5-mini", ["minimal", "low", "medium", "high"], "never", False, 0, False),
    ],
)
def test_by_its_name(
    model: str, efforts: list[str | None], samples: str, logprobs: bool, stops: int, keeps: bool
) -> None:
    found = generation_of(model)
    assert [effort_of(found, ModelRequest(reasoning=one)) for one in EFFORTS] == efforts
    assert effort_of(found, ModelRequest()) is None
    assert (found.samples, found.logprobs, found.stops, found.keeps) == (samples, logprobs, stops, keeps)


def test_options_overrule() -> None:
    assert generation_of("mine", {"reasons": "true"}).samples == "never"
    assert generation_of("mine", {"reasons": "true", "samples": "true"}).samples == "always"
    assert not generation_of("gpt-5", {"reasons": "false"}).reasons
    assert generation_of("mine", {"like": "gpt-5"}) == generation_of("gpt-5")
    assert generation_of("mine", {"keeps": "true"}).keeps
    for name in ("reasons", "samples", "keeps"):
        with pytest.raises(ConfigError, match=f"{name}='maybe'"):
            generation_of("m", {name: "maybe"})


def test_temperature_where_it_is_taken_only_without_thinking() -> None:
    warm = ModelRequest(temperature=0.3)
    assert samples_of(generation_of("gpt-5.1"), warm) == {}
    assert samples_of(generation_of("gpt-5.1"), replace(warm, reasoning="low")) == {}
    assert samples_of(generation_of("gpt-5.1"), replace(warm, reasoning="none")) == {"temperature": 0.3}


def test_models_of_others() -> None:
    """What is no effort for a model is an error for many a server."""
    none, low = ModelRequest(reasoning="none"), ModelRequest(reasoning="low")
    llama, oss = (generation_elsewhere(one, effort=True) for one in ("llama-3.3-70b", "openai/gpt-oss-120b"))
    assert (effort_of(llama, none), effort_of(llama, low)) == (None, "low")
    assert (effort_of(oss, none), effort_of(oss, low)) == ("low", "low")
    assert effort_of(generation_elsewhere("llama", effort=False), low) is None


def sent(model: str, **asked: Any) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(
        OpenAIChat(Target(provider="openai", base="", model=model)).call(replace(ASKED, **asked)).body
    )
    return body


def test_what_is_sent() -> None:
    settings: dict[str, Any] = {"temperature": 0.0, "top_p": 0.5, "stop": ("x",), "logprobs": True, "reasoning": "none"}
    dropped = {"temperature", "top_p", "stop", "logprobs"}
    assert not dropped & set(sent("gpt-5", **settings))
    assert dropped <= set(sent("gpt-4o", **settings))
    assert sent("gpt-5", **settings)["reasoning_effort"] == "minimal"
    assert "reasoning_effort" not in sent("gpt-4o", **settings)
    assert sent("gpt-4o", stop=tuple("abcdef"))["stop"] == ["a", "b", "c", "d"]


def test_what_is_declared() -> None:
    def can(model: str) -> tuple[bool, bool]:
        capabilities = OpenAIChat(Target(provider="openai", base="", model=model)).capabilities
        return capabilities.reasoning, capabilities.logprobs

    assert can("gpt-4o") == (False, True)
    assert can("gpt-5") == (True, False)
    mistral = wire_format(PRESETS["mistral"], Target(provider="mistral", base="", model="m"))
    assert "logprobs" not in json.loads(mistral.call(replace(ASKED, logprobs=True)).body)  # it declares none


async def test_questions_on_the_side_of_a_model_that_reasons() -> None:
    """Rewriting, summing up and learning ask for no thinking, no warmth and a schema: each model gets what it takes."""
    schema = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
    taken = {"gpt-5": ("minimal", None), "o3": ("low", None), "gpt-5.6": ("none", 0.0)}
    for model, (effort, temperature) in taken.items():
        suite = _Reasons()
        suite.model = model
        async with suite.both(Reply(pieces=('{"text": "x"}',))) as (double, ours):
            done = await ask_aside(
                ours, ASKED.messages, purpose="rewrite", tokens=200, seconds=5, payer=Payer(), schema=schema
            )
            assert done.text == '{"text": "x"}'
            body = double.seen[-1].body
            assert (body["reasoning_effort"], body.get("temperature")) == (effort, temperature)


async def test_a_cascade_of_a_model_that_reasons() -> None:
    """It has no log probabilities to doubt by: then they are not asked for, and the other signs decide."""
    async with _Reasons().both() as (double, ours):
        cascade = Cascade(ours, ours, thresholds=Thresholds(probability=0.5))
        done = await complete(cascade, replace(ASKED, temperature=0.0))
        assert done.text == Reply().text
        assert "logprobs" not in double.seen[-1].body
