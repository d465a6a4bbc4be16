"""Text -> number of tokens, without ever downloading anything.

Vocabularies that their makers publish are carried by the package `splintr-rs`. For the models whose tokenizer nobody
publishes, and where the package is not installed, the number is an estimate and its name says so: "estimate:claude".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from splintr import AnyTokenizer

ESTIMATE = "estimate"
"""What the names of counters start with that do not know the model's tokenizer."""

PACKAGED = frozenset(
    "cl100k_base o200k_base llama2 llama3 mistral_v1 mistral_v2 mistral_v3 qwen3 deepseek_v3 glm4 kimi_k2".split()
)
"""Tokenizers that are counted exactly where `splintr-rs` is installed."""


class TokenCounter(Protocol):
    """What counts the tokens of a text. name: what `Usage.counted_by` says."""

    @property
    def name(self) -> str:
        """The tokenizer's name; "estimate..." where it is not the model's own."""
        ...

    def count(self, text: str) -> int:
        """Tokens of a text that stands alone, without anything that a vendor wraps around it."""
        ...


def counter_for(tokenizer: str) -> TokenCounter:
    """The counter for a tokenizer as the model file names it: "o200k_base", "llama3", "estimate:claude".

    An unknown name, "" among them, is estimated. Loading a vocabulary takes about 50 ms, once in a process.
    """
    if tokenizer in PACKAGED:
        try:
            return _packaged(tokenizer)
        except ImportError:
            return Estimating(tokenizer)
    return Estimating(tokenizer.removeprefix(ESTIMATE).removeprefix(":"))


def is_estimate(counted_by: str) -> bool:
    """Whether a counter of this name only estimates."""
    return counted_by.startswith(ESTIMATE)


class PackagedVocabulary:
    """Counts with the vocabulary itself. Text that spells a control token counts as the text it is."""

    def __init__(self, name: str, tokenizer: AnyTokenizer) -> None:
        self.name = name
        self._tokenizer = tokenizer

    def count(self, text: str) -> int:
        """Exactly as the model's own tokenizer would."""
        try:
            return len(self._tokenizer.encode_ordinary(text))
        except UnicodeEncodeError:  # half a character: vendors get U+FFFD for it
            return len(self._tokenizer.encode_ordinary(text.encode("utf-8", "replace").decode()))


@lru_cache(maxsize=8)
def _packaged(name: str) -> PackagedVocabulary:
    from splintr import Tokenizer

    return PackagedVocabulary(name, Tokenizer.from_pretrained(name))


class Estimating:
    """Counts from above: by what the text is made of, each kind at what it takes in tokenizers of this family.

    For most text the number is 0 to 30 per cent above the truth. How it was calibrated: docs/cost.md.
    """

    def __init__(self, family: str = "") -> None:
        self._weights = _FAMILIES.get(family, _UNKNOWN)
        self.name = f"{ESTIMATE}:{family}" if family else ESTIMATE

    def count(self, text: str) -> int:
        """An estimate that is rather too high than too low."""
        weights = self._weights
        words = _WORDS.findall(text)
        marks = _MARKS.findall(text)
        letters = sum(map(len, words))
        marked = sum(map(len, marks))
        hundredths = (
            weights["word"] * len(words)
            + weights["letter"] * letters
            + weights["hump"] * len(_HUMPS.findall(text))
            + weights["mark"] * len(marks)
            + weights["mark character"] * marked
            + weights["break"] * len(_BREAKS.findall(text))
        )
        digits = len(_DIGITS.findall(text))
        hundredths += weights["digit"] * digits
        if not text.isascii():
            rest = len(text) - letters - marked - digits - len(_SPACES.findall(text))
            for script, pattern in _SCRIPTS.items():
                found = len(pattern.findall(text))
                hundredths += weights[script] * found
                if script != "accent":
                    rest -= found
                elif found * 200 > letters:  # not English, whose words are what vocabularies know best
                    hundredths += weights["foreign letter"] * letters
            hundredths += weights["other"] * max(rest, 0)
        return -(-hundredths // 100)


_WORDS = re.compile(r"[A-Za-z\u00c0-\u024f\u1e00-\u1eff]+")
_HUMPS = re.compile(r"[a-z\u00df-\u00ff][A-Z]")
_DIGITS = re.compile(r"[0-9]")
_MARKS = re.compile(r"[!-/:-@\[-`{-~\u00a1-\u00bf\u2010-\u205e]+")
_BREAKS = re.compile(r"\s*\n\s*|[ \t]{2,}")
_SPACES = re.compile(r"\s")
_SCRIPTS: Mapping[str, re.Pattern[str]] = {
    "accent": re.compile(r"[\u00c0-\u024f\u1e00-\u1eff]"),
    "cyrillic": re.compile(r"[\u0400-\u052f]"),
    "greek": re.compile(r"[\u0370-\u03ff\u1f00-\u1fff\u0530-\u058f\u10a0-\u10ff]"),  # and Armenian, Georgian
    "semitic": re.compile(r"[\u0590-\u08ff]"),
    "indic": re.compile(r"[\u0900-\u109f\u1780-\u17ff]"),  # and Thai, Lao, Tibetan, Burmese, Khmer
    "hangul": re.compile(r"[\u1100-\u11ff\u3130-\u318f\uac00-\ud7a3]"),
    "kana": re.compile(r"[\u3040-\u30ff]"),
    "han": re.compile(r"[\u2e80-\u2fdf\u3000-\u303f\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff00-\uffef]"),
}

# Hundredths of a token for each word, letter, change from lower to upper case within a word, run of marks, mark in
# it, line break or run of spaces, digit, letter of a text that is Latin but not English (on top of the letter),
# and character of a script ("accent": on top of its letter).
_NAMES = ("word", "letter", "hump", "mark", "mark character", "break", "digit", "foreign letter", *_SCRIPTS, "other")


def _weights(latin: str, scripts: str) -> Mapping[str, int]:
    return dict(zip(_NAMES, map(int, f"{latin} {scripts}".split()), strict=True))


_CLAUDE_SCRIPTS = "180 70 125 120 180 160 105 130 240"
_PLAIN = _weights("50 17 33 50 45 40 100 10", "110 60 110 120 110 95 100 120 240")
_UNKNOWN = _weights("55 19 35 60 55 45 115 10", "180 70 125 125 180 165 105 130 300")
_FAMILIES: Mapping[str, Mapping[str, int]] = {
    "gemini": _weights("60 13 35 60 50 50 102 4", "90 32 48 55 45 78 60 75 110"),
    "claude": _weights("55 18 35 50 45 40 100 11", _CLAUDE_SCRIPTS),
    "claude-4.7": _weights("80 26 50 60 60 50 105 6", _CLAUDE_SCRIPTS),  # since Opus 4.7: up to 1.47 times as many
    **dict.fromkeys(("o200k_base", "llama3", "mistral_v3", "deepseek_v3", "qwen3", "glm4", "kimi_k2"), _PLAIN),
}
