"""The model that can do it, and of those the one preferred; and if none can, why."""

import asyncio
from dataclasses import replace
from random import Random

import pytest

from sourcebook.errors import ContextTooLong, InvalidRequest, Unavailable
from sourcebook.models.base import Capabilities, Image, Message, ModelRequest, Tool, complete
from sourcebook.models.route import Bounded, Chosen, Observed
from sourcebook.types import Usage
from tests.models.route.scripted import CAN_ALL, DONE, Script, Scripted
from tests.models.route.virtual import collect, now, virtually

ASKED = ModelRequest(messages=(Message(role="user", text="word " * 100),), max_output_tokens=100)
TOOL = Tool(name="f", description="does", parameters={})
PICTURE = Message(role="user", images=(Image(media_type="image/png", data=b"x"),))


def names(chosen: Chosen, request: ModelRequest) -> list[str]:
    return [model.name for model in chosen.order(request)]


def test_a_prompt_and_its_reply_must_fit_the_window() -> None:
    small, large = Scripted("small", [DONE], window=207), Scripted("large", [DONE], window=208)
    assert names(Chosen([small, large]), ASKED) == ["large"]
    assert names(Chosen([small, large]), replace(ASKED, max_output_tokens=99)) == ["small", "large"]
    with pytest.raises(ContextTooLong, match="small has a window of 207 tokens, and 108 and 101 are needed; large"):
        Chosen([small, large]).order(replace(ASKED, max_output_tokens=101))


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (replace(ASKED, tools=(TOOL,)), "tools"),
        (replace(ASKED, messages=(PICTURE,)), "images"),
        (replace(ASKED, schema={}), "JSON of a schema"),
        (replace(ASKED, reasoning="low"), "reasoning"),
        (replace(ASKED, logprobs=True), "log probabilities"),
        (replace(ASKED, logprobs=True, schema={}), "JSON of a schema and log probabilities"),
    ],
)
def test_what_is_asked_for_must_be_declared(request_: ModelRequest, said: str) -> None:
    plain, able = Scripted("plain", [DONE]), Scripted("able", [DONE], capabilities=CAN_ALL)
    assert names(Chosen([plain, able]), request_) == ["able"]
    assert names(Chosen([plain, able]), replace(ASKED, reasoning="none")) == ["plain", "able"]
    with pytest.raises(InvalidRequest, match=f"No model will do: plain cannot do {said}"):
        Chosen([plain]).order(request_)


def test_half_a_character_in_a_prompt_stops_nobody() -> None:
    halved = replace(ASKED, messages=(Message(role="user", text="cut \ud83d"),))
    assert names(Chosen([Scripted("small", [DONE], window=3), Scripted("large", [DONE])]), halved) == ["large"]


def test_a_model_that_takes_of_the_evidence_what_it_can_has_no_window_to_fit() -> None:
    assert names(Chosen([Scripted("m", [DONE], window=1, capabilities=Capabilities(cites=True))]), ASKED) == ["m"]


def test_the_cheapest_is_that_of_prompt_and_longest_reply() -> None:
    prices = {"reads cheaply": (1, 10), "writes cheaply": (5, 1)}

    def price(name: str, usage: Usage) -> int:
        return prices[name][0] * usage.input_tokens + prices[name][1] * usage.output_tokens

    chosen = Chosen([Scripted(name, [DONE]) for name in prices], by="price", price=price)
    assert names(chosen, ASKED)[0] == "writes cheaply"
    assert names(chosen, replace(ASKED, max_output_tokens=10))[0] == "reads cheaply"


def test_what_has_no_price_is_not_the_cheapest() -> None:
    chosen = Chosen(
        [Scripted(name, [DONE]) for name in ("unknown", "dear", "free")],
        by="price",
        price=lambda name, _: {"dear": 9, "free": 0}.get(name),
    )
    assert names(chosen, ASKED) == ["free", "dear", "unknown"]


@virtually
async def test_the_quickest_lately_is_taken() -> None:
    slow = Observed(Scripted("slow", [2.0, "slow", DONE]), now=now)
    quick = Observed(Scripted("quick", [1.0, "quick", DONE]), now=now)
    chosen = Chosen([slow, quick], by="latency", explore=0.0)
    assert [(await complete(chosen, ASKED)).text for _ in range(4)] == ["slow", "quick", "quick", "quick"]


@virtually
async def test_now_and_then_another_is_tried() -> None:
    once: Script = [5.0, "a", DONE]
    then: Script = [0.1, "a", DONE]
    was_slow = Scripted("was slow", once, then)
    models = [Observed(was_slow, now=now), Observed(Scripted("b", [1.0, "b", DONE]), now=now)]
    chosen = Chosen(models, by="latency", explore=0.2, random=Random(3))
    taken = [(await complete(chosen, ASKED)).text for _ in range(100)]
    assert taken[1:4] == ["b", "b", "b"]
    assert taken.count("a") > 50  # once it had shown that it is the quicker now


@virtually
async def test_a_model_that_fails_does_not_look_quick() -> None:
    broken = Observed(Scripted("broken", [Unavailable("down")]), now=now)
    works = Observed(Scripted("works", [1.0, "works", DONE]), now=now)
    await collect(broken)
    assert broken.failures == 1
    chosen = Chosen([broken, works], by="latency", explore=0.0)
    assert [(await complete(chosen, ASKED)).text for _ in range(2)] == ["works", "works"]


@virtually
async def test_a_model_that_hangs_does_not_look_quick() -> None:
    hangs = Observed(Bounded(Scripted("hangs", [1e6, DONE]), seconds=3.0, now=now), now=now)
    works = Observed(Scripted("works", [1.0, "works", DONE]), now=now)
    chosen = Chosen([hangs, works], by="latency", explore=0.0)
    await collect(chosen, ASKED)
    assert (await complete(chosen, ASKED)).text == "works"
    assert names(chosen, ASKED) == ["works", "hangs"]


@virtually
async def test_a_model_that_is_left_before_it_began_took_at_least_so_long() -> None:
    slow = Observed(Scripted("slow", [9.0, "a", DONE]), now=now)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(2.0):
            await complete(slow, ASKED)
    assert slow.latencies.percentile(0.5) == 2.0


def test_it_can_do_what_one_of_them_can() -> None:
    a = Scripted("a", [DONE], window=10, capabilities=Capabilities(tools=True, cites=True))
    b = Scripted("b", [DONE], window=20, capabilities=Capabilities(images=True))
    chosen = Chosen([a, b])
    assert chosen.capabilities == Capabilities(tools=True, images=True)
    assert chosen.window == 20
