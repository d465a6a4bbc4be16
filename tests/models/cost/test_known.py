"""What the model file knows, which row fits a name, and the user's own rows."""

from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from sourcebook.errors import ConfigError
from sourcebook.models.cost.images import image_tokens
from sourcebook.models.cost.known import KnownModel, Rates, all_known, known
from sourcebook.models.cost.tokens import PACKAGED, is_estimate


def row(provider: str, model: str, extra: Path | None = None) -> KnownModel:
    found = known(provider, model, extra)
    assert found is not None
    return found


# --- the packaged file ----------------------------------------------------------------------------------------


def test_every_row_can_be_used() -> None:
    rows = all_known()
    assert len(rows) > 150
    seen = set()
    for one in rows:
        assert date(2025, 1, 1) <= one.as_of <= datetime.now(UTC).date(), one
        assert one.source, one
        assert one.tokenizer in PACKAGED or is_estimate(one.tokenizer) or one.free or not one.rates, one
        assert one.window >= one.output, one
        assert one.can <= {"tools", "images", "schema", "reasoning", "caching"}, one
        assert [rates.above for rates in one.rates if rates.since == date.min][:1] in ([0], []), one
        for rates in one.rates:
            assert 0 < rates.input <= rates.output, one
            assert rates.cached is None or rates.cached < rates.input, one
            assert rates.cache_write is None or rates.cache_write >= rates.input, one
        for name in one.names:
            assert (one.provider, name) not in seen
            seen.add((one.provider, name))
            assert row(one.provider, name.replace("*", "x")).provider == one.provider


@pytest.mark.parametrize(
    "provider", ["openai", "anthropic", "cohere", "gemini", "bedrock", "groq", "together", "replicate"]
)
def test_every_vendor_is_there(provider: str) -> None:
    assert sum(one.provider == provider for one in all_known()) >= 8


@pytest.mark.parametrize(
    ("provider", "model", "price"),
    [
        ("openai", "gpt-4o", 2_500_000),
        ("openai", "gpt-4o-2024-05-13", 5_000_000),
        ("openai", "gpt-4o-2024-08-06", 2_500_000),
        ("openai", "gpt-4-0613", 30_000_000),
        ("openai", "gpt-4-1106-preview", 10_000_000),
        ("openai", "GPT-4o-mini", 150_000),
        ("anthropic", "claude-sonnet-4-5-20250929", 3_000_000),
        ("anthropic", "claude-3-5-haiku-latest", 800_000),
        ("gemini", "models/gemini-2.5-pro", 1_250_000),
        ("gemini", "gemini-2.5-flash-lite", 100_000),
        ("gemini", "gemini-1.5-flash-002", 75_000),
        ("cohere", "command-r-08-2024", 150_000),
        ("cohere", "command-a-03-2025", 2_500_000),
        ("bedrock", "anthropic.claude-3-haiku-20240307-v1:0", 250_000),
        ("bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", 3_300_000),
        ("bedrock", "global.anthropic.claude-sonnet-4-5-20250929-v1:0", 3_000_000),
        ("bedrock", "eu.meta.llama3-2-3b-instruct-v1:0", 150_000),
        ("groq", "llama-3.3-70b-versatile", 590_000),
        ("together", "meta-llama/Llama-3.3-70B-Instruct-Turbo", 880_000),
        ("replicate", "meta/meta-llama-3-70b-instruct", 650_000),
    ],
)
def test_which_row_fits_a_name(provider: str, model: str, price: int) -> None:
    rates = row(provider, model).rates_for(1_000)
    assert rates is not None
    assert rates.input == price


@pytest.mark.parametrize(
    ("provider", "model"),
    [("openai", "gpt-99"), ("openai", "gpt-4o-mini-tts"), ("anthropic", "claude-opus-4-99"), ("nobody", "gpt-4o"),
     ("openai", "gpt-5-search-api"), ("bedrock", "anthropic.claude-opus-9-v1:0")],
)  # fmt: skip
def test_a_model_that_is_not_in_the_file_is_not_guessed(provider: str, model: str) -> None:
    assert known(provider, model) is None


@pytest.mark.parametrize(
    ("provider", "model"), [("extractive", ""), ("llama", "/models/a.gguf"), ("ollama", "llama3.2:3b"), ("vllm", "x")]
)
def test_local_models_are_free_by_rule(provider: str, model: str) -> None:
    found = row(provider, model)
    assert found.free
    assert found.priced
    assert found.rates_for(1_000) is None


def test_ollamas_cloud_is_not_local() -> None:
    found = row("ollama", "gpt-oss:120b-cloud")
    assert not found.free
    assert not found.priced


# --- prices that depend ---------------------------------------------------------------------------------------


def test_prices_above_a_length_hold_for_the_whole_prompt() -> None:
    pro = row("gemini", "gemini-2.5-pro")
    assert [rates.input for tokens in (0, 1, 200_000) if (rates := pro.rates_for(tokens))] == [1_250_000] * 3
    longer = pro.rates_for(200_001)
    assert longer is not None
    assert (longer.input, longer.cached, longer.output) == (2_500_000, 250_000, 15_000_000)


def test_prices_that_begin_on_a_day() -> None:
    model = KnownModel(
        provider="p", model="m", names=("m",), as_of=date(2026, 1, 1), source="s",
        rates=(
            Rates(input=1, output=1), Rates(input=2, output=2, above=10),
            Rates(input=3, output=3, since=date(2027, 1, 1)),
        ),
    )  # fmt: skip
    before, after = date(2026, 12, 31), date(2027, 1, 1)
    found = [model.rates_for(tokens, day) for tokens, day in ((5, before), (11, before), (5, after), (11, after))]
    assert [rates.input for rates in found if rates] == [1, 2, 3, 3]


