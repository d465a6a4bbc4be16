"""Python functions as tools: their schemas, their arguments as the hinted types, their results as text."""

import asyncio
import json
import subprocess
import sys
import threading
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, NewType, NotRequired, TypedDict
from uuid import UUID

import pytest
from jsonschema import Draft202012Validator

from sourcebook.errors import ToolError
from sourcebook.prompt.tools.base import CallLimits, Toolboxes, ToolResult
from sourcebook.prompt.tools.functions import FunctionTools
from sourcebook.types import Hit


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Item:
    """One line of an order."""

    product: str
    amount: int = 1
    tags: list[str] = field(default_factory=list)


@dataclass
class Tree:
    name: str
    children: "list[Tree]" = field(default_factory=list)


class Options(TypedDict):
    deep: bool
    limit: NotRequired[int]


class Place(NamedTuple):
    x: float
    y: float = 0.0


CustomerId = NewType("CustomerId", int)


def parameters_of(function: Any) -> dict[str, Any]:
    (tool,) = FunctionTools([function]).tools
    Draft202012Validator.check_schema(tool.parameters)
    return dict(tool.parameters)


def property_of(hint: Any) -> Any:
    def one(value: hint) -> None: ...

    one.__annotations__["value"] = hint
    return parameters_of(one)["properties"]["value"]


async def round_trip(hint: Any, sent: object) -> object:
    """What a function with a parameter of this hint gets, when a model sends this."""
    got: list[object] = []

    def one(value: hint) -> None:
        got.append(value)

    one.__annotations__["value"] = hint
    result = await Toolboxes([FunctionTools([one])]).call("one", json.dumps({"value": sent}))
    assert not result.failed, result.text
    return got[0]


@pytest.mark.parametrize(
    ("hint", "schema"),
    [
        (int, {"type": "integer"}),
        (float, {"type": "number"}),
        (bool, {"type": "boolean"}),
        (Any, {}),
        (str | None, {"anyOf": [{"type": "string"}, {"type": "null"}]}),
        (Literal["a", "b"], {"type": "string", "enum": ["a", "b"]}),
        (Literal["a", 1], {"enum": ["a", 1]}),
        (Colour, {"type": "string", "enum": ["red", "blue"]}),
        (list[int], {"type": "array", "items": {"type": "integer"}}),
        (set[str], {"type": "array", "items": {"type": "string"}, "uniqueItems": True}),
        (tuple[int, ...], {"type": "array", "items": {"type": "integer"}}),
        (dict[str, float], {"type": "object", "additionalProperties": {"type": "number"}}),
        (date, {"type": "string", "format": "date"}),
        (CustomerId, {"type": "integer"}),
        (Annotated[str, "Who it is"], {"type": "string", "description": "Who it is"}),
    ],
)
def test_hints_become_schemas(hint: Any, schema: dict[str, object]) -> None:
    assert property_of(hint) == schema


def test_a_tuple_has_its_length() -> None:
    schema = property_of(tuple[int, str])
    assert schema["prefixItems"] == [{"type": "integer"}, {"type": "string"}]
    assert (schema["minItems"], schema["maxItems"]) == (2, 2)


def test_classes_become_objects_with_required_fields() -> None:
    item = property_of(Item)
    assert item["required"] == ["product"]
    assert item["properties"]["amount"] == {"type": "integer", "default": 1}
    assert item["description"] == "One line of an order."
    assert item["additionalProperties"] is False
    assert property_of(Options)["required"] == ["deep"]
    assert property_of(Place)["required"] == ["x"]


