"""The agent loop: steps, evidence, bounds, and the record of all of it."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from time import monotonic
from typing import Any

import pytest

from sourcebook.errors import BudgetExceeded, ConfigError, DeadlineExceeded, Interrupted, InvalidReply, Unavailable
from sourcebook.models.base import (
    Capabilities,
    Finish,
    Message,
    ModelRequest,
    Switched,
    TextPart,
    Thought,
    ToolCall,
    complete,
)
from sourcebook.prompt.agent import AgentLoop
from sourcebook.prompt.agent_run import AgentEvent, Answering, Bounds, Calling, DraftPart, Step, digest
from sourcebook.prompt.cite import Reading, cite
from sourcebook.prompt.prompted_tools import PromptedTools
from sourcebook.prompt.support import SupportJudge
from sourcebook.prompt.tools.base import Toolboxes
from sourcebook.prompt.tools.functions import FunctionTools
from sourcebook.prompt.tools.search import SearchTool
from sourcebook.types import Answer, Citation, Hit, Passage, PassageId, Usage
from tests.prompt.told import Told, Turn, ask, say, think

QUESTION = ModelRequest(
    question="How tall?",
    messages=(Message(role="system", text="Answer."), Message(role="user", text="How tall?")),
    max_output_tokens=100,
)


def hit(text: str, document: str = "file:///a", start: int = 0) -> Hit:
    passage = Passage(
        id=PassageId(f"{abs(hash((text, document, start))):032x}"), document=document, version=1, ordinal=0, text=text,
        start=start, end=start + len(text), title="Towers",
    )  # fmt: skip
    return Hit(passage=passage, score=1.0)


def functions(*some: Callable[..., Any]) -> Toolboxes:
    return Toolboxes([FunctionTools(list(some))])


def add(one: int, other: int) -> int:
    """Add."""
    return one + other


async def events_of(loop: AgentLoop) -> list[AgentEvent]:
    return [event async for event in loop.events()]


def text_of(events: list[AgentEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextPart))


async def test_a_call_its_result_and_the_answer() -> None:
    model = Told(
        [think("I must add.", "sig"), say("Let me see."), ask("add", '{"one": 1, "other": 2}', "c1", "call-sig")],
        [say("It is "), say("3.")],
    )
    loop = AgentLoop(model, functions(add), QUESTION)
    events = await events_of(loop)
    assert [type(event).__name__ for event in events] == [
        "DraftPart", "DraftPart", "Calling", "Step", "DraftPart", "DraftPart", "Step", "Answering", "TextPart",
        "TextPart", "Finish",
    ]  # fmt: skip
    assert text_of(events) == "It is 3."
    assert events[-1] == Finish(
        reason="stop", model="s-1", request_id="r",
        usage=Usage(input_tokens=20, output_tokens=10, cost=200, counted_by="vendor"),
    )  # fmt: skip
    _, second = model.requests
    turn, result = second.messages[-2:]
    assert turn == Message(
        role="assistant",
        text="Let me see.",
        tool_calls=(ToolCall(id="c1", name="add", arguments='{"one": 1, "other": 2}', signature="call-sig"),),
        thoughts=(Thought(text="I must add.", signature="sig"),),
    )
    assert (result.role, result.tool_call_id, result.failed, result.keep) == ("tool", "c1", False, True)
    assert "\n3\n" in result.text
    assert result.text.startswith("<data-")
    assert second.tools == model.requests[0].tools
    assert second.messages[: len(model.requests[0].messages)] == model.requests[0].messages
    assert loop.run.stopped == ""


async def test_every_step_is_in_the_record() -> None:
    model = Told([think("Hm."), ask("add", '{"one": 1, "other": 2}')], [say("3.")])
    loop = AgentLoop(model, functions(add), QUESTION)
    await events_of(loop)
    record: Any = json.loads(json.dumps(loop.run.record()))
    assert (record["version"], record["stopped"]) == ("agent-1", "")
    assert record["usage"]["cost"] == 200
    first, second = record["steps"]
    assert (first["number"], first["thoughts"], first["reason"], first["model"]) == (1, ["Hm."], "tool_calls", "s-1")
    (call,) = first["calls"]
    assert (call["tool"], call["arguments"], call["failed"]) == ("add", '{"one": 1, "other": 2}', False)
    assert "3" in call["result"]
    assert call["seconds"] > 0
    assert (second["text"], second["calls"], second["usage"]["output_tokens"]) == ("3.", [], 5)
    assert first["request"] == digest(model.requests[0])
    assert second["request"] == digest(model.requests[1])
    assert first["request"] != second["request"]
    assert first["seconds"] >= call["seconds"]


def test_a_digest_is_that_of_what_the_reply_depends_on() -> None:
    assert digest(QUESTION) == digest(replace(QUESTION, deadline=5.0, tenant="other"))
    assert digest(QUESTION) != digest(replace(QUESTION, temperature=0.5))
    assert digest(QUESTION) != digest(replace(QUESTION, evidence=(hit("a"),)))


async def test_passages_found_on_the_way_can_be_cited() -> None:
    given, found, other = hit("Given."), hit("It is 41 metres tall."), hit("It is white.", "file:///b")
    inside = hit("41 metres", start=6)
    results = {"height": [found, given], "colour": [other, inside], "nothing": []}
    asked: list[tuple[str, int, str | None]] = []

    async def search(query: str, top: int, where: str | None) -> list[Hit]:
        asked.append((query, top, where))
        if query == "height":
            await asyncio.sleep(0.01)  # the other is done first
        return results[query]

    model = Told(
        [ask("search", '{"query": "height"}', "1"), ask("search", '{"query": "colour", "filter": "year > 1"}', "2")],
        [ask("search", '{"query": "nothing"}', "3")],
        [say("It is 41 metres tall [2] and white [3].")],
    )
    loop = AgentLoop(
        model, Toolboxes([SearchTool(search, top=5, fields=["year"])]), replace(QUESTION, evidence=(given,))
    )
    events = await events_of(loop)
    assert asked == [("height", 5, None), ("colour", 5, "year > 1"), ("nothing", 5, None)]
    (answering,) = [event for event in events if isinstance(event, Answering)]
    assert answering.request.evidence == (given, found, other) == loop.run.evidence
    height, colour = (message.text for message in model.requests[1].messages[-2:])
    assert 'number="2"' in height
    assert "It is 41 metres tall." in height
    assert "Shown before: [1]" in height
    assert 'number="3"' in colour
    assert "Shown before: [2]" in colour
    assert "Nothing was found" in model.requests[2].messages[-1].text
    assert [run.numbers for step in loop.run.steps for run in step.runs] == [(2, 1), (3, 2), ()]


async def test_the_answer_is_cited_from_what_was_found() -> None:
    found = hit("The tower is 41 metres tall. It was built in 1873.")

    async def search(query: str, top: int, where: str | None) -> list[Hit]:
        return [found]

    async def verify(citation: Citation) -> bool:
        return found.passage.text[citation.start : citation.end] == citation.quote

    model = Told(
        [say("I look."), ask("search", '{"query": "height"}')], [say("The tower is 41 "), say("metres tall [1].")]
    )
    loop = AgentLoop(model, Toolboxes([SearchTool(search)]), QUESTION)
    told: list[AgentEvent] = []
    reading = Reading(judge=SupportJudge())
    parts = cite(
        loop.answer(told.append),
        QUESTION,
        model="m",
        verify=verify,
        reading=reading,
        evidence=lambda: loop.run.evidence,
    )
    *_, answer = [part async for part in parts]
    assert isinstance(answer, Answer)
    assert answer.known
    assert answer.text == "The tower is 41 metres tall."
    assert [one.quote for one in answer.citations] == ["The tower is 41 metres tall."]
    assert answer.hits == (found,)
    assert answer.usage.cost == 200
    assert {type(event) for event in told} == {DraftPart, Calling, Step, Answering}
    assert loop.request.messages == model.requests[1].messages
    assert len(loop.run.steps) == 2


async def test_calls_of_one_step_run_side_by_side_and_stay_in_order() -> None:
    under_way = most = 0

    async def work(number: int) -> int:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.01 * (4 - number))
        under_way -= 1
        return number

    model = Told([ask("work", f'{{"number": {n}}}', str(n)) for n in range(4)], [say("Done.")])
    loop = AgentLoop(model, functions(work), QUESTION, bounds=Bounds(parallel=2))
    await events_of(loop)
    assert most == 2
    assert [message.tool_call_id for message in model.requests[1].messages[-4:]] == ["0", "1", "2", "3"]
    assert [run.result.text for run in loop.run.steps[0].runs] == ["0", "1", "2", "3"]


async def test_wrong_calls_are_told_and_mended() -> None:
    model = Told(
        [ask("ad", "{}", "1"), ask("add", '{"one": "x"}', "2"), ask("add", "{", "3")],
        [ask("add", '{"one": 1, "other": 2}')],
        [say("3.")],
    )
    loop = AgentLoop(model, functions(add), QUESTION)
    assert text_of(await events_of(loop)) == "3."
    unknown, wrong, broken = model.requests[1].messages[-3:]
    assert unknown.failed
    assert "There are: add" in unknown.text
    assert "one: 'x' is not of type 'integer'" in wrong.text
    assert "not JSON" in broken.text


async def test_the_same_call_is_not_made_twice() -> None:
    calls = []

    def look(what: str, where: str = "here") -> str:
        calls.append(what)
        return what

    same = ('{"what": "a", "where": "b"}', '{"where":"b","what":"a"}')
    model = Told(
        [ask("look", same[0], "1"), ask("look", same[1], "2")],
        [ask("look", same[1], "3")],
        [ask("look", same[0], "4")],
        [say("Enough.")],
    )
    loop = AgentLoop(model, functions(look), QUESTION)
    events = await events_of(loop)
    assert calls == ["a"]
    assert text_of(events) == "Enough."
    assert [[run.repeated for run in step.runs] for step in loop.run.steps] == [[False, True], [True], [True], []]
    assert loop.run.stopped == "repeats"
    assert model.requests[-1].tool_choice == "none"
    assert "repeating" in model.requests[-1].messages[-1].text


async def test_a_call_that_failed_may_be_made_once_more() -> None:
    calls = []

    def flaky() -> str:
        calls.append(1)
        if len(calls) == 1:
            raise OSError("busy")
        return "done"

    model = Told([ask("flaky")], [ask("flaky")], [ask("flaky")], [say("Done.")])
    await events_of(AgentLoop(model, functions(flaky), QUESTION))
    assert len(calls) == 2


async def test_a_hundred_calls_at_once_are_too_many() -> None:
    calls = []

    def work(number: int) -> None:
        calls.append(number)

    model = Told([ask("work", f'{{"number": {n}}}', str(n)) for n in range(100)], [say("Done.")])
    loop = AgentLoop(model, functions(work), QUESTION, bounds=Bounds(parallel=2))
    await events_of(loop)
    assert len(calls) == 16
    assert sum("too many" in run.shown for run in loop.run.steps[0].runs) == 84


# --- bounds -------------------------------------------------------------------------------------------------


class Endless(Told):
    """Asks for tools for as long as it may, then answers."""

    async def stream(self, request: ModelRequest) -> Any:
        number = len(self.requests)
        self.requests.append(request)
        usage = Usage(input_tokens=100, output_tokens=50, cost=1000)
        if request.tool_choice == "none":
            yield say("I stop ")
            yield say("here.")
            yield Finish(reason="stop", usage=usage)
        else:
            yield ask("add", f'{{"one": {number}, "other": 1}}', f"c{number}")
            yield Finish(reason="tool_calls", usage=usage)


async def test_the_last_step_has_to_answer() -> None:
    model = Endless()
    loop = AgentLoop(model, functions(add), QUESTION, bounds=Bounds(steps=4))
    events = await events_of(loop)
    assert len(model.requests) == 4
    assert text_of(events) == "I stop here."
    assert loop.run.stopped == "steps"
    assert [request.tool_choice for request in model.requests] == ["auto", "auto", "auto", "none"]
    assert model.requests[-1].tools
    place = next(n for n, event in enumerate(events) if isinstance(event, Answering))
    assert [type(event).__name__ for event in events[place:]] == ["Answering", "TextPart", "TextPart", "Step", "Finish"]
    assert [event.stopped for event in events if isinstance(event, Answering)] == ["steps"]


async def test_tokens_are_bounded() -> None:
    model = Endless()
    loop = AgentLoop(model, functions(add), QUESTION, bounds=Bounds(tokens=1200, steps=50))
    assert text_of(await events_of(loop)) == "I stop here."
    assert loop.run.stopped == "tokens"
    used = loop.run.usage
    assert 600 < used.input_tokens + used.output_tokens <= 1200


async def test_too_few_tokens_for_any_answer_are_an_error() -> None:
    loop = AgentLoop(Endless(), functions(add), QUESTION, bounds=Bounds(tokens=40))
    with pytest.raises(BudgetExceeded, match=r"agent\.tokens"):
        await events_of(loop)
    assert loop.run.stopped == "tokens"


async def test_money_is_bounded_by_what_the_steps_before_took() -> None:
    model = Endless()
    loop = AgentLoop(model, functions(add), QUESTION, bounds=Bounds(cost=6000, steps=50))
    assert text_of(await events_of(loop)) == "I stop here."
    assert loop.run.stopped == "cost"
    assert 2000 < loop.run.usage.cost <= 6000


async def test_money_is_bounded_by_the_estimate() -> None:
    model = Endless()
    loop = AgentLoop(model, functions(add), QUESTION, bounds=Bounds(cost=3500), estimate=lambda request: 1000)
    assert text_of(await events_of(loop)) == "I stop here."
    assert len(model.requests) == 3
    loop = AgentLoop(model, functions(add), QUESTION, bounds=Bounds(cost=500), estimate=lambda request: 1000)
    with pytest.raises(BudgetExceeded, match=r"agent\.cost"):
        await events_of(loop)
    assert loop.run.stopped == "cost"


async def test_a_tool_that_outlives_the_time_is_stopped_for_the_answer() -> None:
    cancelled = []

    async def slow() -> str:
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            cancelled.append(1)
            raise
        return "late"

    async def quick() -> str:
        return "soon"

    model = Told([ask("slow", id="1"), ask("quick", id="2")], [say("Quick it is.")])
    loop = AgentLoop(model, functions(slow, quick), QUESTION, bounds=Bounds(seconds=0.2))
    began = monotonic()
    assert text_of(await events_of(loop)) == "Quick it is."
    assert monotonic() - began < 0.2
    assert loop.run.stopped == "seconds"
    assert cancelled
    stopped, done = loop.run.steps[0].runs
    assert "was stopped" in stopped.shown
    assert done.result.text == "soon"


async def test_a_model_that_is_late_in_a_later_step_still_has_to_answer() -> None:
    late = DeadlineExceeded("late")
    model = Told([ask("add", '{"one": 1, "other": 1}')], [say("Hm"), late], [say("Two.")])
    loop = AgentLoop(model, functions(add), QUESTION, bounds=Bounds(seconds=10))
    assert text_of(await events_of(loop)) == "Two."
    assert loop.run.stopped == "seconds"
    assert [step.usage.exact for step in loop.run.steps] == [True, False, True]
    first, second, third = (request.deadline for request in model.requests)
    assert first == third
    assert second is not None
    assert third is not None
    assert 2.4 < third - second < 2.6


async def test_a_model_that_never_answers_ends_in_an_error() -> None:
    model = Told([say("I "), 5.0])
    loop = AgentLoop(model, functions(add), QUESTION, bounds=Bounds(seconds=0.05))
    began = monotonic()
    with pytest.raises(DeadlineExceeded, match=r"agent\.seconds"):
        await events_of(loop)
    assert monotonic() - began < 1
    assert model.closed == 1
    assert loop.run.steps[0].text == "I "


async def test_the_deadline_of_the_request_holds_as_well() -> None:
    model = Told([say("Done.")])
    deadline = monotonic() + 1
    await events_of(AgentLoop(model, functions(add), replace(QUESTION, deadline=deadline)))
    assert model.requests[0].deadline == deadline
    loop = AgentLoop(model, functions(add), replace(QUESTION, deadline=monotonic() - 1))
    with pytest.raises(DeadlineExceeded):
        await events_of(loop)


async def test_old_results_make_room_in_the_window() -> None:
    def read(number: int) -> str:
        return f"n{number} " * 300

    model = Told(*[[ask("read", f'{{"number": {n}}}', f"c{n}")] for n in range(4)], [say("Done.")], window=1000)
    loop = AgentLoop(model, functions(read), QUESTION)
    assert text_of(await events_of(loop)) == "Done."
    results = [message.text for message in model.requests[-1].messages if message.role == "tool"]
    assert "left out" in results[0]
    assert "n3 n3" in results[3]
    assert sum(model.count_tokens(message.text) for message in model.requests[-1].messages) < 900
    assert "n0 n0" in loop.run.steps[0].runs[0].shown


# --- faults -------------------------------------------------------------------------------------------------


async def test_a_models_error_leaves_the_record() -> None:
    model = Told([ask("add", '{"one": 1, "other": 1}')], [say("Half "), Unavailable("down")])
    loop = AgentLoop(model, functions(add), QUESTION)
    with pytest.raises(Unavailable):
        await events_of(loop)
    assert [step.text for step in loop.run.steps] == ["", "Half "]
    assert loop.run.steps[1].reason == "unknown"


async def test_a_stream_without_an_end_is_no_answer() -> None:
    class Cut(Told):
        async def stream(self, request: ModelRequest) -> Any:
            yield say("Half an ans")

    with pytest.raises(Interrupted) as caught:
        await events_of(AgentLoop(Cut(), functions(add), QUESTION))
    assert caught.value.text == "Half an ans"


async def test_asking_for_tools_instead_of_answering_is_no_answer() -> None:
    model = Told([ask("add", '{"one": 1, "other": 1}')])
    with pytest.raises(InvalidReply):
        await events_of(AgentLoop(model, functions(add), QUESTION, bounds=Bounds(steps=1)))


async def test_whoever_stops_listening_stops_everything() -> None:
    model = Told([say("a"), say("b"), 5.0])
    events = AgentLoop(model, functions(add), QUESTION).events()
    assert isinstance(await anext(events), DraftPart)
    await events.aclose()
    assert model.closed == 1


async def test_cancellation_stops_the_tools() -> None:
    begun, cancelled = asyncio.Event(), []

    async def slow() -> None:
        begun.set()
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            cancelled.append(1)
            raise

    task = asyncio.create_task(events_of(AgentLoop(Told([ask("slow")]), functions(slow), QUESTION)))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cancelled


async def test_what_another_model_began_is_not_sent_back() -> None:
    model = Told(
        [think("mine", "s1"), say("Let me "), Switched(before="a", after="b", reason="down", kept=4), say("us add."),
         ask("add", '{"one": 1, "other": 1}')],
        [say("2.")],
    )  # fmt: skip
    await events_of(AgentLoop(model, functions(add), QUESTION))
    turn = model.requests[1].messages[-2]
    assert turn.text == "Let us add."
    assert turn.thoughts == ()


async def test_without_tools_it_is_a_plain_call_that_streams() -> None:
    model = Told([say("Yes."), say(" No.")])
    events = await events_of(AgentLoop(model, Toolboxes([]), QUESTION))
    assert [type(event).__name__ for event in events] == ["Answering", "TextPart", "TextPart", "Step", "Finish"]
    assert model.requests[0].messages == QUESTION.messages
    assert model.requests[0].tools == ()


async def test_what_was_demanded_is_demanded_once() -> None:
    model = Told([ask("add", '{"one": 1, "other": 1}')], [say("2.")])
    await events_of(AgentLoop(model, functions(add), replace(QUESTION, tool_choice="required")))
    assert [request.tool_choice for request in model.requests] == ["required", "auto"]


async def test_the_end_of_what_will_come_again_is_marked_once() -> None:
    model = Told(*[[ask("add", f'{{"one": {n}, "other": 1}}', str(n))] for n in range(3)], [say("Done.")])
    given = replace(QUESTION, messages=(replace(QUESTION.messages[0], keep=True), QUESTION.messages[1]))
    await events_of(AgentLoop(model, functions(add), given))
    kept = [[number for number, one in enumerate(request.messages) if one.keep] for request in model.requests]
    assert kept == [[0], [0, 3], [0, 5], [0, 7]]


async def test_calls_without_an_id_get_one() -> None:
    model = Told([ask("add", '{"one": 1, "other": 1}', ""), ask("add", '{"one": 2, "other": 1}', "")], [say("2.")])
    await events_of(AgentLoop(model, functions(add), QUESTION))
    turn, one, other = model.requests[1].messages[-3:]
    assert [call.id for call in turn.tool_calls] == [one.tool_call_id, other.tool_call_id]
    assert one.tool_call_id != other.tool_call_id


def test_a_model_that_takes_no_prompt_is_refused() -> None:
    with pytest.raises(ConfigError, match="language model"):
        AgentLoop(Told(cites=True), Toolboxes([]), QUESTION)


async def test_events_tell_what_is_under_way() -> None:
    model = Told([ask("add", '{"one": 1, "other": 1}')], [say("2.")])
    events = await events_of(AgentLoop(model, functions(add), QUESTION))
    calling, step = events[0], events[1]
    assert isinstance(calling, Calling)
    assert isinstance(step, Step)
    assert [call.name for call in calling.calls] == ["add"]
    assert step.runs[0].call == calling.calls[0]


# --- models without tools of their own ----------------------------------------------------------------------


def reply(**said: object) -> TextPart:
    return say(json.dumps({"thought": "", "calls": [], "answer": "", **said}))


@pytest.mark.parametrize("obeys", [True, False])
async def test_a_model_without_tools_is_led_by_a_protocol(obeys: bool) -> None:
    call = {"name": "add", "arguments": {"one": 1, "other": 2}}
    model = Told(
        [say("Sure:\n```json\n"), reply(thought="I add.", calls=[call]), say("\n```")] if not obeys
        else [reply(thought="I add.", calls=[call])],
        [reply(answer="It is 3.")],
        tools=False, schema=obeys,
    )  # fmt: skip
    loop = AgentLoop(model, functions(add), QUESTION)
    events = await events_of(loop)
    assert text_of(events) == "It is 3."
    first, second = model.requests
    assert first.tools == second.tools == ()
    assert (first.schema is not None) == obeys
    assert '"name": "add"' in first.messages[0].text
    assert [message.role for message in second.messages] == ["system", "user", "assistant", "user"]
    assert json.loads(second.messages[2].text)["calls"] == [call]
    assert second.messages[3].text.startswith("add returned:\n<data-")
    assert loop.run.steps[0].thoughts == (Thought(text="I add."),)
    assert loop.run.steps[0].reason == "tool_calls"


async def test_the_schema_of_a_led_reply_holds_the_arguments() -> None:
    from jsonschema import Draft202012Validator

    model = Told([reply(answer="x")], tools=False, schema=True)
    await events_of(AgentLoop(model, functions(add), QUESTION))
    assert model.requests[0].schema is not None
    valid = Draft202012Validator(dict(model.requests[0].schema))
    good = {"thought": "", "calls": [{"name": "add", "arguments": {"one": 1, "other": 2}}], "answer": ""}
    assert valid.is_valid(good)
    assert not valid.is_valid({**good, "calls": [{"name": "add", "arguments": {"one": "1"}}]})
    assert not valid.is_valid({**good, "calls": [{"name": "sub", "arguments": {"one": 1, "other": 2}}]})


async def test_a_led_model_that_ignores_the_protocol_has_answered() -> None:
    model = Told([say('The set {"a"} is '), say("all.")], tools=False)
    assert text_of(await events_of(AgentLoop(model, functions(add), QUESTION))) == 'The set {"a"} is all.'


async def test_a_led_model_that_is_lost_in_the_protocol_is_asked_plainly() -> None:
    usage = Usage(input_tokens=7, output_tokens=100, cost=3)
    lost: Turn = [say('{"thought": "why, why, why, why'), Finish(reason="length", usage=usage)]
    model = Told(lost, [say("It "), say("is 3.")], tools=False, schema=True)
    loop = AgentLoop(model, functions(add), QUESTION)
    events = await events_of(loop)
    assert text_of(events) == "It is 3."
    assert loop.run.usage.output_tokens == 105
    assert loop.run.usage.cost == 103
    assert model.requests[1].schema is None
    assert "JSON" not in model.requests[1].messages[0].text


async def test_a_led_model_that_has_to_answer_is_asked_plainly_and_streams() -> None:
    model = Told([say("One "), say("two.")], tools=False, schema=True)
    loop = AgentLoop(model, functions(add), QUESTION, bounds=Bounds(steps=1))
    events = await events_of(loop)
    assert [event.text for event in events if isinstance(event, TextPart)] == ["One ", "two."]
    assert model.requests[0].schema is None


async def test_a_led_model_has_its_results_in_one_turn() -> None:
    calls = [{"name": "add", "arguments": {"one": n, "other": 1}} for n in range(2)]
    model = Told([reply(calls=calls)], [say("Done.")], tools=False)
    await events_of(AgentLoop(model, functions(add), QUESTION, bounds=Bounds(steps=2)))
    messages = model.requests[1].messages
    assert [message.role for message in messages] == ["system", "user", "assistant", "user"]
    assert messages[2].text.splitlines()[1] == 'I have called add with {"one": 1, "other": 1}.'
    assert messages[-1].text.count("add returned:") == 2
    assert "No tool can be called any more" in messages[-1].text


async def test_a_led_model_is_a_model() -> None:
    inner = Told([reply(calls=[{"name": "add", "arguments": {}}, "odd", {"name": 5}])], tools=False)
    model = PromptedTools(inner)
    assert model.capabilities == Capabilities(tools=True)
    assert model.window == inner.window
    assert model.name.startswith(inner.name)
    assert model.count_tokens("a b") == 2
    tools = functions(add).tools
    completion = await complete(model, replace(QUESTION, tools=tools, tool_choice="add"))
    assert [call.name for call in completion.tool_calls] == ["add"]
    assert completion.finish.reason == "tool_calls"
    await model.close()
