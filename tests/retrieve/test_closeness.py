from __future__ import annotations

import pytest

from sourcebook.retrieve.closeness import FIRST, closeness, rerank
from sourcebook.types import PassageId

FAR = "The capital grew. " + "Nothing of note happened for years. " * 8 + "France is old."


def test_words_in_one_sentence_beat_words_far_apart() -> None:
    near, far = closeness(["capit", "franc"], ["Paris is the capital that France chose.", FAR])
    assert near[0] == pytest.approx(1.0)
    assert 0 < far[0] < 1


def test_neighbours_are_pairs_in_the_questions_order() -> None:
    texts = ["the capital of France", "France, its capital", "a capital; nobody ever thought of it as French or France"]
    assert [pair > 0 for _, pair in closeness(["capit", "franc"], texts)] == [True, False, False]


def test_finds_inflected_words_but_not_longer_ones() -> None:
    texts = ["Many studies were made.", "He made a study.", "Restudying is no word of it", "studiously-made"]
    window = [share for share, _ in closeness(["studi"], texts)]
    assert window[0] == window[1] == pytest.approx(1.0)
    assert window[2] == 0.0
    assert [share for share, _ in closeness(["17"], ["Article 17 says", "in 1789", "all 170"])] == [1.0, 0.0, 0.0]


def test_finds_korean_and_japanese_words_within_others() -> None:
    assert [share for share, _ in closeness(["수수료"], ["카드수수료는 없다", "요금"])] == [1.0, 0.0]
    assert [share for share, _ in closeness(["日本"], ["新日本語", "本日"])] == [1.0, 0.0]


def test_rare_words_count_more() -> None:
    texts = ["oil embargo", "oil crisis", "oil price", "oil crisis"]
    embargo, crisis, price, _ = (share for share, _ in closeness(["oil", "crisi", "embargo"], texts))
    assert embargo > crisis > price


def test_nothing_to_look_for() -> None:
    assert closeness([], ["text"]) == [(0.0, 0.0)]
    assert closeness(["word"], []) == []
    assert closeness(["word"], ["", "other"]) == [(0.0, 0.0), (0.0, 0.0)]


def test_rerank_orders_the_first_anew_and_leaves_the_rest() -> None:
    names = [PassageId(f"{n:02}") for n in range(FIRST + 2)]
    ranked = [(name, 1.0 - n / 100, {"dense": n + 1}) for n, name in enumerate(names)]
    texts = dict.fromkeys(names[:FIRST], FAR) | {names[3]: "the capital of France"}
    found = rerank(ranked, ["capit", "franc"], texts)
    assert [name for name, _, _ in found] == [names[3], *names[:3], *names[4:]]
    assert found[0][2] == {"dense": 4}
    assert rerank(ranked, ["capit", "franc"], texts, weight=0.0) == ranked
    assert rerank([], ["capit"], {}) == []
