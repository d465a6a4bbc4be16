"""Three vendors that fail, stall, cut streams and throttle at random, behind everything that stands before them.

- Every call ends as the complete answer with one Finish last, or as a truthful error, within its deadline.
- What the ledger has settled is what the vendors charge, to the micro-dollar, as far as anybody can know it; where
  nobody can, the ledger says so, what was held covers it, and the difference is what was still on its way.
- No budget is exceeded at any moment, and nothing is left over: no task, connection, turn or reservation.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Final

import pytest

from sourcebook.errors import BudgetExceeded, DeadlineExceeded, ModelError
from sourcebook.models.base import Finish, Message, ModelRequest, Switched, TextPart
from sourcebook.models.route import Routed
from tests.models.chaotic import (
    LONGEST,
    Bill,
    Chaotic,
    Guessed,
    Words,
    intended,
    words,
)
from tests.models.chaotic_route import DEADLINE, Attempt, Ours, budgets, ours, outages

AT_ONCE: Final = 200
ACCOUNTS: Final = ("anna", "ben", "carl", "dora", "emma")


@pytest.mark.parametrize("seed", [11])
async def test_a_bad_minute(seed: int, tmp_path: Path) -> None:
    """Quick enough for every day."""
    report = await storm(seed, calls=150, pace=1.0, home=tmp_path)
    assert report.whole > 20
    assert report.known > 100


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
async def test_a_bad_day(seed: int, tmp_path: Path) -> None:
    report = await storm(seed, calls=2000, pace=3.0, home=tmp_path)
    print(f"\nseed {seed}: {report}")  # noqa: T201 -- shown with -s
    assert report.whole > 500
    assert report.continued > 50
    assert report.refused_by_budget > 20
    assert report.known > 1500
    assert report.hedges > 10
    assert report.escalated > 10
    assert report.most == AT_ONCE
    assert not {"refused", "complete", "broken", "stalled", "left"} - set(report.endings)


@dataclass(slots=True)
class Report:
    """What a storm came to.

    endings: of the vendors' bills. known, unknown: attempts, by whether what the vendor charges can be known. settled,
    charged: micro-dollars by the ledger and by the vendors, of what is known, and of streamed and whole replies that
    are not. lag: how late the event loop was at worst, in seconds. most: calls at once.
    """

    seconds: float = 0.0
    whole: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    left: int = 0
    continued: int = 0
    refused_by_budget: int = 0
    endings: Counter[str] = field(default_factory=Counter)
    attempts: int = 0
    known: int = 0
    unknown: Counter[str] = field(default_factory=Counter)
    settled: Counter[str] = field(default_factory=Counter)
    charged: Counter[str] = field(default_factory=Counter)
    hedges: int = 0
    escalated: int = 0
    samples: int = 0
    lag: float = 0.0
    most: int = 0


async def storm(seed: int, *, calls: int, pace: float, home: Path) -> Report:
    """So many calls, 200 at once, and everything that must hold."""
    before = asyncio.all_tasks()
    began = time.monotonic()
    async with ours(seed, pace, home) as side:
        for budget in budgets(calls):
            side.ledger.set_budget(budget)
        with watched(home) as watch:
            async with lagging() as lag, outages(side, seed):
                endings = await everything(side, seed, calls)
        report = Report(seconds=time.monotonic() - began, samples=watch.samples, lag=lag.most, most=side.most)
        assert watch.error is None
        assert watch.samples > 100
        assert not watch.exceeded
        for ending in endings:
            checked(ending, DEADLINE * pace, lag.most)
            count(ending, report)
        report.hedges = side.routes["hedged"].report().hedges
        cascade = side.routes["cascade"].report().cascade
        report.escalated = cascade.escalated if cascade is not None else 0
        await side.bookkeeper.flush()
        await gone(side)
        accounts_agree(side, endings, report)
        for double in side.doubles.values():
            assert not double.wrong
        await sunshine(side, calls)
    assert asyncio.all_tasks() == before
    return report


# --- the calls ------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class End:
    """How a call ended, as its caller saw it. left: its caller went away."""

    number: int
    route: str
    account: str
    deadline: float | None
    began: float
    ended: float = 0.0
    text: str = ""
    finishes: list[Finish] = field(default_factory=list)
    last: object = None
    kept: int = 0
    error: BaseException | None = None
    left: bool = False


def account_of(number: int) -> tuple[str, str]:
    """(tenant, account) that pays for a call; every sixth has no budget at all."""
    return ("mainland", "free") if number % 6 == 5 else ("island", ACCOUNTS[number % 6])


async def everything(side: Ours, seed: int, calls: int) -> list[End]:
    """All calls, as many at once as may be."""
    numbers = iter(range(calls))
    endings: list[End] = []

    async def work(place: int) -> None:
        await asyncio.sleep(side.pace * 0.002 * place)
        for number in numbers:
            side.running += 1
            side.most = max(side.most, side.running)
            endings.append(await call(side, number, Random(f"{seed} call {number}")))
            side.running -= 1

    async with asyncio.TaskGroup() as group:
        for place in range(min(AT_ONCE, calls)):
            group.create_task(work(place))
    return endings


async def call(side: Ours, number: int, chance: Random) -> End:
    """One call; its caller may be slow, or go away, or be stopped."""
    began = time.monotonic()
    time_given = chance.choices([None, chance.uniform(1.0, 4.0), chance.uniform(0.01, 0.6)], [4, 4, 2])[0]
    time_given = None if time_given is None else time_given * side.pace
    end = End(
        number=number,
        route=chance.choice([*side.routes]),
        account=account_of(number)[1],
        deadline=None if time_given is None else began + time_given,
        began=began,
    )
    request = replace(asked(number), streamed=chance.random() < 0.8, deadline=end.deadline)
    leaves = chance.randrange(1, 12) if chance.random() < 0.08 else 0
    pause = chance.uniform(0.0, 0.02) if chance.random() < 0.15 else 0.0
    reading = asyncio.create_task(read(side.routes[end.route], request, end, leaves=leaves, pause=pause))
    if chance.random() < 0.07:
        await asyncio.wait([reading], timeout=chance.uniform(0.0, side.pace))
        reading.cancel()
    try:
        await reading
    except asyncio.CancelledError:
        end.left = True
    except ModelError as error:
        end.error = error
    end.ended = time.monotonic()
    return end


def asked(number: int) -> ModelRequest:
    tenant, account = account_of(number)
    return ModelRequest(
        messages=(
            Message(role="system", text="You recite what you know by heart. Attempt ?"),
            Message(role="user", text=f"Recite {number}, please" + " and nothing else" * (number % 5)),
        ),
        max_output_tokens=LONGEST,
        tenant=tenant,
        account=account,
        answer_id=str(number),
    )


async def read(routed: Routed, request: ModelRequest, end: End, *, leaves: int, pause: float) -> None:
    async with aclosing(routed.stream(request)) as events:
        async for event in events:
            end.last = event
            match event:
                case TextPart():
                    end.text += event.text
                case Switched():
                    assert event.kept == len(end.text)
                    end.kept = max(end.kept, event.kept)
                case Finish():
                    end.finishes.append(event)
            leaves -= 1
            if leaves == 0 and not end.finishes:
                end.left = True
                return
            if pause:
                await asyncio.sleep(pause)


# --- what must hold of a call ---------------------------------------------------------------------------------


def checked(end: End, usual: float, lag: float) -> None:
    """Complete, or a truthful error, in time."""
    limit = end.deadline if end.deadline is not None else end.began + usual
    assert end.ended <= limit + 0.1 + 2 * lag, f"{end.ended - limit} s late: {end}"
    whole = intended(end.number)
    assert whole.startswith(end.text), end
    if end.left:
        return
    if end.error is None:
        assert len(end.finishes) == 1, end
        assert end.last is end.finishes[0]
        assert end.finishes[0].reason == "stop"
        assert end.text == whole, end
        return
    assert isinstance(end.error, ModelError)
    assert not end.finishes
    if end.route != "cascade":  # there a text that was not shown may have come
        assert end.error.text == end.text, end
    assert whole.startswith(end.error.text)
    if isinstance(end.error, DeadlineExceeded):
        assert end.ended >= limit - 0.02, end
    if isinstance(end.error, BudgetExceeded):
        assert end.account in ("ben", "carl", "dora"), end


def count(end: End, report: Report) -> None:
    report.left += end.left
    report.whole += bool(end.finishes)
    report.continued += bool(end.finishes) and bool(end.kept)
    report.refused_by_budget += isinstance(end.error, BudgetExceeded)
    if end.error is not None:
        report.errors[type(end.error).__name__] += 1


# --- what must hold of the money ------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One of the ledger's."""

    request_id: str
    outcome: str
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    exact: bool
    cost: int
    reserved: int

    def told(self) -> tuple[int, int, int, int]:
        """Tokens of prompt, of it cached, and of the reply; and the cost."""
        return self.input_tokens, self.cached_tokens, self.output_tokens, self.cost


