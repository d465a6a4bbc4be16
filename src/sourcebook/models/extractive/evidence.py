"""What the extractive model looks at: a question and passages, cut into sentences and words.

Words are seen in two ways: as terms (normalised by the keyword analyzer, of any language) and as they are
written, where capitals and digits tell names and numbers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from sourcebook.language import sentences

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sourcebook.types import Passage


class WordAnalyzer(Protocol):
    """What is needed of the keyword channel's analyzer."""

    @property
    def fingerprint(self) -> str: ...

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
    """A question. kind: what an answer would be, one of `KINDS`. written: its words in lower case."""

    words: tuple[Word, ...]
    terms: tuple[str, ...]
    kind: str
    written: frozenset[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Sentence:
    """text[start:end] of a passage.

    numbers, names: words with digits or of number, and capitalised ones, in lower case. dated, reasons: it
    speaks of a time, or says why. leans: it begins with a word that points back ("It", "These"). heading: it
    looks like one, so that it is no answer unless there is nothing else.
    """

    start: int
    end: int
    terms: tuple[str, ...]
    numbers: frozenset[str]
    names: frozenset[str]
    dated: bool
    reasons: bool
    leans: bool
    heading: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """A passage, or a part of it. number: of the hit, from 1. context: the terms of its title and headings."""

    number: int
    sentences: tuple[Sentence, ...]
    context: frozenset[str] = field(default_factory=frozenset)


def take_question(text: str, analyzer: WordAnalyzer) -> Asked:
    """Cut a question into words."""
    telling = _ASKING.sub(lambda match: " " * len(match[0]), text)
    words = []
    for match in _WORD.finditer(telling):
        word = match[0]
        terms = tuple(analyzer.words(word))
        capital = word[0].isupper() and (match.start() > 0 or _is_acronym(word))
        named = bool(terms) and (capital or any(character.isdigit() for character in word))
        words.append(Word(start=match.start(), end=match.end(), terms=terms, names=named))
    return Asked(
        words=tuple(words),
        terms=tuple(analyzer.words(telling)),
        kind=next((kind for kind, pattern in _ASKS if pattern.search(text)), "any"),
        written=frozenset(match[0].lower() for match in _WORD.finditer(text)),
    )


def take_passage(passage: Passage, number: int, analyzer: WordAnalyzer) -> Evidence:
    """Cut a passage into sentences; a table row (known by its `location`) stays whole."""
    text = passage.text
    row = passage.location is not None and bool(text.strip())
    spans = [(0, len(text.rstrip()))] if row else sentences(text, passage.language)
    context = " \n ".join([passage.title or "", *passage.heading_path])
    return Evidence(
        number=number,
        sentences=tuple(_sentence(text, start, end, analyzer) for start, end in spans),
        context=frozenset(analyzer.words(context)),
    )


def _sentence(text: str, start: int, end: int, analyzer: WordAnalyzer) -> Sentence:
    body = text[start:end]
    lowered = body.lower()
    words = _WORD.findall(body)
    # The first word of a sentence is capitalised anyway; it names something if the next one is, too.
    first = bool(words) and (_is_acronym(words[0]) or len(words) > 1 and words[1][0].isupper())
    return Sentence(
        start=start,
        end=end,
        terms=tuple(analyzer.words(body)),
        numbers=frozenset(word.lower() for word in words if _NUMBER.fullmatch(word.lower())),
        names=frozenset(word.lower() for i, word in enumerate(words) if word[0].isupper() and (i or first)),
        dated=bool(_DATE.search(lowered)),
        reasons=bool(_REASON.search(lowered)),
        leans=bool(_LEANS.match(lowered)),
        heading=len(body) < _HEADING and body[-1] not in _CLOSES and ": " not in body,
    )


def _is_acronym(word: str) -> bool:
    return len(word) > 1 and word.isupper()


# --- what words tell --------------------------------------------------------------------------------------

KINDS: Final = ("any", "date", "number", "person", "place", "reason", "manner", "thing")
"""What a question may ask for: by the first pattern of `_ASKS` that is found in it, else "any"."""

_ASKS: Final = tuple(
    (kind, re.compile(pattern, re.IGNORECASE))
    for kind, pattern in (
        (
            "date",
            r"\bwhen\b|\b(?:what|which) (?:\w+ )?(?:year|date|day|month|century|decade|time)\b"
            r"|언제|몇 ?년|며칠|연도|날짜",
        ),
        (
            "number",
            r"\bhow (?:many|much|long|old|far|large|big|tall|high|often|fast|deep|wide)\b"
            r"|\bwhat (?:is the )?(?:\w+ )?(?:percent|percentage|number|amount|price|population|proportion)\b"
            r"|몇|얼마",
        ),
        ("person", r"\bwho(?:m|se)?\b|\b(?:what|which) person\b|누구|누가"),
        (
            "place",
            r"\bwhere\b|\b(?:what|which) (?:\w+ )?(?:country|city|state|place|town|region|location)\b"
            r"|어디|어느 (?:나라|도시|곳)",
        ),
        ("reason", r"\bwhy\b|\bwhat (?:\w+ )?(?:reason|caused)|왜|이유"),
        ("manner", r"\bhow\b|어떻게"),
        ("thing", r"\b(?:what|which)\b|무엇|무슨|어떤|어느|뭐"),
    )
)
# Words that ask, but that the analyzer takes for words to be found.
_ASKING: Final = re.compile(
    r"\bhow (?:many|much|long|often|large|big|high)\b|몇|얼마(?:나|를|인가)?|어떻게|누구|누가|왜", re.IGNORECASE
)
_WORD: Final = re.compile(r"\w+(?:['’.-]\w+)*")
_NUMBER: Final = re.compile(
    r".*\d.*|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|dozen|once|twice|half|third|quarter"
    r"|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundreds?|thousands?|millions?|billions?"
)
_DATE: Final = re.compile(
    r"\b(?:1\d|20)\d\ds?\b|\d+ ?(?:bce?|ad|ce)\b|centur|decade|\b(?:march|may) \d"
    r"|\b(?:january|february|april|june|july|august|september|october|november|december)\b"
    r"|\b(?:mon|tues|wednes|thurs|fri|satur|sun)day\b|\b(?:hour|day|week|month|year)s?\b|\d+ ?(?:년|월|일|세기|시간)"
)
_REASON: Final = re.compile(
    r"\b(?:because|due to|in order|so that|as a result|therefore|thus|since|caused|owing|reason|for this|led to"
    r"|to (?:avoid|prevent|help|make|ensure|protect))\b|때문|위해|위하여|까닭|이유|므로"
)
_LEANS: Final = re.compile(
    r"(?:he|she|it|they|this|these|those|that|such|his|her|its|their|however|but|and|also|then|there|both|another"
    r"|other)\b|이는|그는|그녀|그것|이것|이러한|그러나|하지만|그리고|또한|그들"
)
_HEADING: Final = 80  # characters; a longer line without a full stop is a sentence without a full stop
_CLOSES: Final = frozenset(".!?…:;,\"'”’»)]」』。！？｡")