@pytest.mark.parametrize(
    ("hint", "sent", "got"),
    [
        (int, 5.0, 5),
        (float, 2, 2.0),
        (date, "2026-05-31", date(2026, 5, 31)),
        (datetime, "2026-05-31T10:00:00+00:00", datetime.fromisoformat("2026-05-31T10:00:00+00:00")),
        (Decimal, "1.10", Decimal("1.10")),
        (UUID, "12345678-1234-5678-1234-567812345678", UUID("12345678-1234-5678-1234-567812345678")),
        (Path, "a/b", Path("a/b")),
        (Colour, "blue", Colour.BLUE),
        (Literal[1, True], True, True),
        (list[date], ["2026-01-01"], [date(2026, 1, 1)]),
        (set[int], [2, 1], {1, 2}),
        (tuple[int, str], [1, "a"], (1, "a")),
        (tuple[float, ...], [1], (1.0,)),
        (dict[str, Colour], {"a": "red"}, {"a": Colour.RED}),
        (Item, {"product": "Bell"}, Item("Bell")),
        (list[Item], [{"product": "Bell", "amount": 2}], [Item("Bell", 2)]),
        (Tree, {"name": "a", "children": [{"name": "b"}]}, Tree("a", [Tree("b")])),
        (Options, {"deep": True}, {"deep": True}),
        (Place, {"x": 1}, Place(1.0)),
        (int | None, None, None),
        (int | str, "5", "5"),
        (float | int, 5, 5),
        (date | str, "2026-01-01", date(2026, 1, 1)),
        (date | str, "tomorrow", "tomorrow"),
        (Item | list[Item], {"product": "Bell"}, Item("Bell")),
        (dict, {"a": 1}, {"a": 1}),
    ],
)
async def test_arguments_come_back_as_what_the_hints_say(hint: Any, sent: object, got: object) -> None:
    value = await round_trip(hint, sent)
    assert value == got
    assert type(value) is type(got)


@pytest.mark.parametrize(
    ("hint", "sent"),
    [(int, "5"), (int, True), (int, 5.5), (bool, 1), (Colour, "green"), (date, "31.5.2026"), (Item, {}),
     (Item, {"product": "a", "colour": 1}), (tuple[int, str], [1]), (dict[str, int], {"a": "b"}), (UUID, "x")],
)  # fmt: skip
async def test_wrong_arguments_are_told_and_nothing_runs(hint: Any, sent: object) -> None:
    ran = []

    def one(value: hint) -> None:
        ran.append(value)

    one.__annotations__["value"] = hint
    result = await Toolboxes([FunctionTools([one])]).call("one", json.dumps({"value": sent}))
    assert result.failed
    assert "value" in result.text
    assert "call again" in result.text
    assert not ran


def test_a_type_that_contains_itself_is_referred_to() -> None:
    def grow(tree: Tree) -> None: ...

    schema = parameters_of(grow)
    assert schema["properties"]["tree"] == {"$ref": "#/$defs/Tree"}
    valid = Draft202012Validator(schema)
    assert valid.is_valid({"tree": {"name": "a", "children": [{"name": "b", "children": []}]}})
    assert not valid.is_valid({"tree": {"name": "a", "children": [{"nom": "b"}]}})


def plain(product: str, currency: Literal["EUR", "USD"] = "EUR") -> float:
    """The price of a product.

    Prices include tax.

    product: its name,
    as in the catalogue
    Errors: none.
    """
    return 1.0


def google(product: str, amount: int = 2) -> float:
    """The price of a product.

    Prices include tax.

    Args:
        product: its name,
            as in the catalogue
        amount (int): how many

    Returns:
        Money.
    """
    return 1.0


def numpy_like(product: str, amount: int = 2) -> float:
    """The price of a product.

    Prices include tax.

    Parameters
    ----------
    product : str
        its name, as in the catalogue
    amount : int, optional
        how many

    Returns
    -------
    float
        Money.
    """
    return 1.0


def sphinx(product: str, amount: int = 2) -> float:
    """The price of a product.

    Prices include tax.

    :param product: its name, as in the catalogue
    :param int amount: how many
    :returns: Money.
    """
    return 1.0


