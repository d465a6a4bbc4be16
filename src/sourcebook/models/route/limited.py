"""A model that is called no more often, and by no more at once, than its limits allow."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from sourcebook.errors import ModelError, RateLimited
from sourcebook.models.around import Around
from sourcebook.models.base import Finish, Model, ModelEvent, ModelRequest
from sourcebook.models.route.attempt import OWN, Now, prompt_tokens
from sourcebook.models.route.limiter import Limiter


class Limited(Around):
    """A model behind a limiter. Errors: `RateLimited` if a turn does not come in time.

    patience: seconds that a call waits for its turn at most; 0: until its deadline. A call counts as running until
    its stream is over or closed. The tokens of a call are first its prompt's, as counted, and all that it may
    write; once it has finished, what the vendor reports. When the vendor itself limits the rate and says for how
    long (Retry-After), nobody is admitted for that time.
    """

    def __init__(self, model: Model, limiter: Limiter, *, patience: float = 0.0, now: Now = time.monotonic) -> None:
        super().__init__(model)
        self._patience = patience
        self._now = now
        self.limiter = limiter

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """The model's events, once it is the call's turn. Errors: the model's; RateLimited."""
        tokens = prompt_tokens(self._model, request) + request.max_output_tokens if self.limiter.counts_tokens else 0
        permit = await self.limiter.admit(tokens, until=self._until(request), name=self.name)
        heard = False
        try:
            async with aclosing(self._model.stream(request)) as events:
                async for event in events:
                    heard = True
                    if isinstance(event, Finish) and (took := event.usage.input_tokens + event.usage.output_tokens):
                        permit.settle(took)
                    yield event
        except ModelError as error:
            if error.provider == OWN and not heard:
                permit.unused()
            elif isinstance(error, RateLimited) and error.retry_after is not None:
                self.limiter.pause(error.retry_after)
            raise
        finally:
            permit.release()

    def _until(self, request: ModelRequest) -> float | None:
        if not self._patience:
            return request.deadline
        until = self._now() + self._patience
        return until if request.deadline is None else min(until, request.deadline)
