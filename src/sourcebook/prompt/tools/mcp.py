"""The tools of MCP servers, over stdio or streamable HTTP, by the official SDK (extra `mcp`).

The protocol: https://modelcontextprotocol.io/specification. A server's tools stay as they were when it was first
reached: one that describes a tool differently later is not called. A server that dies fails the calls that wait for
it, and is started or reached again by the next call. What a server says is data, its descriptions included: connect
only to servers that you trust with what a model may send them.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from threading import Thread
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from sourcebook.errors import ConfigError, MissingExtra, SourcebookError, ToolError
from sourcebook.loopback import is_loopback
from sourcebook.models.base import Tool
from sourcebook.prompt.tools.base import ToolResult
from sourcebook.prompt.tools.prefixed import distinct

if TYPE_CHECKING:
    from types import TracebackType

    from mcp import Client, MCPError
    from mcp_types import CallToolResult, ContentBlock
    from mcp_types import Tool as ServerTool

_PAGES = 100  # of a server's list of tools
_LONGEST_DESCRIPTION = 1000  # characters; it stands in every prompt
_LONGEST_SCHEMA = 50_000
_LONGEST_LINE = 65_536  # characters that a server may write to standard error without an end of line
_GOODBYE_SECONDS = 5.0
_NO_SESSION = (-32001, -32600)  # what servers with sessions answer with status 404; the first is a timeout as well
_SESSION_OVER = re.compile(r"(?i)\bsession\b.*\b(?:terminated|not found|expired)|\b(?:unknown|invalid) session")
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]")


@dataclass(frozen=True, kw_only=True, slots=True)
class McpServer:
    """Where a server is, and what of it is used: a command to start, or a URL to reach.

    prefix: put before the names of its tools, so that those of several servers are distinct ("github_").
    command: program and arguments; it gets HOME, PATH and the like, and `environment`, of our environment nothing else.
    url: of streamable HTTP. token_variable: the environment variable that holds the bearer token for it.
    only: the names of the tools that may be used; None: all. seconds: to start or to be reached.
    """

    prefix: str = ""
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: str | None = None
    url: str = ""
    token_variable: str = ""
    only: frozenset[str] | None = None
    seconds: float = 30.0

    @property
    def name(self) -> str:
        """For messages."""
        return self.url or " ".join(self.command)


class McpTools:
    """A toolbox of one server's tools. Made by `open`; use it as an async context manager, or call `close`.

    Tools whose names are the same once they are such as vendors accept are told apart by numbers. left_out: those that
    no model could be given, and why, by the server's names for them.
    """

    def __init__(self, server: McpServer) -> None:
        self._server = server
        self._connection: _Connection | None = None
        self._described: dict[str, ServerTool] = {}  # by the names that models use
        self._tools: tuple[Tool, ...] = ()
        self.left_out: dict[str, str] = {}
        self._connecting = asyncio.Lock()
        self._left: list[_Connection] = []  # those that take no more calls, and have not ended yet

    @classmethod
    async def open(cls, server: McpServer) -> Self:
        """Reach the server and list its tools. Errors: ConfigError, MissingExtra, ToolError."""
        _check(server)
        made = cls(server)
        connection = await made._connected()
        made._describe(connection.listed)
        return made

    @property
    def tools(self) -> tuple[Tool, ...]:
        """The server's tools, in its order."""
        return self._tools

    async def call(self, name: str, arguments: str) -> ToolResult:
        """Have the server run a tool. Errors: ToolError, also if the server dies."""
        if name not in self._described:
            raise ToolError(f"The MCP server {self._server.name} has no tool {name!r}", remedy="See its list of tools")
        values = json.loads(arguments or "{}")
        try:
            return await self._called(name, values)
        except _Forgotten:  # it lives, and has not run the call: a new connection does
            return await self._called(name, values)

    async def _called(self, name: str, values: dict[str, object]) -> ToolResult:
        described = self._described[name]
        connection = await self._connected()
        if described not in connection.listed:
            raise ToolError(
                f"The MCP server {self._server.name} has changed the tool {name!r}", remedy="Open its toolbox again"
            )
        return _result(await connection.call(described.name, values))

    def _describe(self, listed: Sequence[ServerTool]) -> None:
        tools: list[Tool] = []
        for one in listed:
            if problem := _problem(one):
                self.left_out[one.name] = problem
                continue
            name = distinct(_name(self._server.prefix + one.name), self._described)
            description = (one.description or one.title or one.name)[:_LONGEST_DESCRIPTION]
            self._described[name] = one
            tools.append(Tool(name=name, description=description, parameters=one.input_schema))
        self._tools = tuple(tools)

    async def close(self) -> None:
        """End the connection, in ten seconds at most; a server that was started is stopped."""
        async with self._connecting:
            ending = [*self._left, *([] if self._connection is None else [self._connection])]
            self._left, self._connection = [], None
        await asyncio.gather(*(one.close() for one in ending))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _connected(self) -> _Connection:
        async with self._connecting:
            if self._connection is not None and not self._connection.alive:
                self._left = [one for one in (*self._left, self._connection) if not one.over]
                self._connection = None
            if self._connection is None:
                connection = _Connection(self._server)
                await connection.open()
                self._connection = connection
            return self._connection


