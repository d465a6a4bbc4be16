"""The usage ledger: budgets that hold under concurrency, settlements that count once, reports that add up."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import date
from itertools import count
from pathlib import Path

import pytest

from sourcebook.catalog.catalog import Catalog
from sourcebook.catalog.usage import UsageLedger, dollars
from sourcebook.catalog.usage_report import calls, totals
from sourcebook.errors import BudgetExceeded, NotFound
from sourcebook.types import Budget, CallRecord, Outcome, Reservation, Usage

AT = "2026-05-31T12:00:00.000+00:00"


@pytest.fixture
def ledger(catalog: Catalog) -> UsageLedger:
    return UsageLedger(catalog)


def wanted(name: str, amount: int, account: str = "anna", at: str = AT, tenant: str = "default") -> Reservation:
    return Reservation(
        id=name, at=at, tenant=tenant, account=account, model="openai:gpt-5", purpose="answer", amount=amount
    )


def call(
    name: str,
    cost: int | None,
    account: str = "anna",
    at: str = AT,
    model: str = "openai:gpt-5",
    purpose: str = "answer",
    outcome: Outcome = "finished",
    reserved: int = 0,
    exact: bool = True,
) -> CallRecord:
    usage = Usage(
        input_tokens=100,
        output_tokens=20,
        cached_tokens=10,
        cache_write_tokens=5,
        reasoning_tokens=7,
        counted_by="vendor",
        exact=exact,
        cost=cost or 0,
        priced=cost is not None,
    )
    return CallRecord(
        id=name, at=at, tenant="default", account=account, purpose=purpose, model=model, outcome=outcome, usage=usage,
        request_id=f"req-{name}", answer_id="answer-1", reserved=reserved,
    )  # fmt: skip


def left(ledger: UsageLedger) -> dict[tuple[str, str], tuple[int, int]]:
    return {(one.budget.account, one.budget.period): (one.spent, one.held) for one in ledger.standings()}


# --- budgets --------------------------------------------------------------------------------------------------


def test_money_is_held_up_to_the_limit_and_not_a_micro_dollar_more(ledger: UsageLedger) -> None:
    ledger.set_budget(Budget(account="anna", period="total", limit=100))
    ledger.reserve(wanted("1", 60))
    ledger.reserve(wanted("2", 40))
    with pytest.raises(BudgetExceeded, match=r"\$0\.00 spent, \$0\.0001 held for calls under way, \$0\.00 left"):
        ledger.reserve(wanted("3", 1))
    ledger.settle(call("1", 50, reserved=60))
    ledger.reserve(wanted("4", 10))
    assert left(ledger) == {("anna", "total"): (50, 50)}


def test_every_budget_that_applies_must_hold(ledger: UsageLedger) -> None:
    ledger.set_budget(Budget(account="*", period="day", limit=100))
    ledger.set_budget(Budget(account="anna", period="month", limit=80))
    ledger.reserve(wanted("1", 70))
    with pytest.raises(BudgetExceeded, match=r"account 'anna', .* a month"):
        ledger.reserve(wanted("2", 20))
    with pytest.raises(BudgetExceeded, match=r"tenant 'default', .* a day"):
        ledger.reserve(wanted("3", 40, account="ben"))
    ledger.reserve(wanted("4", 30, account="ben"))
    ledger.reserve(wanted("5", 10**9, tenant="another"))


def test_what_others_hold_does_not_count_to_an_accounts_own_budget(ledger: UsageLedger) -> None:
    ledger.set_budget(Budget(account="anna", period="total", limit=80))
    ledger.reserve(wanted("1", 1_000, account="ben"))
    ledger.settle(call("2", 1_000, account="ben"))
    ledger.reserve(wanted("3", 80))
    assert left(ledger) == {("anna", "total"): (0, 80)}


def test_what_was_refused_holds_nothing(ledger: UsageLedger) -> None:
    ledger.set_budget(Budget(period="total", limit=100))
    results = ledger.enter(reserve=[wanted("1", 60), wanted("2", 60), wanted("3", 40), wanted("4", 1)])
    assert [result is None for result in results] == [True, False, True, False]
    assert ledger.standings()[0].held == 100


def test_days_and_months_renew_and_the_error_says_when(ledger: UsageLedger) -> None:
    ledger.set_budget(Budget(account="anna", period="day", limit=100))
    ledger.settle(call("1", 100))
    with pytest.raises(BudgetExceeded) as caught:
        ledger.reserve(wanted("2", 1))
    assert "It renews on 2026-06-01 at 00:00 UTC" in caught.value.remedy
    ledger.reserve(wanted("3", 100, at="2026-06-01T00:00:00.000+00:00"))
    ledger.set_budget(Budget(account="anna", period="month", limit=150))
    ledger.reserve(wanted("4", 50, at="2026-06-30T23:59:59.999+00:00"))
    with pytest.raises(BudgetExceeded, match="a month"):
        ledger.reserve(wanted("5", 1, at="2026-06-02T00:00:00.000+00:00"))
    ledger.remove_budget(tenant="default", account="anna", period="day")
    with pytest.raises(BudgetExceeded) as caught:
        ledger.reserve(wanted("6", 51, at="2026-05-01T00:00:00.000+00:00"))
    assert "It renews on 2026-06-01" in caught.value.remedy


def test_calls_of_two_days_in_one_transaction_share_the_months_budget(ledger: UsageLedger) -> None:
    ledger.set_budget(Budget(period="month", limit=100))
    first, second = "2026-05-30T23:59:59.000+00:00", "2026-05-31T00:00:01.000+00:00"
    results = ledger.enter(reserve=[wanted("1", 60, at=first), wanted("2", 60, at=second)])
    assert [result is None for result in results] == [True, False]


def test_a_call_counts_to_the_day_on_which_it_began(ledger: UsageLedger) -> None:
    ledger.set_budget(Budget(period="day", limit=100))
    late = "2026-05-31T23:59:59.900+00:00"
    ledger.reserve(wanted("1", 100, at=late))
    ledger.settle(call("1", 90, at=late, reserved=100))
    ledger.reserve(wanted("2", 100, at="2026-06-01T00:00:00.000+00:00"))
    assert [one.key for one in totals(ledger.catalog, "day")] == ["2026-05-31"]


def test_spending_from_before_the_budget_was_set_counts(ledger: UsageLedger) -> None:
    ledger.settle(call("1", 70))
    ledger.set_budget(Budget(period="total", limit=100))
    with pytest.raises(BudgetExceeded, match="left"):
        ledger.reserve(wanted("2", 31))
    ledger.set_budget(Budget(period="total", limit=101))
    ledger.reserve(wanted("3", 31))


def test_more_than_was_held_is_recorded_as_it_is(ledger: UsageLedger) -> None:
    ledger.set_budget(Budget(period="total", limit=100))
    ledger.reserve(wanted("1", 100))
    ledger.settle(call("1", 130, reserved=100))
    (standing,) = ledger.standings()
    assert (standing.spent, standing.held, standing.left) == (130, 0, -30)
    assert totals(ledger.catalog, "model")[0].overrun == 30
    with pytest.raises(BudgetExceeded):
        ledger.reserve(wanted("2", 0))


def test_budgets_are_listed_and_removed(ledger: UsageLedger) -> None:
    assert ledger.budgeted() == frozenset()
    ledger.set_budget(Budget(account="anna", period="day", limit=1))
    ledger.set_budget(Budget(tenant="other", period="total", limit=2))
    assert ledger.budgeted() == {("default", "anna"), ("other", "*")}
    assert [one.budget.limit for one in ledger.standings(tenant="other")] == [2]
    assert [one.budget.limit for one in ledger.standings(tenant="other", account="anna")] == [2]
    ledger.remove_budget(tenant="other", account="*", period="total")
    with pytest.raises(NotFound, match="no budget per total"):
        ledger.remove_budget(tenant="other", account="*", period="total")
    assert ledger.budgeted() == {("default", "anna")}


# --- settling -------------------------------------------------------------------------------------------------


def test_settling_twice_is_settling_once(ledger: UsageLedger) -> None:
    ledger.set_budget(Budget(period="total", limit=1000))
    ledger.settle(call("1", 70))
    ledger.enter(settle=[call("1", 70), call("1", 90)])
    assert (ledger.standings()[0].spent, totals(ledger.catalog, "day")[0].calls) == (70, 1)


def test_what_is_released_is_free_and_leaves_no_row(ledger: UsageLedger) -> None:
    ledger.set_budget(Budget(period="total", limit=100))
    ledger.reserve(wanted("1", 100))
    ledger.release("1")
    ledger.release("1")
    ledger.reserve(wanted("2", 100))
    assert totals(ledger.catalog, "day") == []


def test_an_unknown_price_is_not_zero(ledger: UsageLedger) -> None:
    ledger.enter(settle=[call("1", None), call("2", 0), call("3", 5)])
    (total,) = totals(ledger.catalog, "day")
    assert (total.calls, total.cost, total.unpriced) == (3, 5, 1)
    assert {one.id: one.usage.priced for one in calls(ledger.catalog)} == {"1": False, "2": True, "3": True}


def test_the_call_of_a_dead_process_counts_as_what_was_held_for_it(catalog: Catalog) -> None:
    dead, living = UsageLedger(catalog, hold_seconds=-1.0), UsageLedger(catalog)
    living.set_budget(Budget(period="total", limit=150))
    dead.reserve(wanted("1", 100))
    assert left(living) == {("*", "total"): (100, 0)}  # before anybody has booked it so
    with pytest.raises(BudgetExceeded):
        living.reserve(wanted("2", 100))
    living.reserve(wanted("3", 50))
    assert left(living) == {("*", "total"): (100, 50)}
    (lost,) = calls(living.catalog)
    assert (lost.id, lost.outcome, lost.usage.cost, lost.usage.exact, lost.reserved) == ("1", "lost", 100, False, 100)
    assert [one.cost for one in totals(catalog, "account")] == [100]


@pytest.mark.parametrize("released", [False, True])
def test_a_call_that_was_not_lost_after_all_counts_as_what_it_took(catalog: Catalog, released: bool) -> None:
    slow, living = UsageLedger(catalog, hold_seconds=-1.0), UsageLedger(catalog)
    living.set_budget(Budget(period="total", limit=150))
    slow.reserve(wanted("1", 100))
    living.reserve(wanted("2", 50))
    if released:
        living.release("1")
    else:
        living.settle(call("1", 40, reserved=100))
        living.settle(call("1", 40, reserved=100))
    assert left(living) == {("*", "total"): (0 if released else 40, 50)}
    assert [(one.outcome, one.usage.cost) for one in calls(catalog)] == ([] if released else [("finished", 40)])


def test_what_is_renewed_does_not_expire(catalog: Catalog) -> None:
    slow, living = UsageLedger(catalog, hold_seconds=-1.0), UsageLedger(catalog)
    living.set_budget(Budget(period="total", limit=100))
    slow.reserve(wanted("1", 100))
    living.enter(renew=["1"])
    with pytest.raises(BudgetExceeded):
        living.reserve(wanted("2", 1))


def test_a_name_that_no_database_takes_does_not_stop_the_others(ledger: UsageLedger) -> None:
    ledger.set_budget(Budget(period="total", limit=1000))
    strange = replace(call("5", 5), answer_id="\0", usage=Usage(counted_by="\ud800", cost=5))
    ledger.enter(
        reserve=[wanted("1", 10, account="half \ud800"), wanted("2", 10)],
        settle=[call("3", 5, account="null \0 and \udfff"), call("4", 5), strange],
    )
    assert sorted(one.account for one in calls(ledger.catalog)) == ["anna", "anna", "null \ufffd and \ufffd"]
    assert ledger.standings()[0].held == 20


def test_nobody_pays_from_an_account_whose_name_is_only_like_theirs(ledger: UsageLedger) -> None:
    ledger.set_budget(Budget(account="ab", period="total", limit=100))
    ledger.reserve(wanted("1", 1_000, account="a\0b"))
    assert left(ledger) == {("ab", "total"): (0, 0)}
    ledger.set_budget(Budget(account="a\0b", period="day", limit=5))
    assert [one.budget.limit for one in ledger.standings(tenant="default", account="a\0b")] == [5]
    ledger.remove_budget(tenant="default", account="a\0b", period="day")


def test_a_number_that_no_call_can_have_stops_nobody(ledger: UsageLedger) -> None:
    ledger.set_budget(Budget(period="total", limit=1000))
    absurd = Usage(input_tokens=10**30, output_tokens=2**32 - 1, cached_tokens=-1, counted_by="vendor", cost=10**30)
    ledger.enter(settle=[call("1", 5), replace(call("2", 5), usage=absurd)], reserve=[wanted("3", 1)])
    (one, other) = sorted(calls(ledger.catalog), key=lambda call: call.id)
    assert one.usage.exact
    assert (other.usage.input_tokens, other.usage.cached_tokens, other.usage.exact) == (2**31 - 1, 0, False)
    assert ledger.standings()[0].spent > 10**15


# --- reports --------------------------------------------------------------------------------------------------


def test_totals_by_day_model_account_and_purpose(ledger: UsageLedger) -> None:
    ledger.enter(
        settle=[
            call("1", 10, account="anna", at="2026-05-01T10:00:00.000+00:00"),
            call("2", 20, account="ben", at="2026-05-02T10:00:00.000+00:00", model="groq:llama", exact=False),
            call("3", 40, account="ben", at="2026-05-02T11:00:00.000+00:00", purpose="rewrite"),
        ]
    )
    assert [(one.key, one.calls, one.cost) for one in totals(ledger.catalog, "day")] == [
        ("2026-05-01", 1, 10),
        ("2026-05-02", 2, 60),
    ]
    assert [(one.key, one.cost, one.inexact) for one in totals(ledger.catalog, "model")] == [
        ("openai:gpt-5", 50, 0),
        ("groq:llama", 20, 1),
    ]
    assert [(one.key, one.cost) for one in totals(ledger.catalog, "account")] == [("ben", 60), ("anna", 10)]
    assert [(one.key, one.cost) for one in totals(ledger.catalog, "purpose")] == [("rewrite", 40), ("answer", 30)]
    assert [one.key for one in totals(ledger.catalog, "day", since=date(2026, 5, 2))] == ["2026-05-02"]
    assert [one.key for one in totals(ledger.catalog, "day", until=date(2026, 5, 1))] == ["2026-05-01"]
    assert [one.cost for one in totals(ledger.catalog, "day", account="anna")] == [10]
    assert totals(ledger.catalog, "day", tenant="nobody") == []
    (total,) = totals(ledger.catalog, "account", account="anna")
    assert (total.input_tokens, total.cached_tokens, total.cache_write_tokens) == (100, 10, 5)
    assert (total.output_tokens, total.reasoning_tokens) == (20, 7)


def test_a_call_is_read_as_it_was_settled(ledger: UsageLedger) -> None:
    written = call("1", 10, outcome="broken", reserved=25, exact=False)
    ledger.settle(written)
    assert calls(ledger.catalog, answer_id="answer-1") == [written]
    assert calls(ledger.catalog, answer_id="another") == []


@pytest.mark.parametrize(
    ("amount", "text"),
    [(0, "$0.00"), (5_000_000, "$5.00"), (1, "$0.000001"), (1_250_000, "$1.25"), (-10_000, "-$0.01")],
)
def test_money_for_people(amount: int, text: str) -> None:
    assert dollars(amount) == text
    assert dollars(1_234_567_800_000) == "$1,234,567.80"


# --- at once --------------------------------------------------------------------------------------------------


def test_threads_never_hold_more_than_the_budget(ledger: UsageLedger) -> None:
    ledger.set_budget(Budget(period="day", limit=1000))
    ledger.set_budget(Budget(period="total", limit=10**9))
    ledger.set_budget(Budget(account="anna", period="total", limit=500))

    def spend(number: int) -> int:
        account = "anna" if number % 2 else "ben"
        try:
            ledger.reserve(wanted(str(number), 30, account=account))
        except BudgetExceeded:
            return 0
        cost = number % 31
        ledger.settle(call(str(number), cost, account=account, reserved=30))
        return cost

    with ThreadPoolExecutor(16) as threads:
        spent = sum(threads.map(spend, range(120)))
    assert left(ledger)["*", "total"] == (spent, 0)
    assert sum(one.cost for one in totals(ledger.catalog, "day")) == spent <= 1000
    assert sum(one.cost for one in totals(ledger.catalog, "day", account="anna")) <= 500
    drain(ledger, "anna", 30)
    drain(ledger, "ben", 30)
    spent = sum(one.cost for one in totals(ledger.catalog, "day"))
    of_anna = sum(one.cost for one in totals(ledger.catalog, "day", account="anna"))
    assert 1000 - 30 < spent <= 1000
    assert of_anna <= 500


def drain(ledger: UsageLedger, account: str, amount: int) -> None:
    """Spend one amount after the other, until there is no room for one more: it is what is spent that fills it."""
    for number in count():
        name = f"{account} {number}"
        (refused,) = ledger.enter(reserve=[wanted(name, amount, account=account)])
        if refused is not None:
            assert "$0.00 held" in str(refused)
            return
        ledger.settle(call(name, amount, account=account, reserved=amount))


def test_an_account_has_all_of_its_own_budget(ledger: UsageLedger) -> None:
    ledger.set_budget(Budget(account="anna", period="total", limit=500))

    def spend(number: int) -> None:
        with suppress(BudgetExceeded):
            ledger.reserve(wanted(str(number), 30))
            ledger.settle(call(str(number), number % 31, reserved=30))

    with ThreadPoolExecutor(16) as threads:
        list(threads.map(spend, range(60)))
    drain(ledger, "anna", 30)
    assert 500 - 30 < ledger.standings()[0].spent <= 500


def test_processes_never_hold_more_than_the_budget(url: str, tmp_path: Path, ledger: UsageLedger) -> None:
    ledger.set_budget(Budget(period="total", limit=1000))
    script = f"""
