"""How long a model takes to begin, learned from its calls."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from math import ceil
from typing import Final

from sourcebook.errors import DeadlineExceeded, InvalidRequest, ModelError
from sourcebook.models.around import Around
from sourcebook.models.base import Model, ModelEvent, ModelRequest
from sourcebook.models.route.attempt import OWN, Now, shows


class Latencies:
    """The latest observations of one quantity, in seconds."""

    def __init__(self, *, kept: int = 200) -> None:
        self._seconds: deque[float] = deque(maxlen=kept)

    def __len__(self) -> int:
        return len(self._seconds)

    def add(self, seconds: float) -> None:
        """One more; the oldest is forgotten."""
        self._seconds.append(seconds)

    def percentile(self, share: float) -> float:
        """The least observation that at least this share (0 to 1) of them does not exceed; 0 without any."""
        if not self._seconds:
            return 0.0
        ordered = sorted(self._seconds)
        return ordered[max(ceil(share * len(ordered)) - 1, 0)]


class Observed(Around):
    """A model whose calls are counted and timed. Nothing else changes.

    latencies: seconds to the first piece of a reply. A call that was left before one came counts as long as it was
    waited for; one that failed counts as slow: as long as it took and `_FAILED` more, so that a broken model does not
    look quick. refused: calls for which the model was
    not asked, because of a breaker or a limit.
    """

    def __init__(self, model: Model, *, now: Now = time.monotonic) -> None:
        super().__init__(model)
        self._now = now
        self.latencies = Latencies()
        self.calls = 0
        self.failures = 0
        self.refused = 0
        self.running = 0

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """The model's events."""
        began = self._now()
        begun = False
        self.calls += 1
        self.running += 1
        try:
            async with aclosing(self._model.stream(request)) as events:
                async for event in events:
                    if not begun and shows(event):
                        begun = True
                        self.latencies.add(self._now() - began)
                    yield event
        except (asyncio.CancelledError, GeneratorExit, DeadlineExceeded):
            if not begun:  # it would have taken at least as long
                self.latencies.add(self._now() - began)
            raise
        except InvalidRequest:  # the caller's doing
            raise
        except ModelError as error:
            if error.provider == OWN:
                self.refused += 1
                raise
            self.failures += 1
            if not begun:
                self.latencies.add(self._now() - began + _FAILED)
            raise
        finally:
            self.running -= 1


_FAILED: Final = 10.0
