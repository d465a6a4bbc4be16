"""Settings: defaults, then the file, then the environment; and an error that names what is wrong."""

import json
import tomllib
from dataclasses import FrozenInstanceError, asdict, fields
from pathlib import Path

import pytest

from sourcebook import config
from sourcebook.config import Config, load, template
from sourcebook.errors import ConfigError
from sourcebook.parse.base import Limits


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


def write(home: Path, text: str) -> None:
    (home / config.FILE).write_text(text, encoding="utf-8")


def test_without_a_file_the_defaults_hold(home: Path) -> None:
    assert load(home, {}) == Config()


def test_nothing_paid_or_remote_is_a_default() -> None:
    assert asdict(Config().parts) == {
        "catalog": "sqlite:catalog.db",
        "index": "qdrant:index",
        "embed": "minilm",
        "model": "extractive",
    }


def test_the_file_overrides_the_defaults_and_the_environment_the_file(home: Path) -> None:
    write(home, '[chunk]\ntokens = 100\noverlap = 7\n[parts]\nembed = "hashing"\n[parse]\nmax_seconds = 3\n')
    found = load(home, {"SOURCEBOOK_CHUNK_TOKENS": "300", "SOURCEBOOK_RETRIEVE_MERGE": "off", "CHUNK_TOKENS": "1"})
    assert found.chunk == config.Chunk(tokens=300, overlap=7)
    assert found.parts.embed == "hashing"
    assert found.parse.max_seconds == 3.0
    assert isinstance(found.parse.max_seconds, float)
    assert found.retrieve.merge is False
    assert found.answer == config.Answer()


def test_the_process_environment_is_what_counts_by_default(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCEBOOK_ANSWER_SENTENCES", "5")
    assert load(home).answer.sentences == 5


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", True), ("TRUE", True), ("yes", True), ("on", True), ("0", False), ("No", False), ("off", False)],
)
def test_truth_values_in_the_environment(home: Path, text: str, value: bool) -> None:
    assert load(home, {"SOURCEBOOK_SOURCES_HIDDEN": text}).sources.hidden is value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("this is no toml", "not valid TOML"),
        ("[chunck]\ntokens = 5", r"unknown section \[chunck\]"),
        ("[chunk]\ntoken = 5", r"\[chunk\] has no setting 'token'. Known: tokens, overlap"),
        ("chunk = 5", "chunk must be a section"),
        ('[chunk]\ntokens = "200"', "chunk.tokens must be a whole number, not '200'"),
        ("[chunk]\ntokens = 1.5", "chunk.tokens must be a whole number, not 1.5"),
        ("[chunk]\ntokens = true", "chunk.tokens must be a whole number, not True"),
        ("[retrieve]\nmerge = 1", "retrieve.merge must be a true or false, not 1"),
        ("[retrieve]\ndense = true", "retrieve.dense must be a number"),
        ("[parts]\nembed = 1", "parts.embed must be a text"),
        ("[chunk]\ntokens = 15", "chunk.tokens is 15, but must be at least 16"),
        ("[chunk]\ntokens = 100\noverlap = 51", r"chunk.overlap \(51\) is more than half of chunk.tokens \(100\)"),
        ('[retrieve]\nfusion = "max"', 'retrieve.fusion is \'max\'. Use "standardised" or "rrf"'),
        ("[retrieve]\ndense = 0\nkeyword = 0", "both 0"),
        ("[retrieve]\ndense = nan", "retrieve.dense is nan"),
        ("[parse]\nmax_seconds = inf", "parse.max_seconds is inf"),
    ],
)
def test_what_is_wrong_in_the_file_is_named(home: Path, text: str, said: str) -> None:
    write(home, text)
    with pytest.raises(ConfigError, match=said) as caught:
        load(home, {})
    assert caught.value.remedy


def test_a_file_in_another_encoding_or_no_file_at_all_is_named(home: Path) -> None:
    (home / config.FILE).write_bytes("# Größe\n[chunk]".encode("latin-1"))
    with pytest.raises(ConfigError, match="not valid TOML"):
        load(home, {})
    (home / config.FILE).unlink()
    (home / config.FILE).mkdir()
    with pytest.raises(ConfigError, match=r"sourcebook.toml cannot be read"):
        load(home, {})


