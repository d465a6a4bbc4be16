"""One section of settings, one model."""

import asyncio
import tomllib
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from sourcebook import config
from sourcebook.config import Route, load
from sourcebook.errors import (
    ConfigError,
    DeadlineExceeded,
    Interrupted,
    ModelError,
    NotAuthorised,
    Refused,
    Unavailable,
)
from sourcebook.models.around import Around
from sourcebook.models.base import (
    Capabilities,
    Message,
    Model,
    ModelEvent,
    ModelRequest,
    Switched,
    complete,
)
from sourcebook.models.route import Routed, build, without_overrides
from sourcebook.types import Usage
from tests.models.route.scripted import DONE, Script, Scripted
from tests.models.route.virtual import all_at_once, collect, now, text_of, virtually

ASKED = ModelRequest(messages=(Message(role="user", text="Hello?"),))


def routed(settings: Route, **scripts: Script) -> tuple[Routed, dict[str, Scripted]]:
    models = {name: Scripted(name, script) for name, script in scripts.items()}
    if not settings.models:
        settings = replace(settings, models=tuple(models))

    def price(name: str, usage: Usage) -> int:
        return {"a": 30, "b": 10}.get(name, 20) * usage.output_tokens

    return build(settings, models.__getitem__, price=price, now=now, random=Random(1)), models


@virtually
async def test_a_single_model_gets_it_all() -> None:
    scripts: list[Script] = [
        [Unavailable("down")],
        [0.1, "Hello", Interrupted("cut")],
        [" there", DONE],
        [1000.0, DONE],
    ]
    model = Scripted("m", *scripts)
    route = build(Route(), {"openai:m": model}.__getitem__, models=["openai:m"], now=now)
    assert (route.name, route.window, route.capabilities) == ("m", model.window, model.capabilities)
    completion = await complete(route, ASKED)
    assert completion.text == "Hello there"
    assert [one.kept for one in completion.switched] == [5]
    began = now()
    _, error = await collect(route, ASKED)
    assert isinstance(error, DeadlineExceeded)  # silence is the wire's to judge, unless a bound is set
    assert now() - began == pytest.approx(600.0)
    _, error = await collect(route, replace(ASKED, deadline=now() + 7))
    assert isinstance(error, DeadlineExceeded)
    report = route.report().models[0]
    assert (report.name, report.retries, report.breaker, report.running) == ("m", 1, "closed", 0)
    await route.close()
    assert model.closed == 1


@virtually
async def test_silence_is_borne_as_long_as_is_set() -> None:
    model = Scripted("m", [1000.0, DONE])
    route = build(Route(first_seconds=60.0), {"m": model}.__getitem__, models=["m"], now=now)
    began = now()
    _, error = await collect(route, ASKED)
    assert isinstance(error, Unavailable)  # there is no patience left for another attempt
    assert now() - began == pytest.approx(60.0)


@virtually
async def test_a_model_of_this_process_is_not_silent_but_slow() -> None:
    settings = Route(first_seconds=1.0, idle_seconds=1.0, breaker_failures=1, deadline_seconds=20.0)

    def local(name: str, *scripts: Script) -> Scripted:
        return Scripted(name, *scripts, capabilities=Capabilities(local=True))

    alone = local("m", [50.0, "Hel", 50.0, "lo", DONE])
    assert (await complete(build(settings, {"m": alone}.__getitem__, models=["m"], now=now), ASKED)).text == "Hello"
    models = {"far": Scripted("far", [5.0, DONE]), "near": local("near", [5.0, "Hi", DONE], [Unavailable("busy")])}
    route = build(settings, models.__getitem__, models=["far", "near"], now=now)
    assert (await complete(route, ASKED)).text == "Hi"
    assert models["far"].calls == 1  # given up, and its breaker is open
    _, error = await collect(route, ASKED)
    assert error is not None
    assert [one.breaker for one in route.report().models] == ["open", "closed"]
    impatient = build(settings, {"m": local("m", [50.0, DONE])}.__getitem__, models=["m#first_seconds=2"], now=now)
    _, error = await collect(impatient, ASKED)
    assert isinstance(error, Unavailable)


@virtually
async def test_what_is_metered_is_the_single_call_and_silence_counts_only_within_it() -> None:
    seen: list[tuple[str, str]] = []

    class Slowly(Around):
        """Waits for money first, and notes what it sees of the call."""

        async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
            await asyncio.sleep(5.0)
            try:
                async with aclosing(self._model.stream(request)) as events:
                    async for event in events:
                        yield event
            except ModelError as error:
                seen.append((type(error).__name__, type(error.__cause__).__name__))
                raise

    def meter(model: Model, url: str) -> Model:
        seen.append(("metered", url))
        return Slowly(model)

    settings = Route(first_seconds=1.0, attempts=2, breaker_failures=2)
    model = Scripted("m", ["Hello", DONE], [100.0, DONE])
    route = build(settings, {"m": model}.__getitem__, meter=meter, models=["m#concurrency=4"], now=now)
    assert (await complete(route, ASKED)).text == "Hello"
    await collect(route, ASKED)
    assert seen == [("metered", "m"), *[("Unavailable", "Overdue")] * 2]
    assert route.report().models[0].openings == 1


