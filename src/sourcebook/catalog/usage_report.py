"""What the usage ledger tells: sums by day, model, account or purpose, and single calls."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import date
from typing import TYPE_CHECKING, Any, Literal, get_args

from sourcebook.catalog.catalog import Catalog
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
         WHERE day >= :since AND day <= :until
           AND (tenant = :tenant OR :every_tenant) AND (account = :account OR :every_account)
         GROUP BY {by}
         ORDER BY {order}
        """,  # noqa: S608
        since="" if since is None else since.isoformat(),
        until="9999" if until is None else until.isoformat(),
        tenant=tenant or "",
        account=account or "",
        every_tenant=tenant is None,
        every_account=account is None,
    )
    return [_total(row) for row in rows]


def calls(catalog: Catalog, *, answer_id: str | None = None, limit: int = 100) -> list[CallRecord]:
    """Single calls, newest first: all, or those made for one answer."""
    rows = catalog.rows(
        """
        SELECT * FROM usage WHERE answer_id = :answer OR :every ORDER BY at DESC, id LIMIT :limit
        """,
        answer=answer_id or "",
        every=answer_id is None,
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
