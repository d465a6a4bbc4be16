"""The section [route] of sourcebook.toml -> one model.

each model    opened -> Watched -> metered -> Breaking -> Limited -> Retrying -> Observed
together      Fallback in an order: as given, by price, by latency, by lot; or Cascade(cheap, Fallback(strong))
outside       Hedged, if on -> Bounded

The watch stands inside of the meter: its clock runs only once money is held, and what is given up is settled.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import parse_qsl

from sourcebook import errors
from sourcebook.errors import ConfigError, ModelError, Transient
from sourcebook.models.around import Around
from sourcebook.models.base import FinishReason, Model, ModelEvent, ModelRequest
from sourcebook.models.route.attempt import CHANCE, Now, Price
from sourcebook.models.route.bounded import Bounded
from sourcebook.models.route.breaking import Breaker, Breaking, State
from sourcebook.models.route.cascade import Cascade, CascadeReport
from sourcebook.models.route.chosen import Chosen
from sourcebook.models.route.doubt import Confidence, Similarity, Thresholds, channel_agreement, word_overlap
from sourcebook.models.route.fallback import Fallback, Order
from sourcebook.models.route.hedged import Hedged
from sourcebook.models.route.latency import Observed
from sourcebook.models.route.limited import Limited
from sourcebook.models.route.limiter import Limiter
from sourcebook.models.route.retrying import Retrying
from sourcebook.models.route.split import Split
from sourcebook.models.route.watched import Watched

if TYPE_CHECKING:
    from sourcebook.config import Route


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelReport:
    """How one model does.

    calls: as the strategy made them; failures: of them, with the model at fault; refused: of them, because its breaker
    was open or a limit reached, without asking it. retries: further attempts. breaker: its state now; openings: how
    often it opened. running: calls now; waiting: for their turn. first_seconds: median time to the first piece of a
    reply, of the latest 200; 0 without any.
    """

    name: str
    calls: int
    failures: int
    refused: int
    retries: int
    breaker: State
    openings: int
    running: int
    waiting: int
    first_seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class RouteReport:
    """How a route does. switches: from model to model. hedges: second calls; hedge_wins: of them, those taken."""

    models: tuple[ModelReport, ...]
    switches: int = 0
    hedges: int = 0
    hedge_wins: int = 0
    cascade: CascadeReport | None = None


class Routed(Around):
    """A model made by `build`: all of its wrappers, and a report on them."""

    def __init__(
        self,
        model: Model,
        leaves: Sequence[Leaf],
        *,
        fallbacks: Sequence[Fallback] = (),
        hedged: Hedged | None = None,
        cascade: Cascade | None = None,
    ) -> None:
        super().__init__(model)
        self._leaves = tuple(leaves)
        self._fallbacks = tuple(fallbacks)
        self._hedged = hedged
        self._cascade = cascade

    def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """The events of the models that the request went to."""
        return self._model.stream(request)

    def report(self) -> RouteReport:
        """How it does so far."""
        return RouteReport(
            models=tuple(leaf.report() for leaf in self._leaves),
            switches=sum(one.switches for one in self._fallbacks),
            hedges=self._hedged.hedges if self._hedged is not None else 0,
            hedge_wins=self._hedged.wins if self._hedged is not None else 0,
            cascade=self._cascade.report() if self._cascade is not None else None,
        )


def build(
    settings: Route,
    open_model: Callable[[str], Model],
    *,
    meter: Callable[[Model, str], Model] | None = None,
    models: Sequence[str] = (),
    price: Price | None = None,
    confidence: Confidence = channel_agreement,
    similarity: Similarity = word_overlap,
    now: Now = time.monotonic,
    random: Random = CHANCE,
) -> Routed:
    """The model that the settings describe.

    open_model: a model by its URL; closed with the route. meter: what keeps account of each single call, around the
    model and its URL. models: URLs instead of settings.models, as when parts.model names a single one. price:
    micro-dollars of a model's tokens, None where no price is known. now, random: for tests.
    Models that run in this process are not silent but slow: they are not watched, asked again or left alone, unless
    what stands behind their # says so, and where all do there is no deadline but the request's own.
    Errors: ConfigError; whatever open_model and meter raise.
    """
    parts = [Named.read(url) for url in models or settings.models]
    if not parts:
        raise ConfigError("route.models names no model", remedy="Name one or several by their URLs, in order")
    if settings.strategy == "cascade" and len(parts) < 2:
        raise ConfigError("A cascade needs two models", remedy="Name the cheap one and the strong one in route.models")
    if settings.strategy == "cheapest" and price is None:
        raise ConfigError('The strategy "cheapest" needs prices', remedy="Use another strategy, or give prices")
    leaves = [
        Leaf(open_model(one.url), one, settings, meter=meter, price=price, now=now, random=random) for one in parts
    ]
    together = _Together(settings, leaves, price, now, random)
    cascade: Cascade | None = None
    model: Model
    if settings.strategy == "cascade":
        model = cascade = together.cascade(confidence, similarity)
    else:
        model = together.fallback()
    hedged: Hedged | None = None
    if settings.hedge_percentile:
        other = together.behind() if cascade is None and len(leaves) > 1 else None
        percentile = settings.hedge_percentile / 100.0
        model = hedged = Hedged(model, other, percentile=percentile, price=together.prices(), now=now)
    local = all(leaf.model.capabilities.local for leaf in leaves)
    bounded = Bounded(model, seconds=0.0 if local else settings.deadline_seconds, now=now)
    return Routed(bounded, leaves, fallbacks=together.fallbacks, hedged=hedged, cascade=cascade)


# --- one model ----------------------------------------------------------------------------------------------


class Leaf:
    """One model with the wrappers that are its own; all calls of the process share its limits and its breaker."""

    def __init__(
        self,
        model: Model,
        named: Named,
        settings: Route,
        *,
        meter: Callable[[Model, str], Model] | None,
        price: Price | None,
        now: Now,
        random: Random,
    ) -> None:
        if model.capabilities.local:
            settings = replace(settings, **_PATIENT)  # type: ignore[arg-type]
        settings = replace(settings, **named.overrides)  # type: ignore[arg-type]
        self.weight = named.weight
        self._breaker: Breaker | None = None
        self._limiter: Limiter | None = None
        self._retrying: Retrying | None = None
        model = Watched(model, first=settings.first_seconds, idle=settings.idle_seconds)
        if meter is not None:
            model = meter(model, named.url)
        if settings.breaker_failures:
            self._breaker = Breaker(failures=settings.breaker_failures, seconds=settings.breaker_seconds, now=now)
            model = Breaking(model, self._breaker, now=now)
        if settings.concurrency or settings.requests_per_minute or settings.tokens_per_minute:
            self._limiter = Limiter(
                concurrency=settings.concurrency,
                requests_per_minute=settings.requests_per_minute,
                tokens_per_minute=settings.tokens_per_minute,
                now=now,
            )
            # Outside of the breaker: whoever waited for a turn is not sent to a model that failed meanwhile.
            model = Limited(model, self._limiter, patience=settings.queue_seconds, now=now)
        if settings.attempts > 1:
            model = self._retrying = Retrying(
                model,
                attempts=settings.attempts,
                patience=settings.retry_seconds,
                price=price,
                now=now,
                random=random,
            )
        self.model = Observed(model, now=now)

    def report(self) -> ModelReport:
        """How it does so far."""
        return ModelReport(
            name=self.model.name,
            calls=self.model.calls,
            failures=self.model.failures,
            refused=self.model.refused,
            retries=self._retrying.retries if self._retrying is not None else 0,
            breaker=self._breaker.state if self._breaker is not None else "closed",
            openings=self._breaker.openings if self._breaker is not None else 0,
            running=self.model.running,
            waiting=self._limiter.waiting if self._limiter is not None else 0,
            first_seconds=self.model.latencies.percentile(0.5),
        )


def without_overrides(url: str) -> str:
    """The URL of a model as it is opened: less the settings behind its #, if that is what stands there."""
    plain, mark, fragment = url.partition("#")
    return plain if mark and "=" in fragment else url