@virtually
async def test_the_order_is_that_of_the_list() -> None:
    route, models = routed(Route(attempts=1), a=[Unavailable("down")], b=["B", DONE], c=["C", DONE])
    events, error = await collect(route, ASKED)
    assert error is None
    assert text_of(events) == "B"
    assert events[0] == Switched(before="a", after="b", reason="down", kept=0)
    assert models["c"].calls == 0
    assert route.report().switches == 1


@virtually
async def test_a_model_that_cannot_do_it_is_passed_over() -> None:
    route, models = routed(Route(), a=["A", DONE], b=["B", DONE])
    models["a"].window = 10
    assert (await complete(route, ASKED)).text == "B"
    assert models["a"].calls == 0


@virtually
async def test_cheapest_and_fastest_fall_back_too() -> None:
    route, _ = routed(Route(strategy="cheapest"), a=["A", DONE], b=["B", DONE])
    assert (await complete(route, ASKED)).text == "B"
    route, _ = routed(Route(strategy="cheapest", attempts=1), a=["A", DONE], b=[Unavailable("down")])
    assert (await complete(route, ASKED)).text == "A"
    route, _ = routed(Route(strategy="fastest"), a=[2.0, "A", DONE], b=[1.0, "B", DONE])
    assert [(await complete(route, ASKED)).text for _ in range(4)].count("B") >= 2
    assert route.report().models[0].first_seconds == 2.0


@virtually
async def test_split_by_weight_and_by_tenant() -> None:
    settings = Route(strategy="split", models=("a#weight=3", "b#weight=1"))
    route, models = routed(settings, a=["A", DONE], b=["B", DONE])
    for _ in range(200):
        await complete(route, ASKED)
    assert 130 <= models["a"].calls <= 170
    route, models = routed(replace(settings, split_by="tenant"), a=["A", DONE], b=["B", DONE])
    for _ in range(20):
        await complete(route, ASKED)
    assert sorted(model.calls for model in models.values()) == [0, 20]
    route, models = routed(replace(settings, models=("a#weight=0", "b")), a=["A", DONE], b=[Refused("no")])
    assert (await complete(route, ASKED)).text == "A"


@virtually
async def test_cascade_with_a_fallback_for_the_strong_one() -> None:
    settings = Route(strategy="cascade", attempts=1, cascade_probability=0.0)
    route, _ = routed(settings, a=["A", DONE], b=[Unavailable("down")], c=["C", DONE])
    assert (await complete(route, ASKED)).text == "A"
    completion = await complete(route, replace(ASKED, question="Hello?"))
    assert completion.text == "C"
    assert [one.after for one in completion.switched] == ["fallback(b, c)", "c"]
    report = route.report().cascade
    assert report is not None
    assert (report.calls, report.reasons) == (2, {"confidence": 1})
    assert report.strong_cost == 10 * 5 + 100  # the kept answer at the first strong model's price


@virtually
async def test_hedging_goes_to_the_next_model() -> None:
    quick: Script = [0.1, "A", DONE]
    models = {"a": Scripted("a", *[quick] * 20, [9.0, DONE]), "b": Scripted("b", [0.1, "B", DONE])}
    settings = Route(models=("a", "b"), hedge_percentile=95.0)
    route = build(settings, models.__getitem__, now=now)
    for _ in range(21):
        text = (await complete(route, ASKED)).text
    assert text == "B"
    assert (route.report().hedges, route.report().hedge_wins) == (1, 1)
    assert models["a"].running == 0


@virtually
async def test_limits_and_their_overrides() -> None:
    settings = Route(models=("a#concurrency=2&attempts=1", "b"), concurrency=5)
    route, models = routed(settings, a=[1.0, "A", DONE], b=["B", DONE])
    await all_at_once(collect(route, ASKED) for _ in range(8))
    assert (models["a"].most, models["b"].calls) == (2, 0)
    route, models = routed(replace(settings, queue_seconds=1.5), a=[1.0, "A", DONE], b=[1.0, "B", DONE])
    results = await all_at_once(collect(route, ASKED) for _ in range(8))
    assert all(error is None for _, error in results)
    assert (models["a"].calls, models["b"].calls) == (4, 4)  # a full queue spills over


@virtually
async def test_an_open_breaker_hands_on_at_once() -> None:
    settings = Route(models=("a", "b"), attempts=2, breaker_failures=2)
    route, models = routed(settings, a=[Unavailable("down")], b=["B", DONE])
    assert (await complete(route, ASKED)).text == "B"
    began = now()
    for _ in range(5):
        assert (await complete(route, ASKED)).text == "B"
    assert now() == began
    assert (models["a"].calls, route.report().models[0].breaker) == (2, "open")
    report = route.report().models[0]
    assert (report.calls, report.failures, report.refused, report.openings) == (6, 1, 5, 1)


