"""Closeness, fusion and folding as they are defined, text by text and channel by channel, without regard to time."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from sourcebook.types import Candidate, Hit, PassageId


def closeness(words: Sequence[str], texts: Sequence[str]) -> list[tuple[float, float]]:
    terms = [word for word in dict.fromkeys(words) if len(word) > 1 or word.isdigit()][:40]
    found = [sorted(_occurrences(terms, text.casefold())) for text in texts]
    having = [sum(any(term == number for _, _, term in one) for one in found) for number in range(len(terms))]
    rarity = [math.log(1 + (len(texts) - n + 0.5) / (n + 0.5)) for n in having]
    place = {term: number for number, term in enumerate(terms)}
    pairs = {(a, b) for a, b in pairwise(place[word] for word in words if word in place) if a != b}
    all_terms = sum(rarity) or 1.0
    all_pairs = sum(rarity[a] + rarity[b] for a, b in pairs) or 1.0
    return [
        (
            _best_window(one, rarity) / all_terms,
            sum(rarity[a] + rarity[b] for a, b in pairs & _neighbours(one)) / all_pairs,
        )
        for one in found
    ]


def _occurrences(terms: Sequence[str], text: str) -> Iterator[tuple[int, int, int]]:
    for number, term in enumerate(terms):
        stem = term[:-1] if len(term) > 3 and term[-1] == "i" else term
        ending = re.compile(r"(?!\d)" if stem.isdigit() else r"[^\W_]{0,6}(?![^\W_])")
        for match in re.finditer(re.escape(stem), text):
            start, end = match.span()
            begins = start == 0 or not text[start - 1].isalnum()
            if stem >= "\u0e00" or (begins and ending.match(text, end)):
                yield start, end, number


def _best_window(occurrences: Sequence[tuple[int, int, int]], rarity: Sequence[float]) -> float:
    """The greatest rarity of the terms between an occurrence and the end of another, at most 120 characters on."""
    best = 0.0
    for last, (_, end, _) in enumerate(occurrences):
        inside = {term for start, _, term in occurrences[: last + 1] if end - start <= 120}
        best = max(best, sum(rarity[term] for term in inside))
    return best


def _neighbours(occurrences: Sequence[tuple[int, int, int]]) -> set[tuple[int, int]]:
    return {(a, b) for (_, end, a), (start, _, b) in pairwise(occurrences) if start - end <= 12}


def fuse(
    candidates: Sequence[Candidate], *, method: str, weights: Mapping[str, float]
) -> list[tuple[PassageId, float, dict[str, int]]]:
    channels = sorted({channel for one in candidates for channel in one.scores})
    ranks = {channel: _ranks(candidates, channel) for channel in channels}
    trusted = {one: weights.get(one, 0.0) for one in channels if weights.get(one, 0.0) > 0.0}
    trusted = trusted or dict.fromkeys(channels, 1.0)
    scored = [one for one in candidates if any(channel in one.scores for channel in trusted)]
    fused = []
    for one in scored:
        shares = []
        for channel, weight in trusted.items():
            if method == "standardised":
                shares.append(_standardised(scored, channel, weight)[one.id])
            elif channel in one.scores:
                shares.append(weight / (60 + ranks[channel][one.id]))
        fused.append((one.id, sum(shares), {channel: of[one.id] for channel, of in ranks.items() if one.id in of}))
    return sorted(fused, key=lambda one: (-one[1], one[0]))


def _ranks(candidates: Sequence[Candidate], channel: str) -> dict[PassageId, int]:
    order = sorted((-one.scores[channel], one.id) for one in candidates if channel in one.scores)
    return {name: rank for rank, (_, name) in enumerate(order, start=1)}


def _standardised(candidates: Sequence[Candidate], channel: str, weight: float) -> dict[PassageId, float]:
    proposed = [one.scores[channel] for one in candidates if channel in one.scores]
    missing = min(proposed) - 0.5 * _moments(proposed)[1]
    values = {one.id: one.scores.get(channel, missing) for one in candidates}
    mean, deviation = _moments(list(values.values()))
    return {name: weight * (value - mean) / deviation if deviation else 0.0 for name, value in values.items()}


def _moments(values: Sequence[float]) -> tuple[float, float]:
    mean = sum(values) / len(values)
    return mean, math.sqrt(sum((value - mean) ** 2 for value in values) / len(values))


def fold(hits: Sequence[Hit], *, top: int) -> list[Hit]:
    kept: list[Hit] = []
    for place, hit in enumerate(hits):
        if len(kept) >= top:
            return kept + list(hits[place:])
        twins = [number for number, other in enumerate(kept) if _alike(hit, other)]
        if not twins:
            kept.append(hit)
        elif hit.passage.document != kept[twins[0]].passage.document:
            twin = kept[twins[0]]
            kept[twins[0]] = replace(twin, duplicates=(*twin.duplicates, hit.passage.document))
    return kept


def _alike(hit: Hit, other: Hit) -> bool:
    one, two = (set(re.findall(r"\w+", some.passage.text.casefold())) for some in (hit, other))
    shorter, longer = sorted((len(one), len(two)))
    return shorter >= 0.9 * longer and len(one & two) >= 0.9 * len(one | two)
