"""Learn what the extractive model judges by: writes `judge.json` next to the code that reads it.

    python bench/train_extractive.py [--cache FILE]

Learned from half of SQuAD's articles (`paragraphs.tuned_articles`); `answers.py` reports on the other half.
Each question is asked twice: with its paragraph in the book, where the sentences that hold the answer should
come first, and without it, where the answer should be "unknown". So that what is learned holds elsewhere,
it is asked again as keywords or carelessly typed, with fewer passages, with and without titles, and of
passages about something else. Twenty minutes on two cores, most of it for embedding; the cache saves those.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from paragraphs import Book, Item, Remembering, squad

from sourcebook.language import FUNCTION_WORDS, sentences
from sourcebook.models.extractive import judge
from sourcebook.models.extractive.evidence import Evidence, take_passage, take_question
from sourcebook.models.extractive.features import (
    Kind,
    SentenceVectors,
    TokenVectors,
    Vectors,
    describe,
    feature_names,
    split,
    tokens_of,
)
from sourcebook.types import Hit

Matrix = NDArray[np.float64]

REFUSED = 0.085  # share of answerable questions that may be refused
HITS = 5
KINDS: tuple[Kind, ...] = ("tokens", "sentences", "words")


def main() -> None:
    """Collect, fit, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    parser.add_argument("--cache", type=Path, help="keeps embeddings between runs")
    parser.add_argument("--output", type=Path, default=Path(judge.__file__).with_name("judge.json"))
    options = parser.parse_args()
    if not (options.data / "retrieval" / "squad_v1_dev").exists():
        print(f"skipped: no SQuAD below {options.data}")
        return
    cases = asyncio.run(collect(options.data, options.cache))
    print(f"{len(cases)} questions asked")
    learned = {kind: learn([case.rows[kind] for case in cases], cases, kind) for kind in KINDS}
    options.output.write_text(json.dumps(learned) + "\n", encoding="utf-8")


# --- what is learned from ---------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """A question put to some passages. rows: by kind of vectors. right: which sentences hold an answer."""

    rows: dict[Kind, Matrix]
    right: NDArray[np.bool_]
    answerable: bool


async def collect(data: Path, cache: Path | None) -> list[Case]:
    """The cases of all questions that may be tuned on."""
    reading = squad(data)
    embedder = Remembering()
    if cache:
        embedder.load(cache)
    book = Book(reading.paragraphs, embedder)
    await book.index()
    await embedder.embed([passage.text[a:b] for passage in book.passages for a, b in sentences(passage.text, "en")])
    cases = []
    others = np.random.default_rng(1)
    earlier: list[Hit] = []
    for number, item in enumerate(reading.items):
        if item.held_out:
            continue
        chance = np.random.default_rng(number)
        found = await book.search(item.text, top=HITS)
        missed = await book.search(item.text, without={item.paragraph}, top=HITS)
        cases += [await ask(book, item, item.text, hits, hits is found) for hits in (found, missed)]
        if chance.random() < 0.7:
            text, count = restyled(item.text, chance), int(chance.integers(1, HITS + 1))
            cases += [await ask(book, item, text, hits[:count], hits is found) for hits in (found, missed)]
        if earlier and others.random() < 0.1:
            cases.append(await ask(book, item, restyled(item.text, chance), earlier, False))
        if number % 5 == 0:
            earlier = found if others.random() < 0.5 else earlier
        if number % 1000 == 0:
            print(f"question {number}", flush=True)
    if cache:
        embedder.save(cache)
    return cases


def restyled(question: str, chance: np.random.Generator) -> str:
    """The question as it is, in lower case without its mark, or as keywords."""
    style = chance.random()
    if style < 0.5:
        return question
    if style < 0.65:
        return question.rstrip("? ").lower()
    stops = FUNCTION_WORDS["en"] | {"many", "much", "long"}
    words = [word for word in question.rstrip("? ").split() if word.lower() not in stops]
    text = " ".join(words) if len(words) > 1 else question
    return text.lower() if style < 0.8 else text


