"""What one run of the agent loop may take: steps, tokens, money, time, and the window of the model."""

import asyncio
from dataclasses import replace
from time import monotonic
from typing import Any

import pytest

from sourcebook.errors import BudgetExceeded, ContextTooLong, DeadlineExceeded, Unavailable
from sourcebook.models.base import Finish, Message, ModelRequest, ToolCallPart
from sourcebook.prompt.agent import AgentLoop, reserved_for_tools
from sourcebook.prompt.agent_run import Answering, Bounds
from sourcebook.prompt.tools.base import Toolboxes
from sourcebook.prompt.tools.search import SearchTool
from sourcebook.types import Hit, Usage
from tests.prompt.told import QUESTION, Told, Turn, add, ask, events_of, functions, hit, say, size_of, text_of


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


async def test_a_step_that_may_cost_more_than_all_is_not_made() -> None:
    model = Endless()
    loop = AgentLoop(model, functions(add), QUESTION, bounds=Bounds(cost=1000), estimate=lambda request: 5_000_000)
    with pytest.raises(BudgetExceeded, match=r"agent\.cost"):
        await events_of(loop)
    assert (model.requests, loop.run.steps) == ([], ())


async def test_without_a_price_the_record_says_that_money_is_not_bounded() -> None:
    loop = AgentLoop(Endless(), functions(add), QUESTION, bounds=Bounds(cost=1, steps=1), estimate=lambda request: None)
    await events_of(loop)
    (note,) = loop.run.notes
    assert "agent.cost" in note
    assert loop.run.record()["notes"] == [note]
    priced = AgentLoop(Endless(), functions(add), QUESTION, bounds=Bounds(steps=1), estimate=lambda request: 10)
    await events_of(priced)
    assert priced.run.notes == ()


async def test_a_step_that_broke_off_costs_what_its_error_says() -> None:
    usage = Usage(input_tokens=70, output_tokens=3, cost=9, counted_by="vendor")
    for error, cost, priced in ((Unavailable("down", usage=usage), 9, True), (Unavailable("down"), 0, False)):
        loop = AgentLoop(Told([say("Half "), error]), functions(add), QUESTION)
        with pytest.raises(Unavailable):
            await events_of(loop)
        assert (loop.run.usage.cost, loop.run.usage.priced) == (cost, priced)


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
    loop = AgentLoop(model, functions(slow, quick), QUESTION, bounds=Bounds(seconds=2))
    began = monotonic()
    assert text_of(await events_of(loop)) == "Quick it is."
    assert monotonic() - began < 2
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


# --- the window ---------------------------------------------------------------------------------------------


def read(number: int) -> str:
    """Read."""
    return f"n{number} " * 300


def asks(*numbers: int) -> list[list[ToolCallPart]]:
    return [[ask("read", f'{{"number": {n}}}', f"c{place}")] for place, n in enumerate(numbers)]


def results_in(request: ModelRequest) -> list[str]:
    return [message.text for message in request.messages if message.role == "tool"]


async def test_old_results_make_room_in_the_window() -> None:
    model = Told(*asks(0, 1, 2, 3), [say("Done.")], window=1000)
    loop = AgentLoop(model, functions(read), QUESTION)
    assert text_of(await events_of(loop)) == "Done."
    results = results_in(model.requests[-1])
    assert "left out" in results[0]
    assert "n3 n3" in results[3]
    assert all(size_of(request, model) <= 1000 for request in model.requests)
    assert "n0 n0" in loop.run.steps[0].runs[0].shown


@pytest.mark.parametrize("tools", [True, False])
@pytest.mark.parametrize("window", [420, 600, 1000, 3000])
async def test_what_is_sent_fits_the_window_if_the_composer_leaves_room(window: int, tools: bool) -> None:
    model = Told(*asks(0, 1) if tools else [], [say("Done.")], window=window, tools=tools)
    reserved = reserved_for_tools(model, functions(read).tools)
    words = window - reserved - QUESTION.max_output_tokens - 20
    given = replace(QUESTION, messages=(Message(role="user", text="word " * words),))
    loop = AgentLoop(model, functions(read), given)
    assert text_of(await events_of(loop)) == "Done."
    assert max(size_of(request, model) for request in model.requests) <= window
    assert reserved_for_tools(model, ()) == 0


