"""How the command line prints for people: with colours on a terminal, plainly in a pipe."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from sourcebook.commands.base import harmless
from sourcebook.sources.files import display, path_of
from sourcebook.types import Answer, Citation, Hit, LedgerEntry, Passage, SyncReport, Unsupported

if TYPE_CHECKING:
    from sourcebook.book import Sourcebook
    from sourcebook.book.doctor import Finding
    from sourcebook.book.estimating import ModelEstimate
    from sourcebook.catalog.answers import AnswerLine
    from sourcebook.prompt.cite import AnswerPart


def document_name(uri: str) -> str:
    """A document's URI for people: the path, if it is a file."""
    return display(path_of(uri)) if uri.startswith("file:") else uri


async def show_answer(parts: AsyncIterator[AnswerPart]) -> None:
    """Print an answer as it comes, a number after each sentence, and the numbered sources below."""
    from sourcebook.models.base import Switched

    sources: list[Citation] = []
    printed = False
    async for part in parts:
        match part:
            case str():
                printed = printed or bool(part.strip())
                click.echo(" ".join(harmless(part).split("\n")), nl=False)
            case Citation():
                if part not in sources:
                    sources.append(part)
                click.echo(click.style(f" [{sources.index(part) + 1}]", fg="cyan"), nl=False)
            case Unsupported():
                click.echo(click.style(" [not supported by the sources]", fg="yellow"), nl=False)
            case Switched():
                sources = [] if part.kept == 0 else sources
                mark = f"{part.after} goes on" if part.kept else f"{part.after} answers instead"
                click.echo(click.style(harmless(f" ({mark}: {part.reason}) "), dim=True), nl=False)
            case Answer():
                _end(part, sources, printed=printed)


def _end(answer: Answer, sources: Sequence[Citation], *, printed: bool) -> None:
    if answer.known:
        click.echo("\n")
        for number, citation in enumerate(sources, 1):
            click.echo(f"{click.style(f'[{number}]', fg='cyan')} {_place(citation)}")
    elif not printed:
        click.echo("I do not know: nothing in the documents supports an answer.")
    else:
        click.echo()
        if answer.unsupported:
            click.echo(click.style("The documents do not support this answer.", fg="yellow"))
    if answer.finish == "length":
        click.echo(click.style("The answer was cut off at the limit of its length.", fg="yellow"))
    if sys.stdout.isatty():
        click.echo(click.style(f"Answer {answer.id[:8]}", dim=True))


def _place(citation: Citation) -> str:
    place = [document_name(citation.document)]
    if citation.computed is not None:
        read = [one.rows for one in citation.computed.tables if one.document == citation.document]
        statement = " ".join(harmless(citation.computed.sql).split())
        return ", ".join([*place, *filter(None, read), f"computed: {statement}"])
    if citation.page is not None:
        place.append(f"page {citation.page}")
    if citation.location:
        place.append(citation.location)
    place.append(f"characters {citation.start}-{citation.end}")
    return ", ".join(place)


def show_estimates(rows: Sequence[ModelEstimate]) -> None:
    """Print what an answer would cost, a model a line."""
    for one in rows:
        price = f"${one.low / 1_000_000:.4f} to ${one.high / 1_000_000:.4f}" if one.priced else "price not known"
        tokens = f"{one.input_tokens:,} tokens and {one.output_tokens:,} at most in reply"
        click.echo(f"{click.style(one.model, bold=True)}  {tokens}  {price}")


def show_hits(hits: Sequence[Hit]) -> None:
    """Print hits, best first."""
    if not hits:
        click.echo("Nothing found.")
    for number, hit in enumerate(hits, 1):
        passage = hit.passage
        place = document_name(passage.document)
        if passage.page is not None:
            place += f", page {passage.page}"
        if passage.location:
            place += f", {passage.location}"
        click.echo(f"{click.style(f'{number}.', bold=True)} {click.style(place, fg='cyan')}  ({hit.score:.3f})")
        if passage.heading_path:
            click.echo(click.style("   " + " > ".join(passage.heading_path), dim=True))
        text = " ".join(passage.text.split())
        click.echo(f"   {text[:400]}{'…' if len(text) > 400 else ''}")
        for other in hit.duplicates:
            click.echo(click.style(f"   the same in {document_name(other)}", dim=True))
        click.echo()


