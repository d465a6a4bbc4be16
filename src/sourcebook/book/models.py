"""The models of a book: opened by URL, accounted for, and put together as the settings say."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from sourcebook.errors import ConfigError, SourcebookError
from sourcebook.registry import find, name_of

if TYPE_CHECKING:
    from datetime import date
    from pathlib import Path

    from sourcebook.catalog.catalog import Catalog
    from sourcebook.config import Config
    from sourcebook.embed.base import Analyzer, Embedder
    from sourcebook.models.base import Loading, Model, ModelRequest
    from sourcebook.models.cost.bookkeeping import Bookkeeper
    from sourcebook.models.cost.known import KnownModel
    from sourcebook.models.cost.price import Estimate
    from sourcebook.models.cost.tokens import TokenCounter
    from sourcebook.types import Usage

ROUTE = "route"
"""As `parts.model`: the models of the section [route]."""


class Owner(Protocol):
    """What is needed of the book."""

    home: Path
    config: Config

    @property
    def catalog(self) -> Catalog:
        """The truth about the book."""
        ...

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
        self._opened: dict[str, Model] = {}  # by URL, with all that stands around them
        self._priced_as: dict[str, tuple[str, str]] = {}  # by name, as the price file has it
        self._loading: list[Loading] = []
        self._closing = AsyncExitStack()

    def configured(self) -> tuple[str, ...]:
        """URLs of the models that the settings name, each once."""
        from sourcebook.models.route.policy import without_overrides

        config = self._owner.config
        named = config.route.models if name_of(config.parts.model) == ROUTE else (config.parts.model,)
        return tuple(dict.fromkeys(without_overrides(url) for url in named))

    def chosen(self) -> Model:
        """The model that answers, as the settings say. Errors: ConfigError, MissingExtra, NotAuthorised."""
        return self.open(self._owner.config.parts.model)

    def open(self, url: str) -> Model:
        """A model by its URL, with the retries, limits and deadline of the section [route] around it.

        It is opened once, and its limits hold for whoever asks it. Errors: ConfigError, MissingExtra, NotAuthorised.
        """
        if url not in self._opened:
            self._opened[url] = self._routed(url)
        return self._opened[url]

    async def ready(self) -> None:
        """Have in memory what the models that are open need to count. Errors: ConfigError, MissingExtra.

        Otherwise the first count would load it, while every other question waits.
        """
        for one in self._loading:
            await one.ready()

    def bare(self, url: str, *, keyless: bool = False) -> Model:
        """A model by its URL, not even metered: for looking at, not for asking. keyless: it need not have its key."""
        made: Model = find("model", url)(
            url,
            home=self._owner.home,
            embedder=self._owner.embedder,
            analyzer=self._owner.analyzer,
            known=self._known,
            count=_counter,
            keyless=keyless,
        )
        return made

    def url_of(self, name: str) -> str:
        """The URL, among those of the settings, of the model that has this name. Errors: ConfigError."""
        found = []
        trouble: SourcebookError | None = None
        for url in self.configured():
            try:
                if self.bare(url, keyless=True).name == name:
                    found.append(url)
            except SourcebookError as error:  # an extra or a file of another model may be missing
                trouble = trouble or error
        if len(found) == 1:
            return found[0]
        if found:
            raise ConfigError(
                f"The settings name {len(found)} models that are all called {name}",
                remedy=f"Say which with --model: {', '.join(map(shown, found))}",
            )
        if trouble is not None:
            raise trouble
        raise ConfigError(
            f"The answer was given by {name}, which the settings do not name",
            remedy="Name a model with --model, or set parts.model as it was",
        )

    def estimates(self, request: ModelRequest) -> list[tuple[str, Estimate]]:
        """What one call costs with each model of the settings: (its URL, estimate). Errors: ConfigError."""
        from sourcebook.models.base import Loading
        from sourcebook.models.cost.price import Estimate, estimate, prompt_tokens

        rows: list[tuple[str, Estimate]] = []
        for url in self.configured():
            model = self.bare(url, keyless=True)
            known = None if model.capabilities.cites else self._known(*_priced_as(model, url))
            if known is not None:
                rows.append((shown(url), estimate(request, known)))
                continue
            counting = self.open(url) if isinstance(model, Loading) else model  # not loaded a second time
            tokens = prompt_tokens(request, counting.count_tokens)
            free = model.capabilities.cites or model.capabilities.local
            reply = 0 if model.capabilities.cites else request.max_output_tokens or 0
            nothing = Estimate(
                low=0, high=0, input_tokens=tokens, output_tokens=reply, counted_by=model.name, priced=free
            )
            rows.append((shown(url), nothing))
        return rows

    def foreseen(self, request: ModelRequest) -> int | None:
        """What a call costs at most, by the dearest of the models that were opened; None if a price is not known."""
        from sourcebook.models.cost.price import estimate

        costs = []
        for provider, model in self._priced_as.values():
            known = self._known(provider, model)
            if known is None or not known.priced:
                return None
            costs.append(estimate(request, known).high)
        return max(costs, default=None)

    def _routed(self, url: str) -> Model:
        from sourcebook.models.route.policy import build, without_overrides

        settings = self._owner.config.route
        urls = settings.models
        if name_of(url) != ROUTE:  # there is nothing to choose from
            urls, settings = (url,), replace(settings, strategy="fallback")
            if (alone := self._kept(without_overrides(url))).capabilities.cites:
                return alone
            return build(settings, lambda _: alone, meter=self._metered, models=urls, price=self._price)
        return build(settings, self._kept, meter=self._metered, models=urls, price=self._price)

    def _kept(self, url: str) -> Model:
        """A model that is closed with the book."""
        from sourcebook.models.base import Loading

        made = self.bare(url)
        self._priced_as[made.name] = _priced_as(made, url)
        if not made.capabilities.cites:
            self._ledger()  # closed after the models, whose last calls go into it
        self._closing.push_async_callback(made.close)
        if isinstance(made, Loading):
            self._loading.append(made)
        return made

    def _metered(self, model: Model, url: str) -> Model:
        from sourcebook.models.cost.metered import Metered

        if model.capabilities.cites:
            return model
        known = self._known(*self._priced_as[model.name])
        return Metered(model, known=known, ledger=self._ledger(), url=shown(url))

    def _ledger(self) -> Bookkeeper:
        if self._bookkeeper is None:
            from sourcebook.catalog.usage import UsageLedger
            from sourcebook.models.cost.bookkeeping import Bookkeeper

            self._bookkeeper = Bookkeeper(UsageLedger(self._owner.catalog))
            self._closing.push_async_callback(self._bookkeeper.close)
        return self._bookkeeper

    def _known(self, provider: str, model: str) -> KnownModel | None:
        from sourcebook.models.cost.known import FILE, known

        return known(provider, model, self._owner.home / FILE)

    def _price(self, name: str, usage: Usage) -> int | None:
        return _priced(usage, self._known(*self._priced_as[name])) if name in self._priced_as else None

    def saving(self, *, since: date | None = None, until: date | None = None) -> Saving | None:
        """What the cascade of the settings has done in the days given, by the ledger; None: there is none.

        Errors: ConfigError, NotAuthorised, where its models cannot be opened.
        """
        from sourcebook.catalog.usage_report import cascaded
        from sourcebook.types import Usage

        config = self._owner.config
        if name_of(config.parts.model) != ROUTE or config.route.strategy != "cascade":
            return None
        cheap, strong, *others = (self.bare(url) for url in self.configured())
        names = [model.name for model in (cheap, strong, *others)]
        total = cascaded(self._owner.catalog, names, since=since, until=until)
        replies = 2 if config.route.cascade_agreement and not config.agent.tools else 1
        usage = Usage(input_tokens=total.input_tokens // replies, output_tokens=total.output_tokens // replies)
        known = self._known(*_priced_as(strong, self.configured()[1]))
        instead = _priced(usage, known)
        return Saving(
            answers=total.answers,
            escalated=total.escalated,
            saved=None if instead is None else instead - total.cheap_cost,
        )

    async def close(self) -> None:
        """Close what was opened, and write the ledger out; one model that does not close does not hinder the rest."""
        self._opened, self._bookkeeper, self._loading = {}, None, []
        await self._closing.aclose()


@dataclass(frozen=True, kw_only=True, slots=True)
class Saving:
    """What a cascade has done. escalated: of the answers, those that the cheap model did not give.

    saved: micro-dollars that the strong model would have cost for the same tokens, less all that the cheap one did;
    negative if it cost more than it saved; None if the strong model's price is not known.
    """

    answers: int
    escalated: int
    saved: int | None


def _priced(usage: Usage, known: KnownModel | None) -> int | None:
    from sourcebook.models.cost.price import price

    return price(usage, known) if known is not None and known.priced else None


def shown(url: str) -> str:
    """The URL as it may be recorded and shown: without values of headers."""
    address, mark, query = url.partition("?")
    left = [one for one in query.split("&") if not one.startswith("header.")]
    return address + mark + "&".join(left) if any(left) else address


def _counter(tokenizer: str) -> TokenCounter:
    from sourcebook.models.cost.tokens import counter_for

    return counter_for(tokenizer)


def _priced_as(model: Model, url: str) -> tuple[str, str]:
    """Provider and model under which the price file has it."""
    from sourcebook.models.base import Served
    from sourcebook.models.providers import payee

    provider, name = (model.provider, model.model) if isinstance(model, Served) else (name_of(url), model.name)
    return payee(provider), name
