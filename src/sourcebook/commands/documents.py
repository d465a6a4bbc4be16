"""Documents in: init, add, sync, remove."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from sourcebook.commands.base import home_option, json_option, opened, print_json, run
from sourcebook.errors import NotFound

if TYPE_CHECKING:
    from sourcebook.types import SyncReport


@click.command()
@home_option
@json_option
def init(own_home: str | None, as_json: bool) -> None:
    """Make an empty book, with a settings file that explains itself."""

    async def work() -> None:
        async with opened(own_home, create=True) as book:
            if as_json:
                print_json({"home": str(book.home)})
            else:
                click.echo(f"The book is {book.home}\nNext: sourcebook add FOLDER, then sourcebook sync")

    run(work())


@click.command()
@click.argument("source")
@click.option("--access", metavar="NAME", multiple=True, help="Only this user or group may see it (repeatable)")
@click.option("--tenant", default="default", show_default=True, metavar="NAME", help="Whose documents these are")
@click.option("--include", metavar="PATTERN", multiple=True, help="Only such files, in .gitignore's language")
@click.option("--exclude", metavar="PATTERN", multiple=True, help="No such files")
@home_option
@json_option
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
        async with opened(own_home, create=True) as book:
            record = await book.add(source, tenant=tenant, access=access, include=include, exclude=exclude)
            if as_json:
                print_json({"source": record.url, "tenant": record.tenant, "access": sorted(record.access)})
            else:
                click.echo(f"Following {record.url}\nNext: sourcebook sync")

    run(work())


@click.command()
@click.option("--watch", is_flag=True, help="Go on, and follow changes as they happen, until interrupted")
@click.option("--retry", is_flag=True, help="Also try failed documents again that have not changed")
@click.option("--allow-empty", is_flag=True, help="Take a source that lists nothing any more for emptied on purpose")
@click.option("--wait", type=float, default=0.0, metavar="SECONDS", help="Wait for another process that is writing")
@home_option
@json_option
def sync(watch: bool, retry: bool, allow_empty: bool, wait: float, own_home: str | None, as_json: bool) -> None:
    """Bring the book up to date: new and changed documents go in, missing ones go out at once."""
    from sourcebook.commands.printing import show_report

    def show(report: SyncReport) -> None:
        if as_json:
            print_json(asdict(report))
        else:
            show_report(report)

    async def work() -> None:
        async with opened(own_home, bar=not as_json) as book:
            if not book.sources():
                raise NotFound("The book follows no source", remedy="Name one first: sourcebook add FOLDER")
            if watch:
                async for report in book.watch(allow_empty=allow_empty, wait=wait):
                    show(report)
            else:
                show(await book.sync(retry=retry, allow_empty=allow_empty, wait=wait))

    run(work())


@click.command()
@click.argument("name")
@click.option("--tenant", default="default", show_default=True, metavar="NAME", help="Whose")
@home_option
@json_option
def remove(name: str, tenant: str, own_home: str | None, as_json: bool) -> None:
    """Remove NAME, a source with its documents or one document; nothing of it is found from then on."""

    async def work() -> None:
        async with opened(own_home) as book:
            removed = await book.remove(name, tenant=tenant)
            if as_json:
                print_json({"removed": removed})
            else:
                click.echo(f"Removed {removed} document{'' if removed == 1 else 's'}")

    run(work())
