"""Which passages go into a budget of tokens, and in which order: pure functions of numbers and term sets."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A passage to be packed. score: higher is better, on any scale. tokens: what it takes in the prompt.

    terms: its normalised words and pairs of neighbouring ones. vector: of length one, or None; then terms tell how
    alike passages are. text: normalised; a passage whose text stands within another's repeats it.
    """

    score: float
    tokens: int
    terms: frozenset[str] = frozenset()
    vector: NDArray[np.float32] | None = None
    text: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Packed:
    """chosen: places in the list of candidates, in its order. repeats: place -> the chosen place that says the same.

    What is in neither did not fit.
    """

    chosen: tuple[int, ...]
    repeats: dict[int, int]


def pack(candidates: Sequence[Candidate], budget: int, *, diversity: float) -> Packed:
    """The candidates that are worth most together within the budget; the first, if it fits, is always among them.

    candidates: best first. A candidate is worth its score, scaled to [0.2, 1] over all of them, less the share
    `diversity` (0 to 1) of what is said already by the most alike of the chosen. Chosen greedily by worth per token,
    and once more by worth alone; the better of the two is within a constant factor of the best choice there is
    (Lin and Bilmes, Multi-document Summarization via Budgeted Maximization of Submodular Functions, 2010).
    """
    worths = _worths(candidates)
    by_density = _greedy(candidates, worths, budget, diversity, per_token=True)
    if sum(one.tokens for one in candidates) <= budget:
        chosen, repeats, _ = by_density  # everything fits: the order of choice does not matter
    else:
        by_worth = _greedy(candidates, worths, budget, diversity, per_token=False)
        chosen, repeats, _ = max(by_density, by_worth, key=lambda found: found[2])
    return Packed(chosen=tuple(sorted(chosen)), repeats=repeats)


def _worths(candidates: Sequence[Candidate]) -> list[float]:
    if not candidates:
        return []
    low, high = min(one.score for one in candidates), max(one.score for one in candidates)
    if high <= low:
        return [1.0] * len(candidates)
    return [_LEAST + (1 - _LEAST) * (one.score - low) / (high - low) for one in candidates]


def _greedy(
    candidates: Sequence[Candidate], worths: Sequence[float], budget: int, diversity: float, *, per_token: bool
) -> tuple[list[int], dict[int, int], float]:
    """Places chosen, places left out as repetitions, and the sum of what was gained."""
    chosen: list[int] = []
    repeats: dict[int, int] = {}
    alike = [0.0] * len(candidates)  # to the most alike of the chosen
    waiting = list(range(len(candidates)))
    gained = 0.0
    while waiting:
        fitting = [i for i in waiting if candidates[i].tokens <= budget]
        if not fitting:
            break
        gains = {i: worths[i] * (1 - diversity * alike[i]) for i in fitting}
        best = 0 if 0 in gains else max(fitting, key=lambda i: (_rate(gains[i], candidates[i], per_token), -i))
        chosen.append(best)
        waiting.remove(best)
        budget -= candidates[best].tokens
        gained += gains[best]
        for i in list(waiting):
            if not diversity:
                break
            alike[i] = max(alike[i], _likeness(candidates[i], candidates[best]))
            if candidates[i].text and candidates[i].text in candidates[best].text:
                repeats[i] = best
                waiting.remove(i)
    return chosen, repeats, gained


def _rate(gain: float, candidate: Candidate, per_token: bool) -> float:
    return gain / max(1, candidate.tokens) if per_token else gain


def _likeness(one: Candidate, other: Candidate) -> float:
    """How much of the first the second says: cosine of the vectors, or the share of its terms."""
    if one.vector is not None and other.vector is not None:
        return min(1.0, max(0.0, float(one.vector @ other.vector)))
    return _contained(one.terms, other.terms)


def _contained(terms: Collection[str], others: frozenset[str]) -> float:
    return sum(term in others for term in terms) / len(terms) if terms else 0.0


def strongest_at_the_ends(places: Sequence[int]) -> list[int]:
    """Places given best first, as they are read: the best first, the second last, the weakest in the middle.

    Models use what stands in the middle of a long prompt least (Liu et al., Lost in the Middle, 2023).
    """
    return [*places[0::2], *reversed(places[1::2])]


_LEAST: Final = 0.2  # worth of the last candidate: it was found, after all
