"""Which passages go into a budget, and where they stand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sourcebook.prompt.pack import Candidate, pack, strongest_at_the_ends


def candidate(score: float, tokens: int, *terms: str) -> Candidate:
    return Candidate(score=score, tokens=tokens, terms=frozenset(terms))


def test_all_that_fits_is_taken_in_its_order() -> None:
    some = [candidate(3 - n, 10, f"t{n}") for n in range(3)]
    assert pack(some, 30, diversity=0.5).chosen == (0, 1, 2)
    assert pack([], 30, diversity=0.5).chosen == ()


def test_worth_per_token_counts() -> None:
    some = [candidate(1.0, 10, "a"), candidate(0.9, 90, "b"), candidate(0.8, 30, "c"), candidate(0.7, 30, "d")]
    some.append(candidate(0.0, 1000, "e"))
    assert pack(some, 100, diversity=0.5).chosen == (0, 2, 3)


def test_many_small_ones_do_not_keep_out_one_that_is_worth_more() -> None:
    some = [candidate(1.0, 10, "a"), candidate(0.99, 90, "b"), candidate(0.0, 5, "c")]
    assert pack(some, 100, diversity=0.5).chosen == (0, 1)


def test_the_first_is_always_taken_if_it_fits() -> None:
    some = [candidate(1.0, 100, "a"), *(candidate(0.9, 10, f"t{n}") for n in range(10))]
    assert pack(some, 100, diversity=0.5).chosen == (0,)


def test_what_says_something_new_comes_before_what_says_the_same_again() -> None:
    some = [
        candidate(1.0, 10, "a", "b", "c", "d"),
        candidate(0.9, 10, "a", "b", "c", "x"),
        candidate(0.8, 10, "p", "q", "r", "s"),
        candidate(0.0, 10, "z"),
    ]
    assert pack(some, 20, diversity=0.8).chosen == (0, 2)
    assert pack(some, 20, diversity=0.0).chosen == (0, 1)


def test_repetitions_are_named_with_what_they_repeat() -> None:
    texts = ("one two three", "two three", "three two")
    some = [Candidate(score=3.0 - n, tokens=10, text=text) for n, text in enumerate(texts)]
    packed = pack(some, 100, diversity=0.5)
    assert (packed.chosen, packed.repeats) == ((0, 2), {1: 0})
    assert pack(some, 100, diversity=0.0).chosen == (0, 1, 2)


def test_vectors_tell_likeness_where_there_are_any() -> None:
    import numpy as np

    one, other = np.array([1, 0], np.float32), np.array([0, 1], np.float32)
    some = [
        Candidate(score=1.0, tokens=10, vector=one),
        Candidate(score=0.9, tokens=10, vector=one),
        Candidate(score=0.8, tokens=10, vector=other),
        Candidate(score=0.0, tokens=10, vector=other),
    ]
    assert pack(some, 20, diversity=0.9).chosen == (0, 2)


@given(
    st.lists(st.tuples(st.floats(-5, 5), st.integers(1, 50), st.sets(st.sampled_from("abcdefg"))), max_size=12),
    st.integers(0, 200),
    st.floats(0, 1),
)
def test_the_budget_is_kept_and_nothing_is_lost(
    given: list[tuple[float, int, set[str]]], budget: int, diversity: float
) -> None:
    some = sorted((candidate(score, tokens, *terms) for score, tokens, terms in given), key=lambda one: -one.score)
    packed = pack(some, budget, diversity=diversity)
    assert sum(some[i].tokens for i in packed.chosen) <= budget
    assert list(packed.chosen) == sorted(set(packed.chosen) - set(packed.repeats))
    assert set(packed.repeats.values()) <= set(packed.chosen)
    left = budget - sum(some[i].tokens for i in packed.chosen)
    assert all(one.tokens > left for i, one in enumerate(some) if i not in packed.chosen and i not in packed.repeats)


@pytest.mark.parametrize(("count", "order"), [(0, []), (1, [0]), (2, [0, 1]), (3, [0, 2, 1]), (6, [0, 2, 4, 5, 3, 1])])
def test_the_strongest_stand_at_the_ends(count: int, order: list[int]) -> None:
    assert strongest_at_the_ends(range(count)) == order