async def ask(book: Book, item: Item, question: str, hits: Sequence[Hit], answerable: bool) -> Case:
    """Describe the sentences of the hits; every other article's passages carry their title."""
    titled = [
        replace(hit, passage=replace(hit.passage, title=title)) if len(title) % 2 else hit
        for hit in hits
        for title in [book.title_of(hit.passage)]
    ]
    asked = take_question(question, book.analyzer)
    evidence = [take_passage(hit.passage, number, book.analyzer) for number, hit in enumerate(titled, 1)]
    vectors: dict[Kind, Vectors | None] = {
        "tokens": await _token_vectors(book, question, hits),
        "sentences": await _sentence_vectors(book, question, hits, evidence),
        "words": None,
    }
    texts = [
        hit.passage.text[sentence.start : sentence.end]
        for hit, passage in zip(hits, evidence, strict=True)
        for sentence in passage.sentences
    ]
    return Case(
        rows={kind: describe(asked, evidence, some).astype(np.float32) for kind, some in vectors.items()},
        right=np.array([any(answer in text for answer in item.answers) for text in texts]),
        answerable=answerable,
    )


async def _token_vectors(book: Book, question: str, hits: Sequence[Hit]) -> TokenVectors:
    found = await book.embedder.embed_tokens([question, *(hit.passage.text for hit in hits)])
    first, *rest = (tokens_of(*one, 0) for one in found)
    return TokenVectors(question=first, passages=rest)


async def _sentence_vectors(
    book: Book, question: str, hits: Sequence[Hit], evidence: Sequence[Evidence]
) -> SentenceVectors:
    texts = [
        hit.passage.text[sentence.start : sentence.end]
        for hit, passage in zip(hits, evidence, strict=True)
        for sentence in passage.sentences
    ]
    first, *rest = await book.embedder.embed([question, *texts])
    return SentenceVectors(question=first, passages=split(np.array(rest), [len(one.sentences) for one in evidence]))


# --- learning ---------------------------------------------------------------------------------------------


def learn(rows: Sequence[Matrix], cases: Sequence[Case], kind: Kind) -> dict[str, Any]:
    """Both networks and the threshold for one kind of rows."""
    names = feature_names(kind)
    useful = [number for number, case in enumerate(cases) if case.answerable and case.right.any()]
    rank = fit([rows[n] for n in useful], [cases[n].right for n in useful], hidden=(16,), rate=3e-3, loss=listwise)
    known = judge.Network(rank)
    summaries = [judge.summary(some, known(some), names)[None] for some in rows]
    answerable = np.array([case.answerable for case in cases])
    trust = fit(summaries, list(answerable[:, None]), hidden=(), rate=1e-2, loss=logistic)
    scores = judge.Network(trust)(np.vstack(summaries))
    threshold = float(np.quantile(scores[answerable], REFUSED))
    first = np.mean(
        [case.right[known(some).argmax()] for some, case in zip(rows, cases, strict=True) if case.answerable]
    )
    print(
        f"{kind}: on what it was learned from, the first sentence holds the answer in {first:.1%},"
        f" refused {REFUSED:.1%}, unknown without the paragraph {np.mean(scores[~answerable] < threshold):.1%}"
    )
    return {"features": list(names), "threshold": _short(threshold), "rank": rank, "trust": trust}


Loss = Callable[[Matrix, Matrix, NDArray[np.int64]], Matrix]


def listwise(scores: Matrix, right: Matrix, starts: NDArray[np.int64]) -> Matrix:
    """Gradient of -log of the share that right rows have in the softmax over each group."""
    group = np.repeat(np.arange(len(starts)), np.diff([*starts, len(scores)]))
    odds = np.exp(scores - np.maximum.reduceat(scores, starts)[group])
    share = odds / np.add.reduceat(odds, starts)[group]
    wanted = odds * right
    return np.asarray((share - wanted / np.maximum(np.add.reduceat(wanted, starts), 1e-12)[group]) / len(starts))


