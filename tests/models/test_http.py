"""A model behind HTTP: what connections, proxies and strange servers do to a reply."""

from __future__ import annotations

import asyncio
import gc
import ssl
import threading
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

import pytest

from sourcebook.errors import (
    DeadlineExceeded,
    Interrupted,
    InvalidRequest,
    ModelError,
    RateLimited,
    Unavailable,
)
from sourcebook.models import http
from sourcebook.models.base import ModelRequest, Said, TextPart, complete
from sourcebook.models.connections import Connections
from sourcebook.models.formats.anthropic import Anthropic
from sourcebook.models.formats.openai_chat import Dialect, OpenAIChat
from sourcebook.models.http import HttpModel
from sourcebook.models.wire import Target
from sourcebook.testing.wire import ASKED

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nx-request-id: r1\r\ntransfer-encoding: chunked\r\n\r\n"
TEXT = b'data: {"choices": [{"delta": {"content": "Half"}}]}\n\n'
END = b'data: {"choices": [{"delta": {}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'
START = (
    b'data: {"type": "message_start", "message": {"id": "m", "model": "m", "content": [], "usage": '
    b'{"input_tokens": 25000, "output_tokens": 1}}}\n\n'
)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def page(body: bytes, kind: str = "text/html") -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: %s\r\ncontent-length: %d\r\n\r\n%s" % (kind.encode(), len(body), body)


@asynccontextmanager
async def serving(*sent: bytes, wait: float = 0.0, context: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    """A server that writes these bytes whatever it is asked, waits and hangs up."""
    server = Server(sent, wait)
    listening = await asyncio.start_server(server.answer, "127.0.0.1", 0, ssl=context)
    server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        server.over.set()
        await asyncio.gather(*filter(None, server.answering))
        listening.close()
        await listening.wait_closed()


class Server:
    def __init__(self, sent: tuple[bytes, ...], wait: float) -> None:
        self.sent = sent
        self.wait = wait
        self.url = ""
        self.requests: list[bytes] = []
        self.reset = False
        self.reads = True
        self.over = asyncio.Event()
        self.answering: list[asyncio.Task[None] | None] = []

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.answering.append(asyncio.current_task())
        with suppress(OSError, asyncio.IncompleteReadError):
            if self.reads:
                self.requests.append(await reader.readuntil(b"\r\n\r\n"))
            for one in self.sent:
                writer.write(one)
            await writer.drain()
            with suppress(TimeoutError):
                await asyncio.wait_for(self.over.wait(), self.wait)
        if self.reset:
            writer.transport.abort()
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


def chat(url: str, **settings: Any) -> HttpModel:
    return made(OpenAIChat(Target(provider="v", base=url, model="m"), Dialect()), **settings)


def claude(url: str) -> HttpModel:
    return made(Anthropic(Target(provider="v", base=url, model="claude-opus-4-0")))


def made(wire: OpenAIChat | Anthropic, *, idle: float = 5.0, secrets: tuple[str, ...] = ()) -> HttpModel:
    return HttpModel(
        wire,
        provider="v",
        model="m",
        window=1000,
        count=lambda text: len(text.split()),
        counted_by="words",
        idle_seconds=idle,
        secrets=secrets,
    )


async def failing(model: HttpModel, request: ModelRequest = ASKED) -> ModelError:
    with pytest.raises(ModelError) as caught:
        await complete(model, request)
    await model.close()
    return caught.value


async def test_a_reply_whose_body_does_not_end_is_whole() -> None:
    async with serving(HEAD, chunk(TEXT + END)) as server:
        model = chat(server.url)
        assert (await complete(model, ASKED)).text == "Half"
        await model.close()


async def test_the_finish_does_not_wait_for_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "_DRAIN_SECONDS", 60.0)
    async with serving(HEAD, chunk(TEXT + END), wait=60.0) as server:
        model = chat(server.url)
        async with asyncio.timeout(10):
            assert (await complete(model, ASKED)).text == "Half"
    await model.close()  # waits for the rest, which ends with the server


@pytest.mark.parametrize("reset", [False, True])
async def test_who_was_asked(reset: bool) -> None:
    """A server that hangs up had the request; one that nobody reached had not."""
    async with serving() as server:
        server.reset = reset
        error = await failing(chat(server.url), replace(ASKED, streamed=False))
        assert (type(error), error.asked) == (Unavailable, True)
        assert "did not answer" in str(error)
    error = await failing(chat(server.url))
    assert (type(error), error.asked) == (Unavailable, False)
    assert "cannot be reached" in str(error)


async def test_a_host_that_drops_what_is_sent_is_left_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    from aiohttp import TCPConnector

    async def never(*_: object, **__: object) -> None:
        from aiohttp import ConnectionTimeoutError

        raise ConnectionTimeoutError("Connection timeout to host")

    monkeypatch.setattr(TCPConnector, "connect", never)
    error = await failing(chat("http://192.0.2.1"))
    assert (type(error), error.asked) == (Unavailable, False)


async def test_a_deadline_before_anything_was_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    from aiohttp import TCPConnector

    async def never(*_: object, **__: object) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(TCPConnector, "connect", never)
    late = replace(ASKED, deadline=asyncio.get_running_loop().time() + 0.05)
    error = await failing(chat("http://192.0.2.1"), late)
    assert (type(error), error.asked) == (DeadlineExceeded, False)


async def test_tls_where_there_is_none() -> None:
    async with serving(b"HTTP/1.1 400 Bad Request\r\n\r\n") as server:
        server.reads = False
        error = await failing(chat(server.url.replace("http:", "https:")))
    assert (type(error), error.asked) == (Unavailable, False)


