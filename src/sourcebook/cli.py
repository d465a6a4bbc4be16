"""The command line: it parses, calls the book, and prints.

Exit codes: 0 done; 1 it failed, and the message says why and what to do; 2 wrong usage; 3 no such book, document
or answer; 4 another process is writing; 130 interrupted. Failed documents do not make a sync fail: see status.
"""

from __future__ import annotations

import json
import sys

import click

from sourcebook.commands.answers import answers
from sourcebook.commands.asking import ask, search
from sourcebook.commands.base import BUSY, FAILED, INTERRUPTED, MISSING, error_json, harmless
from sourcebook.commands.conversations import chat, conversations
from sourcebook.commands.documents import add, init, remove, sync
from sourcebook.commands.examples import examples
from sourcebook.commands.keys import key
from sourcebook.commands.looking import doctor, export, show, status
from sourcebook.commands.mcp import mcp
from sourcebook.commands.models import compare, replay
from sourcebook.commands.spending import budget, prices, usage
from sourcebook.commands.tables import sql, tables
from sourcebook.errors import BookBusy, NoBook, NotFound, SourcebookError

_FIRST_STEPS = """
Start:

\b
  sourcebook ask --source ./docs "What is our refund policy?"

or step by step: init, add SOURCE, sync, ask QUESTION. Each command explains itself with --help.
"""


class _Grouped(click.Group):
    """Lists its commands by what they are about, in the order in which one needs them."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The sections of `--help`."""
        for title, names in _GROUPS.items():
            with formatter.section(title):
                formatter.write_dl([(name, self.commands[name].get_short_help_str(200)) for name in names])


_GROUPS = {
    "Documents": ("init", "add", "sync", "remove", "status"),
    "Questions": ("ask", "search", "chat", "conversations", "tables", "sql"),
    "Looking": ("show", "answers", "replay", "export", "doctor"),
    "Models and money": ("key", "prices", "usage", "budget", "compare", "examples"),
    "Serving": ("mcp",),
}


@click.group(
    cls=_Grouped,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=_FIRST_STEPS,
)
@click.option("--home", envvar="SOURCEBOOK_HOME", metavar="DIR", help="The book's folder [default: .sourcebook]")
@click.version_option(None, "-V", "--version", package_name="sourcebook")
@click.pass_context
def cli(context: click.Context, home: str | None) -> None:
    """Answers from your own documents, with sources that can be checked. Offline, without keys or servers."""
    context.obj = home


for command in (
    *(init, add, sync, remove, status),
    *(ask, search, chat, conversations, tables, sql),
    *(show, answers, replay, export, doctor),
    *(key, prices, usage, budget, compare, examples),
    mcp,
):
    cli.add_command(command)


def main() -> None:
    """The `sourcebook` command."""
    try:
        status = cli.main(prog_name="sourcebook", standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("Interrupted. What was finished is kept; run the same command again to go on.", err=True)
        sys.exit(INTERRUPTED)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except SourcebookError as error:
        _complain(error)
        sys.exit(BUSY if isinstance(error, BookBusy) else MISSING if isinstance(error, NoBook | NotFound) else FAILED)
    except OSError as error:  # of a file that a person has named, as with --details
        _complain(SourcebookError(f"{error.filename or 'A file'} cannot be used: {error.strerror or error}"))
        sys.exit(FAILED)
    sys.exit(status if isinstance(status, int) else 0)


def _complain(error: SourcebookError) -> None:
    if "--json" in sys.argv:
        click.echo(json.dumps(error_json(error), ensure_ascii=False), err=True)
    else:
        click.echo(f"{click.style('Error:', fg='red', bold=True)} {harmless(str(error))}", err=True)
