"""One call of the model within the agent loop, and the time that the loop has."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from time import monotonic

from sourcebook.models.base import (
    Finish,
    ModelEvent,
    ReasoningPart,
    Switched,
    TextPart,
    Thought,
    ToolCall,
    ToolCallPart,
)
from sourcebook.prompt.agent_run import Step, ToolRun
from sourcebook.types import Usage


@dataclass(frozen=True, slots=True)
class Clock:
    """soft: when the search for more ends. hard: when everything does. Both by `time.monotonic()`."""

    soft: float
    hard: float

    @classmethod
    def begin(cls, seconds: float, deadline: float | None) -> Clock:
        """So many seconds from now, or until the deadline if that is sooner."""
        now = monotonic()
        hard = now + seconds if deadline is None else min(now + seconds, deadline)
        return cls(soft=hard - min(30.0, (hard - now) / 4), hard=hard)


@dataclass(slots=True)
class ModelCall:
    """What comes of one call of the model. broken: what it took by the account of the error that ended it."""

    number: int
    request: str
    events: list[ModelEvent] = field(default_factory=list)  # without Finish
    text: str = ""
    thoughts: list[Thought] = field(default_factory=list)
    calls: tuple[ToolCall, ...] = ()
    finish: Finish | None = None
    broken: Usage | None = None
    began: float = field(default_factory=monotonic)
    _thinking: str = ""

    @property
    def cut(self) -> bool:
        """Whether its reply ended before it was whole: then its tool calls may not be what the model wanted."""
        return self.finish is not None and self.finish.reason in ("length", "filtered")

    @property
    def switched(self) -> bool:
        """Whether several models have written it."""
        return any(isinstance(event, Switched) for event in self.events)

    def take(self, event: ModelEvent) -> None:
        """Note the next event."""
        match event:
            case Finish():
                self.finish = event
                self._end_of_thought("")
                return
            case TextPart():
                self.text += event.text
            case ReasoningPart():
                self._thinking += event.text
                if event.signature:
                    self._end_of_thought(event.signature)
            case ToolCallPart():
                call = event.call if event.call.id else replace(event.call, id=f"call-{self.number}-{len(self.calls)}")
                self.calls = (*self.calls, call)
            case Switched():  # what another model thought and wanted is of no use to this one
                self.text, self.calls, self._thinking = self.text[: event.kept], (), ""
                self.thoughts.clear()
            case _:
                pass
        self.events.append(event)

    def step(self, usage: Usage, runs: tuple[ToolRun, ...] = ()) -> Step:
        """What is recorded of it."""
        return Step(
            number=self.number,
            request=self.request,
            text=self.text,
            thoughts=tuple(self.thoughts),
            runs=runs,
            reason=self.finish.reason if self.finish else "unknown",
            model=self.finish.model if self.finish else "",
            request_id=self.finish.request_id if self.finish else "",
            sent=self.finish.sent if self.finish else "",
            usage=usage,
            seconds=round(monotonic() - self.began, 6),
        )

    def _end_of_thought(self, signature: str) -> None:
        if self._thinking or signature:
            self.thoughts.append(Thought(text=self._thinking, signature=signature))
            self._thinking = ""