async def test_a_prompt_that_leaves_no_room_for_an_answer_is_not_sent() -> None:
    model = Told([say("Done.")], window=500)
    given = replace(QUESTION, messages=(Message(role="user", text="word " * 480),))
    with pytest.raises(ContextTooLong, match="window"):
        await events_of(AgentLoop(model, functions(read), given))
    assert model.requests == []


async def test_a_result_that_was_left_out_can_be_had_again() -> None:
    model = Told(*asks(0, 1, 2, 0), [say("Done.")], window=1000)
    loop = AgentLoop(model, functions(read), QUESTION)
    await events_of(loop)
    assert "left out" in results_in(model.requests[-1])[0]
    assert "n0 n0" in results_in(model.requests[-1])[-1]
    assert not any(run.repeated for step in loop.run.steps for run in step.runs)


async def test_passages_that_were_left_out_are_shown_again_under_their_numbers() -> None:
    async def search(query: str, top: int, where: str | None) -> list[Hit]:
        return [hit(f"{query} " * 300, f"file:///{query}")]

    queries = [
        [ask("search", f'{{"query": "{query}"}}', str(n))] for n, query in enumerate(["old", "new", "red", "old"])
    ]
    model = Told(*queries, [say("Done [1].")], window=1000)
    loop = AgentLoop(model, Toolboxes([SearchTool(search)]), QUESTION)
    await events_of(loop)
    first, *_, last = results_in(model.requests[-1])
    assert "left out" in first
    assert 'number="1"' in last
    assert "old old" in last
    assert len(loop.run.evidence) == 3


async def test_what_the_model_has_not_seen_yet_is_shortened_instead() -> None:
    model = Told(
        [*asks(0)[0], ask("read", '{"number": 7}', "b"), ask("add", '{"one": 1, "other": 2}', "c")], [say("Done.")],
        window=600,
    )  # fmt: skip
    loop = AgentLoop(model, functions(read, add), QUESTION)
    await events_of(loop)
    one, other, small = results_in(model.requests[-1])
    assert "\n3\n" in small
    assert "cut" not in small
    for text, word in ((one, "n0 n0"), (other, "n7 n7")):
        assert word in text
        assert "ask for less" in text
        tag = text[1:].split()[0]
        assert f"</{tag}>" in text  # it is closed all the same
    assert size_of(model.requests[-1], model) <= 600
    assert [run.shown for run in loop.run.steps[0].runs] == [one, other, small]


async def test_of_many_passages_those_that_fit_are_shown() -> None:
    async def search(query: str, top: int, where: str | None) -> list[Hit]:
        return [hit(f"text{n} " * 60, f"file:///{n}") for n in range(12)]

    model = Told([ask("search", '{"query": "all"}')], [say("Done.")], window=700)
    await events_of(AgentLoop(model, Toolboxes([SearchTool(search)]), QUESTION))
    (result,) = results_in(model.requests[-1])
    assert 'number="1"' in result
    assert 'number="12"' not in result
    assert result.count("<passage-") == result.count("</passage-")
    assert size_of(model.requests[-1], model) <= 700


async def test_the_count_of_several_attempts_is_not_taken_for_that_of_the_prompt() -> None:
    several = Usage(input_tokens=160_000, output_tokens=5, counted_by="vendor", exact=False)
    one, other = asks(0, 1)
    for usage in (several, replace(several, exact=True)):
        turns: list[Turn] = [[*one, Finish(reason="tool_calls", usage=usage)], other, [say("Done.")]]
        model = Told(*turns, window=2000)
        await events_of(AgentLoop(model, functions(read), QUESTION, bounds=Bounds(tokens=1_000_000)))
        assert "n0 n0" in results_in(model.requests[-1])[0]
