"""Which sentences of a reply need a source, which say that there is none, and which are neither."""

import pytest

from sourcebook.embed.terms import KeywordAnalyzer
from sourcebook.prompt.claims import Kind, kind_of
from sourcebook.prompt.markers import SentenceReader
from sourcebook.prompt.terms import Words, plain_words

ASKED = "What does a permit cost in Busan in 2024?"


@pytest.fixture(params=["analyzer", "plain"], scope="module")
def words(request: pytest.FixtureRequest) -> Words:
    return KeywordAnalyzer().words if request.param == "analyzer" else plain_words


def kinds(text: str, words: Words) -> list[Kind]:
    reader = SentenceReader(lambda: ("One", "Two"))
    return [kind_of(one, ASKED, words) for one in (*reader.feed(text), *reader.close())]


@pytest.mark.parametrize(
    "text",
    [
        "The permit costs 20 euros.",
        "If you need a permit, you must pay 300 EUR [1].",
        "If you have questions about fees, the town hall in Ulsan answers them [1].",
        "If you need help, call the fire brigade.",
        "Sure, the fee is 500 euros [1].",
        "Certainly! It is free of charge on Sundays.",
        "Of course, the mayor decides it.",
        "The documents do not include shipping, which costs 70 euros.",
        "No information on salaries may be given to anybody, and the fine is 500 EUR.",
        "I do not know the exact fee, but the town usually waives it.",
        "The passages do not say it; the mayor himself sets the fee.",
        "I do not know who, perhaps Mary Thornton.",
        "The fee is 500 EUR [0].",
        "#1 in sales was Acme with 500 units.",
        "In 1999 the council raised the fee:",
        "Paris [1].",
        "20.",
    ],
)
def test_what_states_something_is_a_claim(words: Words, text: str) -> None:
    assert "claim" in kinds(text, words)


@pytest.mark.parametrize(
    "text",
    [
        "I do not know. [0]",
        "I don't know what a permit cost in 2024 [0].",
        "The passages do not mention the price [1].",
        "The passages do not say what a permit costs in Busan.",
        "The documents do not contain any information about fees of the harbour.",
        "There is no information about permits in the passages.",
        "Unfortunately, the passages do not say so.",
        "However, the passages do not say by whom.",
        "Cela n'est pas dit [0].",
        "Fragmenty tego nie podają [0].",
        "Die Dokumente enthalten keine Angaben zu Gebühren.",
        "알 수 없습니다.",
        "我不知道。",
    ],
)
def test_what_says_that_nothing_is_known_is_none(words: Words, text: str) -> None:
    assert kinds(text, words) == ["unknown"]


@pytest.mark.parametrize(
    "text",
    [
        "## Fees of 2024",
        "What is the fee? [1]",
        "Here is what they say:",
        "Here are the 3 steps:",
        "| --- | --- |",
        "I hope this helps!",
        "Let me know if you have further questions.",
        "If you need more information, please let me know.",
        "If you have any questions, feel free to ask!",
        "Sure!",
        "```\nprint(1873)\n```",
    ],
)
def test_what_frames_the_answer_needs_no_source(words: Words, text: str) -> None:
    assert set(kinds(text, words)) == {"frame"}


@pytest.mark.parametrize("text", ["Yes.", "Yes [1].", "No [2]."])
def test_what_is_too_short_to_be_checked_is_a_remark(words: Words, text: str) -> None:
    assert kinds(text, words) == ["remark"]
