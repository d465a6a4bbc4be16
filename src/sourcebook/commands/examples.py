"""Examples: questions with good answers, which models are shown."""

from __future__ import annotations

from typing import TextIO

import click

from sourcebook.commands.base import counted, home_option, json_option, opened, print_json, run

_tenant_option = click.option("--tenant", default="default", show_default=True, metavar="NAME", help="Whose")
_collection_option = click.option(
    "--collection", default="default", show_default=True, metavar="NAME", help="A set of examples of its own"
)


@click.group()
def examples() -> None:
    """Questions with good answers, which show models the manner that is wanted."""


@examples.command()
@click.argument("file", type=click.File("r", encoding="utf-8", errors="surrogateescape"), required=False)
@click.option("--question", metavar="TEXT", help="One example's question")
@click.option("--answer", metavar="TEXT", help="And its answer")
@_collection_option
@_tenant_option
@home_option
@json_option
def add(
    file: TextIO | None,
    question: str | None,
    answer: str | None,
    collection: str,
    tenant: str,
    own_home: str | None,
    as_json: bool,
) -> None:
    """Add examples: of FILE, one {"question": ..., "answer": ...} a line (- is standard input), or a single one.

    A question that is known gets the new answer.
    """
    from sourcebook.prompt.examples import add_examples, parse_examples

    single = bool(question and question.strip() and answer and answer.strip())
    if (file is not None) == single or (question is None) != (answer is None):
        raise click.UsageError("Give a FILE, or --question and --answer")
    if file is not None:
        pairs = parse_examples(file, getattr(file, "name", "standard input"))
    else:
        assert question is not None
        assert answer is not None
        pairs = [(question, answer)]

    async def work() -> None:
        async with opened(own_home) as book:
            ids = await add_examples(book.catalog, pairs, embedder=book.embedder, tenant=tenant, collection=collection)
            print_json({"examples": ids}) if as_json else counted("Added", len(set(ids)), "example")

    run(work())


@examples.command("list")
@click.option("--collection", metavar="NAME", help="Only this set [default: all]")
@_tenant_option
@home_option
@json_option
def list_examples(collection: str | None, tenant: str, own_home: str | None, as_json: bool) -> None:
    """The examples, in the order they were added."""
    from sourcebook.catalog.examples import read_examples

    async def work() -> None:
        async with opened(own_home) as book:
            found = read_examples(book.catalog, tenant=tenant, collection=collection)
            if as_json:
                keys = ("id", "collection", "question", "answer", "added")
                print_json({"examples": [{key: getattr(one, key) for key in keys} for one in found]})
                return
            for one in found:
                click.echo(f"{click.style(one.id, fg='cyan')}  {one.collection}")
                click.echo(f"  {' '.join(one.question.split())}\n  {' '.join(one.answer.split())}\n")
            if not found:
                click.echo("No examples. Add some: sourcebook examples add FILE")

    run(work())


@examples.command()
@click.argument("ids", metavar="ID...", nargs=-1)
@click.option("--collection", metavar="NAME", help="All of this set instead")
@_tenant_option
@home_option
@json_option
def remove(ids: tuple[str, ...], collection: str | None, tenant: str, own_home: str | None, as_json: bool) -> None:
    """Remove examples by their ids, or a whole collection."""
    from sourcebook.catalog.examples import delete_collection, delete_examples

    if bool(ids) == (collection is not None):
        raise click.UsageError("Name the examples, or a --collection")

    async def work() -> None:
        async with opened(own_home) as book:
            if collection is not None:
                removed = delete_collection(book.catalog, collection, tenant=tenant)
            else:
                delete_examples(book.catalog, ids, tenant=tenant)
                removed = len(set(ids))
            print_json({"removed": removed}) if as_json else counted("Removed", removed, "example")

    run(work())
