"""A model behind HTTP: a wire format's bytes, carried by aiohttp.

One attempt and no more: retries, fallback and limits are wrappers around it (`route/`).
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from sourcebook.errors import (
    DeadlineExceeded,
    Interrupted,
    InvalidReply,
    InvalidRequest,
    ModelError,
    NotAuthorised,
    Unavailable,
)
from sourcebook.models.base import Capabilities, Finish, ModelEvent, ModelRequest, ReasoningPart, TextPart, ToolCallPart
from sourcebook.models.wire import HttpCall, Reader, WireFormat, failure, request_id_of
from sourcebook.types import Usage

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession

_WRONG_SHAPE = (AttributeError, IndexError, KeyError, TypeError, ValueError)  # JSON that is not what it should be
_LARGEST_ERROR = 100_000  # bytes of an error reply that are read
_DRAIN_SECONDS = 0.05  # for the end of a reply that is over, so that its connection can be used again


class HttpModel:
    """A `Model` that a vendor serves over HTTP.

    provider, model: as in its URL and the price file. window: tokens of prompt and answer. count: tokens of a text;
    counted_by: what counts them. idle_seconds: silence after which a reply counts as broken off.
    key: scrubbed from every error message.
    """

    def __init__(
        self,
        wire: WireFormat,
        *,
        provider: str,
        model: str,
        window: int,
        count: Callable[[str], int],
        counted_by: str,
        capabilities: Capabilities | None = None,
        idle_seconds: float = 60.0,
        key: str = "",
    ) -> None:
        self.wire = wire
        self.provider = provider
        self.model = model
        self.name = f"{provider}:{model}"
        self.window = window
        self.capabilities = capabilities or wire.capabilities
        self._count = count
        self._counted_by = counted_by
        self._idle = idle_seconds
        self._key = key
        self._sending: set[asyncio.Future[None]] = set()
        self._proxies: dict[str, str | None] = {}
        self._session: ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def count_tokens(self, text: str) -> int:
        """Tokens of a text, by the model's own tokenizer where it is known."""
        return self._count(text)

    def body(self, request: ModelRequest) -> bytes:
        """The request's body exactly as it is sent; equal requests give equal bytes. Errors: InvalidRequest."""
        return self.wire.call(request).body

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """One call, and its reply as events. Errors: ModelError, with what had come of the reply as its `text`."""
        call: HttpCall | None
        call = self.wire.call(request)
        reader = self.wire.reader(request)
        reply = _Reply(self, request, call)
        finished = False
        try:
            while call is not None:
                try:
                    async with (
                        self._answering(call, reply) as response,
                        aclosing(self._events(response, reader, reply)) as events,
                    ):
                        async for event in events:
                            finished = isinstance(event, Finish)
                            if finished:
                                await _drained(response)
                            yield reply.noted(event)
                            if finished:
                                return
                except ModelError:
                    if not call.optional:
                        raise
                    break
                call = None if reply.break_reason else reader.next_call()
            for event in reader.end():
                finished = finished or isinstance(event, Finish)
                yield reply.noted(event)
            if not finished:
                raise reply.broken(reply.break_reason or "the connection was closed") from reply.silence
        finally:
            if not finished and (cancelling := reader.cancelling_call()) is not None:
                self._send_off(cancelling)

    async def _events(
        self, response: ClientResponse, reader: Reader, reply: _Reply
    ) -> AsyncGenerator[ModelEvent, None]:
        framing = reader.framing(response.content_type)
        while data := await self._read(response, reply):
            for frame in framing.feed(data):
                try:
                    for event in reader.feed(frame):
                        yield _shaped(event)
                except ModelError as error:
                    raise reply.explained(error) from error.__cause__
                except _WRONG_SHAPE as error:
                    strange = InvalidReply(f"{self.provider} sent what its format does not know: {frame.data[:200]!r}")
                    raise reply.explained(strange) from error

    async def _read(self, response: ClientResponse, reply: _Reply) -> bytes:
        """The next bytes of the body, or none at its end. Where it breaks off it ends, and the reply knows why."""
        from aiohttp import ClientError

        try:
            async with reply.time_for_a_read(self._idle):
                return await response.content.readany()
        except (ClientError, OSError, _Silence) as error:
            if arrived := _arrived(response):
                return arrived
            reply.break_reason = str(error) or type(error).__name__
            reply.silence = error if isinstance(error, _Silence) else None
            return b""

    @asynccontextmanager
    async def _answering(self, call: HttpCall, reply: _Reply) -> AsyncIterator[ClientResponse]:
        """The reply to a call, once its head is there and says that it went well."""
        from aiohttp import ClientConnectorCertificateError, ClientError, ClientSSLError, InvalidURL

        session = self._open_session()
        if call.delay:
            async with reply.time_for_a_read(call.delay + self._idle):
                await asyncio.sleep(call.delay)
        try:
            async with reply.time_for_a_read(self._idle):
                response = await session.request(
                    call.method,
                    call.url,
                    data=call.body or None,
                    headers=call.headers,
                    allow_redirects=False,
                    proxy=self._proxy(call.url),
                )
        except (ClientConnectorCertificateError, ClientSSLError, ssl.SSLError) as error:
            message = f"{self.provider} cannot be trusted: {error}"
            raise reply.explained(NotAuthorised(message, remedy="Check the URL and the certificates")) from error
        except InvalidURL as error:
            raise reply.explained(InvalidRequest(f"{call.url!r} is not a URL", remedy="Correct it")) from error
        except _Silence as error:
            raise reply.broken(str(error)) from error
        except (ClientError, OSError) as error:
            place = urlsplit(call.url).netloc
            message = f"{self.provider} at {place} cannot be reached: {error or type(error).__name__}"
            raise reply.explained(
                Unavailable(message, remedy="Check that it runs, the URL, and the network")
            ) from error
        try:
            reply.request_id = request_id_of(_lower(response)) or reply.request_id
            if response.status >= 300:
                raise await self._failure(response, reply)
            yield response
        finally:
            response.close() if not response.content.at_eof() else response.release()

    async def _failure(self, response: ClientResponse, reply: _Reply) -> ModelError:
        from aiohttp import ClientError

        body = b""
        try:
            async with reply.time_for_a_read(self._idle):
                while len(body) < _LARGEST_ERROR and (piece := await response.content.readany()):
                    body += piece
        except (ClientError, OSError, _Silence):
            pass  # the status says enough
        try:
            return reply.explained(self.wire.failure(response.status, _lower(response), body))
        except _WRONG_SHAPE:
            said = body[:200].decode("utf-8", "replace")
            return reply.explained(failure(self.provider, response.status, _lower(response), message=said))

    def _send_off(self, call: HttpCall) -> None:
        """Tell the vendor to stop. It may fail: then the vendor stops when its work is done."""
        from aiohttp import ClientError

        async def send() -> None:
            try:
                async with asyncio.timeout(5.0):
                    headers = call.headers
                    async with self._open_session().request(call.method, call.url, headers=headers) as response:
                        await response.read()
            except (ClientError, OSError, TimeoutError):
                pass

        sending = asyncio.ensure_future(send())  # nobody waits for it but `close`
        self._sending.add(sending)
        sending.add_done_callback(self._sending.discard)

    def scrubbed(self, message: str) -> str:
        """The message without the key: some vendors quote it."""
        for part in (self._key, *self._key.split(":")):  # some keys are several, joined by colons
            message = message.replace(part, "[key]") if len(part) > (3 if part == self._key else 7) else message
        return message

    def _open_session(self) -> ClientSession:
        """Connections are kept for as long as the event loop that they belong to."""
        loop = asyncio.get_running_loop()
        if self._session is None or self._loop is not loop or self._session.closed:
            from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector

            self._session = ClientSession(
                connector=TCPConnector(limit=0, keepalive_timeout=30.0),
                timeout=ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None),
                cookie_jar=DummyCookieJar(),
                auto_decompress=True,
                read_bufsize=2**18,
            )
            self._loop = loop
        return self._session

    def _proxy(self, url: str) -> str | None:
        """The proxy that the environment names for this URL."""
        parts = urlsplit(url)
        if parts.netloc not in self._proxies:
            from urllib.request import getproxies, proxy_bypass

            named = getproxies()
            found = named.get(parts.scheme) or named.get("all")
            self._proxies[parts.netloc] = found if found and not proxy_bypass(parts.hostname or "") else None
        return self._proxies[parts.netloc]

    async def close(self) -> None:
        """Close the connections, once vendors are told of what was cancelled."""
        if self._loop is asyncio.get_running_loop():
            await asyncio.gather(*self._sending)
        session, self._session = self._session, None
        if session is not None and self._loop is asyncio.get_running_loop():
            await session.close()


