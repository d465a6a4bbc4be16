"""text -> terms: what the keyword channel searches by, whatever languages a book holds.

Words are normalised (NFKC, lower case, no accents), freed of function words and reduced to their stems:
Snowball's for the languages it knows, morphemes for Korean, overlapping pairs of characters where a script
sets no spaces (Japanese, Chinese, Thai and others). Within one text each run of a script is treated by its kind.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from itertools import chain, pairwise
from operator import itemgetter
from typing import TYPE_CHECKING, Final

from sourcebook.errors import MissingExtra
from sourcebook.language import FUNCTION_WORDS, detect
from sourcebook.types import Terms

if TYPE_CHECKING:
    import numpy as np
    from kiwipiepy import Kiwi
    from numpy.typing import NDArray
    from Stemmer import Stemmer

_Placed = tuple[int, Iterable[str]]
"""Where something stands in a text, and its terms."""

_FALLBACK: Final = "en"  # whose rules a text is treated by that says too little to know its language
_CACHE_SIZE: Final = 100_000  # words per language; then the cache starts anew


class KeywordAnalyzer:
    """The `Analyzer` of the keyword channel.

    Passage weights are BM25's without the IDF, tf (k1 + 1) / (tf + k1 (1 - b + b length / average_length)),
    where length is the passage's number of terms (Robertson and Zaragoza, The Probabilistic Relevance
    Framework: BM25 and Beyond, 2009). The average is a constant, so that a passage's weights do not depend on
    other passages; a term's number is a hash, the same in every process.
    Korean needs `kiwipiepy`; it is loaded (300 MB, more than a second) when the first Hangul is seen.
    """

    def __init__(self, *, k1: float = 1.2, b: float = 0.75, average_length: float = 100.0) -> None:
        self._k1, self._b, self._average_length = k1, b, average_length
        self._words: dict[str, _Words] = {}  # by language
        self._numbers: dict[str, int] = {}  # by term
        self._kiwi: Kiwi | None = None

    @property
    def fingerprint(self) -> str:
        """Changes with the settings and with the rules of this file."""
        return f"terms-1:{self._k1}:{self._b}:{self._average_length}"

    def passage_terms(self, texts: Sequence[str]) -> list[Terms]:
        """The i'th entry holds the terms of the i'th text with their BM25 weights; IDF is left to the index.

        Errors: MissingExtra if there is Korean in a text and `kiwipiepy` is not installed.
        """
        import numpy as np

        result = []
        for terms in self._analyse(texts):
            counts = Counter(terms)
            frequency = np.fromiter(counts.values(), np.float32, len(counts))
            norm = self._k1 * (1 - self._b + self._b * counts.total() / self._average_length)
            weights = frequency * np.float32(self._k1 + 1) / (frequency + np.float32(norm))
            result.append(self._sparse(counts, weights))
        return result

    def query_terms(self, text: str) -> Terms:
        """The terms of a question, weighted by how often each occurs in it.

        A question may be too short to show its language, and so may a passage: next to the terms of its own
        language it has those that a passage of unknown language, or it itself in others, would have. What no
        passage has costs nothing.
        """
        import numpy as np

        text = _normalised(text)
        language = detect(text)
        counts = Counter(self._terms(text, language, self._morphemes([text])))
        for other in (_FALLBACK,) if language else FUNCTION_WORDS:
            for term, count in Counter(self._terms(text, other, {})).items():
                counts[term] = max(counts[term], count)
        weights = np.fromiter(counts.values(), np.float32, len(counts))
        return self._sparse(counts, weights)

    def words(self, text: str) -> list[str]:
        """The normalised terms of a text in order, repeated as they occur; function words are left out."""
        return next(self._analyse([text]))

    def _analyse(self, texts: Sequence[str]) -> Iterator[list[str]]:
        normalised = [_normalised(text) for text in texts]
        morphemes = self._morphemes([text for text in normalised if not text.isascii()])
        for text in normalised:
            yield self._terms(text, detect(text), morphemes)

    def _terms(self, text: str, language: str | None, morphemes: Mapping[str, list[_Placed]]) -> list[str]:
        """The terms of a normalised text in order."""
        language = language if language in FUNCTION_WORDS or language in _STEMMED else _FALLBACK
        words = self._words.get(language)
        if words is None or len(words) > _CACHE_SIZE:
            words = self._words[language] = _Words(language)
        if text.isascii():
            return list(chain.from_iterable(map(words.__getitem__, _CHAIN.findall(text))))
        found: list[_Placed] = [(m.start(), words[m[0]]) for m in _CHAIN.finditer(text)]
        found += [(m.start(), _pairs(m[0])) for m in _UNSPACED.finditer(text)]
        found += morphemes.get(text, ())
        found.sort(key=itemgetter(0))
        return list(chain.from_iterable(terms for _, terms in found))

    def _morphemes(self, texts: Sequence[str]) -> dict[str, list[_Placed]]:
        """The meaning-bearing morphemes of those texts that have Hangul in them, with their positions."""
        korean = [text for text in texts if _HANGUL.search(text)]
        if not korean:
            return {}
        if self._kiwi is None:
            self._kiwi = _load_kiwi()
        return {
            text: [
                (token.start, (_folded(token.form),))
                for token in tokens
                if token.tag[:2] in _KOREAN_TAGS and _HANGUL.match(token.form) and token.form not in _KOREAN_STOPS
            ]
            for text, tokens in zip(korean, self._kiwi.tokenize(korean), strict=True)
        }

    def _sparse(self, counts: Counter[str], weights: NDArray[np.float32]) -> Terms:
        import numpy as np

        if len(self._numbers) > 4 * _CACHE_SIZE:
            self._numbers.clear()
        for term in counts:
            if term not in self._numbers:
                self._numbers[term] = _number(term)
        indices = np.fromiter(map(self._numbers.__getitem__, counts), np.uint32, len(counts))
        distinct, first = np.unique(indices, return_index=True)
        if len(distinct) < len(indices):  # two terms share a number: the heavier one stands for both
            np.maximum.at(heaviest := np.zeros(len(distinct), np.float32), np.searchsorted(distinct, indices), weights)
            return Terms(indices=distinct, weights=heaviest)
        return Terms(indices=distinct, weights=weights[first])


def _number(term: str) -> int:
    return int.from_bytes(blake2b(term.encode(), digest_size=4).digest(), "little")


def _normalised(text: str) -> str:
    """NFKC: full-width letters, ligatures and composed syllables become their usual selves. Case is kept."""
    return text if text.isascii() else unicodedata.normalize("NFKC", text)


def _folded(word: str) -> str:
    """Lower case and without accents; scripts in which marks carry meaning keep them."""
    word = word.casefold()
    if word.isascii() or not _ACCENTED.search(word):
        return word
    return "".join(c for c in unicodedata.normalize("NFKD", word) if not unicodedata.combining(c))


# --- scripts that set spaces between words ----------------------------------------------------------------


class _Words(dict[str, tuple[str, ...]]):
    """Chain of word characters, as it stands in a text -> its terms, by the rules of one language."""

    def __init__(self, language: str) -> None:
        super().__init__()
        self._stops = FUNCTION_WORDS.get(language, frozenset())
        self._stemmer = _load_stemmer(_STEMMED[language]) if language in _STEMMED else None
        self._elides = language in ("fr", "it", "ca")

    def __missing__(self, written: str) -> tuple[str, ...]:
        self[written] = terms = tuple(self._terms(written))
        return terms

    def _terms(self, written: str) -> Iterator[str]:
        """Words, the parts of compounds, and what a compound is when it is written as one word."""
        written = _POSSESSIVE.sub("", written)
        if self._elides:
            written = _ELISION.sub("", written)
        written = _APOSTROPHE.sub("", written)
        if written.isalpha():
            if _CAMEL.fullmatch(written):
                yield from chain.from_iterable(map(self._stem, _CAMEL_PART.findall(written)))
                yield _folded(written)
            else:
                yield from self._stem(written)
            return
        if _NUMBER.fullmatch(written):
            yield written.replace(",", "")
            return
        parts = _PART.findall(written)
        joined = _folded("".join(parts))
        if len(parts) == 1 or all(len(part) == 1 for part in parts):  # "U.S", "e.g"
            yield from self._stem(joined)
            return
        for part in parts:
            yield from self._stem(part)
        if not joined.isdigit() and "/" not in written and (len(parts) <= 3 or "@" in written or "_" in written):
            yield joined

    def _stem(self, word: str) -> Iterator[str]:
        word = word.casefold()
        if word in self._stops:
            return
        if self._stemmer is not None and word.isalpha():
            word = self._stemmer.stemWord(word)
        yield _folded(word)


def _load_stemmer(algorithm: str) -> Stemmer:
    from Stemmer import Stemmer

    return Stemmer(algorithm, 0)  # no cache of its own: ours holds whole terms


_STEMMED: Final = {
    "ar": "arabic", "ca": "catalan", "cs": "czech", "da": "danish", "de": "german", "el": "greek",
    "en": "english", "es": "spanish", "fa": "persian", "fi": "finnish", "fr": "french", "hi": "hindi",
    "hu": "hungarian", "hy": "armenian", "id": "indonesian", "it": "italian", "nl": "dutch",
    "no": "norwegian", "pl": "polish", "pt": "portuguese", "ro": "romanian", "ru": "russian",
    "sv": "swedish", "ta": "tamil", "tr": "turkish",
}  # fmt: skip

# Letters and digits of scripts with spaces; vowel signs of Indic scripts count as letters.
_OTHER: Final = (
    "\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u3005-\u318f\u3400-\u9fff\uac00-\ud7a3\U00020000-\U0003134f"
)
_LETTER: Final = rf"(?:[^\W_{_OTHER}]|[\u0900-\u0dff\u064b-\u065f\u0300-\u036f])"
_CHAIN: Final = re.compile(rf"{_LETTER}+(?:(?:[-._@'’/]|(?<=\d),(?=\d)){_LETTER}+)*")
_PART: Final = re.compile(rf"{_LETTER}+")
_NUMBER: Final = re.compile(r"\d+(?:\.\d+)*|\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_CAMEL: Final = re.compile(r"(?:[a-z]{2,}|[A-Z][a-z]+)(?:[A-Z][a-z]+)+")
_CAMEL_PART: Final = re.compile(r"[A-Z]?[a-z]+")
_POSSESSIVE: Final = re.compile(r"['’][sS]$")
_APOSTROPHE: Final = re.compile(r"['’]")
_ELISION: Final = re.compile(r"^(?:[cdjlmnst]|qu|all|dell|nell|sull|dall|un)['’]", re.IGNORECASE)
_ACCENTED: Final = re.compile(r"[\u00c0-\u024f\u0300-\u036f\u0370-\u03ff\u1e00-\u1fff]")


# --- scripts that do not ----------------------------------------------------------------------------------


def _pairs(run: str) -> list[str]:
    """Each character, and each with the one behind it: finds words of one character and tells longer ones."""
    if len(run) == 1:
        return [run]
    return [term for first, second in pairwise(run) for term in (first, first + second)] + [run[-1]]


_UNSPACED: Final = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3041-\u30ff\u3400-\u9fff\U00020000-\U0003134f]+"
)


# --- Korean -----------------------------------------------------------------------------------------------


def _load_kiwi() -> Kiwi:
    try:
        from kiwipiepy import Kiwi
    except ImportError as error:
        raise MissingExtra.of("keyword search in Korean", "korean") from error
    # Names of several words and typing errors are not our concern: leaving their dictionaries out halves the
    # memory and the time to load.
    return Kiwi(load_multi_dict=False, load_typo_dict=False)


_HANGUL: Final = re.compile(r"[\uac00-\ud7a3]")
# Nouns (NN), numerals (NR), predicates (VV, VA), adverbs (MA), determiners (MM), roots (XR), unknown words (UN).
_KOREAN_TAGS: Final = frozenset({"NN", "NR", "VV", "VA", "XR", "MM", "MA", "UN"})
_KOREAN_STOPS: Final = frozenset(
    "것 수 등 때 중 이 그 저 하 되 있 없 같 않 위하 대하 따르 통하 의하 관하 무엇 어디 언제 누구 어떤 무슨 어느".split()
)
