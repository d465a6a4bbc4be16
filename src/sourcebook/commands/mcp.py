"""Serving the book to other programs: mcp."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from sourcebook.commands.base import home_option, opened, run, scope_of
from sourcebook.errors import ConfigError

if TYPE_CHECKING:
    from sourcebook.book import Sourcebook


@click.command()
@click.option(
    "--http", "address", metavar="HOST:PORT", help="Serve over HTTP there, not over standard input and output"
)
@click.option(
    "--name", "names", metavar="HOST", multiple=True, help="Another name the server is reached by (repeatable)"
)
@click.option("--where", metavar="FILTER", help="Only documents with such metadata: \"type = 'pdf'\"")
@click.option("--as", "principals", metavar="NAME", multiple=True, help="Serve as this user or group (repeatable)")
@click.option("--tenant", default="default", show_default=True, metavar="NAME", help="Whose documents")
@click.option("--top", type=click.IntRange(1, 100), default=10, show_default=True, help="Results of a search at most")
@click.option(
    "--link",
    "links",
    metavar="URI=URL",
    multiple=True,
    help="Documents below URI are found below URL, for whoever follows a citation (repeatable)",
)
@click.option("--account", default="default", show_default=True, metavar="NAME", help="Who pays for answers")
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), metavar="N", help="For one answer at most")
@home_option
def mcp(
    address: str | None,
    names: tuple[str, ...],
    where: str | None,
    principals: tuple[str, ...],
    tenant: str,
    top: int,
    links: tuple[str, ...],
    account: str,
    seconds: float | None,
    own_home: str | None,
) -> None:
    """Serve the book to assistants over MCP, with search, fetch and ask.

    Over HTTP, clients must send the token that SOURCEBOOK_MCP_TOKEN holds, if it holds one.
    """
    from sourcebook.filters import parse_filter
    from sourcebook.serve.mcp import TOKEN_VARIABLE, serve_http, serve_stdio
    from sourcebook.serve.mcp_tools import Served

    host, port = _address(address) if address is not None else ("", 0)
    served = Served(
        scope=scope_of(tenant, principals),
        where=None if where is None else parse_filter(where),
        top=top,
        links=dict(map(_link, links)),
        account=account,
        seconds=seconds,
    )

    async def work() -> None:
        async with opened(own_home) as book:
            if address is None:
                _end_on_signals(book)
                await serve_stdio(book, served)
                return
            await serve_http(
                book,
                served,
                host=host,
                port=port,
                token=os.environ.get(TOKEN_VARIABLE, ""),
                names=names,
                started=lambda url: click.echo(f"Serving {book.home} at {url}", err=True),
            )

    run(work())


def _end_on_signals(book: Sourcebook) -> None:
    """Ctrl-C and SIGTERM close the book and end the process.

    A thread that waits for input cannot be stopped, and Python would wait for it until the client hangs up.
    """

    async def end(number: int) -> None:
        try:
            await asyncio.wait_for(book.close(), 5)
        finally:
            os._exit(128 + number)

    ending: list[asyncio.Task[None]] = []

    def begin(number: int) -> None:
        ending.append(asyncio.create_task(end(number)))

    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError):  # Windows ends at once by itself
            asyncio.get_running_loop().add_signal_handler(number, begin, number)


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise ConfigError(f"{text!r} is no address", remedy="Write HOST:PORT, as in 127.0.0.1:8000")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _link(text: str) -> tuple[str, str]:
    beginning, equals, url = text.partition("=")
    if not beginning or not equals or "://" not in url:
        raise ConfigError(
            f"{text!r} is no link", remedy="Write URI=URL, as in file:///srv/docs/=https://docs.example.org/"
        )
    return beginning, url
