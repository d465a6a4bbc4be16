"""What a model around another model has in common with it: everything but its events."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from sourcebook.models.base import Capabilities, Model, ModelEvent, ModelRequest, Said, Telling


class Around:
    """A model around a model. All that a subclass does not say itself is as the model inside says."""

    def __init__(self, model: Model) -> None:
        self._model = model

    @property
    def name(self) -> str:
        """Of the model inside."""
        return self._model.name

    @property
    def window(self) -> int:
        """Tokens of prompt and answer."""
        return self._model.window

    @property
    def capabilities(self) -> Capabilities:
        """What the model inside can do."""
        return self._model.capabilities

    def count_tokens(self, text: str) -> int:
        """As the model inside counts."""
        return self._model.count_tokens(text)

    async def close(self) -> None:
        """Close the model inside."""
        await self._model.close()


def told(model: Model, request: ModelRequest, said: Said) -> AsyncGenerator[ModelEvent, None]:
    """The model's events; `said` is kept up to date where the model is one that tells."""
    return model.telling(request, said) if isinstance(model, Telling) else model.stream(request)
