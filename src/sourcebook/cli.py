"""The command line: it parses, calls the book, and prints.

Exit codes: 0 done; 1 it failed, and the message says why and what to do; 2 wrong usage; 3 no such book, document
or answer; 4 another process is writing; 130 interrupted. Failed documents do not make a sync fail: see status.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

import click

from sourcebook.errors import BookBusy, NoBook, NotFound, SourcebookError

if TYPE_CHECKING:
    from sourcebook.book import Sourcebook
    from sourcebook.types import Scope, SyncReport

F = TypeVar("F", bound=Callable[..., Any])

FAILED, MISSING, BUSY, INTERRUPTED = 1, 3, 4, 130

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


# --- options that several commands share -----------------------------------------------------------------


def _home(command: F) -> F:
    return click.option("--home", "own_home", metavar="DIR", help="The book's folder [default: .sourcebook]")(command)


def _json(command: F) -> F:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs")(command)


def _asking(command: F) -> F:
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
async def _opened(own_home: str | None, *, create: bool = False, bar: bool = False) -> AsyncIterator[Sourcebook]:
    from sourcebook.book import Sourcebook

    home = own_home or click.get_current_context().find_root().obj
    async with await Sourcebook.open(home, create=create) as book:
        if bar and sys.stderr.isatty():
            from sourcebook.display import progress_bar

            with progress_bar(book):
                yield book
        else:
            yield book


def _run(work: Coroutine[Any, Any, None]) -> None:
    try:
        asyncio.run(work)
    except KeyboardInterrupt:
        raise click.exceptions.Abort from None
    except BrokenPipeError:  # the reader of a pipe went away, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _scope(tenant: str, names: tuple[str, ...]) -> Scope:
    from sourcebook.types import Scope

    return Scope(tenant=tenant, principals=frozenset(names))


def _print_json(value: object) -> None:
    click.echo(json.dumps(value, ensure_ascii=False))


# --- documents in -----------------------------------------------------------------------------------------


@cli.command()
@_home
@_json
def init(own_home: str | None, as_json: bool) -> None:
    """Make an empty book, with a settings file that explains itself."""

    async def work() -> None:
        async with _opened(own_home, create=True) as book:
            if as_json:
                _print_json({"home": str(book.home)})
            else:
                click.echo(f"The book is {book.home}\nNext: sourcebook add FOLDER, then sourcebook sync")

    _run(work())


@cli.command()
@click.argument("source")
@click.option("--access", metavar="NAME", multiple=True, help="Only this user or group may see it (repeatable)")
@click.option("--tenant", default="default", show_default=True, metavar="NAME", help="Whose documents these are")
@click.option("--include", metavar="PATTERN", multiple=True, help="Only such files, in .gitignore's language")
@click.option("--exclude", metavar="PATTERN", multiple=True, help="No such files")
@_home
@_json
def add(
    source: str,
    access: tuple[str, ...],
    tenant: str,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    own_home: str | None,
    as_json: bool,
) -> None:
    """Follow SOURCE, a file or folder; `sync` then takes its documents in.

    Makes the book if there is none. Adding a known source again changes its settings.
    """

    async def work() -> None:
        async with _opened(own_home, create=True) as book:
            record = await book.add(source, tenant=tenant, access=access, include=include, exclude=exclude)
            if as_json:
                _print_json({"source": record.url, "tenant": record.tenant, "access": sorted(record.access)})
            else:
                click.echo(f"Following {record.url}\nNext: sourcebook sync")

    _run(work())


@cli.command()
@click.option("--watch", is_flag=True, help="Go on, and follow changes as they happen, until interrupted")
@click.option("--retry", is_flag=True, help="Also try failed documents again that have not changed")
@click.option("--wait", type=float, default=0.0, metavar="SECONDS", help="Wait for another process that is writing")
@_home
@_json
def sync(watch: bool, retry: bool, wait: float, own_home: str | None, as_json: bool) -> None:
    """Bring the book up to date: new and changed documents go in, missing ones go out at once."""
    from sourcebook.display import show_report

    def show(report: SyncReport) -> None:
        if as_json:
            _print_json(asdict(report))
        else:
            show_report(report)

    async def work() -> None:
        async with _opened(own_home, bar=not as_json) as book:
            if not book.sources():
                raise NotFound("The book follows no source", remedy="Name one first: sourcebook add FOLDER")
            if watch:
                async for report in book.watch(wait=wait):
                    show(report)
            else:
                show(await book.sync(retry=retry, wait=wait))

    _run(work())


@cli.command()
@click.argument("name")
@click.option("--tenant", default="default", show_default=True, metavar="NAME", help="Whose")
@_home
@_json
def remove(name: str, tenant: str, own_home: str | None, as_json: bool) -> None:
    """Remove NAME, a source with its documents or one document; nothing of it is found from then on."""

    async def work() -> None:
        async with _opened(own_home) as book:
            removed = await book.remove(name, tenant=tenant)
            if as_json:
                _print_json({"removed": removed})
            else:
                click.echo(f"Removed {removed} document{'' if removed == 1 else 's'}")

    _run(work())


# --- answers out ------------------------------------------------------------------------------------------


@cli.command()
@click.argument("question", required=False)
@click.option(
    "--source",
    "sources",
    metavar="SOURCE",
    multiple=True,
    help="Add this file or folder and sync first, all in one go (repeatable)",
)
@_asking
@_home
@_json
def ask(
    question: str | None,
    sources: tuple[str, ...],
    where: str | None,
    names: tuple[str, ...],
    tenant: str,
    batch: TextIO | None,
    own_home: str | None,
    as_json: bool,
) -> None:
    """Answer QUESTION from the documents, and name the sources."""
    from sourcebook.display import answer_json, show_answer

    questions = _questions(question, batch)

    async def work() -> None:
        async with _opened(own_home, create=bool(sources), bar=not as_json) as book:
            for source in sources:
                if not book.follows(source, tenant=tenant):  # whose settings, access lists above all, stay
                    await book.add(source, tenant=tenant)
            if sources:
                await book.sync(wait=60.0)
            scope = _scope(tenant, names)
            for name, text in questions:
                if batch is not None:
                    _print_json({"id": name, **answer_json(await book.ask(text, scope=scope, where=where))})
                elif as_json:
                    _print_json(answer_json(await book.ask(text, scope=scope, where=where)))
                else:
                    await show_answer(book.stream(text, scope=scope, where=where))

    _run(work())


@cli.command()
@click.argument("question", required=False)
@click.option("--top", type=click.IntRange(1, 1000), default=10, show_default=True, help="Passages at most")
@_asking
@_home
@_json
def search(
    question: str | None,
    top: int,
    where: str | None,
    names: tuple[str, ...],
    tenant: str,
    batch: TextIO | None,
    own_home: str | None,
    as_json: bool,
) -> None:
    """Find the passages that matter for QUESTION, best first."""
    from sourcebook.display import hits_json, show_hits

    questions = _questions(question, batch)

    async def work() -> None:
        async with _opened(own_home) as book:
            for name, text in questions:
                hits = await book.search(text, top=top, scope=_scope(tenant, names), where=where)
                if batch is not None:
                    _print_json({"id": name, **hits_json(hits)})
                elif as_json:
                    _print_json(hits_json(hits))
                else:
                    show_hits(hits)

    _run(work())


def _questions(question: str | None, batch: TextIO | None) -> Iterator[tuple[object, str]]:
    """(id, text) of the question given, or of each line of the batch."""
    if (question is None) == (batch is None):
        raise click.UsageError("Give a QUESTION, or --batch FILE with one a line")
    if batch is None:
        assert question is not None
        return iter([(None, question)])

    def lines() -> Iterator[tuple[object, str]]:
        for number, line in enumerate(batch, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                name, text = row["id"], row["text"]
                if not isinstance(text, str) or not text.strip():
                    raise ValueError("no text")
                text.encode()  # raises where there are bytes that are no UTF-8, or half characters
            except (ValueError, KeyError, TypeError) as error:
                raise SourcebookError(
                    f"Line {number} of {batch.name} is not a question: {line.strip()[:80]!a}",
                    remedy='Each line must be {"id": ..., "text": "..."}',
                ) from error
            yield name, text

    return lines()


# --- looking inside ---------------------------------------------------------------------------------------


@cli.command()
@click.option("--failed", is_flag=True, help="Only documents that failed")
@_home
@_json
def status(failed: bool, own_home: str | None, as_json: bool) -> None:
    """The ledger: what is in the book, what failed and why."""
    from sourcebook.display import show_status

    async def work() -> None:
        async with _opened(own_home) as book:
            entries = [entry for entry in book.ledger() if not failed or entry.state == "failed"]
            if as_json:
                _print_json(
                    {
                        "home": str(book.home),
                        "sources": [one.url for one in book.sources()],
                        "documents": [asdict(entry) for entry in entries],
                    }
                )
            else:
                show_status(book, entries)

    _run(work())


@cli.command()
@click.argument("name")
@click.option("--as", "names", metavar="NAME", multiple=True, help="Look as this user or group (repeatable)")
@click.option("--tenant", default="default", show_default=True, metavar="NAME", help="Whose")
@_home
@_json
def show(name: str, names: tuple[str, ...], tenant: str, own_home: str | None, as_json: bool) -> None:
    """Show NAME as the book sees it: a document (path or URI), a passage or an answer (their ids)."""
    from sourcebook.display import passage_json, show_document, show_record

    async def work() -> None:
        async with _opened(own_home) as book:
            found = book.find(name, scope=_scope(tenant, names))
            if isinstance(found, dict):
                _print_json(found) if as_json else show_record(found)
                return
            text, passages = found
            if as_json:
                _print_json({"text": text, "passages": [passage_json(passage) for passage in passages]})
            else:
                show_document(text, passages)

    _run(work())


@cli.command()
@click.option("--repair", is_flag=True, help="Make the index anew from the catalog")
@_home
@_json
def doctor(repair: bool, own_home: str | None, as_json: bool) -> None:
    """Check that everything the book needs is there and in order."""
    from sourcebook.display import show_findings
    from sourcebook.doctor import examine

    async def work() -> None:
        async with _opened(own_home) as book:
            if repair:
                await book.rebuild_index()
            findings = await examine(book)
            if as_json:
                _print_json({"ok": all(one.ok for one in findings), "checks": [asdict(one) for one in findings]})
            else:
                show_findings(findings)
            if not all(one.ok for one in findings):
                raise click.exceptions.Exit(FAILED)

    _run(work())


@cli.command()
@_home
@click.option("--json", "as_json", is_flag=True, help="The export is JSON lines already; accepted for uniformity")
def export(own_home: str | None, as_json: bool) -> None:  # noqa: ARG001
    """Write all live documents and their passages as JSON lines; equal books give equal bytes."""

    async def work() -> None:
        async with _opened(own_home) as book:
            for row in book.export():
                _print_json(row)

    _run(work())
