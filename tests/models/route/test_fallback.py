"""Where one model fails the next takes over, also in mid-sentence; and nobody is told that a broken reply is whole."""

from collections.abc import Callable
from contextlib import aclosing
from dataclasses import replace
from random import Random

import pytest

from sourcebook.errors import (
    BudgetExceeded,
    ContextTooLong,
    DeadlineExceeded,
    Interrupted,
    InvalidReply,
    InvalidRequest,
    ModelError,
    NoSuchModel,
    NotAuthorised,
    QuotaExhausted,
    RateLimited,
    Refused,
    Unavailable,
)
from sourcebook.models.base import (
    Capabilities,
    CitedPart,
    Finish,
    Message,
    ModelRequest,
    ReasoningPart,
    Switched,
    TextPart,
    ToolCall,
    ToolCallPart,
    complete,
)
from sourcebook.models.route import Fallback
from sourcebook.models.route.attempt import OWN
from sourcebook.types import Usage
from tests.models.route.scripted import CAN_ALL, DONE, Script, Scripted, written
from tests.models.route.virtual import collect, finish_of, now, text_of, virtually

INTENDED = "The lighthouse was built in 1873 by the brothers Halvorsen, and is 41 metres tall."
ASKED = ModelRequest(messages=(Message(role="user", text="Tell me of the lighthouse"),))
CALL = ToolCallPart(call=ToolCall(id="1", name="search", arguments="{}"))
GOES_ON = Capabilities(continues=True)


def writer(name: str, *, capabilities: Capabilities | None = None, back: int = 0) -> Scripted:
    """Writes what is missing of the intended text; goes back so many characters first."""

    def script(request: ModelRequest) -> Script:
        start = max(written(request, INTENDED) - back, 0)
        return [INTENDED[start : start + 20], INTENDED[start + 20 :], DONE]

    return Scripted(name, script=script, capabilities=capabilities)


def switches(events: list[object]) -> list[tuple[str, str, int]]:
    return [(one.before, one.after, one.kept) for one in events if isinstance(one, Switched)]


