"""A model that keeps account: money is held before the call, and what the call took is settled after it.

finished                        the vendor's count, priced; without one, what was sent and what came, counted here
a stream broken off, past its
deadline, given up, cancelled   what the vendor had reported by then; else prompt and text counted, exact=False
a whole reply that did not come what was held: the vendor may have done all of the work, and nobody can know it
refused with an HTTP error, or never reached, before anything came: nothing

What is counted here is never more than was held.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime
from typing import Protocol
from uuid import uuid4

from sourcebook.errors import BudgetExceeded, DeadlineExceeded, Interrupted, InvalidReply, ModelError, Unavailable
from sourcebook.models.around import Around, told
from sourcebook.models.base import (
    Finish,
    Model,
    ModelEvent,
    ModelRequest,
    ReasoningPart,
    Said,
    TextPart,
    ToolCallPart,
)
from sourcebook.models.cost.known import FILE, KnownModel
from sourcebook.models.cost.price import Estimate, estimate, longest_reply, price, prompt_tokens
from sourcebook.models.cost.tokens import TokenCounter, counter_for
from sourcebook.types import CallRecord, Outcome, Reservation, Usage


class Ledger(Protocol):
    """Where calls are reserved and settled: `bookkeeping.Bookkeeper`."""

    async def budgeted(self, tenant: str, account: str) -> bool:
        """Whether a budget binds this account. Errors: CatalogError."""
        ...

    async def reserve(self, wanted: Reservation) -> None:
        """Hold money. Errors: BudgetExceeded."""
        ...

    def settle(self, call: CallRecord) -> None:
        """Put a call into the ledger, in place of what was held for it. It does not wait."""
        ...

    def release(self, call_id: str) -> None:
        """Let go of what was held. It does not wait."""
        ...


class Metered(Around):
    """A wrapper around one vendor's model, below everything that retries, falls back or caches.

    known: what the model file knows of it; None: nothing, so that calls have no price, and with a budget in force
    none is made. ledger: None prices calls and records none. counter: of tokens, where the vendor does not count;
    None takes the one for the model's tokenizer. url: as the settings name the model, to be told with the Finish.
    Errors: those of the model, and BudgetExceeded.
    """

    def __init__(
        self,
        model: Model,
        *,
        known: KnownModel | None,
        ledger: Ledger | None,
        counter: TokenCounter | None = None,
        url: str = "",
    ) -> None:
        super().__init__(model)
        self._url = url
        self._known = known
        self._ledger = ledger
        self._counter = counter or counter_for(known.tokenizer if known is not None else "")

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """The model's events; usage comes priced with the last. Whatever ends the call, nothing stays held."""
        if request.deadline is not None and time.monotonic() >= request.deadline:
            raise self._late()
        call = _Call(request)
        await self._reserve(call)
        try:
            async with aclosing(told(self._model, request, call.said)) as events:
                async for event in events:
                    if isinstance(event, Finish):
                        usage = self._finished(event, call)
                        self._settle(call, "finished", usage, request_id=event.request_id)
                        yield replace(event, usage=usage, served_url=self._url)
                        return
                    call.note(event)
                    yield event
        except ModelError as error:
            if not call.settled:
                usage = Usage()
                if call.charged_for(error):
                    usage = self._unfinished(call)
                    self._settle(call, "broken", usage, request_id=error.request_id)
                else:
                    self._release(call)
                error.usage = usage  # for whoever sums up what all attempts took
            raise
        except Exception:
            if not call.settled:
                self._settle(call, "broken", self._unfinished(call))
            raise
        finally:
            if not call.settled:  # cancelled, closed early, or ended without a Finish
                self._settle(call, "cancelled", self._unfinished(call))

    # --- before the call --------------------------------------------------------------------------------------

    async def _reserve(self, call: _Call) -> None:
        """Hold the most that the call can cost, if a budget binds who pays. Without one nothing is waited for."""
        if self._ledger is None or (self._known is not None and self._known.free):
            return
        request = call.request
        left = None if request.deadline is None else max(request.deadline - time.monotonic(), 0.0)
        try:
            async with asyncio.timeout(left):
                if not await self._ledger.budgeted(request.tenant, request.account):
                    return
                wanted = self._wanted(call)
                await self._ledger.reserve(wanted)
        except TimeoutError as error:
            raise self._late() from error
        call.reserved = wanted.amount

    def _wanted(self, call: _Call) -> Reservation:
        """What is to be held. Errors: BudgetExceeded if nobody knows how much that is."""
        if self._known is None or not self._known.priced:
            raise BudgetExceeded(
                f"The price of {self.name} is not known, so no budget can hold for it",
                remedy=f"Add its price to {FILE} in the book's folder, or remove the budget: sourcebook budget list",
                provider=self.name.partition(":")[0],
            )
        return Reservation(
            id=call.id,
            at=call.at,
            tenant=call.request.tenant,
            account=call.request.account,
            model=self.name,
            purpose=call.request.purpose,
            amount=self._expected(call, self._known).high,
        )

    def _expected(self, call: _Call, known: KnownModel) -> Estimate:
        """What the call takes at most, as of when it began."""
        if call.expected is None:
            call.expected = estimate(call.request, known, counter=self._counter, day=call.day)
        return call.expected

    def _late(self) -> DeadlineExceeded:
        return DeadlineExceeded(f"The time for a call to {self.name} was over before it was made", asked=False)

    # --- after it ---------------------------------------------------------------------------------------------

    def _finished(self, event: Finish, call: _Call) -> Usage:
        """The vendor's count with its price; counted here where the vendor said nothing. No prompt has 0 tokens."""
        usage = event.usage
        if usage.input_tokens and (usage.exact or call.said.usage.input_tokens):
            return self._priced(usage, call)
        return self._counted(call)  # as it was reserved: with tools, pictures and what the vendor puts around them

    def _unfinished(self, call: _Call) -> Usage:
        """What a call took that did not come to its end."""
        known = self._known
        if call.said.usage.input_tokens:  # the vendor has said so much; the rest of the reply is counted
            came = self._came(call)
            usage = call.said.usage
            output = max(usage.output_tokens, came.output_tokens)
            return self._priced(replace(usage, output_tokens=output, exact=False), call)
        if call.request.streamed or known is None or not known.rates:
            return self._counted(call)
        most = self._expected(call, known)
        return Usage(
            input_tokens=most.input_tokens,
            output_tokens=most.output_tokens,
            counted_by=most.counted_by,
            exact=False,
            cost=most.high,
        )

    def _counted(self, call: _Call) -> Usage:
        """What was sent and what came, counted here and priced; no more than was held for it."""
        known, request = self._known, call.request
        if call.expected is not None:
            prompt = call.expected.input_tokens
        else:
            overhead = known.overhead if known is not None else None
            prompt = prompt_tokens(request, self._counter.count, overhead=overhead, known=known)
        usage = self._priced(replace(self._came(call), input_tokens=prompt), call)
        return replace(usage, cost=min(usage.cost, call.reserved)) if call.reserved else usage

    def _came(self, call: _Call) -> Usage:
        """What came of the reply, counted here; an estimate of it is not more than the model may write."""
        most = longest_reply(call.request, self._known)
        thought = min(self._counter.count("".join(call.reasoning)), most) if call.reasoning else 0
        text = min(self._counter.count("".join(call.text)), most - thought) if call.text else 0
        return Usage(output_tokens=text + thought, reasoning_tokens=thought, counted_by=self._counter.name, exact=False)

    def _priced(self, usage: Usage, call: _Call) -> Usage:
        if self._known is None or not self._known.priced:
            return replace(usage, cost=0, priced=False)
        return replace(usage, cost=price(usage, self._known, day=call.day), priced=True)

    def _settle(self, call: _Call, outcome: Outcome, usage: Usage, *, request_id: str = "") -> None:
        call.settled = True
        if self._ledger is None:
            return
        request = call.request
        self._ledger.settle(
            CallRecord(
                id=call.id,
                at=call.at,
                tenant=request.tenant,
                account=request.account,
                purpose=request.purpose,
                answer_id=request.answer_id,
                model=self.name,
                request_id=request_id or call.said.request_id,
                outcome=outcome,
                usage=usage,
                reserved=call.reserved,
            )
        )

    def _release(self, call: _Call) -> None:
        call.settled = True
        if self._ledger is not None and call.reserved:
            self._ledger.release(call.id)


