"""Looking inside: status, show, doctor, export."""

from __future__ import annotations

from dataclasses import asdict

import click

from sourcebook.commands.base import FAILED, home_option, json_option, opened, print_json, run, scope_of


@click.command()
@click.option("--failed", is_flag=True, help="Only documents that failed")
@home_option
@json_option
def status(failed: bool, own_home: str | None, as_json: bool) -> None:
    """The ledger: what is in the book, what failed and why."""
    from sourcebook.commands.printing import show_status

    async def work() -> None:
        async with opened(own_home) as book:
            entries = [entry for entry in book.ledger() if not failed or entry.state == "failed"]
            if as_json:
                print_json(
                    {
                        "home": str(book.home),
                        "sources": [one.url for one in book.sources()],
                        "documents": [asdict(entry) for entry in entries],
                    }
                )
            else:
                show_status(book, entries)

    run(work())


@click.command()
@click.argument("name")
@click.option("--as", "names", metavar="NAME", multiple=True, help="Look as this user or group (repeatable)")
@click.option("--tenant", default="default", show_default=True, metavar="NAME", help="Whose")
@home_option
@json_option
def show(name: str, names: tuple[str, ...], tenant: str, own_home: str | None, as_json: bool) -> None:
    """Show NAME as the book sees it: a document (path or URI), a passage or an answer (their ids)."""
    from sourcebook.commands.as_json import passage_json
    from sourcebook.commands.printing import show_document, show_record

    async def work() -> None:
        async with opened(own_home) as book:
            found = book.find(name, scope=scope_of(tenant, names))
            if isinstance(found, dict):
                print_json(found) if as_json else show_record(found)
                return
            text, passages = found
            if as_json:
                print_json({"text": text, "passages": [passage_json(passage) for passage in passages]})
            else:
                show_document(text, passages)

    run(work())


@click.command()
@click.option("--repair", is_flag=True, help="Make the index anew from the catalog")
@home_option
@json_option
def doctor(repair: bool, own_home: str | None, as_json: bool) -> None:
    """Check that everything the book needs is there and in order."""
    from sourcebook.book.doctor import examine
    from sourcebook.commands.printing import show_findings

    async def work() -> None:
        async with opened(own_home) as book:
            if repair:
                await book.rebuild_index()
            findings = await examine(book)
            if as_json:
                print_json({"ok": all(one.ok for one in findings), "checks": [asdict(one) for one in findings]})
            else:
                show_findings(findings)
            if not all(one.ok for one in findings):
                raise click.exceptions.Exit(FAILED)

    run(work())


@click.command()
@home_option
@click.option("--json", "as_json", is_flag=True, help="The export is JSON lines already; accepted for uniformity")
def export(own_home: str | None, as_json: bool) -> None:  # noqa: ARG001
    """Write all live documents and their passages as JSON lines; equal books give equal bytes."""

    async def work() -> None:
        async with opened(own_home) as book:
            for row in book.export():
                print_json(row)

    run(work())
