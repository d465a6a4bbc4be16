"""The cheap model first, the strong one when evidence asks for it; and what that saves."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Final

from sourcebook.errors import BudgetExceeded, InvalidRequest, ModelError
from sourcebook.models.base import (
    Completion,
    Finish,
    Model,
    ModelEvent,
    ModelRequest,
    Switched,
    TextPart,
    ToolCallPart,
)
from sourcebook.models.route.attempt import Attempt, Now, Price, charge, is_over, spent, unfinished
from sourcebook.models.route.doubt import (
    Confidence,
    Doubt,
    Similarity,
    Thresholds,
    channel_agreement,
    doubt_after,
    doubt_before,
    word_overlap,
)
from sourcebook.models.route.shared import Among
from sourcebook.types import Usage


@dataclass(frozen=True, kw_only=True, slots=True)
class CascadeReport:
    """What a cascade has done. Money in micro-US-dollars.

    calls: finished ones. escalated: of them, by the strong model in the end. reasons: escalations by their ground
    ("confidence", "error", "reason", "schema", "tools", "probability", "agreement").
    cost: what the calls took. strong_cost: what they would have taken had the strong model been asked at once; for
    calls that the cheap model answered, its tokens at the strong model's price. priced: whether all prices were
    known; if not, the money means little. unheard: second replies that failed, so that agreement said nothing.
    """

    calls: int
    escalated: int
    reasons: Mapping[str, int] = field(default_factory=dict)
    cost: int = 0
    strong_cost: int = 0
    priced: bool = True
    unheard: int = 0

    @property
    def escalation_rate(self) -> float:
        """Share of the calls that went to the strong model, from 0 to 1."""
        return self.escalated / self.calls if self.calls else 0.0

    @property
    def saving(self) -> int:
        """What the cascade has saved; negative if it has cost more than it saved."""
        return self.strong_cost - self.cost


class Cascade(Among):
    """A cheap model, and a strong one for what the cheap one is not trusted with.

    The cheap answer is judged before anything of it is shown, so it comes whole. When something speaks against it
    (see `Thresholds`), or the call fails, the strong model is asked anew, and a Switched says why (kept=0). Little
    confidence in the evidence spares the cheap call. The cheap model's thoughts are shown with its answer only.
    What is added to a request for the sake of a sign (log probabilities, a temperature for the second reply) is left
    out if the cheap model does not accept it.
    price: of both models' tokens. Calls whose model says its own cost (metered ones) are taken at that.

    Errors: InvalidRequest and BudgetExceeded of the cheap model; otherwise the strong model's.
    The Finish's usage holds the cheap calls, too.
    """

    def __init__(
        self,
        cheap: Model,
        strong: Model,
        *,
        thresholds: Thresholds | None = None,
        confidence: Confidence = channel_agreement,
        similarity: Similarity = word_overlap,
        price: Price | None = None,
        now: Now = time.monotonic,
    ) -> None:
        super().__init__((cheap, strong))
        self._cheap = cheap
        self._strong = strong
        self._thresholds = thresholds or Thresholds()
        self._confidence = confidence
        self._similarity = similarity
        self._price = price
        self._now = now
        self._calls = 0
        self._reasons: Counter[str] = Counter()
        self._cost = 0
        self._strong_cost = 0
        self._priced = True
        self._unheard = 0
        self._plainly: set[str] = set()  # fields of a request in which the cheap model takes no value of ours

    @property
    def name(self) -> str:
        """Of both models."""
        return f"cascade({self._cheap.name}, {self._strong.name})"

    def report(self) -> CascadeReport:
        """What has been done so far."""
        return CascadeReport(
            calls=self._calls,
            escalated=self._reasons.total(),
            reasons=dict(self._reasons),
            cost=self._cost,
            strong_cost=self._strong_cost,
            priced=self._priced,
            unheard=self._unheard,
        )

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """The cheap answer all at once, or the strong one as it comes."""
        usage = Usage()
        doubt = doubt_before(request, self._thresholds, self._confidence)
        if doubt is None:
            first, second = await self._samples(request)
            usage = first.usage + second.usage if second is not None else first.usage
            doubt = self._judged(request, first, second)
            if doubt is None:
                self._count(None, cost=usage, strong=first.usage, model=self._strong.name)
                for event in first.events:
                    if not isinstance(event, Finish):
                        yield event
                assert first.attempt.finish is not None
                yield replace(first.attempt.finish, usage=usage)
                return
        yield Switched(before=self._cheap.name, after=self._strong.name, reason=doubt.explanation)
        finished = False
        try:
            async with aclosing(self._strong.stream(request)) as events:
                async for event in events:
                    if isinstance(event, Finish):
                        finished = True
                        self._count(doubt, cost=usage + event.usage, strong=event.usage, model=event.model)
                        event = replace(event, usage=usage + event.usage)
                    yield event
        except ModelError as error:
            if finished:
                return
            if usage != Usage():
                charge(error, usage + (error.usage or Usage()))
            raise
        if not finished:
            raise unfinished(self._strong, "")

    def _judged(self, request: ModelRequest, first: _Sample, second: _Sample | None) -> Doubt | None:
        if first.error is not None:
            if isinstance(first.error, InvalidRequest | BudgetExceeded) or is_over(request, self._now):
                first.error.text = ""  # nothing of it was shown
                raise first.error
            return Doubt(ground="error", explanation=first.error.args[0])
        other = "".join(second.attempt.text) if second is not None and second.error is None else None
        return doubt_after(request, first.completion(), self._thresholds, self._similarity, other)

    async def _samples(self, request: ModelRequest) -> tuple[_Sample, _Sample | None]:
        """One cheap reply, or two at the same time if their agreement matters."""
        if self._thresholds.probability and self._cheap.capabilities.logprobs:
            wanted = self._with(request, "logprobs", replace(request, logprobs=True))
        else:
            wanted = request
        if not self._thresholds.agreement or request.tools:
            return await self._accepted(wanted, request), None
        warmth = max(request.temperature or 0.0, _WARM)
        other = replace(request, seed=None if request.seed is None else request.seed + 1)
        warm = self._with(other, "temperature", replace(other, temperature=warmth))
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._accepted(*one)) for one in ((wanted, request), (warm, other))]
        except ExceptionGroup as several:
            raise several.exceptions[0] from None
        first, second = (task.result() for task in tasks)
        self._unheard += second.error is not None
        return first, second

    def _with(self, request: ModelRequest, added: str, changed: ModelRequest) -> ModelRequest:
        """The changed request, unless the model does not take what was added."""
        return request if added in self._plainly else changed

    async def _accepted(self, wanted: ModelRequest, request: ModelRequest) -> _Sample:
        """A reply to the request as we want it; if the model refuses what we added, to the caller's own."""
        sample = await self._sample(wanted)
        if wanted == request or not isinstance(sample.error, InvalidRequest):
            return sample
        plain = await self._sample(request)
        plain.usage = sample.usage + plain.usage
        if not isinstance(plain.error, InvalidRequest):
            self._plainly |= {name for name in _ADDED if getattr(wanted, name) != getattr(request, name)}
        return plain

    async def _sample(self, request: ModelRequest) -> _Sample:
        sample = _Sample()
        try:
            async with aclosing(self._cheap.stream(request)) as events:
                async for event in events:
                    sample.attempt.take(event)
                    sample.events.append(event)
            if sample.attempt.finish is None:
                raise unfinished(self._cheap, "".join(sample.attempt.text))
            sample.usage = sample.attempt.finish.usage
        except ModelError as error:
            sample.error = error
            sample.usage = spent(self._cheap, request, sample.attempt, error, self._price)
        return sample

    def _count(self, doubt: Doubt | None, *, cost: Usage, strong: Usage, model: str) -> None:
        """One more finished call. strong: what the strong model took, or would have."""
        self._calls += 1
        instead: int | None = strong.cost
        if doubt is not None:
            self._reasons[doubt.ground] += 1
        else:
            instead = self._price(model, replace(strong, cost=0)) if self._price is not None else None
        self._strong_cost += instead or 0
        self._cost += cost.cost
        self._priced = self._priced and cost.priced and instead is not None


@dataclass(slots=True)
class _Sample:
    """One cheap reply, whole or failed."""

    attempt: Attempt = field(default_factory=Attempt)
    events: list[ModelEvent] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    error: ModelError | None = None

    def completion(self) -> Completion:
        """What the doubts look at."""
        assert self.attempt.finish is not None
        return Completion(
            text="".join(self.attempt.text),
            finish=self.attempt.finish,
            tool_calls=tuple(event.call for event in self.events if isinstance(event, ToolCallPart)),
            logprobs=tuple(one for event in self.events if isinstance(event, TextPart) for one in event.logprobs),
        )


_ADDED: Final = ("logprobs", "temperature")
_WARM: Final = 0.7  # two samples at temperature 0 would agree in any case