class _Call:
    """One call while it runs: what was asked, what has come, and what was held for it."""

    def __init__(self, request: ModelRequest) -> None:
        began = datetime.now(UTC)
        self.id = uuid4().hex
        self.at = began.isoformat(timespec="milliseconds")
        self.day = began.date()
        self.request = request
        self.said = Said()
        self.expected: Estimate | None = None
        self.reserved = 0
        self.settled = False
        self.text: list[str] = []
        self.reasoning: list[str] = []

    def note(self, event: ModelEvent) -> None:
        """Keep what came, to count it should the vendor not."""
        match event:
            case TextPart():
                self.text.append(event.text)
            case ReasoningPart():
                self.reasoning.append(event.text)
            case ToolCallPart():
                self.text.append(f"{event.call.name}{event.call.arguments}")
            case _:
                pass

    def charged_for(self, error: ModelError) -> bool:
        """Whether a vendor that ended the call so may charge for it.

        Anything that came is charged. Before that, an error reply (an HTTP status, or an error instead of the first
        event) costs nothing, and so does a vendor that was never asked. One that had the request and was given up
        on was at work on it; so was one that broke off, but of a streamed reply something would have come.
        """
        if self.text or self.reasoning or error.text or self.said.usage.input_tokens:
            return True
        if not error.asked:
            return False
        if isinstance(error, DeadlineExceeded | Interrupted | InvalidReply):
            return True
        silent = isinstance(error, Unavailable) and error.status == 0
        given_up = isinstance(error.__cause__, TimeoutError)
        return silent and (given_up or not self.request.streamed)
