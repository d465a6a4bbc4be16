"""What is quick says the same as what is plain: the definitions of `plainly`, over whatever texts there are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sourcebook.retrieve.closeness import closeness
from sourcebook.retrieve.fusion import FusionMethod, fuse
from sourcebook.retrieve.merge import fold
from sourcebook.types import Candidate, Hit, Passage, PassageId
from tests.retrieve import plainly

PIECES = (
    "study studies studied restudying Studiously-made stud 17 1789 170 17th a an aa aaa aaaa "
    "capital CAPITAL capitals snake_case _capital capital_ straße STRASSE İstanbul ﬁne “capital” "
    "수수료 카드수수료는 日本 新日本語 ² ½ x² e\u0301 \U0001f642"
).split()
TERMS = [
    "studi",
    "stud",
    "capit",
    "17",
    "170",
    "aa",
    "a",
    "straß",
    "strass",
    "i\u0307stanbul",
    "fine",
    "수수료",
    "日本",
    "²",
]

texts = st.lists(
    st.sampled_from([*PIECES, " ", " ", " ", ". ", "\n", ",", " and so on and so forth" * 6]), max_size=30
).map("".join)


@given(words=st.lists(st.sampled_from(TERMS), max_size=8), texts=st.lists(texts, max_size=8))
def test_closeness(words: list[str], texts: list[str]) -> None:
    for found, expected in zip(closeness(words, texts), plainly.closeness(words, texts), strict=True):
        assert found == pytest.approx(expected, rel=1e-12, abs=1e-12)


@given(text=texts, other=texts)
def test_closeness_does_not_look_past_the_end_of_a_text(text: str, other: str) -> None:
    """The first text's own numbers stay, whichever text without the terms stands beside it."""
    beside = "".join(char for char in other if not char.isalnum())
    assert closeness(TERMS, [text, beside])[0] == closeness(TERMS, [text, ""])[0]


scores = st.floats(-5, 5, allow_nan=False) | st.sampled_from([0.0, 0.5, 1.0])
found_by = st.dictionaries(st.sampled_from(["dense", "keyword", "third"]), scores, min_size=1)


@pytest.mark.parametrize("method", ["standardised", "rrf"])
@given(
    scored=st.lists(found_by, max_size=12),
    weights=st.dictionaries(st.sampled_from(["dense", "keyword", "other"]), st.sampled_from([0.0, 0.3, 0.7, 1.0])),
)
def test_fusion(method: FusionMethod, scored: list[dict[str, float]], weights: dict[str, float]) -> None:
    candidates = [Candidate(id=PassageId(f"{n * 7 % 12:02}"), scores=one) for n, one in enumerate(scored)]
    assert fuse(candidates, method=method, weights=weights) == plainly.fuse(candidates, method=method, weights=weights)


@given(st.lists(st.tuples(st.sampled_from("abc"), texts), max_size=8), st.integers(1, 8))
def test_folding(drawn: list[tuple[str, str]], top: int) -> None:
    hits = [
        Hit(
            passage=Passage(
                id=PassageId(f"{n}"), document=document, version=1, ordinal=n, text=text, start=0, end=len(text)
            ),
            score=1.0 - n / 100,
        )
        for n, (document, text) in enumerate(drawn)
    ]
    assert fold(hits, top=top) == plainly.fold(hits, top=top)
