"""Question and evidence -> a row of numbers a sentence. All are general; no word is known by itself."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from sourcebook.models.extractive.evidence import Asked, Evidence, Sentence, Tokens
from sourcebook.models.extractive.wording import KINDS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenVectors:
    """Question and passages as contextual token vectors."""

    question: Tokens
    passages: Sequence[Tokens]


@dataclass(frozen=True, kw_only=True, slots=True)
class SentenceVectors:
    """The question's vector (d,), and each passage's sentences (sentences, d); length one each."""

    question: NDArray[np.float32]
    passages: Sequence[NDArray[np.float32]]


Vectors = TokenVectors | SentenceVectors
Kind = Literal["tokens", "sentences", "words"]


def describe(asked: Asked, evidence: Sequence[Evidence], vectors: Vectors | None) -> Matrix:
    """Shape (sentences of all the evidence in order, features). Each passage has at least one sentence.

    The columns are `WORD_FEATURES`, then, with vectors, `TOKEN_FEATURES` or `SENTENCE_FEATURES`, then how far
    those of `_COMPARED` lie behind the best sentence, then what is asked for.
    """
    names = feature_names(kind_of(vectors))
    weights = term_weights(asked, evidence)
    blocks = [_by_words(asked, passage, weights) for passage in evidence]
    if isinstance(vectors, TokenVectors):
        seen = [
            _by_tokens(asked, passage, weights, vectors.question, tokens)
            for passage, tokens in zip(evidence, vectors.passages, strict=True)
        ]
        blocks = [np.hstack(both) for both in zip(blocks, seen, strict=True)]
    elif vectors is not None:
        blocks = [np.hstack(both) for both in zip(blocks, _by_sentences(vectors), strict=True)]
    rows = np.vstack(blocks)
    compared = [names.index(name) for name in _COMPARED if name in names]
    behind = rows[:, compared] - rows[:, compared].max(0, initial=-np.inf)
    kind = np.array([asked.kind == known for known in KINDS], dtype=float)
    named = sum(word.names for word in asked.words)
    about = np.hstack([kind, min(len(asked.terms), 15) / 10, min(named, 6) / 4])
    return np.hstack([rows, behind, np.tile(about, (len(rows), 1))])


def kind_of(vectors: Vectors | None) -> Kind:
    """What kind of rows come of such vectors."""
    if vectors is None:
        return "words"
    return "tokens" if isinstance(vectors, TokenVectors) else "sentences"


def feature_names(kind: Kind) -> tuple[str, ...]:
    """The columns of `describe` for rows of this kind."""
    names = WORD_FEATURES + {"tokens": TOKEN_FEATURES, "sentences": SENTENCE_FEATURES, "words": ()}[kind]
    return (
        *names,
        *(f"{name}_behind" for name in _COMPARED if name in names),
        *(f"asks_{kind}" for kind in KINDS),
        "question_terms",
        "question_names",
    )


def term_weights(asked: Asked, evidence: Sequence[Evidence]) -> dict[str, float]:
    """A weight for each term of the question: what few of the passages hold says more."""
    held = [passage.context.union(*(s.terms for s in passage.sentences)) for passage in evidence]
    return {term: math.log(1 + (len(held) + 1) / (0.5 + sum(term in terms for terms in held))) for term in asked.terms}


# --- by words ---------------------------------------------------------------------------------------------

WORD_FEATURES: Final = (
    "cover", "cover_weighted", "cover_before", "cover_around", "cover_context", "cover_passage",
    "cover_passage_weighted", "names", "names_passage", "pairs", "fits", "numbers_new", "names_new",
    "terms_new", "rank", "position", "length", "leans",
)  # fmt: skip
"""cover: share of the question's terms that the sentence has; weighted by `term_weights`; together with the
sentence before, or those on both sides, or title and headings, or in the whole passage. names: the same of
names and numbers. pairs: of neighbouring terms. fits: it has
what the question asks for (a date, a name)."""


def _by_words(asked: Asked, passage: Evidence, weights: Mapping[str, float]) -> Matrix:
    terms = list(weights)
    weight = np.array([weights[term] for term in terms])
    weight = weight / max(weight.sum(), 1e-9)
    count = len(passage.sentences)
    inside = [set(sentence.terms) for sentence in passage.sentences]
    own = np.array([[term in words for term in terms] for words in inside], dtype=float).reshape(count, len(terms))
    context = np.array([term in passage.context for term in terms], dtype=float)
    edge = np.zeros((1, len(terms)))
    before = np.maximum(own, np.vstack([edge, own[:-1]]))
    around = np.maximum(before, np.vstack([own[1:], edge]))
    whole = np.maximum(own.max(0, initial=0), context)
    named_terms = {term for word in asked.words if word.names for term in word.terms}
    named = np.array([term in named_terms for term in terms], dtype=float)
    named = named / max(named.sum(), 1)
    pairs = set(zip(asked.terms, asked.terms[1:], strict=False))
    share = 1 / max(len(terms), 1)
    return np.array(
        [
            [
                own[i].sum() * share,
                own[i] @ weight,
                before[i] @ weight,
                around[i] @ weight,
                np.maximum(own[i], context) @ weight,
                whole.sum() * share,
                whole @ weight,
                own[i] @ named if named.any() else 0.5,
                whole @ named if named.any() else 0.5,
                len(pairs.intersection(zip(sentence.terms, sentence.terms[1:], strict=False))) / max(len(pairs), 1),
                *_answer_like(asked, sentence),
                1 / passage.number,
                1 / (1 + i),
                math.log1p(len(sentence.terms)) / 3,
                float(sentence.leans),
            ]
            for i, sentence in enumerate(passage.sentences)
        ]
    ).reshape(count, len(WORD_FEATURES))


def _answer_like(asked: Asked, sentence: Sentence) -> tuple[float, float, float, float]:
    numbers = sentence.numbers - asked.written
    names = sentence.names - asked.written
    fits = {
        "date": sentence.dated and bool(numbers),
        "number": bool(numbers),
        "person": bool(names),
        "place": bool(names),
        "reason": sentence.reasons,
    }.get(asked.kind, 0.5)
    new = len(set(sentence.terms).difference(asked.terms))
    return float(fits), min(len(numbers), 4) / 4, min(len(names), 6) / 6, min(new, 20) / 20


# --- by vectors -------------------------------------------------------------------------------------------

TOKEN_FEATURES: Final = (
    "late", "late_plain", "late_least", "late_before", "late_after", "late_passage", "late_passage_least",
    "late_names", "late_names_passage", "late_asking", "cosine", "cosine_passage",
)  # fmt: skip
"""late: for each token of the question its greatest cosine with a token of the sentence, averaged with
`term_weights` (late interaction: Khattab and Zaharia, ColBERT, 2020); plain, without weights; least, the
token that finds the least; before, after, passage: of the neighbours and of the whole passage; names: over
names and numbers; asking: over the stop words, which carry what is asked for. cosine: of the mean vectors."""

SENTENCE_FEATURES: Final = ("near", "near_before", "near_after", "near_passage")
"""near: cosine of question and sentence, in standard deviations above the mean of all sentences, because the
cosines of each embedder lie elsewhere; of its neighbours; of the mean of the passage's sentences."""