@pytest.mark.parametrize(
    "error",
    [
        kind("no")
        for kind in (
            Unavailable,
            RateLimited,
            Interrupted,
            DeadlineExceeded,
            NotAuthorised,
            NoSuchModel,
            ContextTooLong,
            QuotaExhausted,
            Refused,
            InvalidReply,
        )
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_another_model_may_not_have_goes_to_the_next(error: ModelError) -> None:
    @virtually
    async def scenario() -> None:
        events, failed = await collect(Fallback([Scripted("a", [error]), writer("b")]), ASKED)
        assert failed is None
        assert events[0] == Switched(before="a", after="b", reason="no", kept=0)
        assert text_of(events) == INTENDED
        assert finish_of(events).model == "b"

    scenario()


@virtually
async def test_what_every_model_would_say_is_said_at_once() -> None:
    after, error = writer("b"), InvalidRequest("no")
    assert (await collect(Fallback([Scripted("a", [error]), after]), ASKED))[1] is error
    assert after.calls == 0


@virtually
async def test_what_a_budget_does_not_allow_may_be_cheaper_elsewhere() -> None:
    events, failed = await collect(Fallback([Scripted("a", [BudgetExceeded("too dear")]), writer("b")]), ASKED)
    assert failed is None
    assert events[0] == Switched(before="a", after="b", reason="too dear", kept=0)


@virtually
async def test_where_nobody_can_answer_a_budget_that_is_used_up_is_what_is_told() -> None:
    models = [Scripted("a", [BudgetExceeded("too dear")]), Scripted("b", [Unavailable("down")])]
    _, failed = await collect(Fallback(models), ASKED)
    assert isinstance(failed, BudgetExceeded)
    assert "a: too dear; b: down" in str(failed)


@virtually
async def test_which_errors_go_to_the_next_can_be_chosen() -> None:
    models = [Scripted("a", [Refused("no")]), writer("b")]
    _, error = await collect(Fallback(models, elsewhere=(Unavailable,)), ASKED)
    assert isinstance(error, Refused)
    models = [Scripted("a", [InvalidRequest("no")]), writer("b")]
    assert (await collect(Fallback(models, elsewhere=(InvalidRequest,)), ASKED))[1] is None


@pytest.mark.parametrize(
    "second",
    [
        writer("b", capabilities=GOES_ON),
        writer("b"),
        writer("b", back=25),
        writer("b", back=1000),
    ],
    ids=["continues", "goes on exactly", "repeats some", "repeats all"],
)
@pytest.mark.parametrize("error", [Interrupted("cut", text="x"), Unavailable("reset"), RateLimited("mid")])
@pytest.mark.parametrize("cut", [1, 4, 30, 31, 32, 81])
def test_a_reply_that_breaks_off_goes_on_where_it_stopped(second: Scripted, error: ModelError, cut: int) -> None:
    @virtually
    async def scenario() -> None:
        first = Scripted("a", [INTENDED[:cut], error])
        events, failed = await collect(Fallback([first, second]), ASKED)
        assert failed is None
        assert text_of(events) == INTENDED
        assert switches(list(events)) == [("a", "b", cut)]
        assert finish_of(events).reason == "stop"

    scenario()


@virtually
async def test_it_goes_on_as_often_as_it_must() -> None:
    def part(end: int) -> Callable[[ModelRequest], Script]:
        return lambda request: [INTENDED[written(request, INTENDED) : end], Interrupted("cut")]

    models = [
        Scripted(name, script=part(end), capabilities=GOES_ON)
        for name, end in zip("abcd", (10, 20, 20, 44), strict=True)
    ]
    events, error = await collect(Fallback([*models, writer("last")]), ASKED)
    assert error is None
    assert text_of(events) == INTENDED
    assert switches(list(events)) == [("a", "b", 10), ("b", "d", 20), ("d", "last", 44)]  # c wrote nothing


@virtually
async def test_a_stream_that_just_stops_is_broken_off_too() -> None:
    events, error = await collect(Fallback([Scripted("a", [INTENDED[:30]]), writer("b")]), ASKED)
    assert error is None
    assert text_of(events) == INTENDED
    _, error = await collect(Fallback([Scripted("a", [INTENDED[:30]])]), ASKED)
    assert isinstance(error, Interrupted)
    assert error.text == INTENDED[:30]


@virtually
async def test_with_nobody_left_it_is_interrupted_and_says_all_that_came() -> None:
    first = Scripted("a", [INTENDED[:30], Interrupted("cut one")])
    second = Scripted("b", [INTENDED[30:40], Unavailable("cut two", provider="p", request_id="r")])
    events, error = await collect(Fallback([first, second]), ASKED)
    assert isinstance(error, Interrupted)
    assert error.text == text_of(events) == INTENDED[:40]
    assert "a: cut one; b: cut two" in str(error)
    assert (error.provider, error.request_id) == ("p", "r")
    assert isinstance(error.__cause__, Unavailable)


@virtually
async def test_a_second_round_lets_a_model_continue_its_own() -> None:
    def cut_once(request: ModelRequest) -> Script:
        start = written(request, INTENDED)
        return [INTENDED[start : start + 30], *([] if start else [Interrupted("cut")]), INTENDED[start + 30 :], DONE]

    model = Scripted("a", script=cut_once)
    events, error = await collect(Fallback([model], rounds=2), ASKED)
    assert error is None
    assert text_of(events) == INTENDED
    assert switches(list(events)) == [("a", "a", 30)]
    _, error = await collect(Fallback([Scripted("a", [Unavailable("down")])], rounds=9), ASKED)
    assert isinstance(error, Unavailable)  # rounds are for what broke off


@virtually
async def test_what_would_fail_again_has_no_second_round() -> None:
    refuses = Scripted("b", [NotAuthorised("no key")])
    models = [Scripted("a", [INTENDED[:30], Interrupted("cut")]), refuses]
    _, error = await collect(Fallback(models, rounds=3), ASKED)
    assert isinstance(error, Interrupted)
    assert (models[0].calls, refuses.calls) == (3, 1)


@virtually
async def test_an_error_says_what_all_attempts_took() -> None:
    first = Scripted("a", ["Hel", Interrupted("cut", usage=Usage(input_tokens=1, cost=2))])
    second = Scripted("b", [Unavailable("down", usage=Usage(input_tokens=3, cost=4))])
    _, error = await collect(Fallback([first, second]), ASKED)
    assert error is not None
    assert error.usage == Usage(input_tokens=4, cost=6)


@virtually
async def test_after_a_tool_call_nothing_is_continued() -> None:
    after = writer("b")
    events, error = await collect(Fallback([Scripted("a", ["Let me see.", CALL, Interrupted("cut")]), after]), ASKED)
    assert isinstance(error, Interrupted)
    assert error.text == "Let me see."
    assert "tool call" in str(error)
    assert after.calls == 0
    assert len(events) == 2


@virtually
async def test_json_is_continued_only_by_a_model_that_continues() -> None:
    request = replace(ASKED, schema={"type": "object"})
    first = Scripted("a", ['{"a": ', Interrupted("cut")])
    cannot = Scripted("b", ["1}", DONE])
    events, error = await collect(Fallback([first, cannot]), request)
    assert isinstance(error, Interrupted)
    assert error.text == '{"a": '
    assert "b: it cannot go on" in str(error)
    assert cannot.calls == 0
    can = Scripted("c", [" 1}", DONE], capabilities=GOES_ON)
    events, error = await collect(Fallback([first, cannot, can]), request)
    assert error is None
    assert text_of(events) == '{"a": 1}'
    assert switches(list(events)) == [("a", "c", 6)]
    assert can.requests[0].schema is None  # held to it, a server would write a whole new object


@virtually
async def test_joined_json_that_is_none_is_no_normal_end() -> None:
    request = replace(ASKED, schema={"type": "object"})
    first = Scripted("a", ['{"name": "Jo', Interrupted("cut", usage=Usage(cost=7))])
    anew = Scripted("b", ['{"name": "Joan"}', DONE], capabilities=GOES_ON)
    after = Scripted("c", ['an"}', DONE], capabilities=GOES_ON)
    events, error = await collect(Fallback([first, anew, after]), request)
    assert isinstance(error, Interrupted)
    assert error.text == text_of(events) == '{"name": "Jo{"name": "Joan"}'
    assert "not JSON" in str(error)
    assert (error.usage and error.usage.cost) == 7 + DONE.usage.cost
    assert after.calls == 0  # nothing can be added that would make it whole


@virtually
async def test_a_refusal_in_the_middle_is_not_carried_elsewhere() -> None:
    after = writer("b")
    _, error = await collect(Fallback([Scripted("a", ["Hel", Refused("no")]), after]), ASKED)
    assert isinstance(error, Refused)
    assert error.text == "Hel"
    assert after.calls == 0


@virtually
async def test_who_will_not_go_on_is_passed_over() -> None:
    first = Scripted("a", [INTENDED[:30], Interrupted("cut")])
    events, error = await collect(Fallback([first, Scripted("b", [NotAuthorised("no key")]), writer("c")]), ASKED)
    assert error is None
    assert text_of(events) == INTENDED
    assert switches(list(events)) == [("a", "c", 30)]
    assert events[1].reason == "a: cut; b: no key"  # type: ignore[union-attr]


@virtually
async def test_who_says_it_continues_and_does_not_is_asked_the_other_way() -> None:
    def picky(request: ModelRequest) -> Script:
        if request.messages[-1].role == "assistant":
            return [InvalidRequest("the last message must be the user's")]
        return [INTENDED[written(request, INTENDED) :], DONE]

    models = [Scripted("a", [INTENDED[:30], Interrupted("cut")]), Scripted("b", script=picky, capabilities=GOES_ON)]
    events, error = await collect(Fallback(models), ASKED)
    assert error is None
    assert text_of(events) == INTENDED


@virtually
async def test_thoughts_alone_do_not_bind() -> None:
    for failure in (Interrupted("cut"), Refused("no")):
        models = [Scripted("a", [ReasoningPart(text="Hm"), failure]), writer("b")]
        events, error = await collect(Fallback(models), ASKED)
        assert error is None
        assert text_of(events) == INTENDED
        assert models[1].requests == [ASKED]


@virtually
async def test_citations_stay_behind_their_text() -> None:
    cited = CitedPart(number=1, start=0, end=3)
    first = Scripted("a", ["It is tall. ", cited, Interrupted("cut")])
    second = Scripted("b", ["It is tall. ", "It is old.", cited, DONE])
    events, error = await collect(Fallback([first, second]), ASKED)
    assert error is None
    kinds = [event.text if isinstance(event, TextPart) else type(event).__name__ for event in events]
    assert kinds == ["It is tall. ", "CitedPart", "Switched", "It is old.", "CitedPart", "Finish"]


@virtually
async def test_no_model_is_asked_after_the_deadline() -> None:
    first = Scripted("a", [INTENDED[:30], 5.0, Interrupted("cut")])
    after = writer("b")
    _, error = await collect(Fallback([first, after], now=now), replace(ASKED, deadline=now() + 4))
    assert isinstance(error, DeadlineExceeded)
    assert error.text == INTENDED[:30]
    assert after.calls == 0


@virtually
async def test_one_model_keeps_its_own_error_and_several_say_what_each_did() -> None:
    one = Unavailable("down")
    assert (await collect(Fallback([Scripted("a", [one])]), ASKED))[1] is one
    assert one.__cause__ is None
    models = [
        Scripted("a", [RateLimited("busy", retry_after=9.0, remedy="Wait")]),
        Scripted("b", [RateLimited("busy", retry_after=4.0, remedy="Wait")]),
        Scripted("c", [NotAuthorised("no key")]),
    ]
    _, error = await collect(Fallback(models), ASKED)
    assert isinstance(error, RateLimited)
    assert error.retry_after == 4.0
    assert str(error) == "No model could answer: a: busy; b: busy; c: no key. Wait"


@virtually
async def test_what_failed_attempts_took_is_estimated_in_the_finish() -> None:
    def price(name: str, usage: Usage) -> int:
        return {"a": 3, "b": 5}[name] * usage.output_tokens + usage.input_tokens

    first = Scripted("a", ["one two three", Interrupted("cut")])
    nothing = Scripted("n", [Unavailable("down")])
    second = Scripted("b", [" four", DONE], capabilities=GOES_ON)
    events, _ = await collect(Fallback([nothing, first, second], price=price), ASKED)
    usage = finish_of(events).usage
    assert not usage.exact
    assert usage.input_tokens == 10 + 5 + 8  # around a message and around a call there are four each
    assert usage.output_tokens == 5 + 3
    assert usage.cost == 100 + 3 * 3 + 13


@virtually
async def test_an_exact_account_of_a_failed_attempt_is_taken_as_it_is() -> None:
    metered = Interrupted("cut")
    metered.usage = Usage(input_tokens=7, output_tokens=2, counted_by="vendor", cost=11)
    models = [Scripted("a", [INTENDED[:30], metered]), writer("b")]
    events, _ = await collect(Fallback(models), ASKED)
    assert finish_of(events).usage == Usage(input_tokens=17, output_tokens=7, counted_by="vendor", cost=111)


@virtually
async def test_an_order_may_depend_on_the_request() -> None:
    a, b = Scripted("a", ["A", DONE]), Scripted("b", ["B", DONE])
    fallback = Fallback([a, b], order=lambda request: [b, a] if request.tools else [a, b])
    assert (await complete(fallback, ASKED)).text == "A"


@virtually
async def test_who_only_had_to_be_waited_for_is_waited_for_when_nobody_else_is_left() -> None:
    def closed(seconds: float) -> Script:
        return [Unavailable("left alone", provider=OWN, retry_after=seconds)]

    a, b = Scripted("a", closed(3.0), ["A", DONE]), Scripted("b", [Unavailable("down")])
    began = now()
    events, error = await collect(Fallback([a, b], patience=5.0, now=now, random=Random(1)), ASKED)
    assert error is None
    assert text_of(events) == "A"
    assert switches(list(events)) == []  # a was the first to write
    assert now() - began == pytest.approx(3.05, abs=0.06)
    assert b.calls == 1
    for patience, deadline in ((2.0, None), (5.0, now() + 3.0)):
        a = Scripted("a", closed(3.0), ["A", DONE])
        began = now()
        fallback = Fallback([a, b], patience=patience, now=now)
        _, error = await collect(fallback, replace(ASKED, deadline=deadline))
        assert isinstance(error, Unavailable)
        assert error.retry_after == 3.0
        assert (now(), a.calls) == (began, 1)
    busy = Scripted("a", [RateLimited("busy", retry_after=1.0)])
    _, error = await collect(Fallback([busy], patience=5.0, now=now), ASKED)
    assert busy.calls == 1  # the vendor was asked; asking again is up to Retrying
    forever = Scripted("a", closed(1.0))
    _, error = await collect(Fallback([forever], patience=5.0, now=now), ASKED)
    assert isinstance(error, Unavailable)
    assert str(error) == "left alone"
    assert 4 <= forever.calls <= 6


@virtually
async def test_a_switch_within_a_model_keeps_what_was_sent_before_it() -> None:
    inner = Fallback([Scripted("b", [NotAuthorised("no key")]), writer("c")])
    events, error = await collect(Fallback([Scripted("a", [INTENDED[:30], Interrupted("cut")]), inner]), ASKED)
    assert error is None
    assert text_of(events) == INTENDED
    assert [kept for _, _, kept in switches(list(events))] == [30, 30]


@virtually
async def test_closing_it_in_the_middle_stops_the_model() -> None:
    second = Scripted("b", ["Hello", 100.0, DONE])
    fallback = Fallback([Scripted("a", [Unavailable("down")]), second])
    async with aclosing(fallback.stream(ASKED)) as events:
        assert isinstance(await anext(events), Switched)
        await anext(events)
    assert (second.running, second.stopped) == (0, 1)


@virtually
async def test_it_can_do_what_all_can_and_closes_each_once() -> None:
    a = Scripted("a", [DONE], window=100, capabilities=CAN_ALL)
    b = Scripted("b", [DONE], window=50, capabilities=Capabilities(tools=True))
    fallback = Fallback([a, b, a])
    assert fallback.capabilities == Capabilities(tools=True)
    assert (fallback.window, fallback.name) == (50, "fallback(a, b, a)")
    await fallback.close()
    assert (a.closed, b.closed) == (1, 1)


@virtually
async def test_the_whole_reply_is_put_together_by_complete() -> None:
    models = [Scripted("a", [INTENDED[:30], Interrupted("cut")]), writer("b")]
    completion = await complete(Fallback(models), ASKED)
    assert completion.text == INTENDED
    assert completion.switched[0].kept == 30
    assert isinstance(completion.finish, Finish)