def _shaped(event: ModelEvent) -> ModelEvent:
    """The event, if what the vendor sent stands in it as what it should be. Errors: TypeError."""
    match event:
        case TextPart() | ReasoningPart():
            right = type(event.text) is str
        case ToolCallPart():
            right = all(type(one) is str for one in (event.call.id, event.call.name, event.call.arguments))
        case Finish():
            used = event.usage
            counts = (used.input_tokens, used.output_tokens, used.cached_tokens, used.cache_write_tokens)
            right = all(type(one) is int and one >= 0 for one in (*counts, used.reasoning_tokens))
            right = right and type(event.model) is str and type(event.request_id) is str
        case _:
            right = True
    if not right:
        raise TypeError(f"{type(event).__name__} of the wrong kind")
    return event


class _Silence(TimeoutError):
    """Nothing came for too long, and the call was given up."""


class _Reply:
    """What is known of one reply while it comes: its text, its time, its request id."""

    def __init__(self, model: HttpModel, request: ModelRequest, call: HttpCall) -> None:
        self._model = model
        self._request = request
        self._sent = sha256(call.body).hexdigest()
        self._pieces: list[str] = []
        self._hidden: list[str] = []
        self.request_id = ""
        self.break_reason = ""
        self.silence: _Silence | None = None

    def noted(self, event: ModelEvent) -> ModelEvent:
        """The event; a Finish gets what only the call knows."""
        match event:
            case TextPart():
                self._pieces.append(event.text)
            case ReasoningPart():
                self._hidden.append(event.text)
            case ToolCallPart():
                self._hidden.append(event.call.arguments)
            case Finish():
                return self._finish(event)
        return event

    @asynccontextmanager
    async def time_for_a_read(self, idle: float) -> AsyncIterator[None]:
        """Bound what stands within: by the deadline, and by the silence that is borne."""
        deadline = self._request.deadline
        left = idle if deadline is None else min(idle, deadline - time.monotonic())
        try:
            async with asyncio.timeout(max(left, 0.0)):
                yield
        except TimeoutError as error:
            if deadline is not None and time.monotonic() >= deadline - 0.001:
                late = DeadlineExceeded(f"{self._model.provider} had not finished by the deadline")
                raise self.explained(late) from error
            raise _Silence(f"nothing came for {idle:g} seconds") from error

    def broken(self, reason: str) -> ModelError:
        """Broken off: in the middle of a reply, or before anything had come."""
        if self._pieces or self._hidden:
            return self.explained(Interrupted(f"{self._model.provider} broke off in the middle of its reply: {reason}"))
        return self.explained(
            Unavailable(
                f"{self._model.provider} did not answer: {reason}",
                remedy="Try again in a moment, or name a further model to fall back on",
            )
        )

    def explained(self, error: ModelError) -> ModelError:
        """The error with all that is known of the call."""
        error.args = (self._model.scrubbed(str(error.args[0])),)
        error.provider = error.provider or self._model.provider
        error.request_id = error.request_id or self.request_id
        error.text = error.text or "".join(self._pieces)
        if isinstance(error, InvalidReply) and error.text:
            return Interrupted(error.args[0], provider=error.provider, request_id=error.request_id, text=error.text)
        return error

    def _finish(self, event: Finish) -> Finish:
        """With the request id, and with tokens counted here where the vendor does not say."""
        usage = event.usage if event.usage.counted_by else self._counted(event.usage)
        return replace(
            event,
            usage=usage,
            request_id=event.request_id or self.request_id,
            model=event.model or self._model.model,
            served_by=self._model.name,
            sent=self._sent,
        )

    def _counted(self, usage: Usage) -> Usage:
        count = self._model.count_tokens
        return replace(
            usage,
            input_tokens=sum(count(one.text) for one in self._request.messages),
            output_tokens=count("".join(self._pieces)) + count("".join(self._hidden)),
            counted_by=self._model._counted_by,
            exact=False,
        )


async def _drained(response: ClientResponse) -> None:
    """Read the end of a reply that is over, if it is there at once."""
    if not response.content.at_eof():
        try:
            async with asyncio.timeout(_DRAIN_SECONDS):
                await response.content.read()
        except (TimeoutError, OSError):
            pass


def _arrived(response: ClientResponse) -> bytes:
    """What came before the connection broke and is not read yet, as when its reader is slow.

    aiohttp keeps it, but once a connection is broken, none of its public methods gives it out.
    """
    return response.content._read_nowait(-1)


def _lower(response: ClientResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in response.headers.items()}
