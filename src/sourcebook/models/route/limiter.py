"""Whose turn it is: so many calls at once, so many calls and tokens a minute, first come first served."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass
from typing import Final

from sourcebook.errors import RateLimited
from sourcebook.models.route.attempt import OWN, Now


class Bucket:
    """A token bucket that holds a minute's worth, full at first, and fills evenly.

    In any t seconds it gives out at most per_minute * (1 + t / 60): as vendors themselves keep their limits
    ("capacity is continuously replenished up to your maximum limit", Anthropic's page on rate limits).
    It may be overdrawn, by calls that took more than was thought; then it waits the longer.
    """

    def __init__(self, per_minute: float, *, now: Now = time.monotonic) -> None:
        self._most = per_minute
        self._rate = per_minute / 60.0
        self._now = now
        self._level = per_minute
        self._at = now()

    def wait(self, amount: float) -> float:
        """Seconds until so much can be taken, if nobody else takes any. More than all it holds is as all it holds."""
        self._fill()
        lacking = min(amount, self._most) - self._level
        return lacking / self._rate if lacking > _TINY else 0.0

    def wait_behind(self, others: float, amount: float) -> float:
        """The same, once `others` have been taken."""
        self._fill()
        lacking = others + min(amount, self._most) - self._level
        return lacking / self._rate if lacking > _TINY else 0.0

    def take(self, amount: float) -> None:
        """Take so much, or all it holds if that is less."""
        self._fill()
        self._level -= min(amount, self._most)

    def give_back(self, amount: float) -> None:
        """Put back what was taken and not used; take more if negative."""
        self._fill()
        self._level = min(self._level + amount, self._most)

    def bounded(self, amount: float) -> float:
        """What `take` would take of it."""
        return min(amount, self._most)

    def _fill(self) -> None:
        now = self._now()
        self._level = min(self._level + (now - self._at) * self._rate, self._most)
        self._at = now


class Permit:
    """Leave to make one call; to be released when it is over."""

    def __init__(self, limiter: Limiter, tokens: int) -> None:
        self._limiter = limiter
        self._tokens = tokens
        self._released = False

    def settle(self, tokens: int) -> None:
        """The call took so many tokens, and not what was thought."""
        self._limiter._settle(self._tokens, tokens)
        self._tokens = tokens

    def unused(self) -> None:
        """Nobody was called."""
        self._limiter._give_back(self._tokens)
        self._tokens = 0

    def release(self) -> None:
        """The call is over. Again: nothing."""
        if not self._released:
            self._released = True
            self._limiter._release()


@dataclass(slots=True, eq=False)
class _Waiter:
    tokens: int
    turn: asyncio.Future[None]


class Limiter:
    """The limits of one model, for all its calls in this process. 0 means no limit.

    Calls are admitted in the order they came; one that must wait holds up those behind it, so that none starves.
    """

    def __init__(
        self,
        *,
        concurrency: int = 0,
        requests_per_minute: int = 0,
        tokens_per_minute: int = 0,
        now: Now = time.monotonic,
    ) -> None:
        self._concurrency = concurrency
        self._requests = Bucket(requests_per_minute, now=now) if requests_per_minute else None
        self._tokens = Bucket(tokens_per_minute, now=now) if tokens_per_minute else None
        self._now = now
        self._queue: deque[_Waiter] = deque()
        self._paused_until = 0.0
        self._alarm: asyncio.TimerHandle | None = None
        self.running = 0

    @property
    def waiting(self) -> int:
        """Calls that wait for their turn."""
        return len(self._queue)

    @property
    def counts_tokens(self) -> bool:
        """Whether a call's tokens matter."""
        return self._tokens is not None

    async def admit(self, tokens: int, *, until: float | None, name: str = "the model") -> Permit:
        """Wait for a turn. until: by the limiter's clock; None: as long as it takes.

        Errors: RateLimited with retry_after at once if the rates do not allow it in time, and at `until` if the
        calls that run have not ended by then.
        """
        expected = self._expected(tokens)
        if until is not None and self._now() + expected > until:
            raise self._crowded(name, expected)
        waiter = _Waiter(tokens, asyncio.get_running_loop().create_future())
        self._queue.append(waiter)
        self._advance()
        if not waiter.turn.done():
            try:
                async with asyncio.timeout(None if until is None else until - self._now()):
                    await waiter.turn
            except TimeoutError:
                self._give_up(waiter)
                raise self._crowded(name, max(self._expected(tokens), 1.0)) from None
            except asyncio.CancelledError:
                self._give_up(waiter)
                raise
        return Permit(self, tokens)

    def pause(self, seconds: float) -> None:
        """Admit nobody for so long: the vendor asked for it. At most a minute at a time."""
        self._paused_until = max(self._paused_until, self._now() + min(seconds, _LONGEST_PAUSE))

    def _expected(self, tokens: int) -> float:
        """Seconds that the rates alone make a newcomer wait, those before it served."""
        wait = max(self._paused_until - self._now(), 0.0)
        if self._requests is not None:
            wait = max(wait, self._requests.wait_behind(len(self._queue), 1))
        if self._tokens is not None:
            others = sum(self._tokens.bounded(waiter.tokens) for waiter in self._queue)
            wait = max(wait, self._tokens.wait_behind(others, tokens))
        return wait

    def _advance(self) -> None:
        """Admit whom the limits allow; see to it that this is asked again when they allow the next."""
        while self._queue:
            waiter = self._queue[0]
            if waiter.turn.done():
                self._queue.popleft()
                continue
            if self._concurrency and self.running >= self._concurrency:
                return  # whoever ends asks again
            delay = max(self._paused_until - self._now(), 0.0)
            if self._requests is not None:
                delay = max(delay, self._requests.wait(1))
            if self._tokens is not None:
                delay = max(delay, self._tokens.wait(waiter.tokens))
            if delay > 0.0:
                self._ask_again(delay)
                return
            self._queue.popleft()
            if self._requests is not None:
                self._requests.take(1)
            if self._tokens is not None:
                self._tokens.take(waiter.tokens)
            self.running += 1
            waiter.turn.set_result(None)

    def _ask_again(self, delay: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = asyncio.get_running_loop().call_later(delay + _TINY, self._advance)

    def _give_up(self, waiter: _Waiter) -> None:
        """The waiter was stopped; if its turn had come at that moment, it is somebody else's now."""
        if waiter.turn.done() and not waiter.turn.cancelled():
            self._give_back(waiter.tokens)
            self._release()
            return
        waiter.turn.cancel()
        if waiter in self._queue:
            self._queue.remove(waiter)
        self._advance()

    def _release(self) -> None:
        self.running -= 1
        self._advance()

    def _settle(self, thought: int, took: int) -> None:
        if self._tokens is not None:
            self._tokens.give_back(self._tokens.bounded(thought) - took)
            self._advance()

    def _give_back(self, tokens: int) -> None:
        if self._requests is not None:
            self._requests.give_back(1)
        if self._tokens is not None:
            self._tokens.give_back(self._tokens.bounded(tokens))

    def _crowded(self, name: str, wait: float) -> RateLimited:
        return RateLimited(
            f"{name} is used up to the limits that are set for it; the next turn is in {wait:.1f} s or more",
            remedy="Raise the limits in [route], name a further model, or ask later",
            provider=OWN,
            retry_after=wait,
        )


_TINY: Final = 1e-6
_LONGEST_PAUSE: Final = 60.0
