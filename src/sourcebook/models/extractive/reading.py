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
    hits: Sequence[Hit], asked: Asked, analyzer: WordAnalyzer, count: CountTokens, *, longest: int, budget: int
) -> list[Sheet]:
    """The sheets to look at, in the order of their hits.

    longest: tokens of a sheet (of several sentences); budget: tokens of all, though one sheet is always read.
    Where the budget does not allow for everything, the hits after the second share what is left by then. Of a
    hit that takes several sheets, the one that has most to do with the question goes first; the others come
    when all hits have had their turn.
    """
    first: list[Sheet] = []
    later: list[Sheet] = []
    sizes = count([hit.passage.text for hit in hits])
    tight = sum(sizes) > budget
    for number, (hit, size) in enumerate(zip(hits, sizes, strict=True), 1):
        evidence = take_passage(hit.passage, number, analyzer)
        left = (budget - sum(sheet.tokens for sheet in first)) // (len(hits) - number + 1)
        most = min(longest, max(left, 1)) if tight and number > _WHOLE else longest
        parts = _cut(hit.passage.text, evidence, size, count, most)
        parts.sort(key=lambda sheet: _relevance(asked, sheet.evidence), reverse=True)
        first += parts[:1]
        later += parts[1:]
    chosen: list[Sheet] = []
    for sheet in first + later:
        if not chosen or budget >= sheet.tokens:
            chosen.append(sheet)
            budget -= sheet.tokens
    return sorted(chosen, key=lambda sheet: (sheet.evidence.number, sheet.start))


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


def _relevance(asked: Asked, evidence: Evidence) -> tuple[float, int]:
    explains = max(defines(sentence, asked.subject) for sentence in evidence.sentences)
    shared = {term for sentence in evidence.sentences for term in sentence.terms}.intersection(asked.terms)
    return explains, len(shared)


_WHOLE: Final = 2  # hits that are read as a whole before others
