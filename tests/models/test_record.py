"""Requests survive the way into JSON and back, and give the same bytes."""

import json
from dataclasses import fields, replace

from hypothesis import given
from hypothesis import strategies as st

from sourcebook.models.base import Image, Message, ModelRequest, Thought, Tool, ToolCall
from sourcebook.models.formats.openai_chat import OpenAIChat
from sourcebook.models.record import hit_from, hit_record, request_from, request_record
from sourcebook.models.wire import Target
from sourcebook.types import Hit, Passage, PassageId

EVERYTHING = ModelRequest(
    question="왜?",
    messages=(
        Message(role="system", text="Be brief.", keep=True),
        Message(
            role="user",
            text="Look",
            images=(Image(media_type="image/png", data=b"\x00\xff"), Image(media_type="image/png", url="https://x/y")),
        ),
        Message(
            role="assistant",
            tool_calls=(ToolCall(id="1", name="weather", arguments='{"b": 1, "a": 2}', signature="s"),),
            thoughts=(Thought(text="hm", signature="t"),),
        ),
        Message(role="tool", tool_call_id="1", text="rain", failed=True),
    ),
    max_sentences=2,
    max_output_tokens=99,
    temperature=0.0,
    top_p=0.5,
    seed=3,
    stop=("\n", "END"),
    tools=(Tool(name="weather", description="d", parameters={"z": 1, "a": {"type": "object"}}),),
    tool_choice="weather",
    schema={"type": "object", "b": [1], "a": None},
    reasoning="low",
    logprobs=True,
    streamed=False,
    tenant="t",
    account="a",
    purpose="p",
)  # fmt: skip
HIT = Hit(
    passage=Passage(
        id=PassageId("0" * 32),
        document="file:///a",
        version=2,
        ordinal=3,
        text="Text 🗼",
        start=5,
        end=11,
        title="T",
        heading_path=("A", "B"),
        page=4,
        location="row 2",
        language="en",
        metadata={"tags": ("x", "y"), "n": 1},
    ),
    score=0.25,
    channels={"dense": 1},
    duplicates=("file:///b",),
)


def there_and_back(request: ModelRequest) -> ModelRequest:
    return request_from(json.loads(json.dumps(request_record(request))), request.evidence)


def test_everything_comes_back() -> None:
    request = replace(EVERYTHING, evidence=(HIT,))
    assert there_and_back(request) == request
    default = ModelRequest()
    same = [one.name for one in fields(ModelRequest) if getattr(request, one.name) == getattr(default, one.name)]
    assert same == ["deadline", "answer_id"], "a new field of ModelRequest must be kept, and tested here"


def test_a_deadline_is_true_of_one_run_only() -> None:
    assert there_and_back(replace(EVERYTHING, deadline=17.0)).deadline is None


def test_the_bytes_are_the_same() -> None:
    wire = OpenAIChat(Target(provider="openai", base="https://x", model="m", key="k"))
    assert wire.call(there_and_back(EVERYTHING)).body == wire.call(EVERYTHING).body


def test_hits_come_back() -> None:
    assert hit_from(json.loads(json.dumps(hit_record(HIT)))) == HIT


def test_what_later_versions_add_is_passed_over() -> None:
    assert request_from({"messages": [], "never_heard_of": 1}) == ModelRequest()
    record = json.loads(json.dumps(request_record(EVERYTHING)))
    parts = [*record["messages"], *record["tools"]]
    parts += [one for message in record["messages"] for name in ("images", "tool_calls", "thoughts")
              for one in message.get(name, ())]  # fmt: skip
    for one in parts:
        one["never_heard_of"] = 1
    assert request_from(record) == EVERYTHING


@given(st.text(), st.floats(0, 2), st.integers(1, 10_000))
def test_any_text_comes_back(text: str, temperature: float, limit: int) -> None:
    asked = ModelRequest(messages=(Message(role="user", text=text),), temperature=temperature, max_output_tokens=limit)
    assert there_and_back(asked) == asked
