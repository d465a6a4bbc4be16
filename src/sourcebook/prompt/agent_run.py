"""What an agent loop tells while it runs, and the record that is left of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import reduce
from hashlib import blake2b
from operator import add
from typing import Literal

from sourcebook.models.base import FinishReason, ModelEvent, ModelRequest, Thought, ToolCall
from sourcebook.prompt.tools.base import ToolResult
from sourcebook.types import Hit, Usage

VERSION = "agent-2"
"""Recorded with every answer; changes whenever what the loop itself says to the model would."""

Stopped = Literal["", "steps", "tokens", "seconds", "cost", "repeats"]
"""The bound that ended the search for more; "": none, the model was done by itself."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bounds:
    """What one run of the loop may take, all its steps together.

    steps: calls of the model; the last one has to answer. tokens: of all prompts and replies. seconds: of time; a
    quarter of it, half a minute at most, is kept for the last answer. cost: micro-US-dollars.
    parallel: tool calls at once. repeats: how often the very same call is really made; a failed one, once more.
    """

    steps: int = 8
    tokens: int = 200_000
    seconds: float = 120.0
    cost: int = 500_000
    parallel: int = 4
    repeats: int = 1


# --- events -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class DraftPart:
    """A piece of what the model writes in a step that may yet turn out to ask for tools: to be shown, not kept."""

    step: int
    text: str
    reasoning: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Calling:
    """The model has asked for these tools, and they begin to run."""

    step: int
    calls: tuple[ToolCall, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolRun:
    """One tool call of a step.

    shown: exactly what the model was given as its result. numbers: of the passages that it found.
    repeated: it was not run, because the same call was made before.
    """

    call: ToolCall
    result: ToolResult
    shown: str
    numbers: tuple[int, ...] = ()
    repeated: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One call of the model and the tools that it asked for. number: from 1.

    request: digest of the request (see `digest`); sent: of its bytes as they went to the vendor, if the model says.
    seconds: of model and tools together.
    """

    number: int
    request: str
    text: str = ""
    thoughts: tuple[Thought, ...] = ()
    runs: tuple[ToolRun, ...] = ()
    reason: FinishReason = "stop"
    model: str = ""
    request_id: str = ""
    sent: str = ""
    usage: Usage = field(default_factory=Usage)
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Answering:
    """The search is over: events from here on are those of a model that answers `request`, up to its Finish.

    request.evidence: all passages under their numbers, those found by tools included.
    """

    request: ModelRequest
    stopped: Stopped = ""


AgentEvent = DraftPart | Calling | Step | Answering | ModelEvent


# --- the record ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentRun:
    """All that a run has done so far, or in the end.

    stopped: the bound that ended it, if one did. prompts: versions of what the model was told of tools. notes:
    what did not hold, for people.
    """

    steps: tuple[Step, ...] = ()
    evidence: tuple[Hit, ...] = ()
    stopped: Stopped = ""
    bounds: Bounds = field(default_factory=Bounds)
    prompts: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def usage(self) -> Usage:
        """Of all steps together."""
        return reduce(add, (step.usage for step in self.steps), Usage())

    @property
    def origins(self) -> frozenset[tuple[str, int]]:
        """(document, its version) of all that the model was shown by tools."""
        return frozenset().union(*(run.result.origins for step in self.steps for run in step.runs))

    def record(self) -> Mapping[str, object]:
        """The run as JSON values, for the answer's record: every step with its calls, results, tokens and cost."""
        return {
            "version": VERSION,
            "prompts": list(self.prompts),
            "stopped": self.stopped,
            "bounds": asdict(self.bounds),
            "usage": asdict(self.usage),
            "steps": [_step(step) for step in self.steps],
            "notes": list(self.notes),
        }


def digest(request: ModelRequest) -> str:
    """BLAKE2b-128 of all that a model's reply depends on: messages, tools, schema, parameters; not who asks when."""
    evidence = [(hit.passage.id, hit.passage.start, hit.passage.end) for hit in request.evidence]
    leave = ("evidence", "deadline", "tenant", "account", "purpose", "answer_id", "streamed")
    made_of = {name: getattr(request, name) for name in ModelRequest.__dataclass_fields__ if name not in leave}
    text = json.dumps({**made_of, "evidence": evidence}, ensure_ascii=False, sort_keys=True, default=_value)
    return blake2b(text.encode("utf-8", "replace"), digest_size=16).hexdigest()


def _step(step: Step) -> dict[str, object]:
    return {
        "number": step.number,
        "request": step.request,
        "text": step.text,
        "thoughts": [one.text for one in step.thoughts],
        "calls": [
            {
                "id": run.call.id,
                "tool": run.call.name,
                "arguments": run.call.arguments,
                "result": run.shown,
                "failed": run.result.failed,
                "cut": run.result.cut,
                "repeated": run.repeated,
                "passages": list(run.numbers),
                "seconds": run.result.seconds,
            }
            for run in step.runs
        ],
        "reason": step.reason,
        "model": step.model,
        "request_id": step.request_id,
        "sent": step.sent,
        "usage": asdict(step.usage),
        "seconds": step.seconds,
    }


def _value(value: object) -> object:
    if isinstance(value, bytes):
        return blake2b(value, digest_size=16).hexdigest()
    if isinstance(value, Mapping):
        return dict(value)
    return asdict(value)  # type: ignore[call-overload]
