"""How a model is asked to go on, and how two pieces are joined without a seam."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sourcebook.models.base import Capabilities, Message, ModelRequest
from sourcebook.models.route.continuation import Continuation, Joint, continuation
from tests.models.route.scripted import Scripted

ASKED = ModelRequest(
    messages=(Message(role="system", text="Be brief."), Message(role="user", text="Why?")), max_output_tokens=100
)
TEXT = "The capital of France is Paris. It lies on the Seine and has been the capital since the year 987"
GOES_ON = Scripted("goes-on", capabilities=Capabilities(continues=True))
ASKS = Scripted("asks")


def asked(request: ModelRequest, model: Scripted, text: str) -> ModelRequest:
    found = continuation(request, model, text)
    assert isinstance(found, Continuation)
    return found.request


def joined(before: str, after: list[str], *, exact: bool) -> str:
    joint = Joint(before, exact=exact)
    return before + "".join(joint.push(piece) for piece in after) + joint.end()


def test_a_model_that_continues_gets_the_text_as_its_own_beginning() -> None:
    request = asked(ASKED, GOES_ON, TEXT + " \n")
    assert request.messages == (*ASKED.messages, Message(role="assistant", text=TEXT))
    assert request.max_output_tokens == 100 - len(TEXT.split())


def test_another_is_asked_to_begin_with_the_last_words() -> None:
    request = asked(ASKED, ASKS, TEXT)
    assert request.messages[:2] == ASKED.messages
    turn, wish = request.messages[2:]
    assert (turn.role, turn.text, wish.role) == ("assistant", TEXT, "user")
    anchor = wish.text.partition("<<<")[2].partition(">>>")[0]
    assert TEXT.endswith(anchor)
    assert 24 <= len(anchor) <= 48
    assert TEXT[-len(anchor) - 1] == " "
    assert request.max_output_tokens > 100 - len(TEXT.split())


def test_a_beginning_that_the_request_has_itself_stays_before_it() -> None:
    request = replace(ASKED, messages=(*ASKED.messages, Message(role="assistant", text="Because ")))
    assert asked(request, GOES_ON, "of").messages == (*ASKED.messages, Message(role="assistant", text="Because of"))


def test_nothing_but_white_space_is_begun_anew() -> None:
    assert asked(ASKED, ASKS, "\n") == ASKED


def test_there_are_tokens_left_even_at_the_limit() -> None:
    assert asked(replace(ASKED, max_output_tokens=5), GOES_ON, TEXT).max_output_tokens == 16


def test_what_was_thought_is_not_thought_again() -> None:
    assert asked(replace(ASKED, reasoning="high"), GOES_ON, TEXT).reasoning == "none"
    assert asked(ASKED, GOES_ON, TEXT).reasoning is None


@pytest.mark.parametrize(
    ("request_", "model", "why"),
    [
        (replace(ASKED, schema={"type": "object"}), ASKS, "JSON"),
        (replace(ASKED, messages=(), question="Why?"), GOES_ON, "question and evidence"),
        (ASKED, Scripted("m", capabilities=Capabilities(cites=True)), "question and evidence"),
    ],
)
def test_what_cannot_go_on_says_why(request_: ModelRequest, model: Scripted, why: str) -> None:
    found = continuation(request_, model, TEXT)
    assert isinstance(found, str)
    assert why in found


def test_json_of_a_schema_goes_on_in_a_model_that_continues() -> None:
    request = replace(ASKED, schema={"type": "object"})
    made = asked(request, GOES_ON, '{"a": ')
    assert made.messages[-1].text == '{"a":'
    assert made.schema is None


# --- the joint ----------------------------------------------------------------------------------------------

REST = " after Christ, with interruptions."


@pytest.mark.parametrize(
    "repeated",
    ["", TEXT, TEXT[-12:], TEXT[-30:], TEXT[-48:], TEXT[TEXT.index("It lies") :], "..." + TEXT[-40:], '"' + TEXT[-40:]],
)
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_what_is_repeated_is_taken_out(repeated: str, size: int) -> None:
    whole = repeated.lstrip() + REST
    parts = [whole[start : start + size] for start in range(0, len(whole), size)]
    assert joined(TEXT, parts, exact=False) == TEXT + REST


def test_a_word_that_was_cut_is_mended_by_the_last_words() -> None:
    assert joined("The capi", ["The", " capital of France"], exact=False) == "The capital of France"
    assert joined("The capi", ["tal of France"], exact=False) == "The capital of France"


def test_a_reply_that_was_whole_already_is_not_said_twice() -> None:
    assert joined("It is Paris.", ["Paris", "."], exact=False) == "It is Paris."


def test_what_looks_like_a_repetition_and_is_none_is_kept() -> None:
    assert joined(TEXT, ["The capital", " of Italy is Rome."], exact=False) == TEXT + "The capital of Italy is Rome."
    assert joined("1, 2, 3, 1, 2, ", ["1, 2, 5"], exact=True) == "1, 2, 3, 1, 2, 1, 2, 5"
    assert joined("no no ", ["no no no"], exact=True) == "no no no no no"


def test_with_its_own_beginning_only_white_space_or_all_of_it_is_repeated() -> None:
    assert joined("foo \n", [" ", "\nbar"], exact=True) == "foo \nbar"
    assert joined("foo ", [" bar"], exact=True) == "foo bar"
    assert joined("foo ", ["bar"], exact=True) == "foo bar"
    assert joined(TEXT, [TEXT[:50], TEXT[50:] + REST], exact=True) == TEXT + REST


def test_text_is_held_back_no_longer_than_it_must_be() -> None:
    joint = Joint(TEXT, exact=False)
    assert joint.push("Wh") == "Wh"
    assert joint.push("The capital") == "The capital"
    joint = Joint(TEXT, exact=False)
    assert joint.push("The cap") == ""
    assert joint.held == 7
    assert joint.push("tain") == "The captain"
    joint = Joint(TEXT, exact=False)
    assert joint.push(TEXT[-48:].partition(" ")[2]) == ""
    assert joint.push(" aft") == " aft"


WORDS = [f"{word}{number}" for number, word in enumerate("alpha beta gamma delta epsilon zeta eta theta".split() * 5)]
WHOLE = " ".join(WORDS)


@given(cut=st.integers(1, len(WHOLE) - 1), back=st.integers(0, 200), sizes=st.lists(st.integers(1, 30), max_size=20))
def test_pieces_join_wherever_they_were_cut(cut: int, back: int, sizes: list[int]) -> None:
    """back: how far the second model goes back: to a word's start, 12 characters at least, or not at all."""
    start = WHOLE.rfind(" ", 0, max(cut - back, 0)) + 1 if back >= 12 else cut
    rest = WHOLE[start:]
    parts = []
    for size in sizes:
        parts.append(rest[:size])
        rest = rest[size:]
    assert joined(WHOLE[:cut], [*parts, rest], exact=False) == WHOLE
