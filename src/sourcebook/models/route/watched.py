"""A model whose silence is noticed, and whose streams keep to the protocol."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from sourcebook.errors import Interrupted, ModelError, Unavailable
from sourcebook.models.around import Around, told
from sourcebook.models.base import Model, ModelEvent, ModelRequest, Said
from sourcebook.models.route.alarm import Alarm, Overdue
from sourcebook.models.route.attempt import Attempt, unfinished, with_text


class Watched(Around):
    """A model that is given up when it sends nothing for too long.

    first: seconds to the first event; idle: seconds between events; 0: as long as the deadline allows. Only the
    model's time counts, not that of whoever reads its events. A reply that is not streamed comes all at once, so
    that `first` does not apply to it.
    Errors: the model's; `Unavailable` if nothing came in time, `Interrupted` if nothing more came, or if the stream
    ended without a Finish. Interrupted says all the text that had come. What comes after a Finish is left out.
    The cause of an error for silence is a TimeoutError: the model was given up while it may have been at work.
    """

    def __init__(self, model: Model, *, first: float = 60.0, idle: float = 30.0) -> None:
        super().__init__(model)
        self._first = first
        self._idle = idle

    def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """The model's events."""
        return self.telling(request, Said())

    async def telling(self, request: ModelRequest, said: Said) -> AsyncGenerator[ModelEvent, None]:
        """The model's events, and what it tells of the call."""
        attempt = Attempt()
        heard = False
        try:
            async with aclosing(told(self._model, request, said)) as events:
                with Alarm() as alarm:
                    patience = self._first if request.streamed else 0.0
                    while attempt.finish is None:
                        event = await alarm.wait(anext(events), patience)
                        patience = self._idle
                        heard = True
                        attempt.take(event)
                        yield event
                    await alarm.wait(anext(events), _GRACE)  # let it end by itself
        except StopAsyncIteration:
            pass
        except Overdue as overdue:
            if attempt.finish is not None:
                return
            error = self._silent(self._idle if heard else self._first, heard=heard)
            raise with_text(error, "".join(attempt.text)) from overdue
        except ModelError as error:
            if attempt.finish is None:
                if isinstance(error, Interrupted):
                    with_text(error, "".join(attempt.text))
                raise
        if attempt.finish is None:
            raise unfinished(self._model, "".join(attempt.text))

    def _silent(self, seconds: float, *, heard: bool) -> ModelError:
        remedy = "Raise route.idle_seconds or route.first_seconds if the model needs longer"
        if heard:
            message = f"{self.name} sent nothing more for {seconds:g} s"
            return Interrupted(message, remedy=remedy, provider=self.name)
        return Unavailable(f"{self.name} sent nothing for {seconds:g} s", remedy=remedy, provider=self.name)


_GRACE: Final = 1.0  # seconds between the Finish and the end of the stream
