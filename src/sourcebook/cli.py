"""The command line: it parses, calls the book, and prints.

Exit codes: 0 done; 1 it failed, and the message says why and what to do; 2 wrong usage; 3 no such book, document
or answer; 4 another process is writing; 130 interrupted. Failed documents do not make a sync fail: see status.
"""

from __future__ import annotations

import json
import sys

import click

from sourcebook.commands.asking import ask, search
from sourcebook.commands.base import BUSY, FAILED, INTERRUPTED, MISSING
from sourcebook.commands.conversations import chat, conversations, examples
from sourcebook.commands.documents import add, init, remove, sync
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


@click.group(
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
    *(init, add, sync, remove),
    *(ask, search, chat, conversations, examples),
    *(tables, sql),
    *(status, show, doctor, export),
    *(replay, compare),
    *(key, prices, usage, budget),
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
    sys.exit(status if isinstance(status, int) else 0)


def _complain(error: SourcebookError) -> None:
    if "--json" in sys.argv:
        details = {"kind": type(error).__name__, "message": error.args[0], "remedy": error.remedy}
        click.echo(json.dumps({"error": details | {"transient": error.transient}}, ensure_ascii=False), err=True)
    else:
        click.echo(f"{click.style('Error:', fg='red', bold=True)} {error}", err=True)
