"""Several models in an order: where one fails, the next takes over, also in the middle of a reply."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Final

from sourcebook.errors import (
    BudgetExceeded,
    ContextTooLong,
    DeadlineExceeded,
    Interrupted,
    InvalidReply,
    InvalidRequest,
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
    ReasoningPart,
    Switched,
    TextPart,
)
from sourcebook.models.route.attempt import (
    DEADLINE_PASSED,
    Attempt,
    Now,
    Price,
    charge,
    spent,
    unfinished,
    with_text,
)
from sourcebook.models.route.continuation import Continuation, Joint, continuation
from sourcebook.models.route.shared import common, distinct
from sourcebook.types import Usage

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
"""The errors that another model may not have. Not among them: InvalidRequest, BudgetExceeded."""


class Fallback:
    """Models in an order, asked one after the other until one has finished the reply.

    Before anything of the reply was seen, an error in `elsewhere` hands the whole request to the next model.
    A reply that broke off (any `Transient` after text was sent) is continued by the next model from where it
    stopped. Each time a `Switched` says so, with the characters that stay (kept).
    order: the order for a request, of some or all of the models; else as given.
    rounds: how often a reply that broke off may go through the order, so that with two a model may continue its own.

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
        window: int | None = None,
        capabilities: Capabilities | None = None,
        price: Price | None = None,
        now: Now = time.monotonic,
    ) -> None:
        assert models
        self._models = tuple(models)
        self._given = order
        self._elsewhere = elsewhere
        self._rounds = rounds
        self._window = window
        self._capabilities = capabilities
        self._price = price
        self._now = now
        self.switches = 0

    @property
    def name(self) -> str:
        """Of all models, in order."""
        names = [model.name for model in self._models]
        return names[0] if len(names) == 1 else f"fallback({', '.join(names)})"

    @property
    def window(self) -> int:
        """What fits every model, unless another was given."""
        return self._window or min(model.window for model in self._models)

    @property
    def capabilities(self) -> Capabilities:
        """What every model can do, unless others were given."""
        return self._capabilities or common(self._models)

    def count_tokens(self, text: str) -> int:
        """By the first model."""
        return self._models[0].count_tokens(text)

    async def close(self) -> None:
        """Close all models."""
        for model in distinct(self._models):
            await model.close()

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """The events of one model after the other, and the Finish of the last."""
        reply = _Reply(request, self.order(request), self._rounds)
        while (turn := reply.next_turn()) is not None:
            if reply.failures:
                self.switches += 1
                yield reply.switch(turn)
            attempt = Attempt()
            try:
                async with aclosing(turn.model.stream(turn.request)) as events:
                    async for event in events:
                        attempt.take(event)
                        for one in turn.joined(event):
                            reply.sent.take(one)
                            yield one if not isinstance(one, Finish) else replace(one, usage=reply.wasted + one.usage)
                if attempt.finish is None:
                    raise unfinished(turn.model, reply.text)
                return
            except ModelError as error:
                if attempt.finish is not None:
                    return  # the reply is whole, whatever happened after it
                reply.wasted += spent(turn.model, turn.request, attempt, error, self._price)
                reply.failed(turn, attempt, error)
                if not self._goes_on(error, turn, reply):
                    break
        last = reply.last
        final = self._final(last, reply)
        charge(final, reply.wasted)
        raise with_text(final, reply.text) from (None if final is last else last)

    def order(self, request: ModelRequest) -> Sequence[Model]:
        """The models that the request may go to, first to last. Errors: the given order's."""
        return self._given(request) if self._given is not None else self._models

    def _goes_on(self, error: ModelError, turn: _Turn, reply: _Reply) -> bool:
        """Whether the next model should be asked."""
        if self._over(reply.request) or reply.sent.called or isinstance(error, BudgetExceeded):
            return False
        if isinstance(error, Transient):
            return True
        if not reply.text:
            return isinstance(error, self._elsewhere)
        # Of a model that was asked to go on and wrote nothing, it says only that it would not. The request itself
        # was good enough for the model before.
        return turn.joint is not None and turn.kept == len(reply.text)

    def _over(self, request: ModelRequest) -> bool:
        return request.deadline is not None and self._now() >= request.deadline

    def _final(self, error: ModelError, reply: _Reply) -> ModelError:
        """The truthful end of a reply that nobody finished. error: of the model that was asked last."""
        if self._over(reply.request):
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
        return error if len(reply.failures) == 1 else _summary(reply)


