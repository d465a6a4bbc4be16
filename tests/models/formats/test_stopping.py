"""Stop sequences that are kept here."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sourcebook.models.base import TextPart
from sourcebook.models.formats.stopping import StopSequences

LETTERS = st.text("ab\n", max_size=4)


def fed(pieces: list[str], sequences: list[str]) -> tuple[list[TextPart], bool]:
    stop = StopSequences(sequences)
    parts = [
        part for number, one in enumerate(pieces) for part in stop.feed(TextPart(text=one, logprobs=(-float(number),)))
    ]
    parts += stop.rest()
    return parts, stop.stopped


@given(st.lists(LETTERS, max_size=12), st.lists(LETTERS, max_size=3))
def test_the_text_ends_at_the_first_sequence(pieces: list[str], sequences: list[str]) -> None:
    whole = "".join(pieces)
    ends = [place for one in sequences if one and (place := whole.find(one)) >= 0]
    parts, stopped = fed(pieces, sequences)
    text = "".join(one.text for one in parts)
    assert stopped == bool(ends)
    if not ends:
        assert text == whole
    else:
        assert whole.startswith(text)
        assert len(text) <= max(ends)
        assert not any(one in text for one in sequences if one)


@given(st.lists(LETTERS.filter(bool), max_size=12), LETTERS.filter(bool))
def test_one_sequence_cuts_exactly(pieces: list[str], sequence: str) -> None:
    parts, _ = fed(pieces, [sequence])
    assert "".join(one.text for one in parts) == "".join(pieces).partition(sequence)[0]


def test_probabilities_stay_with_their_text() -> None:
    parts, _ = fed(["One", " ST", "OX", " two"], ["STOP"])
    assert [(one.text, one.logprobs) for one in parts] == [
        ("One", (-0.0,)),
        (" ST", (-1.0,)),
        ("OX", (-2.0,)),
        (" two", (-3.0,)),
    ]


@pytest.mark.parametrize("sequences", [[], [""]])
def test_without_sequences_nothing_is_held_back(sequences: list[str]) -> None:
    stop = StopSequences(sequences)
    assert [list(stop.feed(TextPart(text=one))) for one in "ab"] == [[TextPart(text="a")], [TextPart(text="b")]]


def test_only_what_may_be_a_beginning_is_held_back() -> None:
    stop = StopSequences(["END"])
    assert list(stop.feed(TextPart(text="The E"))) == []
    assert [one.text for one in stop.feed(TextPart(text="nd."))] == ["The E", "nd."]
