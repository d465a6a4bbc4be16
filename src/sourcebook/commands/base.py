"""What the commands share: options, opening the book, exit codes, printing JSON."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from sourcebook.book import Sourcebook
    from sourcebook.errors import SourcebookError
    from sourcebook.types import Scope

F = TypeVar("F", bound=Callable[..., Any])

FAILED, MISSING, BUSY, INTERRUPTED = 1, 3, 4, 130


def home_option(command: F) -> F:
    """The book, given after the command as well as before it."""
    return click.option("--home", "own_home", metavar="DIR", help="The book's folder [default: .sourcebook]")(command)


def json_option(command: F) -> F:
    """Output for programs."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs")(command)


def account_option(command: F) -> F:
    """Who pays."""
    option = click.option("--account", default="default", show_default=True, metavar="NAME", help="Whose budget pays")
    return option(command)


def asking_options(command: F) -> F:
    """Options of everything that asks a question."""
    for option in (
        click.option("--where", metavar="FILTER", help="Only documents with such metadata: \"type = 'pdf'\""),
        click.option("--as", "names", metavar="NAME", multiple=True, help="Ask as this user or group (repeatable)"),
        click.option("--tenant", default="default", show_default=True, metavar="NAME", help="Whose documents"),
        click.option(
            "--batch",
            type=click.File("r", encoding="utf-8", errors="surrogateescape"),
            metavar="FILE",
            help='Many questions, one {"id": ..., "text": ...} a line; - is standard input',
        ),
    ):
        command = option(command)
    return command


@asynccontextmanager
async def opened(own_home: str | None, *, create: bool = False, bar: bool = False) -> AsyncIterator[Sourcebook]:
    """The book that the options name."""
    from sourcebook.book import Sourcebook

    home = own_home or click.get_current_context().find_root().obj
    async with await Sourcebook.open(home, create=create) as book, _tended(book):
        if bar and sys.stderr.isatty():
            from sourcebook.commands.printing import progress_bar

            with progress_bar(book):
                yield book
        else:
            yield book


@asynccontextmanager
async def _tended(book: Sourcebook) -> AsyncIterator[None]:
    """At the end, wait for what is being remembered: this process ends with its question, and would never do it."""
    yield
    waiting = asyncio.ensure_future(book.tending.finish())
    try:
        await asyncio.wait([waiting], timeout=1.0)
        if not waiting.done() and sys.stderr.isatty():
            click.echo("Remembering... (Ctrl-C to skip)", err=True)
        await waiting
    except asyncio.CancelledError:
        waiting.cancel()
        task = asyncio.current_task()
        if task is None or task.uncancel():
            raise


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run a command to its end; Ctrl-C is an Abort."""
    try:
        asyncio.run(work)
    except KeyboardInterrupt:
        raise click.exceptions.Abort from None
    except BrokenPipeError:  # the reader of a pipe went away, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def scope_of(tenant: str, names: tuple[str, ...]) -> Scope:
    """Who asks."""
    from sourcebook.types import Scope

    return Scope(tenant=tenant, principals=frozenset(names))


def counted(what: str, number: int, of: str) -> None:
    """Say how many of something there were."""
    click.echo(f"{what} {number} {of}{'' if number == 1 else 's'}")


def error_json(error: SourcebookError) -> dict[str, Any]:
    """An error as programs get it."""
    details = {"kind": type(error).__name__, "message": str(error.args[0]), "remedy": error.remedy}
    return {"error": {**details, "transient": error.transient}}


def harmless(text: str) -> str:
    """Text of others, without what would steer a terminal or turn the direction of writing."""
    return _STEERING.sub("\ufffd", text)


_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def print_json(value: object) -> None:
    """One line of JSON."""
    click.echo(json.dumps(value, ensure_ascii=False))
