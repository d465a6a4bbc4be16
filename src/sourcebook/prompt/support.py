"""Whether a sentence is supported by what it cites, and by which sentences of it: offline, in well under a millisecond.

A sentence of an answer is set against the cited passages: how many of its words stand there, in one
place; whether its numbers, dates and names do; whether one of the two says no, or the opposite. A logistic
regression makes one probability of that. It was fitted and measured by bench/support.py, and docs/prompts.md has the
figures: it notices what is missing, added or changed; it does not reason, so a conclusion that the passages do not
state in similar words looks unsupported.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import exp
from typing import Final
from unicodedata import combining, normalize

from sourcebook.language import detect, sentences
from sourcebook.prompt import particulars
from sourcebook.prompt.terms import Words, plain_words
from sourcebook.types import Passage


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """Characters [start, end) of a passage's text, as they are cited."""

    passage: Passage
    start: int
    end: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """Whether a sentence is supported. probability: that it is; reason: what speaks against it, "" if nothing does."""

    supported: bool
    probability: float
    reason: str = ""


class SupportJudge:
    """Judges sentences against passages.

    words: normalised terms of a text, as of the keyword analyzer. threshold: probability from which a sentence counts
    as supported.
    """

    def __init__(self, words: Words = plain_words, *, threshold: float = 0.3) -> None:
        self._threshold = threshold
        self.words = words
        self._sheets: dict[tuple[str, int, int], _Sheet] = {}
        self._claim = lru_cache(maxsize=16)(self._taken)

    def at(self, threshold: float) -> SupportJudge:
        """The same judge with another threshold."""
        return self if threshold == self._threshold else SupportJudge(self.words, threshold=threshold)

    def place(self, text: str, passage: Passage) -> Source:
        """The sentences of the passage, up to three in a row, that support a text best."""
        sheet = self._sheet(passage)
        claim = self._claim(text, passage.language)
        if not sheet.spans:
            return Source(passage=passage, start=0, end=len(passage.text))
        best, found = -1.0, (0, 0)
        for first in range(len(sheet.spans)):
            terms: set[str] = set()
            for last in range(first, min(first + _LONGEST_SPAN, len(sheet.spans))):
                terms |= sheet.terms[last]
                figures = sheet.figures[first : last + 1]
                hit = sum(term in terms for term in claim.terms)
                hit += 2 * sum(any(amount & one for one in figures) for amount in claim.numbers)
                worth = hit - _WIDER * (last - first) * max(1.0, 0.1 * len(claim.terms))
                if worth > best + 1e-9:
                    best, found = worth, (first, last)
        return Source(passage=passage, start=sheet.spans[found[0]][0], end=sheet.spans[found[1]][1])

    def judge(self, text: str, sources: Sequence[Source]) -> Verdict:
        """Whether a sentence is supported by all its sources together."""
        features = self.describe(text, sources)
        score = _BIAS + sum(_WEIGHTS[name] * value for name, value in features.items())
        probability = 1 / (1 + exp(-max(-30.0, min(30.0, score))))
        if probability >= self._threshold:
            return Verdict(supported=True, probability=probability)
        return Verdict(supported=False, probability=probability, reason=self._reason(text, sources, features))

    def describe(self, text: str, sources: Sequence[Source]) -> dict[str, float]:
        """What the judgement is made from, by name; each between 0 and 1."""
        passages = list({source.passage.id: source.passage for source in sources}.values())
        language = next((one.language for one in passages if one.language), None)
        claim = self._claim(text, language)
        sheets = [self._sheet(passage) for passage in passages]
        around = frozenset().union(*(sheet.context for sheet in sheets))
        whole = around.union(*(terms for sheet in sheets for terms in sheet.terms))
        cited = " ".join(source.passage.text[source.start : source.end] for source in sources)
        near = around.union(*(self._inside(source) for source in sources))
        figures = frozenset().union(*(one for sheet in sheets for one in (*sheet.figures, sheet.context_figures)))
        near_figures = particulars.amounts(cited).union(*(sheet.context_figures for sheet in sheets))
        lost = self._lost(claim, sheets)
        against = particulars.directions(cited)
        refused = particulars.denied(cited, claim.language)
        said = frozenset(particulars.stubs(cited, claim.language))
        return {
            "near": _share(claim, near, near_figures),
            "whole": _share(claim, whole, figures),
            "number_missing": float(any(not amount & figures for amount in claim.numbers)),
            "number_far": float(any(amount & figures and not amount & near_figures for amount in claim.numbers)),
            "name_missing": min(1.0, len(lost) / 2),
            "denial": float(bool((claim.denied - refused) & said or (refused - claim.denied) & claim.stubs)),
            "opposite": float(any((pair, not side) in against and (pair, side) not in against
                                  for pair, side in claim.directions)),
        }  # fmt: skip

    def _reason(self, text: str, sources: Sequence[Source], features: Mapping[str, float]) -> str:
        """The plainest thing that speaks against it."""
        passages = [source.passage for source in sources]
        claim = self._claim(text, next((one.language for one in passages if one.language), None))
        sheets = [self._sheet(passage) for passage in passages]
        if features["number_missing"]:
            figures = frozenset().union(*(one for sheet in sheets for one in (*sheet.figures, sheet.context_figures)))
            wanted = [written for written, amount in particulars.numbers(text) if not amount & figures]
            return f"the sources do not say {', '.join(wanted)}"
        if features["near"] > _CLOSE and features["denial"]:
            return "it or the sources say no, and not both"
        if features["near"] > _CLOSE and features["opposite"]:
            return "the sources say the opposite"
        if features["name_missing"]:
            return f"the sources do not name {', '.join(self._lost(claim, sheets))}"
        return "the sources do not say so in similar words"

    def _lost(self, claim: _Claim, sheets: Sequence[_Sheet]) -> list[str]:
        """Names that no source has, nor the words that an acronym stands for."""
        folded = frozenset().union(*(sheet.folded for sheet in sheets))
        initials = " ".join(sheet.initials for sheet in sheets)
        return [
            name
            for name in claim.names
            if _folded(name) not in folded
            and not all(_folded(part) in folded for part in name.split("-"))
            and not (name.isupper() and len(name) > 2 and name.casefold() in initials)
        ]

    def _inside(self, source: Source) -> frozenset[str]:
        sheet = self._sheet(source.passage)
        return frozenset().union(
            *(
                terms
                for (start, end), terms in zip(sheet.spans, sheet.terms, strict=True)
                if start < source.end and end > source.start
            )
        )

    def _taken(self, text: str, language: str | None) -> _Claim:
        language = detect(text) or language
        return _Claim(
            language=language,
            terms=tuple(dict.fromkeys(term for term in self.words(text) if not _DIGITS.fullmatch(term))),
            numbers=tuple(amount for _, amount in particulars.numbers(text)),
            names=tuple(dict.fromkeys(particulars.names(text, language))),
            denied=particulars.denied(text, language),
            stubs=frozenset(particulars.stubs(text, language)),
            directions=particulars.directions(text),
        )

    def _sheet(self, passage: Passage) -> _Sheet:
        key = (passage.id, passage.start, passage.end)  # the passage, or the part of it that was in the prompt
        sheet = self._sheets.get(key)
        if sheet is None:
            if len(self._sheets) >= _KEPT:
                self._sheets.clear()
            sheet = self._sheets[key] = self._read(passage)
        return sheet

    def _read(self, passage: Passage) -> _Sheet:
        text = passage.text
        spans = tuple(sentences(text, passage.language))
        context = " . ".join(part for part in (passage.title, *passage.heading_path) if part)
        written = _NAME.findall(f"{text} {context}")
        return _Sheet(
            spans=spans,
            terms=tuple(frozenset(self.words(text[start:end])) for start, end in spans),
            figures=tuple(particulars.amounts(text[start:end]) for start, end in spans),
            context=frozenset(self.words(context)) if context else frozenset(),
            context_figures=particulars.amounts(context),
            folded=frozenset(_folded(part) for word in written for part in (word, *word.split("-"))),
            initials="".join(word[0] for word in written).casefold(),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Claim:
    language: str | None
    terms: tuple[str, ...]
    numbers: tuple[particulars.Amount, ...]
    names: tuple[str, ...]
    denied: frozenset[str]
    stubs: frozenset[str]
    directions: frozenset[tuple[int, bool]]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Sheet:
    """A passage, read. folded: its words, as names. initials: their first letters."""

    spans: tuple[tuple[int, int], ...]
    terms: tuple[frozenset[str], ...]
    figures: tuple[frozenset[str], ...]
    context: frozenset[str]
    context_figures: frozenset[str]
    folded: frozenset[str]
    initials: str


def _share(claim: _Claim, terms: frozenset[str], figures: frozenset[str]) -> float:
    """How many of a sentence's terms and numbers are there."""
    wanted = len(claim.terms) + len(claim.numbers)
    found = sum(term in terms for term in claim.terms) + sum(not amount.isdisjoint(figures) for amount in claim.numbers)
    return found / wanted if wanted else 1.0


def _folded(name: str) -> str:
    """A name without case, accents, possessive and plural: "Island's" and "islands" are "island"."""
    name = _POSSESSIVE.sub("", name.casefold()).replace(".", "")
    if not name.isascii():
        name = "".join(one for one in normalize("NFKD", name) if not combining(one))
    return name[:-1] if len(name) > 3 and name.endswith("s") else name


_BIAS: Final = -3.50
_WEIGHTS: Final[Mapping[str, float]] = {
    "near": 0.98,
    "whole": 5.72,
    "number_missing": -6.34,
    "number_far": -1.21,
    "name_missing": -8.73,
    "denial": -5.35,
    "opposite": -0.68,
}
_LONGEST_SPAN: Final = 3
_KEPT: Final = 256  # passages that are kept as read
_WIDER: Final = 1.2  # terms that a further sentence must bring more than, where the text has ten or fewer
_CLOSE: Final = 0.6
_DIGITS: Final = re.compile(r"[\d.,]+")
_NAME: Final = re.compile(r"[^\W_](?:\w|[-’'.](?=\w))*")
_POSSESSIVE: Final = re.compile(r"['’]s\b|['’]\Z")
