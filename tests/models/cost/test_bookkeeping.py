"""The ledger's thread: nothing lost, nothing left held, budgets kept at 200 calls at once."""

import asyncio
import random
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path

import pytest

from sourcebook.catalog.catalog import Catalog
from sourcebook.catalog.usage import UsageLedger
from sourcebook.catalog.usage_report import totals
from sourcebook.errors import BudgetExceeded, CatalogError, Interrupted, RateLimited, SourcebookError
from sourcebook.models.base import Finish, TextPart
from sourcebook.models.cost.bookkeeping import Bookkeeper
from sourcebook.models.cost.metered import Metered
from sourcebook.types import Budget, CallRecord, Reservation, Usage
from tests.models.cost.doubles import KNOWN, Characters, Scripted, asked, events_of, finish

AT = "2026-05-31T12:00:00.000+00:00"


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    made = Catalog("sqlite:catalog.db", tmp_path)
    yield made
    made.close()


def wanted(name: str, amount: int = 10) -> Reservation:
    return Reservation(id=name, at=AT, tenant="default", account="default", model="m", purpose="answer", amount=amount)


def record(name: str, cost: int = 10, reserved: int = 0) -> CallRecord:
    return CallRecord(
        id=name, at=AT, tenant="default", account="default", purpose="answer", model="m", outcome="finished",
        usage=Usage(cost=cost), reserved=reserved,
    )  # fmt: skip


async def test_two_hundred_calls_at_once_never_exceed_the_budget_and_are_settled_to_the_micro_dollar(
    catalog: Catalog,
) -> None:
    ledger = UsageLedger(catalog)
    limit = 20_000
    ledger.set_budget(Budget(period="day", limit=limit))
    bookkeeper = Bookkeeper(ledger)
    chance = random.Random(7)
    charged = 0  # the vendor's own account
    refused = 0
    highest = 0

    async def one(number: int) -> None:
        nonlocal charged, refused, highest
        tokens = chance.randrange(1, 100)
        fate = chance.choice(["finish", "finish", "break", "throttle", "cancel"])
        text = TextPart(text="x" * tokens)
        script = {
            "finish": (text, 0.001, finish(input_tokens=10, output_tokens=tokens)),
            "break": (text, Interrupted("broke off")),
            "throttle": (RateLimited("slow down", status=429),),
            "cancel": (text, 30.0),
        }[fate]
        inner = Scripted(*script)
        model = Metered(inner, known=KNOWN, ledger=bookkeeper, counter=Characters())
        task = asyncio.create_task(events_of(model.stream(asked(account=f"account-{number % 3}"))))
        if fate == "cancel":
            await inner.began_or(task)
            task.cancel()
        try:
            await task
        except BudgetExceeded:
            refused += 1
            return
        except (Interrupted, RateLimited, asyncio.CancelledError):
            pass
        charged += 0 if fate == "throttle" else 10 + 2 * tokens

    over = asyncio.Event()

    async def watch() -> None:
        nonlocal highest
        while not over.is_set():
            (standing,) = await asyncio.to_thread(ledger.standings)
            highest = max(highest, standing.spent + standing.held)
            await asyncio.sleep(0.005)

    watching = asyncio.create_task(watch())
    await asyncio.gather(*(one(number) for number in range(200)))
    await bookkeeper.flush()
    over.set()
    await watching
    (standing,) = ledger.standings()
    assert (standing.spent, standing.held) == (charged, 0)
    assert sum(total.cost for total in totals(ledger.catalog, "account")) == charged
    assert 0 < highest <= limit
    assert refused > 0
    assert charged > 0
    await bookkeeper.close()


