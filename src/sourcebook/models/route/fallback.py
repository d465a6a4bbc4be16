"""Several models in an order: where one fails, the next takes over, also in the middle of a reply."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from random import Random
from typing import Final

from sourcebook.errors import (
    BudgetExceeded,
    ContextTooLong,
    DeadlineExceeded,
    Interrupted,
    InvalidReply,
    ModelError,
    NoSuchModel,
    NotAuthorised,
    QuotaExhausted,
    Refused,
    Transient,
)
from sourcebook.models.base import (
    Capabilities,
    Finish,
    Model,
    ModelEvent,
    ModelRequest,
    Switched,
)
from sourcebook.models.route.attempt import (
    CHANCE,
    DEADLINE_PASSED,
    Attempt,
    Now,
    Price,
    charge,
    is_over,
    spent,
    unfinished,
    with_text,
)
from sourcebook.models.route.reply import Reply, Turn, outer
from sourcebook.models.route.shared import Among

Order = Callable[[ModelRequest], Sequence[Model]]
"""The models for a request, best first. Errors: ModelError if none will do."""

ELSEWHERE: Final[tuple[type[ModelError], ...]] = (
    Transient,
    NotAuthorised,
    NoSuchModel,
    ContextTooLong,
    QuotaExhausted,
    Refused,
    InvalidReply,
)
"""The errors that another model may not have. Not among them: InvalidRequest."""


class Fallback(Among):
    """Models in an order, asked one after the other until one has finished the reply.

    Before anything of the reply was seen, an error in `elsewhere` hands the whole request to the next model. So does
    a budget that does not allow the call: the next one may cost less, or nothing.
    A reply that broke off (any `Transient` after text was sent) is continued by the next model from where it
    stopped. When it begins to write a `Switched` says so, with the characters that stay (kept).
    order: the order for a request, of some or all of the models; else as given.
    rounds: how often a reply that broke off may go through the order, so that with two a model may continue its own.
    patience: seconds since the call began in which, with no other model left, it is waited for those that nobody
    called: a breaker was open, a limit was reached.

    Errors: `Interrupted` with all the text if a reply cannot be continued: a tool call was sent already, JSON of a
    schema is to be written by models that cannot go on in it, or no model is left. `DeadlineExceeded` when the time
    is over. Otherwise, of one model its own error; of several an error that says what each of them did.

    The Finish's usage holds what failed attempts took: by the error's own account, or estimated (exact=False, priced
    by `price` if given). A model that is metered keeps its own account of every attempt besides.
    """

    def __init__(
        self,
        models: Sequence[Model],
        *,
        order: Order | None = None,
        elsewhere: tuple[type[ModelError], ...] = ELSEWHERE,
        rounds: int = 1,
        patience: float = 0.0,
        window: int | None = None,
        capabilities: Capabilities | None = None,
        price: Price | None = None,
        now: Now = time.monotonic,
        random: Random = CHANCE,
    ) -> None:
        super().__init__(models)
        self._given = order
        self._elsewhere = elsewhere
        self._rounds = rounds
        self._patience = patience
        self._window = window
        self._capabilities = capabilities
        self._price = price
        self._now = now
        self._random = random
        self.switches = 0

    @property
    def name(self) -> str:
        """Of all models, in order."""
        names = [model.name for model in self._models]
        return names[0] if len(names) == 1 else f"fallback({', '.join(names)})"

    @property
    def window(self) -> int:
        """What fits every model, unless another was given."""
        return self._window or super().window

    @property
    def capabilities(self) -> Capabilities:
        """What every model can do, unless others were given."""
        return self._capabilities or super().capabilities

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """The events of one model after the other, and the Finish of the last."""
        reply = Reply(request, self.order(request), self._rounds)
        patience = self._now() + self._patience
        while (turn := reply.next_turn()) is not None or await self._waited(reply, patience):
            if turn is None:
                continue
            attempt = Attempt()
            begun = False
            try:
                async with aclosing(turn.model.stream(turn.request)) as events:
                    async for event in events:
                        attempt.take(event)
                        for one in turn.joined(event) if turn.joint is not None else (event,):
                            if not begun:
                                begun = True
                                if (switched := reply.switched(turn)) is not None:
                                    self.switches += 1
                                    yield switched
                            if type(one) is Finish:
                                if (problem := reply.problem(turn, one)) is not None:
                                    raise problem
                                one = replace(one, usage=reply.wasted + one.usage)
                            reply.sent.take(one)
                            yield one if type(one) is not Switched else outer(one, reply)
                if attempt.finish is None:
                    raise unfinished(turn.model, reply.text)
                return
            except ModelError as error:
                if reply.sent.finish is not None:
                    return  # the reply is whole, whatever happened after it
                reply.wasted += spent(turn.model, turn.request, attempt, error, self._price)
                reply.failed(turn, attempt, error, self._now())
                if not self._goes_on(error, turn, reply):
                    break
        last = reply.last
        final = self._final(last, reply)
        charge(final, reply.wasted)
        raise with_text(final, reply.text) from (None if final is last else last)

    def order(self, request: ModelRequest) -> Sequence[Model]:
        """The models that the request may go to, first to last. Errors: the given order's."""
        return self._given(request) if self._given is not None else self._models

    async def _waited(self, reply: Reply, until: float) -> bool:
        """Whether it was worth waiting for one of the models that nobody called; then they have another turn."""
        when = reply.refused_until()
        deadline = reply.request.deadline
        if when is None or when > until or (deadline is not None and when >= deadline):
            return False
        await asyncio.sleep(max(when - self._now(), 0.0) + self._random.uniform(0.0, _SPREAD))
        reply.ask_refused()
        return True

    def _goes_on(self, error: ModelError, turn: Turn, reply: Reply) -> bool:
        """Whether the next model should be asked."""
        if is_over(reply.request, self._now) or reply.sent.called:
            return False
        if isinstance(error, Transient):
            return True
        if not reply.text:
            return isinstance(error, (*self._elsewhere, BudgetExceeded))
        # Of a model that was asked to go on and wrote nothing, it says only that it would not. The request itself
        # was good enough for the model before.
        return turn.joint is not None and turn.kept == len(reply.text)

    def _final(self, error: ModelError, reply: Reply) -> ModelError:
        """The truthful end of a reply that nobody finished. error: of the model that was asked last."""
        if is_over(reply.request, self._now):
            if isinstance(error, DeadlineExceeded):
                return error
            return DeadlineExceeded(f"{DEADLINE_PASSED}: {reply.account()}", remedy="Give the request more time")
        terminal = len(reply.failures) == 1 and not isinstance(error, Transient)
        if reply.sent.called or (reply.text and not terminal):
            why = "a tool call had been sent already" if reply.sent.called else reply.account()
            return Interrupted(
                f"The reply broke off after {len(reply.text)} characters and could not be continued: {why}",
                remedy="Ask again",
                provider=error.provider,
                status=error.status,
                request_id=error.request_id,
                retry_after=error.retry_after,
            )
        return reply.summary()


_SPREAD: Final = 0.1  # seconds, so that those who wait for the same do not come all at once