def logistic(scores: Matrix, right: Matrix, starts: NDArray[np.int64]) -> Matrix:
    """Gradient of the cross entropy of each row."""
    return np.asarray((1 / (1 + np.exp(-scores)) - right) / len(starts))


def fit(
    groups: Sequence[Matrix],
    right: Sequence[NDArray[np.bool_]],
    *,
    hidden: tuple[int, ...],
    rate: float,
    loss: Loss,
    rounds: int = 12,
    decay: float = 3e-4,
    dropout: float = 0.1,
    batch: int = 64,
) -> dict[str, Any]:
    """A network for `judge.Network`, trained with Adam on groups of rows (Kingma and Ba, 2015)."""
    chance = np.random.default_rng(0)
    every = np.vstack(groups)
    mean, scale = every.mean(0), every.std(0) + 1e-6
    standard = [np.clip((rows - mean) / scale, -5, 5) for rows in groups]
    sizes = (every.shape[1], *hidden, 1)
    weights = [chance.normal(size=pair) * np.sqrt(2 / pair[0]) for pair in pairwise(sizes)]
    parameters = [*weights, *(np.zeros(size) for size in sizes[1:])]
    moments = [(np.zeros_like(one), np.zeros_like(one)) for one in parameters]
    steps = rounds * (len(groups) // batch)
    for step, some in enumerate(_batches(len(groups), batch, rounds, chance), 1):
        rows = np.vstack([standard[n] for n in some])
        wanted = np.concatenate([right[n] for n in some]).astype(float)
        starts = np.cumsum([0, *(len(standard[n]) for n in some[:-1])])
        gradients = _gradients(parameters, rows, wanted, starts, loss, dropout, chance)
        pace = rate * min(1, step / 200) * (1 + np.cos(np.pi * step / steps)) / 2
        for place, (parameter, gradient) in enumerate(zip(parameters, gradients, strict=True)):
            gradient = gradient + decay * parameter * (parameter.ndim > 1)
            first, second = moments[place]
            first += 0.1 * (gradient - first)
            second += 0.001 * (gradient**2 - second)
            parameter -= pace * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
    depth = len(weights)
    return {
        "mean": _short(mean),
        "scale": _short(scale),
        "layers": [{"weights": _short(parameters[n]), "bias": _short(parameters[depth + n])} for n in range(depth)],
    }


def _batches(count: int, batch: int, rounds: int, chance: np.random.Generator) -> Iterator[list[int]]:
    for _ in range(rounds):
        order = chance.permutation(count).tolist()
        for start in range(0, count - batch + 1, batch):
            yield order[start : start + batch]


def _gradients(
    parameters: Sequence[Matrix],
    rows: Matrix,
    wanted: Matrix,
    starts: NDArray[np.int64],
    loss: Loss,
    dropout: float,
    chance: np.random.Generator,
) -> list[Matrix]:
    """By back-propagation, in the order of the parameters: all weights, then all biases."""
    depth = len(parameters) // 2
    inputs = [rows]
    for weights, bias in zip(parameters[: depth - 1], parameters[depth:-1], strict=True):
        kept = (chance.random((len(rows), len(bias))) > dropout) / (1 - dropout)
        inputs.append(np.maximum(inputs[-1] @ weights + bias, 0) * kept)
    scores = (inputs[-1] @ parameters[depth - 1] + parameters[-1])[:, 0]
    back = loss(scores, wanted, starts)[:, None]
    of_weights: list[Matrix] = []
    of_biases: list[Matrix] = []
    for layer in range(depth - 1, -1, -1):
        of_weights.insert(0, inputs[layer].T @ back)
        of_biases.insert(0, back.sum(0))
        back = (back @ parameters[layer].T) * (inputs[layer] > 0) / (1 - dropout)
    return of_weights + of_biases


def _short(values: Any) -> Any:
    """Four digits are enough, and keep the file small and its changes readable."""
    if isinstance(values, (float, np.floating)):
        return float(f"{values:.4g}")
    return [_short(value) for value in np.asarray(values).tolist()] if np.ndim(values) else float(f"{values:.4g}")


if __name__ == "__main__":
    main()
