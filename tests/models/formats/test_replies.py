"""Calls that are whole, the tool whose input is the reply, and replies that end at a stop sequence."""

import json
from collections.abc import Iterable

import pytest

from sourcebook.models.base import (
    Finish,
    FinishReason,
    ModelEvent,
    ModelRequest,
    TextPart,
    Tool,
    ToolCall,
    ToolCallPart,
)
from sourcebook.models.formats.replies import ReplyTool, finished_calls, shared_stops, stopped
from sourcebook.models.formats.stopping import StopSequences
from sourcebook.models.framing import Whole
from sourcebook.models.wire import Frame, Framing, OneCall
from sourcebook.testing.wire import BUILT
from sourcebook.types import Usage

TOLD = Usage(input_tokens=25_000, output_tokens=400, counted_by="vendor")


class Heard(OneCall):
    """A reader that has heard of the vendor's account."""

    usage = TOLD

    def framing(self, _content_type: str) -> Framing:
        return Whole()

    def feed(self, _frame: Frame) -> Iterable[ModelEvent]:
        return ()

    def end(self) -> Iterable[ModelEvent]:
        return ()


def call(arguments: str) -> ToolCall:
    return ToolCall(id="a", name="delete_all", arguments=arguments)


@pytest.mark.parametrize(
    ("reason", "arguments", "finished"),
    [
        ("length", "", []),
        ("filtered", "", []),
        ("length", '{"x": ', []),
        ("length", "1", []),
        ("length", '{"x":' + "[" * 5000, []),
        ("length", '{"x": 1}', ['{"x": 1}']),
        ("tool_calls", "", ["{}"]),
        ("stop", "", ["{}"]),
        ("tool_calls", "{broken", ["{broken"]),
    ],
)
def test_calls_of_a_reply_that_ended(reason: FinishReason, arguments: str, finished: list[str]) -> None:
    assert [one.call.arguments for one in finished_calls([call(arguments)], reason)] == finished


def until_the_stop(*events: ModelEvent) -> list[ModelEvent]:
    return list(stopped(events, StopSequences(("\n\n",)), Heard()))


def test_a_whole_reply_keeps_its_exact_tokens() -> None:
    called = ToolCallPart(call=call("{}"))
    events = until_the_stop(
        TextPart(text="One.\n\nTwo."), TextPart(text="Three"), called, Finish(reason="length", usage=TOLD)
    )
    assert events == [TextPart(text="One."), Finish(reason="stop", usage=TOLD)]


def test_a_stream_ends_with_what_was_told_by_then() -> None:
    text, finish = until_the_stop(TextPart(text="One.\n\nTwo."), TextPart(text="Three"))
    assert text == TextPart(text="One.")
    assert isinstance(finish, Finish)
    assert (finish.usage.input_tokens, finish.usage.exact) == (25_000, False)


def test_what_was_held_back_comes_before_a_call() -> None:
    called = ToolCallPart(call=call("{}"))
    assert until_the_stop(TextPart(text="One.\n"), called) == [TextPart(text="One.\n"), called]


def test_stops_that_are_shared() -> None:
    assert shared_stops(("a", "\n", "b"), most=1) == (["a"], ["\n", "b"])
    assert shared_stops(("a", "\n", "b"), blank=True) == (["a", "\n", "b"], [])
    assert shared_stops(("a",), most=0) == ([], ["a"])


def test_the_reply_tool_has_a_name_of_its_own() -> None:
    tools = tuple(Tool(name=one, description="", parameters={}) for one in ("reply", "reply_2"))
    made = ReplyTool.of(ModelRequest(tools=tools, schema=BUILT))
    assert made is not None
    assert made.name == "reply_3"
    assert ReplyTool.of(ModelRequest(tools=tools)) is None


def test_a_wrapped_reply() -> None:
    made = ReplyTool.of(ModelRequest(schema={"type": "array"}))
    assert made is not None
    assert json.loads(made.unwrapped('{"reply": [1]}')) == [1]
    for broken in ('{"reply":' + "[" * 5000, "[1]", "{}"):
        assert made.unwrapped(broken) == broken
