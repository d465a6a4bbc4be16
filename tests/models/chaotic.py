"""Three vendors on a bad day, who keep honest account, and the eyes that see what our side made of it.

What a vendor charges for, and what of it can be known here:

    finished                    prompt and reply; it says how much, or both sides count alike          known
    refused                     nothing                                                                known
    broken off by the vendor    prompt and the pieces that were sent, once anything was, or garbage    known
    an error before any piece   the prompt, if it had told its tokens by then                          known
    gone silent after a piece   the same                                                               known
    a whole reply, broken off   prompt and reply: the work was done, though nothing of it can be read  not known
    left by the caller          prompt and the pieces that were sent, some of them still on their way  not known

A token is a word, in prompts and replies; both sides know what stands around messages. Of one vendor's tokens our side
has only an estimate, which is too high.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import struct
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from random import Random
from typing import Any, Final, Literal, Self

from aiohttp import web

from sourcebook.errors import ContextTooLong, ModelError, NotAuthorised, RateLimited, Unavailable
from sourcebook.models.cost.known import KnownModel, Overhead, Rates
from sourcebook.testing.doubles import REQUEST_ID, Double, Fault, Reply, Seen
from sourcebook.types import Usage
from tests.models.doubles.anthropic import AnthropicDouble
from tests.models.doubles.cohere import CohereDouble
from tests.models.doubles.openai_chat import OpenAIChatDouble

_REPLY_ID: Final = b"c14c80c3"  # of every reply of Cohere's double, where the vendor has one for each

_USAGE: Final = re.compile(rb'"usage": ?\{')
_TOLD: Final = re.compile(rb'"output_tokens": ?(\d+)')

LONGEST: Final = 120
"""Tokens that a reply may have."""

_LINES = "a quick harbour lamp swings over nine grey boats while bells count the slow tide home again".split()


def intended(number: int) -> str:
    """What the reply to the call of this number is: 5 to 60 words, none of them twice."""
    length = Random(f"length of {number}").randint(5, 60)
    words = [f"{_LINES[place % len(_LINES)]}-{number}.{place}" for place in range(length)]
    return "".join(word + ("\n\n" if place % 17 == 16 else " ") for place, word in enumerate(words)).rstrip()


def words(text: str) -> int:
    """Tokens of a text."""
    return len(text.split())


class Words:
    """The counter for it."""

    name = "words"

    def count(self, text: str) -> int:
        return words(text)


class Guessed:
    """A counter that does not know the vendor's tokens: a fifth too many."""

    name = "estimate:words"

    def count(self, text: str) -> int:
        return -(-words(text) * 6 // 5)


# --- what things cost ---------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Tariff:
    """A vendor's prices, in micro-dollars per million tokens, and what it counts around messages."""

    model: str
    input: int
    output: int
    cached: int
    message: int
    request: int

    def cost(self, prompt: int, output: int, cached: int = 0) -> int:
        """Micro-dollars, rounded up."""
        exact = (prompt - cached) * self.input + cached * self.cached + output * self.output
        whole, rest = divmod(exact, 1_000_000)
        return whole + (rest > 0)

    def prompt(self, texts: Sequence[str], count: Callable[[str], int] = words) -> int:
        """Tokens of a prompt of these messages."""
        return self.request + sum(self.message + count(text) for text in texts)

    def known(self, provider: str) -> KnownModel:
        """The same as our model file has it."""
        return KnownModel(
            provider=provider,
            model=self.model,
            names=(self.model,),
            as_of=date(2026, 1, 1),
            source="a page",
            window=8_000,
            output=LONGEST,
            rates=(Rates(input=self.input, output=self.output, cached=self.cached),),
            overhead=Overhead(message=self.message, request=self.request, tools=0, tool=0),
        )


Ending = Literal["refused", "complete", "broken", "stalled", "left"]


@dataclass(slots=True)
class Bill:
    """One request as the vendor has it.

    attempt: as our side numbers it. told: whether it told how long the prompt was; said: all that it counted.
    written: tokens that were sent; least: tokens that it told before it sent any.
    """

    id: str
    attempt: int
    call: int
    streamed: bool
    prompt: int
    written: int = 0
    least: int = 0
    cached: int = 0
    ending: Ending = "left"
    told: bool = False
    said: bool = False
    due: bool = False
    kind: str = ""

    @property
    def output(self) -> int:
        """Tokens of the reply that it charges."""
        return max(self.written, self.least)


# --- the vendors --------------------------------------------------------------------------------------------

WEATHER: Final[Mapping[str, float]] = {
    "fine": 30, "slow": 8, "uncounted": 6, "refusing": 14, "hanging up": 4, "resetting": 4, "mute": 2, "cutting": 10,
    "tearing": 6, "stalling": 4, "erring": 6, "babbling": 4,
}  # fmt: skip
"""What a vendor does, and how often.

refusing: by every status. hanging up, resetting: before the head. mute: no head ever. cutting, tearing: at any byte,
with the connection closed or reset. stalling: no further word. erring: an error within the stream. babbling: garbage.
"""


class Chaotic(Double):
    """A vendor whose weather is made of seeded chance: the same for the n'th request of the same call.

    pace: what all its times are multiplied with.
    """

    tariff: Tariff
    counter: Words | Guessed = Words()

    def __init__(self, name: str, seed: int, pace: float) -> None:
        Double.__init__(self)
        self.name = name
        self.pace = pace
        self.seed = seed
        self.weather: Mapping[str, float] = WEATHER
        self.bills: list[Bill] = []
        self.wrong: list[str] = []
        self._times: Counter[int] = Counter()

    def cost(self, bill: Bill) -> int:
        """What it charges."""
        return self.tariff.cost(bill.prompt, bill.output, bill.cached) if bill.due else 0

    async def respond(self, request: web.Request) -> web.StreamResponse:
        """Answer as the weather is, and write the bill."""
        seen = await self.note(request)
        self.seen.clear()
        said = conversation(seen.body)
        number = int(re.findall(r"Recite (\d+)", " ".join(text for _, text in said))[0])
        attempt = int(re.findall(r"Attempt (\d+)", " ".join(text for _, text in said))[0])
        self._times[number] += 1
        chance = Random(f"{self.seed} {self.name} {number} {self._times[number]}")
        bill = Bill(
            id=f"{self.name}-{len(self.bills)}",
            attempt=attempt,
            call=number,
            streamed=self.streams(seen),
            prompt=self.tariff.prompt([text for _, text in said]),
            kind=chance.choices([*self.weather], [*self.weather.values()])[0],
        )
        self.bills.append(bill)
        if not self.authorised(seen):
            self.wrong.append(f"no key for call {number}")
        self.open += 1
        try:
            return await self._answer(request, seen, self._reply(said, number, seen, chance), bill, chance)
        except (ConnectionError, asyncio.CancelledError):
            if bill.ending in ("left", "stalled"):
                bill.due = True  # it was at work
            raise asyncio.CancelledError from None
        finally:
            self.open -= 1

    def _reply(self, said: Sequence[tuple[str, str]], number: int, seen: Seen, chance: Random) -> Reply:
        """All of the text, or what is missing of it."""
        text, start = intended(number), 0
        written = "".join(one for role, one in said if role == "assistant")
        if not text.startswith(written):
            self.wrong.append(f"what call {number} was said to have written is not its text: {written!r}")
        if said[-1][0] == "assistant":
            start = len(written.rstrip())
        elif written:
            anchor = said[-1][1].partition("<<<")[2].partition(">>>")[0]
            start = len(written) - (len(anchor) if chance.random() < 0.8 else 0)
        pieces: list[str] = []
        left = re.findall(r"\s*\S+", text[start:])
        while left:
            length = chance.randint(1, 4)
            pieces.append("".join(left[:length]))
            left = left[length:]
        limit = seen.body.get("max_tokens") or seen.body.get("max_completion_tokens") or 0
        if sum(map(words, pieces)) > limit:
            self.wrong.append(f"call {number} gives {limit} tokens, which is less than is missing")
        return Reply(pieces=tuple(pieces), pause=self.pace * chance.choice([0.0, 0.0, 0.001, 0.005, 0.02]))

    async def _answer(
        self, request: web.Request, seen: Seen, reply: Reply, bill: Bill, chance: Random
    ) -> web.StreamResponse:
        kind = bill.kind
        if kind in ("slow", "mute", "hanging up", "resetting") or chance.random() < 0.3:
            await asyncio.sleep(self.pace * chance.uniform(0.0, 0.3 if kind == "slow" else 0.05))
        if kind == "refusing":
            bill.ending = "refused"
            return self._refusing(bill, seen, chance)
        if kind == "mute":
            await self._stalls(bill)
        if kind in ("hanging up", "resetting"):
            return await self._gone(request, bill, reset=kind == "resetting")
        whole = sum(map(words, reply.pieces))
        cached = chance.choice([0, bill.prompt // 3]) if kind in ("fine", "slow") else 0
        usage = Usage(input_tokens=bill.prompt, output_tokens=whole, cached_tokens=cached, counted_by="vendor")
        reply = replace(reply, usage=usage)
        events = self.streamed(reply, seen) if bill.streamed else [self.whole(reply, seen)]
        if kind == "uncounted":
            events = [_uncounted(one) for one in events]
        events = [one.replace(_REPLY_ID, bill.id.encode()) for one in events]
        if not bill.streamed:
            bill.written, bill.due = whole, True
        content_type = self.content_type if bill.streamed else "application/json"
        response = web.StreamResponse(headers={self.request_id_header: bill.id, "content-type": content_type})
        response.enable_chunked_encoding()
        await response.prepare(request)
        size = sum(map(len, events))
        cut = chance.randrange(size) if kind in ("cutting", "tearing") else size
        trouble = chance.randrange(len(events)) if kind in ("stalling", "erring", "babbling") else len(events)
        first = self.preamble(reply)
        saying = max((number for number, event in enumerate(events) if b'"usage"' in event), default=-1)
        for number, event in enumerate(events):
            if number == trouble:
                return await self._trouble(request, response, bill, chance)
            if cut < len(event):
                await response.write(event[:cut])
                return await self._gone(request, bill, reset=kind == "tearing")
            cut -= len(event)
            await response.write(event)
            bill.due = True  # it is at work, and shows it
            if bill.streamed and 0 <= number - first < len(reply.pieces):
                bill.written += words(reply.pieces[number - first])
            if kind != "uncounted" and _USAGE.search(event):
                bill.told, bill.said, bill.cached = True, number == saying, cached
                if number < first and (told := _TOLD.search(event)):
                    bill.least = int(told[1])
            if number == len(events) - 1:
                bill.ending, bill.due = "complete", True
            elif reply.pause:
                await asyncio.sleep(reply.pause)
        await response.write_eof()
        return response

    def _refusing(self, bill: Bill, seen: Seen, chance: Random) -> web.Response:
        kinds: list[type[ModelError]] = [RateLimited, Unavailable, ContextTooLong, NotAuthorised]
        error = chance.choices(kinds, [8, 8, 2, 0.3])[0]
        fault = Fault(error=error, retry_after=chance.choice([None, 0.0, 0.05, 0.4]))
        response = self._refused(fault, seen)
        response.headers[self.request_id_header] = bill.id
        if error is Unavailable:
            response.set_status(chance.choice([500, 502, 503, 504, 529]))
            if chance.random() < 0.3:
                response.body, response.content_type = b"<html><h1>Bad gateway</h1></html>", "text/html"
        elif error is not RateLimited:
            response.headers.pop("retry-after", None)
        return response

    async def _trouble(
        self, request: web.Request, response: web.StreamResponse, bill: Bill, chance: Random
    ) -> web.StreamResponse:
        if bill.kind == "stalling":
            await self._stalls(bill)
        if bill.kind == "erring":
            if bill.streamed and (event := self.fault_event(Fault(error=chance.choice([Unavailable, RateLimited])))):
                await response.write(event.replace(REQUEST_ID.encode(), bill.id.encode()))
            if not bill.written:
                bill.due, bill.said = bill.told, False  # an error instead of a reply
            return await self._gone(request, bill, reset=False)
        one = chance.choice([b"<html>oops</html>", b"[1, 2", b"\xff\xfe\x00", b"null", b'"text"'])
        if not bill.streamed and one.startswith(b"<"):  # a page is no vendor's, and would cost nothing
            one = b"[1, 2"
        bill.due = True
        await response.write(b"data: " + one + b"\n\n" if bill.streamed else one)
        return await self._gone(request, bill, reset=False)

    async def _stalls(self, bill: Bill) -> None:
        bill.ending = "stalled"
        await asyncio.sleep(60)
        raise AssertionError("nobody gave it up")

    async def _gone(self, request: web.Request, bill: Bill, *, reset: bool) -> web.StreamResponse:
        """Close the connection, or reset it. What was written before is delivered.

        A reset discards what is on its way, so that nobody could know: it comes when that has arrived.
        """
        if reset:
            await asyncio.sleep(0.05)
        bill.ending = "broken"
        if request.transport is None:
            raise ConnectionResetError
        if reset:
            connection = request.transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            request.transport.abort()
        else:
            request.transport.close()
        await asyncio.sleep(60)  # cancelled as the connection ends
        raise AssertionError("the connection is still there")

    # --- whether it can be reached --------------------------------------------------------------------------

    async def away(self, seconds: float) -> None:
        """Refuse new connections for a while; those that are there stay."""
        await self._unlisten()
        try:
            await asyncio.sleep(seconds)
        finally:
            await self._listen()

    @property
    def connected(self) -> int:
        """That are open now."""
        assert self._runner is not None
        assert self._runner.server is not None
        return len(self._runner.server.connections)

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        await self._unlisten()
        await self._listen()  # with room for a crowd
        return self

    async def _unlisten(self) -> None:
        assert self._runner is not None
        for site in list(self._runner.sites):
            await site.stop()

    async def _listen(self) -> None:
        assert self._runner is not None
        await web.TCPSite(self._runner, "127.0.0.1", int(self.url.rpartition(":")[2]), backlog=2048).start()


class ChaoticOpenAI(Chaotic, OpenAIChatDouble):
    """Cannot go on in a reply; must be asked to."""

    tariff = Tariff(
        model="gpt-double", input=2_500_000, output=10_000_000, cached=1_250_000, message=3, request=3
    )  # fmt: skip


class ChaoticAnthropic(Chaotic, AnthropicDouble):
    """Goes on with a reply that was begun."""

    tariff = Tariff(
        model="claude-haiku-4-5", input=1_370_001, output=7_330_003, cached=137_000, message=5, request=7
    )  # fmt: skip


class ChaoticCohere(Chaotic, CohereDouble):
    """Cheap, and it must be asked to go on as well."""

    counter = Guessed()
    tariff = Tariff(model="command-r", input=150_000, output=600_000, cached=15_000, message=4, request=0)


def conversation(body: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(role, text) of all messages of a request, in any of the three formats."""

    def texts(content: object) -> list[str]:
        return [content] if isinstance(content, str) else [one["text"] for one in content]  # type: ignore[attr-defined]

    said = [("system", text) for text in texts(body.get("system") or ())]
    return said + [(one["role"], text) for one in body["messages"] for text in texts(one["content"])]


def _uncounted(event: bytes) -> bytes:
    """The event without the usage in it."""
    head, mark, data = event.rpartition(b"data: ")
    if data.strip() == b"[DONE]":
        return event

    def without(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: without(one) for name, one in value.items() if name != "usage"}
        return [without(one) for one in value] if isinstance(value, list) else value

    return head + mark + json.dumps(without(json.loads(data))).encode() + (b"\n\n" if mark else b"")