def show_report(report: SyncReport) -> None:
    """Print what a sync did."""
    parts = [
        f"{number} {name}"
        for name, number in (
            ("added", report.added),
            ("changed", report.changed),
            ("deleted", report.deleted),
            ("unchanged", report.unchanged),
        )
        if number
    ]
    line = ", ".join(parts) or "Nothing to do"
    if report.failed:
        line += ", " + click.style(f"{report.failed} failed", fg="red") + " (why: sourcebook status --failed)"
    click.echo(f"{line}; {report.passages} passages in the book, {report.embedded} embedded, {report.seconds:.1f} s")
    for why in report.unreachable:
        click.echo(f"{click.style('Out of reach:', fg='red')} {why}", err=True)


def show_status(book: Sourcebook, entries: Sequence[LedgerEntry]) -> None:
    """Print the ledger."""
    click.echo(f"{click.style('Book', bold=True)} {book.home}")
    for source in book.sources():
        restricted = f"  (for {', '.join(sorted(source.access))})" if source.access else ""
        click.echo(f"{click.style('Source', bold=True)} {document_name(source.url)}{restricted}")
    colours = {"live": "green", "failed": "red"}
    for entry in entries:
        state = click.style(f"{entry.state:<8}", fg=colours.get(entry.state, "yellow"))
        passages = f"{entry.passages} passages" if entry.answering else ""
        click.echo(f"{state}{document_name(entry.uri)}  {passages}")
        if entry.error:
            click.echo(f"        {entry.error}")
            if entry.answering:
                click.echo("        The version before still answers.")
    failed = sum(entry.state == "failed" for entry in entries)
    click.echo(f"{len(entries)} documents, {failed} failed, {sum(entry.passages for entry in entries)} passages")


def show_document(text: str, passages: Sequence[Passage]) -> None:
    """Print a document passage by passage, with where each stands."""
    if passages:
        first = passages[0]
        click.echo(
            f"{click.style(document_name(first.document), bold=True)}, version {first.version}, {len(text)} characters"
        )
    for passage in passages:
        place = [f"#{passage.ordinal}", f"characters {passage.start}-{passage.end}"]
        if passage.page is not None:
            place.append(f"page {passage.page}")
        place += [part for part in (passage.location, passage.language, passage.id) if part]
        click.echo(click.style("\n" + ", ".join(place), fg="cyan"))
        if passage.heading_path:
            click.echo(click.style(" > ".join(passage.heading_path), dim=True))
        click.echo(passage.text)


def show_record(record: Mapping[str, Any]) -> None:
    """Print an answer's record."""
    click.echo(f"{click.style(harmless(record['question']), bold=True)}  ({record['asked']}, {record['model']})")
    if record.get("removed"):
        gone = ", ".join(document_name(one) for one in record["removed"] if one) or "what was recalled"
        click.echo(f"(its words are removed: it was made from {gone}, which was deleted)")
    else:
        click.echo(harmless(record["answer"]) or "(not known)")
    for passage in record["passages"]:
        click.echo(f"  saw {document_name(passage['document'])} {passage['start']}-{passage['end']}")


def show_answers(lines: Sequence[AnswerLine]) -> None:
    """Print a list of answers."""
    if not lines:
        click.echo("No answers are recorded.")
    for one in lines:
        question = " ".join(harmless(one.question).split())
        question = f"{question[:60]}…" if len(question) > 60 else question
        mark = " (removed)" if one.removed else "" if one.known else " (not known)"
        place = f"{click.style(one.id[:8], fg='cyan')}  {one.asked[:16].replace('T', ' ')}"
        click.echo(f"{place}  {one.model}  ${one.cost / 1_000_000:.4f}  {question}{mark}")


def show_findings(findings: Sequence[Finding]) -> None:
    """Print what the doctor found."""
    for one in findings:
        mark = click.style("ok  ", fg="green") if one.ok else click.style("FAIL", fg="red")
        click.echo(f"{mark} {one.check}: {one.detail}")
        if one.remedy:
            click.echo(f"     {one.remedy}")


@contextmanager
def progress_bar(book: Sourcebook) -> Iterator[None]:
    """A bar on standard error while a sync runs."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(file=sys.stderr),
        transient=True,
    )
    task = bar.add_task("Documents", total=None, visible=False)

    def advance(listed: int, done: int) -> None:
        bar.update(task, total=listed, completed=done, visible=done < listed)

    book.syncing.on_progress = advance
    with bar:
        yield
