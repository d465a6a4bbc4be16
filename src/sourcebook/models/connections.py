"""HTTP connections to a provider, kept open between calls."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address
from types import SimpleNamespace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from sourcebook.models.wire import HttpCall

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from aiohttp import ClientResponse, ClientSession, TraceRequestHeadersSentParams

_CONNECT_SECONDS = 10.0  # for a host that drops what is sent to it, until another one is tried


class Sending:
    """What is known of a request on its way. sent: whether it went out; before that nobody can have had it."""

    def __init__(self) -> None:
        self.sent = False


class Connections:
    """One pool of connections for each event loop, for they cannot leave it."""

    def __init__(self) -> None:
        self._sessions: dict[AbstractEventLoop, ClientSession] = {}
        self._proxies: dict[str, str | None] = {}

    async def request(self, call: HttpCall, sending: Sending) -> ClientResponse:
        """The head of the reply; its body is still to be read. Errors: aiohttp.ClientError, OSError."""
        session = await self._open_session()
        return await session.request(
            call.method,
            call.url,
            data=call.body or None,
            headers=call.headers,
            allow_redirects=False,
            proxy=self._proxy(call.url),
            trace_request_ctx={"sending": sending},
        )

    async def close(self) -> None:
        """Close all of them, those of other event loops too."""
        for loop, session in list(self._sessions.items()):
            if loop.is_running() and loop is not asyncio.get_running_loop():
                await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(session.close(), loop))
            else:
                await session.close()
        self._sessions.clear()

    async def _open_session(self) -> ClientSession:
        loop = asyncio.get_running_loop()
        for other, left in list(self._sessions.items()):
            if other.is_closed():
                del self._sessions[other]
                await left.close()
        session = self._sessions.get(loop)
        if session is None or session.closed:
            from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector, TraceConfig

            trace = TraceConfig()
            trace.on_request_headers_sent.append(_note_sent)
            session = self._sessions[loop] = ClientSession(
                connector=TCPConnector(limit=0, keepalive_timeout=30.0),
                timeout=ClientTimeout(total=None, connect=None, sock_connect=_CONNECT_SECONDS, sock_read=None),
                cookie_jar=DummyCookieJar(),
                auto_decompress=True,
                read_bufsize=2**18,
                trace_configs=[trace],
            )
        return session

    def _proxy(self, url: str) -> str | None:
        """The proxy that the environment names for this URL; none for what runs on this machine."""
        parts = urlsplit(url)
        if parts.netloc not in self._proxies:
            from urllib.request import getproxies, proxy_bypass

            named = getproxies()
            host = parts.hostname or ""
            direct = _on_this_machine(host) or proxy_bypass(host)
            self._proxies[parts.netloc] = None if direct else named.get(parts.scheme) or named.get("all")
        return self._proxies[parts.netloc]


async def _note_sent(_: ClientSession, context: SimpleNamespace, __: TraceRequestHeadersSentParams) -> None:
    context.trace_request_ctx["sending"].sent = True


def _on_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
