"""What every wire format must do, proved against a double of its vendor."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace

import pytest

from sourcebook.errors import (
    ContextTooLong,
    DeadlineExceeded,
    Interrupted,
    InvalidRequest,
    ModelError,
    NoSuchModel,
    NotAuthorised,
    QuotaExhausted,
    RateLimited,
    Refused,
    Transient,
    Unavailable,
)
from sourcebook.models.base import (
    Completion,
    Finish,
    Image,
    Message,
    ModelEvent,
    ModelRequest,
    TextPart,
    Tool,
    ToolCall,
    ToolCallPart,
    complete,
)
from sourcebook.models.http import HttpModel
from sourcebook.models.wire import Target, WireFormat
from sourcebook.testing.doubles import REQUEST_ID, Double, Fault, Reply, Seen
from sourcebook.types import Usage

WEATHER = Tool(
    name="weather",
    description="The weather in a city",
    parameters={
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
)
BUILT = {
    "type": "object",
    "properties": {"year": {"type": "integer"}},
    "required": ["year"],
    "additionalProperties": False,
}
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360000002000001"
    "e221bc330000000049454e44ae426082"
)
ASKED = ModelRequest(
    messages=(
        Message(role="system", text="Answer in one sentence."),
        Message(role="user", text="When was the lighthouse on 갈매기 Island built?"),
    ),
    max_output_tokens=64,
)


class WireSuite:
    """Subclass it; give `double` and `wire`. What the format declares is tested, what it does not is left out.

    cached, thinking: whether the vendor's usage tells tokens read from its cache, and those that were thought.
    errors: the errors of ours that the vendor can tell apart; in_stream: those that it sends within a stream.
    reasons: why a reply may end, besides by itself and for tools, as far as the vendor tells.
    """

    model = "model-1"
    cached = True
    thinking = True
    errors: Sequence[type[ModelError]] = (
        InvalidRequest, NotAuthorised, NoSuchModel, ContextTooLong, RateLimited, QuotaExhausted, Refused, Unavailable,
    )  # fmt: skip
    in_stream: Sequence[type[ModelError]] = (Unavailable,)
    reasons: Sequence[str] = ("length", "filtered")
    waits = True
    one_connection = True

    def double(self) -> Double:
        """A new double."""
        raise NotImplementedError

    def wire(self, target: Target) -> WireFormat:
        """The format for a target."""
        raise NotImplementedError

    def target(self, url: str, key: str) -> Target:
        """Where the double is; override it where the base URL has a path."""
        return Target(provider="vendor", base=url, model=self.model, key=key)

    @asynccontextmanager
    async def both(
        self, *replies: Reply | Fault, key: str | None = None, idle: float = 5.0
    ) -> AsyncIterator[tuple[Double, HttpModel]]:
        """A running double that says this, and our model of it."""
        async with self.double() as double:
            double.say(*replies)
            model = self.make(double.url, double.key if key is None else key, idle)
            try:
                yield double, model
            finally:
                await model.close()

    def make(self, url: str, key: str, idle: float = 5.0) -> HttpModel:
        """Our model at a URL."""
        return HttpModel(
            self.wire(self.target(url, key)),
            provider="vendor",
            model=self.model,
            window=8192,
            count=lambda text: len(text.split()),
            counted_by="words",
            idle_seconds=idle,
            key=key,
        )

    # --- replies --------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("streamed", [True, False])
    async def test_text_and_usage(self, streamed: bool) -> None:
        usage = Usage(
            input_tokens=30,
            output_tokens=9,
            cached_tokens=20 if self.cached else 0,
            reasoning_tokens=4 if self.thinking else 0,
            counted_by="vendor",
        )
        reply = Reply(pieces=("Built", " in 1873:", " 등대 🗼"), usage=usage)
        async with self.both(reply) as (double, model):
            done = await complete(model, replace(ASKED, streamed=streamed))
            assert not double.seen[-1].headers.get("x-found-wrong")
        assert done.text == reply.text
        assert done.finish.reason == "stop"
        assert done.finish.usage == usage
        assert done.finish.request_id
        assert done.finish.model

    async def test_text_comes_as_it_is_written(self) -> None:
        async with self.both(Reply(pause=0.03)) as (double, model), aclosing(model.stream(ASKED)) as events:
            async for event in events:
                if isinstance(event, TextPart):
                    assert double.open == 1  # the double is still writing
                    break

    @pytest.mark.parametrize("streamed", [True, False])
    @pytest.mark.parametrize("reason", ["length", "filtered"])
    async def test_why_it_stopped(self, reason: str, streamed: bool) -> None:
        if reason not in self.reasons:
            pytest.skip("the vendor does not tell")
        async with self.both(Reply(finish=reason)) as (_, model):  # type: ignore[arg-type]
            done = await complete(model, replace(ASKED, streamed=streamed))
        assert done.finish.reason == reason

    @pytest.mark.parametrize("streamed", [True, False])
    async def test_an_empty_reply(self, streamed: bool) -> None:
        async with self.both(Reply(pieces=())) as (_, model):
            done = await complete(model, replace(ASKED, streamed=streamed))
        assert (done.text, done.finish.reason) == ("", "stop")

    @pytest.mark.parametrize("streamed", [True, False])
    async def test_tools(self, streamed: bool) -> None:
        calls = (
            ToolCall(id="call_1", name="weather", arguments='{"city": "Bergen"}'),
            ToolCall(id="call_2", name="weather", arguments='{"city": "서울 \\"강남\\""}'),
        )
        asked = replace(ASKED, tools=(WEATHER,), streamed=streamed)
        async with self.both(Reply(pieces=("Let me look.",), tool_calls=calls, finish="tool_calls"), Reply()) as both:
            double, model = both
            if not model.capabilities.tools:
                pytest.skip("no tools")
            done = await complete(model, asked)
            assert [(one.name, json.loads(one.arguments)) for one in done.tool_calls] == [
                (one.name, json.loads(one.arguments)) for one in calls
            ]
            assert len({one.id for one in done.tool_calls}) == 2
            assert done.finish.reason == "tool_calls"
            results = [
                Message(role="tool", tool_call_id=done.tool_calls[0].id, text="Rain, 8 degrees"),
                Message(role="tool", tool_call_id=done.tool_calls[1].id, text="No such city", failed=True),
            ]
            turn = Message(role="assistant", text=done.text, tool_calls=done.tool_calls, thoughts=done.thoughts)
            again = await complete(model, replace(asked, messages=(*asked.messages, turn, *results)))
            assert again.finish.reason == "stop"
            for result in results:
                assert result.text.encode() in double.seen[-1].raw

    @pytest.mark.parametrize("choice", ["auto", "none", "required", "weather"])
    async def test_tool_choice(self, choice: str) -> None:
        async with self.both() as (_, model):
            if not model.capabilities.tools:
                pytest.skip("no tools")
            await complete(model, replace(ASKED, tools=(WEATHER,), tool_choice=choice))

    async def test_images(self) -> None:
        picture = Message(role="user", text="What is it?", images=(Image(media_type="image/png", data=PIXEL),))
        async with self.both() as (double, model):
            if not model.capabilities.images:
                pytest.skip("no images")
            await complete(model, replace(ASKED, messages=(picture,)))
            assert b"iVBORw0KGgo" in double.seen[-1].raw

    @pytest.mark.parametrize("streamed", [True, False])
    async def test_a_schema(self, streamed: bool) -> None:
        async with self.both(Reply(pieces=('{"year"', ": 1873}"))) as (double, model):
            if not model.capabilities.schema:
                pytest.skip("no schema")
            done = await complete(model, replace(ASKED, schema=BUILT, streamed=streamed))
            assert b"year" in double.seen[-1].raw
        assert json.loads(done.text) == {"year": 1873}

    @pytest.mark.parametrize("streamed", [True, False])
    async def test_reasoning(self, streamed: bool) -> None:
        reply = Reply(thoughts=("It says", " 1873."))
        async with self.both(reply, Reply()) as (_, model):
            if not model.capabilities.reasoning:
                pytest.skip("no reasoning")
            done = await complete(model, replace(ASKED, reasoning="low", max_output_tokens=4096, streamed=streamed))
            assert "".join(one.text for one in done.thoughts) == "It says 1873."
            assert done.text == reply.text
            turn = Message(role="assistant", text=done.text, thoughts=done.thoughts)
            more = Message(role="user", text="Are you sure?")
            await complete(model, replace(ASKED, messages=(*ASKED.messages, turn, more)))

    @pytest.mark.parametrize("streamed", [True, False])
    async def test_logprobs(self, streamed: bool) -> None:
        async with self.both(Reply(logprobs=(-0.1, -0.2, -1.5))) as (_, model):
            if not model.capabilities.logprobs:
                pytest.skip("no log probabilities")
            done = await complete(model, replace(ASKED, logprobs=True, streamed=streamed))
        assert done.logprobs == (-0.1, -0.2, -1.5)

    async def test_every_setting_is_accepted(self) -> None:
        asked = replace(ASKED, temperature=0.2, top_p=0.9, stop=("\n\n",))
        async with self.both() as (double, model):
            await complete(model, replace(asked, seed=7 if model.capabilities.seed else None))
            raw = double.seen[-1].raw
        assert b"0.2" in raw
        assert b"0.9" in raw

    async def test_a_reply_that_was_begun(self) -> None:
        begun = (*ASKED.messages, Message(role="assistant", text="The lighthouse was"))
        async with self.both(Reply(pieces=(" built in 1873.",))) as (double, model):
            if model.capabilities.continues:
                assert (await complete(model, replace(ASKED, messages=begun))).text == " built in 1873."
                assert b"The lighthouse was" in double.seen[-1].raw
            else:
                with pytest.raises(InvalidRequest):
                    await complete(model, replace(ASKED, messages=begun))

    async def test_a_prompt_to_keep(self) -> None:
        kept = (replace(ASKED.messages[0], keep=True), *ASKED.messages[1:])
        async with self.both(Reply(), Reply()) as (double, model):
            await complete(model, ASKED)
            await complete(model, replace(ASKED, messages=kept))
            assert (double.seen[0].raw != double.seen[1].raw) == model.capabilities.caches

    async def test_equal_requests_are_equal_bytes(self) -> None:
        asked = replace(ASKED, tools=(WEATHER,)) if self.make("http://x", "k").capabilities.tools else ASKED
        one, other = (self.wire(self.target("http://x", "k")).call(asked) for _ in range(2))
        assert (one.url, one.body, one.method) == (other.url, other.body, other.method)

    async def test_many_at_once_are_not_mixed_up(self) -> None:
        async with self.both() as (double, model):

            def echo(seen: Seen) -> Reply:
                word = seen.raw.decode().split("echo:")[1].split(".")[0]
                return Reply(pieces=(word, "!"))

            double.next_reply = echo  # type: ignore[method-assign]

            async def ask(number: int) -> str:
                message = Message(role="user", text=f"Say echo:{number}.")
                return (await complete(model, replace(ASKED, messages=(message,)))).text

            assert await asyncio.gather(*map(ask, range(40))) == [f"{number}!" for number in range(40)]

    async def test_connections_are_used_again(self) -> None:
        async with self.both() as (_, model):
            await complete(model, ASKED)
            connector = model._open_session().connector
            assert connector is not None
            before = {id(one[0]) for some in connector._conns.values() for one in some}
            await complete(model, ASKED)
            after = {id(one[0]) for some in connector._conns.values() for one in some}
        assert before
        assert before == after

    # --- errors ---------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("streamed", [True, False])
    async def test_every_error(self, streamed: bool) -> None:
        for kind in self.errors:
            async with self.both(Fault(error=kind)) as (_, model):
                with pytest.raises(ModelError) as caught:
                    await complete(model, replace(ASKED, streamed=streamed))
            assert type(caught.value) is kind
            assert caught.value.transient == issubclass(kind, Transient)
            assert caught.value.provider == "vendor"
            assert caught.value.request_id == REQUEST_ID
            assert caught.value.remedy
            assert caught.value.status >= 400

    async def test_how_long_to_wait(self) -> None:
        async with self.both(Fault(error=RateLimited, retry_after=7)) as (_, model):
            with pytest.raises(RateLimited) as caught:
                await complete(model, ASKED)
        assert caught.value.retry_after == (7.0 if self.waits else None)

    async def test_errors_within_a_stream(self) -> None:
        for kind in self.in_stream:
            async with self.both(Fault(error=kind, after=2)) as (_, model):
                with pytest.raises(ModelError) as caught:
                    await complete(model, ASKED)
            assert isinstance(caught.value, kind | Interrupted)
            assert caught.value.text == "The lighthouse was built"

    async def test_a_wrong_key_is_not_shown(self) -> None:
        key = "wrong-key-that-nobody-may-see"
        async with self.both(key=key) as (_, model):
            with pytest.raises(NotAuthorised) as caught:
                await complete(model, ASKED)
        assert key not in str(caught.value)
        call = model.wire.call(ASKED)
        assert key not in repr((caught.value, call, self.target("http://x", key)))

    async def test_nobody_there(self) -> None:
        async with self.double() as double:
            url = double.url
        model = self.make(url, "key")
        with pytest.raises(Unavailable):
            await complete(model, ASKED)
        await model.close()

    @pytest.mark.parametrize("body", [b"<html>Bad gateway</html>", b"", b"[]", b"null", b'{"error": 7}', b"\xff\xfe"])
    def test_errors_that_are_not_the_vendors(self, body: bytes) -> None:
        for status, kind in ((502, Unavailable), (429, RateLimited), (401, NotAuthorised), (302, InvalidRequest)):
            assert type(self.wire(self.target("http://x", "k")).failure(status, {}, body)) is kind

    # --- streams that break ---------------------------------------------------------------------------------

    def _recorded(self, reply: Reply) -> bytes:
        seen = Seen(method="POST", path="/", headers={}, query={}, body={"stream": True}, raw=b"")
        return b"".join(self.double().streamed(reply, seen))

    def _read(self, pieces: Sequence[bytes]) -> tuple[list[ModelEvent], bool]:
        """Events, and whether the reply ended, as `HttpModel` would see them."""
        wire = self.wire(self.target("http://x", "k"))
        reader = wire.reader(replace(ASKED, tools=(WEATHER,)) if wire.capabilities.tools else ASKED)
        framing = reader.framing(self.double().content_type)
        events: list[ModelEvent] = []
        for piece in pieces:
            for frame in framing.feed(piece):
                for event in reader.feed(frame):
                    events.append(event)
                    if isinstance(event, Finish):
                        return events, True
        events.extend(reader.end())
        return events, bool(events) and isinstance(events[-1], Finish)

    def _replies(self) -> list[Reply]:
        capabilities = self.wire(self.target("http://x", "k")).capabilities
        replies = [Reply(pieces=("등대", ' was "built"\n', " in 1873 🗼"))]
        if capabilities.tools:
            call = ToolCall(id="call_1", name="weather", arguments='{"city": "Bergen"}')
            replies.append(Reply(pieces=("One moment",), tool_calls=(call,), finish="tool_calls"))
        if capabilities.reasoning:
            replies.append(Reply(thoughts=("So", " it was"), pieces=("1873",)))
        return replies

    def test_a_reply_cut_at_every_byte(self) -> None:
        for reply in self._replies():
            recorded = self._recorded(reply)
            whole, ended = self._read([recorded])
            assert ended
            ended_from = None
            for cut in range(len(recorded)):
                events, ended = self._read([recorded[:cut]])
                if ended:
                    ended_from = cut if ended_from is None else ended_from
                    said = [one for one in events if not isinstance(one, Finish)]
                    assert said == [one for one in whole if not isinstance(one, Finish)]
                    assert isinstance(events[-1], Finish)
                    assert events[-1].reason == reply.finish
                else:
                    assert ended_from is None, "a longer part of a reply that had ended"
                    assert not any(isinstance(one, Finish) for one in events)
                    assert events == whole[: len(events)] or _text(events) == _text(whole)[: len(_text(events))]
                calls = [one.call for one in events if isinstance(one, ToolCallPart)]
                assert all(json.loads(one.arguments) for one in calls)

    def test_a_reply_in_pieces_of_every_size(self) -> None:
        for reply in self._replies():
            recorded = self._recorded(reply)
            whole = self._read([recorded])
            for size in (1, 2, 3, 5, 7, 64, 1000):
                pieces = [recorded[start : start + size] for start in range(0, len(recorded), size)]
                assert self._read(pieces) == whole

    async def test_a_connection_cut_in_the_middle(self) -> None:
        reply = self._replies()[0]
        length = len(self._recorded(reply))
        whole = Completion(text=reply.text, finish=Finish(reason="stop"))
        for cut in range(1, length, max(1, length // 12)):
            async with self.both(replace(reply, cut_after=cut)) as (_, model):
                try:
                    done = await complete(model, ASKED)
                    assert (done.text, done.finish.reason) == (whole.text, whole.finish.reason)
                except ModelError as error:
                    assert isinstance(error, Interrupted if error.text else Unavailable | Interrupted)
                    assert whole.text.startswith(error.text)
                    assert error.transient

    async def test_a_whole_reply_cut(self) -> None:
        async with self.both(Reply(cut_after=20)) as (_, model):
            with pytest.raises(Transient):
                await complete(model, replace(ASKED, streamed=False))

    @pytest.mark.parametrize("streamed", [True, False])
    async def test_silence(self, streamed: bool) -> None:
        async with self.both(Reply(stall_after=10), idle=0.1) as (_, model):
            with pytest.raises((Unavailable, Interrupted)):
                await complete(model, replace(ASKED, streamed=streamed))

    async def test_the_deadline(self) -> None:
        async with self.both(Reply(pause=0.2)) as (_, model):
            began = time.monotonic()
            with pytest.raises(DeadlineExceeded):
                await complete(model, replace(ASKED, deadline=began + 0.25))
            assert time.monotonic() - began < 1.0
            with pytest.raises(DeadlineExceeded):
                await complete(model, replace(ASKED, deadline=began))

    async def test_closing_stops_the_vendor(self) -> None:
        async with self.both(Reply(pieces=("word ",) * 500, pause=0.02)) as (double, model):
            async with aclosing(model.stream(ASKED)) as events:
                async for event in events:
                    if isinstance(event, TextPart):
                        break
            await asyncio.wait_for(double.closed_by_client.wait(), 2.0)

    async def test_cancelling_stops_the_vendor(self) -> None:
        async with self.both(Reply(pieces=("word ",) * 500, pause=0.02)) as (double, model):
            task = asyncio.create_task(complete(model, ASKED))
            await asyncio.wait_for(double.answering.wait(), 5.0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.wait_for(double.closed_by_client.wait(), 2.0)


def _text(events: Sequence[ModelEvent]) -> str:
    return "".join(one.text for one in events if isinstance(one, TextPart))
