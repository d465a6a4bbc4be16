"""How an answer is set against what is known to be right."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from math import sqrt

_ARTICLES = re.compile(r"\b(a|an|the)\b")


def normalised(text: str) -> str:
    """Lower case, without punctuation, articles and doubled spaces (Rajpurkar et al., 2016, SQuAD)."""
    text = unicodedata.normalize("NFKC", text).casefold()
    text = "".join(" " if unicodedata.category(one)[0] in "PS" else one for one in text)
    return " ".join(_ARTICLES.sub(" ", text).split())


def contains(answer: str, golds: Sequence[str]) -> bool:
    """Whether a right answer stands in the answer, word for word after normalising; for CJK, as characters."""
    said = normalised(answer)
    for gold in golds:
        wanted = normalised(gold)
        if wanted and (f" {wanted} " in f" {said} " or (not wanted.isascii() and wanted in said)):
            return True
    return False


def overlap(answer: str, golds: Sequence[str]) -> float:
    """F1 of the words that answer and best gold share, from 0 to 1 (Rajpurkar et al., 2016)."""
    best = 0.0
    said = Counter(normalised(answer).split())
    for gold in golds:
        wanted = Counter(normalised(gold).split())
        common = (said & wanted).total()
        if common:
            best = max(best, 2 * common / (said.total() + wanted.total()))
    return best


def interval(right: int, of: int) -> tuple[float, float]:
    """The 95 % confidence interval of a share (Wilson, 1927)."""
    if not of:
        return 0.0, 1.0
    z = 1.959964
    share = right / of
    middle = (share + z * z / (2 * of)) / (1 + z * z / of)
    half = z / (1 + z * z / of) * sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    return max(0.0, middle - half), min(1.0, middle + half)


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which that share (0 to 1) of the values lies, by nearest rank; 0 of none."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, round(share * len(ordered) + 0.5) - 1))]
