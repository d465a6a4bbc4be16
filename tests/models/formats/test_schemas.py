"""Schemas as vendors enforce them: closed without a change of what they mean, or left as they are."""

from typing import Any

import pytest

from sourcebook.models.formats.schemas import closed_schema, strict_schema
from tests.models.doubles.openai_rules import schema_broken

NAME: dict[str, Any] = {"type": "object", "properties": {"name": {"type": "string"}}}
CLOSED = {**NAME, "additionalProperties": False}
STRICT = {**CLOSED, "required": ["name"]}


@pytest.mark.parametrize(
    ("schema", "closed"),
    [
        (NAME, CLOSED),
        ({**NAME, "additionalProperties": False}, CLOSED),
        ({"type": "array", "items": NAME}, {"type": "array", "items": CLOSED}),
        ({**NAME, "type": ["object", "null"]}, {**CLOSED, "type": ["object", "null"]}),
        ({"oneOf": [NAME, {"type": "null"}]}, {"anyOf": [CLOSED, {"type": "null"}]}),
        ({"type": "object", "properties": {}}, {"type": "object", "properties": {}, "additionalProperties": False}),
        (
            {"type": "object", "properties": {"year": {"type": "integer", "minimum": 1, "description": "AD"}}},
            {
                "type": "object",
                "properties": {"year": {"type": "integer", "description": "AD (minimum: 1)"}},
                "additionalProperties": False,
            },
        ),
    ],
)
def test_what_claude_is_held_to(schema: dict[str, Any], closed: dict[str, Any]) -> None:
    assert closed_schema(schema) == closed


IMPOSSIBLE: dict[str, dict[str, Any]] = {
    "a map": {"type": "object", "additionalProperties": {"type": "number"}},
    "any object": {"type": "object"},
    "an open object": {**NAME, "additionalProperties": True},
    "names by a pattern": {**NAME, "patternProperties": {"^x": {"type": "string"}}},
    "anything": {"type": "object", "properties": {"x": True}},
    "anything with a title": {"type": "object", "properties": {"x": {"title": "X"}}},
    "a map within": {"type": "array", "items": {"anyOf": [{"type": "object", "additionalProperties": {}}]}},
}


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_what_cannot_be_closed_stays_as_it_is(name: str) -> None:
    schema = IMPOSSIBLE[name]
    assert closed_schema(schema) is None
    assert strict_schema(schema, openai=True) == (schema, False)


def test_a_schema_that_leads_to_itself() -> None:
    node = {**NAME, "properties": {"next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}}}
    schema = {"type": "object", "properties": {"first": {"$ref": "#/$defs/node"}}, "$defs": {"node": node}}
    assert closed_schema(schema) is None  # the vendor takes none
    assert strict_schema(schema, openai=True)[1]
    straight = {**schema, "$defs": {"node": NAME}}
    assert closed_schema(straight) is not None


@pytest.mark.parametrize("openai", [True, False])
def test_openais_strict_form(openai: bool) -> None:
    assert strict_schema(NAME, openai=openai) == (STRICT, True)
    assert strict_schema(STRICT, openai=openai) == (STRICT, True)


def test_what_openai_does_not_know_is_told_and_others_keep_it() -> None:
    schema = {"type": "object", "properties": {"name": {"type": "string", "minLength": 2, "pattern": "^x"}}}
    told = {"type": "string", "pattern": "^x", "description": "(minLength: 2)"}
    assert strict_schema(schema, openai=True)[0]["properties"] == {"name": told}
    assert strict_schema(schema, openai=False)[0]["properties"] == schema["properties"]


def test_a_root_that_openai_does_not_take() -> None:
    for schema in ({"type": "array", "items": NAME}, {"anyOf": [NAME, {"type": "object", "properties": {}}]}):
        assert strict_schema(schema, openai=True) == (schema, False)


def test_schemas_of_pydantic() -> None:
    from pydantic import BaseModel, Field

    class Builder(BaseModel):
        name: str = Field(min_length=1, description="In full")
        born: int | None = None

    class Lighthouse(BaseModel):
        builder: Builder = Field(description="Who built it")
        keepers: list[Builder] = Field(default_factory=list, max_length=3)
        height: float = Field(default=10.0, gt=0)

    schema, strict = strict_schema(Lighthouse.model_json_schema(), openai=True)
    assert strict
    assert not schema_broken(schema, strict=True)
    assert schema_broken(Lighthouse.model_json_schema(), strict=True)
    assert "In full (minLength: 1)" in str(schema)
