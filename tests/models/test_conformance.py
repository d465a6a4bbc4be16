"""The contract of models, over one that quotes, one that is told what to write, and each wrapper around the latter."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from sourcebook.config import Route
from sourcebook.embed.hashing import Hashing
from sourcebook.embed.minilm import MiniLM
from sourcebook.embed.terms import KeywordAnalyzer
from sourcebook.errors import DeadlineExceeded, Interrupted, InvalidRequest
from sourcebook.models.base import Capabilities, Model, ModelRequest
from sourcebook.models.cost.metered import Metered
from sourcebook.models.extractive import Extractive
from sourcebook.models.route import build
from sourcebook.models.route.bounded import Bounded
from sourcebook.models.route.breaking import Breaker, Breaking
from sourcebook.models.route.cascade import Cascade
from sourcebook.models.route.chosen import Chosen
from sourcebook.models.route.fallback import Fallback
from sourcebook.models.route.hedged import Hedged
from sourcebook.models.route.latency import Observed
from sourcebook.models.route.limited import Limited
from sourcebook.models.route.limiter import Limiter
from sourcebook.models.route.retrying import Retrying
from sourcebook.models.route.split import Split
from sourcebook.models.route.watched import Watched
from sourcebook.testing import ModelSuite, QuotingSuite
from sourcebook.testing.model import asking
from tests.models.route.scripted import DONE, Script, Scripted

# --- models that quote --------------------------------------------------------------------------------------------


class TestExtractive(QuotingSuite):
    def make(self) -> Model:
        return Extractive(MiniLM(), KeywordAnalyzer())


class TestExtractiveWithoutModelVectors(QuotingSuite):
    def make(self) -> Model:
        return Extractive(Hashing(), KeywordAnalyzer())


# --- wrappers -----------------------------------------------------------------------------------------------------

WRAPPERS: Mapping[str, Callable[[Model], Model]] = {
    "nothing": lambda model: model,
    "bounded": Bounded,
    "breaking": lambda model: Breaking(model, Breaker()),
    "observed": Observed,
    "limited": lambda model: Limited(model, Limiter(concurrency=4, tokens_per_minute=1_000_000)),
    "retrying": Retrying,
    "watched": Watched,
    "hedged": Hedged,
    "chosen": lambda model: Chosen([model]),
    "chosen of two": lambda model: Chosen([model, model]),
    "split": lambda model: Split([model, model], [1, 1]),
    "fallback of one": lambda model: Fallback([model]),
    "fallback": lambda model: Fallback([model, model]),
    "cascade": lambda model: Cascade(model, model),
    "metered": lambda model: Metered(model, known=None, ledger=None),
    "a whole route": lambda model: build(Route(), lambda _: model, models=["one:of-them"]),
    "a whole cascade": lambda model: build(Route(strategy="cascade"), lambda _: model, models=["cheap:a", "strong:b"]),
}


def played(request: ModelRequest, *, continues: bool) -> Script:
    """What an honest model would do: it keeps the deadline, and begins only where it is told to."""
    said = "\n".join(message.text for message in request.messages)
    if request.messages[-1].role == "assistant" and not continues:
        return [InvalidRequest("It does not continue a reply")]
    if "a long story" in said:
        if request.deadline is None:
            return ["Once ", 60.0, "upon a time.", DONE]
        late = DeadlineExceeded("It had not finished by the deadline", text="Once ")
        return ["Once ", max(0.0, request.deadline - time.monotonic()), late]
    if "a broken story" in said:
        return ["Once ", "upon", Interrupted("The line went dead", text="Once upon")]
    return ["In ", "1873.", DONE]


class Wrapped(ModelSuite):
    seconds = 0.05
    continues = False

    @pytest.fixture(autouse=True, params=list(WRAPPERS.values()), ids=list(WRAPPERS))
    def around(self, request: pytest.FixtureRequest) -> None:
        self.wrap = request.param
        self.inner: list[Scripted] = []

    def make(self) -> Model:
        continues = self.continues
        inner = Scripted(
            "scripted",
            script=lambda request: played(request, continues=continues),
            capabilities=Capabilities(continues=continues),
        )
        self.inner.append(inner)
        wrapped: Model = self.wrap(inner)
        return wrapped

    def long(self) -> ModelRequest:
        return replace(asking("Tell me a long story."), max_output_tokens=1500)

    def broken(self) -> ModelRequest:
        return asking("Tell me a broken story.")

    def running(self) -> int:
        return sum(inner.running for inner in self.inner)


class TestWrappersOfAModel(Wrapped):
    """Around a model that cannot continue a reply."""


class TestWrappersOfAModelThatContinues(Wrapped):
    continues = True
