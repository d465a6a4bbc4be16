"""What of a reply is reasoning, and what the answer, however it is cut."""

import pytest

from sourcebook.prompt.thinking import Shown, without_thought

SIZES = (1, 2, 3, 7, 100)


def divided(reply: str, size: int, tag: str) -> tuple[str, str]:
    reader = Shown(tag)
    pieces = [reader.feed(reply[start : start + size]) for start in range(0, len(reply), size)]
    return "".join(thought for thought, _ in pieces), "".join(shown for _, shown in pieces) + reader.close()


@pytest.mark.parametrize(
    ("reply", "shown"),
    [
        ("thinking <answer>yes</answer> done", "yes"),
        ("thinking <Answer >yes", "yes"),
        ("a < b and <b> <answer>x < y</answer>", "x < y"),
        ("no tag at all", "no tag at all"),
        ("<think>hm</think>no tag at all", "no tag at all"),
        ("hm</think> no tag", " no tag"),
        ("<answer></answer>", ""),
        ("<answer>one <b>two</b></answer>", "one <b>two</b>"),
        ("<think>I must write <answer>.</think><answer>yes</answer>", "yes"),
    ],
)
def test_the_tag_is_found_however_the_reply_is_cut(reply: str, shown: str) -> None:
    for size in SIZES:
        assert divided(reply, size, "answer")[1] == shown


@pytest.mark.parametrize(
    ("reply", "thought", "shown"),
    [
        ("<think>hm < ha</think>yes", "hm < ha", "yes"),
        ("\n <Thinking>\nhm</THINKING>\n\nyes", "\nhm", "\n\nyes"),
        ("<think></think>yes", "", "yes"),
        ("<think>hm, cut off", "hm, cut off", ""),
        ("<thin ice> is thin", "", "<thin ice> is thin"),
        ("<thi", "", "<thi"),
        ("The tag <think>hm</think> is odd.", "", "The tag <think>hm</think> is odd."),
        ("", "", ""),
    ],
)
def test_a_thought_at_the_beginning_is_reasoning_without_any_tag(reply: str, thought: str, shown: str) -> None:
    for size in SIZES:
        assert divided(reply, size, "") == (thought, shown)


def test_text_that_is_no_thought_is_not_held_back() -> None:
    reader = Shown("")
    assert reader.feed("T") == ("", "T")
    assert reader.feed("<") == ("", "<")


@pytest.mark.parametrize("text", ["<think>a</think>b", "a</think>b", "b", "b<think>never over"])
def test_of_a_whole_reply_thoughts_are_taken_off(text: str) -> None:
    assert without_thought(text) == "b"
