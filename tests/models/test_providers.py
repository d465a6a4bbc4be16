"""The table of providers: every row is reachable, complete, and works against a double at its own path."""

import re
from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from sourcebook.errors import NotAuthorised
from sourcebook.models.base import complete
from sourcebook.models.opening import OPTIONS, open_http, wire_format
from sourcebook.models.providers import PRESETS
from sourcebook.models.wire import Target
from sourcebook.registry import BUILT_IN
from sourcebook.testing.doubles import Reply
from sourcebook.testing.wire import ASKED
from tests.models.doubles.openai_chat import MistralDouble, OpenAIChatDouble

CHAT = [name for name, preset in PRESETS.items() if preset.format == "openai_chat:OpenAIChat"]
SURROUNDINGS = {
    **{name.removesuffix("?"): "key" for one in PRESETS.values() for names in one.keys for name in names.split(":")},
    "DATABRICKS_HOST": "https://dbc.example.com",
}


def test_every_row_is_in_the_registry() -> None:
    behind_http = {name for name, entry in BUILT_IN["model"].items() if entry.path.endswith(":open_http")}
    assert behind_http == {*PRESETS, "http", "https"}


@pytest.mark.parametrize("name", PRESETS)
def test_every_row_is_complete(name: str) -> None:
    preset = PRESETS[name]
    assert preset.example.startswith(f"{name}:")
    assert preset.title
    assert re.match(r"[a-z0-9.-]+\.[a-z]+(/|$)", preset.source)
    assert preset.keys
    assert not preset.base.endswith("/")
    assert not set(preset.options) & set(OPTIONS)
    assert {*preset.environment, *preset.defaults, *preset.headers.values()} <= {"base", *preset.options}
    assert set(re.findall(r"{(\w+)}", preset.base)) <= set(preset.options)
    local = urlsplit(preset.base).hostname == "127.0.0.1"
    assert preset.base.startswith("http://" if local else "https://") or not preset.base
    assert not (local and preset.key_needed)


@pytest.mark.parametrize("name", PRESETS)
def test_every_example_opens(name: str) -> None:
    model = open_http(PRESETS[name].example, environment=SURROUNDINGS)
    assert model.name.startswith(f"{name}:")
    call = model.wire.call(ASKED)
    assert urlsplit(call.url).scheme in ("http", "https")
    assert "{" not in call.url


@pytest.mark.parametrize("name", [name for name, preset in PRESETS.items() if preset.key_needed])
def test_a_key_that_is_missing_is_named(name: str) -> None:
    with pytest.raises(NotAuthorised) as caught:
        open_http(PRESETS[name].example, environment={})
    assert PRESETS[name].keys[0].split(":")[0] in caught.value.remedy


def test_capabilities_depend_on_no_key() -> None:
    for name, preset in PRESETS.items():
        target = Target(provider=name, base="https://host", model="model", options=preset.defaults)
        assert wire_format(preset, target).capabilities.streams


@pytest.mark.parametrize("name", CHAT)
async def test_every_row_of_openais_format_answers(name: str) -> None:
    preset = PRESETS[name]
    assert preset.dialect is not None or name == "openai"
    place = urlsplit(preset.base.format(endpoint="e1")).path + preset.root

    class Here(MistralDouble if name == "mistral" else OpenAIChatDouble):  # type: ignore[misc]
        path = f"{place}/chat/completions"
        unknown = ("continue_final_message", "add_generation_prompt")

    async with Here() as double:
        base = double.url if preset.root else double.url + place
        model = open_http(f"{name}:some-model?base={base}&key_env=K", environment={"K": double.key})
        for streamed in (True, False):
            done = await complete(model, replace(ASKED, streamed=streamed, seed=7, reasoning="low"))
            assert done.text == Reply().text
            assert done.finish.usage.exact
            assert not double.seen[-1].headers.get("x-found-wrong")
        await model.close()
