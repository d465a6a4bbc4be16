"""A model that is asked again when it fails for a moment."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from random import Random
from typing import Final

from sourcebook.errors import DeadlineExceeded, ModelError, Transient
from sourcebook.models.around import Around
from sourcebook.models.base import Finish, Model, ModelEvent, ModelRequest
from sourcebook.models.route.attempt import CHANCE, OWN, Attempt, Now, Price, charge, spent
from sourcebook.types import Usage


class Retrying(Around):
    """A model that is asked again after a `Transient` error, as long as nothing of the reply was seen.

    attempts: calls in all. Before the n'th further one it waits a random time up to first * 2 ** (n - 1) seconds,
    at most `longest` ("full jitter": Brooker, Exponential Backoff and Jitter, AWS Architecture Blog, 2015), and
    never less than the vendor's Retry-After.
    patience: seconds since the call began after which it is not asked again: a wait that would end later is not
    begun, so that another model can take over. Neither is one that would end at the request's deadline.
    Where nobody was called (a full queue, an open breaker) it is not asked again either: another model can be asked
    at once.
    """

    def __init__(
        self,
        model: Model,
        *,
        attempts: int = 3,
        first: float = 0.5,
        longest: float = 20.0,
        patience: float = 20.0,
        price: Price | None = None,
        now: Now = time.monotonic,
        random: Random = CHANCE,
    ) -> None:
        super().__init__(model)
        self._attempts = attempts
        self._first = first
        self._longest = longest
        self._patience = patience
        self._price = price
        self._now = now
        self._random = random
        self.retries = 0

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """The events of the first attempt that comes to something. Errors: the last attempt's."""
        began = self._now()
        wasted = Usage()
        number = 0
        while True:
            number += 1
            attempt = Attempt()
            try:
                async with aclosing(self._model.stream(request)) as events:
                    async for event in events:
                        attempt.take(event)
                        if isinstance(event, Finish) and wasted != Usage():
                            event = replace(event, usage=wasted + event.usage)
                        yield event
                return
            except ModelError as error:
                if attempt.finish is not None:
                    return  # the reply is whole, whatever happened after it
                before, wasted = wasted, wasted + spent(self._model, request, attempt, error, self._price)
                wait = self._wait(error, number, began, request) if isinstance(error, Transient) else None
                if attempt.visible or wait is None:
                    if before != Usage():
                        charge(error, wasted)
                    raise
            self.retries += 1
            await asyncio.sleep(wait)

    def _wait(self, error: Transient, number: int, began: float, request: ModelRequest) -> float | None:
        """Seconds to wait before the next attempt; None if there is to be none."""
        if number >= self._attempts or error.provider == OWN or isinstance(error, DeadlineExceeded):
            return None
        wait = self._random.uniform(0.0, min(self._first * 2.0 ** (number - 1), self._longest))
        if error.retry_after is not None and error.retry_after > wait:
            wait = error.retry_after + min(wait, error.retry_after * _SPREAD)
        then = self._now() + wait
        if then > began + self._patience or (request.deadline is not None and then >= request.deadline):
            return None
        return wait


_SPREAD: Final = 0.1  # of Retry-After, so that those who were told the same do not come back all at once