@dataclass(frozen=True, slots=True)
class Named:
    """A model as it stands in route.models, such as "openai:gpt-5-mini#concurrency=8&weight=3".

    url: what is before the #. overrides: settings of its own.
    """

    url: str
    weight: float = 1.0
    overrides: Mapping[str, int | float] = field(default_factory=dict)

    @classmethod
    def read(cls, text: str) -> Named:
        """Errors: ConfigError."""
        url = without_overrides(text)
        overrides: dict[str, int | float] = {}
        for name, said in parse_qsl(text[len(url) + 1 :], keep_blank_values=True):
            kind = _OVERRIDES.get(name)
            if kind is None:
                known = ", ".join(_OVERRIDES)
                raise ConfigError(f"{text!r} has an unknown setting {name!r} behind its #", remedy=f"Known: {known}")
            try:
                value = kind(said)
            except ValueError as error:
                wrong = f"{text!r}: {name} is {said!r}, which is not a number"
                raise ConfigError(wrong, remedy="Correct it") from error
            if not 0 <= value < float("inf") or (name == "attempts" and value < 1):
                raise ConfigError(f"{text!r}: {name} is {said}, which is out of range", remedy="Correct it")
            overrides[name] = value
        weight = float(overrides.pop("weight", 1.0))
        return cls(url, weight, overrides)


