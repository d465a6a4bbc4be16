"""A model behind HTTP: a wire format's bytes, carried by aiohttp.

One attempt and no more: retries, fallback and limits are wrappers around it (`route/`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from sourcebook.errors import InvalidReply, InvalidRequest, ModelError, NotAuthorised, Unavailable
from sourcebook.models.base import (
    Capabilities,
    Finish,
    ModelEvent,
    ModelRequest,
    ReasoningPart,
    Said,
    TextPart,
    ToolCallPart,
)
from sourcebook.models.connections import Connections, Sending
from sourcebook.models.http_reply import Caller, HttpReply, Silence, is_sound
from sourcebook.models.meaning import failure, request_id_of
from sourcebook.models.wire import Frame, Framing, HttpCall, Reader, WireFormat

if TYPE_CHECKING:
    from aiohttp import ClientResponse

_WRONG_SHAPE = (AttributeError, IndexError, KeyError, TypeError, ValueError, RecursionError)
"""Of JSON that is not what it should be."""
_LARGEST_ERROR = 100_000  # bytes of an error reply that are read
_DRAIN_SECONDS = 0.05  # for the end of a reply that is over, so that its connection can be used again


class HttpModel:
    """A `Model` that a vendor serves over HTTP.

    provider, model: as in its URL and the price file. place: the server, where its name does not tell. window: tokens
    of prompt and answer. count: tokens of a text; counted_by: what counts them. idle_seconds: silence after which a
    reply counts as broken off.
    secrets: keys, scrubbed from every error message.
    """

    def __init__(
        self,
        wire: WireFormat,
        *,
        provider: str,
        model: str,
        place: str = "",
        window: int,
        count: Callable[[str], int],
        counted_by: str,
        capabilities: Capabilities | None = None,
        idle_seconds: float = 60.0,
        secrets: Sequence[str] = (),
    ) -> None:
        self.wire = wire
        self.provider = provider
        self.model = model
        self.name = f"{provider}:{model}@{place}" if place else f"{provider}:{model}"
        self.window = window
        self.capabilities = capabilities or wire.capabilities
        self._idle = idle_seconds
        self._caller = Caller(
            name=self.name, provider=provider, model=model, count=count, counted_by=counted_by, secrets=_parts(secrets)
        )
        self._connections = Connections()
        self._afterwards: set[asyncio.Task[None]] = set()

    def count_tokens(self, text: str) -> int:
        """Tokens of a text, by the model's own tokenizer where it is known."""
        return self._caller.count(text)

    def body(self, request: ModelRequest) -> bytes:
        """The request's body exactly as it is sent; equal requests give equal bytes. Errors: InvalidRequest."""
        return self.wire.call(request).body

    def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """One call, and its reply as events. Errors: ModelError, with what had come of the reply as its `text`."""
        return self.telling(request, Said())

    async def telling(self, request: ModelRequest, said: Said) -> AsyncGenerator[ModelEvent, None]:
        """As `stream`; `said` is kept up to date with the request id, and with the tokens that the vendor reports."""
        call: HttpCall | None
        call = self.wire.call(request)
        reader = self.wire.reader(request)
        reply = HttpReply(self._caller, request, call, reader, said)
        finished = False
        try:
            while call is not None:
                try:
                    async with (
                        self._answering(call, reply) as response,
                        aclosing(self._events(response, reader, reply)) as events,
                    ):
                        async for event in events:
                            finished = reply.over = isinstance(event, Finish)
                            yield reply.noted(event)
                            if finished:
                                return
                except ModelError:
                    if not call.optional:
                        raise
                    break
                call = None if reply.break_reason else reader.next_call()
            for event in self._read_by(reply, reader.end, "the end"):
                finished = finished or isinstance(event, Finish)
                yield reply.noted(event)
            if not finished:
                raise reply.broken(reply.break_reason or "the connection was closed") from reply.silence
        finally:
            # Asked of a finished reply too: one that our own stop sequence ended goes on at the vendor.
            if reply.sending.sent and (cancelling := reader.cancelling_call()) is not None:
                self._later(self._send(cancelling))

    async def _events(
        self, response: ClientResponse, reader: Reader, reply: HttpReply
    ) -> AsyncGenerator[ModelEvent, None]:
        framing = reader.framing(response.content_type)
        beginning = b""
        while data := await self._read(response, reply):
            if not beginning:
                beginning = data.removeprefix(b"\xef\xbb\xbf").lstrip()[:100]
                if beginning.startswith(b"<"):
                    raise reply.explained(self._page(response, beginning))
            for frame in self._framed(framing, data, reply):
                reply.heard = True
                for event in self._read_by(reply, partial(reader.feed, frame), frame.data):
                    yield event
        if beginning and not reply.heard and not reply.break_reason:
            reply.break_reason = f"what came is no reply: {beginning!r}"

    def _framed(self, framing: Framing, data: bytes, reply: HttpReply) -> list[Frame]:
        try:
            return framing.feed(data)
        except InvalidReply as error:
            raise reply.explained(error) from error.__cause__

    def _read_by(self, reply: HttpReply, read: Callable[[], Iterable[ModelEvent]], what: str) -> Iterator[ModelEvent]:
        """What the reader makes of `what`. Errors: ModelError."""
        try:
            for event in read():
                reply.keep_account()
                yield _shaped(event)
            reply.keep_account()
        except ModelError as error:
            raise reply.explained(error) from error.__cause__
        except _WRONG_SHAPE as error:
            strange = InvalidReply(f"{self.provider} sent what its format does not know: {what[:200]!r}")
            raise reply.explained(strange) from error

    def _page(self, response: ClientResponse, beginning: bytes) -> InvalidRequest:
        """For a page of whoever answers at an address that is not the API's."""
        said = beginning.decode("utf-8", "replace")
        return InvalidRequest(
            f"{self.provider} answered with {response.content_type} where a reply was due: {said!r}",
            remedy="Check the base of the model's URL",
        )

    async def _read(self, response: ClientResponse, reply: HttpReply) -> bytes:
        """The next bytes of the body, or none at its end. Where it breaks off it ends, and the reply knows why."""
        from aiohttp import ClientError

        try:
            async with reply.time_for_a_read(self._idle):
                return await response.content.readany()
        except (ClientError, OSError) as error:
            if arrived := _arrived(response):
                return arrived
            reply.break_reason = str(error) or type(error).__name__
            reply.silence = error if isinstance(error, Silence) else None
            return b""

    @asynccontextmanager
    async def _answering(self, call: HttpCall, reply: HttpReply) -> AsyncIterator[ClientResponse]:
        """The reply to a call, once its head is there and says that it went well."""
        if call.delay:
            async with reply.time_for_a_read(call.delay + self._idle):
                await asyncio.sleep(call.delay)
        response = await self._head(call, reply)
        try:
            reply.said.request_id = request_id_of(_lower(response)) or reply.said.request_id
            if response.status >= 300:
                raise await self._failure(response, reply)
            yield response
        finally:
            if reply.over and not response.content.at_eof():
                self._later(_drained(response))
            else:
                _let_go(response)

    async def _head(self, call: HttpCall, reply: HttpReply) -> ClientResponse:
        """Send the call. What fails before it is sent was never asked; what fails later may have been."""
        from aiohttp import ClientConnectorCertificateError, ClientError, InvalidURL

        try:
            async with reply.time_for_a_read(self._idle):
                return await self._connections.request(call, reply.sending)
        except ClientConnectorCertificateError as error:
            message = f"{self.provider} cannot be trusted: {error}"
            raise reply.explained(NotAuthorised(message, remedy="Check the URL and the certificates")) from error
        except InvalidURL as error:
            raise reply.explained(InvalidRequest(f"{call.url!r} is not a URL", remedy="Correct it")) from error
        except Silence as error:
            raise reply.broken(str(error)) from error
        except (ClientError, OSError) as error:
            reason = str(error) or type(error).__name__
            if reply.sending.sent:
                raise reply.broken(reason) from error
            message = f"{self.provider} at {urlsplit(call.url).netloc} cannot be reached: {reason}"
            remedy = "Check that it runs, the URL, and the network"
            raise reply.explained(Unavailable(message, remedy=remedy)) from error

    async def _failure(self, response: ClientResponse, reply: HttpReply) -> ModelError:
        from aiohttp import ClientError

        body = b""
        try:
            async with reply.time_for_a_read(self._idle):
                while len(body) < _LARGEST_ERROR and (piece := await response.content.readany()):
                    body += piece
        except (ClientError, OSError):
            pass  # the status says enough
        try:
            return reply.explained(self.wire.failure(response.status, _lower(response), body))
        except _WRONG_SHAPE:
            said = body[:200].decode("utf-8", "replace")
            return reply.explained(failure(self.provider, response.status, _lower(response), message=said))

    async def _send(self, call: HttpCall) -> None:
        """Tell the vendor to stop. It may fail: then the vendor stops when its work is done."""
        from aiohttp import ClientError

        try:
            async with asyncio.timeout(5.0), await self._connections.request(call, Sending()) as response:
                await response.read()
        except (ClientError, OSError):
            pass

    def _later(self, work: Coroutine[None, None, None]) -> None:
        """Do it when the call is over; nobody waits for it but `close`."""
        task = asyncio.ensure_future(work)
        self._afterwards.add(task)
        task.add_done_callback(self._afterwards.discard)

    async def close(self) -> None:
        """Close the connections, once vendors are told of what was cancelled."""
        loop = asyncio.get_running_loop()
        await asyncio.gather(*(task for task in self._afterwards if task.get_loop() is loop))
        await self._connections.close()