@pytest.mark.parametrize(
    ("variable", "text", "said"),
    [
        ("SOURCEBOOK_CHUNK_TOKENS", "many", "SOURCEBOOK_CHUNK_TOKENS='many' is not a whole number"),
        ("SOURCEBOOK_CHUNK_TOKENS", "", "is not a whole number"),
        ("SOURCEBOOK_RETRIEVE_DENSE", "half", "is not a number"),
        ("SOURCEBOOK_RETRIEVE_DENSE", "nan", "retrieve.dense is nan"),
        ("SOURCEBOOK_RETRIEVE_DENSE", "-1", "retrieve.dense is -1.0, but must be at least 0"),
        ("SOURCEBOOK_RETRIEVE_MERGE", "perhaps", "is neither true nor false"),
    ],
)
def test_what_is_wrong_in_the_environment_is_named(home: Path, variable: str, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load(home, {variable: text})


def test_every_number_has_a_least_value() -> None:
    numbers = {
        f"{name}.{one.name}"
        for name, kind in config.SECTIONS.items()
        for one in fields(kind)
        if isinstance(getattr(kind(), one.name), int | float) and not isinstance(getattr(kind(), one.name), bool)
    }
    assert numbers == set(config.LEAST)


@pytest.mark.parametrize("setting", sorted(config.LEAST))
def test_every_least_value_is_heeded(home: Path, setting: str) -> None:
    section, name = setting.split(".")
    least = config.LEAST[setting]
    below = least / 2 if isinstance(getattr(getattr(Config(), section), name), float) and least else least - 1
    with pytest.raises(ConfigError, match=f"{section}.{name} is "):
        load(home, {f"SOURCEBOOK_{section}_{name}".upper(): f"{below:g}" if least < 1e6 else str(int(below))})


def test_the_template_says_every_default(home: Path) -> None:
    text = template()
    write(home, text)
    assert load(home, {}) == Config()
    uncommented = "\n".join(line.removeprefix("# ") if " = " in line else line for line in text.splitlines())
    assert tomllib.loads(uncommented) == json.loads(json.dumps(asdict(Config())))  # tuples as lists
    write(home, uncommented)
    assert load(home, {}) == Config()


def test_sections_and_fields_are_the_same_thing() -> None:
    assert list(config.SECTIONS) == [one.name for one in fields(Config)]
    for name, kind in config.SECTIONS.items():
        assert type(getattr(Config(), name)) is kind


def test_the_limits_of_parsing_are_settings() -> None:
    assert asdict(Limits()) == asdict(config.Parse())
    kinds = [{one.name: one.type for one in fields(kind)} for kind in (Limits, config.Parse)]
    assert kinds[0] == kinds[1]


def test_settings_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        Config().chunk.tokens = 5  # type: ignore[misc]


def test_a_slip_in_a_variable_is_an_error_as_it_is_in_the_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="SOURCEBOOK_PARTS_MODLE, which is no setting") as caught:
        config.load(tmp_path, {"SOURCEBOOK_PARTS_MODLE": "x"})
    assert "model" in caught.value.remedy
    config.load(tmp_path, {"SOURCEBOOK_HOME": "x", "SOURCEBOOK_KEY_PASSPHRASE": "x", "SOURCEBOOK_": "x"})


def test_lists_in_the_environment(tmp_path: Path) -> None:
    def tools(text: str) -> tuple[str, ...]:
        return config.load(tmp_path, {"SOURCEBOOK_AGENT_TOOLS": text}).agent.tools

    assert tools("search, tables") == ("search", "tables")
    assert tools('["mcp:run --with a,b", "search"]') == ("mcp:run --with a,b", "search")
    for wrong in ("[1]", '["a"', '[["a"]]'):
        with pytest.raises(ConfigError, match="SOURCEBOOK_AGENT_TOOLS"):
            tools(wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        Config(chunk=config.Chunk(tokens=-5)),
        Config(retrieve=config.Retrieve(fusion="nonsense")),
        Config(route=config.Route(strategy="cascad")),
    ],
)
async def test_settings_that_are_handed_over_are_checked(tmp_path: Path, wrong: Config) -> None:
    from sourcebook import Sourcebook

    with pytest.raises(ConfigError):
        await Sourcebook.open(tmp_path / "home", config=wrong)
