"""The part of the suite for wire formats that is about replies that do not come whole: cut, stalled, late, given up."""

from __future__ import annotations

import asyncio
import copy
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from dataclasses import replace

import pytest

from sourcebook.errors import DeadlineExceeded, Interrupted, ModelError, Transient, Unavailable
from sourcebook.models.base import Finish, ModelEvent, TextPart, ToolCall, ToolCallPart, complete
from sourcebook.models.wire import Framing, Reader
from sourcebook.testing.doubles import Reply, Seen
from sourcebook.testing.wire_case import ASKED, WEATHER, WireCase


class WireStreams(WireCase):
    """A reply is whole, or it is an error that says what had come of it."""

    def recorded(self, reply: Reply) -> bytes:
        """The stream that the double makes of a reply."""
        seen = Seen(method="POST", path="/", headers={}, query={}, body={"stream": True}, raw=b"")
        return b"".join(self.double().streamed(reply, seen))

    def read(self, pieces: Sequence[bytes]) -> tuple[list[ModelEvent], bool]:
        """Events, and whether the reply ended, as `HttpModel` would see them."""
        reader, framing = self._reader()
        events: list[ModelEvent] = []
        for piece in pieces:
            for frame in framing.feed(piece):
                for event in reader.feed(frame):
                    events.append(event)
                    if isinstance(event, Finish):
                        return events, True
        events.extend(reader.end())
        return events, bool(events) and isinstance(events[-1], Finish)

    def _reader(self) -> tuple[Reader, Framing]:
        wire = self.nowhere()
        reader = wire.reader(replace(ASKED, tools=(WEATHER,)) if wire.capabilities.tools else ASKED)
        return reader, reader.framing(self.double().content_type)

    def replies(self) -> list[Reply]:
        """Replies of all kinds that the format knows."""
        capabilities = self.nowhere().capabilities
        text = Reply(pieces=("등대", ' was "built"\n', " in 1873 🗼"))
        replies = [text, *(replace(text, finish=reason) for reason in self.reasons)]  # type: ignore[arg-type]
        if self.refuses:
            replies.append(replace(text, refusal=True, finish="filtered"))
        if capabilities.tools:
            call = ToolCall(id="call_1", name="weather", arguments='{"city": "Bergen"}')
            other = replace(call, id="call_2", arguments='{"city": "서울"}')
            without = replace(call, id="call_3", arguments="{}")
            called = Reply(pieces=("One moment",), finish="tool_calls")
            replies += [
                replace(called, tool_calls=some) for some in ((call,), (call, other), (without,), (without, call))
            ]
        if capabilities.reasoning:
            replies.append(Reply(thoughts=("So", " it was"), pieces=("1873",)))
        return replies

    def test_a_reply_cut_at_every_byte(self) -> None:
        for reply in self.replies():
            recorded = self.recorded(reply)
            whole, ended = self.read([recorded])
            assert ended
            called = [json.loads(one.call.arguments) for one in whole if isinstance(one, ToolCallPart)]
            assert called == [json.loads(one.arguments) for one in reply.tool_calls]
            has_ended = False
            for events in self.cuts(recorded):
                if events and isinstance(events[-1], Finish):
                    has_ended = True
                    assert events[-1].reason == reply.finish
                    assert events[:-1] == whole[:-1]
                else:
                    assert not has_ended, "a longer part of a reply that had ended"
                    assert events == whole[: len(events)] or _text(events) == _text(whole)[: len(_text(events))]
                calls = [one.call for one in events if isinstance(one, ToolCallPart)]
                assert all(isinstance(json.loads(one.arguments), dict) for one in calls)
            assert has_ended

    def cuts(self, recorded: bytes) -> Iterator[list[ModelEvent]]:
        """The events of a recorded stream that is cut after no byte, after one, and so on, each that differs once."""
        reader, framing = self._reader()
        events: list[ModelEvent] = []
        yield [*events, *copy.deepcopy(reader).end()]
        for place in range(len(recorded)):
            for frame in framing.feed(recorded[place : place + 1]):
                for event in reader.feed(frame):
                    events.append(event)
                    if isinstance(event, Finish):
                        yield events
                        return
                yield [*events, *copy.deepcopy(reader).end()]

    @pytest.mark.parametrize("arguments", ["", '{"ci', '{"x":' + "[" * 5000])
    def test_a_call_that_the_limit_cut_off_is_none(self, arguments: str) -> None:
        if not self.nowhere().capabilities.tools or not self.calls_in_pieces:
            pytest.skip("calls come whole")
        whole = ToolCall(id="call_1", name="weather", arguments='{"city": "Bergen"}')
        cut = ToolCall(id="call_2", name="weather", arguments=arguments)
        events, ended = self.read([self.recorded(Reply(tool_calls=(whole, cut), finish="length"))])
        assert ended
        calls = [one.call for one in events if isinstance(one, ToolCallPart)]
        assert [json.loads(one.arguments) for one in calls] == [{"city": "Bergen"}]

    def test_a_reply_in_pieces_of_every_size(self) -> None:
        for reply in self.replies():
            recorded = self.recorded(reply)
            whole = self.read([recorded])
            for size in (1, 2, 3, 5, 7, 64, 1000):
                pieces = [recorded[start : start + size] for start in range(0, len(recorded), size)]
                assert self.read(pieces) == whole

    @pytest.mark.asyncio
    async def test_a_connection_cut_in_the_middle(self) -> None:
        reply = self.replies()[0]
        length = len(self.recorded(reply))
        for cut in range(1, length, max(1, length // 12)):
            async with self.both(replace(reply, cut_after=cut)) as (_, model):
                try:
                    done = await complete(model, ASKED)
                    assert (done.text, done.finish.reason) == (reply.text, "stop")
                except ModelError as error:
                    assert isinstance(error, Interrupted if error.text else Unavailable | Interrupted)
                    assert reply.text.startswith(error.text)
                    assert error.transient

    @pytest.mark.asyncio
    async def test_a_connection_cut_after_the_last_event(self) -> None:
        """All was said, though the body does not end as it should."""
        for reply in self.replies():
            asked = replace(ASKED, tools=(WEATHER,)) if reply.tool_calls else ASKED
            async with self.both(replace(reply, cut_after=2**30)) as (_, model):
                done = await complete(model, asked)
            assert (done.text, done.finish.reason) == (reply.text, reply.finish)
            assert len(done.tool_calls) == len(reply.tool_calls)

    @pytest.mark.asyncio
    async def test_a_call_that_breaks_off_is_a_reply_that_broke_off(self) -> None:
        """It was written, and is charged, though nothing of it can be shown."""
        if not self.nowhere().capabilities.tools or not self.calls_in_pieces:
            pytest.skip("calls come whole")
        call = ToolCall(id="call_1", name="weather", arguments='{"city": "Bergen"}')
        reply = Reply(pieces=(), tool_calls=(call,), finish="tool_calls")
        cut = self.recorded(reply).index(b"Bergen")
        async with self.both(replace(reply, cut_after=cut)) as (_, model):
            with pytest.raises(Interrupted):
                await complete(model, replace(ASKED, tools=(WEATHER,)))

    @pytest.mark.asyncio
    async def test_what_was_reported_before_a_cut(self) -> None:
        if not self.early_usage:
            pytest.skip("the vendor tells its tokens at the end")
        reply = Reply(pieces=("등대", " was built", " in 1873"))
        cut = self.recorded(reply).index(b" in 1873")
        async with self.both(replace(reply, cut_after=cut)) as (_, model):
            with pytest.raises(Interrupted) as caught:
                await complete(model, ASKED)
        assert caught.value.usage is not None
        assert caught.value.usage.input_tokens == 11
        assert not caught.value.usage.exact

    @pytest.mark.asyncio
    async def test_a_whole_reply_cut(self) -> None:
        async with self.both(Reply(cut_after=20)) as (_, model):
            with pytest.raises(Transient):
                await complete(model, replace(ASKED, streamed=False))

    @pytest.mark.asyncio
    @pytest.mark.parametrize("streamed", [True, False])
    async def test_silence(self, streamed: bool) -> None:
        async with self.both(Reply(stall_after=10), idle=0.1) as (_, model):
            with pytest.raises((Unavailable, Interrupted)):
                await complete(model, replace(ASKED, streamed=streamed))

    @pytest.mark.asyncio
    async def test_the_deadline(self) -> None:
        async with self.both(Reply(pause=0.2)) as (_, model):
            began = time.monotonic()
            with pytest.raises(DeadlineExceeded):
                await complete(model, replace(ASKED, deadline=began + 0.25))
            assert time.monotonic() - began < 1.0
            with pytest.raises(DeadlineExceeded):
                await complete(model, replace(ASKED, deadline=began))

    @pytest.mark.asyncio
    async def test_closing_stops_the_vendor(self) -> None:
        async with self.both(Reply(pieces=("word ",) * 500, pause=0.02)) as (double, model):
            async with aclosing(model.stream(ASKED)) as events:
                async for event in events:
                    if isinstance(event, TextPart):
                        break
            await asyncio.wait_for(double.closed_by_client.wait(), 2.0)

    @pytest.mark.asyncio
    async def test_cancelling_stops_the_vendor(self) -> None:
        async with self.both(Reply(pieces=("word ",) * 500, pause=0.02)) as (double, model):
            task = asyncio.create_task(complete(model, ASKED))
            await asyncio.wait_for(double.answering.wait(), 5.0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.wait_for(double.closed_by_client.wait(), 2.0)

    @pytest.mark.asyncio
    async def test_a_stop_that_is_kept_to_here_stops_the_vendor(self) -> None:
        stops = ("a1", "b2", "c3", "d4", "e5", "f6", "\n\n")  # more than are taken, and one that is blank
        if not _is_kept_here(self.nowhere().call(replace(ASKED, stop=stops)).body):
            pytest.skip("the vendor takes any")
        pieces = ("One.", "\n", "\nTwo", *("more ",) * 500)
        async with self.both(Reply(pieces=pieces, pause=0.01), Reply(pieces=pieces[:3])) as (double, model):
            done = await complete(model, replace(ASKED, stop=stops))
            assert (done.text, done.finish.reason) == ("One.", "stop")
            assert not done.finish.usage.exact
            await asyncio.wait_for(double.closed_by_client.wait(), 2.0)
            whole = await complete(model, replace(ASKED, stop=stops, streamed=False))
        assert (whole.text, whole.finish.reason) == ("One.", "stop")
        assert whole.finish.usage.exact  # it came in the same body
        assert whole.finish.usage.output_tokens == 7


def _is_kept_here(body: bytes) -> bool:
    return b'"f6"' not in body or rb'"\n\n"' not in body


def _text(events: Sequence[ModelEvent]) -> str:
    return "".join(one.text for one in events if isinstance(one, TextPart))
