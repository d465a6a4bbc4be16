"""The strong model is asked where something speaks against the cheap answer, and only there; and what that saves."""

import asyncio
import math
from dataclasses import replace

import pytest

from sourcebook.errors import BudgetExceeded, DeadlineExceeded, InvalidRequest, ModelError, RateLimited, Unavailable
from sourcebook.models.base import (
    Capabilities,
    Finish,
    FinishReason,
    Message,
    ModelRequest,
    ReasoningPart,
    Switched,
    TextPart,
    Tool,
    ToolCall,
    ToolCallPart,
    complete,
)
from sourcebook.models.route import Cascade, Thresholds
from sourcebook.models.route.doubt import channel_agreement, word_overlap
from sourcebook.models.route.schema import schema_problem
from sourcebook.types import Hit, Passage, PassageId, Usage
from tests.models.route.scripted import DONE, Script, Scripted
from tests.models.route.virtual import collect, finish_of, now, text_of, virtually

ASKED = ModelRequest(messages=(Message(role="user", text="How tall?"),))
CHEAP: Script = [ReasoningPart(text="Hm"), "41 ", "metres", DONE]
STRONG: Script = ["It is 41 metres tall.", DONE]


def hit(score: float, **channels: int) -> Hit:
    passage = Passage(id=PassageId("0" * 32), document="d", version=1, ordinal=0, text="t", start=0, end=1)
    return Hit(passage=passage, score=score, channels=channels)


async def asked(
    cheap: Script, request: ModelRequest = ASKED, thresholds: Thresholds | None = None, *others: Script
) -> tuple[str, str, int]:
    """(the answer's text, why the strong model was asked, cheap calls)."""
    model = Scripted("cheap", cheap, *others, capabilities=Capabilities(logprobs=True))
    cascade = Cascade(model, Scripted("strong", STRONG), thresholds=thresholds, now=now)
    events, error = await collect(cascade, request)
    assert error is None
    finish_of(events)
    why = [one.reason for one in events if isinstance(one, Switched)]
    assert sum(cascade.report().reasons.values()) == len(why) == cascade.report().escalated
    return text_of(events), why[0] if why else "", model.calls


@virtually
async def test_a_cheap_answer_that_nothing_speaks_against_is_the_answer() -> None:
    strong = Scripted("strong", STRONG)
    events, _ = await collect(Cascade(Scripted("cheap", CHEAP), strong), ASKED)
    assert [type(event) for event in events] == [ReasoningPart, TextPart, TextPart, Finish]
    assert strong.calls == 0
    assert finish_of(events) == replace(DONE, model="cheap")


@virtually
async def test_an_escalation_says_so_and_shows_nothing_of_the_cheap_answer() -> None:
    cheap = Scripted("cheap", ["41 ", Finish(reason="length", usage=Usage(input_tokens=1, cost=2))])
    events, _ = await collect(Cascade(cheap, Scripted("strong", STRONG)), ASKED)
    assert events[0] == Switched(before="cheap", after="strong", reason="the reply ended with 'length'", kept=0)
    assert text_of(events) == "It is 41 metres tall."
    assert finish_of(events).usage.cost == 102
    assert finish_of(events).model == "strong"


@pytest.mark.parametrize("reason", ["unknown", "length", "filtered", "stop"])
def test_ends_that_are_doubted(reason: FinishReason) -> None:
    @virtually
    async def scenario() -> None:
        _, why, _ = await asked(["41 metres", Finish(reason=reason)])
        assert bool(why) is (reason != "stop")
        assert not (await asked(["41 metres", Finish(reason=reason)], ASKED, Thresholds(reasons=())))[1]

    scenario()


@virtually
async def test_an_improbable_answer_is_doubted() -> None:
    sure: Script = [TextPart(text="41", logprobs=(math.log(0.9), math.log(0.8))), DONE]
    unsure: Script = [TextPart(text="41", logprobs=(math.log(0.9), math.log(0.3))), DONE]
    thresholds = Thresholds(probability=0.7)
    assert (await asked(sure, ASKED, thresholds))[1] == ""
    assert (await asked(unsure, ASKED, thresholds))[1] == "a token was 52% probable on average"
    assert (await asked(unsure))[1] == ""


@virtually
async def test_probabilities_are_asked_for_where_the_model_tells_them() -> None:
    for able in (True, False):
        cheap = Scripted("cheap", CHEAP, capabilities=Capabilities(logprobs=able))
        await collect(Cascade(cheap, Scripted("strong", STRONG), thresholds=Thresholds(probability=0.7)), ASKED)
        assert cheap.requests[0].logprobs is able


