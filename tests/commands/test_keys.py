"""sourcebook key."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sourcebook.commands.keys import key
from sourcebook.errors import ConfigError, SourcebookError
from sourcebook.models import keystore
from sourcebook.models.providers import PRESETS

KEY = "sk-proj-4f9aQ1tZ8uVw2Xy3Kb7Lm5Np"


@pytest.fixture(autouse=True)
def no_keys_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keystore, "_COST", {"n": 2**4, "r": 8, "p": 1})
    for preset in PRESETS.values():
        for names in preset.keys:
            for name in names.split(":"):
                monkeypatch.delenv(name.removesuffix("?"), raising=False)


def run(home: Path, *arguments: str, said: str = "") -> Result:
    result = CliRunner().invoke(key, [*arguments, "--home", str(home)], input=said)
    assert KEY not in result.output
    return result


def test_set_list_and_remove(tmp_path: Path) -> None:
    assert "There are no keys" in run(tmp_path, "list").output
    assert run(tmp_path, "set", "openai", said=f"{KEY}\n").output == f"Kept in {tmp_path / 'keys.toml'}\n"
    assert run(tmp_path, "list").output.split() == ["openai", "keys.toml"]
    assert json.loads(run(tmp_path, "list", "--json").output) == [{"provider": "openai", "place": "keys.toml"}]
    assert run(tmp_path, "remove", "openai").output == "Removed from keys.toml\n"
    missing = run(tmp_path, "remove", "openai")
    assert missing.exit_code == 3
    assert "no key for openai" in missing.output


def test_the_encrypted_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCEBOOK_KEY_PASSPHRASE", "open sesame")
    assert "keys.enc" in run(tmp_path, "set", "groq", "--encrypt", said=f"{KEY}\n").output
    assert not (tmp_path / "keys.toml").exists()
    monkeypatch.delenv("SOURCEBOOK_KEY_PASSPHRASE")
    assert run(tmp_path, "list").output.split() == ["groq", "keys.enc"]
    assert isinstance(run(tmp_path, "remove", "groq", said="guess\n").exception, SourcebookError)
    assert "Removed from keys.enc" in run(tmp_path, "remove", "groq", said="open sesame\n").output


def test_the_environment_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "another")
    assert "environment OPENAI_API_KEY comes before it" in run(tmp_path, "set", "openai", said=f"{KEY}\n").output


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("openai:gpt-4o", "openai"),
        ("https://my.host/v1", "my.host"),
        ("https://my.host:8443/v1?model=m", "my.host:8443"),
        ("http://localhost", "localhost"),
        ("10.0.0.7:8080", "10.0.0.7:8080"),
    ],
)
def test_urls_name_a_provider_too(said: str, kept: str, tmp_path: Path) -> None:
    run(tmp_path, "set", said, said=f"{KEY}\n")
    assert run(tmp_path, "list").output.split() == [kept, "keys.toml"]
    assert run(tmp_path, "remove", said).exit_code == 0


def test_slips(tmp_path: Path) -> None:
    wrong = run(tmp_path, "set", "opneai", said=f"{KEY}\n").exception
    assert isinstance(wrong, ConfigError)
    assert "'opneai' is neither a provider nor a host" in str(wrong)
    shown = CliRunner().invoke(key, ["set", KEY, "--home", str(tmp_path)]).exception
    assert "stands in the history of your shell" in str(shown)
    assert run(tmp_path, "set", "llm.example.com", said=f"{KEY}\n").exit_code == 0
    assert isinstance(run(tmp_path, "set", "openai", said="\n").exception, ConfigError)
