"""The part of the suite for wire formats that is about what is asked and answered, while nothing goes wrong."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from dataclasses import replace

import pytest

from sourcebook.errors import InvalidRequest
from sourcebook.models.base import Image, Message, TextPart, ToolCall, complete
from sourcebook.testing.doubles import Reply, Seen
from sourcebook.testing.wire_case import ASKED, BUILT, PIXEL, WEATHER, WireCase
from sourcebook.types import Usage

_LOOSE = {
    "type": "object",
    "properties": {
        "year": {"type": "integer", "default": 0},
        "by": {"anyOf": [{"type": "string", "minLength": 1}, {"type": "null"}], "default": None},
        "builder": {"$ref": "#/$defs/Builder", "description": "Who built it"},
    },
    "required": ["year"],
    "$defs": {"Builder": {"type": "object", "properties": {"name": {"type": "string"}}, "title": "Builder"}},
}
"""As Pydantic writes them: objects are not closed, and what has a default is not required."""
_MAP = {"type": "object", "additionalProperties": {"type": "integer"}}


class WireReplies(WireCase):
    """Text, thoughts, tools, pictures, schemas; and what the format does not declare is refused."""

    @pytest.mark.asyncio
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

    @pytest.mark.asyncio
    async def test_text_comes_as_it_is_written(self) -> None:
        async with self.both(Reply(waits_after=1)) as (double, model), aclosing(model.stream(ASKED)) as events:
            text = ""
            async for event in events:
                if isinstance(event, TextPart):
                    text += event.text
                    double.go_on.set()  # until now the double has not written the rest
            assert text == Reply().text

    @pytest.mark.asyncio
    @pytest.mark.parametrize("streamed", [True, False])
    @pytest.mark.parametrize("reason", ["length", "filtered"])
    async def test_why_it_stopped(self, reason: str, streamed: bool) -> None:
        if reason not in self.reasons:
            pytest.skip("the vendor does not tell")
        async with self.both(Reply(finish=reason)) as (_, model):  # type: ignore[arg-type]
            done = await complete(model, replace(ASKED, streamed=streamed))
        assert done.finish.reason == reason

    @pytest.mark.asyncio
    @pytest.mark.parametrize("streamed", [True, False])
    async def test_an_empty_reply(self, streamed: bool) -> None:
        async with self.both(Reply(pieces=())) as (_, model):
            done = await complete(model, replace(ASKED, streamed=streamed))
        assert (done.text, done.finish.reason) == ("", "stop")

    # --- tools ----------------------------------------------------------------------------------------------

    @pytest.mark.asyncio
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
                with pytest.raises(InvalidRequest):
                    await complete(model, asked)
                return
            done = await complete(model, asked)
            assert [(one.name, json.loads(one.arguments)) for one in done.tool_calls] == [
                (one.name, json.loads(one.arguments)) for one in calls
            ]
            assert len({one.id for one in done.tool_calls}) == 2
            assert done.finish.reason == "tool_calls"
            pictures = (Image(media_type="image/png", data=PIXEL),) if model.capabilities.images else ()
            results = [
                Message(role="tool", tool_call_id=done.tool_calls[0].id, text="Rain, 8 degrees", images=pictures),
                Message(role="tool", tool_call_id=done.tool_calls[1].id, text="No such city", failed=True),
            ]
            turn = Message(role="assistant", text=done.text, tool_calls=done.tool_calls, thoughts=done.thoughts)
            again = await complete(model, replace(asked, messages=(*asked.messages, turn, *results)))
            assert again.finish.reason == "stop"
            for result in results:
                assert result.text.encode() in double.seen[-1].raw
            assert (b"iVBORw0KGgo" in double.seen[-1].raw) == model.capabilities.images

    @pytest.mark.asyncio
    @pytest.mark.parametrize("choice", ["none", "required", "weather"])
    async def test_tool_choice(self, choice: str) -> None:
        asked = replace(ASKED, tools=(WEATHER,))
        async with self.both() as (double, model):
            if not model.capabilities.tools:
                pytest.skip("no tools")
            await complete(model, asked)
            try:
                await complete(model, replace(asked, tool_choice=choice))
            except InvalidRequest as error:
                assert not error.status, "the vendor refused what we sent"
                return
            auto, chosen = (one.raw for one in double.seen[-2:])
            assert auto != chosen
            assert choice != "weather" or chosen.count(b'"weather"') + chosen.count(b'"REQUIRED"') > 1

    # --- pictures, schemas, thoughts ------------------------------------------------------------------------

    @pytest.mark.asyncio
    async def test_images(self) -> None:
        picture = Message(role="user", text="What is it?", images=(Image(media_type="image/png", data=PIXEL),))
        async with self.both() as (double, model):
            if not model.capabilities.images:
                with pytest.raises(InvalidRequest):
                    await complete(model, replace(ASKED, messages=(picture,)))
                assert not double.seen
                return
            await complete(model, replace(ASKED, messages=(picture,)))
            assert b"iVBORw0KGgo" in double.seen[-1].raw

    @pytest.mark.asyncio
    @pytest.mark.parametrize("streamed", [True, False])
    async def test_a_schema(self, streamed: bool) -> None:
        async with self.both(Reply(pieces=('{"year"', ": 1873}"))) as (double, model):
            asked = replace(ASKED, schema=BUILT, streamed=streamed)
            if not model.capabilities.schema:
                with pytest.raises(InvalidRequest):
                    await complete(model, asked)
                return
            done = await complete(model, asked)
            assert b"year" in double.seen[-1].raw
        assert json.loads(done.text) == {"year": 1873}

    @pytest.mark.asyncio
    @pytest.mark.parametrize("schema", [_LOOSE, _MAP], ids=["loose", "map"])
    async def test_schemas_as_people_write_them(self, schema: dict[str, object]) -> None:
        async with self.both(Reply(pieces=('{"year"', ": 1873}"))) as (_, model):
            if not model.capabilities.schema:
                pytest.skip("no schema")
            done = await complete(model, replace(ASKED, schema=schema))
        assert json.loads(done.text) == {"year": 1873}

    @pytest.mark.asyncio
    @pytest.mark.parametrize("streamed", [True, False])
    async def test_reasoning(self, streamed: bool) -> None:
        reply = Reply(thoughts=("It says", " 1873."))
        asked = replace(ASKED, reasoning="low", max_output_tokens=4096, streamed=streamed)
        async with self.both(Reply()) as (_, model):
            if not model.capabilities.reasoning:
                assert (await complete(model, asked)).text == Reply().text  # it is passed over
                return
        async with self.both(reply, Reply()) as (_, model):
            done = await complete(model, asked)
            assert "".join(one.text for one in done.thoughts) == "It says 1873."
            assert done.text == reply.text
            turn = Message(role="assistant", text=done.text, thoughts=done.thoughts)
            more = Message(role="user", text="Are you sure?")
            await complete(model, replace(ASKED, messages=(*ASKED.messages, turn, more)))

    @pytest.mark.asyncio
    @pytest.mark.parametrize("reasoning", ["none", "low", "medium", "high"])
    async def test_every_effort_is_accepted(self, reasoning: str) -> None:
        """With what an answer on the side is asked for: no warmth, and stops."""
        asked = replace(ASKED, reasoning=reasoning, temperature=0.0, stop=("END",), max_output_tokens=4096)  # type: ignore[arg-type]
        async with self.both() as (_, model):
            assert (await complete(model, asked)).text == Reply().text

    @pytest.mark.asyncio
    @pytest.mark.parametrize("streamed", [True, False])
    async def test_logprobs(self, streamed: bool) -> None:
        reply = Reply(logprobs=(-0.1, -0.2, -1.5))
        async with self.both(reply) as (double, model):
            done = await complete(model, replace(ASKED, logprobs=True, streamed=streamed))
            if not model.capabilities.logprobs:
                assert b"logprobs" not in double.seen[-1].raw  # they are passed over
                return
        assert done.logprobs == (-0.1, -0.2, -1.5)

    @pytest.mark.asyncio
    async def test_every_setting_is_accepted(self) -> None:
        asked = replace(ASKED, temperature=0.2, top_p=0.9, stop=("\n\n",), seed=7)
        async with self.both() as (double, model):
            await complete(model, asked)
            raw = double.seen[-1].raw
            assert (b"seed" in raw) == model.capabilities.seed
        assert (b"0.2" in raw) == (b"0.9" in raw) == self.samples

    # --- prompts --------------------------------------------------------------------------------------------

    @pytest.mark.asyncio
    async def test_a_reply_that_was_begun(self) -> None:
        begun = (*ASKED.messages, Message(role="assistant", text="The lighthouse was"))
        async with self.both(Reply(pieces=(" built in 1873.",))) as (double, model):
            if model.capabilities.continues:
                assert (await complete(model, replace(ASKED, messages=begun))).text == " built in 1873."
                assert b"The lighthouse was" in double.seen[-1].raw
            else:
                with pytest.raises(InvalidRequest):
                    await complete(model, replace(ASKED, messages=begun))

    @pytest.mark.asyncio
    async def test_a_turn_of_which_nothing_is_left(self) -> None:
        """As after a reply that was filtered."""
        turns = (*ASKED.messages, Message(role="assistant", text=" "), Message(role="user", text="Well?"))
        async with self.both() as (double, model):
            assert (await complete(model, replace(ASKED, messages=turns))).text == Reply().text
            assert b"Well?" in double.seen[-1].raw

    @pytest.mark.asyncio
    async def test_a_prompt_to_keep(self) -> None:
        kept = (replace(ASKED.messages[0], keep=True), *ASKED.messages[1:])
        async with self.both(Reply(), Reply()) as (double, model):
            await complete(model, ASKED)
            await complete(model, replace(ASKED, messages=kept))
            assert (double.seen[0].raw != double.seen[1].raw) == model.capabilities.caches

    def test_equal_requests_are_equal_bytes(self) -> None:
        asked = replace(ASKED, tools=(WEATHER,)) if self.nowhere().capabilities.tools else ASKED
        one, other = (self.nowhere().call(asked) for _ in range(2))
        assert (one.url, one.body, one.method) == (other.url, other.body, other.method)

    # --- connections ----------------------------------------------------------------------------------------

    @pytest.mark.asyncio
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

    @pytest.mark.asyncio
    async def test_connections_are_used_again(self) -> None:
        async with self.both() as (double, model):
            await complete(model, ASKED)
            before = len(double.connections)
            await complete(model, ASKED)
            assert len(double.connections) == before
        assert before
