"""What belongs together is one hit."""

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from sourcebook.retrieve.merge import fold, merge
from sourcebook.types import Hit, Passage, PassageId

PIECE = 20  # characters of each passage of the text below
TEXT = "".join(f"piece {number:03} of text. "[:PIECE] for number in range(50))


def hit(ordinal: int, *, document: str = "a", score: float = 1.0, **more: object) -> Hit:
    """The ordinal'th piece of TEXT."""
    start = ordinal * PIECE
    fields: dict[str, object] = {
        "id": PassageId(f"{document}{ordinal}"), "document": document, "version": 1, "ordinal": ordinal,
        "text": TEXT[start : start + PIECE], "start": start, "end": start + PIECE,
    } | more  # fmt: skip
    return Hit(passage=Passage(**fields), score=score, channels={"dense": ordinal + 1})  # type: ignore[arg-type]


def read(passage: Passage, start: int, end: int) -> str | None:
    return TEXT[start:end]


def texts(hits: list[Hit]) -> list[str]:
    return [one.passage.text for one in hits]


# --- neighbours -------------------------------------------------------------------------------------------


def test_neighbours_become_one_hit_at_the_place_of_the_better() -> None:
    merged = merge([hit(5, score=0.9), hit(20, score=0.8), hit(6, score=0.7)], top=10, read=read)
    assert texts(merged) == [TEXT[100:140], TEXT[400:420]]
    first = merged[0]
    assert (first.score, first.channels) == (0.9, {"dense": 6})
    assert (first.passage.start, first.passage.end, first.passage.id) == (100, 140, "a5")


def test_the_earlier_neighbour_gives_the_place() -> None:
    (one,) = merge([hit(6, score=0.9), hit(5, score=0.7, page=2)], top=10, read=read)
    assert (one.passage.start, one.passage.end, one.passage.page, one.passage.ordinal) == (100, 140, 2, 5)
    assert one.passage.text == TEXT[one.passage.start : one.passage.end]
    assert one.score == 0.9


def test_at_most_three_are_joined() -> None:
    merged = merge([hit(number) for number in range(4)], top=10, read=read)
    assert texts(merged) == [TEXT[0:60], TEXT[60:80]]


def test_a_gap_between_two_is_closed_by_the_third() -> None:
    merged = merge([hit(1), hit(3), hit(2)], top=10, read=read)
    assert texts(merged) == [TEXT[20:60], TEXT[60:80]]


def test_what_does_not_belong_together_stays_apart() -> None:
    pairs = [
        (hit(1), hit(2, document="b")),
        (hit(1), hit(2, version=2)),
        (hit(1), hit(3)),
        (hit(1, heading_path=("One",)), hit(2, heading_path=("Two",))),
        (hit(1, location="row 1"), hit(2, location="row 2")),
        (hit(1), hit(2, location="row 2")),
    ]
    for one, other in pairs:
        assert merge([one, other], top=10, read=read) == [one, other]


def test_neighbours_below_the_last_place_are_still_joined_but_no_new_hit_is_made() -> None:
    merged = merge([hit(1), hit(10), hit(2), hit(30), hit(3)], top=2, read=read)
    assert texts(merged) == [TEXT[20:60], TEXT[200:220]]


def test_a_document_that_is_gone_leaves_the_hit_as_it_was() -> None:
    assert merge([hit(1), hit(2)], top=5, read=lambda *_: None) == [hit(1)]
    assert merge([], top=5, read=read) == []


@given(st.lists(st.integers(0, 30), unique=True, max_size=20), st.integers(1, 8))
def test_merged_hits_are_slices_that_do_not_overlap(ordinals: list[int], top: int) -> None:
    merged = merge([hit(number) for number in ordinals], top=top, read=read)
    assert len(merged) <= top
    covered: list[int] = []
    for one in merged:
        assert one.passage.text == TEXT[one.passage.start : one.passage.end]
        covered += range(one.passage.start // PIECE, one.passage.end // PIECE)
    assert len(set(covered)) == len(covered)
    assert set(covered) <= set(ordinals)
    if top >= len(ordinals):
        assert set(covered) == set(ordinals)
    if ordinals:
        assert ordinals[0] in range(merged[0].passage.start // PIECE, merged[0].passage.end // PIECE)


# --- near-duplicates --------------------------------------------------------------------------------------

WORDS = [f"word{number}" for number in range(40)]


def said(document: str, words: list[str], score: float = 1.0) -> Hit:
    text = " ".join(words)
    return hit(0, document=document, text=text, end=len(text), score=score)


def test_what_says_the_same_is_shown_once_and_names_the_others() -> None:
    hits = [said("a", WORDS), said("b", WORDS), said("c", ["another", "text"]), said("d", [*WORDS[:-1], "changed"])]
    folded = fold(hits, top=10)
    assert [one.passage.document for one in folded] == ["a", "c"]
    assert folded[0].duplicates == ("b", "d")
    assert folded[1] == hits[2]


def test_case_and_punctuation_do_not_matter_and_a_tenth_of_the_words_does() -> None:
    shouted = [word.upper() + "," for word in WORDS]
    assert len(fold([said("a", WORDS), said("b", shouted)], top=5)) == 1
    assert len(fold([said("a", WORDS), said("b", [*WORDS[:-4], "p", "q", "r", "s"])], top=5)) == 2
    assert len(fold([said("a", WORDS), said("b", WORDS[:20])], top=5)) == 2


def test_the_same_twice_in_one_document_names_nobody() -> None:
    (one,) = fold([said("a", WORDS), said("a", WORDS)], top=5)
    assert one.duplicates == ()


def test_folding_goes_on_until_enough_are_found_and_leaves_the_rest() -> None:
    hits = [said("a", WORDS), said("b", WORDS), said("c", ["two"]), said("d", ["two"]), said("e", ["three"])]
    folded = fold(hits, top=2)
    assert [one.passage.document for one in folded] == ["a", "c", "d", "e"]
    assert folded[0].duplicates == ("b",)
    assert fold([], top=3) == []


pairs: Callable[..., st.SearchStrategy[tuple[str, list[str]]]] = st.tuples
some_words = st.lists(st.sampled_from(WORDS), min_size=1, max_size=6)


@given(st.lists(pairs(st.sampled_from("abc"), some_words), max_size=10))
def test_folding_loses_no_document_and_keeps_the_order(drawn: list[tuple[str, list[str]]]) -> None:
    hits = [said(document, words, score=1.0 - place / 100) for place, (document, words) in enumerate(drawn)]
    folded = fold(hits, top=100)
    named = {name for one in folded for name in (one.passage.document, *one.duplicates)}
    assert named == {document for document, _ in drawn}
    assert [one.score for one in folded] == sorted((one.score for one in folded), reverse=True)
    assert fold(folded, top=100) == folded
