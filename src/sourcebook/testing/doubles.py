"""Stand-ins for vendors that cannot run here: real HTTP servers on loopback that speak a vendor's published schema.

A subclass of `Double` knows one vendor's routes and how a reply is written; what is said, and what goes wrong, is
scripted with `Reply` and `Fault`. The vendor's own SDK must understand a double as well as our formats do.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from sourcebook.errors import ModelError, Unavailable
from sourcebook.models.base import FinishReason, ToolCall
from sourcebook.types import Usage

if TYPE_CHECKING:
    from types import TracebackType

    from aiohttp import web


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """What the model says. pieces: the text, one a streamed event; logprobs: one for each piece.

    refusal: whether the text is a refusal, where the vendor marks such. pause: seconds between streamed events.
    waits_after: pieces of text after which the rest is written only once `Double.go_on` is set. stall_after,
    cut_after: after so many bytes of the reply, say nothing more, or close the connection; of a reply that is shorter
    the body does not end as it should.
    """

    pieces: tuple[str, ...] = ("The lighthouse", " was built", " in 1873.")
    thoughts: tuple[str, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    finish: FinishReason = "stop"
    usage: Usage = field(default_factory=lambda: Usage(input_tokens=11, output_tokens=7, counted_by="vendor"))
    logprobs: tuple[float, ...] = ()
    refusal: bool = False
    pause: float = 0.0
    waits_after: int | None = None
    stall_after: int | None = None
    cut_after: int | None = None

    @property
    def text(self) -> str:
        """All of it."""
        return "".join(self.pieces)


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """The vendor refuses, in its own words for this error of ours. after: pieces that it streams before it does."""

    error: type[ModelError] = Unavailable
    retry_after: float | None = None
    after: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """A request as it arrived. headers: names in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    query: Mapping[str, str]
    body: Mapping[str, Any]
    raw: bytes


@dataclass(slots=True)
class Charge:
    """What the vendor charges for one request. delivered: pieces that were written to the connection."""

    usage: Usage
    complete: bool
    delivered: int


REQUEST_ID = "req-of-the-double-1"


