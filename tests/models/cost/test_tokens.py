"""Counts by packaged vocabularies against published counts, and estimates against those."""

import sys
import time

import pytest

from sourcebook.models.cost.tokens import PACKAGED, Estimating, counter_for, is_estimate

# Counts that OpenAI publishes in its cookbook, "How to count tokens with tiktoken".
PUBLISHED = {
    "antidisestablishmentarianism": {"cl100k_base": 6, "o200k_base": 6},
    "2 + 2 = 4": {"cl100k_base": 7, "o200k_base": 7},
    "お誕生日おめでとう": {"cl100k_base": 9, "o200k_base": 8},
    "tiktoken is great!": {"cl100k_base": 6, "o200k_base": 6},
}
ENGLISH = (
    "The lighthouse on Gull Island was built in 1873. It is 41 metres tall and still in service today, though nobody "
    "has lived there since the keeper left. Its only village, Port Anders, has 212 inhabitants and a small harbour. "
)
KOREAN = "한국의 개인정보 보호법은 정보주체의 동의 없이 개인정보를 수집하거나 이용하는 것을 제한하고 있다. "
CODE = (
    "def total(self, rows: list[Row]) -> int:\n    return sum(row.cost for row in rows if row.settledAt is not None)\n"
)


def packaged() -> None:
    pytest.importorskip("splintr")


@pytest.mark.parametrize("tokenizer", ["cl100k_base", "o200k_base"])
@pytest.mark.parametrize("text", PUBLISHED)
def test_published_counts(tokenizer: str, text: str) -> None:
    packaged()
    counter = counter_for(tokenizer)
    assert counter.name == tokenizer
    assert counter.count(text) == PUBLISHED[text][tokenizer]


@pytest.mark.parametrize("tokenizer", sorted(PACKAGED))
def test_every_packaged_vocabulary_counts(tokenizer: str) -> None:
    packaged()
    counter = counter_for(tokenizer)
    assert counter.name == tokenizer
    assert counter.count("") == 0
    assert 10 < counter.count(ENGLISH) < len(ENGLISH) / 2


def test_text_that_spells_a_control_token_is_text() -> None:
    packaged()
    for tokenizer, text in (("o200k_base", "<|endoftext|>"), ("llama3", "<|eot_id|>"), ("qwen3", "<|im_start|>")):
        assert counter_for(tokenizer).count(text) > 2


def test_half_a_character_is_counted_as_it_is_sent() -> None:
    packaged()
    assert counter_for("o200k_base").count("a\ud800b") == counter_for("o200k_base").count("a?b")


def test_a_long_run_takes_no_time() -> None:
    packaged()
    began = time.perf_counter()
    for text in ("a" * 100_000, " " * 100_000, "가" * 50_000):
        counter_for("o200k_base").count(text)
        Estimating("claude").count(text)
    assert time.perf_counter() - began < 5


def test_without_the_package_it_is_estimated_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    from sourcebook.models.cost import tokens

    tokens._packaged.cache_clear()
    monkeypatch.setitem(sys.modules, "splintr", None)
    counter = counter_for("o200k_base")
    assert counter.name == "estimate:o200k_base"
    assert is_estimate(counter.name)
    assert counter.count(ENGLISH) >= 55


@pytest.mark.parametrize(
    ("tokenizer", "name"),
    [("", "estimate"), ("estimate", "estimate"), ("estimate:claude", "estimate:claude"), ("new", "estimate:new")],
)
def test_what_nobody_publishes_is_estimated(tokenizer: str, name: str) -> None:
    assert counter_for(tokenizer).name == name
    assert counter_for(tokenizer).count("") == 0
    assert counter_for(tokenizer).count("word") >= 1


@pytest.mark.parametrize("family", ["", "o200k_base", "llama3", "claude", "claude-4.7", "gemini"])
@pytest.mark.parametrize("text", [ENGLISH, KOREAN * 3, CODE * 3, ENGLISH + KOREAN + CODE])
def test_estimates_are_rather_too_high_than_too_low(family: str, text: str) -> None:
    packaged()
    exact = counter_for("o200k_base").count(text)
    assert exact <= Estimating(family).count(text) <= 3 * exact


def test_text_in_other_scripts_is_never_estimated_by_english() -> None:
    for text in (
        "Все люди рождаются свободными",
        "सभी मनुष्यों को गौरव",
        "人人生而自由",
        "すべての人間は",
        "כל בני האדם",
        "😀🎉🚀",
    ):
        assert Estimating("claude").count(text) >= len(text) * 0.4
    german = "Alle Menschen sind frei und gleich an Würde und Rechten geboren."
    assert Estimating("claude").count(german) > Estimating("claude").count(german.replace("ü", "u"))