def _by_tokens(asked: Asked, passage: Evidence, weights: Mapping[str, float], question: Tokens, text: Tokens) -> Matrix:
    asking, content, named, weight = _token_weights(asked, weights, question)
    similar = question.vectors @ text.vectors.T
    meaning = _unit(question.vectors.mean(0))
    starts, ends = text.places[:, 0], text.places[:, 1]
    own = np.zeros((len(passage.sentences), len(question.vectors)))
    cosine = np.zeros(len(passage.sentences))
    for i, sentence in enumerate(passage.sentences):
        inside = (starts >= sentence.start) & (ends <= sentence.end) & (ends > starts)
        if inside.any():
            own[i] = similar[:, inside].max(1)
            cosine[i] = _unit(text.vectors[inside].mean(0)) @ meaning
    whole = own.max(0, initial=0)
    late = own @ weight
    least = own[:, content > 0].min(1, initial=1)
    names = own @ named if named.any() else np.full(len(own), 0.7)
    every = np.ones(len(own))
    return np.column_stack(
        [
            late,
            own @ content,
            least,
            np.hstack([0.3, late[:-1]]),
            np.hstack([late[1:], 0.3]),
            every * (whole @ weight),
            every * whole[content > 0].min(initial=1),
            names,
            every * (whole @ named if named.any() else 0.7),
            own @ asking,
            cosine,
            every * (_unit(text.vectors.mean(0)) @ meaning if len(text.vectors) else 0),
        ]
    )


def _token_weights(asked: Asked, weights: Mapping[str, float], question: Tokens) -> tuple[Matrix, ...]:
    """Weights of the question's tokens, each adding up to one: those that ask, content, names, weighted content."""
    starts, ends = question.places[:, 0], question.places[:, 1]
    asking, content, named, weight = (np.zeros(len(starts)) for _ in range(4))
    for word in asked.words:
        pieces = (starts >= word.start) & (ends <= word.end) & (ends > starts)
        if word.terms:
            content[pieces] = 1
            named[pieces] = word.names
            weight[pieces] = sum(weights.get(term, 1.0) for term in word.terms) / len(word.terms)
        else:
            asking[pieces] = 1
    return tuple(each / max(each.sum(), 1e-9) for each in (asking, content, named, weight))


def _by_sentences(vectors: SentenceVectors) -> list[Matrix]:
    """A block for each passage."""
    every = np.concatenate([sentences @ vectors.question for sentences in vectors.passages])
    mean, deviation = every.mean(), max(float(every.std()), 1e-6)
    blocks = []
    for sentences in vectors.passages:
        near = (sentences @ vectors.question - mean) / deviation
        whole = (_unit(sentences.mean(0)) @ vectors.question - mean) / deviation
        neighbours = np.hstack([0, near[:-1]]), np.hstack([near[1:], 0])
        blocks.append(np.column_stack([near, *neighbours, np.full(len(near), whole)]))
    return blocks


def tokens_of(vectors: NDArray[np.float32], places: NDArray[np.int64], start: int) -> Tokens:
    """What an embedder found in the part of a text that begins at `start`, as `Tokens` of the text."""
    lengths = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    return Tokens(vectors=vectors / lengths, places=places + start)


def split(vectors: NDArray[np.float32], lengths: Sequence[int]) -> list[NDArray[np.float32]]:
    """The rows in groups of these lengths."""
    return np.split(vectors, np.cumsum(lengths)[:-1])


def _unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    return vector / max(float(np.linalg.norm(vector)), 1e-9)


_COMPARED: Final = (
    "cover_weighted", "cover_around", "cover_passage_weighted", "pairs",
    "late", "late_plain", "late_passage", "late_asking", "cosine", "cosine_passage", "near", "near_passage",
)  # fmt: skip
