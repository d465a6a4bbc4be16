"""The model that a request needs: one that can do it, and of those the cheapest, the quickest or the first."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from random import Random
from typing import Final, Literal

from sourcebook.errors import ContextTooLong, InvalidRequest, ModelError
from sourcebook.models.base import Capabilities, Model, ModelEvent, ModelRequest
from sourcebook.models.route.attempt import CHANCE, OWN, Price, most_prompt_tokens, prompt_tokens
from sourcebook.models.route.latency import Observed
from sourcebook.models.route.shared import Among, united
from sourcebook.types import Usage

Preference = Literal["order", "price", "latency"]


class Chosen(Among):
    """Models of which the one that suits the request is called.

    A model will do if the prompt, as its tokenizer counts it, and all that it may write fit its window, and if it
    can do what the request asks for: tools, images, a schema, reasoning, log probabilities.
    by: of those that will do, the first of the list ("order"), the one whose prompt and longest reply cost the
    least by `price` ("price"; those without one last), or the one whose replies lately began soonest ("latency",
    the median). The last takes models as `Observed`; those not called yet come first, and one call in 20 goes to
    another model, so that what was slow once is tried again.

    Errors: `ContextTooLong` if no window is large enough, `InvalidRequest` if none can do it; both name why each
    model was left out.
    """

    def __init__(
        self,
        models: Sequence[Model],
        *,
        by: Preference = "order",
        price: Price | None = None,
        explore: float = 0.05,
        random: Random = CHANCE,
    ) -> None:
        assert by != "price" or price is not None
        assert by != "latency" or all(isinstance(model, Observed) for model in models)
        super().__init__(models)
        self._by = by
        self._price = price
        self._explore = explore
        self._random = random

    @property
    def name(self) -> str:
        """Of all models, and what they are chosen by."""
        return f"{self._by}({', '.join(model.name for model in self._models)})"

    @property
    def window(self) -> int:
        """The widest."""
        return max(model.window for model in self._models)

    @property
    def capabilities(self) -> Capabilities:
        """What one or another of them can do."""
        return united(self._models)

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """The chosen model's events. Errors: its own; ContextTooLong, InvalidRequest."""
        async with aclosing(self.order(request)[0].stream(request)) as events:
            async for event in events:
                yield event

    def order(self, request: ModelRequest) -> list[Model]:
        """The models that will do, best first. Errors: ContextTooLong, InvalidRequest."""
        reasons = [(model, _unfit(model, request)) for model in self._models]
        fit = [model for model, reason in reasons if reason is None]
        if not fit:
            raise _nobody([(model, reason) for model, reason in reasons if reason is not None])
        if len(fit) > 1 and self._by == "price":
            costs = {id(model): self._cost(model, request) for model in fit}
            return sorted(fit, key=lambda model: _known_first(costs[id(model)]))
        if len(fit) > 1 and self._by == "latency":
            return self._quickest(fit)
        return fit

    def _cost(self, model: Model, request: ModelRequest) -> int | None:
        assert self._price is not None
        usage = Usage(
            input_tokens=prompt_tokens(model, request), output_tokens=request.max_output_tokens, counted_by=model.name
        )
        return self._price(model.name, usage)

    def _quickest(self, fit: list[Model]) -> list[Model]:
        ordered = sorted(fit, key=_typical)
        if self._random.random() < self._explore:
            ordered.insert(0, ordered.pop(self._random.randrange(1, len(ordered))))
        return ordered


def _known_first(cost: int | None) -> tuple[bool, int]:
    """Sorts by cost; what is not known is not taken for cheap."""
    return cost is None, cost or 0


def _typical(model: Model) -> float:
    assert isinstance(model, Observed)
    return model.latencies.percentile(0.5)


_NEEDS: Final[tuple[tuple[str, Callable[[ModelRequest], bool], Callable[[Capabilities], bool]], ...]] = (
    ("tools", lambda request: bool(request.tools), lambda can: can.tools),
    ("images", lambda request: any(one.images for one in request.messages), lambda can: can.images),
    ("JSON of a schema", lambda request: request.schema is not None, lambda can: can.schema),
    ("reasoning", lambda request: request.reasoning not in (None, "none"), lambda can: can.reasoning),
    ("log probabilities", lambda request: request.logprobs, lambda can: can.logprobs),
)


def _unfit(model: Model, request: ModelRequest) -> tuple[type[ModelError], str] | None:
    """Why a model will not do; None if it will."""
    missing = [name for name, needed, able in _NEEDS if needed(request) and not able(model.capabilities)]
    if missing:
        return InvalidRequest, f"cannot do {' and '.join(missing)}"
    if model.capabilities.cites:
        return None  # it takes of the evidence what it can
    written = request.max_output_tokens
    if most_prompt_tokens(request) + written <= model.window:
        return None
    tokens = prompt_tokens(model, request)
    if tokens + written <= model.window:
        return None
    return ContextTooLong, f"has a window of {model.window} tokens, and {tokens} and {written} are needed"


def _nobody(reasons: list[tuple[Model, tuple[type[ModelError], str]]]) -> ModelError:
    kinds = {kind for _, (kind, _) in reasons}
    kind = ContextTooLong if kinds == {ContextTooLong} else InvalidRequest
    said = "; ".join(f"{model.name} {reason}" for model, (_, reason) in reasons)
    remedy = "Ask for less, or name a model in route.models that can do it"
    return kind(f"No model will do: {said}", remedy=remedy, provider=OWN)
