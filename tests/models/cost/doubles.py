"""What the tests of costs share: a model that does as it is told, and what it is asked."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from datetime import date
from typing import Any

from sourcebook.models.base import Capabilities, Finish, Message, ModelEvent, ModelRequest
from sourcebook.models.cost.known import KnownModel, Overhead, Rates
from sourcebook.types import CallRecord, Reservation, Usage

KNOWN = KnownModel(
    provider="openai",
    model="test",
    names=("test",),
    as_of=date(2026, 1, 1),
    source="a page",
    window=8_000,
    output=1_000,
    rates=(Rates(input=1_000_000, output=2_000_000, cached=100_000, cache_write=1_250_000),),
    overhead=Overhead(message=0, request=0, tools=0, tool=0),
)


class Characters:
    """Counts a token for each character."""

    name = "characters"

    def count(self, text: str) -> int:
        return len(text)


class Scripted:
    """A model that sends what the script says: an event, an error, or seconds to wait."""

    name = "openai:test"
    window = 8_000
    capabilities = Capabilities()

    def __init__(self, *script: ModelEvent | BaseException | float) -> None:
        self.script = script
        self.calls = 0
        self.closed = False
        self.stopped = 0
        self._waiting = asyncio.Event()

    async def began_or(self, task: "asyncio.Task[Any]") -> None:
        """Return once the script has come to its first wait, or the task is over."""
        waiting = asyncio.create_task(self._waiting.wait())
        await asyncio.wait([waiting, task], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        self.calls += 1
        try:
            for step in self.script:
                if isinstance(step, BaseException):
                    raise step
                if isinstance(step, float):
                    self._waiting.set()
                    await asyncio.sleep(step)
                else:
                    yield step
        finally:
            self.stopped += 1

    def count_tokens(self, text: str) -> int:
        return len(text)

    async def close(self) -> None:
        self.closed = True


class Noted:
    """A ledger that notes what it is told."""

    def __init__(self, *, budgeted: bool = False) -> None:
        self.is_budgeted = budgeted
        self.reserved: list[Reservation] = []
        self.settled: list[CallRecord] = []
        self.released: list[str] = []

    async def budgeted(self, tenant: str, account: str) -> bool:
        return self.is_budgeted

    async def reserve(self, wanted: Reservation) -> None:
        await asyncio.sleep(0)
        self.reserved.append(wanted)

    def settle(self, call: CallRecord) -> None:
        self.settled.append(call)

    def release(self, call_id: str) -> None:
        self.released.append(call_id)

    @property
    def held(self) -> set[str]:
        done = {one.id for one in self.settled} | set(self.released)
        return {one.id for one in self.reserved} - done


def asked(*texts: str, **fields: object) -> ModelRequest:
    messages = tuple(Message(role="user", text=text) for text in texts or ("0123456789",))
    return ModelRequest(messages=messages, max_output_tokens=100, **fields)  # type: ignore[arg-type]


def finish(*, input_tokens: int = 0, output_tokens: int = 0, cached_tokens: int = 0) -> Finish:
    usage = Usage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cached_tokens=cached_tokens,
        counted_by="vendor" if input_tokens or output_tokens else "",
    )
    return Finish(reason="stop", usage=usage, model="test-2026", request_id="req-1")


async def events_of(stream: AsyncGenerator[ModelEvent, None]) -> Sequence[ModelEvent]:
    return [event async for event in stream]
