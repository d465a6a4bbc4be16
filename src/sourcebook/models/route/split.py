"""Calls shared out among models by weight."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from hashlib import blake2b
from math import log
from random import Random

from sourcebook.models.base import Model, ModelEvent, ModelRequest
from sourcebook.models.route.attempt import CHANCE
from sourcebook.models.route.shared import Among


class Split(Among):
    """Models that each get their share of the calls.

    weights: one for each model, in their order; shares are in proportion; 0: none as long as another can do it.
    key: what a request is shared out by: requests of the same key go to the same model, and when weights change, no
    more of them change models than must (weighted rendezvous hashing: Schindelhauer and Schomaker, 2005). Without
    it, or for the key "", chance decides. random: its source; give one with a seed to have the same choices again.
    """

    def __init__(
        self,
        models: Sequence[Model],
        weights: Sequence[float],
        *,
        key: Callable[[ModelRequest], str] | None = None,
        random: Random = CHANCE,
    ) -> None:
        assert len(models) == len(weights)
        assert any(weight > 0 for weight in weights)
        super().__init__(models)
        self._weights = tuple(weights)
        self._key = key
        self._random = random

    @property
    def name(self) -> str:
        """Of all models and their weights."""
        shares = ", ".join(f"{one.name} {weight:g}" for one, weight in zip(self._models, self._weights, strict=True))
        return f"split({shares})"

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """The events of the model that the lot falls on. Errors: its own."""
        async with aclosing(self.order(request)[0].stream(request)) as events:
            async for event in events:
                yield event

    def order(self, request: ModelRequest) -> list[Model]:
        """All models; the first is the one that the lot falls on, the next the one it would fall on without it."""
        key = self._key(request) if self._key is not None else ""
        lots: list[tuple[bool, float, int]] = []
        for number, (model, weight) in enumerate(zip(self._models, self._weights, strict=True)):
            draw = _drawn(key, model.name) if key else 1.0 - self._random.random()
            # The least of exponentially distributed times with these rates is each one's with probability in
            # proportion to its rate.
            lots.append((weight <= 0, -log(draw) / (weight or 1.0), number))
        return [self._models[number] for _, _, number in sorted(lots)]


def _drawn(key: str, name: str) -> float:
    """A number above 0, up to 1, that depends on both only."""
    digest = blake2b(f"{key}\0{name}".encode("utf-8", "replace"), digest_size=7).digest()
    return (int.from_bytes(digest, "big") + 1) / 2.0**56
