"""What the usage ledger tells: sums by day, model, account or purpose, and single calls."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Literal, get_args

from sourcebook.catalog.catalog import Catalog
from sourcebook.catalog.statements import kept
from sourcebook.types import CallRecord, Usage

if TYPE_CHECKING:
    from sqlalchemy import Row

Grouping = Literal["day", "model", "account", "purpose"]


@dataclass(frozen=True, kw_only=True, slots=True)
class UsageTotal:
    """Sums over calls. key: the day, model, account or purpose that they share.

    cost: of the calls whose price is known; unpriced: how many others there are. inexact: calls counted by us and
    not by the vendor. overrun: what vendors charged beyond what had been held for a call.
    """

    key: str
    calls: int
    input_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    output_tokens: int
    reasoning_tokens: int
    cost: int
    unpriced: int
    inexact: int
    overrun: int


def totals(
    catalog: Catalog,
    by: Grouping,
    *,
    since: date | None = None,
    until: date | None = None,
    tenant: str | None = None,
    account: str | None = None,
) -> list[UsageTotal]:
    """Sums of the calls that began in the days given, both ends included; days in order, else dearest first."""
    if by not in get_args(Grouping):
        raise ValueError(f"Calls cannot be summed by {by!r}")
    order = "key" if by == "day" else "cost DESC, calls DESC, key"
    # Of one tenant the index by its days is read, of all of them the one by time.
    where = "at >= :since AND at < :after" if tenant is None else "tenant = :tenant AND day >= :since AND day < :after"
    only = "" if account is None else "AND account = :account"
    rows = catalog.rows(
        f"""
        SELECT {by} AS key, COUNT(*) AS calls,
               SUM(input_tokens) AS input_tokens, SUM(cached_tokens) AS cached_tokens,
               SUM(cache_write_tokens) AS cache_write_tokens, SUM(output_tokens) AS output_tokens,
               SUM(reasoning_tokens) AS reasoning_tokens, COALESCE(SUM(cost), 0) AS cost,
               SUM(CASE WHEN cost IS NULL THEN 1 ELSE 0 END) AS unpriced,
               SUM(CASE WHEN exact THEN 0 ELSE 1 END) AS inexact,
               SUM(CASE WHEN reserved > 0 AND cost > reserved THEN cost - reserved ELSE 0 END) AS overrun
          FROM usage
         WHERE {where} {only}
         GROUP BY {by}
         ORDER BY {order}
        """,  # noqa: S608
        since="" if since is None else since.isoformat(),
        after=_after(until),
        **({} if tenant is None else {"tenant": kept(tenant)}),
        **({} if account is None else {"account": kept(account)}),
    )
    return [_total(row) for row in rows]


@dataclass(frozen=True, kw_only=True, slots=True)
class CascadeTotal:
    """Answers of a cascade, from the calls that were made for them.

    answers: for which any of its models was called; escalated: of them, those for which another than the cheap one
    was. cheap_cost: micro-dollars of all calls of the cheap model. input_tokens, output_tokens: of its calls for the
    answers that were not escalated.
    """

    answers: int
    escalated: int
    cheap_cost: int
    input_tokens: int
    output_tokens: int


def cascaded(
    catalog: Catalog, models: Sequence[str], *, since: date | None = None, until: date | None = None
) -> CascadeTotal:
    """What a cascade did in the days given, both ends included. models: names, the cheap one first."""
    (row,) = catalog.rows(
        f"""
        WITH answered AS (
            SELECT SUM(CASE WHEN model = :cheap THEN 0 ELSE 1 END) AS others,
                   SUM(CASE WHEN model = :cheap THEN cost ELSE 0 END) AS cheap_cost,
                   SUM(input_tokens) AS input_tokens, SUM(output_tokens) AS output_tokens
              FROM usage
             WHERE at >= :since AND at < :after AND purpose = 'answer' AND answer_id IS NOT NULL
               AND model IN {catalog.listed}
             GROUP BY answer_id
        )
        SELECT COUNT(*) AS answers,
               COALESCE(SUM(CASE WHEN others > 0 THEN 1 ELSE 0 END), 0) AS escalated,
               COALESCE(SUM(cheap_cost), 0) AS cheap_cost,
               COALESCE(SUM(CASE WHEN others > 0 THEN 0 ELSE input_tokens END), 0) AS input_tokens,
               COALESCE(SUM(CASE WHEN others > 0 THEN 0 ELSE output_tokens END), 0) AS output_tokens
          FROM answered
        """,  # noqa: S608
        cheap=kept(models[0]),
        some=json.dumps([kept(name) for name in models]),
        since="" if since is None else since.isoformat(),
        after=_after(until),
    )
    return CascadeTotal(**{one.name: int(row._mapping[one.name]) for one in fields(CascadeTotal)})


def _after(until: date | None) -> str:
    """What sorts behind all stamps of the day."""
    return "9999" if until is None or until.year == 9999 else (until + timedelta(days=1)).isoformat()


def calls(catalog: Catalog, *, answer_id: str | None = None, limit: int = 100) -> list[CallRecord]:
    """Single calls, newest first: all, or those made for one answer."""
    if answer_id is None:
        rows = catalog.rows("SELECT * FROM usage ORDER BY at DESC, id LIMIT :limit", limit=limit)
    else:
        rows = catalog.rows(
            "SELECT * FROM usage WHERE answer_id = :answer ORDER BY at DESC, id LIMIT :limit",
            answer=kept(answer_id),
            limit=limit,
        )
    return [_call(row) for row in rows]


def _total(row: Row[Any]) -> UsageTotal:
    named = row._mapping
    numbers = {one.name: int(named[one.name]) for one in fields(UsageTotal) if one.name != "key"}
    return UsageTotal(key=str(named["key"]), **numbers)


def _call(row: Row[Any]) -> CallRecord:
    named = row._mapping
    usage = {
        name: named[name]
        for name in ("input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens")
    }
    names = ("id", "at", "tenant", "account", "purpose", "model", "outcome", "request_id", "answer_id", "reserved")
    return CallRecord(
        usage=Usage(
            **usage,
            counted_by=named["counted_by"],
            exact=bool(named["exact"]),
            cost=named["cost"] or 0,
            priced=named["cost"] is not None,
        ),
        **{name: named[name] for name in names},
    )
