"""A model whose calls end by their deadline, whatever happens in them."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Final

from sourcebook.errors import DeadlineExceeded
from sourcebook.models.around import Around
from sourcebook.models.base import Finish, Model, ModelEvent, ModelRequest, TextPart
from sourcebook.models.route.alarm import Alarm, Overdue
from sourcebook.models.route.attempt import DEADLINE_PASSED, Now, unfinished, with_text


class Bounded(Around):
    """A model that is stopped at the request's deadline.

    seconds: what a request without a deadline is given; 0: as long as it takes. All that runs inside is told the
    deadline, and closed when it comes. Errors: the model's; `DeadlineExceeded` with the text that had come.
    A reader who takes the events so slowly that the deadline passes meanwhile is told so as well.
    """

    def __init__(self, model: Model, *, seconds: float = 120.0, now: Now = time.monotonic) -> None:
        super().__init__(model)
        self._seconds = seconds
        self._now = now

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """The model's events, up to the deadline."""
        began = self._now()
        deadline = request.deadline
        if deadline is None:
            if not self._seconds:
                async with aclosing(self._model.stream(request)) as events:
                    async for event in events:
                        yield event
                return
            deadline = began + self._seconds
            request = replace(request, deadline=deadline)
        text: list[str] = []
        finished = False
        try:
            async with aclosing(self._model.stream(request)) as events:
                with Alarm() as alarm:
                    while (left := deadline - self._now()) > 0.0 or finished:
                        event = await alarm.wait(anext(events), max(left, _TINY))
                        if type(event) is TextPart:
                            text.append(event.text)
                        elif type(event) is Finish:
                            finished = True
                        yield event
        except StopAsyncIteration:
            if not finished:
                raise unfinished(self._model, "".join(text)) from None
        except Overdue:
            pass
        except DeadlineExceeded as error:
            with_text(error, "".join(text))
            raise
        if not finished:
            raise self._late(deadline - began, text)

    def _late(self, seconds: float, text: list[str]) -> DeadlineExceeded:
        done = f"had not finished after {seconds:.1f} s" if seconds > 0.0 else "had not been asked by then"
        return DeadlineExceeded(
            f"{DEADLINE_PASSED}: {self.name} {done}",
            remedy="Give the request more time, or raise route.deadline_seconds",
            text="".join(text),
        )


_TINY: Final = 1e-9
