"""Where keys come from, and that they are shown nowhere."""

import json
import logging
import os
import stat
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sourcebook.errors import ConfigError, MissingExtra, NotAuthorised
from sourcebook.models import keystore
from sourcebook.models.keys import FILE, Keys, looks_like_key, refuse_keys
from sourcebook.models.keystore import KeyStore

KEY = "sk-proj-4f9aQ1tZ8uVw2Xy3Kb7Lm5Np"
OTHER = "gsk_1aB2cD3eF4gH5iJ6kL7mN8oP9qR0"


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keystore, "_COST", {"n": 2**4, "r": 8, "p": 1})


def test_the_order(tmp_path: Path) -> None:
    keys = Keys(tmp_path, environment={"SOURCEBOOK_KEY_PASSPHRASE": "open sesame"})
    assert keys.find("openai", ["OPENAI_API_KEY"]) is None
    keys.encrypt("openai", "from-the-store", "open sesame")
    assert keys.find("openai", ["OPENAI_API_KEY"]) == "from-the-store"
    keys.write("openai", "from-the-file")
    assert keys.find("openai", ["OPENAI_API_KEY"]) == "from-the-file"
    there = Keys(tmp_path, environment={"FIRST": " ", "SECOND": " from-a-variable\n", "MINE": "named"})
    assert there.find("openai", ["FIRST", "SECOND"]) == "from-a-variable"
    assert there.find("openai", ["FIRST", "SECOND"], key_env="MINE") == "named"


def test_several_variables_make_one_key() -> None:
    names = ["TOKEN", "ID:SECRET:SESSION?"]
    assert Keys(None, environment={"ID": "a"}).find("bedrock", names) is None
    assert Keys(None, environment={"ID": "a", "SECRET": "b"}).find("bedrock", names) == "a:b"
    assert Keys(None, environment={"ID": "a", "SECRET": "b", "SESSION": "c"}).find("bedrock", names) == "a:b:c"
    with pytest.raises(NotAuthorised, match=r"Set TOKEN or ID, SECRET, SESSION in the environment, or run: sourcebook"):
        Keys(None, environment={}).need("bedrock", names)


def test_a_missing_key_names_what_to_set(tmp_path: Path) -> None:
    keys = Keys(tmp_path, environment={})
    with pytest.raises(NotAuthorised) as caught:
        keys.need("groq", ["GROQ_API_KEY"])
    assert caught.value.remedy == "Set GROQ_API_KEY in the environment, or run: sourcebook key set groq"
    assert caught.value.provider == "groq"
    with pytest.raises(NotAuthorised, match=r"MY_KEY is not set\. Set MY_KEY"):
        keys.find("groq", ["GROQ_API_KEY"], key_env="MY_KEY")


@pytest.mark.skipif(os.name != "posix", reason="permissions are kept elsewhere")
def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    keys = Keys(tmp_path, environment={})
    path = keys.write("openai", KEY)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for mode in (0o640, 0o604, 0o660):
        path.chmod(mode)
        with pytest.raises(ConfigError, match=rf"mode {mode:o}.*chmod 600"):
            keys.find("openai")
    path.chmod(0o400)
    assert keys.find("openai") == KEY


def test_the_file_is_not_committed_by_mistake(tmp_path: Path) -> None:
    Keys(tmp_path, environment={}).write("openai", KEY)
    assert (tmp_path / ".gitignore").read_text() == "/keys.toml\n"
    (tmp_path / ".gitignore").write_text("mine\n")
    Keys(tmp_path, environment={}).write("openai", KEY)
    assert (tmp_path / ".gitignore").read_text() == "mine\n"


def test_hosts_are_names_too(tmp_path: Path) -> None:
    keys = Keys(tmp_path, environment={})
    for name in ("llm.example.com:8000", "openai", 'odd"name'):
        keys.write(name, f"key-of-{len(name)}")
    assert [one.provider for one in keys.places({})] == ["llm.example.com:8000", 'odd"name', "openai"]
    assert keys.find("llm.example.com:8000") == "key-of-20"
    assert not list(tmp_path.glob(".keys*"))


@pytest.mark.parametrize("text", ["openai = ", 'openai = "a', "openai = 7", f'[openai]\nkey = "{KEY}"', f'x = "{KEY}'])
def test_a_file_that_is_wrong_shows_nothing(tmp_path: Path, text: str) -> None:
    path = tmp_path / FILE
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(ConfigError) as caught:
        Keys(tmp_path, environment={}).find("openai")
    shown = f"{caught.value}{caught.value.__cause__}"
    assert KEY not in shown
    assert str(path) in shown


