"""Conversations as turns, and what goes into them."""

from sourcebook.models.base import Image, Message, ModelRequest, ToolCall
from sourcebook.models.formats.turns import arguments_of, data_url, thinking_budget, turns, with_pictures_apart

ASK = Message(role="user", text="Where does it rain?")
CALLS = (ToolCall(id="a", name="w", arguments="{}"), ToolCall(id="b", name="w", arguments="{}"))
CALLED = Message(role="assistant", tool_calls=CALLS)
ONE, TWO = Image(media_type="image/png", data=b"1"), Image(media_type="image/png", url="https://x/y.png")


def test_blank_turns_leave_no_two_neighbours_of_one_side() -> None:
    for blank in ("", " \n"):
        some = turns((ASK, Message(role="assistant", text=blank), Message(role="user", text="Well?")))
        assert [one.role for one in some] == ["user"]
        assert [one.text for one in some[0].messages] == ["Where does it rain?", "Well?"]
    picture = Message(role="user", images=(ONE,))
    empty_result = Message(role="tool", tool_call_id="a")
    assert [one.role for one in turns((picture, CALLED, empty_result))] == ["user", "assistant", "user"]


def test_pictures_of_results_are_shown_by_the_user_after_all_of_them() -> None:
    results = (
        Message(role="tool", tool_call_id="a", images=(ONE,)),
        Message(role="tool", tool_call_id="b", images=(TWO,)),
    )
    apart = with_pictures_apart((ASK, CALLED, *results))
    assert [(one.role, one.images) for one in apart[2:]] == [("tool", ()), ("tool", ()), ("user", (ONE, TWO))]
    more = with_pictures_apart((ASK, CALLED, *results, Message(role="user", text="See?", images=(ONE,))))
    assert [(one.role, one.text, one.images) for one in more[4:]] == [("user", "See?", (ONE, TWO, ONE))]
    again = with_pictures_apart((ASK, CALLED, *results, Message(role="assistant", text="I see")))
    assert [one.role for one in again[4:]] == ["user", "assistant"]
    assert with_pictures_apart((ASK, CALLED)) == [ASK, CALLED]


def test_arguments_that_are_no_object() -> None:
    for written in ("not JSON", "[1]", '{"x":' + "[" * 5000):
        assert list(arguments_of(ToolCall(id="a", name="w", arguments=written))) == ["unreadable"]
    assert arguments_of(ToolCall(id="a", name="w", arguments="")) == {}


def test_a_budget_to_think_with_is_part_of_the_reply() -> None:
    assert thinking_budget(ModelRequest(reasoning="high", max_output_tokens=1000)) == 750
    assert thinking_budget(ModelRequest(reasoning="low", max_output_tokens=8000)) == 1024
    assert thinking_budget(ModelRequest(reasoning="none")) == thinking_budget(ModelRequest()) == 0


def test_data_urls() -> None:
    assert data_url(ONE) == "data:image/png;base64,MQ=="
    assert data_url(TWO) == "https://x/y.png"
