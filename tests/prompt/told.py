"""A model for tests of what is built around models: it says what it is told to, and keeps what it was asked."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Sequence
from hashlib import sha256
from typing import Any

from sourcebook.models.base import (
    Capabilities,
    Finish,
    Message,
    ModelEvent,
    ModelRequest,
    ReasoningPart,
    TextPart,
    ToolCall,
    ToolCallPart,
)
from sourcebook.prompt.agent import AgentLoop
from sourcebook.prompt.agent_run import AgentEvent
from sourcebook.prompt.tools.base import Toolboxes
from sourcebook.prompt.tools.functions import FunctionTools
from sourcebook.types import Hit, Passage, PassageId, Usage

Turn = Sequence[ModelEvent | Exception | float]
"""Events; an exception is raised; a number is a pause of so many seconds."""


class Told:
    """The i'th call gets the i'th turn. A turn without a Finish gets one: 10 tokens in, 5 out, 100 micro-dollars."""

    name = "told-1"

    def __init__(self, *turns: Turn, window: int = 100_000, **capabilities: Any) -> None:
        self.window = window
        self.capabilities = Capabilities(**{"tools": True, **capabilities})
        self.requests: list[ModelRequest] = []
        self.closed = 0
        self._turns = turns

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        turn = self._turns[len(self.requests)]
        self.requests.append(request)
        finish: Finish | None = None
        calls = False
        try:
            for event in turn:
                if isinstance(event, Exception):
                    raise event
                if isinstance(event, float):
                    await asyncio.sleep(event)
                    continue
                calls = calls or isinstance(event, ToolCallPart)
                finish = event if isinstance(event, Finish) else finish
                yield event
            if finish is None:
                usage = Usage(input_tokens=10, output_tokens=5, cost=100, counted_by="vendor")
                yield Finish(reason="tool_calls" if calls else "stop", model="s-1", request_id="r", usage=usage)
        finally:
            self.closed += 1

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    async def close(self) -> None:
        pass


def say(text: str) -> TextPart:
    return TextPart(text=text)


def think(text: str, signature: str = "") -> ReasoningPart:
    return ReasoningPart(text=text, signature=signature)


def ask(name: str, arguments: str = "{}", id: str = "1", signature: str = "") -> ToolCallPart:
    return ToolCallPart(call=ToolCall(id=id, name=name, arguments=arguments, signature=signature))


# --- for tests of the agent loop ------------------------------------------------------------------------------

QUESTION = ModelRequest(
    question="How tall?",
    messages=(Message(role="system", text="Answer."), Message(role="user", text="How tall?")),
    max_output_tokens=100,
)


def hit(text: str, document: str = "file:///a", start: int = 0) -> Hit:
    name = sha256(f"{document} {start} {text}".encode()).hexdigest()[:32]
    passage = Passage(
        id=PassageId(name), document=document, version=1, ordinal=0, text=text, start=start, end=start + len(text),
        title="Towers",
    )  # fmt: skip
    return Hit(passage=passage, score=1.0)


def functions(*some: Callable[..., Any]) -> Toolboxes:
    return Toolboxes([FunctionTools(list(some))])


def add(one: int, other: int) -> int:
    """Add."""
    return one + other


async def events_of(loop: AgentLoop) -> list[AgentEvent]:
    return [event async for event in loop.events()]


def text_of(events: list[AgentEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextPart))


def size_of(request: ModelRequest, model: Told) -> int:
    """Tokens of the prompt by the model's own count, and of the longest reply."""
    texts = [tool.name + tool.description + json.dumps(tool.parameters) for tool in request.tools]
    texts += [one.text for one in request.messages]
    texts += [call.name + call.arguments for one in request.messages for call in one.tool_calls]
    return sum(map(model.count_tokens, texts)) + request.max_output_tokens
