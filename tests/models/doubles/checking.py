"""Requests and replies held against the vendors' published schemas, where those are at hand."""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest

SPECS = Path(__file__).parents[4] / "shared" / "specs"


needs_specs = pytest.mark.skipif(not SPECS.exists(), reason="the vendors' schemas are not here")
"""For tests that hold doubles and requests against schemas that do not go into the repository."""


@cache
def openapi(name: str) -> dict[str, Any]:
    """A vendor's OpenAPI description, as JSON or YAML below `SPECS`."""
    import yaml

    text = (SPECS / name).read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text) if name.endswith("json") else yaml.load(text, yaml.CSafeLoader)
    mended: dict[str, Any] = mend(loaded)
    return mended


def mend(schema: Any) -> Any:
    """As JSON Schema: `nullable` becomes what it means, and of alternatives that overlap any may fit."""
    if isinstance(schema, list):
        return [mend(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {{"oneOf": "anyOf"}.get(name, name): mend(value) for name, value in schema.items() if name != "nullable"}
    return {"anyOf": [kept, {"type": "null"}]} if schema.get("nullable") is True else kept


def breaks(description: dict[str, Any], schema: Mapping[str, Any], value: object) -> str:
    """What of a value breaks a schema of an OpenAPI description, whose components it may refer to."""
    from jsonschema import Draft202012Validator

    whole = {**schema, "components": description["components"]}
    errors = sorted(Draft202012Validator(whole).iter_errors(value), key=lambda error: str(list(error.path)))
    return "; ".join(f"{list(error.path)}: {error.message[:300]}" for error in errors)


def component(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}
