"""A model for tests of what is built around models: it says what it is told to, and keeps what it was asked."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from sourcebook.models.base import (
    Capabilities,
    Finish,
    ModelEvent,
    ModelRequest,
    ReasoningPart,
    TextPart,
    ToolCall,
    ToolCallPart,
)
from sourcebook.types import Usage

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