@virtually
async def test_two_samples_that_disagree_are_doubted() -> None:
    thresholds = Thresholds(agreement=0.5)
    _, why, calls = await asked(["41 metres tall", DONE], ASKED, thresholds, ["41 metres", DONE])
    assert (why, calls) == ("", 2)
    _, why, calls = await asked(["41 metres tall", DONE], ASKED, thresholds, ["nobody knows that", DONE])
    assert (why, calls) == ("two samples agree by 0.00 only", 2)
    _, why, calls = await asked(["41 metres tall", DONE], ASKED, thresholds, [Unavailable("down")])
    assert why == ""  # a sample that failed says nothing


@virtually
async def test_samples_are_taken_at_the_same_time_warm_and_both_are_paid() -> None:
    cheap = Scripted("cheap", [1.0, "41", DONE])
    began = now()
    cascade = Cascade(cheap, Scripted("strong", STRONG), thresholds=Thresholds(agreement=0.5), now=now)
    events, _ = await collect(cascade, replace(ASKED, temperature=0.0, seed=7))
    assert now() - began == pytest.approx(1.0)
    assert [(one.temperature, one.seed) for one in cheap.requests] == [(0.0, 7), (0.7, 8)]
    assert finish_of(events).usage.cost == 200


SCHEMA = {"type": "object", "properties": {"metres": {"type": "integer"}}, "required": ["metres"]}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"metres": 41}', ""),
        ('{"metres": "41"}', "at $.metres: '41' is not of type 'integer'"),
        ("{}", "'metres' is a required property"),
        ('{"metres": 41', "not JSON"),
        ("41 metres", "not JSON"),
    ],
)
def test_json_is_held_against_its_schema(text: str, said: str) -> None:
    problem = schema_problem(text, SCHEMA)
    assert said in problem
    assert bool(said) is bool(problem)

    @virtually
    async def scenario() -> None:
        assert (await asked([text, DONE], replace(ASKED, schema=SCHEMA)))[1] == problem

    scenario()


def test_a_schema_that_is_none_or_points_elsewhere_says_nothing_and_fetches_nothing() -> None:
    for schema in ({"$ref": "http://localhost:1/schema.json"}, {"type": "nonsense"}):
        assert schema_problem("{}", schema) == ""
        assert "not JSON" in schema_problem("{", schema)


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("measure", '{"metres": 1}', ""),
        ("measure", '{"metres": "x"}', "its call of measure"),
        ("measure", "{", "not JSON"),
        ("guess", "{}", "'guess' that there is not"),
    ],
)
def test_tool_calls_must_be_runnable(name: str, arguments: str, said: str) -> None:
    @virtually
    async def scenario() -> None:
        call = ToolCallPart(call=ToolCall(id="1", name=name, arguments=arguments))
        tool = Tool(name="measure", description="d", parameters=SCHEMA)
        _, why, _ = await asked([call, Finish(reason="tool_calls")], replace(ASKED, tools=(tool,)))
        assert said in why
        assert bool(said) is bool(why)

    scenario()


@virtually
async def test_little_confidence_in_the_evidence_spares_the_cheap_call() -> None:
    thresholds = Thresholds(confidence=0.5)
    question = replace(ASKED, question="How tall?")
    assert (await asked(CHEAP, question, thresholds))[1:] == ("no evidence, where 0.5 is wanted", 0)
    poor = replace(question, evidence=(hit(1, dense=4), hit(0.5, dense=1, keyword=1)))
    assert (await asked(CHEAP, poor, thresholds))[1:] == ("evidence of confidence 0.12, where 0.5 is wanted", 0)
    good = replace(question, evidence=(hit(1, dense=1, keyword=2), hit(0.5, dense=2)))
    assert (await asked(CHEAP, good, thresholds))[1:] == ("", 1)
    assert (await asked(CHEAP, ASKED, thresholds))[1:] == ("", 1)  # no question: no evidence to be had


@virtually
async def test_what_we_add_for_a_sign_is_left_out_where_the_model_refuses_it() -> None:
    def script(request: ModelRequest) -> Script:
        if request.logprobs or request.temperature is not None:
            return [InvalidRequest("unsupported parameter")]
        return ["41", DONE]

    cheap = Scripted("cheap", script=script, capabilities=Capabilities(logprobs=True))
    cascade = Cascade(cheap, Scripted("strong", STRONG), thresholds=Thresholds(probability=0.7, agreement=0.5), now=now)
    assert (await complete(cascade, ASKED)).text == "41"
    assert cheap.calls == 4  # two samples, each once more as the caller asked for it
    assert (await complete(cascade, ASKED)).text == "41"
    assert cheap.calls == 6  # that is remembered
    assert cascade.report().unheard == 0


