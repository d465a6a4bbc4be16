"""Rows of features -> how well each sentence answers, and whether any does. What was learned is `judge.json`.

Two small networks for each kind of row (with token vectors, with sentence vectors, words only). `rank` was
trained to put a sentence with the answer first (softmax over the sentences of a question), `trust` to tell
questions whose passage was there from those whose passage had been left out; its threshold is the score that
the stated share of answerable questions stays below. `bench/train_extractive.py` made the file, from half of
the SQuAD 1.1 development articles (CC BY-SA 4.0).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from sourcebook.models.extractive.features import SENTENCE_FEATURES, Kind, feature_names

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]


class Judge:
    """What was learned for one kind of rows."""

    def __init__(self, learned: Mapping[str, Any], names: Sequence[str]) -> None:
        if list(names) != learned["features"]:
            raise ValueError("judge.json was made for other features; run bench/train_extractive.py")
        self._names = tuple(names)
        self._rank = Network(learned["rank"])
        self._trust = Network(learned["trust"])
        self.threshold = float(learned["threshold"])

    def worth(self, rows: Matrix, explains: Matrix) -> Matrix:
        """How well each sentence answers: log odds against the other sentences, up to a constant.

        explains: how far each sentence explains what the question wants explained, from 0 to 1.
        """
        return self._rank(rows) + _EXPLAINING * explains**2

    def trust(self, rows: Matrix, worth: Matrix, explains: Matrix) -> float:
        """Log odds that the rows hold an answer at all; believe it from `threshold` on."""
        learned = float(self._trust(summary(rows, worth, self._names)[None])[0])
        return learned + _EXPLAINED * float(explains[worth.argmax()] == 1)


@cache
def learned_judge(kind: Kind) -> Judge:
    """The judge of rows of this kind."""
    learned = json.loads(Path(__file__).with_name("judge.json").read_text(encoding="utf-8"))
    return Judge(learned[kind], feature_names(kind))


def summary(rows: Matrix, worth: Matrix, names: Sequence[str]) -> Matrix:
    """What `trust` is told: the best sentence's features, and the greatest values among all sentences.

    What compares sentences with each other is left out: it depends on how alike the documents of a book are.
    """
    own = [i for i, name in enumerate(names) if not name.endswith("_behind") and name not in SENTENCE_FEATURES]
    greatest = [names.index(name) for name in _GREATEST if name in names]
    best = rows[int(worth.argmax())]
    return np.concatenate([best[own], rows[:, greatest].max(0)])


class Network:
    """Layers of weights with rectifiers between them, over standardised input cut off at five deviations."""

    def __init__(self, learned: Mapping[str, Any]) -> None:
        self._mean = np.array(learned["mean"])
        self._scale = np.array(learned["scale"])
        self._layers = [(np.array(layer["weights"]), np.array(layer["bias"])) for layer in learned["layers"]]

    def __call__(self, rows: Matrix) -> Matrix:
        """Shape (n, features) -> (n,)."""
        values = np.clip((rows - self._mean) / self._scale, -5, 5)
        for weights, bias in self._layers[:-1]:
            values = np.maximum(values @ weights + bias, 0)
        weights, bias = self._layers[-1]
        return np.asarray((values @ weights + bias)[:, 0])


# By hand, on legal text, where most terms have a definition: 44 of the 10,570 questions of SQuAD meet one.
_EXPLAINING: Final = 4.0
_EXPLAINED: Final = 2.0
_GREATEST: Final = (
    "late", "late_passage", "late_least", "late_passage_least", "late_asking", "late_names_passage", "cosine",
    "cosine_passage", "cover_weighted", "cover_passage", "cover_passage_weighted", "cover_around",
    "names_passage", "pairs",
)  # fmt: skip
