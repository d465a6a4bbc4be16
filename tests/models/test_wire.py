"""What wire formats share."""

import pytest

from sourcebook.errors import InvalidReply
from sourcebook.models.wire import HttpCall, OneCall, Target, from_json, to_json
from sourcebook.types import Usage


def test_equal_values_give_equal_bytes() -> None:
    assert to_json({"b": "ä", "a": [1, None]}) == '{"b":"ä","a":[1,null]}'.encode()
    assert to_json("half of one: \ud83d") == b'"half of one: ?"'


@pytest.mark.parametrize("text", ["", "{", "[1]", "7", "<html>", '{"x":' + "[" * 100_000, b"\xff{}"])
def test_what_is_no_object(text: str | bytes) -> None:
    with pytest.raises(InvalidReply) as caught:
        from_json(text, "vendor")
    assert caught.value.provider == "vendor"
    assert len(str(caught.value)) < 1000


def test_readers_of_one_call_share_nothing() -> None:
    class Reader(OneCall):
        pass

    first, second = Reader(), Reader()
    first.usage = Usage(input_tokens=7, counted_by="vendor")
    assert second.usage == Usage()
    assert (first.next_call(), first.cancelling_call()) == (None, None)


def test_keys_are_not_shown() -> None:
    shown = repr(
        (
            Target(provider="v", base="http://x", model="m", key="hunter2", headers={"a": "hunter2"}),
            HttpCall(url="http://x", headers={"Authorization": "hunter2"}),
        )
    )
    assert "hunter2" not in shown
