"""Tools of real MCP servers, made with the official SDK and started as processes of their own."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import pytest

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