@dataclass(frozen=True, slots=True)
class _Failure:
    model: str
    error: ModelError
    asked: bool = True


@dataclass(slots=True)
class _Turn:
    """One model's attempt at the reply, or at the rest of it. kept: characters that had been sent before."""

    model: Model
    request: ModelRequest
    kept: int = 0
    joint: Joint | None = None
    begun: bool = False

    def joined(self, event: ModelEvent) -> Iterator[ModelEvent]:
        """The event, less what it repeats."""
        if self.joint is None or isinstance(event, ReasoningPart | Switched):
            yield event
            return
        if isinstance(event, TextPart):
            piece = self.joint.push(event.text)
            if piece:
                yield event if piece == event.text else TextPart(text=piece)
            return
        rest = self.joint.end()
        if rest:
            yield TextPart(text=rest)
        yield event


@dataclass(slots=True)
class _Reply:
    """One request on its way through the models."""

    request: ModelRequest
    order: Sequence[Model]
    rounds: int
    sent: Attempt = field(default_factory=Attempt)
    wasted: Usage = field(default_factory=Usage)
    failures: list[_Failure] = field(default_factory=list)
    _left: deque[tuple[Model, bool | None]] = field(default_factory=deque)
    _useless: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._left.extend((model, None) for model in self.order)

    @property
    def text(self) -> str:
        """What was sent of it."""
        return "".join(self.sent.text)

    def next_turn(self) -> _Turn | None:
        """The next model that can write the reply, or go on in it."""
        text = self.text
        while True:
            if not self._left:
                self.rounds -= 1
                again = [model for model in self.order if id(model) not in self._useless]
                if self.rounds <= 0 or not self.sent.visible or not again:
                    return None
                self._left.extend((model, None) for model in again)
            model, begun = self._left.popleft()
            if not text:
                return _Turn(model, self.request)
            asked = continuation(self.request, model, text, begun=begun)
            if isinstance(asked, Continuation):
                way = model.capabilities.continues if begun is None else begun
                return _Turn(model, asked.request, kept=len(text), joint=asked.joint, begun=way)
            self._useless.add(id(model))
            self.failures.append(_Failure(model.name, Interrupted(asked), asked=False))

    def failed(self, turn: _Turn, attempt: Attempt, error: ModelError) -> None:
        """Remember it. A model that says it continues and then will not is asked the other way before the next."""
        self.failures.append(_Failure(turn.model.name, error))
        if isinstance(error, Transient):
            return
        if isinstance(error, InvalidRequest) and turn.begun and not attempt.visible:
            self._left.appendleft((turn.model, False))
        else:
            self._useless.add(id(turn.model))

    def switch(self, turn: _Turn) -> Switched:
        """From the last model that was asked to this one."""
        last = next(one for one in reversed(self.failures) if one.asked)
        return Switched(before=last.model, after=turn.model.name, reason=last.error.args[0], kept=turn.kept)

    @property
    def last(self) -> ModelError:
        """The error of the model that was asked last."""
        return next(one.error for one in reversed(self.failures) if one.asked)

    def account(self) -> str:
        """What each model did."""
        return "; ".join(f"{one.model}: {one.error.args[0]}" for one in self.failures)


def _summary(reply: _Reply) -> ModelError:
    """One error for those of several models: of the kind that a later call may cure, if any of them is of that kind."""
    errors = [one.error for one in reply.failures]
    chosen = next((one for one in reversed(errors) if isinstance(one, Transient)), errors[-1])
    waits = [one.retry_after for one in errors if isinstance(one, Transient) and one.retry_after is not None]
    return type(chosen)(
        f"No model could answer: {reply.account()}",
        remedy=chosen.remedy,
        provider=chosen.provider,
        status=chosen.status,
        request_id=chosen.request_id,
        retry_after=min(waits, default=None),
    )
