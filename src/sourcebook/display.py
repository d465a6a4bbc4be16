"""How the command line prints: for people on a terminal, plainly in a pipe, and as JSON for programs."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from sourcebook.sources.files import display, path_of
from sourcebook.types import Answer, Citation, Hit, LedgerEntry, Passage, SyncReport, Unsupported

if TYPE_CHECKING:
    from sourcebook.book import Sourcebook
    from sourcebook.doctor import Finding
    from sourcebook.prompt.cite import AnswerPart


def document_name(uri: str) -> str:
    """A document's URI for people: the path, if it is a file."""
    return display(path_of(uri)) if uri.startswith("file:") else uri


def hits_json(hits: Sequence[Hit]) -> dict[str, Any]:
    """Hits as `search --json` prints them."""
    return {
        "hits": [
            {
                "document": hit.passage.document,
                "page": hit.passage.page,
                "start": hit.passage.start,
                "end": hit.passage.end,
                "text": hit.passage.text,
                "score": round(hit.score, 6),
                "passage": hit.passage.id,
                "title": hit.passage.title,
                "headings": list(hit.passage.heading_path),
                "location": hit.passage.location,
                "duplicates": list(hit.duplicates),
            }
            for hit in hits
        ]
    }


def answer_json(answer: Answer) -> dict[str, Any]:
    """An answer as `ask --json` prints it."""
    return {
        "answer": answer.text,
        "known": answer.known,
        "citations": [
            {
                "document": one.document,
                "page": one.page,
                "start": one.start,
                "end": one.end,
                "quote": one.quote,
                "passage": one.passage,
                "title": one.title,
                "location": one.location,
            }
            for one in answer.citations
        ],
        "answer_id": answer.id,
        "model": answer.model,
        "unsupported": [one.text for one in answer.unsupported],
        "usage": {
            "input_tokens": answer.usage.input_tokens,
            "output_tokens": answer.usage.output_tokens,
            "cost": answer.usage.cost,
        },
    }


def passage_json(passage: Passage) -> dict[str, Any]:
    """A passage as `show --json` prints it."""
    return {
        "id": passage.id,
        "document": passage.document,
        "version": passage.version,
        "start": passage.start,
        "end": passage.end,
        "page": passage.page,
        "location": passage.location,
        "headings": list(passage.heading_path),
        "language": passage.language,
        "text": passage.text,
    }


async def show_answer(parts: AsyncIterator[AnswerPart]) -> None:
    """Print an answer as it comes, a number after each sentence, and the numbered sources below."""
    from sourcebook.models.base import Switched

    sources: list[Citation] = []
    async for part in parts:
        match part:
            case str():
                click.echo(" ".join(part.split("\n")), nl=False)
            case Citation():
                if part not in sources:
                    sources.append(part)
                click.echo(click.style(f" [{sources.index(part) + 1}]", fg="cyan"), nl=False)
            case Unsupported():
                click.echo(click.style(" [not supported by the sources]", fg="yellow"), nl=False)
            case Switched():
                sources = [] if part.kept == 0 else sources
                mark = f"{part.after} goes on" if part.kept else f"{part.after} answers instead"
                click.echo(click.style(f" ({mark}: {part.reason}) ", dim=True), nl=False)
            case Answer(known=False):
                click.echo("I do not know: nothing in the documents supports an answer.")
            case Answer():
                click.echo("\n")
                for number, citation in enumerate(sources, 1):
                    click.echo(f"{click.style(f'[{number}]', fg='cyan')} {_place(citation)}")
                if part.finish == "length":
                    click.echo(click.style("The answer was cut off at the limit of its length.", fg="yellow"))


def _place(citation: Citation) -> str:
    place = [document_name(citation.document)]
    if citation.page is not None:
        place.append(f"page {citation.page}")
    if citation.location:
        place.append(citation.location)
    place.append(f"characters {citation.start}-{citation.end}")
    return ", ".join(place)


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


def show_record(record: dict[str, Any]) -> None:
    """Print an answer's record."""
    click.echo(f"{click.style(record['question'], bold=True)}  ({record['asked']}, {record['model']})")
    click.echo(record["answer"] or "(not known)")
    for passage in record["passages"]:
        click.echo(f"  saw {document_name(passage['document'])} {passage['start']}-{passage['end']}")


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

    book.on_progress = advance
    with bar:
        yield
