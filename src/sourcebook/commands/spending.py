"""Money: usage, budget, prices."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

import click

from sourcebook.commands.base import home_option, json_option, opened, print_json, run
from sourcebook.errors import SourcebookError

if TYPE_CHECKING:
    from sourcebook.book.models import Saving
    from sourcebook.catalog.usage_report import Grouping, UsageTotal
    from sourcebook.models.cost.known import KnownModel
    from sourcebook.types import BudgetStanding, Period

_DAY = click.DateTime(formats=["%Y-%m-%d"])
_PERIODS = click.Choice(["day", "month", "total"])


def _micro_dollars(_context: click.Context, _parameter: click.Parameter, value: str) -> int:
    """An amount in US dollars ("5", "0.25", "$12.50"), exactly; one finer than a micro-dollar is refused."""
    try:
        amount = Decimal(value.removeprefix("$").replace("_", "")) * 1_000_000
        if amount != int(amount) or not 0 <= amount < 2**62:
            raise InvalidOperation
    except (InvalidOperation, ValueError, OverflowError):
        raise click.BadParameter(f"{value!r} is not an amount in US dollars, such as 5 or 0.25") from None
    return int(amount)


@click.command()
@click.option(
    "--by", type=click.Choice(["day", "model", "account", "purpose"]), default="day", show_default=True, help="Sums by"
)
@click.option("--since", type=_DAY, metavar="DATE", help="From this day on, UTC: 2026-05-31")
@click.option("--until", type=_DAY, metavar="DATE", help="Up to and with this day")
@click.option("--account", metavar="NAME", help="Only of this account")
@click.option("--tenant", metavar="NAME", help="Only of this tenant")
@home_option
@json_option
def usage(
    by: Grouping,
    since: datetime | None,
    until: datetime | None,
    account: str | None,
    tenant: str | None,
    own_home: str | None,
    as_json: bool,
) -> None:
    """What model calls took and cost."""

    async def work() -> None:
        from sourcebook.catalog.usage_report import totals

        async with opened(own_home) as book:
            rows = totals(
                book.catalog,
                by,
                since=None if since is None else since.date(),
                until=None if until is None else until.date(),
                account=account,
                tenant=tenant,
            )
            saving = None
            if account is None and tenant is None:
                with suppress(SourcebookError):  # the models need not be there for the rest to be told
                    saving = book.models.saving(
                        since=None if since is None else since.date(), until=None if until is None else until.date()
                    )
        if as_json:
            cascade = {} if saving is None else {"cascade": asdict(saving)}
            print_json({"by": by, "usage": [asdict(row) for row in rows], **cascade})
        else:
            _show_usage(by, rows)
            if saving is not None and saving.answers:
                _show_saving(saving)

    run(work())


@click.group()
def budget() -> None:
    """What may be spent in a day, in a month, or at all."""


@budget.command("set")
@click.argument("amount", callback=_micro_dollars)
@click.option("--per", type=_PERIODS, default="month", show_default=True, help="UTC's day or month, or for good")
@click.option(
    "--account", default="*", show_default=True, metavar="NAME", help="Whose; *: all of the tenant's together"
)
@click.option("--tenant", default="default", show_default=True, metavar="NAME", help="Of which tenant")
@home_option
@json_option
def set_budget(amount: int, per: Period, account: str, tenant: str, own_home: str | None, as_json: bool) -> None:
    """Allow AMOUNT US dollars; a call that might go beyond it is not made."""

    async def work() -> None:
        from sourcebook.catalog.usage import UsageLedger
        from sourcebook.types import Budget

        async with opened(own_home) as book:
            ledger = UsageLedger(book.catalog)
            ledger.set_budget(Budget(tenant=tenant, account=account, period=per, limit=amount))
            standings = ledger.standings(tenant=tenant)
        (standing,) = (one for one in standings if (one.budget.account, one.budget.period) == (account, per))
        if as_json:
            print_json(_standing_json(standing))
        else:
            _show_budgets([standing])

    run(work())


@budget.command("list")
@click.option("--tenant", metavar="NAME", help="Only of this tenant")
@home_option
@json_option
def list_budgets(tenant: str | None, own_home: str | None, as_json: bool) -> None:
    """The budgets, and what is left of them."""

    async def work() -> None:
        from sourcebook.catalog.usage import UsageLedger

        async with opened(own_home) as book:
            standings = UsageLedger(book.catalog).standings(tenant=tenant)
        if as_json:
            print_json({"budgets": [_standing_json(one) for one in standings]})
        elif standings:
            _show_budgets(standings)
        else:
            click.echo("No budgets: nothing bounds what may be spent. Set one: sourcebook budget set 5 --per day")

    run(work())


@budget.command("remove")
@click.option("--per", type=_PERIODS, required=True, help="Of which period")
@click.option("--account", default="*", show_default=True, metavar="NAME", help="Whose")
@click.option("--tenant", default="default", show_default=True, metavar="NAME", help="Of which tenant")
@home_option
@json_option
def remove_budget(per: Period, account: str, tenant: str, own_home: str | None, as_json: bool) -> None:
    """Remove a budget."""

    async def work() -> None:
        from sourcebook.catalog.usage import UsageLedger

        async with opened(own_home) as book:
            UsageLedger(book.catalog).remove_budget(tenant=tenant, account=account, period=per)
        if as_json:
            print_json({"removed": {"tenant": tenant, "account": account, "period": per}})
        else:
            click.echo("Removed")

    run(work())


@click.command()
@click.argument("model", required=False)
@home_option
@json_option
def prices(model: str | None, own_home: str | None, as_json: bool) -> None:
    """Known models and their prices; MODEL as in settings (openai:gpt-5), or a part of names.

    US dollars per million tokens. Each row names the day for which it can be vouched: check with the vendor. Rows of
    your own go to models.toml in the book's folder.
    """
    from sourcebook.book import find_home
    from sourcebook.errors import NotFound
    from sourcebook.models.cost.known import FILE, all_known, known
    from sourcebook.models.providers import payee

    extra = find_home(own_home or click.get_current_context().find_root().obj) / FILE
    found = all_known(extra)
    if model is not None:
        provider, colon, name = model.partition(":")
        exact = known(payee(provider), name, extra) if colon else None
        wanted = model.lower()
        if exact is not None:
            found = [exact]
        else:
            found = [one for one in found if any(wanted in f"{one.provider}:{name}".lower() for name in one.names)]
        if not found:
            raise NotFound(f"Nothing is known of {model!r}", remedy=f"Add it to {extra}; see docs/cost.md")
    if as_json:
        print_json({"models": [_known_json(one) for one in found]})
    else:
        _show_prices(found)


# --- printing -------------------------------------------------------------------------------------------------


def _show_usage(by: str, rows: Sequence[UsageTotal]) -> None:
    from sourcebook.catalog.usage import dollars

    if not rows:
        click.echo("No model calls")
        return
    heads = (by, "calls", "input", "of it cached", "output", "cost", "")
    table = [
        (
            row.key,
            f"{row.calls:,}",
            f"{row.input_tokens:,}",
            f"{row.cached_tokens:,}",
            f"{row.output_tokens:,}",
            dollars(row.cost),
            _remarks(row),
        )
        for row in rows
    ]
    _table(heads, table)
    click.echo(
        f"{sum(row.calls for row in rows):,} calls, {dollars(sum(row.cost for row in rows))}"
        + ("; some had no known price: see sourcebook prices" if any(row.unpriced for row in rows) else "")
    )


def _show_saving(saving: Saving) -> None:
    from sourcebook.catalog.usage import dollars

    share = saving.escalated / saving.answers
    saved = "the strong model's price is not known" if saving.saved is None else f"{dollars(saving.saved)} saved"
    click.echo(f"Cascade: {saving.answers:,} answers, {share:.0%} by the strong model, {saved}")


def _remarks(row: UsageTotal) -> str:
    from sourcebook.catalog.usage import dollars

    remarks = []
    if row.unpriced:
        remarks.append(f"{row.unpriced:,} of unknown price")
    if row.inexact:
        remarks.append(f"{row.inexact:,} not counted by the vendor")
    if row.overrun:
        remarks.append(f"{dollars(row.overrun)} more than was held")
    return ", ".join(remarks)


def _show_budgets(standings: Sequence[BudgetStanding]) -> None:
    from sourcebook.catalog.usage import dollars

    heads = ("tenant", "account", "per", "limit", "spent", "held", "left", "renews")
    table = [
        (
            one.budget.tenant,
            one.budget.account,
            one.budget.period,
            dollars(one.budget.limit),
            dollars(one.spent),
            dollars(one.held),
            dollars(one.left),
            one.renews or "never",
        )
        for one in standings
    ]
    _table(heads, table, right=("limit", "spent", "held", "left"))


def _show_prices(models: Sequence[KnownModel]) -> None:
    heads = ("model", "input", "cached", "output", "window", "as of", "")
    table = []
    for one in models:
        name = f"{one.provider}:{one.model}"
        facts = (f"{one.window:,}" if one.window else "", str(one.as_of))
        if not one.rates:
            table.append((name, "free" if one.free else "not known", "", "", *facts, _remark(one)))
        for number, rates in enumerate(one.rates):
            when = [f"prompts over {rates.above:,}"] if rates.above else []
            when += [f"from {rates.since}"] if rates.since.year > 1 else []
            cached = "" if rates.cached is None else _per_million(rates.cached)
            amounts = (_per_million(rates.input), cached, _per_million(rates.output))
            head, about = (name, facts) if number == 0 else ("", ("", ""))
            table.append((head, *amounts, *about, ", ".join(when) or _remark(one)))
    _table(heads, table, right=("input", "cached", "output", "window"))
    click.echo("US dollars per million tokens. Prices change: check them with the vendor.")


def _remark(model: KnownModel) -> str:
    """Where a row is from, if it is the user's; else whether it is so old that its prices may have changed since."""
    if model.own:
        return "models.toml"
    old = (datetime.now(UTC).date() - model.as_of).days > _OLD and not model.free
    return "more than a year old" if old else ""


