"""A model whose silence is noticed, and whose streams keep to the protocol."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from sourcebook.errors import Interrupted, ModelError, Unavailable
from sourcebook.models.base import Capabilities, Model, ModelEvent, ModelRequest
from sourcebook.models.route.alarm import Alarm, Overdue
from sourcebook.models.route.attempt import Attempt, Price, charge, spent, unfinished, with_text


class Watched:
    """A model that is given up when it sends nothing for too long.

    first: seconds to the first event; idle: seconds between events; 0: as long as the deadline allows. Only the
    model's time counts, not that of whoever reads its events. A reply that is not streamed comes all at once, so
    that `first` does not apply to it.
    Errors: the model's; `Unavailable` if nothing came in time, `Interrupted` if nothing more came, or if the stream
    ended without a Finish. Interrupted says all the text that had come. What comes after a Finish is left out.
    What was given up may be charged all the same: its error's usage is an estimate, priced by `price` if given.
    """

    def __init__(self, model: Model, *, first: float = 60.0, idle: float = 30.0, price: Price | None = None) -> None:
        self._model = model
        self._price = price
        self._first = first
        self._idle = idle

    @property
    def name(self) -> str:
        """The model's."""
        return self._model.name

    @property
    def window(self) -> int:
        """The model's."""
        return self._model.window

    @property
    def capabilities(self) -> Capabilities:
        """The model's."""
        return self._model.capabilities

    def count_tokens(self, text: str) -> int:
        """The model's."""
        return self._model.count_tokens(text)

    async def close(self) -> None:
        """Close the model."""
        await self._model.close()

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """The model's events."""
        attempt = Attempt()
        heard = False
        try:
            async with aclosing(self._model.stream(request)) as events:
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
        except Overdue:
            if attempt.finish is not None:
                return
            error = self._silent(self._idle if heard else self._first, heard=heard)
            charge(error, spent(self._model, request, attempt, None, self._price))
            raise with_text(error, "".join(attempt.text)) from None
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
