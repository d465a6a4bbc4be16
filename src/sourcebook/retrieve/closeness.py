"""A second look at the best passages: do the question's words stand close together in them.

BM25 counts words wherever they stand, and a vector blurs them. Among passages on the same subject, the one that
answers has the question's rarer words within a sentence, and often in the question's order. Both are found by
searching the texts for word stems, without analysing them, all texts in one go: some five microseconds a passage.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Final

from sourcebook.types import PassageId

Ranked = tuple[PassageId, float, dict[str, int]]
"""As `fusion.fuse` gives it: id, score, rank by channel."""

WEIGHT: Final = 2.0
"""What full closeness is worth, in standard deviations of the fused score; chosen on training questions."""

FIRST: Final = 50
"""How many of the best are looked at."""


def rerank(
    ranked: Sequence[Ranked], words: Sequence[str], texts: Mapping[PassageId, str], *, weight: float = WEIGHT
) -> list[Ranked]:
    """The fused order with the first 50 ordered anew, by score plus weight times both kinds of closeness.

    ranked: best first, with standardised scores. words: the question's terms in order, by the analyzer's `words`.
    texts: at least of the first 50, as they were indexed, with the title and headings above them.
    """
    head = ranked[:FIRST]
    found = closeness(words, [texts[name] for name, _, _ in head])
    again = [
        (name, score + weight * (window + neighbours), ranks)
        for (name, score, ranks), (window, neighbours) in zip(head, found, strict=True)
    ]
    return sorted(again, key=lambda one: -one[1]) + list(ranked[FIRST:])


def closeness(words: Sequence[str], texts: Sequence[str]) -> list[tuple[float, float]]:
    """For the i'th text, how much of the question stands close together in it: (in a window, as neighbours).

    Both are shares from 0 to 1: of the question's terms that one window of about a sentence holds, and of its
    pairs of neighbouring terms that are neighbours in the text too; each term weighted by how few of the texts
    have it. They tell the texts of one search apart, and mean nothing across searches.
    """
    terms = [word for word in dict.fromkeys(words) if len(word) > 1 or word.isdigit()][:_MOST_TERMS]
    found = _occurrences(terms, texts)
    having = [0] * len(terms)
    for occurrences in found:
        for term in {term for _, _, term in occurrences}:
            having[term] += 1
    rarity = [math.log(1 + (len(texts) - n + 0.5) / (n + 0.5)) for n in having]
    place = {term: number for number, term in enumerate(terms)}
    pairs = {(a, b) for a, b in pairwise(place[word] for word in words if word in place) if a != b}
    all_terms = sum(rarity) or 1.0
    all_pairs = sum(rarity[a] + rarity[b] for a, b in pairs) or 1.0
    shares = []
    for occurrences in found:
        beside = pairs & _neighbours(occurrences)
        shares.append(
            (
                _best_window(occurrences, rarity) / all_terms,
                sum([rarity[a] + rarity[b] for a, b in beside]) / all_pairs if beside else 0.0,
            )
        )
    return shares


_Occurrence = tuple[int, int, int]
"""(start, end, number of the term); places count on through all texts."""


def _occurrences(terms: Sequence[str], texts: Sequence[str]) -> list[list[_Occurrence]]:
    """For the i'th text, in order, wherever a word of it begins with a term."""
    folded = [text.casefold() for text in texts]
    starts = accumulate((len(text) + len(_BORDER) for text in folded), initial=len(_BORDER))
    every = sorted(_places(terms, _BORDER.join(["", *folded, ""])))
    return [every[first:last] for first, last in pairwise(bisect_left(every, (start,)) for start in starts)]


def _places(terms: Sequence[str], text: str) -> list[_Occurrence]:
    """Wherever a word begins with a term, term by term. No word begins at the first character of the text."""
    places = []
    for number, term in enumerate(terms):
        # Stems may differ from the words in their last letter: "studi" stands for "study".
        stem = term[:-1] if len(term) > 3 and term[-1] == "i" else term
        anywhere = stem >= _UNSPACED  # a word may begin anywhere: no spaces, or compounds as in Korean
        ends = (_AFTER_NUMBER if stem.isdigit() else _ENDING).match
        start = text.find(stem)
        while start >= 0:
            end = start + len(stem)
            if anywhere or (not text[start - 1].isalnum() and ends(text, end)):
                places.append((start, end, number))
            start = text.find(stem, end)
    return places


def _best_window(occurrences: Sequence[_Occurrence], rarity: Sequence[float]) -> float:
    """The greatest sum of rarities of different terms within a window."""
    best = weight = 0.0
    inside = [0] * len(rarity)
    first = 0
    for _, end, term in occurrences:
        inside[term] += 1
        if inside[term] == 1:
            weight += rarity[term]
        while end - occurrences[first][0] > _WINDOW:
            gone = occurrences[first][2]
            first += 1
            inside[gone] -= 1
            if not inside[gone]:
                weight -= rarity[gone]
        best = max(best, weight)
    return best


def _neighbours(occurrences: Sequence[_Occurrence]) -> set[tuple[int, int]]:
    return {(a, b) for (_, end, a), (start, _, b) in pairwise(occurrences) if start - end <= _GAP}


_BORDER: Final = "\n"  # between texts: no term holds it, and no word goes past it
_WINDOW: Final = 120  # characters
_GAP: Final = 12  # characters between neighbours: the end of a word, and a function word
_MOST_TERMS: Final = 40
_UNSPACED: Final = "\u0e00"
_AFTER_NUMBER: Final = re.compile(r"(?!\d)")
_ENDING: Final = re.compile(r"[^\W_]{0,6}(?![^\W_])")
