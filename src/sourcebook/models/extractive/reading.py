"""Which parts of the hits are read: what fits the embedder and a budget of tokens, the likeliest first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from sourcebook.models.extractive.evidence import Asked, Evidence, WordAnalyzer, defines, take_passage
from sourcebook.types import Hit

CountTokens = Callable[[Sequence[str]], list[int]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Sheet:
    """Consecutive sentences of one hit, short enough to be embedded as one text.

    text: the passage's text from `start` on; the evidence's sentences count from the passage's beginning.
    """

    evidence: Evidence
    text: str
    start: int
    tokens: int


def read(
    hits: Sequence[Hit],
    asked: Asked,
    analyzer: WordAnalyzer,
    count: CountTokens,
    *,
    most: int,
    longest: int,
    budget: int,
) -> list[Sheet]:
    """The sheets to look at, in the order of their hits.

    most: hits that are read, the best; but a definition that is asked for is found further down, too.
    longest: tokens of a sheet (of several sentences); budget: tokens of all, though one sheet is always read.
    Where the budget does not allow for everything, the hits after the second share what is left by then. Of a
    hit that takes several sheets, the one that has most to do with the question goes first; the others come
    when all hits have had their turn.
    """
    found = _worth_reading([take_passage(hit.passage, n, analyzer) for n, hit in enumerate(hits, 1)], asked, most)
    texts = [hits[evidence.number - 1].passage.text for evidence in found]
    sizes = count(texts)
    tight = sum(sizes) > budget
    first: list[Sheet] = []
    later: list[Sheet] = []
    for place, (evidence, text, size) in enumerate(zip(found, texts, sizes, strict=True)):
        left = (budget - sum(sheet.tokens for sheet in first)) // (len(found) - place)
        limit = min(longest, max(left, 1)) if tight and place >= _WHOLE else longest
        parts = _cut(text, evidence, size, count, limit)
        parts.sort(key=lambda sheet: _relevance(asked, sheet.evidence), reverse=True)
        first += parts[:1]
        later += parts[1:]
    chosen: list[Sheet] = []
    for sheet in first + later:
        if not chosen or budget >= sheet.tokens:
            chosen.append(sheet)
            budget -= sheet.tokens
    return sorted(chosen, key=lambda sheet: (sheet.evidence.number, sheet.start))


def _worth_reading(evidence: Sequence[Evidence], asked: Asked, most: int) -> list[Evidence]:
    if not any(_explains(asked, one) for one in evidence[:most]):
        further = next((one for one in evidence[most:] if _explains(asked, one)), None)
        if further is not None:
            return [*evidence[: most - 1], further]
    return list(evidence[:most])


def _explains(asked: Asked, evidence: Evidence) -> bool:
    return any(defines(sentence, asked.subject) == 1 for sentence in evidence.sentences)


def _cut(text: str, evidence: Evidence, size: int, count: CountTokens, longest: int) -> list[Sheet]:
    if not evidence.sentences:
        return []
    if size <= longest or len(evidence.sentences) == 1:
        return [Sheet(evidence=evidence, text=text, start=0, tokens=min(size, longest))]
    sizes = count([text[sentence.start : sentence.end] for sentence in evidence.sentences])
    even = sum(sizes) / -(-sum(sizes) // longest)
    groups: list[list[int]] = [[]]
    filled = 0
    for i, tokens in enumerate(sizes):
        if groups[-1] and (filled + tokens > longest or filled >= even):
            groups.append([])
            filled = 0
        groups[-1].append(i)
        filled += tokens
    return [
        Sheet(
            evidence=replace(evidence, sentences=tuple(evidence.sentences[i] for i in group)),
            text=text[evidence.sentences[group[0]].start : evidence.sentences[group[-1]].end],
            start=evidence.sentences[group[0]].start,
            tokens=min(sum(sizes[i] for i in group), longest),
        )
        for group in groups
    ]


def _relevance(asked: Asked, evidence: Evidence) -> tuple[bool, int]:
    shared = {term for sentence in evidence.sentences for term in sentence.terms}.intersection(asked.terms)
    return _explains(asked, evidence), len(shared)


_WHOLE: Final = 2  # hits that are read as a whole before others