# --- the user's own -------------------------------------------------------------------------------------------


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "models.toml"
    path.write_text(
        """
        [provider.mine]
        source = "our contract"
        tokenizer = "llama3"

        [[model]]
        provider = "mine"
        names = ["big-*"]
        as_of = 2026-11-01
        window = 32_000
        prices = [{ input = 1_000_000, output = 2_000_000 }]

        [[model]]
        provider = "openai"
        names = ["gpt-4o"]
        as_of = 2026-11-02
        prices = [{ input = 2_000_000, output = 8_000_000 }]

        [[model]]
        provider = "azure"
        names = ["my-deployment"]
        as_of = 2026-11-03
        like = "openai:gpt-4o"

        [[model]]
        provider = "ollama"
        names = ["rented"]
        as_of = 2026-11-03
        prices = [{ input = 5, output = 6 }]
        """
    )
    return path


def test_a_users_row_wins_and_may_leave_things_out(own: Path) -> None:
    mine = row("mine", "big-one", own)
    assert (mine.window, mine.tokenizer, mine.source, mine.own) == (32_000, "llama3", "our contract", True)
    negotiated = row("openai", "gpt-4o-2024-08-06", own)
    assert (negotiated.rates[0].input, negotiated.rates[0].cached) == (2_000_000, None)
    assert (negotiated.window, negotiated.tokenizer, negotiated.as_of) == (128_000, "o200k_base", date(2026, 11, 2))
    assert not row("openai", "gpt-4o-mini", own).own
    assert known("mine", "small", own) is None


def test_a_row_like_another_is_that_one_under_another_name(own: Path) -> None:
    deployed = row("azure", "my-deployment", own)
    packaged = row("openai", "gpt-4o")
    assert (deployed.provider, deployed.model) == ("azure", "my-deployment")
    assert (deployed.rates, deployed.window, deployed.image) == (packaged.rates, packaged.window, packaged.image)


def test_a_price_of_ones_own_for_a_local_model_means_that_it_is_not_free(own: Path) -> None:
    rented = row("ollama", "rented", own)
    assert not rented.free
    assert rented.rates[0].output == 6
    assert row("ollama", "other", own).free


def test_the_users_rows_are_listed_and_a_missing_file_is_none(own: Path, tmp_path: Path) -> None:
    assert [one.model for one in all_known(own) if one.own] == ["my-deployment", "big-*", "rented", "gpt-4o"]
    assert known("openai", "gpt-4o", tmp_path / "none.toml") == known("openai", "gpt-4o")


def test_a_changed_file_is_read_again(own: Path) -> None:
    assert row("mine", "big-one", own).window == 32_000
    own.write_text(own.read_text().replace("32_000", "64_000_000"))
    assert row("mine", "big-one", own).window == 64_000_000


def test_a_prompt_shorter_than_all_prices_say_costs_as_the_shortest_of_them() -> None:
    rates = (Rates(input=1, output=1), Rates(input=9, output=9, above=100, since=date(2026, 6, 1)))
    model = replace(row("openai", "gpt-4o"), rates=rates)
    assert [model.rates_for(50, day) for day in (date(2026, 5, 31), date(2026, 6, 1))] == list(rates)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("model = [", "not valid TOML"),
        ("modell = 1", "modell"),
        ('[[model]]\nprovider = "x"\nnames = ["y"]', "no 'as_of'"),
        ('[[model]]\nprovider = "x"\nnames = []\nas_of = 2026-01-01', "names = "),
        ('[[model]]\nprovider = "x"\nnames = ["y"]\nas_of = "2026-01-01"', "as_of = "),
        ('[[model]]\nprovider = "x"\nnames = ["y"]\nas_of = 2026-01-01\ncolour = 1', "unknown field 'colour'"),
        (
            '[[model]]\nprovider = "x"\nnames = ["y"]\nas_of = 2026-01-01\nprices = [{ input = 2.5, output = 10 }]',
            "input = 2.5",
        ),
        ('[[model]]\nprovider = "x"\nnames = ["y"]\nas_of = 2026-01-01\nprices = [{ input = 2 }]', "input and output"),
        ('[[model]]\nprovider = "x"\nnames = ["y"]\nas_of = 2026-01-01\nimage = { size = 1 }', "image = "),
        ('[[model]]\nprovider = "x"\nnames = ["y"]\nas_of = 2026-01-01\nlike = "openai:none"', "names no known model"),
        (
            """[[model]]\nprovider = "x"\nnames = ["y"]\nas_of = 2026-01-01
            prices = [{ input = 2, output = 3 }, { since = 2026-06-01, above = 64_000, input = 4, output = 6 }]""",
            "has prices from 2026-06-01 for long prompts only",
        ),
    ],
)
def test_a_wrong_file_is_told_by_name_and_row(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "models.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        known("x", "y", path)
    assert complaint in caught.value.args[0]
    assert str(path) in caught.value.args[0]
    assert caught.value.remedy


def test_a_model_of_unknown_pictures_takes_a_good_many_tokens_for_one() -> None:
    from sourcebook.models.base import Image

    assert image_tokens(Image(media_type="image/png", url="https://example.com/a.png"), None) >= 1_600