import sys
from pathlib import Path
from sourcebook.catalog.catalog import Catalog
from sourcebook.catalog.usage import UsageLedger
from sourcebook.errors import BudgetExceeded
from sourcebook.types import CallRecord, Reservation, Usage
catalog = Catalog({url!r}, Path({str(tmp_path)!r}))
ledger = UsageLedger(catalog)
input()
spent = 0
for number in range(40):
    name = f"{{sys.argv[1]}}-{{number}}"
    try:
        ledger.reserve(Reservation(id=name, at={AT!r}, tenant="default", account=sys.argv[1], model="m",
                                   purpose="answer", amount=40))
    except BudgetExceeded:
        continue
    spent += 37
    ledger.settle(CallRecord(id=name, at={AT!r}, tenant="default", account=sys.argv[1], purpose="answer", model="m",
                             outcome="finished", usage=Usage(cost=37), reserved=40))
catalog.close()
print(spent)
"""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, name],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for name in ("one", "two", "three")
    ]  # fmt: skip
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    spent = 0
    for process in processes:
        out, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
        spent += int(out)
    (standing,) = ledger.standings()
    assert (standing.spent, standing.held) == (spent, 0)
    drain(ledger, "four", 40)
    assert 1000 - 40 < ledger.standings()[0].spent <= 1000