@virtually
async def test_who_waits_for_a_turn_is_not_sent_to_a_model_that_failed_meanwhile() -> None:
    settings = Route(models=("a", "b"), attempts=1, breaker_failures=2, concurrency=1)
    route, models = routed(settings, a=[1.0, Unavailable("down")], b=["B", DONE])
    results = await all_at_once(collect(route, ASKED) for _ in range(10))
    assert all(error is None for _, error in results)
    assert models["a"].calls == 2


@virtually
async def test_which_errors_go_elsewhere_is_a_setting() -> None:
    route, _ = routed(Route(elsewhere=()), a=[NotAuthorised("no key")], b=["B", DONE])
    _, error = await collect(route, ASKED)
    assert isinstance(error, NotAuthorised)


@virtually
async def test_zeros_switch_everything_off() -> None:
    settings = Route(
        models=("a",),
        attempts=1,
        rounds=1,
        breaker_failures=0,
        deadline_seconds=0,
        first_seconds=0,
        idle_seconds=0,
    )
    route, _ = routed(settings, a=[1e6, "A", 1e6, DONE])
    assert (await complete(route, ASKED)).text == "A"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (Route(), "names no model"),
        (Route(models=("a",), strategy="cascade"), "two models"),
        (Route(models=("a", "b"), strategy="cheapest"), "needs prices"),
        (Route(models=("a#weight=0", "b#weight=0"), strategy="split"), "All weights"),
        (Route(models=("a#wieght=1",)), "unknown setting 'wieght'"),
        (Route(models=("a#concurrency=many",)), "concurrency is 'many'"),
        (Route(models=("a#concurrency=-1",)), "out of range"),
        (Route(models=("a#attempts=0",)), "out of range"),
        (Route(models=("a#weight=nan",)), "out of range"),
    ],
)
def test_what_makes_no_sense_is_said(settings: Route, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        build(settings, lambda name: Scripted(name, [DONE]))
    assert caught.value.remedy


def test_a_mark_in_a_name_is_no_override() -> None:
    seen: list[str] = []

    def opened(url: str) -> Scripted:
        seen.append(url)
        return Scripted(url, [DONE])

    build(Route(models=("llama:/models/a#1.gguf", "b#weight=2")), opened)
    assert seen == ["llama:/models/a#1.gguf", "b"]
    assert [without_overrides(url) for url in ("llama:/a#1.gguf", "b#weight=2", "c")] == ["llama:/a#1.gguf", "b", "c"]


# --- the section ----------------------------------------------------------------------------------------------


def loaded(home: Path, text: str, environment: dict[str, str] | None = None) -> Route:
    (home / config.FILE).write_text(text, encoding="utf-8")
    return load(home, environment or {}).route


def test_lists_of_text_come_from_the_file_and_the_environment(tmp_path: Path) -> None:
    text = '[route]\nmodels = ["openai:gpt-5-mini#weight=3", "anthropic:claude"]\nelsewhere = []\n'
    assert loaded(tmp_path, text) == Route(models=("openai:gpt-5-mini#weight=3", "anthropic:claude"), elsewhere=())
    environment = {"SOURCEBOOK_ROUTE_MODELS": " a, b#concurrency=2&weight=1 ,", "SOURCEBOOK_ROUTE_ELSEWHERE": ""}
    assert loaded(tmp_path, text, environment) == Route(models=("a", "b#concurrency=2&weight=1"), elsewhere=())


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('models = "a"', "route.models must be a list of texts, not 'a'"),
        ("models = [1]", r"route.models must be a list of texts, not \[1\]"),
        ('strategy = "best"', 'route.strategy is \'best\'. Known: "fallback", "cascade"'),
        ('split_by = "user"', "route.split_by is 'user'"),
        ('elsewhere = ["Unknown"]', "route.elsewhere is 'Unknown'"),
        ('cascade_reasons = ["ended"]', "route.cascade_reasons is 'ended'"),
        ("cascade_agreement = 1.5", "route.cascade_agreement is 1.5, but 1 at most"),
        ("hedge_percentile = 100", "route.hedge_percentile is 100"),
        ("attempts = 0", "route.attempts is 0, but must be at least 1"),
    ],
)
def test_what_is_wrong_in_the_section_is_named(tmp_path: Path, line: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        loaded(tmp_path, f"[route]\n{line}\n")


def test_the_template_writes_lists_as_toml() -> None:
    section = config.template().partition("[route]")[2].partition("\n[")[0]
    found = tomllib.loads("\n".join(line.removeprefix("# ") for line in section.splitlines()))
    assert found["models"] == []
    assert tuple(found["elsewhere"]) == Route().elsewhere


@virtually
async def test_nothing_is_left_running_when_a_route_is_left() -> None:
    route, models = routed(Route(hedge_percentile=50.0, concurrency=3), a=[0.1, "A", 50.0, DONE], b=["B", 9.0, DONE])
    tasks = [asyncio.create_task(collect(route, ASKED)) for _ in range(9)]
    await asyncio.sleep(1)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert all(model.running == 0 for model in models.values())
    assert all(one.running == one.waiting == 0 for one in route.report().models)
