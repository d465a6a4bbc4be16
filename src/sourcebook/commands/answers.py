"""The records of answers: list, show, delete."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import click

from sourcebook.commands.base import counted, home_option, json_option, opened, print_json, run, scope_of

F = TypeVar("F", bound=Callable[..., Any])


def _whose(command: F) -> F:
    for option in (
        click.option("--as", "names", metavar="NAME", multiple=True, help="As this user or group (repeatable)"),
        click.option("--tenant", default="default", show_default=True, metavar="NAME", help="Whose"),
    ):
        command = option(command)
    return command


@click.group()
def answers() -> None:
    """See and delete the records of answers: what was asked, and all that made the answer."""


@answers.command("list")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="So many at most")
@_whose
@home_option
@json_option
def list_(limit: int, names: tuple[str, ...], tenant: str, own_home: str | None, as_json: bool) -> None:
    """Your answers, the newest first."""
    from sourcebook.catalog.answers import list_answers
    from sourcebook.commands.printing import show_answers

    async def work() -> None:
        async with opened(own_home) as book:
            found = list_answers(book.catalog, scope_of(tenant, names), most=limit)
            print_json({"answers": [asdict(one) for one in found]}) if as_json else show_answers(found)

    run(work())


@answers.command()
@click.argument("name", metavar="ID")
@_whose
@home_option
@json_option
def show(name: str, names: tuple[str, ...], tenant: str, own_home: str | None, as_json: bool) -> None:
    """The record of answer ID; the start of its id, or `last`, will do."""
    from sourcebook.commands.printing import show_record

    async def work() -> None:
        async with opened(own_home) as book:
            record = book.answer_record(name, scope=scope_of(tenant, names))
            print_json(record) if as_json else show_record(record)

    run(work())


@answers.command()
@click.argument("ids", metavar="ID...", nargs=-1)
@click.option("--older-than", metavar="DAYS", help="Those of the whole tenant given before, as 90d")
@click.option("--all", "everything", is_flag=True, help="All of the tenant")
@_whose
@home_option
@json_option
def delete(
    ids: tuple[str, ...],
    older_than: str | None,
    everything: bool,
    names: tuple[str, ...],
    tenant: str,
    own_home: str | None,
    as_json: bool,
) -> None:
    """Delete records of answers. What they cost stays in the usage ledger."""
    from sourcebook.catalog.answers import delete_answers, delete_answers_before

    if bool(ids) + (older_than is not None) + everything != 1:
        raise click.UsageError("Name the answers, or give --older-than or --all")
    limit = datetime.now(UTC) - timedelta(days=_days(older_than or "0"))

    async def work() -> None:
        async with opened(own_home) as book:
            scope = scope_of(tenant, names)
            if ids:
                wanted = list(dict.fromkeys(str(book.answer_record(one, scope=scope)["id"]) for one in ids))
                deleted = delete_answers(book.catalog, wanted, scope)
            else:
                deleted = delete_answers_before(book.catalog, limit, tenant=tenant)
            print_json({"deleted": deleted}) if as_json else counted("Deleted", deleted, "answer")

    run(work())


def _days(text: str) -> int:
    found = re.fullmatch(r"([0-9]{1,5})d?", text.strip())
    if found is None:
        raise click.BadParameter(f"{text!r} is no number of days", param_hint="--older-than")
    return int(found[1])
