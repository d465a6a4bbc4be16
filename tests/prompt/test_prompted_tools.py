"""Models without tools of their own, led by a protocol."""

import json
from dataclasses import replace

import pytest

from sourcebook.models.base import Capabilities, Finish, Switched, TextPart, Thought, complete
from sourcebook.prompt.agent import AgentLoop
from sourcebook.prompt.agent_run import Bounds
from sourcebook.prompt.prompted_tools import PromptedTools
from sourcebook.types import Usage
from tests.prompt.told import QUESTION, Told, Turn, add, events_of, functions, say, text_of


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
    assert [one.partition("@")[0] for one in loop.run.prompts] == ["agent", "agent-protocol"]


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


async def test_what_a_withdrawn_model_asked_for_is_not_run() -> None:
    """With nothing kept, the text of the model that gave up is gone, whole object or not."""
    paid = []

    def pay() -> None:
        paid.append(1)

    begun = reply(calls=[{"name": "pay", "arguments": {}}])
    switched = Switched(before="a", after="b", reason="down", kept=0)
    model = Told([begun, switched, reply(answer="It is free.")], tools=False)
    events = await events_of(AgentLoop(model, functions(pay), QUESTION))
    assert text_of(events) == "It is free."
    assert paid == []


async def test_a_led_model_that_goes_on_for_another_ends_its_object() -> None:
    begun, rest = '{"thought": "", "calls": [], "answer": "It ', 'is 3."}'
    switched = Switched(before="a", after="b", reason="down", kept=len(begun))
    model = Told([say(begun + "xx"), switched, say(rest)], tools=False)
    assert text_of(await events_of(AgentLoop(model, functions(add), QUESTION))) == "It is 3."


async def test_a_led_model_may_think_first() -> None:
    thought = say('<think>Perhaps {"calls": [{"name": "add", "arguments": {}}]}?</think>')
    model = Told([thought, reply(answer="It is 3.")], tools=False)
    assert text_of(await events_of(AgentLoop(model, functions(add), QUESTION))) == "It is 3."
