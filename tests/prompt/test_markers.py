"""A model's text with markers, in pieces of any size, into sentences and the passages that they cite."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sourcebook.prompt.markers import Sentence, SentenceReader

NAMES = ("Gull Island", "Harbour", "Third")


def read(text: str, cuts: list[int] | None = None, names: tuple[str, ...] = NAMES) -> list[Sentence]:
    reader = SentenceReader(lambda: names)
    places = [0, *(cuts or []), len(text)]
    given = [one for start, end in pairwise(places) for one in reader.feed(text[start:end])]
    return given + reader.close()


def seen(text: str, names: tuple[str, ...] = NAMES) -> list[tuple[str, list[int]]]:
    whole = read(text, names=names)
    assert read(text, list(range(1, len(text))), names) == whole  # letter by letter
    return [(one.text, [mark.number for mark in one.marks]) for one in whole]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("Built in 1873 [1]. It is tall [2][3].", [("Built in 1873.", [1]), (" It is tall.", [2, 3])]),
        ("Built in 1873. [1] It is tall. [2, 3]", [("Built in 1873.", [1]), (" It is tall.", [2, 3])]),
        ("Built in 1873.[1][2] It is tall.[1-3]", [("Built in 1873.", [1, 2]), (" It is tall.", [1, 2, 3])]),
        ("[1] Built in 1873. [2] It is tall.", [("Built in 1873.", [1]), (" It is tall.", [2])]),
        ("Old [1] and tall [2].", [("Old and tall.", [1, 2])]),
        ("建于1873年[1]。它高41米【2】。", [("建于1873年。", [1]), ("它高41米。", [2])]),
        ("1873년에 지어졌습니다[1]. 높이는 41미터입니다 [2].",
         [("1873년에 지어졌습니다.", [1]), (" 높이는 41미터입니다.", [2])]),
        ("A one [^1]. B two [[2]]. C 3 【1†source】. D four ［2］.",
         [("A one.", [1]), (" B two.", [2]), (" C 3.", [1]), (" D four.", [2])]),
        ("So it is [Passage 2]. And so [Passages 1 and 2]. Ja [Quelle 3].",
         [("So it is.", [2]), (" And so.", [1, 2]), (" Ja.", [3])]),
        ("- First [1]\n- Second [2]\n\nNo stop [3]", [("- First", [1]), ("\n- Second", [2]), ("\n\nNo stop", [3])]),
        ("- [1] First\n- [2] Second", [("- First", [1]), ("\n- Second", [2])]),
        ("Fact one.\n[1]\nFact two.\n[2]\n", [("Fact one.", [1]), ("\n\nFact two.", [2])]),
        ("## Heading\nText that\nis wrapped [1].", [("## Heading", []), ("\nText that\nis wrapped.", [1])]),
        ("| a | b [1] |\n| 1 | 2 [2] |", [("| a | b |", [1]), ("\n| 1 | 2 |", [2])]),
        ("I do not know. [0]", [("I do not know.", [0])]),
        ("Beyond [7].", [("Beyond.", [7])]),
        ("Mr. Smith came [1]. He left.", [("Mr. Smith came.", [1]), (" He left.", [])]),
        ('He said "yes." [1] Then he left.', [('He said "yes."', [1]), (" Then he left.", [])]),
        ("It is 5 [1], [2].", [("It is 5.", [1, 2])]),
        ("It is 5. [1], [2]; [3] It is tall.", [("It is 5.", [1, 2, 3]), (" It is tall.", [])]),
        ("It is 5 [1], [sic].", [("It is 5, [sic].", [1])]),
        ("Old [ 1 ]. Tall [1 ]. Red [**2**]. Wide \\[3\\].",
         [("Old.", [1]), (" Tall.", [1]), (" Red.", [2]), (" Wide.", [3])]),
        ("Old [Passage 1, Passage 2]. Tall [source 1; source 2].", [("Old.", [1, 2]), (" Tall.", [1, 2])]),
        ("Old [1 to 3]. Tall [Passages 1 bis 2].", [("Old.", [1, 2, 3]), (" Tall.", [1, 2])]),
        ("Old [1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3].", [("Old.", [1, 2, 3])]),
        (f"Old 【1†{'source of all ' * 5}】.", [("Old.", [1])]),
        ("", []),
        (" \n", []),
    ],
)  # fmt: skip
def test_markers_go_to_the_sentence_that_they_are_for(text: str, sentences: list[tuple[str, list[int]]]) -> None:
    assert seen(text) == sentences


@pytest.mark.parametrize(
    "text",
    [
        "Use rows_of[1] here.", "Let x[1] = 5 be.", "Then matrix[2] = 5.", "It is a[0] then.", "In [1984] it was.",
        "See [1](http://example.org).", "See [the book] here.", "Use `rows [1]` here.", "He said [sic] so.",
        "An [ open", "Odd [1",
        "Odd [", "Odd `tick [1", "Odd \\", "So \\[ x = 1 \\] is.", "[ ] to do", f"[{'1, ' * 60}1].",
        "[100] and [1234].", "[1, 2000].", "[9-1].", "thatItem[2].", "f(x)[1].",
    ],
)  # fmt: skip
def test_what_is_no_marker_stays_as_it_is(text: str) -> None:
    whole = seen(text)
    assert "".join(one for one, _ in whole) == text
    assert not any(numbers for _, numbers in whole)


def test_code_passes_as_it_is() -> None:
    text = "As in [1]:\n```python\na[1] = rows[2]  # see [1]\n\nprint('x. Y')\n```\nSo it is [2]."
    whole = read(text)
    assert [one.text for one in whole if one.code] == [
        "\n```python\n", "a[1] = rows[2]  # see [1]\n", "\n", "print('x. Y')\n", "```\n",
    ]  # fmt: skip
    assert [(one.text, [mark.number for mark in one.marks]) for one in whole if not one.code] == [
        ("As in “Gull Island”:", [1]), ("So it is.", [2]),
    ]  # fmt: skip
    assert read("```\nnever closed [1]")[-1] == Sentence(text="never closed [1]", code=True)


def test_without_passages_brackets_mean_nothing() -> None:
    assert seen("Built in 1873 [1]. Tall [2].", ()) == [("Built in 1873 [1].", []), (" Tall [2].", [])]


def test_without_passages_it_may_still_be_said_that_none_answers() -> None:
    assert seen("I do not know [0].", ()) == [("I do not know.", [0])]
    assert seen("I do not know. [0]", ()) == [("I do not know.", [0])]
    assert seen("It is rows[0].", ()) == [("It is rows[0].", [])]


def test_there_may_be_more_than_a_hundred_passages() -> None:
    names = tuple(f"Name {number}" for number in range(1, 121))
    assert seen("Old [104]. Tall [121].", names) == [("Old.", [104]), (" Tall [121].", [])]


def test_a_marker_that_is_a_word_of_the_sentence_is_replaced_by_the_name() -> None:
    assert seen("According to [2], it is tall.") == [("According to “Harbour”, it is tall.", [2])]
    assert seen("[1] says so.") == [("“Gull Island” says so.", [1])]
    assert seen("He knew about it [1].") == [("He knew about it.", [1])]


def test_names_may_join_while_the_model_writes() -> None:
    names = ["One"]
    reader = SentenceReader(lambda: names)
    assert reader.feed("Old [1]. ") == []
    names.append("Two")
    (first,) = reader.feed("According to [2], new. ")
    assert [mark.number for mark in first.marks] == [1]
    assert reader.close()[0].text == " According to “Two”, new."


def test_text_is_given_as_soon_as_the_next_word_shows_that_a_sentence_is_over() -> None:
    reader = SentenceReader(lambda: NAMES)
    assert reader.feed("It was built in 1873 [1].") == []
    assert reader.feed(" [2]") == []  # a further marker may come
    assert [one.text for one in reader.feed(" It is ")] == ["It was built in 1873."]
    assert reader.feed("tall [1].\n") == []
    assert [one.text for one in reader.feed("- Next")] == [" It is tall."]


def test_a_model_may_cite_itself() -> None:
    reader = SentenceReader(lambda: NAMES)
    given = reader.feed("It was built in 1873.")
    reader.cite(2, 3, 9)
    given += [*reader.feed(" It is tall."), *reader.close()]
    assert [[(mark.number, mark.span) for mark in one.marks] for one in given] == [[(2, (3, 9))], []]


PIECES = st.sampled_from(
    ["[1]", " [2]", "[3", "]", "The ", "is tall", " built", ". ", ".", "\n", "`", "```", "\n```\n", "x", "1", "[",
     "Mr. ", "- ", "。", "建", "다", " Then", "[0]", "(", "\n\n", "【", "】", "# ", "| ", "According to ", ": ", "b_c",
     "\t", "[1]\t\t", ", ", "[1], [2]", "\\[", "\\", "[Passage 1, Passage 2]", f"[{'1, 2, 3, ' * 6}1]",
     "【1†a name that is rather long and goes on and on】", "[ 1 ]", "[1 to 3]", "**"]
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.lists(PIECES, max_size=25), st.data())
def test_sentences_do_not_depend_on_how_the_text_was_cut(pieces: list[str], data: st.DataObject) -> None:
    text = "".join(pieces)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=12)))
    assert read(text, cuts) == read(text)
    kept = "".join(one.text for one in read(text))
    assert kept.count("x") == text.count("x")  # nothing is lost
    for sentence in read(text):
        assert all(0 <= mark.at <= len(sentence.text) for mark in sentence.marks)