def accounts_agree(side: Ours, endings: list[End], report: Report) -> None:
    """The ledger's rows against the vendors' bills, attempt by attempt, and against what callers were told."""
    rows: dict[tuple[str, str], list[Row]] = {}
    booked: Counter[str] = Counter()  # by call
    for one in side.ledger.catalog.rows(
        "SELECT answer_id, model, request_id, outcome, input_tokens, cached_tokens, output_tokens, exact, cost,"
        " reserved FROM usage"
    ):
        made = {name: getattr(one, name) for name in Row.__slots__} | {"exact": bool(one.exact)}
        rows.setdefault((one.answer_id, one.model), []).append(Row(**made))
        booked[one.answer_id] += one.cost
    bills = {bill.attempt: (double, bill) for double in side.doubles.values() for bill in double.bills}
    assert len(bills) == sum(len(double.bills) for double in side.doubles.values())
    assert bills.keys() <= {attempt.id for attempt in side.attempts}
    report.attempts = len(side.attempts)
    report.endings.update(bill.ending for _, bill in bills.values())
    unknown: list[Attempt] = []
    for attempt in side.attempts:
        double, bill = bills.get(attempt.id, (side.doubles[attempt.model.partition(":")[0]], None))
        if not known(attempt, bill):
            unknown.append(attempt)
            continue
        report.known += 1
        if bill is not None and double.cost(bill):
            agreed(attempt, bill, double, rows.get((str(attempt.call), attempt.model), []), report)
    for attempt in sorted(unknown, key=lambda one: not one.given_up):  # what was given up has a row in any case
        double, bill = bills.get(attempt.id, (side.doubles[attempt.model.partition(":")[0]], None))
        bounded(attempt, bill, double, rows.get((str(attempt.call), attempt.model), []), report)
    assert not [left for left in rows.values() if left], "settled, and nobody knows for what"
    assert side.ledger.catalog.rows("SELECT id FROM reservation") == []
    totals = side.ledger.catalog.rows(
        "SELECT (SELECT SUM(cost) FROM usage) AS settled,"
        " (SELECT SUM(cost) FROM spending WHERE account <> '*') AS daily"
    )
    charged = sum(double.cost(bill) for double, bill in bills.values())
    assert totals[0].settled == totals[0].daily == report.settled.total()
    assert charged == report.charged.total()
    answered = [end for end in endings if end.finishes and end.route != "hedged"]
    differing = [end for end in answered if end.finishes[0].usage.cost != booked[str(end.number)]]
    assert not differing, [(end, booked[str(end.number)]) for end in differing]


