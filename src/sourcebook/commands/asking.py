"""Answers out: ask, search."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, TextIO, TypedDict

import click

from sourcebook.commands.base import (
    FAILED,
    account_option,
    asking_options,
    error_json,
    home_option,
    json_option,
    opened,
    print_json,
    run,
    scope_of,
)
from sourcebook.errors import ModelError, SourcebookError

if TYPE_CHECKING:
    from sourcebook.book import Sourcebook
    from sourcebook.types import Scope


class Asking(TypedDict):
    """How a question is asked."""

    scope: Scope
    where: str | None
    conversation: str | None
    account: str
    seconds: float | None


@click.command()
@click.argument("question", required=False)
@click.option(
    "--source",
    "sources",
    metavar="SOURCE",
    multiple=True,
    help="Add this file or folder and sync first, all in one go (repeatable)",
)
@click.option(
    "--conversation",
    metavar="ID",
    help="Ask within this conversation (its id, the start of it, or last), or begin one with: new",
)
@click.option("--estimate", is_flag=True, help="Say what it would cost, and ask nobody")
@account_option
@click.option("--seconds", type=click.FloatRange(0, min_open=True), metavar="N", help="How long it may take")
@asking_options
@home_option
@json_option
def ask(
    question: str | None,
    sources: tuple[str, ...],
    conversation: str | None,
    estimate: bool,
    account: str,
    seconds: float | None,
    where: str | None,
    names: tuple[str, ...],
    tenant: str,
    batch: TextIO | None,
    own_home: str | None,
    as_json: bool,
) -> None:
    """Answer QUESTION from the documents, and name the sources."""
    from sourcebook.commands.as_json import answer_json
    from sourcebook.commands.printing import show_answer, show_estimates

    questions = _questions(question, batch)
    if estimate and conversation == "new":
        raise click.UsageError("There is nothing in a new conversation to estimate with")

    async def work() -> None:
        async with opened(own_home, create=bool(sources), bar=not as_json) as book:
            for source in sources:
                if not book.follows(source, tenant=tenant):  # whose settings, access lists above all, stay
                    await book.add(source, tenant=tenant)
            if sources:
                await book.sync(wait=60.0)
            scope = scope_of(tenant, names)
            within = _within(book, conversation, scope)
            options: Asking = {
                "scope": scope, "where": where, "conversation": within, "account": account, "seconds": seconds
            }  # fmt: skip
            failed = 0
            for name, text in questions:
                if estimate:
                    rows = await book.estimate(text, scope=scope, where=where, conversation=within)
                    print_json({"estimates": [asdict(one) for one in rows]}) if as_json else show_estimates(rows)
                    continue
                more = {} if within is None else {"conversation": within}
                if batch is not None:
                    try:
                        print_json({"id": name, **answer_json(await book.ask(text, **options)), **more})
                    except ModelError as error:  # the other questions are asked all the same
                        print_json({"id": name, **error_json(error)})
                        failed += 1
                elif as_json:
                    print_json({**answer_json(await book.ask(text, **options)), **more})
                else:
                    await show_answer(book.stream(text, **options))
                    if conversation == "new":
                        click.echo(f"The conversation is {within}", err=True)
            if failed:
                raise click.exceptions.Exit(FAILED)

    run(work())


def _within(book: Sourcebook, conversation: str | None, scope: Scope) -> str | None:
    """The id of the conversation that is meant. Errors: NotFound."""
    from sourcebook.commands.conversations import resumed

    if conversation is None:
        return None
    return book.converse(scope=scope) if conversation == "new" else resumed(book, conversation, scope).id


@click.command()
@click.argument("question", required=False)
@click.option("--top", type=click.IntRange(1, 1000), default=10, show_default=True, help="Passages at most")
@asking_options
@home_option
@json_option
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
    from sourcebook.commands.as_json import hits_json
    from sourcebook.commands.printing import show_hits

    questions = _questions(question, batch)

    async def work() -> None:
        async with opened(own_home) as book:
            for name, text in questions:
                hits = await book.search(text, top=top, scope=scope_of(tenant, names), where=where)
                if batch is not None:
                    print_json({"id": name, **hits_json(hits)})
                elif as_json:
                    print_json(hits_json(hits))
                else:
                    show_hits(hits)

    run(work())


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
