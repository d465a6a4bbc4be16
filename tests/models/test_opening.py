"""A model's URL -> the model."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from sourcebook.errors import ConfigError, NotAuthorised
from sourcebook.models.base import Message, complete
from sourcebook.models.http import HttpModel
from sourcebook.models.keys import Keys
from sourcebook.models.opening import open_http, read_url
from sourcebook.registry import find
from sourcebook.testing.doubles import Reply
from sourcebook.testing.wire import ASKED
from tests.models.doubles.openai_chat import OpenAIChatDouble

KEY = "key-of-the-test"


def opened(url: str, environment: Mapping[str, str] | None = None, **context: object) -> HttpModel:
    return open_http(url, environment={"OPENAI_API_KEY": KEY, **(environment or {})}, **context)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("url", "provider", "model", "options"),
    [
        ("openai:gpt-4o", "openai", "gpt-4o", {}),
        ("ollama:llama3.2:3b", "ollama", "llama3.2:3b", {}),
        ("together:meta-llama/Llama-3.3-70B", "together", "meta-llama/Llama-3.3-70B", {}),
        ("huggingface:a/b%20c:groq", "huggingface", "a/b c:groq", {}),
        (
            "vllm:Qwen/Qwen3?base=http://gpu:8000/v1&window=32768",
            "vllm",
            "Qwen/Qwen3",
            {"base": "http://gpu:8000/v1", "window": "32768"},
        ),
        ("https://llm.example.com/v1?model=a+b&timeout=5", "llm.example.com", "a+b", {"timeout": "5"}),
        ("http://10.0.0.7:8080/v1/?model=m", "10.0.0.7:8080", "m", {}),
    ],
)
def test_urls(url: str, provider: str, model: str, options: Mapping[str, str]) -> None:
    read = read_url(url)
    assert (read.provider, read.model, read.options) == (provider, model, options)
    assert not read.base.endswith("/")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("openai:", "names no model. Write for example openai:gpt-4o"),
        ("openai", "names no model"),
        ("nobody:gpt", "names no provider. Known: .*openai"),
        ("https://llm.example.com/v1", r"names no model. Write https://llm.example.com/v1\?model=NAME"),
        ("https:///v1?model=m", "not the address of a server"),
        ("https://host:port/v1?model=m", "is not a URL"),
        ("https://me:secret@host/v1?model=m", "holds a user or a password"),
        ("openai:gpt-4o?base=ftp://x", "not the address of a server"),
        ("openai:gpt-4o?base=https://x/v1%3Fa=b", "not the address of a server"),
        ("openai:gpt-4o?colour=red", "unknown option 'colour'. Known: base, key_env, window, timeout, header.NAME"),
        ("openai:gpt-4o?base", "base has no value"),
        ("openai:gpt-4o?window=1&window=2", "has window twice"),
        ("openai:gpt-4o?window=many", "window is 'many'"),
        ("openai:gpt-4o?window=0", "window is '0'"),
        ("openai:gpt-4o?timeout=-1", "timeout is '-1'"),
        ("openai:gpt-4o?api_key=abc", "keys do not belong into settings. Run: sourcebook key set openai"),
        ("openai:gpt-4o?header.Authorization=abc", r"write header_env.Authorization=VARIABLE"),
        ("openai:gpt-4o?header.X-Api-Key=abc", "secret header"),
        ("openai:gpt-4o?header.a b=c", "is not a header"),
        ("openai:gpt-4o?header.a=c%0d%0ad", "is not a header"),
        ("openai:gpt-4o?header_env.X-Token=NOBODY_SET_THIS", "NOBODY_SET_THIS is not set"),
        ("azure:mine", r"has no resource. Add \?resource="),
        ("anyscale:mine", r"does not say where Anyscale is. Add \?base=https://..., or set ANYSCALE_SERVICE_URL"),
        ("modal:mine", r"does not say where Modal is. Add \?base=https://...$"),
        ("runpod:mine", r"has no endpoint. Add \?endpoint=..., or set RUNPOD_ENDPOINT_ID"),
    ],
)
def test_urls_that_are_wrong(url: str, said: str) -> None:
    keys = dict.fromkeys(("AZURE_OPENAI_API_KEY", "ANYSCALE_API_KEY", "RUNPOD_API_KEY"), KEY)
    with pytest.raises(ConfigError, match=said) as caught:
        opened(url, keys)
    assert "abc" not in str(caught.value)


def test_a_key_in_the_url_is_not_repeated() -> None:
    key = "sk-proj-4f9aQ1tZ8uVw2Xy3Kb7Lm5Np"
    for url in (f"openai:gpt-4o?base=https://x/{key}", f"openai:{key}", f"https://host/v1?model=m&header.X={key}"):
        with pytest.raises(ConfigError) as caught:
            opened(url)
        assert key not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "openi:gpt-4o?api_key=hunter2secret",
        "openai:gpt-4o?api_key=hunter2secret&api_key=x",
        "openai:gpt-4o?colour=hunter2secret",
        "openai:m?base=https://user:hunter2secret@host/v1&window=abc",
        "openai:m?base=https://host/v1%3Ftoken=hunter2secret",
        "https://user:hunter2secret@host:9x/v1?model=m",
        "https://user:hunter2secret@host/v1",
        "https://host/v1?key=hunter2secret",
    ],
)
def test_no_message_has_what_keys_are_put_into(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        opened(url, {"OPENAI_API_KEY": KEY})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "remedy"),
    [
        ("anthropic:m?thinking=budgets", "budget, adaptive, none"),
        ("anthropic:m?samples=7", "0, 1, 2"),
        ("anthropic:m?continues=yes", "true, false"),
        ("anthropic:m?auth=Bearer", "bearer"),
        ("gemini:m?thinking=no", "budget, level, none"),
        ("openai:m?keeps=yes", "true, false"),
        ("replicate:a/b?template=jinja", "plain, chatml, llama3, mistral"),
        ("https://host/v1?model=m&limit=tokens", "max_tokens, max_completion_tokens"),
    ],
)
def test_options_with_few_values(url: str, remedy: str) -> None:
    with pytest.raises(ConfigError, match=f"It may be: {remedy}"):
        opened(url, keyless=True)


def test_kept_keys_serve_all_formats_of_a_provider(tmp_path: Path) -> None:
    Keys(tmp_path).write("openai", KEY)
    Keys(tmp_path).write("tgi", "key-of-tgi-4711")
    model = open_http("openai-responses:gpt-5", home=tmp_path, environment={})
    assert model.wire.call(ASKED).headers["Authorization"] == f"Bearer {KEY}"
    model = open_http("tgi-chat:tgi", home=tmp_path, environment={})
    assert model.wire.call(ASKED).headers["Authorization"] == "Bearer key-of-tgi-4711"
    Keys(tmp_path).write("openai-responses", "another-key-4711")
    model = open_http("openai-responses:gpt-5", home=tmp_path, environment={})
    assert model.wire.call(ASKED).headers["Authorization"] == "Bearer another-key-4711"
    with pytest.raises(NotAuthorised):
        open_http("xai:grok-4", home=tmp_path, environment={})


def test_any_server_can_be_described() -> None:
    begun = replace(ASKED, messages=(*ASKED.messages, Message(role="assistant", text="In")), reasoning="low")
    base = "https://llm.example.com/v1?model=m"
    options = "&limit=max_completion_tokens&usage=false&effort=true&continues=vllm&thoughts=reasoning"
    model = opened(base + options)
    body = json.loads(model.body(begun))
    assert body["max_completion_tokens"] == ASKED.max_output_tokens
    assert body["reasoning_effort"] == "low"
    assert body["continue_final_message"] is True
    assert "stream_options" not in body
    assert model.capabilities.continues
    assert opened(f"{base}&continues=plain").capabilities.continues
    plain = opened(base)
    assert not plain.capabilities.continues
    assert {"max_tokens", "stream_options"} <= set(json.loads(plain.body(ASKED)))


def test_the_registry_finds_it() -> None:
    for url in ("openai:gpt-4o", "https://llm.example.com/v1?model=m", "http://localhost/v1?model=m"):
        assert find("model", url) is open_http


@pytest.mark.parametrize(
    ("url", "environment", "called"),
    [
        ("openai:gpt-4o", {}, "https://api.openai.com/v1/chat/completions"),
        (
            "openai:gpt-4o",
            {"OPENAI_BASE_URL": "https://eu.example.com/v1/"},
            "https://eu.example.com/v1/chat/completions",
        ),
        ("openai:m?base=https://here/v2", {"OPENAI_BASE_URL": "https://there"}, "https://here/v2/chat/completions"),
        ("vllm:m", {}, "http://127.0.0.1:8000/v1/chat/completions"),
        ("vllm:m?base=http://gpu:9/", {}, "http://gpu:9/v1/chat/completions"),
        ("vllm:m?base=http://gpu:9/v1", {}, "http://gpu:9/v1/chat/completions"),
        ("vllm:m?base=http://gpu:9/llm/v1/", {}, "http://gpu:9/llm/v1/chat/completions"),
        ("ollama:m", {"OLLAMA_HOST": "gpu:11434"}, "http://gpu:11434/api/chat"),
        ("ollama:m", {"OLLAMA_HOST": "192.168.1.5"}, "http://192.168.1.5:11434/api/chat"),
        ("ollama:m", {"OLLAMA_HOST": "[::1]/"}, "http://[::1]:11434/api/chat"),
        ("ollama:m", {"OLLAMA_HOST": "https://gpu.example.com"}, "https://gpu.example.com/api/chat"),
        (
            "azure:mine?base=https://r.openai.azure.com/openai/v1/",
            {"AZURE_OPENAI_API_KEY": KEY},
            "https://r.openai.azure.com/openai/v1/chat/completions",
        ),
        (
            "databricks:m",
            {"DATABRICKS_HOST": "adb-1.azuredatabricks.net", "DATABRICKS_TOKEN": KEY},
            "https://adb-1.azuredatabricks.net/serving-endpoints/chat/completions",
        ),
        (
            "runpod:a/b?endpoint=e1",
            {"RUNPOD_API_KEY": KEY},
            "https://api.runpod.ai/v2/e1/openai/v1/chat/completions",
        ),
        (
            "azure:my dep?resource=mine",
            {"AZURE_OPENAI_API_KEY": KEY},
            "https://mine.openai.azure.com/openai/v1/chat/completions",
        ),
        (
            "azure:my dep?api_version=2024-10-21&base=https://mine.openai.azure.com/",
            {"AZURE_OPENAI_API_KEY": KEY},
            "https://mine.openai.azure.com/openai/deployments/my%20dep/chat/completions?api-version=2024-10-21",
        ),
        (
            "azure-responses:dep?resource=mine",
            {"AZURE_OPENAI_API_KEY": KEY, "OPENAI_API_VERSION": "2024-10-21"},
            "https://mine.openai.azure.com/openai/v1/responses",
        ),
        ("https://llm.example.com/api/v1/?model=m", {}, "https://llm.example.com/api/v1/chat/completions"),
    ],
)
def test_where_a_call_goes(url: str, environment: Mapping[str, str], called: str) -> None:
    assert opened(url, environment).wire.call(ASKED).url == called


def test_the_key_and_the_headers() -> None:
    sent = opened("openai:m?organization=acme&header.X-Trace=on&header_env.X-Proxy-Token=PT", {"PT": "hidden"})
    headers = sent.wire.call(ASKED).headers
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert headers["OpenAI-Organization"] == "acme"
    assert (headers["X-Trace"], headers["X-Proxy-Token"]) == ("on", "hidden")
    azure = opened("azure:dep?resource=mine", {"AZURE_OPENAI_API_KEY": "azures"}).wire.call(ASKED).headers
    assert azure["api-key"] == "azures"
    assert "Authorization" not in azure
    assert "Authorization" not in opened("vllm:m").wire.call(ASKED).headers
    assert opened("vllm:m?key_env=MINE", {"MINE": "k2"}).wire.call(ASKED).headers["Authorization"] == "Bearer k2"


def test_keys_of_others_are_not_sent_to_any_url(tmp_path: Path) -> None:
    url = "https://llm.example.com:8443/v1?model=m"
    assert "Authorization" not in opened(url, home=tmp_path).wire.call(ASKED).headers
    Keys(tmp_path, environment={}).write("llm.example.com:8443", "hosts-own")
    assert opened(url, home=tmp_path).wire.call(ASKED).headers["Authorization"] == "Bearer hosts-own"


def test_no_key() -> None:
    with pytest.raises(NotAuthorised, match=r"Set GROQ_API_KEY in the environment, or run: sourcebook key set groq"):
        opened("groq:llama")


@dataclass(frozen=True)
class Found:
    window: int = 0
    tokenizer: str = ""
    can: frozenset[str] = frozenset()


class Counter:
    def __init__(self, name: str) -> None:
        self.name = f"counts-{name}"

    def count(self, text: str) -> int:
        return 42


def test_models_of_one_name_on_two_servers_are_two_models() -> None:
    names = [
        opened(url).name
        for url in ("vllm:Qwen?base=http://gpu1:8000/v1", "vllm:Qwen?base=http://gpu2:8000/v1", "vllm:Qwen")
    ]
    assert names == ["vllm:Qwen@gpu1:8000", "vllm:Qwen@gpu2:8000", "vllm:Qwen"]


def test_what_is_known_of_the_model() -> None:
    asked: list[tuple[str, str]] = []

    def known(provider: str, model: str) -> Found | None:
        asked.append((provider, model))
        return Found(window=77, tokenizer="o200k", can=frozenset({"tools"})) if provider == "openai" else None

    model = opened("openai-responses:gpt-5", known=known, count=Counter)
    assert asked == [("openai", "gpt-5")]
    assert (model.window, model.count_tokens("x"), model.name) == (77, 42, "openai-responses:gpt-5")
    assert model.capabilities.tools
    assert not model.capabilities.images
    assert opened("openai:gpt-5?window=9", known=known).window == 9
    assert opened("vllm:m", known=known).window == 8192
    assert opened("openai:m").window == 128_000
    assert opened("openai:m").capabilities.images
    assert opened("openai:m").count_tokens("One two") == 3


def test_how_much_silence_is_borne() -> None:
    assert opened("openai:m")._idle == 600  # it thinks without a word
    assert opened("openai:m?timeout=7.5")._idle == 7.5
    assert opened("https://llm.example.com/v1?model=m")._idle == 120


def test_a_server_that_must_be_told_its_window() -> None:
    for url, found, window in (
        ("ollama:m", None, 8192),
        ("ollama:m", Found(window=131_072), 8192),
        ("ollama:m", Found(window=2048), 2048),
        ("ollama:m?window=32768", None, 32_768),
        ("ollama:m?num_ctx=4096", Found(window=131_072), 4096),
    ):
        model = opened(url, known=lambda *_, found=found: found)
        assert model.window == window
        assert json.loads(model.wire.call(ASKED).body)["options"]["num_ctx"] == window


async def test_a_model_from_a_url_answers() -> None:
    async with OpenAIChatDouble() as double:
        model = opened(f"{double.url}/v1?model=mine&key_env=K&timeout=2.5", {"K": double.key})
        done = await complete(model, ASKED)
        await model.close()
        assert done.text == Reply().text
        assert model.name == f"{double.url.removeprefix('http://')}:mine"
        assert double.seen[-1].body["model"] == "mine"


def test_opening_touches_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    monkeypatch.setattr(socket, "socket", None)
    assert opened("openai:gpt-4o").name == "openai:gpt-4o"
