from __future__ import annotations

import pytest

from sourcebook.config import Retrieve
from sourcebook.retrieve.fusion import FusionMethod, channel_weights, fuse
from sourcebook.types import Candidate, PassageId

EVEN = {"dense": 0.5, "keyword": 0.5}


def candidate(name: str, **scores: float) -> Candidate:
    return Candidate(id=PassageId(name), scores=scores)


def test_standardised_scores_do_not_depend_on_a_channel_s_scale() -> None:
    scores = {"a": (0.9, 1.0), "b": (0.5, 3.0), "c": (0.1, 2.0)}
    small = fuse(
        [candidate(n, dense=d, keyword=k) for n, (d, k) in scores.items()], method="standardised", weights=EVEN
    )
    large = fuse(
        [candidate(n, dense=d, keyword=100 * k + 7) for n, (d, k) in scores.items()],
        method="standardised",
        weights=EVEN,
    )
    assert [name for name, _, _ in small] == ["b", "a", "c"]
    assert [score for _, score, _ in small] == pytest.approx([score for _, score, _ in large])


def test_weighs_channels() -> None:
    found = [candidate("a", dense=1.0, keyword=0.0), candidate("b", dense=0.0, keyword=1.0)]
    for method in ("standardised", "rrf"):
        order = [n for n, _, _ in fuse(found, method=method, weights={"dense": 0.6, "keyword": 0.4})]
        assert order == ["a", "b"]
        order = [n for n, _, _ in fuse(found, method=method, weights={"dense": 0.4, "keyword": 0.6})]
        assert order == ["b", "a"]


def test_a_missing_score_is_below_the_lowest_found() -> None:
    found = [
        candidate("both", dense=0.5, keyword=5.0),
        candidate("lowest", dense=0.5, keyword=1.0),
        candidate("missing", dense=0.5),
    ]
    scores = {str(name): score for name, score, _ in fuse(found, method="standardised", weights=EVEN)}
    assert scores["both"] > scores["lowest"] > scores["missing"]


def test_ranks_are_by_channel_from_one() -> None:
    found = [candidate("a", dense=0.1), candidate("b", dense=0.9, keyword=2.0), candidate("c", keyword=3.0)]
    ranks = {name: by for name, _, by in fuse(found, method="standardised", weights=EVEN)}
    assert ranks == {"a": {"dense": 2}, "b": {"dense": 1, "keyword": 2}, "c": {"keyword": 1}}


def test_rrf_is_the_sum_of_reciprocal_ranks() -> None:
    found = [candidate("a", dense=0.9, keyword=1.0), candidate("b", keyword=2.0)]
    scores = {name: score for name, score, _ in fuse(found, method="rrf", weights={"dense": 1.0, "keyword": 1.0})}
    assert scores == pytest.approx({"a": 1 / 61 + 1 / 62, "b": 1 / 61})


@pytest.mark.parametrize("method", ["standardised", "rrf"])
def test_leaves_out_what_only_a_channel_without_weight_found(method: FusionMethod) -> None:
    found = [candidate("a", dense=0.9), candidate("b", dense=0.1, keyword=2.0)]
    weights = {"dense": 0.0, "keyword": 1.0}
    assert [name for name, _, _ in fuse(found, method=method, weights=weights)] == ["b"]
    assert [name for name, _, _ in fuse(found[:1], method=method, weights=weights)] == ["a"]


@pytest.mark.parametrize("method", ["standardised", "rrf"])
def test_copes_with_few_and_equal_candidates(method: FusionMethod) -> None:
    assert fuse([], method=method, weights=EVEN) == []
    assert len(fuse([candidate("a", dense=0.5)], method=method, weights=EVEN)) == 1
    equal = [candidate(name, dense=0.5) for name in "ba"]
    forwards, backwards = (fuse(order, method=method, weights=EVEN) for order in (equal, equal[::-1]))
    assert [name for name, _, _ in forwards] == [name for name, _, _ in backwards]


def test_does_not_trust_an_embedder_with_languages_it_does_not_know() -> None:
    settings = Retrieve(dense=0.6, keyword=0.2, dense_foreign=0.0)
    english = frozenset({"en"})
    assert channel_weights("en", english, settings) == pytest.approx({"dense": 0.75, "keyword": 0.25})
    assert channel_weights("ko", english, settings) == {"dense": 0.0, "keyword": 1.0}
    assert channel_weights("ko", frozenset(), settings) == channel_weights("en", english, settings)
    assert channel_weights(None, english, settings) == channel_weights("en", english, settings)