class _Forgotten(ToolError):
    """The server does not know our session any more, because it was started anew or dropped one that lay idle."""


class _Connection:
    """One life of a server: from when it is reached until it dies or is closed.

    The SDK wants a connection to be left by the task that entered it, so a task of its own holds it.
    """

    def __init__(self, server: McpServer) -> None:
        self._server = server
        self._closing = asyncio.Event()
        self._forgotten = False
        self._calls = 0
        self._holder: asyncio.Task[None] | None = None
        self._said: deque[str] = deque(maxlen=10)  # the last lines that the server wrote to standard error
        self._listener: Thread | None = None
        self._client: Client | None = None
        self.listed: tuple[ServerTool, ...] = ()

    @property
    def alive(self) -> bool:
        """Whether it takes calls."""
        return not self.over and not self._closing.is_set() and not self._forgotten

    @property
    def over(self) -> bool:
        """Whether nothing is left of it."""
        return self._holder is None or self._holder.done()

    async def open(self) -> None:
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._holder = asyncio.create_task(self._hold(ready))
        try:
            async with asyncio.timeout(self._server.seconds):
                await asyncio.shield(ready)
        except TimeoutError as error:
            self._holder.cancel()
            await asyncio.wait([self._holder])
            raise await self._lost(f"did not answer within {self._server.seconds:g} seconds") from error
        except asyncio.CancelledError:
            self._holder.cancel()
            raise
        except SourcebookError:
            raise
        except Exception as error:
            raise await self._lost(f"cannot be reached: {_innermost(error)}") from error

    async def call(self, name: str, arguments: dict[str, object]) -> CallToolResult:
        """Errors: ToolError at once if the connection ends meanwhile."""
        from mcp import MCPError
        from mcp_types import CONNECTION_CLOSED

        assert self._client is not None
        assert self._holder is not None
        call = asyncio.ensure_future(self._client.call_tool(name, arguments))
        self._calls += 1
        try:
            await asyncio.wait([call, self._holder], return_when=asyncio.FIRST_COMPLETED)
            if not call.done():
                raise await self._lost("has ended")
            return call.result()
        except MCPError as error:
            if error.code == CONNECTION_CLOSED:
                self._closing.set()
                raise await self._lost("has ended") from error
            if _of_session(error):
                self._forgotten = True
                ended = f"The MCP server {self._server.name} has ended the session"
                raise _Forgotten(ended, remedy="Ask again") from error
            raise ToolError(f"{name} failed: {error.message}", remedy="Correct the arguments, or go without") from error
        finally:
            call.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await call
            self._calls -= 1
            if self._forgotten and not self._calls:  # the others get answers of their own first
                self._closing.set()

    async def close(self) -> None:
        """Say goodbye, and leave without an answer if it takes long."""
        self._closing.set()
        if self._holder is not None:
            _, late = await asyncio.wait([self._holder], timeout=_GOODBYE_SECONDS)
            if late:
                self._holder.cancel()
                await asyncio.wait([self._holder], timeout=_GOODBYE_SECONDS)

    async def _hold(self, ready: asyncio.Future[None]) -> None:
        try:
            async with AsyncExitStack() as stack:
                self._client = await self._entered(stack)
                self.listed = await self._list()
                ready.set_result(None)
                await self._closing.wait()
        except asyncio.CancelledError:
            ready.cancel()
            raise
        except Exception as error:  # whatever the transport raises ends the connection
            if not ready.done():
                ready.set_exception(error)

    async def _entered(self, stack: AsyncExitStack) -> Client:
        try:
            import httpx2
            from mcp import Client, StdioServerParameters, stdio_client
            from mcp.client.streamable_http import streamable_http_client
        except ImportError as error:
            raise MissingExtra.of("The MCP SDK", "mcp") from error
        server = self._server
        if server.command:
            program, *arguments = server.command
            launch = StdioServerParameters(
                command=program, args=arguments, env=dict(server.environment), cwd=server.folder
            )
            read, write = os.pipe()
            self._listener = Thread(target=self._listen, args=(read,), name="sourcebook-mcp-stderr", daemon=True)
            self._listener.start()
            with os.fdopen(write, "w") as errors:  # the server has its own copy once it is started
                return await stack.enter_async_context(Client(stdio_client(launch, errlog=errors)))
        headers = {"Authorization": f"Bearer {_token(server)}"} if server.token_variable else {}
        web = httpx2.AsyncClient(headers=headers, timeout=httpx2.Timeout(server.seconds, read=None))
        await stack.enter_async_context(web)
        return await stack.enter_async_context(Client(streamable_http_client(server.url, http_client=web)))

    async def _list(self) -> tuple[ServerTool, ...]:
        assert self._client is not None
        found: list[ServerTool] = []
        cursor: str | None = None
        for _ in range(_PAGES):
            page = await self._client.list_tools(cursor=cursor, cache_mode="bypass")
            found += page.tools
            cursor = page.next_cursor
            if cursor is None:
                break
        only = self._server.only
        if only is not None and (missing := only - {one.name for one in found}):
            raise ToolError(
                f"The MCP server {self._server.name} has no tool {', '.join(sorted(missing))}",
                remedy=f"It has: {', '.join(sorted(one.name for one in found))}",
            )
        return tuple(one for one in found if only is None or one.name in only)

    def _listen(self, read: int) -> None:
        with os.fdopen(read, encoding="utf-8", errors="replace") as lines:
            while line := lines.readline(_LONGEST_LINE):
                self._said.append(line.rstrip()[:500])

    async def _lost(self, what: str) -> ToolError:
        if self._listener is not None:
            await asyncio.to_thread(self._listener.join, 0.5)  # until its last words have come
        said = f"; it said: {' / '.join(self._said)}" if self._said else ""
        return ToolError(f"The MCP server {self._server.name} {what}{said}", remedy="Check that it runs")


