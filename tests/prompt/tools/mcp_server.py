"""A small MCP server for the tests, over stdio or, with an argument, streamable HTTP on that port (0: any)."""

import asyncio
import os
import sys

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

server = MCPServer("small")


@server.tool()
def add(one: int, other: int) -> int:
    """Add two numbers."""
    return one + other


@server.tool()
def secrets() -> str:
    """What of the environment has come through."""
    return f"{os.environ.get('GIVEN')} {os.environ.get('KEPT_BACK')}"


@server.tool()
def fail() -> str:
    """Raise."""
    raise ToolError("it went wrong")


@server.tool(name="odd.name/of tool")
def odd() -> str:
    """A name that vendors do not accept."""
    return "odd"


@server.tool()
async def hang() -> str:
    """Never return."""
    await asyncio.sleep(60)
    return "late"


@server.tool()
def die() -> str:
    """End the process at once."""
    sys.stderr.write("I am dying\n")
    sys.stderr.flush()
    os._exit(7)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        import socket

        import uvicorn

        bound = socket.socket()
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(("127.0.0.1", int(sys.argv[1])))
        bound.listen()
        sys.stdout.write(f"{bound.getsockname()[1]}\n")
        sys.stdout.flush()
        app = server.streamable_http_app()
        uvicorn.Server(uvicorn.Config(app, log_level="error", ws="none")).run([bound])
    else:
        server.run("stdio")
