"""Models that do what they are told: to write, to wait, to fail."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import replace

from sourcebook.models.base import Capabilities, Finish, ModelEvent, ModelRequest, TextPart
from sourcebook.types import Usage

Step = ModelEvent | str | float | Exception
"""An event; a text; seconds to wait; an error to raise."""

Script = Sequence[Step]

DONE = Finish(reason="stop", usage=Usage(input_tokens=10, output_tokens=5, counted_by="vendor", cost=100), model="m")
CAN_ALL = Capabilities(
    tools=True, images=True, schema=True, reasoning=True, logprobs=True, continues=True, caches=True, seed=True
)


class Scripted:
    """Each call plays the next script, and the last one from then on; or what `script` makes of the request.

    running, most: calls at this moment, and at most. stopped: calls that were closed before their script was over.
    """

    def __init__(
        self,
        name: str,
        *scripts: Script,
        script: Callable[[ModelRequest], Script] | None = None,
        window: int = 8192,
        capabilities: Capabilities | None = None,
    ) -> None:
        self.name = name
        self.window = window
        self.capabilities = capabilities or Capabilities()
        self.requests: list[ModelRequest] = []
        self.running = 0
        self.most = 0
        self.stopped = 0
        self.closed = 0
        self._scripts = scripts
        self._script = script

    @property
    def calls(self) -> int:
        return len(self.requests)

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    async def close(self) -> None:
        self.closed += 1

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        self.requests.append(request)
        number = min(self.calls, len(self._scripts)) - 1
        script = self._script(request) if self._script is not None else self._scripts[number]
        self.running += 1
        self.most = max(self.most, self.running)
        over = False
        try:
            for step in script:
                if isinstance(step, str):
                    yield TextPart(text=step)
                elif isinstance(step, float):
                    await asyncio.sleep(step)
                elif isinstance(step, Exception):
                    over = True
                    raise step
                else:
                    yield replace(step, model=self.name) if isinstance(step, Finish) else step
            over = True
        finally:
            self.running -= 1
            self.stopped += not over


def written(request: ModelRequest, intended: str) -> int:
    """How much of the intended text the request says has been written: where its beginning ends."""
    for message in reversed(request.messages):
        if message.role == "assistant":
            return len(message.text) if intended.startswith(message.text) else 0
    return 0


def pieces(text: str, size: int) -> list[Step]:
    return [text[start : start + size] for start in range(0, len(text), size)]
