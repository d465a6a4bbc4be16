"""What is known of one reply over HTTP while it comes: its text, its time, and how it failed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from hashlib import sha256

from sourcebook.errors import DeadlineExceeded, Interrupted, InvalidReply, ModelError, Unavailable
from sourcebook.models.base import Finish, ModelEvent, ModelRequest, ReasoningPart, Said, TextPart, ToolCallPart
from sourcebook.models.connections import Sending
from sourcebook.models.meaning import WAIT
from sourcebook.models.wire import HttpCall, Reader
from sourcebook.types import Usage


class Silence(TimeoutError):
    """Nothing came for too long, and the call was given up."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """Who asks.

    name: as a `Model`. provider, model: as in its URL. count: tokens of a text; counted_by: what counts them.
    secrets: what no error message may show, longest first.
    """

    name: str
    provider: str
    model: str
    count: Callable[[str], int]
    counted_by: str
    secrets: tuple[str, ...] = ()

    def scrubbed(self, message: str) -> str:
        """The message without the secrets: some vendors quote a key."""
        for secret in self.secrets:
            message = message.replace(secret, "[key]")
        return message


class HttpReply:
    """One reply.

    said: where the vendor's words are kept for whoever leaves the call. heard: whether anything of the reply came.
    over: whether its Finish did. break_reason: why its bytes ended, where they broke off. silence: set if it was we
    who gave up. sending: whether a request for it went out.
    """

    def __init__(self, caller: Caller, request: ModelRequest, call: HttpCall, reader: Reader, said: Said) -> None:
        self._caller = caller
        self._request = request
        self._sent = sha256(call.body).hexdigest()
        self._reader = reader
        self._pieces: list[str] = []
        self._hidden: list[str] = []
        self.said = said
        self.heard = False
        self.over = False
        self.break_reason = ""
        self.silence: Silence | None = None
        self.sending = Sending()

    def noted(self, event: ModelEvent) -> ModelEvent:
        """The event; a Finish gets what only the call knows."""
        match event:
            case TextPart():
                self._pieces.append(event.text)
            case ReasoningPart():
                self._hidden.append(event.text)
            case ToolCallPart():
                self._hidden.append(event.call.arguments)
            case Finish():
                return self._finish(event)
        return event

    def keep_account(self) -> None:
        """Take over what the reader has heard of the vendor's account, unless it is none."""
        if is_sound(self._reader.usage):
            self.said.usage = self._reader.usage

    @asynccontextmanager
    async def time_for_a_read(self, idle: float) -> AsyncIterator[None]:
        """Bound what stands within: by the deadline, and by the silence that is borne (seconds)."""
        deadline = self._request.deadline
        left = idle if deadline is None else min(idle, deadline - time.monotonic())
        try:
            async with asyncio.timeout(max(left, 0.0)) as limit:
                yield
        except TimeoutError as error:
            if not limit.expired():  # somebody else's
                raise
            if deadline is not None and time.monotonic() >= deadline - 0.001:
                late = DeadlineExceeded(f"{self._caller.provider} had not finished by the deadline")
                raise self.explained(late) from error
            raise Silence(f"nothing came for {idle:g} seconds") from error

    def broken(self, reason: str) -> ModelError:
        """Broken off: in the middle of a reply, or before anything had come."""
        if self.heard:
            message = f"{self._caller.provider} broke off in the middle of its reply: {reason}"
            return self.explained(Interrupted(message, remedy=WAIT))
        return self.explained(Unavailable(f"{self._caller.provider} did not answer: {reason}", remedy=WAIT))

    def explained(self, error: ModelError) -> ModelError:
        """The error with all that is known of the call."""
        self.keep_account()
        error.args = (self._caller.scrubbed(str(error.args[0])),)
        error.provider = error.provider or self._caller.provider
        error.request_id = error.request_id or self.said.request_id
        error.text = error.text or "".join(self._pieces)
        error.usage = error.usage or self._reported()
        error.asked = error.asked and self.sending.sent
        if isinstance(error, InvalidReply) and error.text:
            return Interrupted(
                error.args[0],
                remedy=error.remedy,
                provider=error.provider,
                status=error.status,
                request_id=error.request_id,
                retry_after=error.retry_after,
                text=error.text,
                usage=error.usage,
            )
        return error

    def _finish(self, event: Finish) -> Finish:
        """With the request id, and with tokens counted here where the vendor does not say."""
        usage = event.usage
        if not usage.counted_by:
            usage = self._counted(usage)
        elif not usage.exact:  # it was left before its end
            usage = self._at_least(usage)
        return replace(
            event,
            usage=usage,
            request_id=event.request_id or self.said.request_id,
            model=event.model or self._caller.model,
            served_by=self._caller.name,
            sent=self._sent,
        )

    def _reported(self) -> Usage | None:
        """What the vendor had told by now, if anything."""
        told = self.said.usage
        return self._at_least(told) if told.counted_by else None

    def _at_least(self, told: Usage) -> Usage:
        """At least what came, for vendors tell of it late. They may charge past that, so it is not exact."""
        return replace(told, output_tokens=max(told.output_tokens, self._came()), exact=False)

    def _counted(self, usage: Usage) -> Usage:
        return replace(
            usage,
            input_tokens=sum(self._caller.count(one.text) for one in self._request.messages),
            output_tokens=self._came(),
            counted_by=self._caller.counted_by,
            exact=False,
        )

    def _came(self) -> int:
        """Tokens of what came."""
        return self._caller.count("".join(self._pieces)) + self._caller.count("".join(self._hidden))


_MOST_TOKENS = 2**53  # what JSON numbers can say exactly


def is_sound(usage: Usage) -> bool:
    """Whether what a vendor sent as counts are numbers of tokens."""
    counts = (usage.input_tokens, usage.output_tokens, usage.cached_tokens, usage.cache_write_tokens)
    return all(type(one) is int and 0 <= one < _MOST_TOKENS for one in (*counts, usage.reasoning_tokens))