def _parts(secrets: Sequence[str]) -> tuple[str, ...]:
    """What is to be scrubbed, longest first: the secrets, and the parts of those that are joined by colons."""
    whole = {one for one in secrets if len(one) > 3}
    parts = {part for one in secrets for part in one.split(":") if len(part) > 7}
    return tuple(sorted(whole | parts, key=len, reverse=True))


def _shaped(event: ModelEvent) -> ModelEvent:
    """The event, if what the vendor sent stands in it as what it should be. Errors: TypeError."""
    match event:
        case TextPart() | ReasoningPart():
            right = type(event.text) is str
        case ToolCallPart():
            right = all(type(one) is str for one in (event.call.id, event.call.name, event.call.arguments))
        case Finish():
            right = is_sound(event.usage) and type(event.model) is str and type(event.request_id) is str
        case _:
            right = True
    if not right:
        raise TypeError(f"{type(event).__name__} of the wrong kind")
    return event


async def _drained(response: ClientResponse) -> None:
    """Read the end of a reply that is over, if it comes at once."""
    from aiohttp import ClientError

    try:
        async with asyncio.timeout(_DRAIN_SECONDS):
            await response.content.read()
    except (ClientError, OSError):
        pass
    finally:
        _let_go(response)


def _let_go(response: ClientResponse) -> None:
    """Its connection can be used again if the reply was read to its end."""
    if response.content.at_eof():
        response.release()
    else:
        response.close()


def _arrived(response: ClientResponse) -> bytes:
    """What came before the connection broke and is not read yet, as when its reader is slow.

    aiohttp keeps it, but once a connection is broken, none of its public methods gives it out.
    """
    return response.content._read_nowait(-1)


def _lower(response: ClientResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in response.headers.items()}