@pytest.mark.parametrize("function", [plain, google, numpy_like, sphinx])
def test_docstrings_of_every_style_are_read(function: Any) -> None:
    (tool,) = FunctionTools([function]).tools
    assert tool.description == "The price of a product.\n\nPrices include tax."
    properties: Any = tool.parameters["properties"]
    assert properties["product"]["description"] == "its name, as in the catalogue"
    if function is plain:
        assert properties["currency"]["default"] == "EUR"
    else:
        assert properties["amount"] == {"type": "integer", "description": "how many", "default": 2}
    assert tool.parameters["required"] == ["product"]


def test_a_colon_in_the_description_is_no_parameter() -> None:
    def look(what: str) -> None:
        """Look it up. Note: slow."""

    (tool,) = FunctionTools([look]).tools
    assert tool.description == "Look it up. Note: slow."


def starred(*names: str) -> None: ...


def unhinted(name) -> None: ...  # type: ignore[no-untyped-def]


def odd(name: threading.Lock) -> None: ...


def keyed(names: dict[int, str]) -> None: ...


def lost(name: "Nowhere") -> None: ...  # type: ignore[name-defined]  # noqa: F821


@pytest.mark.parametrize("function", [starred, unhinted, odd, keyed, lost])
def test_what_cannot_be_described_is_refused_at_once_by_name(function: Any) -> None:
    with pytest.raises(ToolError, match=function.__name__):
        FunctionTools([function])


def test_generators_are_refused() -> None:
    def some() -> Any:
        yield 1

    with pytest.raises(ToolError, match="generator"):
        FunctionTools([some])


async def test_results_become_text() -> None:
    results: list[object] = [
        "as it is",
        None,
        1.5,
        {"a": date(2026, 1, 2)},
        [Item("ä")],
        Colour.RED,
        {3},
        Decimal("1.0"),
    ]

    def give(number: int) -> Any:
        return results[number]

    box = FunctionTools([give])
    texts = [(await box.call("give", json.dumps({"number": n}))).text for n in range(len(results))]
    assert texts == [
        "as it is",
        "Done; it returned nothing.",
        "1.5",
        '{"a": "2026-01-02"}',
        '[{"product": "ä", "amount": 1, "tags": []}]',
        '"red"',
        "[3]",
        '"1.0"',
    ]


async def test_a_result_of_ours_is_passed_on(hit: Hit) -> None:
    async def find() -> ToolResult:
        return ToolResult(text="found", hits=(hit,))

    result = await Toolboxes([FunctionTools([find])]).call("find", "")
    assert (result.text, result.hits) == ("found", (hit,))


async def test_what_is_raised_is_told() -> None:
    def divide(number: int) -> float:
        return 1 / number

    async def stop() -> None:
        raise StopIteration("odd")

    def stop_too() -> None:
        raise StopIteration("odd")

    box = Toolboxes([FunctionTools([divide, stop, stop_too])])
    result = await box.call("divide", '{"number": 0}')
    assert result.failed
    assert result.text == "divide raised ZeroDivisionError: division by zero"
    assert (await box.call("stop", "")).failed
    assert (await box.call("stop_too", "")).failed


async def test_sync_functions_run_beside_the_loop_with_its_context() -> None:
    who: ContextVar[str] = ContextVar("who")
    who.set("alice")
    gate = threading.Event()

    def wait() -> str:
        assert gate.wait(5)
        return f"{who.get()} {threading.current_thread() is threading.main_thread()}"

    def release() -> None:
        gate.set()

    box = FunctionTools([wait, release])
    waited, _ = await asyncio.gather(box.call("wait", ""), box.call("release", ""))
    assert waited.text == "alice False"


async def test_a_function_that_hangs_is_left_behind() -> None:
    gate = threading.Event()

    def hang() -> None:
        gate.wait(5)

    box = Toolboxes([FunctionTools([hang])], limits=CallLimits(seconds=0.02))
    result = await box.call("hang", "")
    gate.set()
    assert result.failed
    assert "0.02 seconds" in result.text