@pytest.mark.parametrize("make", [chat, claude])
@pytest.mark.parametrize("streamed", [True, False])
async def test_a_page_where_a_reply_was_due(make: Callable[[str], HttpModel], streamed: bool) -> None:
    async with serving(page(b"\n<!DOCTYPE html><title>Sign in</title>")) as server:
        error = await failing(make(server.url), replace(ASKED, streamed=streamed))
    assert isinstance(error, InvalidRequest)
    assert "text/html" in str(error)
    assert "base of the model's URL" in error.remedy


async def test_words_where_a_reply_was_due() -> None:
    async with serving(page(b"It works!", "text/plain")) as server:
        assert "It works!" in str(await failing(chat(server.url)))


async def test_what_was_reported_before_a_break() -> None:
    """The prompt is charged once the vendor has read it, whatever comes of the reply."""
    async with serving(HEAD, chunk(START)) as server:
        error = await failing(claude(server.url))
    assert isinstance(error, Interrupted)
    assert error.usage is not None
    assert (error.usage.input_tokens, error.usage.exact) == (25000, False)
    assert error.request_id == "r1"


async def test_what_was_told_of_a_call_that_is_left() -> None:
    text = b'data: {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "Hello"}}\n\n'
    async with serving(HEAD, chunk(START), chunk(text), wait=5.0) as server:
        model, said = claude(server.url), Said()
        events = model.telling(ASKED, said)
        assert await anext(events) == TextPart(text="Hello")
        await events.aclose()
        assert (said.request_id, said.usage.input_tokens) == ("r1", 25000)
        await model.close()


async def test_tokens_that_cannot_be() -> None:
    usage = b'data: {"choices": [], "usage": {"prompt_tokens": 1%s, "completion_tokens": 1}}\n\n' % (b"0" * 30)
    async with serving(
        HEAD, chunk(TEXT + END.replace(b"data: [DONE]\n\n", b"") + usage + b"data: [DONE]\n\n")
    ) as server:
        assert isinstance(await failing(chat(server.url)), Interrupted)


async def test_an_error_that_is_made_another_keeps_what_it_knew() -> None:
    limited = b'data: {"error": {"message": "Rate limit reached", "code": "rate_limit_exceeded"}}\n\n'
    async with serving(HEAD, chunk(TEXT + limited)) as server:
        error = await failing(chat(server.url))
        assert (type(error), error.text, error.request_id) == (RateLimited, "Half", "r1")
    async with serving(HEAD, chunk(TEXT + b"data: {broken\n\n")) as server:
        error = await failing(chat(server.url))
        assert (type(error), error.text, error.request_id) == (Interrupted, "Half", "r1")


async def test_arguments_of_brackets_crash_nothing() -> None:
    called = b'{"index": 0, "id": "a", "function": {"name": "find", "arguments": "{\\"x\\":%s"}}' % (b"[" * 20_000)
    delta = b'data: {"choices": [{"delta": {"tool_calls": [%s]}, "finish_reason": "length"}]}\n\n' % called
    async with serving(HEAD, chunk(delta + b"data: [DONE]\n\n"), chunk(b"")) as server:
        model = chat(server.url)
        assert (await complete(model, ASKED)).tool_calls == ()
        await model.close()
    async with serving(page(b"[" * 100_000 + b"]" * 100_000, "application/json")) as server:
        error = await failing(chat(server.url), replace(ASKED, streamed=False))
        assert "not JSON" in str(error)


async def test_secrets_are_not_quoted() -> None:
    refusal = b'{"error": {"message": "key plainword-of-the-gateway in header abc-gateway-pass is wrong"}}'
    head = b"HTTP/1.1 401 No\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(refusal)
    async with serving(head + refusal) as server:
        error = await failing(chat(server.url, secrets=("plainword-of-the-gateway", "abc-gateway-pass")))
    assert "gateway" not in str(error)


# --- proxies and event loops --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "proxy"),
    [
        ("http://vendor.example/v1", "http://proxy.example:3128"),
        ("http://localhost:8000", None),
        ("http://127.0.0.2:8000", None),
        ("http://[::1]:8000", None),
        ("http://inside.example", None),
        ("https://vendor.example", None),
    ],
)
def test_proxies(url: str, proxy: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("http_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("no_proxy", "inside.example")
    assert Connections()._proxy(url) == proxy


async def test_a_call_that_cancels_goes_through_the_proxy_too(monkeypatch: pytest.MonkeyPatch) -> None:
    from sourcebook.models.wire import HttpCall

    async with serving(page(b"{}", "application/json")) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        model = chat("http://vendor.example")
        await model._send(HttpCall(url="http://vendor.example/cancel", body=b"{}"))
        await model.close()
    [request] = proxy.requests
    assert request.startswith(b"POST http://vendor.example/cancel ")
    assert b"\r\nContent-Length: 2\r\n" in request


def test_a_model_in_one_event_loop_after_the_other() -> None:
    models: list[HttpModel] = []

    async def ask(last: bool) -> None:
        async with serving(HEAD, chunk(TEXT + END), chunk(b"")) as server:
            models.append(models[0] if models else chat(server.url))
            models[0].wire = OpenAIChat(Target(provider="v", base=server.url, model="m"), Dialect())
            assert (await complete(models[0], ASKED)).text == "Half"
        if last:
            await models[0].close()

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        asyncio.run(ask(False))
        asyncio.run(ask(True))
        models.clear()
        gc.collect()


async def test_connections_of_a_loop_in_another_thread_are_closed() -> None:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    connections = Connections()
    session = asyncio.run_coroutine_threadsafe(connections._open_session(), loop).result()
    try:
        await connections.close()
        assert session.closed
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
