"""The agent loop: a model asks for tools, gets their results, and asks again or answers, within bounds.

    step     the model is called; if it asks for tools, they run side by side, and their results are its next prompt
    answer   a step without tool calls; or, when a bound is near, one step more in which it has to answer

Bounds hold before they are passed: a step begins only if its prompt, its reply and the last answer still fit; money,
only as far as the price is known. What a bound leaves no room for is an error (BudgetExceeded, DeadlineExceeded,
ContextTooLong), and `AgentLoop.run` tells what was done by then.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING, Final

from sourcebook.errors import (
    BudgetExceeded,
    ConfigError,
    ContextTooLong,
    DeadlineExceeded,
    Interrupted,
    InvalidReply,
    ModelError,
)
from sourcebook.models.base import (
    Finish,
    Message,
    Model,
    ModelEvent,
    ModelRequest,
    ReasoningPart,
    TextPart,
    Tool,
    ToolCallPart,
)
from sourcebook.prompt.agent_call import Clock, ModelCall
from sourcebook.prompt.agent_prompt import AgentPrompt, shares, tokens_of_tools
from sourcebook.prompt.agent_run import (
    AgentEvent,
    AgentRun,
    Answering,
    Bounds,
    Calling,
    DraftPart,
    Step,
    Stopped,
    ToolRun,
    digest,
)
from sourcebook.prompt.evidence import Evidence
from sourcebook.prompt.prompted_tools import PromptedTools, added, protocol_tokens, text_of
from sourcebook.prompt.templates import load
from sourcebook.prompt.tool_calls import ToolCalls
from sourcebook.prompt.tools.base import Toolboxes
from sourcebook.types import Usage

if TYPE_CHECKING:
    from pathlib import Path


def reserved_for_tools(model: Model, tools: Sequence[Tool], *, home: Path | None = None) -> int:
    """Tokens of the window that the loop takes besides the composed prompt, before any result comes in."""
    if not tools:
        return 0
    count = model.count_tokens
    said = count(text_of(load("agent", home).messages()))
    led = 0 if model.capabilities.tools else protocol_tokens(count, home)
    return tokens_of_tools(tools, count) + said + led + _LAST_WORD


class AgentLoop:
    """One run. `events` may be called once; `run` tells what has been done, at any time and after any error.

    request: the composed prompt, its evidence numbered as `Evidence` has it. estimate: what a request will cost at
    most, in micro-US-dollars, or None if that is not known; without it, cost is foreseen from the steps before.
    A model without tools of its own is led by a prompted protocol. home: of the book, whose own templates `agent` and
    `agent-protocol` come first. Errors: ConfigError if the model takes no prompt at all; PromptError.
    """

    def __init__(
        self,
        model: Model,
        tools: Toolboxes,
        request: ModelRequest,
        *,
        bounds: Bounds | None = None,
        estimate: Callable[[ModelRequest], int | None] | None = None,
        home: Path | None = None,
    ) -> None:
        if model.capabilities.cites:
            raise ConfigError(f"The model {model.name} cannot use tools", remedy="Choose a language model")
        led = None if model.capabilities.tools else PromptedTools(model, home=home)
        self._model: Model = led or model
        self._bounds = bounds or Bounds()
        self._estimate = estimate
        salt = request.answer_id or request.question
        self._evidence = Evidence(request.evidence, salt=salt)
        self._calls = ToolCalls(tools, self._evidence, self._bounds, salt=salt)
        self._request = replace(request, tools=tools.tools) if tools.tools else request
        template = load("agent", home)
        given = added(request.messages, text_of(template.messages())) if tools.tools else request.messages
        self._prompts = (template.version, *((led.prompt,) if led else ()))
        self._prompt = AgentPrompt(given, tools.tools, model.count_tokens)
        self._asked = replace(self._request, messages=self._prompt.messages)
        self._steps: list[Step] = []
        self._stopped: Stopped = ""
        self._unpriced = False

    @property
    def request(self) -> ModelRequest:
        """What the model was asked last, or will be first: with the answer, all that it was made from."""
        return self._asked

    @property
    def run(self) -> AgentRun:
        """What has been done so far."""
        return AgentRun(
            steps=tuple(self._steps),
            evidence=self._evidence.hits,
            stopped=self._stopped,
            bounds=self._bounds,
            prompts=self._prompts,
            notes=(_UNPRICED,) if self._unpriced else (),
        )

    async def events(self) -> AsyncGenerator[AgentEvent, None]:
        """Steps as they happen, then Answering and the answer's own events, one Finish last. Errors: ModelError.

        The text of a step is held back until it is known to be the answer; DraftPart shows it meanwhile. The usage of
        Finish is that of the whole run.
        """
        clock = Clock.begin(self._bounds.seconds, self._request.deadline)
        while True:
            request = self._asked = self._next_request(clock)
            last = request.tool_choice == "none"
            if last:
                yield Answering(request=request, stopped=self._stopped)
            call = ModelCall(number=len(self._steps) + 1, request=digest(request))
            try:
                async with aclosing(self._watched(request)) as events:
                    async for event in events:
                        call.take(event)
                        if last and not isinstance(event, ToolCallPart | Finish):
                            yield event
                        elif not last and isinstance(event, TextPart | ReasoningPart):
                            reasoning = isinstance(event, ReasoningPart)
                            yield DraftPart(step=call.number, text=event.text, reasoning=reasoning)
                finish = self._finished(call)
                if call.calls and not last and not call.cut:
                    yield Calling(step=call.number, calls=call.calls)
                    runs = await self._calls.run(call.calls, until=clock.soft)
                    self._take(call, finish, self._shortened(call, runs))
                    yield self._steps[-1]
                    continue
            except ModelError as error:
                call.broken = error.usage
                if not isinstance(error, DeadlineExceeded) or last or not self._steps:
                    raise
                self._stopped = "seconds"  # what is left of the time is for answering with what there is
                continue
            finally:
                if len(self._steps) < call.number:  # it is the last, or broke off, whoever broke it off
                    self._steps.append(call.step(call.finish.usage if call.finish else self._broken_off(call)))
            if call.calls and not call.text.strip():
                raise InvalidReply(f"{self._model.name} {_NO_ANSWER[call.cut]}", remedy=_MEND[call.cut])
            yield self._steps[-1]
            if not last:
                yield Answering(request=replace(request, evidence=self._evidence.hits))
                for event in call.events:
                    if not isinstance(event, ToolCallPart):  # of a reply that was cut, and not run
                        yield event
            yield replace(finish, usage=self.run.usage)
            return

    async def answer(self, told: Callable[[AgentEvent], None] | None = None) -> AsyncGenerator[ModelEvent, None]:
        """The answer's events alone, as a model's: for `cite`, with `run.evidence`. told: is given all the others."""
        answering = False
        async with aclosing(self.events()) as events:
            async for event in events:
                answering = answering or isinstance(event, Answering)
                if answering and not isinstance(event, DraftPart | Calling | Step | Answering):
                    yield event
                elif told is not None:
                    told(event)

    # --- what is asked next ---------------------------------------------------------------------------------

    def _next_request(self, clock: Clock) -> ModelRequest:
        """The next step's request, which has to answer if a bound is near.

        Errors: BudgetExceeded, DeadlineExceeded, ContextTooLong.
        """
        if monotonic() >= clock.hard:
            self._stopped = "seconds"
            raise DeadlineExceeded(
                f"The time of {self._bounds.seconds:g} seconds is over without an answer", remedy="Raise agent.seconds"
            )
        self._calls.forget(self._prompt.make_room(self._room()))
        request = replace(
            self._request,
            messages=self._prompt.messages,
            evidence=self._evidence.hits,
            tool_choice="auto" if self._steps else self._request.tool_choice,
            max_output_tokens=self._output(self._prompt.tokens()),
            deadline=clock.soft if self._steps else clock.hard,
        )
        self._stopped = self._stopped or self._near(request, clock)
        if request.tools and request.tool_choice != "none" and not self._stopped:
            return request
        request = replace(request, tool_choice="none", deadline=clock.hard)
        if not (self._stopped and self._steps):
            return request
        say = Message(
            role="user",
            text=f"No tool can be called any more: {_WHY[self._stopped]}. Answer now from what you have.",
        )
        output = self._output(self._prompt.tokens(say))
        return replace(request, messages=(*request.messages, say), max_output_tokens=output)

    def _left(self, taken: Usage | None = None) -> int:
        """Tokens of the budget that are left. taken: by a step that is not noted yet."""
        used = self.run.usage + (taken or Usage())
        return self._bounds.tokens - used.input_tokens - used.output_tokens

    def _room(self, taken: Usage | None = None) -> int:
        """Tokens that the next prompt may have."""
        output, left = self._request.max_output_tokens, self._left(taken)
        return min(self._model.window - output, left - min(output, left // 4)) - _LAST_WORD

    def _output(self, prompt: int) -> int:
        """Tokens that the reply to a prompt may have. Errors: BudgetExceeded, ContextTooLong."""
        left, window = self._left(), self._model.window
        if left < prompt + _LEAST_ANSWER:
            self._stopped = "tokens"
            raise BudgetExceeded(
                f"{left} of {self._bounds.tokens} tokens are left, in which no answer fits", remedy="Raise agent.tokens"
            )
        if window < prompt + _LEAST_ANSWER:
            raise ContextTooLong(
                f"The prompt takes about {prompt} tokens, and the window of {self._model.name} holds {window}",
                remedy="Lower prompt.passage_tokens, name fewer tools, or use a model with a larger window",
            )
        return min(self._request.max_output_tokens, left - prompt, window - prompt)

    def _near(self, request: ModelRequest, clock: Clock) -> Stopped:
        """The bound that has room for an answer and for nothing else. Errors: BudgetExceeded if not even for that."""
        spent = self.run.usage.cost
        ahead = self._prompt.tokens() + request.max_output_tokens
        cost = self._foreseen(request, ahead)
        if spent + cost > self._bounds.cost:
            self._stopped = "cost"
            raise BudgetExceeded(
                f"{spent} of {self._bounds.cost} micro-dollars are spent, and an answer may cost {cost}",
                remedy="Raise agent.cost",
            )
        if not request.tools:
            return ""
        near: list[tuple[Stopped, bool]] = [
            ("repeats", self._calls.idle >= 2),
            ("steps", len(self._steps) + 1 >= self._bounds.steps),
            ("seconds", bool(self._steps) and monotonic() >= clock.soft),
            ("tokens", self._left() < 2 * ahead),
            ("cost", spent + 2 * cost > self._bounds.cost),
        ]
        return next((bound for bound, reached in near if reached), "")

    def _foreseen(self, request: ModelRequest, ahead: int) -> int:
        """What a request will cost, at most, or as the steps before it did. ahead: its tokens and its reply's."""
        cost = self._estimate(request) if self._estimate is not None else None
        self._unpriced = self._unpriced or (self._estimate is not None and cost is None)
        if cost is not None:
            return cost
        used = self.run.usage
        tokens = used.input_tokens + used.output_tokens
        return -(-used.cost * ahead // tokens) if tokens else 0

    # --- what has happened ----------------------------------------------------------------------------------

    async def _watched(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """The model's events; DeadlineExceeded also if the model does not heed its deadline."""
        assert request.deadline is not None
        async with aclosing(self._model.stream(request)) as events:
            while True:
                try:
                    async with asyncio.timeout(max(0.0, request.deadline - monotonic()) + _GRACE):
                        event = await anext(events, None)
                except TimeoutError as error:
                    raise DeadlineExceeded(
                        f"{self._model.name} did not answer within its time", remedy="Raise agent.seconds"
                    ) from error
                if event is None:
                    return
                yield event

    def _finished(self, call: ModelCall) -> Finish:
        """The end of the model's reply, from whose count of the prompt is learned. Errors: Interrupted without one."""
        if call.finish is None:
            raise Interrupted(f"{self._model.name} ended without finishing its reply", text=call.text)
        if not call.switched:  # else several models have counted
            self._prompt.learn(call.finish.usage)
        return call.finish

    def _shortened(self, call: ModelCall, runs: Sequence[ToolRun]) -> list[ToolRun]:
        """The results as they will fit the next prompt: what the model has not seen yet is not left out whole."""
        assert call.finish is not None
        sizes = [self._prompt.tokens_of(run.shown) for run in runs]
        rooms = shares(sizes, self._prompt.room_for(call, self._room(call.finish.usage)))
        return [
            run if size <= room else self._calls.shortened(run, room, self._prompt.tokens_of)
            for run, size, room in zip(runs, sizes, rooms, strict=True)
        ]

    def _take(self, call: ModelCall, finish: Finish, runs: Sequence[ToolRun]) -> None:
        self._steps.append(call.step(finish.usage, tuple(runs)))
        self._prompt.add(call, runs)

    def _broken_off(self, call: ModelCall) -> Usage:
        """Of a call that broke off: by the error's account, or what went out and what had come."""
        return call.broken or Usage(
            input_tokens=self._prompt.tokens(),
            output_tokens=self._model.count_tokens(call.text),
            counted_by="estimate",
            exact=False,
            priced=False,
        )


_UNPRICED: Final = "The price of the model is not known, so agent.cost could not hold"
_WHY: Final[dict[Stopped, str]] = {
    "steps": "the number of steps is used up",
    "tokens": "the budget of tokens is nearly used up",
    "seconds": "the time is nearly over",
    "cost": "the budget of money is nearly used up",
    "repeats": "you are repeating calls that were made before",
}
_NO_ANSWER: Final = {False: "asks for tools where it has to answer", True: "was cut off while it asked for tools"}
_MEND: Final = {False: "Ask again", True: "Raise prompt.output_tokens"}
_LEAST_ANSWER: Final = 32  # tokens without which no answer is tried
_LAST_WORD: Final = 32  # tokens of the message that says that it has to answer now
_GRACE: Final = 0.25  # seconds that a model may take to notice its deadline by itself
