"""What the extractive model looks at: a question and passages, cut into sentences and words.

Words are seen in two ways: as terms (normalised by the keyword analyzer, of any language) and as they are
written, where capitals and digits tell names and numbers.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from sourcebook.language import sentences
from sourcebook.models.extractive import wording

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sourcebook.types import Passage


class WordAnalyzer(Protocol):
    """What is needed of the keyword channel's analyzer."""

    @property
    def fingerprint(self) -> str:
        """Changes whenever the terms would."""
        ...

    def words(self, text: str) -> list[str]:
        """The normalised terms of a text in order, repeated as they occur; stop words are left out."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Tokens:
    """A text in context. vectors: float32 (n, d), length one each. places: (n, 2), characters [start, end)."""

    vectors: NDArray[np.float32]
    places: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Word:
    """Characters [start, end) of the question. terms: none for a stop word.

    names: it is a number or a capitalised word, which a text that answers can hardly do without.
    """

    start: int
    end: int
    terms: tuple[str, ...]
    names: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """A question.

    kind: what an answer would be, one of `wording.KINDS`. subject: what it wants explained ("what is ...?"), in lower
    case; "" if it asks for something else. written: its words in lower case.
    """

    words: tuple[Word, ...]
    terms: tuple[str, ...]
    kind: str
    subject: str
    written: frozenset[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Sentence:
    """text[start:end] of a passage. lowered: the same in lower case.

    numbers, names: words with digits or of number, and capitalised ones, in lower case. dated, reasons: it
    speaks of a time, or says why. leans: it begins with a word that points back ("It", "These"). leads: it
    is a question or looks like a heading, so that not it but what follows may answer.
    """

    start: int
    end: int
    lowered: str
    terms: tuple[str, ...]
    numbers: frozenset[str]
    names: frozenset[str]
    dated: bool
    reasons: bool
    leans: bool
    leads: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """A passage, or a part of it. number: of the hit, from 1. context: the terms of its title and headings."""

    number: int
    sentences: tuple[Sentence, ...]
    context: frozenset[str] = field(default_factory=frozenset)


def take_question(text: str, analyzer: WordAnalyzer) -> Asked:
    """Cut a question into words."""
    telling = wording.ASKING.sub(lambda match: " " * len(match[0]), text)
    words = []
    for match in wording.WORD.finditer(telling):
        word = match[0]
        terms = tuple(analyzer.words(word))
        capital = word[0].isupper() and (match.start() > 0 or _is_acronym(word))
        named = bool(terms) and (capital or any(character.isdigit() for character in word))
        words.append(Word(start=match.start(), end=match.end(), terms=terms, names=named))
    return Asked(
        words=tuple(words),
        terms=tuple(analyzer.words(telling)),
        kind=wording.kind_of(text),
        subject=wording.subject_of(text),
        written=frozenset(match[0].lower() for match in wording.WORD.finditer(text)),
    )


def defines(sentence: Sentence, subject: str) -> float:
    """How much the sentence looks like an explanation of the subject, from 0 to 1."""
    place = sentence.lowered.find(subject)
    if not subject or place < 0:
        return 0.0
    match = wording.MEANS.match(sentence.lowered, place + len(subject))
    if match is None:
        return 0.0
    return 0.5 if match["sure"] is None and match["korean"] is None else 1.0


def take_passage(passage: Passage, number: int, analyzer: WordAnalyzer) -> Evidence:
    """Cut a passage into sentences; a table row (known by its `location`) stays whole."""
    text = passage.text
    row = passage.location is not None and bool(text.strip())
    spans = [(0, len(text.rstrip()))] if row else sentences(text, passage.language)
    context = " \n ".join([passage.title or "", *passage.heading_path])
    headings = {_plain(heading) for heading in passage.heading_path}
    return Evidence(
        number=number,
        sentences=tuple(_sentence(text, start, end, analyzer, headings, row=row) for start, end in spans),
        context=frozenset(analyzer.words(context)),
    )


def _plain(heading: str) -> str:
    return " ".join(heading.lstrip("# ").lower().split())


def _sentence(
    text: str, start: int, end: int, analyzer: WordAnalyzer, headings: Collection[str], *, row: bool
) -> Sentence:
    body = text[start:end]
    lowered = body.lower()
    words = wording.WORD.findall(body)
    # The first word of a sentence is capitalised anyway; it names something if the next one is, too.
    first = bool(words) and (_is_acronym(words[0]) or any(word[0].isupper() for word in words[1:2]))
    return Sentence(
        start=start,
        end=end,
        lowered=lowered,
        terms=tuple(analyzer.words(body)),
        numbers=frozenset(word.lower() for word in words if wording.NUMBER.fullmatch(word.lower())),
        names=frozenset(word.lower() for i, word in enumerate(words) if word[0].isupper() and (i or first)),
        dated=bool(wording.DATE.search(lowered)),
        reasons=bool(wording.REASON.search(lowered)),
        leans=bool(wording.LEANS.match(lowered)),
        leads=not row and (wording.leads(body) or _plain(body) in headings),
    )


def _is_acronym(word: str) -> bool:
    return len(word) > 1 and word.isupper()
