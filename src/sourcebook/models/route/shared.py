"""What several models have in common."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields

from sourcebook.models.base import Capabilities, Model


class Among:
    """One model made of several. All that a subclass does not say itself holds for every one of them."""

    def __init__(self, models: Sequence[Model]) -> None:
        assert models
        self._models = tuple(models)

    @property
    def window(self) -> int:
        """What fits every model."""
        return min(model.window for model in self._models)

    @property
    def capabilities(self) -> Capabilities:
        """What every model can do."""
        return common(self._models)

    def count_tokens(self, text: str) -> int:
        """By the first model."""
        return self._models[0].count_tokens(text)

    async def close(self) -> None:
        """Close all models."""
        for model in distinct(self._models):
            await model.close()


def common(models: Sequence[Model]) -> Capabilities:
    """What all of them can do."""
    every = [model.capabilities for model in models]
    return Capabilities(**{one.name: all(getattr(can, one.name) for can in every) for one in fields(Capabilities)})


def united(models: Sequence[Model]) -> Capabilities:
    """What one or another of them can do; streams and citing, which change how a reply is read, only if all do."""
    every = [model.capabilities for model in models]
    together = {one.name: any(getattr(can, one.name) for can in every) for one in fields(Capabilities)}
    shared = common(models)
    return Capabilities(**{**together, "streams": shared.streams, "cites": shared.cites})


def distinct(models: Iterable[Model]) -> list[Model]:
    """Each of them once, in their order."""
    return list({id(model): model for model in models}.values())
