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
from concurrent.futures import Future, InvalidStateError
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


@dataclass(slots=True)
class _Batch:
    settle: list[CallRecord] = field(default_factory=list)
    release: list[str] = field(default_factory=list)
    reserve: list[tuple[Reservation, Future[None]]] = field(default_factory=list)
    flushed: list[Future[None]] = field(default_factory=list)
    last: bool = False

    @property
    def waited_for(self) -> bool:
        return bool(self.reserve or self.flushed or self.last)


class Bookkeeper:
    """Reserves and settles for all models of a process. Any thread and any event loop may use it."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self._orders: queue.SimpleQueue[CallRecord | str | tuple[Reservation, Future[None]] | Future[None] | None] = (
            queue.SimpleQueue()
        )
        self._held: set[str] = set()
        self._renewed = time.monotonic()
        self._budgets: frozenset[tuple[str, str]] = frozenset()
        self._budgets_read = float("-inf")
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._closed = False

    def budgeted(self, tenant: str, account: str) -> bool:
        """Whether a budget binds this account. One that another process sets is heeded within a second."""
        now = time.monotonic()
        if now - self._budgets_read > _FRESH:
            self._budgets = self._accounts.budgeted()
            self._budgets_read = now
        return (tenant, account) in self._budgets or (tenant, WHOLE_TENANT) in self._budgets

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
        if call.reserved and call.usage.cost > call.reserved:
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

    def _order(self, order: CallRecord | str | tuple[Reservation, Future[None]] | Future[None]) -> None:
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
            kept = _Batch()
            try:
                self._write(batch)
            except BaseException as error:
                for _, answer in batch.reserve:
                    _fail(answer, error)
                for answer in batch.flushed:
                    _fail(answer, error)
                if batch.last or not isinstance(error, SourcebookError):
                    log.exception("%d calls could not be put into the usage ledger", len(batch.settle))
                else:
                    kept = _Batch(settle=batch.settle, release=batch.release)
                    log.warning("%d calls wait to be put into the usage ledger: %s", len(kept.settle), error)
                    time.sleep(0.0 if batch.waited_for else _RETRY)
            if batch.last:
                return

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

    def _sort(
        self, order: CallRecord | str | tuple[Reservation, Future[None]] | Future[None] | None, batch: _Batch
    ) -> None:
        match order:
            case CallRecord():
                batch.settle.append(order)
            case str():
                batch.release.append(order)
            case tuple():
                if order[1].set_running_or_notify_cancel():
                    batch.reserve.append(order)
            case Future():
                if order.set_running_or_notify_cancel():
                    batch.flushed.append(order)
            case None:
                batch.last = True

    def _write(self, batch: _Batch) -> None:
        renew = self._held if time.monotonic() - self._renewed >= _RENEW else ()
        if batch.settle or batch.release or batch.reserve or renew:
            results = self._accounts.enter(
                settle=batch.settle,
                release=batch.release,
                renew=[*renew],
                reserve=[wanted for wanted, _ in batch.reserve],
            )
            self._held.difference_update(one.id for one in batch.settle)
            self._held.difference_update(batch.release)
            if renew:
                self._renewed = time.monotonic()
            if batch.reserve and not self._held:
                self._renewed = time.monotonic()
            for (wanted, answer), refused in zip(batch.reserve, results, strict=True):
                if refused is None:
                    self._held.add(wanted.id)
                    answer.set_result(None)
                else:
                    answer.set_exception(refused)
        for answer in batch.flushed:
            answer.set_result(None)


def _fail(answer: Future[None], error: BaseException) -> None:
    with suppress(InvalidStateError):
        answer.set_exception(error)
