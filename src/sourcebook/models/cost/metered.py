"""A model that keeps account: money is held before the call, and what the call took is settled after it.

finished                        the vendor's count, priced; without one, what was sent and what came, counted here
broken off, deadline, cancelled what the vendor had reported by then; else prompt and text counted, exact=False
refused with an HTTP error, or never reached, before anything came: nothing
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
from sourcebook.models.base import (
    Capabilities,
    Finish,
    Model,
    ModelEvent,
    ModelRequest,
    ReasoningPart,
    TextPart,
    ToolCallPart,
)
from sourcebook.models.cost.known import FILE, KnownModel
from sourcebook.models.cost.price import estimate, price, prompt_tokens
from sourcebook.models.cost.tokens import TokenCounter, counter_for
from sourcebook.types import CallRecord, Outcome, Reservation, Usage


class Ledger(Protocol):
    """Where calls are reserved and settled: `bookkeeping.Bookkeeper`."""

    def budgeted(self, tenant: str, account: str) -> bool:
        """Whether a budget binds this account."""
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


class Metered:
    """A wrapper around one vendor's model, below everything that retries, falls back or caches.

    known: what the model file knows of it; None: nothing, so that calls have no price, and with a budget in force
    none is made. ledger: None prices calls and records none. counter: of tokens, where the vendor does not count;
    None takes the one for the model's tokenizer. Errors: those of the model, and BudgetExceeded.
    """

    def __init__(
        self,
        model: Model,
        *,
        known: KnownModel | None,
        ledger: Ledger | None,
        counter: TokenCounter | None = None,
    ) -> None:
        self._model = model
        self._known = known
        self._ledger = ledger
        self._counter = counter or counter_for(known.tokenizer if known is not None else "")

    @property
    def name(self) -> str:
        """The model's."""
        return self._model.name

    @property
    def window(self) -> int:
        """The model's."""
        return self._model.window

    @property
    def capabilities(self) -> Capabilities:
        """The model's."""
        return self._model.capabilities

    def count_tokens(self, text: str) -> int:
        """As the model counts."""
        return self._model.count_tokens(text)

    async def close(self) -> None:
        """Close the model; the ledger belongs to somebody else."""
        await self._model.close()

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """The model's events; usage comes priced with the last. Whatever ends the call, nothing stays held."""
        if request.deadline is not None and time.monotonic() >= request.deadline:
            raise self._late()
        call = _Call(request)
        call.reserved = await self._reserve(request, call)
        try:
            async with aclosing(self._model.stream(request)) as events:
                async for event in events:
                    if isinstance(event, Finish):
                        usage = self._finished(event, call)
                        self._settle(call, "finished", usage, request_id=event.request_id)
                        yield replace(event, usage=usage)
                        return
                    call.note(event)
                    yield event
        except ModelError as error:
            if not call.settled:
                usage = Usage()
                if call.charged_for(error):
                    usage = self._priced(_reported(error) or self._counted(call), call)
                    self._settle(call, "broken", usage, request_id=error.request_id)
                else:
                    self._release(call)
                if hasattr(error, "usage"):  # for whoever sums up what all attempts took
                    error.usage = usage
            raise
        except Exception:
            if not call.settled:
                self._settle(call, "broken", self._priced(self._counted(call), call))
            raise
        finally:
            if not call.settled:  # cancelled, closed early, or ended without a Finish
                self._settle(call, "cancelled", self._priced(self._counted(call), call))

    # --- before the call --------------------------------------------------------------------------------------

    async def _reserve(self, request: ModelRequest, call: _Call) -> int:
        """Hold the most that the call can cost, if a budget binds who pays. Without one nothing is waited for."""
        if self._ledger is None or (self._known is not None and self._known.free):
            return 0
        if not self._ledger.budgeted(request.tenant, request.account):
            return 0
        if self._known is None or not self._known.priced:
            raise BudgetExceeded(
                f"The price of {self.name} is not known, so no budget can hold for it",
                remedy=f"Add its price to {FILE} in the book's folder, or remove the budget: sourcebook budget list",
                provider=self.name.partition(":")[0],
            )
        expected = estimate(request, self._known, counter=self._counter)
        call.prompt = expected.input_tokens
        wanted = Reservation(
            id=call.id,
            at=call.at,
            tenant=request.tenant,
            account=request.account,
            model=self.name,
            purpose=request.purpose,
            amount=expected.high,
        )
        left = None if request.deadline is None else max(request.deadline - time.monotonic(), 0.0)
        try:
            async with asyncio.timeout(left):
                await self._ledger.reserve(wanted)
        except TimeoutError as error:
            raise self._late() from error
        return expected.high

    def _late(self) -> DeadlineExceeded:
        return DeadlineExceeded(f"The time for a call to {self.name} was over before it was made")

    # --- after it ---------------------------------------------------------------------------------------------

    def _finished(self, event: Finish, call: _Call) -> Usage:
        """The vendor's count with its price; counted here where the vendor said nothing."""
        usage = event.usage
        unsaid = not usage.counted_by and not (usage.input_tokens or usage.output_tokens)
        if unsaid or not usage.exact:  # as it was reserved: with tools, pictures and what the vendor puts around them
            usage = self._counted(call)
        return self._priced(usage, call)

    def _counted(self, call: _Call) -> Usage:
        """What was sent and what came, counted here."""
        if call.prompt is None:
            known = self._known
            call.prompt = prompt_tokens(
                call.request, self._counter.count, overhead=known.overhead if known else None, known=known
            )
        thought = self._counter.count("".join(call.reasoning)) if call.reasoning else 0
        said = self._counter.count("".join(call.text)) if call.text else 0
        return Usage(
            input_tokens=call.prompt,
            output_tokens=said + thought,
            reasoning_tokens=thought,
            counted_by=self._counter.name,
            exact=False,
        )

    def _priced(self, usage: Usage, call: _Call) -> Usage:
        if self._known is None or not self._known.priced:
            return replace(usage, cost=0, priced=False)
        day = datetime.fromisoformat(call.at).date()
        return replace(usage, cost=price(usage, self._known, day=day), priced=True)

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
                answer_id=getattr(request, "answer_id", None) or None,
                model=self.name,
                request_id=request_id,
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
        self.id = uuid4().hex
        self.at = datetime.now(UTC).isoformat(timespec="milliseconds")
        self.request = request
        self.reserved = 0
        self.settled = False
        self.prompt: int | None = None
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
        """Whether a vendor that ended the call so will charge for it.

        Anything that came is charged. Before that, an error reply (an HTTP status, or an error instead of the first
        event) costs nothing, and so does a vendor that was never reached. One that had the request and was given up
        on was at work on it; so was one that broke off, but of a streamed reply something would have come.
        """
        if self.text or self.reasoning or error.text or _reported(error) is not None:
            return True
        if isinstance(error, DeadlineExceeded | Interrupted | InvalidReply):
            return True
        silent = isinstance(error, Unavailable) and error.status == 0
        given_up = isinstance(error.__cause__, TimeoutError)
        return silent and (given_up or not (self.request.streamed or isinstance(error.__cause__, OSError)))


def _reported(error: ModelError) -> Usage | None:
    """What the vendor had reported by the time the reply broke off."""
    usage = getattr(error, "usage", None)
    return usage if isinstance(usage, Usage) and (usage.input_tokens or usage.output_tokens) else None