# --- names, settings, results -------------------------------------------------------------------------------


def _check(server: McpServer) -> None:
    if bool(server.command) == bool(server.url):
        raise ConfigError("An MCP server has either a command or a URL", remedy="Give one of them")
    if not server.url:
        return
    parts = urlsplit(server.url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(f"{server.url!r} is no URL of an MCP server", remedy="Use http://... or https://...")
    if server.token_variable:
        _token(server)
        if parts.scheme == "http" and not is_loopback(parts.hostname):
            raise ConfigError(f"The token for {server.url} would be sent in the clear", remedy="Use https")


def _token(server: McpServer) -> str:
    token = os.environ.get(server.token_variable, "")
    if not token:
        raise ConfigError(f"{server.token_variable} is not set", remedy=f"It holds the token for {server.url}")
    return token


def _of_session(error: MCPError) -> bool:
    """Whether an answer says that the server does not know the session; the SDK words a bare status 404 so itself."""
    return error.code in _NO_SESSION and bool(_SESSION_OVER.search(error.message))


def _problem(tool: ServerTool) -> str:
    """Why a tool cannot be offered, or ""."""
    if tool.input_schema.get("type") != "object":
        return "its parameters are not an object"
    if len(json.dumps(tool.input_schema)) > _LONGEST_SCHEMA:
        return f"the schema of its parameters is longer than {_LONGEST_SCHEMA} characters"
    return ""


def _name(name: str) -> str:
    """A name that every vendor accepts."""
    return _NOT_IN_NAMES.sub("_", name)[:64]


def _result(result: CallToolResult) -> ToolResult:
    text = "\n".join(_content(one) for one in result.content)
    if not text and result.structured_content is not None:
        text = json.dumps(result.structured_content, ensure_ascii=False)
    return ToolResult(text=text or "Done; it returned nothing.", failed=bool(result.is_error))


def _content(block: ContentBlock) -> str:
    if block.type == "text":
        return block.text
    if block.type == "resource_link":
        return f"[{block.title or block.name}: {block.uri}]"
    if block.type == "resource":
        text = getattr(block.resource, "text", None)
        return text if isinstance(text, str) else f"[{block.resource.uri}: {block.resource.mime_type or 'bytes'}]"
    return f"[{block.type}: {block.mime_type}, {len(block.data) * 3 // 4} bytes; not shown]"


def _innermost(error: BaseException) -> str:
    """What really happened, out of the groups that task groups make of errors."""
    while isinstance(error, BaseExceptionGroup):
        inner: Sequence[BaseException] = error.exceptions
        error = inner[0]
    return str(error) or type(error).__name__