def known(attempt: Attempt, bill: Bill | None) -> bool:
    """Whether what the vendor charges for it can be known here."""
    if attempt.finish is not None:
        return True  # all was said, if not always how much it took
    if attempt.error is not None and not attempt.error.asked:
        assert bill is None
        return True
    if attempt.given_up:  # by silence; anything else, with more on its way perhaps
        silence = attempt.error is not None and not isinstance(attempt.error, DeadlineExceeded)
        return silence and bill is not None and bill.ending == "stalled" and bool(attempt.received)
    if bill is None:
        assert not attempt.received
        return attempt.streamed  # it broke off before the vendor had read anything
    assert bill.ending in ("refused", "broken"), f"{attempt}\n{bill}"
    return bill.ending == "refused" or attempt.streamed


def counted(attempt: Attempt, double: Chaotic) -> tuple[int, int, int, int]:
    """What the call took as our side counts."""
    prompt = double.tariff.prompt(attempt.texts, double.counter.count)
    output = min(double.counter.count("".join(attempt.received)), attempt.longest)
    return prompt, 0, output, double.tariff.cost(prompt, output)


def most(attempt: Attempt, double: Chaotic) -> tuple[int, int, int, int]:
    """What the call takes at most, as our side holds for it."""
    prompt = double.tariff.prompt(attempt.texts, double.counter.count)
    dearest = prompt if isinstance(double.counter, Words) else -(-prompt * 110 // 100)
    return prompt, 0, attempt.longest, double.tariff.cost(dearest, attempt.longest)


def agreed(attempt: Attempt, bill: Bill, double: Chaotic, mine: list[Row], report: Report) -> None:
    """Settled is what the vendor charges, or where our side can only estimate its tokens, no less."""
    row = next((one for one in mine if one.request_id == bill.id), None)
    assert row is not None, f"{attempt}\n{bill}\n{mine}"
    mine.remove(row)
    charged = double.cost(bill)
    report.charged["known"] += charged
    report.settled["known"] += row.cost
    assert row.cost <= row.reserved or not row.reserved
    assert row.exact == (attempt.finish is not None and bill.said)
    if row.exact or isinstance(double.counter, Words):
        assert row.told() == (bill.prompt, bill.cached, bill.output, charged), f"{attempt}\n{bill}\n{row}"
    else:
        assert row.told() == counted(attempt, double), f"{attempt}\n{bill}\n{row}"
        assert charged <= row.cost


def bounded(attempt: Attempt, bill: Bill | None, double: Chaotic, mine: list[Row], report: Report) -> None:
    """The ledger says that this is not the vendor's count, and what was held covers it.

    Of a stream, settled is what came. Of a whole reply it is all that it may have cost, unless it was there and its
    reader left.
    """
    charged = 0 if bill is None else double.cost(bill)
    kind = "streamed" if attempt.streamed else "whole"
    report.unknown[kind] += 1
    report.charged[kind] += charged
    fit = [counted(attempt, double) if attempt.streamed else most(attempt, double)]
    if bill is not None and bill.told:  # and our side may have heard it
        output = max(words("".join(attempt.received)), bill.least) if attempt.streamed else bill.output
        fit.append((bill.prompt, bill.cached, output, double.tariff.cost(bill.prompt, output, bill.cached)))
    own = "" if bill is None or bill.id not in {one.request_id for one in mine} else bill.id
    row = next((one for one in mine if one.told() in fit and not one.exact and one.request_id == own), None)
    assert row is not None, f"{attempt}\n{bill}\n{fit}\n{mine}"
    mine.remove(row)
    report.settled[kind] += row.cost
    assert row.outcome in ("broken", "cancelled")
    if row.reserved:
        assert max(charged, row.cost) <= row.reserved
    if attempt.streamed:
        assert bill is None or isinstance(double.counter, Guessed) or bill.output >= row.output_tokens
    else:
        assert charged <= row.cost


# --- at every moment, and at the end --------------------------------------------------------------------------


@dataclass(slots=True)
class Watch:
    samples: int = 0
    exceeded: list[object] = field(default_factory=list)
    error: Exception | None = None


@contextmanager
def watched(home: Path) -> Iterator[Watch]:
    """Another reader of the database looks again and again whether a budget is exceeded."""
    watch = Watch()
    over = threading.Event()

    def look() -> None:
        try:
            with closing(sqlite3.connect(home / "catalog.db", timeout=10.0)) as connection:
                while not over.wait(0.005):
                    watch.exceeded += connection.execute(_EXCEEDED).fetchall()
                    watch.samples += 1
        except sqlite3.Error as error:
            watch.error = error

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield watch
    finally:
        over.set()
        thread.join()


_EXCEEDED = """
    SELECT budget.account, period, cost_limit, SUM(cost)
      FROM budget
      JOIN (SELECT tenant, account, day, cost FROM usage
             UNION ALL
            SELECT tenant, account, day, amount FROM reservation) AS call
        ON call.tenant = budget.tenant AND (call.account = budget.account OR budget.account = '*')
     GROUP BY budget.tenant, budget.account, period, CASE period WHEN 'day' THEN day END
    HAVING SUM(cost) > cost_limit
"""


@dataclass(slots=True)
class Lag:
    most: float = 0.0


@asynccontextmanager
async def lagging() -> AsyncIterator[Lag]:
    """How late this machine's event loop was at worst."""
    lag = Lag()

    async def look() -> None:
        while True:
            due = time.monotonic() + 0.01
            await asyncio.sleep(0.01)
            lag.most = max(lag.most, time.monotonic() - due)

    task = asyncio.create_task(look())
    try:
        yield lag
    finally:
        task.cancel()
        await asyncio.wait([task])


async def gone(side: Ours) -> None:
    """Nothing runs on, on either side."""
    for name, routed in side.routes.items():
        for model in routed.report().models:
            assert (model.running, model.waiting) == (0, 0), (name, model)
        limiters = [leaf._limiter for leaf in routed._leaves if leaf._limiter is not None]
        assert [one.running for one in limiters] == [0] * len(limiters), name
    assert all(tap.running == 0 for tap in side.taps)
    async with asyncio.timeout(2.0):
        while any(double.open for double in side.doubles.values()):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def sunshine(side: Ours, first: int) -> None:
    """The vendors are well again: every call is answered, so that no turn was lost and no breaker stays open."""
    for double in side.doubles.values():
        double.weather = {"fine": 1}

    async def one(number: int, route: str) -> None:
        end = End(number=number, route=route, account="free", deadline=None, began=time.monotonic())
        request = replace(asked(number), tenant="mainland", account="free")
        await read(side.routes[route], request, end, leaves=0, pause=0.0)
        assert end.finishes
        assert end.text == intended(number)

    async with asyncio.TaskGroup() as group:
        for place, route in enumerate([*side.routes] * 5):
            group.create_task(one(first + place, route))
    assert all(tap.running == 0 for tap in side.taps)