class Double:
    """A vendor's server. Give `routes`, `whole`, `streamed` and `refusal`; `check` finds fault with a request.

    It answers what `say` has queued, in order, or `Reply()` once the queue is empty.
    """

    key = "key-of-the-double-4711"

    def __init__(self) -> None:
        self.queue: deque[Reply | Fault] = deque()
        self.seen: list[Seen] = []
        self.account: list[Charge] = []
        self.open = 0
        self.answering = asyncio.Event()
        self.closed_by_client = asyncio.Event()
        self.go_on = asyncio.Event()
        self.connections: set[int] = set()  # ports of those who called
        self.url = ""
        self._runner: web.AppRunner | None = None

    # --- what a vendor's double gives -----------------------------------------------------------------------

    def routes(self) -> Sequence[web.RouteDef]:
        """Each leads to `self.respond`, or to a handler of the vendor's own."""
        raise NotImplementedError

    def streams(self, seen: Seen) -> bool:
        """Whether the request asks for a stream."""
        return bool(seen.body.get("stream"))

    def check(self, seen: Seen) -> str:
        """What the vendor's schema finds wrong with the request, or ""."""
        raise NotImplementedError

    def whole(self, reply: Reply, seen: Seen) -> bytes:
        """The reply as one body."""
        raise NotImplementedError

    def streamed(self, reply: Reply, seen: Seen) -> list[bytes]:
        """The reply as a stream, one element an event. The i'th piece of text is `text_events(reply)[i]` of them."""
        raise NotImplementedError

    def refusal(self, fault: Fault, seen: Seen) -> tuple[int, Mapping[str, str], bytes]:
        """Status, headers and body of the vendor's error."""
        raise NotImplementedError

    def fault_event(self, fault: Fault) -> bytes | None:
        """The error as an event within a stream, or None if the vendor has none and just hangs up."""
        return None

    def preamble(self, reply: Reply) -> int:
        """Streamed events before the first piece of text."""
        return 0

    content_type = "text/event-stream"
    request_id_header = "x-request-id"

    def authorised(self, seen: Seen) -> bool:
        """Whether the request carries the key."""
        return seen.headers.get("authorization") == f"Bearer {self.key}"

    def presented(self, seen: Seen) -> str:
        """The key that came with a request, which some vendors quote when it is wrong."""
        return seen.headers.get("authorization", "").removeprefix("Bearer ")

    # --- the server -----------------------------------------------------------------------------------------

    def say(self, *replies: Reply | Fault) -> None:
        """What to answer the next requests with."""
        self.queue.extend(replies)

    async def respond(self, request: web.Request) -> web.StreamResponse:
        """Answer one request as scripted."""
        from aiohttp import web

        seen = await self.note(request)
        headers = {self.request_id_header: REQUEST_ID}
        if not self.authorised(seen):
            from sourcebook.errors import NotAuthorised

            return self._refused(Fault(error=NotAuthorised), seen)
        if wrong := self.check(seen):
            from sourcebook.errors import InvalidRequest

            response = self._refused(Fault(error=InvalidRequest), seen)
            response.headers["x-found-wrong"] = wrong[:500].encode("ascii", "replace").decode()
            return response
        say = self.next_reply(seen)
        if isinstance(say, Fault) and say.after is None:
            return self._refused(say, seen)
        fault, reply = (say, Reply()) if isinstance(say, Fault) else (None, say)
        if not self.streams(seen):
            body = self.whole(reply, seen)
            self.account.append(Charge(reply.usage, True, len(reply.pieces)))
            if reply.stall_after is None and reply.cut_after is None:
                return web.Response(body=body, headers=headers, content_type="application/json")
            return await self._write(request, [body], reply, None, "application/json", headers)
        return await self._write(request, self.streamed(reply, seen), reply, fault, self.content_type, headers)

    def next_reply(self, seen: Seen) -> Reply | Fault:
        """The next of the script."""
        return self.queue.popleft() if self.queue else Reply()

    async def note(self, request: web.Request) -> Seen:
        """Remember a request."""
        if request.transport is not None:
            self.connections.add(request.transport.get_extra_info("peername")[1])
        raw = await request.read()
        try:
            body = json.loads(raw) if raw else {}
        except ValueError:
            body = {}
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.seen.append(
            Seen(
                method=request.method,
                path=request.path,
                headers=headers,
                query=dict(request.query),
                body=body if isinstance(body, dict) else {},
                raw=raw,
            )
        )
        return self.seen[-1]

    def _refused(self, fault: Fault, seen: Seen) -> web.Response:
        from aiohttp import web

        status, headers, body = self.refusal(fault, seen)
        wait = {} if fault.retry_after is None else {"retry-after": f"{fault.retry_after:g}"}
        return web.Response(
            status=status,
            body=body,
            headers={self.request_id_header: REQUEST_ID, "content-type": "application/json", **wait, **headers},
        )

    async def _write(
        self,
        request: web.Request,
        events: Sequence[bytes],
        reply: Reply,
        fault: Fault | None,
        content_type: str,
        headers: Mapping[str, str],
    ) -> web.StreamResponse:
        from aiohttp import web

        response = web.StreamResponse(headers={**headers, "content-type": content_type})
        response.enable_chunked_encoding()
        charge = Charge(reply.usage, False, 0)
        self.account.append(charge)
        self.open += 1
        written = 0
        try:
            await response.prepare(request)
            before = self.preamble(reply)
            if fault is not None and fault.after is not None:
                events = [*events[: before + fault.after], *filter(None, [self.fault_event(fault)])]
            for number, event in enumerate(events):
                for limit in (reply.cut_after, reply.stall_after):
                    if limit is not None and written + len(event) > limit:
                        await response.write(event[: limit - written])
                        if limit == reply.stall_after:
                            await asyncio.sleep(30)
                        assert request.transport is not None
                        request.transport.close()
                        return response
                await response.write(event)
                self.answering.set()
                written += len(event)
                charge.delivered = max(0, min(len(reply.pieces), number + 1 - before))
                if reply.waits_after is not None and charge.delivered >= reply.waits_after:
                    await self.go_on.wait()
                if reply.pause:
                    await asyncio.sleep(reply.pause)
            charge.complete = fault is None
            if reply.cut_after is not None or (fault is not None and self.fault_event(fault) is None):
                assert request.transport is not None
                request.transport.close()
                return response
            await response.write_eof()
        except (ConnectionError, asyncio.CancelledError):
            self.closed_by_client.set()
            raise
        finally:
            self.open -= 1
        return response

    async def __aenter__(self) -> Self:
        from aiohttp import web

        nothing = Seen(method="POST", path="/", headers={}, query={}, body={}, raw=b"")
        with suppress(Exception):  # loads what the check rests on, which takes seconds, before a client waits for it
            self.check(nothing)
        application = web.Application(client_max_size=2**27)
        application.add_routes(self.routes())
        self._runner = web.AppRunner(application, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._runner is not None
        await self._runner.cleanup()


def sse(value: object, event: str = "") -> bytes:
    """A server-sent event of a JSON value."""
    named = f"event: {event}\n" if event else ""
    return f"{named}data: {json.dumps(value, ensure_ascii=False)}\n\n".encode()
