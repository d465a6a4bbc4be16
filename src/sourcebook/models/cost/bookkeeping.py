"""Model calls -> the ledger, without calls waiting for a disk that they do not need.

One thread writes for the whole process: what comes in while it commits goes into its next transaction together.
A call under a budget waits for its reservation; what a call took is handed over and written while life goes on.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Collection, Sequence
from concurrent.futures import CancelledError, Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from sourcebook.errors import BudgetExceeded, SourcebookError
from sourcebook.types import CallRecord, Reservation

log = logging.getLogger(__name__)

WHOLE_TENANT = "*"
_FRESH = 1.0  # seconds for which the list of budgets is believed
_GATHER = 0.01  # seconds in which settlements gather when nobody waits
_RENEW = 45.0  # seconds after which what is held is held on
_RETRY = 1.0  # seconds after which what could not be written is tried again


class Accounts(Protocol):
    """The ledger itself, in whatever database; its methods block. See `catalog.usage.UsageLedger`."""

    def enter(
        self,
        *,
        settle: Sequence[CallRecord] = (),
        release: Collection[str] = (),
        renew: Collection[str] = (),
        reserve: Sequence[Reservation] = (),
    ) -> list[BudgetExceeded | None]:
        """All in one transaction; the i'th result belongs to the i'th reservation wanted."""
        ...

    def budgeted(self) -> frozenset[tuple[str, str]]:
        """(tenant, account) of every budget; account "*" stands for the whole tenant."""
        ...


Wanted = tuple[Reservation, Future[None]]
_Order = CallRecord | str | Wanted | Future[None] | None
"""To settle; to release; to reserve; to say when all before it is written; to end."""


@dataclass(slots=True)
class _Batch:
    settle: list[CallRecord] = field(default_factory=list)
    release: list[str] = field(default_factory=list)
    reserve: list[Wanted] = field(default_factory=list)
    flushed: list[Future[None]] = field(default_factory=list)
    last: bool = False

    @property
    def waited_for(self) -> bool:
        return bool(self.reserve or self.flushed or self.last)

    def take_back(self, call_id: str) -> None:
        """Release what was held, or is about to be: its caller has gone, and may have gone since it was ordered."""
        self.release.append(call_id)
        for place, (wanted, answer) in enumerate(self.reserve):
            if wanted.id == call_id:
                _fail(answer, CancelledError())
                del self.reserve[place]
                return


class Bookkeeper:
    """Reserves and settles for all models of a process. Any thread and any event loop may use it."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self._orders: queue.SimpleQueue[_Order] = queue.SimpleQueue()
        self._held: set[str] = set()
        self._renewed = _clocks()
        self._budgets: frozenset[tuple[str, str]] | None = None
        self._budgets_read = float("-inf")
        self._reading: Future[None] | None = None
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._closed = False

    async def budgeted(self, tenant: str, account: str) -> bool:
        """Whether a budget binds this account. One that another process sets is heeded within a second.

        The database is asked twice a second at most, and not by the thread that writes: who has no budget does not
        wait for that, and while calls follow each other, for nothing at all. Errors: CatalogError if the database could
        never be asked; afterwards the last answer holds.
        """
        reading = self._read_budgets()
        if reading is not None:
            await asyncio.shield(asyncio.wrap_future(reading))
        budgets = self._budgets or frozenset()
        return (tenant, account) in budgets or (tenant, WHOLE_TENANT) in budgets

    def _read_budgets(self) -> Future[None] | None:
        """Have them read, if they are half as old as they may be; what to wait for, if they are older than that."""
        with self._starting:
            age = time.monotonic() - self._budgets_read
            if age > _FRESH / 2 and self._reading is None:
                self._reading = Future()
                threading.Thread(
                    target=self._read, args=(self._reading,), name="sourcebook-budgets", daemon=True
                ).start()
            return self._reading if age > _FRESH else None

    def _read(self, reading: Future[None]) -> None:
        failure: BaseException | None = None
        try:
            self._budgets = self._accounts.budgeted()
        except Exception as error:  # handed to whoever waits
            failure = error
        known = self._budgets is not None
        with self._starting:  # whoever finds no reading under way finds its time
            self._reading = None
            if known:
                self._budgets_read = time.monotonic()
        if failure is not None and not known:
            reading.set_exception(failure)
            return
        if failure is not None:
            log.warning("The budgets could not be read; those of before hold: %s", failure)
        reading.set_result(None)

    async def reserve(self, wanted: Reservation) -> None:
        """Hold money for a call; returns once it is held. Errors: BudgetExceeded, CatalogError.

        Cancelled while it waits, it leaves nothing held.
        """
        answer: Future[None] = Future()
        self._order((wanted, answer))
        try:
            await asyncio.wrap_future(answer)
        except asyncio.CancelledError:
            if not answer.cancelled():  # too late: it may be held, or be so in a moment
                self.release(wanted.id)
            raise

    def settle(self, call: CallRecord) -> None:
        """Put a call into the ledger, in place of what was held for it. Returns at once; `close` waits for it."""
        if call.reserved and call.usage.exact and call.usage.cost > call.reserved:
            log.warning(
                "%s charged %d micro-dollars for a call for which %d had been held", call.model, call.usage.cost,
                call.reserved,
            )  # fmt: skip
        self._hand_over(call)

    def release(self, call_id: str) -> None:
        """Let go of what was held for a call that cost nothing. Returns at once."""
        self._hand_over(call_id)

    def _hand_over(self, order: CallRecord | str) -> None:
        try:
            self._order(order)
        except SourcebookError:  # whoever ends a call after the book is closed shall not fail for that
            log.exception("The usage ledger was closed before a call ended; lost: %s", order)

    async def flush(self) -> None:
        """Return once all that was handed over before is in the database. Errors: CatalogError."""
        if self._thread is not None:
            done: Future[None] = Future()
            self._order(done)
            await asyncio.wrap_future(done)

    async def close(self) -> None:
        """Write everything out and end the thread; later calls are errors. Not undone by being cancelled."""
        with self._starting:
            self._closed = True
            thread, self._thread = self._thread, None
        if thread is not None:
            self._orders.put(None)
            await asyncio.shield(asyncio.to_thread(thread.join))

    def _order(self, order: _Order) -> None:
        with self._starting:
            if self._closed:
                raise SourcebookError("The usage ledger is closed", remedy="Open the book again")
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="sourcebook-ledger", daemon=True)
                self._thread.start()
            self._orders.put(order)

    # --- in the thread ------------------------------------------------------------------------------------------

    def _run(self) -> None:
        kept = _Batch()  # what could not be written
        while True:
            batch = self._next(kept)
            kept = self._written(batch)
            if batch.last:
                return
            if (kept.settle or kept.release) and not batch.waited_for:
                time.sleep(_RETRY)

    def _next(self, batch: _Batch) -> _Batch:
        """The orders that are there; nobody waiting, a few more that come at once. Empty when it is time to renew."""
        patience = _RETRY if batch.settle or batch.release else _RENEW if self._held else None
        try:
            self._sort(self._orders.get(timeout=patience), batch)
            if not batch.waited_for:
                until = time.monotonic() + _GATHER
                while not batch.waited_for and (left := until - time.monotonic()) > 0:
                    self._sort(self._orders.get(timeout=left), batch)
            while not batch.last:
                self._sort(self._orders.get_nowait(), batch)
        except queue.Empty:
            pass
        return batch

    def _sort(self, order: _Order, batch: _Batch) -> None:
        match order:
            case CallRecord():
                batch.settle.append(order)
            case str():
                batch.take_back(order)
            case tuple():
                if order[1].set_running_or_notify_cancel():
                    batch.reserve.append(order)
            case Future():
                if order.set_running_or_notify_cancel():
                    batch.flushed.append(order)
            case None:
                batch.last = True

    def _written(self, batch: _Batch) -> _Batch:
        """Write the batch. What of it could not be written now, and is to be tried again."""
        kept = _Batch()
        failure: Exception | None = None
        try:
            self._enter(settle=batch.settle, release=batch.release, reserve=batch.reserve)
        except Exception as error:  # one order must not be the end of the others
            if batch.settle or batch.release:
                kept, failure = self._settled_apart(batch, error)
            self._reserved_apart(batch.reserve, error, hopeless=failure is not None or self._is_alone(batch))
        for flushed in batch.flushed:
            if failure is not None:
                _fail(flushed, failure)
            else:
                flushed.set_result(None)
        return kept

    def _enter(
        self,
        *,
        settle: Sequence[CallRecord] = (),
        release: Sequence[str] = (),
        reserve: Sequence[Wanted] = (),
    ) -> None:
        """One transaction, in which what runs is held on if it is time."""
        renewing = bool(self._held) and any(
            now - then >= _RENEW for now, then in zip(_clocks(), self._renewed, strict=True)
        )
        if not (settle or release or reserve or renewing):
            return
        results = self._accounts.enter(
            settle=settle,
            release=release,
            renew=[*self._held] if renewing else [],
            reserve=[wanted for wanted, _ in reserve],
        )
        self._held.difference_update(one.id for one in settle)
        self._held.difference_update(release)
        if renewing or (reserve and not self._held):
            self._renewed = _clocks()
        for (wanted, answer), refused in zip(reserve, results, strict=True):
            if refused is None:
                self._held.add(wanted.id)
                answer.set_result(None)
            else:
                answer.set_exception(refused)

    def _settled_apart(self, batch: _Batch, error: Exception) -> tuple[_Batch, Exception | None]:
        """After a failure, each call by itself: what is to be tried again, and why, if anything is.

        Where the database writes nothing at all, everything is. Where it does, and does not take one call, that one
        is dropped. What was held for it is not held on, and the ledger will have it as lost, at that amount.
        """
        settle = batch.settle
        while self._writes(batch.release):
            if not settle:
                return _Batch(), None
            call, *settle = settle
            try:
                self._enter(settle=[call])
            except Exception as refusal:
                if not self._writes():
                    settle = [call, *settle]
                    break
                self._held.discard(call.id)
                log.error("A call could not be put into the usage ledger: %s", call, exc_info=refusal)  # noqa: TRY400
        if batch.last:
            log.error("%d calls could not be put into the usage ledger", len(settle), exc_info=error)
        else:
            log.warning("%d calls wait to be put into the usage ledger: %s", len(settle), error)
        return _Batch(settle=settle, release=batch.release), error

    @staticmethod
    def _is_alone(batch: _Batch) -> bool:
        return len(batch.reserve) == 1 and not batch.settle and not batch.release

    def _reserved_apart(self, reserve: Sequence[Wanted], error: Exception, *, hopeless: bool) -> None:
        """After a failure, each reservation by itself; whoever waits for one that fails is told."""
        for one in reserve:
            if hopeless:
                _fail(one[1], error)
                continue
            try:
                self._enter(reserve=[one])
            except Exception as refusal:
                _fail(one[1], refusal)
                hopeless = not self._writes()

    def _writes(self, release: Sequence[str] = ()) -> bool:
        """Whether the database writes at all."""
        try:
            self._enter(release=release or [""])
        except Exception:
            return False
        return True


def _clocks() -> tuple[float, float]:
    """The monotonic clock and the one on the wall: the first may stand still while the machine sleeps."""
    return time.monotonic(), time.time()


def _fail(answer: Future[None], error: BaseException) -> None:
    with suppress(InvalidStateError):
        answer.set_exception(error)
