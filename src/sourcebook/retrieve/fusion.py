"""One order out of the channels' scores, and how much each channel is trusted for a question."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from math import sqrt
from operator import neg
from typing import Final, Literal, Protocol

from sourcebook.types import Candidate, PassageId

FusionMethod = Literal["standardised", "rrf"]


class ChannelSettings(Protocol):
    """The settings that weights are made from: shares of trust, from 0."""

    @property
    def dense(self) -> float:
        """Of the dense channel where the embedder knows the question's language."""
        ...

    @property
    def keyword(self) -> float:
        """Of the keyword channel."""
        ...

    @property
    def dense_foreign(self) -> float:
        """Of the dense channel where the embedder does not know the language."""
        ...


def channel_weights(
    question_language: str | None, embedder_languages: Collection[str], settings: ChannelSettings
) -> dict[str, float]:
    """Channel name -> its share, adding up to 1.

    An embedder is trusted with the languages that it declares, with all if it declares none, and with questions
    too short to know their language by. Elsewhere its vectors are noise that would drown the keywords.
    """
    known = question_language is None or not embedder_languages or question_language in embedder_languages
    dense = settings.dense if known else settings.dense_foreign
    total = dense + settings.keyword
    return {"dense": dense / total, "keyword": settings.keyword / total} if total else {"dense": 1.0, "keyword": 0.0}


def fuse(
    candidates: Sequence[Candidate], *, method: FusionMethod, weights: Mapping[str, float]
) -> list[tuple[PassageId, float, dict[str, int]]]:
    """The candidates best first: id, score, and the rank in each channel that scored it, from 1.

    "standardised": the weighted sum of each channel's scores, less their mean and divided by their standard
    deviation. Where a channel did not propose a passage, its score there is below what it did propose: half a
    standard deviation under the lowest. Exact scores, if the index gives them, are better.
    "rrf": the weighted sum of 1 / (60 + rank) (Cormack, Clarke and Büttcher, Reciprocal Rank Fusion, 2009).

    A passage that only channels without weight propose is left out, unless there are none but such.
    Equal scores keep an order that depends on the ids only.
    """
    scores: dict[str, list[float]] = {}
    names: dict[str, list[PassageId]] = {}
    for candidate in candidates:
        for channel, score in candidate.scores.items():
            scores.setdefault(channel, []).append(score)
            names.setdefault(channel, []).append(candidate.id)
    ranks: dict[PassageId, dict[str, int]] = {candidate.id: {} for candidate in candidates}
    for channel in sorted(scores):
        for rank, (_, name) in enumerate(sorted(zip(map(neg, scores[channel]), names[channel], strict=True)), start=1):
            ranks[name][channel] = rank
    trusted = {channel: weight for channel in sorted(scores) if (weight := weights.get(channel, 0.0)) > 0.0}
    trusted = trusted or dict.fromkeys(sorted(scores), 1.0)
    scored = [candidate for candidate in candidates if not trusted.keys().isdisjoint(candidate.scores)]
    parts = [
        [weight / (_RRF_K + ranks[one.id][channel]) if channel in one.scores else 0.0 for one in scored]
        if method == "rrf"
        else _standardised(scored, channel, scores[channel], weight)
        for channel, weight in trusted.items()
    ]
    fused = [(one.id, sum(shares), ranks[one.id]) for one, shares in zip(scored, zip(*parts, strict=True), strict=True)]
    return sorted(fused, key=lambda one: (-one[1], one[0]))


def _standardised(
    candidates: Sequence[Candidate], channel: str, proposed: Sequence[float], weight: float
) -> list[float]:
    """The i'th candidate's share in a channel that proposed these scores."""
    _, deviation = _moments(proposed)
    missing = min(proposed) - _BELOW * deviation
    values = [one.scores.get(channel, missing) for one in candidates]
    mean, deviation = _moments(values)
    return [weight * (value - mean) / deviation for value in values] if deviation else [0.0] * len(values)


def _moments(values: Sequence[float]) -> tuple[float, float]:
    mean = sum(values) / len(values)
    return mean, sqrt(sum([(value - mean) ** 2 for value in values]) / len(values))


_BELOW: Final = 0.5
_RRF_K: Final = 60
