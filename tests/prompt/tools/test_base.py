"""Several toolboxes as one: names, arguments, limits, results as data."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from sourcebook.errors import FilterError, ToolError
from sourcebook.models.base import JsonSchema, Tool
from sourcebook.prompt.tools.base import MAX_ARGUMENTS, CallLimits, Toolboxes, ToolResult, read_arguments

OBJECT: JsonSchema = {"type": "object"}
NESTED: JsonSchema = {
    "type": "object",
    "properties": {
        "items": {"type": "array", "items": {"$ref": "#/$defs/item"}},
        "count": {"type": "integer", "minimum": 1},
    },
    "required": ["items"],
    "additionalProperties": False,
    "$defs": {"item": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}},
}


class Box:
    """A toolbox of one tool that returns, raises or waits as it is told."""

    def __init__(self, name: str = "echo", parameters: JsonSchema = OBJECT, outcome: Any = None) -> None:
        self.tools = (Tool(name=name, description=name, parameters=parameters),)
        self.outcome = outcome
        self.called: list[str] = []
        self.closed = False

    async def call(self, name: str, arguments: str) -> ToolResult:
        self.called.append(arguments)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        if isinstance(self.outcome, float):
            await asyncio.sleep(self.outcome)
        return ToolResult(text=self.outcome if isinstance(self.outcome, str) else arguments)

    async def close(self) -> None:
        self.closed = True
        if isinstance(self.outcome, Exception):
            raise self.outcome


async def test_a_call_goes_to_the_box_that_has_the_tool() -> None:
    one, other = Box("one"), Box("other")
    boxes = Toolboxes([one, other])
    assert [tool.name for tool in boxes.tools] == ["one", "other"]
    result = await boxes.call("other", '{"a": "ä"}')
    assert result.text == '{"a": "ä"}'
    assert result.seconds > 0
    assert (one.called, other.called) == ([], ['{"a": "ä"}'])
    assert (await boxes.call("one", "  ")).text == "{}"


def test_two_tools_of_one_name_are_an_error() -> None:
    with pytest.raises(ToolError, match="Two tools are called 'echo'"):
        Toolboxes([Box(), Box()])


@pytest.mark.parametrize("name", ["", "a b", "a.b", "ä", "x" * 65])
def test_names_that_no_vendor_accepts_are_an_error(name: str) -> None:
    with pytest.raises(ToolError, match="no name for a tool"):
        Toolboxes([Box(name)])


def test_parameters_that_are_no_object_are_an_error() -> None:
    with pytest.raises(ToolError, match="not an object"):
        Toolboxes([Box(parameters={"type": "string"})])


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("{", "not JSON"),
        ("[1]", "a JSON array"),
        ('"a"', "a JSON string"),
        ("5", "a JSON number"),
        ("null", "a JSON null"),
        ("true", "a JSON truth value"),
        ('{"items": NaN}', "NaN is no JSON value"),
        ("[" * 100_000, "not JSON"),
        ('{"a": "' + "x" * MAX_ARGUMENTS + '"}', "longer than"),
        ("{}", "'items' is a required property"),
        ('{"items": "a"}', "items: 'a' is not of type 'array'"),
        ('{"items": [{"name": "a"}, {}]}', "items[1]: 'name' is a required property"),
        ('{"items": [{"name": 5}]}', "items[0].name: 5 is not of type 'string'"),
        ('{"items": [], "count": 0}', "count: 0 is less than the minimum of 1"),
        ('{"items": [], "colour": 1}', "'colour' was unexpected"),
        ('{"items": "' + "x" * 1000 + '"}', " ..."),
    ],
)
async def test_what_is_wrong_with_arguments_is_told_and_nothing_runs(arguments: str, told: str) -> None:
    box = Box(parameters=NESTED)
    result = await Toolboxes([box]).call("echo", arguments)
    assert result.failed
    assert told in result.text
    assert len(result.text) < 1000
    assert not box.called


async def test_an_unknown_tool_is_told_what_there_is() -> None:
    result = await Toolboxes([Box("one"), Box("other")]).call("third", "{}")
    assert result.failed
    assert "There are: one, other" in result.text


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": {"$ref": "http://127.0.0.1:9/schema.json"}}},
        {"type": "object", "properties": {"a": {"$ref": "file:///etc/passwd"}}},
        {"type": "object", "properties": {"a": {"$ref": "#/$defs/nothing"}}},
        {"type": "object", "properties": {"a": {"type": "nonsense"}}},
    ],
)
async def test_a_schema_that_leads_elsewhere_is_not_followed(schema: JsonSchema) -> None:
    box = Box(parameters=schema)
    result = await Toolboxes([box]).call("echo", '{"a": 1}')
    assert result.failed
    assert not box.called


async def test_a_schema_reads_no_file(tmp_path: Path) -> None:
    (tmp_path / "any.json").write_text("{}")
    uri = (tmp_path / "any.json").as_uri()
    box = Box(parameters={"type": "object", "properties": {"a": {"$ref": uri}}})
    result = await Toolboxes([box]).call("echo", '{"a": 1}')
    assert result.failed
    assert "cannot be followed" in result.text
    assert not box.called


async def test_a_call_has_a_time_limit() -> None:
    boxes = Toolboxes([Box(outcome=5.0)], limits=CallLimits(seconds=0.01))
    result = await boxes.call("echo", "{}")
    assert result.failed
    assert "took longer than 0.01 seconds" in result.text
    assert result.seconds < 1


async def test_a_tools_own_time_out_is_not_ours() -> None:
    result = await Toolboxes([Box(outcome=TimeoutError("the shop is shut"))]).call("echo", "{}")
    assert result.failed
    assert "the shop is shut" in result.text


async def test_a_long_result_is_cut_and_says_so() -> None:
    boxes = Toolboxes([Box(outcome="x" * 50)], limits=CallLimits(characters=10))
    result = await boxes.call("echo", "{}")
    assert result.cut
    assert result.text.startswith("x" * 10 + "\n[cut: the first 10 of 50 characters")
    boxes = Toolboxes([Box(outcome="x" * 10)], limits=CallLimits(characters=10))
    assert not (await boxes.call("echo", "{}")).cut


@pytest.mark.parametrize("error", [ToolError("No", remedy="Do"), FilterError("No"), RuntimeError("No"), KeyError("No")])
async def test_whatever_a_tool_raises_is_a_failed_result(error: Exception) -> None:
    result = await Toolboxes([Box(outcome=error)]).call("echo", "{}")
    assert result.failed
    assert "No" in result.text


async def test_cancellation_goes_through() -> None:
    task = asyncio.create_task(Toolboxes([Box(outcome=5.0)]).call("echo", "{}"))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_all_are_closed_even_if_one_fails() -> None:
    boxes = [Box("a"), Box("b", outcome=OSError("no")), Box("c")]
    await Toolboxes(boxes).close()
    assert all(box.closed for box in boxes)


def test_arguments_are_read() -> None:
    assert read_arguments('{"a": [1, null]}') == {"a": [1, None]}
    assert read_arguments("") == {}
