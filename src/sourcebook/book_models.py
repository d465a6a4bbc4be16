"""The models of a book: opened by URL, accounted for, and put together as the settings say."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from sourcebook.errors import ConfigError
from sourcebook.registry import find, name_of

if TYPE_CHECKING:
    from pathlib import Path

    from sourcebook.catalog.catalog import Catalog
    from sourcebook.config import Config
    from sourcebook.embed.base import Analyzer, Embedder
    from sourcebook.models.base import Model
    from sourcebook.models.cost.bookkeeping import Bookkeeper
    from sourcebook.models.cost.known import KnownModel
    from sourcebook.models.cost.tokens import TokenCounter
    from sourcebook.types import Usage

ROUTE = "route"
"""As `parts.model`: the models of the section [route]."""


class Owner(Protocol):
    """What is needed of the book."""

    home: Path
    config: Config
    catalog: Catalog

    @property
    def embedder(self) -> Embedder:
        """Text -> vectors."""
        ...

    @property
    def analyzer(self) -> Analyzer:
        """Text -> terms."""
        ...


class BookModels:
    """Opens models and closes them with the book.

    A model that generates is metered: its calls are in the usage ledger, and no budget is passed. One that only
    quotes costs nothing and is not.
    """

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._bookkeeper: Bookkeeper | None = None
        self._opened: list[Model] = []

    def configured(self) -> tuple[str, ...]:
        """URLs of the models that the settings name."""
        from sourcebook.models.route.policy import without_overrides

        config = self._owner.config
        named = config.route.models if name_of(config.parts.model) == ROUTE else (config.parts.model,)
        return tuple(without_overrides(url) for url in named)

    def chosen(self) -> Model:
        """The model that answers, as the settings say. Errors: ConfigError, MissingExtra, NotAuthorised."""
        config = self._owner.config
        if name_of(config.parts.model) == ROUTE:
            return self._routed(config.route.models)
        return self.open(config.parts.model)

    def open(self, url: str) -> Model:
        """A model by its URL, with the retries, limits and deadline of the section [route] around it."""
        from sourcebook.models.route.policy import without_overrides

        model = self.leaf(without_overrides(url))
        if model.capabilities.cites:
            return model
        return self._routed((url,), leaf=model)

    def leaf(self, url: str) -> Model:
        """A model by its URL, metered, with nothing around it."""
        made = self.bare(url)
        if not made.capabilities.cites:
            made = self._metered(made, url)
        self._opened.append(made)
        return made

    def bare(self, url: str) -> Model:
        """A model by its URL, not even metered: for looking at, not for asking."""
        made: Model = find("model", url)(
            url,
            home=self._owner.home,
            embedder=self._owner.embedder,
            analyzer=self._owner.analyzer,
            known=self._known,
            count=_counter,
        )
        return made

    def url_of(self, name: str) -> str:
        """The URL, among those of the settings, of the model that has this name. Errors: ConfigError."""
        for url in self.configured():
            if self.bare(url).name == name:
                return url
        raise ConfigError(
            f"The answer was given by {name}, which the settings do not name",
            remedy="Name a model with --model, or set parts.model as it was",
        )

    def _routed(self, urls: tuple[str, ...], *, leaf: Model | None = None) -> Model:
        from sourcebook.models.route.policy import build

        settings = self._owner.config.route
        if leaf is not None:  # there is nothing to choose from
            settings = replace(settings, strategy="fallback", hedge_percentile=0.0)
            if leaf.capabilities.local:  # it is not silent, it is slow
                settings = replace(settings, attempts=1, rounds=1, first_seconds=0.0, idle_seconds=0.0)
                settings = replace(settings, breaker_failures=0, deadline_seconds=0.0)
        return build(settings, self.leaf if leaf is None else (lambda _: leaf), models=urls, price=self._price)

    def _metered(self, model: Model, url: str) -> Model:
        from sourcebook.models.cost.bookkeeping import Bookkeeper
        from sourcebook.models.cost.metered import Metered

        if self._bookkeeper is None:
            from sourcebook.catalog.usage import UsageLedger

            self._bookkeeper = Bookkeeper(UsageLedger(self._owner.catalog))
        return Metered(model, known=self._known(*_priced_as(model, url)), ledger=self._bookkeeper)

    def _known(self, provider: str, model: str) -> KnownModel | None:
        from sourcebook.models.cost.known import FILE, known

        return known(provider, model, self._owner.home / FILE)

    def _price(self, name: str, usage: Usage) -> int | None:
        from sourcebook.models.cost.price import price

        provider, _, model = name.partition(":")
        found = self._known(_payee(provider), model)
        return price(usage, found) if found is not None and found.priced else None

    async def close(self) -> None:
        """Close what was opened, and write the ledger out."""
        for model in self._opened:
            await model.close()
        self._opened = []
        if self._bookkeeper is not None:
            await self._bookkeeper.close()
            self._bookkeeper = None


def _counter(tokenizer: str) -> TokenCounter:
    from sourcebook.models.cost.tokens import counter_for

    return counter_for(tokenizer)


def _priced_as(model: Model, url: str) -> tuple[str, str]:
    """Provider and model under which the price file has it."""
    from sourcebook.models.base import Served

    provider, name = (model.provider, model.model) if isinstance(model, Served) else (name_of(url), model.name)
    return _payee(provider), name


def _payee(provider: str) -> str:
    """Whose prices hold for a provider."""
    from sourcebook.models.providers import PRESETS

    preset = PRESETS.get(provider)
    return preset.priced_as or provider if preset is not None else provider
