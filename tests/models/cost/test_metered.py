"""Whatever ends a call, what it took is settled truthfully and nothing stays held."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import replace

import pytest

from sourcebook.errors import (
    BudgetExceeded,
    DeadlineExceeded,
    Interrupted,
    InvalidReply,
    InvalidRequest,
    ModelError,
    RateLimited,
    Refused,
    Unavailable,
)
from sourcebook.models.base import (
    Finish,
    ModelEvent,
    ModelRequest,
    ReasoningPart,
    Said,
    TextPart,
    ToolCall,
    ToolCallPart,
)
from sourcebook.models.cost.metered import Metered
from sourcebook.models.route import Watched
from sourcebook.types import Reservation, Usage
from tests.models.cost.doubles import KNOWN, Characters, Noted, Scripted, asked, events_of, finish

HELLO = TextPart(text="hello")


def metered(model: Scripted, ledger: Noted | None, known: object = KNOWN) -> Metered:
    return Metered(model, known=known, ledger=ledger, counter=Characters())  # type: ignore[arg-type]


async def test_a_finished_call_is_settled_by_the_vendors_count_and_its_usage_is_priced() -> None:
    ledger = Noted(budgeted=True)
    model = metered(Scripted(HELLO, finish(input_tokens=50, cached_tokens=20, output_tokens=7)), ledger)
    events = await events_of(model.stream(asked(purpose="rewrite", account="anna")))
    last = events[-1]
    assert isinstance(last, Finish)
    assert last.usage.cost == 30 + 2 + 14
    assert (last.usage.exact, last.usage.counted_by, last.usage.priced) == (True, "vendor", True)
    (call,) = ledger.settled
    assert call.usage == last.usage
    assert (call.outcome, call.request_id, call.purpose, call.account) == ("finished", "req-1", "rewrite", "anna")
    (held,) = ledger.reserved
    assert held.id == call.id
    assert held.amount == call.reserved == -(-10 * 125 // 100) + 200  # the prompt written to the cache, 100 tokens out
    assert not ledger.held


async def test_without_a_budget_nothing_is_reserved_and_the_call_is_recorded() -> None:
    ledger = Noted()
    await events_of(metered(Scripted(HELLO, finish(input_tokens=5, output_tokens=5)), ledger).stream(asked()))
    assert ledger.reserved == []
    assert [(one.usage.cost, one.reserved) for one in ledger.settled] == [(15, 0)]


async def test_where_the_vendor_counts_nothing_it_is_counted_here() -> None:
    ledger = Noted()
    script = (
        ReasoningPart(text="hmm"), HELLO,
        ToolCallPart(call=ToolCall(id="1", name="find", arguments='{"a":1}')), finish(),
    )  # fmt: skip
    events = await events_of(metered(Scripted(*script), ledger).stream(asked()))
    last = events[-1]
    assert isinstance(last, Finish)
    assert (last.usage.input_tokens, last.usage.reasoning_tokens) == (10, 3)
    assert last.usage.output_tokens == 3 + len("hello") + len('find{"a":1}')
    assert (last.usage.exact, last.usage.counted_by) == (False, "characters")


@pytest.mark.parametrize(
    ("error", "streamed"),
    [
        (RateLimited("slow down", status=429), True),
        (Unavailable("down", status=503), False),
        (InvalidRequest("no"), True),
        (Refused("blocked"), True),
        (Unavailable("did not answer"), True),
    ],
)
async def test_an_error_before_anything_came_costs_nothing(error: ModelError, streamed: bool) -> None:
    ledger = Noted(budgeted=True)
    with pytest.raises(type(error)):
        await events_of(metered(Scripted(error), ledger).stream(asked(streamed=streamed)))
    assert ledger.settled == []
    assert len(ledger.reserved) == len(ledger.released) == 1
    assert not ledger.held


async def test_a_vendor_that_was_never_asked_costs_nothing_even_unstreamed() -> None:
    ledger = Noted(budgeted=True)
    error = Unavailable("cannot be reached", asked=False)
    with pytest.raises(Unavailable):
        await events_of(metered(Scripted(error), ledger).stream(asked(streamed=False)))
    assert (ledger.settled, len(ledger.released)) == ([], 1)


@pytest.mark.parametrize("error", [DeadlineExceeded("late"), Interrupted("broke off"), InvalidReply("not JSON")])
async def test_a_vendor_that_was_at_work_is_charged_for_the_prompt(error: ModelError) -> None:
    ledger = Noted(budgeted=True)
    with pytest.raises(type(error)):
        await events_of(metered(Scripted(error), ledger).stream(asked()))
    (call,) = ledger.settled
    assert (call.outcome, call.usage.input_tokens, call.usage.output_tokens) == ("broken", 10, 0)
    assert (call.usage.cost, call.usage.exact) == (10, False)
    assert not ledger.held


@pytest.mark.parametrize("budgeted", [True, False])
@pytest.mark.parametrize(
    "script",
    [
        (Unavailable("did not answer"),),
        (Interrupted("broke off"),),
        (DeadlineExceeded("late"),),
        (HELLO, Interrupted("broke off", text="hello")),
        (10.0,),
    ],
)
async def test_a_whole_reply_that_does_not_come_may_cost_all_that_was_held(
    script: tuple[ModelEvent | BaseException | float, ...], budgeted: bool
) -> None:
    ledger, inner = Noted(budgeted=budgeted), Scripted(*script)
    task = asyncio.create_task(events_of(metered(inner, ledger).stream(asked(streamed=False))))
    await inner.began_or(task)
    task.cancel()
    with pytest.raises((ModelError, asyncio.CancelledError)) as caught:
        await task
    (call,) = ledger.settled
    assert (call.usage.cost, call.usage.exact, call.usage.priced) == (213, False, True)
    assert call.reserved == (213 if budgeted else 0)
    if isinstance(caught.value, ModelError):
        assert caught.value.usage == call.usage


async def test_a_whole_reply_of_a_model_without_a_price_is_counted_by_what_came() -> None:
    ledger = Noted()
    with pytest.raises(Unavailable):
        await events_of(metered(Scripted(Unavailable("gone")), ledger, None).stream(asked(streamed=False)))
    (call,) = ledger.settled
    assert (call.usage.output_tokens, call.usage.cost, call.usage.priced) == (0, 0, False)


async def test_a_stream_that_breaks_is_charged_for_what_came() -> None:
    ledger = Noted(budgeted=True)
    error = Interrupted("broke off", request_id="req-9", text="hello")
    with pytest.raises(Interrupted):
        await events_of(metered(Scripted(HELLO, error), ledger).stream(asked()))
    (call,) = ledger.settled
    assert (call.outcome, call.usage.output_tokens, call.usage.cost, call.request_id) == ("broken", 5, 20, "req-9")
    assert (call.usage.exact, call.usage.counted_by) == (False, "characters")


class Tells(Scripted):
    """A model that tells of its calls before they end."""

    told = Usage(input_tokens=40, output_tokens=1, cached_tokens=20, counted_by="vendor")

    def telling(self, request: ModelRequest, said: Said) -> AsyncGenerator[ModelEvent, None]:
        said.request_id, said.usage = "req-7", self.told
        return self.stream(request)


@pytest.mark.parametrize("streamed", [True, False])
async def test_what_the_vendor_had_told_wins_and_the_rest_is_counted(streamed: bool) -> None:
    ledger, error = Noted(budgeted=True), Interrupted("broke off", text="hello")
    with pytest.raises(Interrupted):
        await events_of(metered(Tells(HELLO, error), ledger).stream(asked(streamed=streamed)))
    (call,) = ledger.settled
    assert (call.usage.input_tokens, call.usage.cached_tokens, call.usage.output_tokens) == (40, 20, 5)
    assert (call.usage.cost, call.usage.counted_by, call.usage.exact) == (20 + 2 + 10, "vendor", False)
    assert call.request_id == "req-7"
    assert error.usage == call.usage


async def test_of_a_call_that_is_left_the_ledger_has_what_the_vendor_had_told() -> None:
    ledger, inner = Noted(), Tells(HELLO, 10.0)
    task = asyncio.create_task(events_of(metered(inner, ledger).stream(asked())))
    await inner.began_or(task)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (call,) = ledger.settled
    assert (call.outcome, call.request_id, call.usage.input_tokens) == ("cancelled", "req-7", 40)


async def test_an_error_says_what_the_call_took() -> None:
    broken, throttled = Interrupted("broke off", text="hello"), RateLimited("slow down", status=429)
    ledger = Noted()
    for script in ((HELLO, broken), (throttled,)):
        with pytest.raises((Interrupted, RateLimited)):
            await events_of(metered(Scripted(*script), ledger).stream(asked()))
    assert broken.usage == ledger.settled[0].usage
    assert throttled.usage == Usage()


class Doubled(Characters):
    """Counts twice what it is, as estimates may."""

    def count(self, text: str) -> int:
        return 2 * len(text)


@pytest.mark.parametrize("script", [(TextPart(text="x" * 99), Interrupted("cut")), (TextPart(text="x" * 99), finish())])
async def test_our_own_estimate_never_exceeds_what_was_held(script: tuple[ModelEvent | BaseException, ...]) -> None:
    ledger = Noted(budgeted=True)
    model = Metered(Scripted(*script), known=KNOWN, ledger=ledger, counter=Doubled())
    with suppress(Interrupted):
        await events_of(model.stream(asked()))
    (call,) = ledger.settled
    assert (call.usage.input_tokens, call.usage.output_tokens, call.usage.exact) == (20, 100, False)
    assert 0 < call.usage.cost <= call.reserved


async def test_a_count_of_zeros_is_none() -> None:
    ledger = Noted(budgeted=True)
    zeros = replace(finish(), usage=Usage(counted_by="vendor"))
    events = await events_of(metered(Scripted(HELLO, zeros), ledger).stream(asked()))
    assert isinstance(events[-1], Finish)
    assert (events[-1].usage.input_tokens, events[-1].usage.cost, events[-1].usage.exact) == (10, 20, False)
    assert [one.usage for one in ledger.settled] == [events[-1].usage]


async def test_the_silence_of_the_ledger_is_not_the_vendors() -> None:
    class Slow(Noted):
        async def reserve(self, wanted: Reservation) -> None:
            await asyncio.sleep(0.2)
            await super().reserve(wanted)

    ledger = Slow(budgeted=True)
    watched = Watched(Scripted(HELLO, finish(input_tokens=5, output_tokens=5)), first=0.1)
    events = await events_of(Metered(watched, known=KNOWN, ledger=ledger, counter=Characters()).stream(asked()))
    assert isinstance(events[-1], Finish)
    assert [one.usage.cost for one in ledger.settled] == [15]


async def test_a_model_that_is_given_up_for_its_silence_was_at_work() -> None:
    ledger = Noted()
    model = Metered(Watched(Scripted(10.0), first=0.01), known=KNOWN, ledger=ledger, counter=Characters())
    with pytest.raises(Unavailable) as caught:
        await events_of(model.stream(asked()))
    (call,) = ledger.settled
    assert (call.outcome, call.usage.cost) == ("broken", 10)
    assert caught.value.usage == call.usage


async def test_the_finish_says_which_url_served() -> None:
    model = Metered(Scripted(finish()), known=KNOWN, ledger=None, counter=Characters(), url="openai:test?seed=1")
    events = await events_of(model.stream(asked()))
    assert isinstance(events[-1], Finish)
    assert events[-1].served_url == "openai:test?seed=1"


async def test_a_stream_that_is_closed_early_is_settled_and_stops_the_model() -> None:
    ledger, inner = Noted(budgeted=True), Scripted(HELLO, HELLO, finish(input_tokens=1, output_tokens=1))
    async with aclosing(metered(inner, ledger).stream(asked())) as events:
        async for _ in events:
            break
    (call,) = ledger.settled
    assert (call.outcome, call.usage.output_tokens, call.usage.cost) == ("cancelled", 5, 20)
    assert inner.stopped == 1
    assert not ledger.held


@pytest.mark.parametrize("after", [0, 1, 2, 3, 4])
async def test_a_cancelled_task_leaves_nothing_held(after: int) -> None:
    ledger = Noted(budgeted=True)
    task = asyncio.create_task(events_of(metered(Scripted(HELLO, 10.0), ledger).stream(asked())))
    for _ in range(after):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not ledger.held
    assert len(ledger.settled) == len(ledger.reserved)


async def test_a_fault_of_the_program_is_settled_too() -> None:
    ledger = Noted(budgeted=True)
    with pytest.raises(ZeroDivisionError):
        await events_of(metered(Scripted(HELLO, ZeroDivisionError()), ledger).stream(asked()))
    assert [(one.outcome, one.usage.output_tokens) for one in ledger.settled] == [("broken", 5)]


async def test_a_model_of_unknown_price_is_recorded_as_such_and_refused_under_a_budget() -> None:
    ledger = Noted()
    for known in (None, replace(KNOWN, rates=())):
        events = await events_of(
            metered(Scripted(finish(input_tokens=3, output_tokens=4)), ledger, known).stream(asked())
        )
        assert isinstance(events[-1], Finish)
        assert (events[-1].usage.cost, events[-1].usage.priced) == (0, False)
        inner = Scripted(finish())
        with pytest.raises(BudgetExceeded) as caught:
            await events_of(metered(inner, Noted(budgeted=True), known).stream(asked()))
        assert "models.toml" in caught.value.remedy
        assert inner.calls == 0
    assert [one.usage.priced for one in ledger.settled] == [False, False]


async def test_a_free_model_needs_no_budget() -> None:
    ledger = Noted(budgeted=True)
    free = replace(KNOWN, rates=(), free=True)
    events = await events_of(metered(Scripted(finish(input_tokens=3, output_tokens=4)), ledger, free).stream(asked()))
    assert isinstance(events[-1], Finish)
    assert (events[-1].usage.cost, events[-1].usage.priced) == (0, True)
    assert ledger.reserved == []
    assert [one.usage.output_tokens for one in ledger.settled] == [4]


async def test_past_the_deadline_nothing_is_called_and_nothing_costs() -> None:
    ledger, inner = Noted(budgeted=True), Scripted(finish())
    with pytest.raises(DeadlineExceeded):
        await events_of(metered(inner, ledger).stream(asked(deadline=time.monotonic())))
    assert (inner.calls, ledger.reserved, ledger.settled) == (0, [], [])


async def test_a_reservation_that_takes_too_long_ends_at_the_deadline() -> None:
    class Slow(Noted):
        async def reserve(self, wanted: object) -> None:
            await asyncio.sleep(10)

    inner = Scripted(finish())
    began = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        await events_of(metered(inner, Slow(budgeted=True)).stream(asked(deadline=began + 0.03)))
    assert inner.calls == 0
    assert time.monotonic() - began < 5


async def test_it_is_the_model_in_all_else() -> None:
    inner = Scripted(finish(input_tokens=1, output_tokens=1))
    model = metered(inner, None)
    assert (model.name, model.window, model.capabilities) == (inner.name, inner.window, inner.capabilities)
    assert model.count_tokens("four") == 4
    events = await events_of(model.stream(asked()))
    assert isinstance(events[-1], Finish)
    assert events[-1].usage.cost == 3
    await model.close()
    assert inner.closed
