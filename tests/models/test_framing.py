"""Replies cut into frames, however their bytes are cut."""

import json
from random import Random

import pytest

from sourcebook.errors import InvalidReply
from sourcebook.models import framing
from sourcebook.models.framing import JsonLines, ServerSentEvents, Whole
from sourcebook.models.wire import Frame, Framing

EVENTS = "event: a\ndata: one\n\n: a comment\nid: 7\ndata:two\ndata: löst 😀\n\nevent: gone\n\ndata\n\n"
FRAMES = [Frame(event="a", data="one"), Frame(data="two\nlöst 😀"), Frame(data="")]


def fed(framing: Framing, *pieces: bytes) -> list[Frame]:
    return [frame for piece in pieces for frame in framing.feed(piece)]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "byte-order mark"])
def test_events_cut_anywhere(end: str, mark: str) -> None:
    sent = (mark + EVENTS).replace("\n", end).encode()
    assert fed(ServerSentEvents(), sent) == FRAMES
    assert fed(ServerSentEvents(), *(bytes([one]) for one in sent)) == FRAMES
    random = Random(7)
    for _ in range(50):
        cuts = sorted(random.sample(range(len(sent)), 5))
        pieces = [sent[a:b] for a, b in zip([0, *cuts], [*cuts, len(sent)], strict=True)]
        assert fed(ServerSentEvents(), *pieces) == FRAMES


def test_an_event_is_there_with_its_last_byte() -> None:
    """A carriage return ends a line, whatever may follow it."""
    assert fed(ServerSentEvents(), b"data: x\r\r") == [Frame(data="x")]
    assert fed(ServerSentEvents(), b"data: x\r\n\r\n", b"data: y") == [Frame(data="x")]


def test_lines() -> None:
    sent = '{"a": "ä"}\n\n{"b": 2}\r\n{"c"'.encode()
    for pieces in ([sent], [bytes([one]) for one in sent]):
        assert [json.loads(one.data) for one in fed(JsonLines(), *pieces)] == [{"a": "ä"}, {"b": 2}]


def test_a_whole_body_is_a_frame_once_it_is_whole() -> None:
    sent = b' {"a": {"b": "}"}, "c": [1]}'
    whole = Whole()
    frames = [whole.feed(bytes([one])) for one in sent]
    assert [len(one) for one in frames] == [0] * (len(sent) - 1) + [1]
    assert frames[-1] == [Frame(event="reply", data=sent.decode())]
    assert whole.feed(b"\n ") == []


def test_a_body_of_brackets_is_handed_on() -> None:
    """Whoever reads it refuses it."""
    assert fed(Whole(), b"[" * 100_000 + b"]" * 100_000)


@pytest.mark.parametrize("make", [ServerSentEvents, JsonLines, Whole])
def test_what_does_not_end_is_refused(make: type[Framing], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(framing, "_LONGEST", 2**16)
    whole = make()
    piece = b"data: " + b"x" * 1000
    with pytest.raises(InvalidReply, match="message of more than"):
        fed(whole, *[piece] * 70)


def test_many_frames_are_not_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(framing, "_LONGEST", 2**12)
    events, lines = ServerSentEvents(), JsonLines()
    for _ in range(100):
        assert events.feed(b"data: " + b"x" * 1000 + b"\n\n")
        assert lines.feed(b"1" * 1000 + b"\n")