_OLD = 365  # days


def _per_million(price: int) -> str:
    return f"{Decimal(price) / 1_000_000:f}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[str] | None = None) -> None:
    numbers = right if right is not None else heads[1:-1]
    widths = [max(len(row[column]) for row in [heads, *rows]) for column in range(len(heads))]
    for index, row in enumerate([heads, *rows]):
        cells = [
            cell.rjust(width) if head in numbers else cell.ljust(width)
            for cell, width, head in zip(row, widths, heads, strict=True)
        ]
        line = "  ".join(cells).rstrip()
        click.echo(click.style(line, bold=True) if index == 0 else line)


def _standing_json(standing: BudgetStanding) -> dict[str, Any]:
    return {
        **asdict(standing.budget),
        "spent": standing.spent,
        "held": standing.held,
        "left": standing.left,
        "renews": standing.renews,
    }


def _known_json(model: KnownModel) -> dict[str, Any]:
    return {
        "provider": model.provider,
        "model": model.model,
        "names": list(model.names),
        "as_of": model.as_of.isoformat(),
        "source": model.source,
        "window": model.window or None,
        "output": model.output or None,
        "tokenizer": model.tokenizer or None,
        "can": sorted(model.can),
        "free": model.free,
        "own": model.own,
        "prices": [
            {
                "input": rates.input,
                "cached": rates.cached,
                "cache_write": rates.cache_write,
                "output": rates.output,
                "above": rates.above,
                "since": rates.since.isoformat() if rates.since.year > 1 else None,
            }
            for rates in model.rates
        ],
    }
