"""A second look at the best passages: do the words of the question stand close together in them?

BM25 counts words wherever they stand, and a vector blurs them. Among passages on the same subject, the one that
answers has the question's rarer words within a sentence, and often in the question's order. Both are found by
searching the passages' text for word stems, without analysing it: some tens of microseconds a passage.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from typing import Final

_WINDOW: Final = 160  # characters; about a sentence in letters, and three in syllables or logograms
_GAP: Final = 12  # characters between two words that count as neighbours


def closeness(words: Sequence[str], texts: Sequence[str]) -> list[tuple[float, float]]:
    """For the i'th text how much of the question stands close together: (in one window, as neighbours).

    words: the question's terms in order, as the analyzer's `words` gives them. Both measures are from 0 to 1:
    shares of the question's terms, or of its pairs of neighbouring terms, each weighted by how few of the texts
    have it. So the measure tells the texts of one search apart, and means nothing across searches.
    """
    terms = [word for word in dict.fromkeys(words) if len(word) > 1 or word.isascii()][:_MOST_TERMS]
    if not terms or not texts:
        return [(0.0, 0.0)] * len(texts)
    found = [sorted(_occurrences(terms, text.casefold())) for text in texts]
    having = [0] * len(terms)
    for occurrences in found:
        for term in {term for _, _, term in occurrences}:
            having[term] += 1
    rarity = [math.log(1 + (len(texts) - n + 0.5) / (n + 0.5)) for n in having]
    number = {term: n for n, term in enumerate(terms)}
    order = [number[word] for word in words if word in number]
    pairs = {pair for pair in zip(order, order[1:], strict=False) if pair[0] != pair[1]}
    whole = sum(rarity)
    whole_pairs = sum(rarity[a] + rarity[b] for a, b in pairs)
    return [
        (
            _best_window(occurrences, rarity) / whole,
            _neighbours(occurrences, pairs, rarity) / whole_pairs if pairs else 0.0,
        )
        for occurrences in found
    ]


def _occurrences(terms: Sequence[str], text: str) -> Iterator[tuple[int, int, int]]:
    """(start, end, number of the term) wherever a word of the text begins with a term's stem."""
    for number, term in enumerate(terms):
        # Stems may differ from the words in their last letter: "studi" stands for "study".
        stem = term[:-1] if len(term) > 3 and term[-1] == "i" else term
        spaced = stem < "\u0e00"  # in scripts without spaces, and in Korean compounds, words begin anywhere
        start = text.find(stem)
        while start >= 0:
            end = start + len(stem)
            if not spaced or (_begins_word(text, start) and _ENDING.match(text, end)):
                yield start, end, number
            start = text.find(stem, end)


def _begins_word(text: str, start: int) -> bool:
    return start == 0 or not text[start - 1].isalnum()


def _best_window(occurrences: Sequence[tuple[int, int, int]], rarity: Sequence[float]) -> float:
    """The greatest weight of different terms within a window."""
    best = weight = 0.0
    inside = [0] * len(rarity)
    first = 0
    for _, end, term in occurrences:
        inside[term] += 1
        if inside[term] == 1:
            weight += rarity[term]
        while end - occurrences[first][0] > _WINDOW:
            gone = occurrences[first][2]
            inside[gone] -= 1
            if not inside[gone]:
                weight -= rarity[gone]
            first += 1
        best = max(best, weight)
    return best


def _neighbours(
    occurrences: Sequence[tuple[int, int, int]], pairs: set[tuple[int, int]], rarity: Sequence[float]
) -> float:
    """The weight of the question's pairs of terms that stand side by side in the text too."""
    met = {
        (a, b)
        for (_, end, a), (start, _, b) in zip(occurrences, occurrences[1:], strict=False)
        if start - end <= _GAP and (a, b) in pairs
    }
    return sum(rarity[a] + rarity[b] for a, b in met)


_MOST_TERMS: Final = 40
_ENDING: Final = re.compile(r"[^\W_]{0,6}(?![^\W_])")
