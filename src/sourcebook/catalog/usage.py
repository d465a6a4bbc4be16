"""The usage ledger: what every model call cost, what is held for calls under way, and the budgets that bound both.

    reserve   before a call: only if settled + held + this stays within every budget that applies
    settle    after it: the hold becomes a row of the ledger with what the call really took
    release   instead of settling, where the vendor charged nothing

Money is in micro-US-dollars. A call counts to the UTC day on which it began, wherever midnight falls.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from sourcebook.catalog.catalog import Catalog
from sourcebook.catalog.postgresql import begin_accounting
from sourcebook.catalog.statements import IN_LIST, batches, kept, now, sql
from sourcebook.errors import BudgetExceeded, NotFound
from sourcebook.types import Budget, BudgetStanding, CallRecord, Period, Reservation

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row

WHOLE_TENANT = "*"
"""The account that stands for all accounts of a tenant together."""


class UsageLedger:
    """The ledger in a catalog. Each method is one transaction; threads and processes may share it.

    hold_seconds: how long a reservation stands without being renewed; after that its process counts as dead, and the
    ledger has the call as lost, at all that was held for it: what it really cost, nobody can say any more.
    Errors: CatalogError.
    """

    def __init__(self, catalog: Catalog, *, hold_seconds: float = 180.0) -> None:
        self.catalog = catalog
        self.hold_seconds = hold_seconds

    # --- calls ------------------------------------------------------------------------------------------------

    def enter(
        self,
        *,
        settle: Sequence[CallRecord] = (),
        release: Collection[str] = (),
        renew: Collection[str] = (),
        reserve: Sequence[Reservation] = (),
    ) -> list[BudgetExceeded | None]:
        """Settle, release, renew and then reserve, in one transaction: many calls share one commit.

        The i'th result belongs to the i'th reservation wanted: None if the money is held, else why it is not.
        Settling twice is settling once.
        """
        with self.catalog.writing() as connection:
            begin_accounting(connection)
            over = [*release, *(one.id for one in settle)]
            _find_again(connection, over)
            _settle(connection, [_kept(one) for one in settle])
            _drop(connection, over)
            self._renew(connection, renew)
            if not reserve:
                return []
            _expire(connection)
            return self._reserve(connection, [_kept(one) for one in reserve])

    def reserve(self, wanted: Reservation) -> None:
        """Hold money for a call. Errors: BudgetExceeded, which names the budget, what is left, when it renews."""
        (refused,) = self.enter(reserve=[wanted])
        if refused is not None:
            raise refused

    def settle(self, call: CallRecord) -> None:
        """Put a call into the ledger, in place of what was held for it."""
        self.enter(settle=[call])

    def release(self, call_id: str) -> None:
        """Let go of what was held for a call that cost nothing."""
        self.enter(release=[call_id])

    def _reserve(self, connection: Connection, wanted: Sequence[Reservation]) -> list[BudgetExceeded | None]:
        budgets: dict[tuple[str, str], list[Budget]] = {}
        used: dict[tuple[Budget, str], list[int]] = {}  # by budget and first day of its period: [settled, held]
        results: list[BudgetExceeded | None] = []
        accepted: list[Reservation] = []
        for one in wanted:
            payer, day = (one.tenant, one.account), one.at[:10]
            if payer not in budgets:
                budgets[payer] = _binding(connection, one.tenant, one.account)
            amounts: list[tuple[Budget, list[int]]] = []
            for budget in budgets[payer]:
                key = (budget, _days(budget.period, day)[0])
                if key not in used:
                    used[key] = list(_used(connection, budget, day))
                amounts.append((budget, used[key]))
            over = [_standing(budget, day, *now_used) for budget, now_used in amounts]
            over = [standing for standing in over if one.amount > standing.left]
            if over:
                results.append(_exceeded(min(over, key=lambda standing: standing.left), one))
                continue
            for _, now_used in amounts:
                now_used[1] += one.amount
            accepted.append(one)
            results.append(None)
        if accepted:
            expires = _stamp(self.hold_seconds)
            connection.execute(
                sql("""
                    INSERT INTO reservation (id, at, day, tenant, account, purpose, model, amount, expires)
                    VALUES (:id, :at, :day, :tenant, :account, :purpose, :model, :amount, :expires)
                """),
                [
                    {
                        "id": one.id,
                        "at": one.at,
                        "day": one.at[:10],
                        "tenant": one.tenant,
                        "account": one.account,
                        "purpose": one.purpose,
                        "model": one.model,
                        "amount": one.amount,
                        "expires": expires,
                    }
                    for one in accepted
                ],
            )
        return results

    def _renew(self, connection: Connection, ids: Collection[str]) -> None:
        for some in batches(list(ids), IN_LIST):
            connection.execute(
                sql("UPDATE reservation SET expires = :expires WHERE id IN :some", "some"),
                {"expires": _stamp(self.hold_seconds), "some": some},
            )

    # --- budgets ----------------------------------------------------------------------------------------------

    def set_budget(self, budget: Budget) -> None:
        """Set a budget, or change its limit. What was spent in its period already counts."""
        with self.catalog.writing() as connection:
            connection.execute(
                sql("""
                    INSERT INTO budget (tenant, account, period, cost_limit)
                    VALUES (:tenant, :account, :period, :limit)
                    ON CONFLICT (tenant, account, period) DO UPDATE SET cost_limit = excluded.cost_limit
                """),
                {
                    "tenant": kept(budget.tenant),
                    "account": kept(budget.account),
                    "period": budget.period,
                    "limit": budget.limit,
                },
            )

    def remove_budget(self, *, tenant: str, account: str, period: Period) -> None:
        """Remove a budget. Errors: NotFound."""
        with self.catalog.writing() as connection:
            removed = connection.execute(
                sql("DELETE FROM budget WHERE tenant = :tenant AND account = :account AND period = :period"),
                {"tenant": kept(tenant), "account": kept(account), "period": period},
            ).rowcount
        if not removed:
            raise NotFound(
                f"There is no budget per {period} for account {account!r} of tenant {tenant!r}",
                remedy="See: sourcebook budget list",
            )

    def budgeted(self) -> frozenset[tuple[str, str]]:
        """(tenant, account) of every budget; account "*" stands for the whole tenant."""
        rows = self.catalog.rows("SELECT DISTINCT tenant, account FROM budget")
        return frozenset((row.tenant, row.account) for row in rows)

    def standings(self, *, tenant: str | None = None, account: str | None = None) -> list[BudgetStanding]:
        """Budgets and what is left of them today: all, or of one tenant, or those that bind one account of it."""
        assert account is None or tenant is not None
        day = now()[:10]
        with self.catalog.reading() as connection:
            if tenant is None:
                budgets = _budgets(connection, "")
            elif account is None:
                budgets = _budgets(connection, "WHERE tenant = :tenant", tenant=kept(tenant))
            else:
                budgets = _binding(connection, kept(tenant), kept(account))
            return [_standing(budget, day, *_used(connection, budget, day)) for budget in budgets]


# --- within a transaction -------------------------------------------------------------------------------------


def _settle(connection: Connection, calls: Iterable[CallRecord]) -> None:
    """Rows for calls that have none yet, and their costs added to the sums of their day."""
    written = [
        connection.execute(
            sql("""
                INSERT INTO usage (id, at, day, tenant, account, purpose, answer_id, model, request_id, outcome,
                                   input_tokens, cached_tokens, cache_write_tokens, output_tokens,
                                   reasoning_tokens, counted_by, exact, cost, reserved)
                VALUES (:id, :at, :day, :tenant, :account, :purpose, :answer_id, :model, :request_id, :outcome,
                        :input_tokens, :cached_tokens, :cache_write_tokens, :output_tokens,
                        :reasoning_tokens, :counted_by, :exact, :cost, :reserved)
                ON CONFLICT (id) DO NOTHING
                RETURNING tenant, account, day, cost
            """),
            _row(one),
        ).first()
        for one in calls
    ]
    _spend(connection, [row for row in written if row is not None])


def _find_again(connection: Connection, ids: Sequence[str]) -> None:
    """Calls that were thought to be lost and were not: their rows go, and what they were taken to have cost."""
    for some in batches(ids, IN_LIST):
        found = connection.execute(
            sql(
                """
                DELETE FROM usage WHERE id IN :some AND outcome = 'lost' RETURNING tenant, account, day, cost
                """,
                "some",
            ),
            {"some": some},
        ).all()
        _spend(connection, found, sign=-1)


def _spend(connection: Connection, rows: Iterable[Row[Any]], *, sign: int = 1) -> None:
    """Add the costs of calls to the sums of their days, or take them off."""
    costs: dict[tuple[str, str, str], int] = {}
    for row in rows:
        for account in {row.account, WHOLE_TENANT} if row.cost else ():
            key = (row.tenant, account, row.day)
            costs[key] = costs.get(key, 0) + sign * row.cost
    if costs:
        connection.execute(
            sql("""
                INSERT INTO spending (tenant, account, day, cost) VALUES (:tenant, :account, :day, :cost)
                ON CONFLICT (tenant, account, day) DO UPDATE SET cost = spending.cost + excluded.cost
            """),
            [
                {"tenant": tenant, "account": account, "day": day, "cost": cost}
                for (tenant, account, day), cost in sorted(costs.items())
            ],
        )


def _row(call: CallRecord) -> dict[str, object]:
    """The call as it is kept. A number that no call can have, as some servers send, is cut to what a column takes."""
    usage = call.usage
    tokens = {
        "input_tokens": usage.input_tokens,
        "cached_tokens": usage.cached_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
        "output_tokens": usage.output_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
    }
    possible = {name: min(max(number, 0), _MOST_TOKENS) for name, number in tokens.items()}
    return {
        "id": call.id,
        "at": call.at,
        "day": call.at[:10],
        "tenant": call.tenant,
        "account": call.account,
        "purpose": call.purpose,
        "answer_id": call.answer_id,
        "model": call.model,
        "request_id": call.request_id,
        "outcome": call.outcome,
        **possible,
        "counted_by": usage.counted_by,
        "exact": usage.exact and possible == tokens,
        "cost": min(usage.cost, _MOST_COST) if usage.priced or usage.cost else None,
        "reserved": call.reserved,
    }


_MOST_TOKENS = 2**31 - 1
_MOST_COST = 2**53  # nine billion dollars; sums of them stay within a column


Payer = TypeVar("Payer", CallRecord, Reservation)


def _kept(one: Payer) -> Payer:
    """With texts as databases take them, whoever sent them."""
    one = replace(
        one, tenant=kept(one.tenant), account=kept(one.account), purpose=kept(one.purpose), model=kept(one.model)
    )
    if not isinstance(one, CallRecord):
        return one
    return replace(
        one,
        request_id=kept(one.request_id),
        answer_id=None if one.answer_id is None else kept(one.answer_id),
        usage=replace(one.usage, counted_by=kept(one.usage.counted_by)),
    )


def _drop(connection: Connection, ids: Sequence[str]) -> None:
    for some in batches(ids, IN_LIST):
        connection.execute(sql("DELETE FROM reservation WHERE id IN :some", "some"), {"some": some})


def _expire(connection: Connection) -> None:
    """Take the calls of dead processes for lost, at what was held for them, so that no budget is passed unseen."""
    stamp = {"now": now()}
    lost = connection.execute(
        sql("""
            INSERT INTO usage (id, at, day, tenant, account, purpose, answer_id, model, request_id, outcome,
                               input_tokens, cached_tokens, cache_write_tokens, output_tokens, reasoning_tokens,
                               counted_by, exact, cost, reserved)
            SELECT id, at, day, tenant, account, purpose, NULL, model, '', 'lost',
                   0, 0, 0, 0, 0, '', FALSE, amount, amount
              FROM reservation
             WHERE expires < :now
            ON CONFLICT (id) DO NOTHING
            RETURNING tenant, account, day, cost
        """),
        stamp,
    ).all()
    _spend(connection, lost)
    connection.execute(sql("DELETE FROM reservation WHERE expires < :now"), stamp)


def _binding(connection: Connection, tenant: str, account: str) -> list[Budget]:
    """The budgets that one account of a tenant is bound by."""
    return _budgets(
        connection,
        "WHERE tenant = :tenant AND account IN (:account, :whole)",
        tenant=tenant,
        account=account,
        whole=WHOLE_TENANT,
    )


def _budgets(connection: Connection, where: str, **names: str) -> list[Budget]:
    rows = connection.execute(
        sql(f"""
            SELECT tenant, account, period, cost_limit
              FROM budget
             {where}
             ORDER BY tenant, account, period
        """),  # noqa: S608
        names,
    ).all()
    return [
        Budget(tenant=row.tenant, account=row.account, period=row.period, limit=int(row.cost_limit)) for row in rows
    ]


def _used(connection: Connection, budget: Budget, day: str) -> tuple[int, int]:
    """(settled or lost, held) in the period that the day belongs to.

    One statement, so that a call is in one of the two. What has expired is lost, whether or not it is booked so yet.
    """
    first, last = _days(budget.period, day)
    account = "" if budget.account == WHOLE_TENANT else "AND account = :account"
    row = connection.execute(
        sql(f"""
            SELECT (SELECT COALESCE(SUM(cost), 0) FROM spending
                     WHERE tenant = :tenant AND account = :account AND day >= :first AND day <= :last) AS spent,
                   COALESCE(SUM(CASE WHEN expires < :now THEN amount ELSE 0 END), 0) AS lost,
                   COALESCE(SUM(CASE WHEN expires < :now THEN 0 ELSE amount END), 0) AS held
              FROM reservation
             WHERE tenant = :tenant {account} AND day >= :first AND day <= :last
        """),  # noqa: S608
        {"tenant": budget.tenant, "account": budget.account, "first": first, "last": last, "now": now()},
    ).one()
    return int(row.spent) + int(row.lost), int(row.held)


def _days(period: Period, day: str) -> tuple[str, str]:
    """The first and last day of the period that a day belongs to, as text that sorts."""
    if period == "day":
        return day, day
    return (f"{day[:7]}-01", f"{day[:7]}-31") if period == "month" else ("", "9999")


def _standing(budget: Budget, day: str, spent: int, held: int) -> BudgetStanding:
    today = date.fromisoformat(day)
    renews = {
        "day": (today + timedelta(days=1)).isoformat(),
        "month": (today.replace(day=1) + timedelta(days=32)).replace(day=1).isoformat(),
        "total": None,
    }[budget.period]
    return BudgetStanding(budget=budget, spent=spent, held=held, renews=renews)


def _exceeded(standing: BudgetStanding, wanted: Reservation) -> BudgetExceeded:
    budget = standing.budget
    whose = f"tenant {budget.tenant!r}" if budget.account == WHOLE_TENANT else f"account {budget.account!r}"
    per = "" if budget.period == "total" else f" a {budget.period}"
    renews = f"It renews on {standing.renews} at 00:00 UTC; or raise it" if standing.renews else "Raise it"
    return BudgetExceeded(
        f"The budget of {whose}, {dollars(budget.limit)}{per}, does not allow a call to {wanted.model} that may cost "
        f"{dollars(wanted.amount)}: {dollars(standing.spent)} spent, {dollars(standing.held)} held for calls under "
        f"way, {dollars(max(standing.left, 0))} left",
        remedy=f"{renews}: sourcebook budget set",
        provider=wanted.model.partition(":")[0],
    )


def dollars(amount: int) -> str:
    """Micro-dollars for people: whole cents where they are, else as many places as it takes, six at most."""
    sign, amount = ("-", -amount) if amount < 0 else ("", amount)
    whole, rest = divmod(amount, 1_000_000)
    places = f"{rest:06}".rstrip("0")
    return f"{sign}${whole:,}.{places:0<2}"


def _stamp(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat(timespec="milliseconds")
