"""One request on its way through several models: whose turn it is, what was sent, and what went wrong."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from sourcebook.errors import BudgetExceeded, Interrupted, InvalidReply, InvalidRequest, ModelError, Transient
from sourcebook.models.base import Finish, Model, ModelEvent, ModelRequest, ReasoningPart, Switched, TextPart
from sourcebook.models.route.attempt import OWN, Attempt
from sourcebook.models.route.continuation import Continuation, Joint, continuation
from sourcebook.models.route.schema import schema_problem
from sourcebook.types import Usage


@dataclass(slots=True)
class Turn:
    """One model's attempt at the reply, or at the rest of it.

    kept: characters that had been sent before. joint: takes out what it repeats of them. begun: whether they were
    given to it as the beginning of its own turn.
    """

    model: Model
    request: ModelRequest
    kept: int = 0
    joint: Joint | None = None
    begun: bool = False

    def joined(self, event: ModelEvent) -> Iterator[ModelEvent]:
        """The event, less what it repeats of what was sent before."""
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


@dataclass(frozen=True, slots=True)
class Failure:
    """What came of a turn. asked: false if the model could not even be asked."""

    model: str
    error: ModelError
    asked: bool = True


@dataclass(slots=True)
class Reply:
    """A reply that several models may write.

    order: the models, first to last; rounds: times that it may go through them. sent: what was sent of it; wasted:
    what failed attempts took. writer: the name of the model that its reader believes to write.
    """

    request: ModelRequest
    order: Sequence[Model]
    rounds: int
    sent: Attempt = field(default_factory=Attempt)
    wasted: Usage = field(default_factory=Usage)
    failures: list[Failure] = field(default_factory=list)
    writer: str = ""
    _told: int = 0  # failures that a Switched has told of
    _left: deque[tuple[Model, bool | None]] = field(default_factory=deque)
    _useless: set[int] = field(default_factory=set)
    _refused: list[tuple[Model, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._left.extend((model, None) for model in self.order)
        self.writer = self.order[0].name

    @property
    def text(self) -> str:
        """What was sent of it."""
        return "".join(self.sent.text)

    @property
    def last(self) -> ModelError:
        """The error of the model that was asked last."""
        return next(one.error for one in reversed(self.failures) if one.asked)

    def next_turn(self) -> Turn | None:
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
                return Turn(model, self.request)
            asked = continuation(self.request, model, text, begun=begun)
            if isinstance(asked, Continuation):
                way = model.capabilities.continues if begun is None else begun
                return Turn(model, asked.request, kept=len(text), joint=asked.joint, begun=way)
            self._useless.add(id(model))
            self.failures.append(Failure(model.name, Interrupted(asked), asked=False))

    def problem(self, turn: Turn, finish: Finish) -> InvalidReply | None:
        """What is wrong with a reply that was joined of pieces and says that it is whole; a schema can tell."""
        if turn.joint is None or self.request.schema is None or finish.reason != "stop":
            return None
        wrong = schema_problem(self.text, self.request.schema)
        return InvalidReply(wrong, provider=turn.model.name, usage=finish.usage) if wrong else None

    def failed(self, turn: Turn, attempt: Attempt, error: ModelError, now: float) -> None:
        """Remember it. A model that says it continues and then will not is asked the other way before the next."""
        self.failures.append(Failure(turn.model.name, error))
        if isinstance(error, Transient):
            if error.provider == OWN and error.retry_after is not None:
                self._refused.append((turn.model, now + error.retry_after))
        elif isinstance(error, InvalidRequest) and turn.begun and not attempt.visible:
            self._left.appendleft((turn.model, False))
        else:
            self._useless.add(id(turn.model))

    def refused_until(self) -> float | None:
        """When the first of the models may be asked again that nobody called, because of a breaker or a limit."""
        return min((when for _, when in self._refused), default=None)

    def ask_refused(self) -> None:
        """Let them have another turn."""
        self._left.extend((model, None) for model, _ in self._refused)
        self._refused = []

    def switched(self, turn: Turn) -> Switched | None:
        """What the reader must be told when this model begins to write; None if nothing changes."""
        new = self.failures[self._told :]
        before, self.writer = self.writer, turn.model.name
        self._told = len(self.failures)
        if before == self.writer and (not new or not self.sent.visible):
            return None
        reason = _account(new) if len({one.model for one in new}) > 1 else new[-1].error.args[0]
        return Switched(before=before, after=self.writer, reason=reason, kept=len(self.text))

    def account(self) -> str:
        """What each model did."""
        return _account(self.failures)

    def summary(self) -> ModelError:
        """Of one model its own error; of several one for all.

        It is of the kind that says most of what helps: that a budget is used up, which only the user can mend; else one
        that a later call may cure.
        """
        errors = [one.error for one in _latest(self.failures)]
        if len({one.model for one in self.failures}) == 1:
            return self.last
        chosen = next((one for one in reversed(errors) if isinstance(one, Transient)), errors[-1])
        chosen = next((one for one in errors if isinstance(one, BudgetExceeded)), chosen)
        waits = [one.retry_after for one in errors if isinstance(one, Transient) and one.retry_after is not None]
        return type(chosen)(
            f"No model could answer: {self.account()}",
            remedy=chosen.remedy,
            provider=chosen.provider,
            status=chosen.status,
            request_id=chosen.request_id,
            retry_after=min(waits, default=None),
        )


def outer(event: Switched, reply: Reply) -> Switched:
    """A switch within one of the models, as it is for the whole reply."""
    return replace(event, kept=len(reply.text))


def _account(failures: Sequence[Failure]) -> str:
    return "; ".join(f"{one.model}: {one.error.args[0]}" for one in _latest(failures))


def _latest(failures: Sequence[Failure]) -> list[Failure]:
    """The last of each model and kind: some were asked again and again."""
    return list({(one.model, type(one.error)): one for one in failures}.values())