async def test_processes_and_threads_share_one_budget(catalog: Catalog, tmp_path: Path) -> None:
    ledger = UsageLedger(catalog)
    ledger.set_budget(Budget(period="total", limit=5_000))
    script = f"""
import asyncio, sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parents[3])!r})
from sourcebook.catalog.catalog import Catalog
from sourcebook.catalog.usage import UsageLedger
from sourcebook.errors import BudgetExceeded
from sourcebook.models.cost.bookkeeping import Bookkeeper
from sourcebook.models.cost.metered import Metered
from tests.models.cost.doubles import KNOWN, Characters, Scripted, asked, events_of, finish

async def main():
    catalog = Catalog("sqlite:catalog.db", Path({str(tmp_path)!r}))
    bookkeeper = Bookkeeper(UsageLedger(catalog))
    five = asyncio.Semaphore(5)
    async def one(tokens):
        async with five:
            return await call(tokens)
    async def call(tokens):
        model = Metered(Scripted(0.001, finish(input_tokens=10, output_tokens=tokens)), known=KNOWN,
                        ledger=bookkeeper, counter=Characters())
        try:
            await events_of(model.stream(asked()))
        except BudgetExceeded:
            return 0
        return 10 + 2 * tokens
    input()
    spent = sum(await asyncio.gather(*(one(number % 100) for number in range(66))))
    await bookkeeper.close()
    catalog.close()
    print(spent)

asyncio.run(main())
"""
    processes = [
        subprocess.Popen(  # noqa: ASYNC220
            [sys.executable, "-c", script],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for _ in range(3)
    ]  # fmt: skip
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    spent = 0
    for process in processes:
        out, errors = await asyncio.to_thread(process.communicate, timeout=60)
        assert process.returncode == 0, errors
        spent += int(out)
    (standing,) = ledger.standings()
    assert (standing.spent, standing.held) == (spent, 0)
    number = 0
    while (refused := ledger.enter(reserve=[wanted(str(number), 213)])[0]) is None:  # one after the other
        ledger.settle(record(str(number), cost=213, reserved=213))
        spent += 213
        number += 1
    assert 5_000 - 213 < spent <= 5_000  # not before there is no room for one more
    assert "$0.00 held" in str(refused)


async def test_what_is_handed_over_is_written_by_close(catalog: Catalog) -> None:
    ledger = UsageLedger(catalog)
    bookkeeper = Bookkeeper(ledger)
    began = time.perf_counter()
    for number in range(500):
        bookkeeper.settle(record(str(number), cost=3))
    handed_over = time.perf_counter() - began
    await bookkeeper.close()
    (total,) = totals(ledger.catalog, "day")
    assert (total.calls, total.cost) == (500, 1_500)
    assert handed_over < 0.5  # nobody waited for the disk
    assert not any(thread.name == "sourcebook-ledger" for thread in threading.enumerate())
    with pytest.raises(SourcebookError, match="closed"):
        await bookkeeper.reserve(wanted("1"))


async def test_a_call_that_ends_after_the_ledger_was_closed_says_what_was_lost(
    catalog: Catalog, caplog: pytest.LogCaptureFixture
) -> None:
    bookkeeper = Bookkeeper(UsageLedger(catalog))
    await bookkeeper.close()
    bookkeeper.settle(record("1", cost=77))
    assert "cost=77" in caplog.text


class Accounts:
    """A ledger that can be made to fail or to wait."""

    def __init__(self) -> None:
        self.failures: list[Exception] = []
        self.entered: list[dict[str, list[str]]] = []
        self.may_go = threading.Event()
        self.may_go.set()
        self.entering = threading.Event()
        self.reads = 0

    def enter(
        self,
        *,
        settle: Sequence[CallRecord] = (),
        release: Collection[str] = (),
        renew: Collection[str] = (),
        reserve: Sequence[Reservation] = (),
    ) -> list[BudgetExceeded | None]:
        self.entering.set()
        assert self.may_go.wait(10)
        if self.failures:
            raise self.failures.pop()
        self.entered.append(
            {
                "settle": [one.id for one in settle],
                "release": list(release),
                "renew": list(renew),
                "reserve": [one.id for one in reserve],
            }
        )
        return [None for _ in reserve]

    def budgeted(self) -> frozenset[tuple[str, str]]:
        self.reads += 1
        assert self.may_go.wait(10)
        if self.failures:
            raise self.failures.pop()
        return frozenset({("default", "anna"), ("firm", "*")})

    def all(self, kind: str) -> list[str]:
        return [name for one in self.entered for name in one[kind]]


async def test_calls_that_wait_share_a_transaction() -> None:
    accounts = Accounts()
    bookkeeper = Bookkeeper(accounts)
    accounts.may_go.clear()
    first = asyncio.create_task(bookkeeper.reserve(wanted("first")))
    await asyncio.to_thread(accounts.entering.wait, 10)
    others = [asyncio.create_task(bookkeeper.reserve(wanted(str(number)))) for number in range(50)]
    await asyncio.sleep(0)
    accounts.may_go.set()
    await asyncio.gather(first, *others)
    assert [len(one["reserve"]) for one in accounts.entered] == [1, 50]
    await bookkeeper.close()


@pytest.mark.parametrize("begun", [False, True])
async def test_a_reservation_that_is_given_up_holds_nothing(begun: bool) -> None:
    accounts = Accounts()
    bookkeeper = Bookkeeper(accounts)
    accounts.may_go.clear()
    blocking = asyncio.create_task(bookkeeper.reserve(wanted("blocking")))
    await asyncio.to_thread(accounts.entering.wait, 10)
    given_up = blocking if begun else asyncio.create_task(bookkeeper.reserve(wanted("given up")))
    await asyncio.sleep(0)
    given_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await given_up
    accounts.may_go.set()
    await bookkeeper.flush()
    reserved, released = set(accounts.all("reserve")), set(accounts.all("release"))
    assert reserved - released == (set() if begun else {"blocking"})
    assert "given up" not in reserved
    await asyncio.gather(blocking, return_exceptions=True)
    await bookkeeper.close()


async def test_what_could_not_be_written_is_written_later(caplog: pytest.LogCaptureFixture) -> None:
    accounts = Accounts()
    accounts.failures = [CatalogError("locked"), CatalogError("locked")]
    bookkeeper = Bookkeeper(accounts)
    bookkeeper.settle(record("1"))
    with pytest.raises(CatalogError, match="locked"):
        await bookkeeper.flush()
    await bookkeeper.flush()
    assert accounts.all("settle") == ["1"]
    await bookkeeper.close()
    assert "wait to be put into the usage ledger" in caplog.text


async def test_a_failure_that_passes_at_once_is_noticed_by_nobody() -> None:
    accounts = Accounts()
    accounts.failures = [CatalogError("locked")]
    bookkeeper = Bookkeeper(accounts)
    bookkeeper.settle(record("1"))
    await bookkeeper.flush()
    assert accounts.all("settle") == ["1"]
    await bookkeeper.close()


async def test_a_reservation_that_is_given_up_while_its_batch_is_gathered_holds_nothing(catalog: Catalog) -> None:
    ledger = UsageLedger(catalog)
    ledger.set_budget(Budget(period="total", limit=100))
    bookkeeper = Bookkeeper(ledger)
    answer: Future[None] = Future()
    bookkeeper._orders.put((wanted("1", 100), answer))
    bookkeeper._orders.put("1")  # as its caller does who went away once the first order was taken
    await bookkeeper.reserve(wanted("2", 100))  # all in one batch
    assert answer.done()
    assert (ledger.standings()[0].held, bookkeeper._held) == (100, {"2"})
    await bookkeeper.close()


class Picky(Accounts):
    """A ledger that does not take the call "bad", nor a reservation of that name."""

    def __init__(self, failure: Exception) -> None:
        super().__init__()
        self.failure = failure

    def enter(
        self,
        *,
        settle: Sequence[CallRecord] = (),
        release: Collection[str] = (),
        renew: Collection[str] = (),
        reserve: Sequence[Reservation] = (),
    ) -> list[BudgetExceeded | None]:
        if "bad" in [*(one.id for one in settle), *(one.id for one in reserve)]:
            raise self.failure
        return super().enter(settle=settle, release=release, renew=renew, reserve=reserve)


@pytest.mark.parametrize("failure", [OverflowError("too large"), CatalogError("integer out of range")])
async def test_one_call_that_no_database_takes_stops_nobody(
    failure: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    accounts = Picky(failure)
    bookkeeper = Bookkeeper(accounts)
    bookkeeper._orders.put(record("1"))
    bookkeeper._orders.put(record("bad", cost=77))
    bookkeeper._orders.put(record("2"))
    bookkeeper._held.add("bad")
    await bookkeeper.reserve(wanted("3"))
    await bookkeeper.reserve(wanted("4"))
    assert accounts.all("settle") == ["1", "2"]
    assert accounts.all("reserve") == ["3", "4"]
    assert bookkeeper._held == {"3", "4"}  # what was held for it ends, and is then lost at that amount
    assert "cost=77" in caplog.text
    await bookkeeper.close()


async def test_one_reservation_that_no_database_takes_fails_alone() -> None:
    accounts = Picky(OverflowError("too large"))
    bookkeeper = Bookkeeper(accounts)
    accounts.may_go.clear()
    first = asyncio.create_task(bookkeeper.reserve(wanted("1")))
    await asyncio.to_thread(accounts.entering.wait, 10)
    others = [asyncio.create_task(bookkeeper.reserve(wanted(name))) for name in ("2", "bad", "3")]
    await asyncio.sleep(0)
    accounts.may_go.set()
    results = await asyncio.gather(first, *others, return_exceptions=True)
    assert [type(one) for one in results] == [type(None), type(None), OverflowError, type(None)]
    await bookkeeper.close()


async def test_a_reservation_that_cannot_be_written_fails() -> None:
    accounts = Accounts()
    accounts.failures = [CatalogError("locked")]
    bookkeeper = Bookkeeper(accounts)
    with pytest.raises(CatalogError, match="locked"):
        await bookkeeper.reserve(wanted("1"))
    await bookkeeper.close()


async def test_what_is_held_is_renewed_while_its_call_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sourcebook.models.cost.bookkeeping._RENEW", 0.02)
    accounts = Accounts()
    bookkeeper = Bookkeeper(accounts)
    await bookkeeper.reserve(wanted("1"))
    for _ in range(200):
        await asyncio.sleep(0.01)
        if len(accounts.all("renew")) > 1:
            break
    assert set(accounts.all("renew")) == {"1"}
    bookkeeper.settle(record("1"))
    await bookkeeper.flush()
    renewed = len(accounts.all("renew"))
    await asyncio.sleep(0.06)
    assert len(accounts.all("renew")) <= renewed
    await bookkeeper.close()


async def test_what_is_held_is_renewed_after_the_machine_slept(monkeypatch: pytest.MonkeyPatch) -> None:
    slept = 0.0
    monkeypatch.setattr("sourcebook.models.cost.bookkeeping._clocks", lambda: (time.monotonic(), time.time() + slept))
    accounts = Accounts()
    bookkeeper = Bookkeeper(accounts)
    await bookkeeper.reserve(wanted("1"))
    slept = 600.0  # in which the monotonic clock stands still
    await bookkeeper.reserve(wanted("2"))
    assert accounts.entered[-1] == {"settle": [], "release": [], "renew": ["1"], "reserve": ["2"]}
    await bookkeeper.close()


async def test_budgets_are_read_anew_while_those_of_before_still_hold() -> None:
    accounts = Accounts()
    bookkeeper = Bookkeeper(accounts)
    assert await bookkeeper.budgeted("default", "anna")
    bookkeeper._budgets_read -= 0.6
    accounts.may_go.clear()
    assert await bookkeeper.budgeted("default", "anna")  # without waiting
    accounts.may_go.set()
    bookkeeper._budgets_read -= 0.6
    assert await bookkeeper.budgeted("default", "anna")
    assert accounts.reads == 2


async def test_budgets_are_read_once_a_second_at_most() -> None:
    accounts = Accounts()
    bookkeeper = Bookkeeper(accounts)
    binding = await asyncio.gather(
        *(bookkeeper.budgeted(*payer) for payer in (("default", "anna"), ("default", "ben"), ("firm", "ben")))
    )
    assert binding == [True, False, True]
    assert accounts.reads == 1
    bookkeeper._budgets_read -= 1.1
    assert await bookkeeper.budgeted("default", "anna")
    assert accounts.reads == 2


async def test_whoever_waits_for_the_budgets_stops_nobody_else() -> None:
    accounts = Accounts()
    accounts.may_go.clear()
    bookkeeper = Bookkeeper(accounts)
    asking = asyncio.create_task(bookkeeper.budgeted("default", "anna"))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):  # the loop goes on
            await bookkeeper.budgeted("default", "ben")
    accounts.may_go.set()
    assert await asking
    assert accounts.reads == 1


async def test_budgets_that_cannot_be_read_are_as_they_were(caplog: pytest.LogCaptureFixture) -> None:
    accounts = Accounts()
    bookkeeper = Bookkeeper(accounts)
    accounts.failures = [CatalogError("away")]
    with pytest.raises(CatalogError, match="away"):  # nobody knows what binds whom
        await bookkeeper.budgeted("default", "anna")
    assert await bookkeeper.budgeted("default", "anna")
    bookkeeper._budgets_read -= 1.1
    accounts.failures = [CatalogError("away")]
    assert await bookkeeper.budgeted("default", "anna")
    assert "could not be read" in caplog.text


async def test_a_vendor_that_charges_more_than_was_held_is_recorded_and_told(
    catalog: Catalog, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = UsageLedger(catalog)
    ledger.set_budget(Budget(period="total", limit=1_000))
    bookkeeper = Bookkeeper(ledger)
    model = Metered(
        Scripted(finish(input_tokens=10, output_tokens=700)), known=KNOWN, ledger=bookkeeper, counter=Characters()
    )
    events = await events_of(model.stream(asked()))
    assert isinstance(events[-1], Finish)
    assert events[-1].usage.cost == 1_410
    await bookkeeper.close()
    assert ledger.standings()[0].left == -410
    assert totals(ledger.catalog, "model")[0].overrun == 1_410 - 213
    assert "1410 micro-dollars" in caplog.text
