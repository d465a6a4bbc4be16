"""A model that is left alone for a while after it has failed too often."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final, Literal

from sourcebook.errors import (
    BudgetExceeded,
    DeadlineExceeded,
    Interrupted,
    InvalidReply,
    ModelError,
    Terminal,
    Unavailable,
)
from sourcebook.models.around import Around
from sourcebook.models.base import Finish, Model, ModelEvent, ModelRequest
from sourcebook.models.route.attempt import OWN, Now

State = Literal["closed", "open", "half-open"]

FAULTS: Final[tuple[type[ModelError], ...]] = (Unavailable, Interrupted, InvalidReply)
"""What is the vendor's fault. That it limits our rate is not, and an invalid request shows that it is there."""


@dataclass(frozen=True, slots=True)
class Leave:
    """Leave to call. turn: counts the breaker's changes of state; the outcome of an older turn means nothing."""

    turn: int
    probe: bool = False


class Breaker:
    """Whether a model may be called (Nygard, Release It!, 2007, chapter 5).

    closed: all calls pass. After `failures` failures one after the other, or when half of the latest 20 outcomes
    are failures, it opens.
    open: no call passes for `seconds`. Each further opening without a success between doubles them, up to tenfold.
    half-open: one call passes, the probe. Its success closes the breaker, its failure opens it again, and when it
    ends without saying either, or takes longer than `seconds`, the next call is the probe.
    """

    def __init__(self, *, failures: int = 5, seconds: float = 30.0, now: Now = time.monotonic) -> None:
        self._failures = failures
        self._seconds = seconds
        self._now = now
        self._outcomes: deque[bool] = deque(maxlen=_OUTCOMES)
        self._in_a_row = 0
        self._opened = 0  # times without a success between
        self._until: float | None = None
        self._probing: float | None = None  # since when
        self._turn = 0
        self.openings = 0

    @property
    def state(self) -> State:
        """As of now."""
        if self._until is None:
            return "closed"
        return "open" if self._now() < self._until else "half-open"

    def enter(self) -> Leave | float:
        """Leave to call, or seconds after which to ask again."""
        if self._until is None:
            return Leave(self._turn)
        now = self._now()
        if now < self._until:
            return self._until - now
        if self._probing is not None and now - self._probing < self._seconds:
            return min(1.0, self._seconds - (now - self._probing))
        self._probing = now
        self._turn += 1  # an earlier probe that never came back means nothing any more
        return Leave(self._turn, probe=True)

    def succeeded(self, leave: Leave) -> None:
        """The model answered."""
        if leave.turn != self._turn:
            return
        if leave.probe:
            self._close()
        self._in_a_row = 0
        self._outcomes.append(True)

    def failed(self, leave: Leave) -> None:
        """The model failed, by its own fault."""
        if leave.turn != self._turn:
            return
        self._outcomes.append(False)
        self._in_a_row += 1
        many = len(self._outcomes) == _OUTCOMES and self._outcomes.count(False) >= _OUTCOMES * _FAILING
        if leave.probe or self._in_a_row >= self._failures or many:
            self._open()

    def left(self, leave: Leave) -> None:
        """The call ended without saying anything about the model."""
        if leave.turn == self._turn and leave.probe:
            self._probing = None

    def _open(self) -> None:
        self._turn += 1
        self._until = self._now() + min(self._seconds * 2.0**self._opened, self._seconds * _LONGEST)
        self._opened += 1
        self._probing = None
        self._outcomes.clear()
        self._in_a_row = 0
        self.openings += 1

    def _close(self) -> None:
        self._until = None
        self._probing = None
        self._opened = 0


class Breaking(Around):
    """A model behind a breaker. Errors: `Unavailable` with retry_after while it is open, without a call.

    faults: the errors that count. A call that ran into its deadline, or was given up at it, before anything came,
    counts if the model had at least `slow` seconds; with less time it was the caller's doing.
    """

    def __init__(
        self,
        model: Model,
        breaker: Breaker,
        *,
        faults: tuple[type[ModelError], ...] = FAULTS,
        slow: float = 5.0,
        now: Now = time.monotonic,
    ) -> None:
        super().__init__(model)
        self._faults = faults
        self._slow = slow
        self._now = now
        self.breaker = breaker

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """The model's events. Errors: the model's; Unavailable while the breaker is open."""
        leave = self.breaker.enter()
        if isinstance(leave, float):
            raise Unavailable(
                f"{self.name} failed too often and is left alone for another {leave:.1f} s",
                remedy="Wait, or name a further model in route.models",
                provider=OWN,
                retry_after=leave,
            )
        began = self._now()
        heard = finished = False
        try:
            async with aclosing(self._model.stream(request)) as events:
                async for event in events:
                    heard = True
                    if isinstance(event, Finish) and not finished:
                        finished = True
                        self.breaker.succeeded(leave)
                    yield event
        except (asyncio.CancelledError, GeneratorExit):
            late = request.deadline is not None and self._now() >= request.deadline
            if late and not heard and self._now() - began >= self._slow:
                self.breaker.failed(leave)
            raise
        except ModelError as error:
            if not finished:
                self._judge(error, leave, self._now() - began)
            raise
        finally:
            self.breaker.left(leave)

    def _judge(self, error: ModelError, leave: Leave, took: float) -> None:
        slow = isinstance(error, DeadlineExceeded) and took >= self._slow
        if error.provider == OWN or isinstance(error, BudgetExceeded):
            return  # nobody was called
        if slow or isinstance(error, self._faults):
            self.breaker.failed(leave)
        elif isinstance(error, Terminal):
            self.breaker.succeeded(leave)  # it is there, and says no


_OUTCOMES: Final = 20
_FAILING: Final = 0.5
_LONGEST: Final = 10.0