@pytest.mark.parametrize("key", ["", "  ", "two\nlines", "schlüssel", "nul\x00"])
def test_what_is_no_key(tmp_path: Path, key: str) -> None:
    with pytest.raises(ConfigError, match="The key for openai is not a key"):
        Keys(tmp_path, environment={}).write("openai", key)


# --- the store --------------------------------------------------------------------------------------------------


def test_the_store_opens_by_its_passphrase_only(tmp_path: Path) -> None:
    store = KeyStore(tmp_path / "keys.enc")
    assert store.names() == []
    store.put("openai", KEY, "open sesame")
    store.put("groq", OTHER, "open sesame")
    written = store._path.read_bytes()
    assert KEY.encode() not in written
    assert store.names() == ["groq", "openai"]  # without a passphrase
    assert store.get("openai", "open sesame") == KEY
    for act in (lambda: store.get("openai", "guess"), lambda: store.put("x", "y", "guess")):
        with pytest.raises(NotAuthorised, match="does not open"):
            act()
    store.put("groq", None, "open sesame")
    assert store.names() == ["openai"]
    if os.name == "posix":
        assert stat.S_IMODE(store._path.stat().st_mode) == 0o600


def test_the_same_key_is_never_sealed_the_same(tmp_path: Path) -> None:
    store = KeyStore(tmp_path / "keys.enc")
    sealed = set()
    for _ in range(3):
        store.put("openai", KEY, "open sesame")
        sealed.add(store._path.read_bytes())
    assert len(sealed) == 3


@pytest.mark.parametrize(
    ("field", "value"),
    [("names", ["anthropic"]), ("salt", "AAAAAAAAAAAAAAAAAAAAAA=="), ("n", 8), ("nonce", "AAAAAAAAAAAAAAAA")],
)
def test_a_store_that_was_changed_does_not_open(tmp_path: Path, field: str, value: object) -> None:
    store = KeyStore(tmp_path / "keys.enc")
    store.put("openai", KEY, "open sesame")
    stored = json.loads(store._path.read_text())
    store._path.write_text(json.dumps(stored | {field: value}))
    with pytest.raises(NotAuthorised):
        store.get("openai", "open sesame")


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"version": 1}', "\x00"])
def test_a_damaged_store_says_so(tmp_path: Path, text: str) -> None:
    (tmp_path / "keys.enc").write_text(text)
    with pytest.raises(ConfigError, match="is not a key store"):
        Keys(tmp_path, environment={}).find("openai")


@pytest.mark.parametrize(("field", "value"), [("nonce", "?"), ("nonce", ""), ("sealed", "abc"), ("salt", "x")])
def test_a_store_whose_fields_are_damaged_says_so(tmp_path: Path, field: str, value: str) -> None:
    store = KeyStore(tmp_path / "keys.enc")
    store.put("openai", KEY, "open sesame")
    stored = json.loads(store._path.read_text())
    store._path.write_text(json.dumps(stored | {field: value}))
    with pytest.raises(ConfigError, match="damaged"):
        store.get("openai", "open sesame")


def test_keys_that_are_set_at_once_are_all_kept(tmp_path: Path) -> None:
    def put(number: int) -> None:
        keys = Keys(tmp_path, environment={})
        if number % 2:
            keys.write(f"host{number}.example", KEY)
        else:
            keys.encrypt(f"host{number}.example", KEY, "open sesame")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(put, range(12)))
    assert len(Keys(tmp_path, environment={}).places({})) == 12


def test_a_store_that_asks_for_all_memory_is_refused(tmp_path: Path) -> None:
    store = KeyStore(tmp_path / "keys.enc")
    store.put("openai", KEY, "open sesame")
    stored = json.loads(store._path.read_text())
    store._path.write_text(json.dumps(stored | {"n": 2**40}))
    with pytest.raises(ConfigError):
        store.names()
    store._path.write_text(json.dumps(stored | {"version": 2}))
    with pytest.raises(ConfigError, match="newer release"):
        store.names()


