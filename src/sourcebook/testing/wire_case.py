"""What a test of a wire format starts from: a double of the vendor, our model of it, and things to ask."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from sourcebook.errors import (
    ContextTooLong,
    InvalidRequest,
    ModelError,
    NoSuchModel,
    NotAuthorised,
    QuotaExhausted,
    RateLimited,
    Refused,
    Unavailable,
)
from sourcebook.models.base import Message, ModelRequest, Tool
from sourcebook.models.http import HttpModel
from sourcebook.models.wire import Target, WireFormat
from sourcebook.testing.doubles import Double, Fault, Reply

WEATHER = Tool(
    name="weather",
    description="The weather in a city",
    parameters={
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
)
BUILT = {
    "type": "object",
    "properties": {"year": {"type": "integer"}},
    "required": ["year"],
    "additionalProperties": False,
}
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360000002000001"
    "e221bc330000000049454e44ae426082"
)
ASKED = ModelRequest(
    messages=(
        Message(role="system", text="Answer in one sentence."),
        Message(role="user", text="When was the lighthouse on 갈매기 Island built?"),
    ),
    max_output_tokens=64,
)


class WireCase:
    """Subclass it, by way of `WireSuite`; give `double` and `wire`, and say where the vendor differs.

    cached, thinking: whether the vendor's usage tells tokens read from its cache, and those that were thought.
    errors: the errors of ours that the vendor can tell apart; in_stream: those that it sends within a stream.
    reasons: why a reply may end, besides by itself and for tools, as far as the vendor tells.
    refuses: whether the vendor marks a text that is a refusal. samples: whether temperature and top_p are taken.
    waits: whether it says how long to wait. early_usage: whether it tells the prompt's tokens before the reply ends.
    calls_in_pieces: whether a tool call may be cut in its arguments.
    """

    model = "model-1"
    cached = True
    thinking = True
    errors: Sequence[type[ModelError]] = (
        InvalidRequest, NotAuthorised, NoSuchModel, ContextTooLong, RateLimited, QuotaExhausted, Refused, Unavailable,
    )  # fmt: skip
    in_stream: Sequence[type[ModelError]] = (Unavailable,)
    reasons: Sequence[str] = ("length", "filtered")
    refuses = False
    samples = True
    waits = True
    early_usage = False
    calls_in_pieces = True

    def double(self) -> Double:
        """A new double."""
        raise NotImplementedError

    def wire(self, target: Target) -> WireFormat:
        """The format for a target."""
        raise NotImplementedError

    def target(self, url: str, key: str) -> Target:
        """Where the double is; override it where the base URL has a path."""
        return Target(provider="vendor", base=url, model=self.model, key=key)

    @asynccontextmanager
    async def both(
        self, *replies: Reply | Fault, key: str | None = None, idle: float = 5.0
    ) -> AsyncIterator[tuple[Double, HttpModel]]:
        """A running double that says this, and our model of it."""
        async with self.double() as double:
            double.say(*replies)
            model = self.make(double.url, double.key if key is None else key, idle)
            try:
                yield double, model
            finally:
                await model.close()

    def make(self, url: str, key: str, idle: float = 5.0) -> HttpModel:
        """Our model at a URL."""
        return HttpModel(
            self.wire(self.target(url, key)),
            provider="vendor",
            model=self.model,
            window=8192,
            count=lambda text: len(text.split()),
            counted_by="words",
            idle_seconds=idle,
            secrets=(key,),
        )

    def nowhere(self) -> WireFormat:
        """The format for a target that is not called."""
        return self.wire(self.target("http://x", "k"))
