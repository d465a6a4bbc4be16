"""Tools of real MCP servers, made with the official SDK and started as processes of their own."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import pytest
from aiohttp import web

from sourcebook.errors import ConfigError, MissingExtra, ToolError
from sourcebook.prompt.tools.base import CallLimits, Toolboxes
from sourcebook.prompt.tools.mcp import McpServer, McpTools

pytest.importorskip("mcp")

SCRIPT = str(Path(__file__).with_name("mcp_server.py"))
STDIO = McpServer(command=(sys.executable, SCRIPT), environment={"GIVEN": "yes"})


@pytest.fixture(params=["stdio", "http"])
def server(request: pytest.FixtureRequest) -> Iterator[McpServer]:
    if request.param == "stdio":
        yield STDIO
        return
    with http_server() as (process, port):
        yield McpServer(url=f"http://127.0.0.1:{port}/mcp")
        process.kill()


class http_server:  # noqa: N801
    def __init__(self, port: int = 0) -> None:
        self._process = subprocess.Popen(
            [sys.executable, SCRIPT, str(port)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def __enter__(self) -> tuple[subprocess.Popen[str], int]:
        assert self._process.stdout is not None
        return self._process, int(self._process.stdout.readline())

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()


async def test_a_servers_tools_are_ours(server: McpServer) -> None:
    async with await McpTools.open(server) as tools:
        by_name = {tool.name: tool for tool in tools.tools}
        assert set(by_name) == {"add", "secrets", "fail", "odd_name_of_tool", "hang", "die"}
        assert by_name["add"].description == "Add two numbers."
        assert by_name["add"].parameters["required"] == ["one", "other"]
        box = Toolboxes([tools], limits=CallLimits(seconds=5))
        results = await asyncio.gather(*(box.call("add", f'{{"one": {n}, "other": 1}}') for n in range(5)))
        assert [result.text for result in results] == ["1", "2", "3", "4", "5"]
        assert not any(result.failed for result in results)
        wrong = await box.call("add", '{"one": "two"}')
        assert wrong.failed
        assert "one: 'two' is not of type 'integer'" in wrong.text
        failed = await box.call("fail", "")
        assert failed.failed
        assert "it went wrong" in failed.text
        assert (await box.call("odd_name_of_tool", "")).text == "odd"


async def test_a_tool_that_hangs_is_stopped_and_the_server_goes_on(server: McpServer) -> None:
    async with await McpTools.open(server) as tools:
        box = Toolboxes([tools], limits=CallLimits(seconds=0.3))
        began = monotonic()
        result = await box.call("hang", "")
        assert result.failed
        assert monotonic() - began < 3
        assert (await Toolboxes([tools]).call("add", '{"one": 1, "other": 1}')).text == "2"


async def test_a_server_that_dies_fails_the_call_at_once_and_is_started_again() -> None:
    async with await McpTools.open(STDIO) as tools:
        box = Toolboxes([tools], limits=CallLimits(seconds=20))
        began = monotonic()
        dying, waiting = await asyncio.gather(box.call("die", ""), box.call("hang", ""))
        assert monotonic() - began < 10
        assert dying.failed
        assert waiting.failed
        assert "has ended" in dying.text
        assert "I am dying" in dying.text
        assert (await box.call("add", '{"one": 1, "other": 1}')).text == "2"


async def test_an_http_server_that_dies_fails_the_call_and_is_reached_again() -> None:
    with http_server() as (process, port):
        tools = await McpTools.open(McpServer(url=f"http://127.0.0.1:{port}/mcp", seconds=5))
        box = Toolboxes([tools], limits=CallLimits(seconds=20))
        began = monotonic()
        assert (await box.call("die", "")).failed
        process.wait(5)
        assert (await box.call("add", '{"one": 1, "other": 1}')).failed
        assert monotonic() - began < 10
        with http_server(port):
            result = await box.call("add", '{"one": 1, "other": 1}')
            assert result.text == "2"
        await tools.close()


async def test_a_started_server_gets_of_the_environment_what_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEPT_BACK", "secret")
    async with await McpTools.open(STDIO) as tools:
        assert (await tools.call("secrets", "")).text == "yes None"


async def test_only_what_is_allowed_and_with_a_prefix() -> None:
    server = McpServer(command=STDIO.command, prefix="small_", only=frozenset({"add"}))
    async with await McpTools.open(server) as tools:
        assert [tool.name for tool in tools.tools] == ["small_add"]
        assert (await tools.call("small_add", '{"one": 1, "other": 1}')).text == "2"
        with pytest.raises(ToolError, match="no tool 'die'"):
            await tools.call("die", "")
    with pytest.raises(ToolError, match="has no tool nothing"):
        await McpTools.open(McpServer(command=STDIO.command, only=frozenset({"nothing"})))


async def test_two_servers_side_by_side() -> None:
    one = await McpTools.open(McpServer(command=STDIO.command, prefix="one_"))
    other = await McpTools.open(McpServer(command=STDIO.command, prefix="other_"))
    box = Toolboxes([one, other])
    assert (await box.call("one_add", '{"one": 1, "other": 1}')).text == "2"
    await asyncio.create_task(box.close())  # from a task that did not open them


@pytest.mark.parametrize(
    "server",
    [
        McpServer(command=("/nowhere/to/be/found",)),
        McpServer(command=(sys.executable, "-c", "import sys; sys.exit('no thanks')")),
        McpServer(command=(sys.executable, "-c", "print('hello'); input()"), seconds=1),
        McpServer(url="http://127.0.0.1:9/mcp", seconds=2),
    ],
)
async def test_a_server_that_cannot_be_reached_is_a_tool_error(server: McpServer) -> None:
    began = monotonic()
    with pytest.raises(ToolError, match="The MCP server"):
        await McpTools.open(server)
    assert monotonic() - began < 10


@pytest.mark.parametrize(
    ("server", "message"),
    [
        (McpServer(), "either a command or a URL"),
        (McpServer(command=("a",), url="http://localhost/"), "either a command or a URL"),
        (McpServer(url="ftp://localhost/"), "no URL"),
        (McpServer(url="https://example.org/mcp", token_variable="NOT_SET_AT_ALL"), "is not set"),
        (McpServer(url="http://example.org/mcp", token_variable="SOME_TOKEN"), "in the clear"),
    ],
)
async def test_settings_that_make_no_sense(server: McpServer, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", "x")
    with pytest.raises(ConfigError, match=message):
        await McpTools.open(server)


async def test_without_the_sdk_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mcp", None)
    with pytest.raises(MissingExtra, match=r'pip install "sourcebook\[mcp\]"'):
        await McpTools.open(STDIO)


# --- servers of an older protocol, with sessions ------------------------------------------------------------


class SessionServer:
    """Speaks 2025-06-18. hang: it does not answer the goodbye; tools: that it lists; calls: that it has run."""

    def __init__(self, *tools: dict[str, object]) -> None:
        self.tools = tools or ({"name": "add", "inputSchema": {"type": "object"}},)
        self.sessions: set[str] = set()
        self.calls = 0
        self.hang = False
        self.error: dict[str, object] = {"code": -32001, "message": "Session not found"}

    async def __aenter__(self) -> McpServer:
        app = web.Application()
        app.router.add_route("*", "/mcp", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return McpServer(url=f"http://127.0.0.1:{self._runner.addresses[0][1]}/mcp", seconds=5)

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if request.method == "DELETE" and self.hang:
            await asyncio.sleep(3600)
        if request.method != "POST":
            return web.Response(status=405 if request.method == "GET" else 200)
        message = await request.json()
        answer = {"jsonrpc": "2.0", "id": message.get("id")}
        if message["method"] == "initialize":
            name = f"s{len(self.sessions)}-{monotonic()}"
            self.sessions.add(name)
            info = {"name": "old", "version": "1"}
            result = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": info}
            return web.json_response({**answer, "result": result}, headers={"Mcp-Session-Id": name})
        if request.headers.get("Mcp-Session-Id") not in self.sessions:
            return web.json_response({**answer, "error": self.error}, status=404)
        if "id" not in message:
            return web.Response(status=202)
        if message["method"] == "tools/list":
            return web.json_response({**answer, "result": {"tools": list(self.tools)}})
        self.calls += 1
        return web.json_response({**answer, "result": {"content": [{"type": "text", "text": "2"}]}})


@pytest.mark.parametrize("code", [-32001, -32600])
async def test_a_session_that_is_gone_is_begun_anew(code: int) -> None:
    server = SessionServer()
    server.error = {"code": code, "message": "Session not found"}
    async with server as place, await McpTools.open(place) as tools:
        box = Toolboxes([tools])
        assert (await box.call("add", "{}")).text == "2"
        server.sessions.clear()  # it was started anew
        results = await asyncio.gather(*(box.call("add", "{}") for _ in range(3)))
        assert [result.text for result in results] == ["2", "2", "2"]
        assert server.calls == 4


async def test_an_error_that_is_not_about_the_session_is_no_reason_to_call_twice() -> None:
    server = SessionServer()
    server.error = {"code": -32001, "message": "Request timed out"}
    async with server as place, await McpTools.open(place) as tools:
        server.sessions.clear()
        result = await Toolboxes([tools]).call("add", "{}")
        assert result.failed
        assert "Request timed out" in result.text


async def test_closing_does_not_wait_for_a_server_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sourcebook.prompt.tools.mcp._GOODBYE_SECONDS", 0.2)
    server = SessionServer()
    async with server as place:
        tools = await McpTools.open(place)
        server.hang = True
        await asyncio.wait_for(tools.close(), 5)


async def test_names_that_vendors_cannot_tell_apart_are_numbered_and_odd_tools_left_out() -> None:
    schema = {"type": "object"}
    described: list[dict[str, object]] = [
        {"name": "a.b", "inputSchema": schema, "description": "x" * 5000},
        {"name": "a_b", "inputSchema": schema},
        {"name": "wide", "inputSchema": {"type": "object", "description": "x" * 60_000}},
    ]
    async with SessionServer(*described) as place, await McpTools.open(place) as tools:
        assert [tool.name for tool in tools.tools] == ["a_b", "a_b_2"]
        assert len(tools.tools[0].description) == 1000
        assert list(tools.left_out) == ["wide"]
        assert (await Toolboxes([tools]).call("a_b_2", "{}")).text == "2"
