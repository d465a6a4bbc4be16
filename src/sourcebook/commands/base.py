"""What the commands share: options, opening the book, exit codes, printing JSON."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from sourcebook.book import Sourcebook
    from sourcebook.types import Scope

F = TypeVar("F", bound=Callable[..., Any])

FAILED, MISSING, BUSY, INTERRUPTED = 1, 3, 4, 130


def home_option(command: F) -> F:
    """The book, given after the command as well as before it."""
    return click.option("--home", "own_home", metavar="DIR", help="The book's folder [default: .sourcebook]")(command)


def json_option(command: F) -> F:
    """Output for programs."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs")(command)


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
    async with await Sourcebook.open(home, create=create) as book:
        if bar and sys.stderr.isatty():
            from sourcebook.display import progress_bar

            with progress_bar(book):
                yield book
        else:
            yield book


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


def print_json(value: object) -> None:
    """One line of JSON."""
    click.echo(json.dumps(value, ensure_ascii=False))