def test_the_passphrase_is_asked_for_only_where_it_is_needed(tmp_path: Path) -> None:
    asked: list[str] = []

    def ask(what: str) -> str:
        asked.append(what)
        return "open sesame"

    Keys(tmp_path, environment={}).encrypt("openai", KEY, "open sesame")
    assert Keys(tmp_path, environment={}, ask=ask).find("groq") is None
    assert not asked
    assert Keys(tmp_path, environment={}, ask=ask).find("openai") == KEY
    assert len(asked) == 1
    with pytest.raises(NotAuthorised, match="Set SOURCEBOOK_KEY_PASSPHRASE"):
        Keys(tmp_path, environment={}).find("openai")


def test_an_encrypted_key_is_no_longer_in_the_file(tmp_path: Path) -> None:
    keys = Keys(tmp_path, environment={})
    keys.write("openai", KEY)
    keys.encrypt("openai", KEY, "open sesame")
    assert KEY not in (tmp_path / FILE).read_text()
    assert [one.place for one in keys.places({})] == ["keys.enc"]


def test_removing(tmp_path: Path) -> None:
    keys = Keys(tmp_path, environment={})
    keys.encrypt("openai", KEY, "open sesame")
    keys.write("openai", KEY)
    assert keys.remove("openai", passphrase=lambda: "open sesame") == ["keys.toml", "keys.enc"]
    assert keys.remove("openai") == []
    assert keys.places({}) == []


def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    with pytest.raises(MissingExtra, match=r'pip install "sourcebook\[keys\]"'):
        Keys(tmp_path, environment={}).encrypt("openai", KEY, "open sesame")


# --- keys where none may be ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        KEY,
        OTHER,
        "sk-ant-api03-R2D2c3poR2D2c3poR2D2c3po-aaaa",
        "hf_aB3dE5gH7jK9mN1pQ3sT5vX7zA9cE1gH3j",
        "r8_4fAbCdEfGhIjKlMnOpQrStUvWxYz0123456",
        "AKIAIOSFODNN7EXAMPLE"[:16] + "ABCD",
        "AIzaSyA1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q",
        "dapi0123456789abcdef0123456789abcdef",
        "Bearer abcdefghijkl",
        f"openai:gpt-4o?key={KEY}",
        "xai-1aB2cD3eF4gH5iJ6kL7mN8oP9qR0sT1uV2wX3",
    ],
)
def test_what_looks_like_a_key(text: str) -> None:
    assert looks_like_key(text)
    with pytest.raises(ConfigError) as caught:
        refuse_keys({"parts": {"model": text}}, "sourcebook.toml")
    assert "parts.model holds what looks like a key" in str(caught.value)
    assert text not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "openai:gpt-4o-mini-2024-07-18",
        "fireworks:accounts/fireworks/models/llama-v3p3-70b-instruct",
        "sk-learn-is-a-library-for-machine-learning",
        "huggingface:HuggingFaceTB/SmolLM2-1.7B-Instruct",
        "sqlite:catalog.db",
        "hf_transformers_are_not_keys_but_words",
        "databricks:databricks-meta-llama-3-3-70b-instruct?base=https://my-workspace.cloud.databricks.com",
        "bedrock:us.anthropic.claude-sonnet-4-20250514-v1:0",
        "replicate:meta/llama:5c7854e8f5e8f5e8a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718",
    ],
)
def test_what_does_not(text: str) -> None:
    assert not looks_like_key(text)
    refuse_keys({"parts": {"model": text}, "list": [text], "number": 3}, "sourcebook.toml")


def test_examples_of_every_provider_are_no_keys() -> None:
    from sourcebook.models.providers import PRESETS

    assert not [one.example for one in PRESETS.values() if looks_like_key(one.example)]


async def test_keys_are_shown_nowhere(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from sourcebook.models.base import complete
    from sourcebook.models.opening import open_http
    from sourcebook.testing.wire import ASKED
    from tests.models.doubles.openai_chat import OpenAIChatDouble

    caplog.set_level(logging.DEBUG)
    async with OpenAIChatDouble() as double:
        url = f"openai:gpt-4o?base={double.url}/v1"
        model = open_http(url, home=tmp_path, environment={"OPENAI_API_KEY": KEY})
        with pytest.raises(NotAuthorised) as caught:  # it is not the double's key, and the double quotes it
            await complete(model, ASKED)
        call = model.wire.call(ASKED)
        await model.close()
    shown = [repr(one) for one in (caught.value, model, model.wire, call, vars(caught.value), Keys(tmp_path))]
    assert KEY in str(call.headers)  # it was sent
    assert KEY not in "".join([*shown, str(caught.value), caplog.text, model.name, call.body.decode(), call.url])
