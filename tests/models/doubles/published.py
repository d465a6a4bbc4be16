"""The vendors' published schemas, where this repository lies next to them; tests that need them are skipped elsewhere."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest

SPECS = Path(__file__).resolve().parents[4] / "shared" / "specs"


@cache
def _document(name: str) -> dict[str, Any]:
    path = SPECS / name
    if not path.is_file():
        pytest.skip(f"{name} is not here")
    import yaml

    with path.open("rb") as file:
        document: dict[str, Any] = _discriminated(yaml.load(file, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    return document


def _discriminated(value: Any) -> Any:
    """OpenAPI's discriminators say which of several applies; without them more than one may."""
    if isinstance(value, dict):
        rename = "discriminator" in value and "oneOf" in value
        return {"anyOf" if rename and name == "oneOf" else name: _discriminated(one) for name, one in value.items()}
    return [_discriminated(one) for one in value] if isinstance(value, list) else value


def published_finds(name: str, schema: str | dict[str, Any], value: Any) -> str:
    """What a component of a published OpenAPI document, or a schema that refers to them, finds wrong; or ""."""
    jsonschema = pytest.importorskip("jsonschema")
    document = _document(name)
    wanted = {"$ref": f"#/components/schemas/{schema}"} if isinstance(schema, str) else schema
    validator = jsonschema.Draft202012Validator({**wanted, "components": document["components"]})
    return next((f"{'/'.join(map(str, one.absolute_path))}: {one.message}" for one in validator.iter_errors(value)), "")


def operation(name: str, path: str) -> dict[str, Any]:
    """The schema of a POST's body."""
    schema: dict[str, Any] = _document(name)["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
    return schema
