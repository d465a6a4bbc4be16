"""The words of a text, normalised so that they can be compared; for where no analyzer is given."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from typing import Final

from sourcebook.language import FUNCTION_WORDS, detect

Words = Callable[[str], Sequence[str]]
"""The normalised terms of a text in order, without function words: the keyword analyzer's `words`, or `plain_words`."""


def plain_words(text: str) -> list[str]:
    """Words in small letters without accents and common endings; overlapping pairs in scripts without spaces."""
    stops = FUNCTION_WORDS.get(detect(text) or "en", FUNCTION_WORDS["en"])
    found: list[str] = []
    for match in _RUN.finditer(unicodedata.normalize("NFKC", text).casefold()):
        word = match[0]
        if _UNSPACED.match(word):
            found.extend(word[i : i + 2] for i in range(max(1, len(word) - 1)))
        elif word[0].isdigit():
            found.append(word.replace(",", ""))
        elif word not in stops:
            found.append(_stem(word))
    return found


def _stem(word: str) -> str:
    if not word.isascii():
        word = "".join(one for one in unicodedata.normalize("NFKD", word) if not unicodedata.combining(one))
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word


_RUN: Final = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u30ff\u3400-\u9fff]+|[\uac00-\ud7a3]+"
    r"|\d+(?:[.,]\d+)*|[^\W\d_\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u30ff\u3400-\u9fff\uac00-\ud7a3]+"
)
_UNSPACED: Final = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u30ff\u3400-\u9fff\uac00-\ud7a3]")
_ENDINGS: Final = ("ings", "ing", "edly", "ed", "ies", "es", "s", "en", "er", "e", "y")
