"""How an answer is set against what is known to be right."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from math import ceil, sqrt

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NUMBER = re.compile(r"(?<![\w.,])[-\u2212+]?\d+(?:[.,]\d+)*")
_UNSPACED = re.compile(r"[\u1100-\u11ff\u3040-\u30ff\u3130-\u318f\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]")
"""Letters of Chinese, Japanese and Korean, whose words are not, or not wholly, told apart by spaces."""


def normalised(text: str) -> str:
    """Lower case, without punctuation, articles and doubled spaces (Rajpurkar et al., 2016, SQuAD).

    Numbers stay whole: "-1.5" is neither "1 5" nor "1.5".
    """
    text = unicodedata.normalize("NFKC", text).casefold()
    pieces: list[str] = []
    last = 0
    for number in _NUMBER.finditer(text):
        pieces += [_bare(text[last : number.start()]), number.group().replace("\u2212", "-").lstrip("+")]
        last = number.end()
    return " ".join("".join([*pieces, _bare(text[last:])]).split())


def _bare(text: str) -> str:
    text = "".join(" " if unicodedata.category(one)[0] in "PS" else one for one in text)
    return _ARTICLES.sub(" ", text)


def contains(answer: str, golds: Sequence[str]) -> bool:
    """Whether a right answer stands in the answer, word for word after normalising; for CJK, as characters.

    It stands in "not 1873 but 1905" as well, and a long quotation contains nearly anything: look at `overlap` too.
    """
    said = normalised(answer)
    for gold in golds:
        wanted = normalised(gold)
        if wanted and (f" {wanted} " in f" {said} " or (_UNSPACED.search(wanted) and wanted in said)):
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
    """The least value that at least that share (0 to 1) of the values does not exceed (nearest rank); 0 of none."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[max(0, ceil(share * len(ordered) - 1e-9) - 1)]