def test_a_function_that_hangs_does_not_hold_up_the_end_of_the_program() -> None:
    script = """
import asyncio, time
from sourcebook.prompt.tools.base import CallLimits, Toolboxes
from sourcebook.prompt.tools.functions import FunctionTools
def hang() -> None:
    time.sleep(60)
box = Toolboxes([FunctionTools([hang])], limits=CallLimits(seconds=0.01))
assert asyncio.run(box.call("hang", "")).failed
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=30)


async def test_positional_parameters_methods_and_callables() -> None:
    class Shop:
        def price(self, product: str, /, factor: float = 1.0, *, tax: bool) -> str:
            return f"{product} {factor} {tax}"

        async def __call__(self, product: str) -> str:
            """Call the shop."""
            return product

    box = Toolboxes([FunctionTools([Shop().price])])
    assert (await box.call("price", '{"product": "Bell", "tax": true}')).text == "Bell 1.0 True"
    box = Toolboxes([FunctionTools([Shop()])])
    assert box.tools[0].description == "Call the shop."
    assert (await box.call("Shop", '{"product": "Bell"}')).text == "Bell"


async def test_pydantic_models_are_described_and_made() -> None:
    pydantic = pytest.importorskip("pydantic")

    class Address(pydantic.BaseModel):  # type: ignore[misc,name-defined]
        city: str

    class Customer(pydantic.BaseModel):  # type: ignore[misc,name-defined]
        name: str = pydantic.Field(description="Full name")
        addresses: tuple[Address, ...] = ()

    def greet(customer: Any) -> Any:
        return customer

    greet.__annotations__["customer"] = Customer
    schema = parameters_of(greet)
    assert schema["properties"]["customer"]["properties"]["name"]["description"] == "Full name"
    assert "Address" in schema["$defs"]
    box = Toolboxes([FunctionTools([greet])])
    sent = {"customer": {"name": "Ada", "addresses": [{"city": "London"}]}}
    assert json.loads((await box.call("greet", json.dumps(sent))).text) == sent["customer"]
    assert (await box.call("greet", '{"customer": {"addresses": [{}]}}')).failed


def test_bounds_of_annotations_are_kept() -> None:
    annotated_types = pytest.importorskip("annotated_types")
    hint = Annotated[int, annotated_types.Ge(1), annotated_types.Le(9)]
    assert property_of(hint) == {"type": "integer", "minimum": 1, "maximum": 9}


# --- what ends programs, and what JSON has no words for -----------------------------------------------------


def leaves() -> str:
    """Leave."""
    sys.exit(3)


async def leaves_too() -> str:
    """Leave."""
    sys.exit(3)


async def cancels() -> str:
    """Cancel."""
    raise asyncio.CancelledError


async def test_a_tool_that_ends_the_program_or_itself_has_failed() -> None:
    box = Toolboxes([FunctionTools([leaves, leaves_too, cancels])])
    for name in ("leaves", "leaves_too", "cancels"):
        result = await asyncio.wait_for(box.call(name, "{}"), 5)
        assert result.failed
        assert name in result.text
    caller = asyncio.current_task()
    assert caller is not None
    assert not caller.cancelling()


async def test_a_call_that_is_cancelled_is_cancelled() -> None:
    async def waits() -> str:
        await asyncio.sleep(60)
        return ""

    call = asyncio.create_task(FunctionTools([waits]).call("waits", "{}"))
    await asyncio.sleep(0.05)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


async def test_keys_of_every_kind_become_text() -> None:
    def found() -> Any:
        return {date(2024, 1, 1): {Colour.RED: Decimal("1.50")}, (1, 2): {3: None}, None: [Item("cup")]}

    assert json.loads((await FunctionTools([found]).call("found", "{}")).text) == {
        "2024-01-01": {"red": "1.50"}, "[1, 2]": {"3": None},
        "null": [{"product": "cup", "amount": 1, "tags": []}],
    }  # fmt: skip


def test_a_choice_of_values_that_json_has_not_is_refused_when_the_toolbox_is_made() -> None:
    class Pair(Enum):
        ONE = (1, 2)

    def choose(pair: Pair) -> str:
        return pair.name

    with pytest.raises(ToolError, match="no counterpart in JSON"):
        FunctionTools([choose])
