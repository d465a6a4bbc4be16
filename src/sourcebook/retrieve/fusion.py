"""One order out of the channels' scores, and how much each channel is trusted for a question."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from math import sqrt
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
    ranks = {channel: _ranks(candidates, channel) for channel in _channels(candidates)}
    trusted = {channel: weights.get(channel, 0.0) for channel in ranks if weights.get(channel, 0.0) > 0.0}
    trusted = trusted or dict.fromkeys(ranks, 1.0)
    scored = [candidate for candidate in candidates if not trusted.keys().isdisjoint(candidate.scores)]
    parts = [
        _reciprocal(scored, channel, ranks[channel], weight)
        if method == "rrf"
        else _standardised(scored, channel, weight)
        for channel, weight in trusted.items()
    ]
    fused = [
        (
            candidate.id,
            sum(part[place] for part in parts),
            {channel: of[candidate.id] for channel, of in ranks.items() if candidate.id in of},
        )
        for place, candidate in enumerate(scored)
    ]
    return sorted(fused, key=lambda one: (-one[1], one[0]))


def _channels(candidates: Sequence[Candidate]) -> list[str]:
    return sorted({channel for candidate in candidates for channel in candidate.scores})


def _ranks(candidates: Sequence[Candidate], channel: str) -> dict[PassageId, int]:
    order = sorted((-one.scores[channel], one.id) for one in candidates if channel in one.scores)
    return {name: rank for rank, (_, name) in enumerate(order, start=1)}


def _standardised(candidates: Sequence[Candidate], channel: str, weight: float) -> list[float]:
    proposed = [one.scores[channel] for one in candidates if channel in one.scores]
    _, deviation = _moments(proposed)
    missing = min(proposed) - _BELOW * deviation
    values = [one.scores.get(channel, missing) for one in candidates]
    mean, deviation = _moments(values)
    return [weight * (value - mean) / deviation if deviation else 0.0 for value in values]


def _moments(values: Sequence[float]) -> tuple[float, float]:
    mean = sum(values) / len(values)
    return mean, sqrt(sum((value - mean) ** 2 for value in values) / len(values))


def _reciprocal(
    candidates: Sequence[Candidate], channel: str, ranks: Mapping[PassageId, int], weight: float
) -> list[float]:
    return [weight / (_RRF_K + ranks[one.id]) if channel in one.scores else 0.0 for one in candidates]


_BELOW: Final = 0.5
_RRF_K: Final = 60