@virtually
async def test_a_request_that_is_refused_in_any_case_is_the_callers() -> None:
    cheap = Scripted("cheap", [InvalidRequest("no")], capabilities=Capabilities(logprobs=True))
    cascade = Cascade(cheap, Scripted("strong", STRONG), thresholds=Thresholds(probability=0.7), now=now)
    _, error = await collect(cascade, ASKED)
    assert isinstance(error, InvalidRequest)
    assert cheap.requests[0].logprobs
    await collect(cascade, ASKED)
    assert cheap.requests[2].logprobs  # nothing was learned from it


@virtually
async def test_second_replies_that_fail_are_reported() -> None:
    cheap = Scripted("cheap", CHEAP, [Unavailable("down")])
    cascade = Cascade(cheap, Scripted("strong", STRONG), thresholds=Thresholds(agreement=0.5), now=now)
    await collect(cascade, ASKED)
    assert cascade.report().unheard == 1


def test_agreement_of_the_channels() -> None:
    assert channel_agreement([]) == 0.0
    assert channel_agreement([hit(1, dense=1, keyword=1)]) == 1.0
    assert channel_agreement([hit(1, dense=1), hit(0.5, keyword=1)]) == 0.5
    assert channel_agreement([hit(1.0), hit(0.1), hit(0.0)]) == pytest.approx(0.9)
    assert channel_agreement([hit(1.0), hit(1.0)]) == 0.0
    assert channel_agreement([hit(1.0)]) == 1.0


def test_overlap_of_words() -> None:
    assert word_overlap("It is 41 metres.", "it is 41 METRES") == 1.0
    assert word_overlap("It is 41 metres", "No idea") == 0.0
    assert word_overlap("", "") == 1.0
    assert word_overlap("", "a") == 0.0
    assert word_overlap("수수료는 얼마", "수수료") == pytest.approx(2 * 3 / 9)
    assert word_overlap("a a b", "a") == 0.5


@virtually
async def test_a_cheap_model_that_fails_is_replaced() -> None:
    text, why, _ = await asked([RateLimited("busy")])
    assert (text, why) == ("It is 41 metres tall.", "busy")
    text, why, _ = await asked(["41 "])
    assert "ended without saying why" in why


@pytest.mark.parametrize("error", [InvalidRequest("no"), BudgetExceeded("no")])
def test_what_the_strong_model_would_say_too_is_said_at_once(error: ModelError) -> None:
    @virtually
    async def scenario() -> None:
        strong = Scripted("strong", STRONG)
        assert (await collect(Cascade(Scripted("cheap", [error]), strong), ASKED))[1] is error
        assert strong.calls == 0

    scenario()


@virtually
async def test_after_the_deadline_the_strong_model_is_not_asked() -> None:
    strong = Scripted("strong", STRONG)
    cheap = Scripted("cheap", [2.0, DeadlineExceeded("over")])
    _, error = await collect(Cascade(cheap, strong, now=now), replace(ASKED, deadline=now() + 1))
    assert isinstance(error, DeadlineExceeded)
    assert strong.calls == 0


@virtually
async def test_the_report_says_how_often_why_and_what_it_saved() -> None:
    def price(name: str, usage: Usage) -> int:
        return {"cheap": 1, "strong": 10}[name] * (usage.input_tokens + usage.output_tokens)

    def done(name: str, reason: FinishReason = "stop") -> Finish:
        usage = Usage(input_tokens=20, output_tokens=10)
        return Finish(reason=reason, usage=replace(usage, cost=price(name, usage)))

    cheap = Scripted("cheap", ["a", done("cheap")], ["a", done("cheap", "length")], ["a", done("cheap")])
    cascade = Cascade(cheap, Scripted("strong", ["b", done("strong")]), price=price)
    assert cascade.report().escalation_rate == 0.0
    for _ in range(4):
        await collect(cascade, ASKED)
    report = cascade.report()
    assert (report.calls, report.escalated, report.escalation_rate) == (4, 1, 0.25)
    assert report.reasons == {"reason": 1}
    assert report.cost == 3 * 30 + (30 + 300)
    assert report.strong_cost == 4 * 300
    assert report.saving == 1200 - 420
    assert report.priced


@virtually
async def test_a_report_without_prices_says_so() -> None:
    cascade = Cascade(Scripted("cheap", CHEAP), Scripted("strong", STRONG), price=lambda name, usage: None)
    await collect(cascade, ASKED)
    assert not cascade.report().priced


@virtually
async def test_closing_it_stops_whichever_model_is_asked() -> None:
    cheap, strong = Scripted("cheap", [5.0, Finish(reason="length")]), Scripted("strong", ["a", 100.0, DONE])
    cascade = Cascade(cheap, strong, thresholds=Thresholds(agreement=0.5))
    for seconds in (1.0, 6.0):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(seconds):
                await collect(cascade, ASKED)
        assert (cheap.running, strong.running) == (0, 0)
    assert (cheap.stopped, strong.stopped) == (2, 1)