_PATIENT: Final[Mapping[str, int | float]] = {
    "attempts": 1,
    "breaker_failures": 0,
    "first_seconds": 0.0,
    "idle_seconds": 0.0,
}
"""For a model that runs in this process."""

_OVERRIDES: Final[Mapping[str, type[int | float]]] = {
    "weight": float,
    "attempts": int,
    "retry_seconds": float,
    "breaker_failures": int,
    "breaker_seconds": float,
    "concurrency": int,
    "requests_per_minute": int,
    "tokens_per_minute": int,
    "queue_seconds": float,
    "first_seconds": float,
    "idle_seconds": float,
}


# --- several models -----------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Together:
    """The models of a route, to be put together."""

    settings: Route
    leaves: Sequence[Leaf]
    price: Price | None
    now: Now
    random: Random
    fallbacks: list[Fallback] = field(default_factory=list)
    firsts: dict[str, str] = field(default_factory=dict)  # by the name of models together, the first one's

    def prices(self) -> Price | None:
        """Of the models; several together are estimated at the price of the first of them."""
        price = self.price
        return None if price is None else lambda name, usage: price(self.firsts.get(name, name), usage)

    def fallback(self) -> Fallback:
        """All models, in the order that the strategy asks for."""
        models = [leaf.model for leaf in self.leaves]
        if len(models) == 1:
            return self._fallback(models, None, None)
        if self.settings.strategy == "split":
            weights = [leaf.weight for leaf in self.leaves]
            if not any(weights):
                raise ConfigError("All weights in route.models are 0", remedy="Give one model a weight")
            split = Split(models, weights, key=self._key(), random=self.random)
            return self._fallback(models, lambda request: _able(split.order(request), request), None)
        if self.settings.strategy in ("cheapest", "fastest"):
            by = "price" if self.settings.strategy == "cheapest" else "latency"
            chosen = Chosen(models, by=by, price=self.price, random=self.random)  # type: ignore[arg-type]
            return self._fallback(models, chosen.order, chosen)
        return self._fallback(models, lambda request: _able(models, request), None)

    def behind(self) -> Fallback:
        """The same models for a second call: the first of the order last."""
        first = self.fallbacks[0]

        def turned(request: ModelRequest) -> Sequence[Model]:
            ordered = list(first.order(request))
            return [*ordered[1:], ordered[0]]

        models = [leaf.model for leaf in self.leaves]
        return self._fallback([*models[1:], models[0]], turned, None, like=first)

    def cascade(self, confidence: Confidence, similarity: Similarity) -> Cascade:
        """The first model, and the others behind it."""
        cheap, *others = [leaf.model for leaf in self.leaves]
        strong = self._fallback(others, None, None)
        cascade = Cascade(
            cheap,
            strong,
            thresholds=Thresholds(
                confidence=self.settings.cascade_confidence,
                probability=self.settings.cascade_probability,
                agreement=self.settings.cascade_agreement,
                reasons=cast("tuple[FinishReason, ...]", self.settings.cascade_reasons),
            ),
            confidence=confidence,
            similarity=similarity,
            price=self.prices(),
            now=self.now,
        )
        self.firsts[cascade.name] = cheap.name
        return cascade

    def _fallback(
        self, models: Sequence[Model], order: Order | None, chosen: Chosen | None, *, like: Fallback | None = None
    ) -> Fallback:
        fitted: Model | None = like or chosen
        made = Fallback(
            models,
            order=order,
            elsewhere=(Transient, *(_kind(name) for name in self.settings.elsewhere)),
            rounds=self.settings.rounds,
            patience=self.settings.retry_seconds,
            window=fitted.window if fitted is not None else None,
            capabilities=fitted.capabilities if fitted is not None else None,
            price=self.price,
            now=self.now,
            random=self.random,
        )
        self.fallbacks.append(made)
        self.firsts[made.name] = models[0].name
        return made

    def _key(self) -> Callable[[ModelRequest], str] | None:
        match self.settings.split_by:
            case "tenant":
                return lambda request: request.tenant
            case "account":
                return lambda request: f"{request.tenant}\0{request.account}"
        return None


def _able(models: Sequence[Model], request: ModelRequest) -> Sequence[Model]:
    """Those of the models that will do, in their order. Errors: ContextTooLong, InvalidRequest if none will."""
    return Chosen(models).order(request)


def _kind(name: str) -> type[ModelError]:
    kind: type[ModelError] = getattr(errors, name)
    return kind
