"""A second call when the first is slower than most."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Final

from sourcebook.errors import ModelError
from sourcebook.models.base import Finish, Model, ModelEvent, ModelRequest, Switched
from sourcebook.models.route.attempt import Attempt, Now, Price, charge, shows, spent, unfinished
from sourcebook.models.route.latency import Latencies
from sourcebook.models.route.shared import Among
from sourcebook.types import Usage


class Hedged(Among):
    """A model with a second call behind it (Dean and Barroso, The Tail at Scale, CACM 2013).

    When a reply has not begun after the time in which `percentile` (0 to 1) of them begin, the same request goes to
    `other`, too (or to the same model again). Whichever begins first is taken; the other is closed, so that it stops
    at the vendor. An error of one is no error as long as the other may still answer.
    The time is learned from the latest replies, once `least` of them were seen, and never below `floor` seconds.
    share: of the calls, how many are hedged at most: when all are slow at once, twice the load makes it worse.

    The Finish's usage holds an estimate of what the call that lost took (exact=False, priced by `price` if given).
    A Switched tells when the other model's reply is taken.
    """

    def __init__(
        self,
        model: Model,
        other: Model | None = None,
        *,
        percentile: float = 0.95,
        floor: float = 0.2,
        least: int = 20,
        share: float = 0.2,
        price: Price | None = None,
        now: Now = time.monotonic,
    ) -> None:
        self._model = model
        self._other = other if other is not None else model
        super().__init__((self._model, self._other))
        self._percentile = percentile
        self._floor = floor
        self._least = least
        self._share = share
        self._price = price
        self._now = now
        self._recent: deque[bool] = deque(maxlen=_RECENT)
        self.latencies = Latencies()
        self.hedges = 0
        self.wins = 0

    @property
    def name(self) -> str:
        """The model's."""
        return self._model.name

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """The events of whichever began first. Errors: the first call's, if both fail."""
        delay = self._delay()
        if delay is None:
            async with aclosing(self._timed(request)) as alone:
                async for event in alone:
                    yield event
            return
        race = _Race(self._now)
        first = race.start(self._model, request)
        hedged = False
        winner: _Runner | None = None
        try:
            winner = await race.winner(delay)
            if winner is None:
                if self._may():
                    hedged = True
                    self.hedges += 1
                    self._recent.append(True)
                    race.start(self._other, request)
                winner = await race.winner(None)
            assert winner is not None
            if first.begun is not None or not first.ended:  # a loser would have taken at least as long as this
                self.latencies.add((first.begun or self._now()) - race.began)
            if winner is not first:
                self.wins += 1
                if self._other is not self._model:
                    reason = first.failure or f"nothing came within {delay:.2f} s"
                    yield Switched(before=self._model.name, after=self._other.name, reason=reason)
            for loser in race.others(winner):
                loser.task.cancel()
            finished = False
            async with aclosing(winner.events()) as events:
                async for event in events:
                    if isinstance(event, Finish):
                        finished = True
                        event = replace(event, usage=await self._wasted(race, winner, request) + event.usage)
                    yield event
            if not finished:
                raise unfinished(winner.model, "".join(winner.attempt.text))
        except ModelError as error:
            if winner is not None:
                charge(error, await self._wasted(race, winner, request) + (error.usage or Usage()))
            raise
        finally:
            if not hedged:
                self._recent.append(False)
            await race.stop()

    async def _wasted(self, race: _Race, winner: _Runner, request: ModelRequest) -> Usage:
        """What the call took that lost, once it has let go: by its own account, if it ended with one."""
        wasted = Usage()
        for loser in race.others(winner):
            await asyncio.wait([loser.task])
            wasted += spent(loser.model, request, loser.attempt, loser.error, self._price)
        return wasted

    async def _timed(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """One call, observed."""
        began = self._now()
        begun = False
        async with aclosing(self._model.stream(request)) as events:
            async for event in events:
                if not begun and shows(event):
                    begun = True
                    self._recent.append(False)
                    self.latencies.add(self._now() - began)
                yield event

    def _delay(self) -> float | None:
        """Seconds after which to hedge; None: do not."""
        if len(self.latencies) < self._least:
            return None
        return max(self.latencies.percentile(self._percentile), self._floor)

    def _may(self) -> bool:
        """Whether one more hedge stays within the share."""
        return sum(self._recent) + 1 <= self._share * max(len(self._recent) + 1, _FIRST)


class _Race:
    """Calls that run at the same time, each in a task of its own from its beginning to its end."""

    def __init__(self, now: Now) -> None:
        self._now = now
        self._runners: list[_Runner] = []
        self._news = asyncio.Event()
        self.began = now()

    def start(self, model: Model, request: ModelRequest) -> _Runner:
        """Set one more going."""
        runner = _Runner(model, request, self._news, self._now)
        self._runners.append(runner)
        return runner

    async def winner(self, patience: float | None) -> _Runner | None:
        """The first whose reply has begun; the first of all if every one has failed; None if nothing came in time."""
        try:
            async with asyncio.timeout(patience):
                while True:
                    begun = [one for one in self._runners if one.begun is not None]
                    if begun:
                        return min(begun, key=lambda one: one.begun or 0.0)
                    if all(one.ended for one in self._runners):
                        return self._runners[0]
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            return None

    def others(self, winner: _Runner) -> list[_Runner]:
        """Those that did not win."""
        return [one for one in self._runners if one is not winner]

    async def stop(self) -> None:
        """End all that still run, and wait until they have let go."""
        for one in self._runners:
            one.task.cancel()
        await asyncio.gather(*(one.task for one in self._runners), return_exceptions=True)


class _Runner:
    """One call in its task; its events wait in a short queue."""

    def __init__(self, model: Model, request: ModelRequest, news: asyncio.Event, now: Now) -> None:
        self.model = model
        self.attempt = Attempt()
        self.begun: float | None = None
        self.ended = False
        self.error: Exception | None = None
        self._news = news
        self._now = now
        self._queue: asyncio.Queue[ModelEvent | None] = asyncio.Queue(_AHEAD)
        self.task = asyncio.create_task(self._run(request))

    @property
    def failure(self) -> str:
        """What went wrong, if it did."""
        return str(self.error) if self.error is not None else ""

    async def events(self) -> AsyncGenerator[ModelEvent, None]:
        """All that came and comes. Errors: the call's."""
        while (event := await self._queue.get()) is not None:
            yield event
        if self.error is not None:
            raise self.error

    async def _run(self, request: ModelRequest) -> None:
        try:
            async with aclosing(self.model.stream(request)) as events:
                async for event in events:
                    self.attempt.take(event)
                    if self.begun is None and shows(event):
                        self.begun = self._now()
                        self._news.set()
                    await self._queue.put(event)
        except Exception as error:  # handed to whoever reads the events
            self.error = error
        self.ended = True
        self._news.set()
        await self._queue.put(None)


_AHEAD: Final = 16
_RECENT: Final = 200
_FIRST: Final = 10
