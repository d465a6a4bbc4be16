"""A model that behaves, a book that answers, and what the frameworks' own suites ask for."""

import asyncio
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from sourcebook import BlockingSourcebook, open_book
from sourcebook.models.base import (
    Capabilities,
    Finish,
    ModelEvent,
    ModelRequest,
    TextPart,
    ToolCall,
    ToolCallPart,
)
from sourcebook.types import Usage
from tests.models.route.scripted import Scripted

USAGE = Usage(
    input_tokens=30,
    output_tokens=12,
    cached_tokens=8,
    cache_write_tokens=4,
    reasoning_tokens=5,
    counted_by="vendor",
    cost=210,
)
CAN = Capabilities(tools=True, images=True, schema=True, reasoning=True, seed=True)


def pytest_configure(config: pytest.Config) -> None:
    for marker in ("benchmark: measured by their suites", "vcr: recorded by their suites"):
        config.addinivalue_line("markers", marker)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Their suites also time the making of a model, and compare a serialised one with a file: plugins do that."""
    theirs = {"benchmark", "snapshot"}
    here = Path(__file__).parent
    left_out = [
        one for one in items if here in one.path.parents and not theirs.isdisjoint(getattr(one, "fixturenames", ()))
    ]
    items[:] = [one for one in items if one not in left_out]
    config.hook.pytest_deselected(items=left_out)


def value_of(schema: Any, name: str = "") -> Any:
    """A value of a JSON schema: what a model would write that was asked for one."""
    match schema:
        case {"$ref": _} | {"const": _} | {"enum": _}:
            return schema.get("const", (schema.get("enum") or [None])[0])
        case {"anyOf": [first, *_]}:
            return value_of(first, name)
        case {"type": "object"}:
            return {key: value_of(one, key) for key, one in schema.get("properties", {}).items()}
        case {"type": "array", "items": items}:
            return [value_of(items)]
        case {"type": "integer"}:
            return {"input": 3}.get(name, 4)
        case {"type": "number"}:
            return 1.5
        case {"type": "boolean"}:
            return True
        case {"type": "null"}:
            return None
    return {"location": "San Francisco", "city": "서울"}.get(name, f"some {name}")


def behaves(request: ModelRequest) -> Sequence[ModelEvent]:
    """Calls the tool that it may, once; writes JSON where a schema is asked for; else says something."""
    last = request.messages[-1]
    done = Finish(reason="stop", usage=USAGE, request_id="r-1", served_by="scripted")
    wanted = [one for one in request.tools if request.tool_choice in ("auto", "required", one.name)]
    if request.schema is not None:
        return [TextPart(text=piece) for piece in _pieces(json.dumps(value_of(request.schema)))] + [done]
    if wanted and last.role == "user":
        arguments = value_of(wanted[0].parameters)
        if "customer_name" in arguments:
            arguments["customer_name"] = last.text
        call = ToolCall(id="call-1", name=wanted[0].name, arguments=json.dumps(arguments))
        return [ToolCallPart(call=call), Finish(reason="tool_calls", usage=USAGE, request_id="r-1")]
    said = f"The tool says {last.text}." if last.role == "tool" else "Hello from the model."
    return [TextPart(text=piece) for piece in _pieces(said)] + [done]


async def until(true: Callable[[], bool]) -> None:
    """Wait for it, a second at most."""
    for _ in range(200):
        if true():
            return
        await asyncio.sleep(0.005)
    raise AssertionError


@pytest.fixture
def a_module() -> Iterator[ModuleType]:
    """A module `my_models` that can be imported, for tests to put something into."""
    module = ModuleType("my_models")
    sys.modules[module.__name__] = module
    yield module
    del sys.modules[module.__name__]


def _pieces(text: str) -> list[str]:
    return [text[start : start + 7] for start in range(0, len(text), 7)]


def a_model(script: Callable[[ModelRequest], Sequence[Any]] = behaves, can: Capabilities = CAN) -> Scripted:
    return Scripted("scripted", script=script, capabilities=can)


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BlockingSourcebook]:
    folder: Path = tmp_path_factory.mktemp("interop")
    (folder / "docs").mkdir()
    texts = {
        "lighthouse.md": "# The lighthouse\n\nThe lighthouse on Gull Island was built in 1873. It is 41 metres tall.\n",
        "village.md": "# Port Anders\n\nPort Anders is the only village of Gull Island. It has 212 inhabitants.\n",
        "bread.md": "# Bread\n\nBread is baked from flour, water, salt and yeast. The dough rests for two hours.\n",
        "ferry.md": "# The ferry\n\nThe ferry to Gull Island leaves at nine. It takes forty minutes.\n",
    }
    for name, text in texts.items():
        (folder / "docs" / name).write_text(text, encoding="utf-8")
    (folder / "home").mkdir()
    (folder / "home" / "sourcebook.toml").write_text('[parts]\nembed = "hashing:256"\nindex = "flat"\n')
    with open_book(folder / "home") as opened:
        opened.add(folder / "docs")
        report = opened.sync()
        assert report.added == 4
        yield opened
