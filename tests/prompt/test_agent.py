"""The agent loop: steps, evidence, faults, and the record of all of it."""

import asyncio
import json
from dataclasses import replace
from typing import Any

from sourcebook.models.base import (
    Finish,
    Message,
    Thought,
    ToolCall,
)
from sourcebook.prompt.agent import AgentLoop
from sourcebook.prompt.agent_run import VERSION, AgentEvent, Answering, Bounds, Calling, DraftPart, Step, digest
from sourcebook.prompt.cite import Reading, cite
from sourcebook.prompt.support import SupportJudge
from sourcebook.prompt.tools.base import Toolboxes
from sourcebook.prompt.tools.search import SearchTool
from sourcebook.types import Answer, Citation, Hit, Usage
from tests.prompt.told import (
    QUESTION,
    Told,
    add,
    ask,
    events_of,
    functions,
    hit,
    say,
    text_of,
    think,
)


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
    assert (record["version"], record["stopped"]) == (VERSION, "")
    (prompt,) = record["prompts"]
    assert prompt.startswith("agent@")
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
    who = {"tenant": "other", "account": "other", "purpose": "other", "answer_id": "other"}
    assert digest(QUESTION) == digest(replace(QUESTION, deadline=5.0, streamed=False, **who))  # type: ignore[arg-type]
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
