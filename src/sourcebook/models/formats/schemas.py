"""JSON Schemas as vendors enforce them: objects closed, and what cannot be enforced told in words.

Sources: platform.openai.com/docs/guides/structured-outputs, "Supported schemas"; platform.claude.com/docs,
"Structured outputs".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from sourcebook.models.base import JsonSchema


@dataclass(frozen=True, kw_only=True, slots=True)
class _Rules:
    """What a vendor enforces.

    keywords, formats: that it knows; None for all. all_required: whether objects must require all their properties,
    which a reply to the wanted schema may have in any case. plain_references: whether nothing may stand beside "$ref".
    recursive: whether a schema may refer to itself. all_of: whether it knows that keyword.
    """

    keywords: frozenset[str] | None = None
    formats: frozenset[str] = frozenset()
    all_required: bool = False
    plain_references: bool = False
    recursive: bool = True
    all_of: bool = True


_COMMON: Final = frozenset((
    "type", "properties", "required", "items", "enum", "const", "anyOf", "$ref", "$defs", "definitions",
    "description", "title",
))  # fmt: skip
_FORMATS: Final = frozenset(("date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"))
_BOUNDS: Final = frozenset((
    "pattern", "multipleOf", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minItems", "maxItems",
))  # fmt: skip
_CLAUDE: Final = _Rules(keywords=_COMMON | {"allOf", "default"}, formats=_FORMATS | {"uri"}, recursive=False)
_OPENAI: Final = _Rules(
    keywords=_COMMON | _BOUNDS, formats=_FORMATS, all_required=True, plain_references=True, all_of=False
)
_OTHERS: Final = _Rules(all_required=True)
_ABOUT: Final = frozenset(("description", "title", "default", "examples", "deprecated", "$comment", "$schema", "$id"))


def closed_schema(schema: JsonSchema) -> dict[str, object] | None:
    """The schema in the part of JSON Schema that Claude is held to; None if it cannot be without losing its meaning.

    Objects are closed; what cannot be enforced (bounds, patterns, lengths) is told to the model in the description.
    """
    return _closed(schema, _CLAUDE)


def strict_schema(schema: JsonSchema, *, openai: bool) -> tuple[JsonSchema, bool]:
    """The schema in OpenAI's strict form, and True; or as it is, and False, if it has no such form.

    openai: whether it goes to OpenAI itself, which refuses the keywords that it does not enforce: then they are told
    in the description. Other servers that speak its format take them, and some enforce them.
    """
    closed = _closed(schema, _OPENAI if openai else _OTHERS)
    fits = closed is not None and (not openai or (closed.get("type") == "object" and "anyOf" not in closed))
    return (closed, True) if closed is not None and fits else (schema, False)


class _Open(Exception):
    """A place in a schema allows what cannot be listed: it cannot be closed."""


def _closed(schema: JsonSchema, rules: _Rules) -> dict[str, object] | None:
    if not rules.recursive and _refers_to_itself(schema):
        return None
    try:
        return _closed_object(schema, rules)
    except _Open:
        return None


def _closed_object(schema: Mapping[str, object], rules: _Rules) -> dict[str, object]:
    closed: dict[str, object] = {}
    told: dict[str, object] = {}
    for name, value in schema.items():
        if name in ("properties", "$defs", "definitions") and isinstance(value, Mapping):
            closed[name] = {key: _closed_value(one, rules) for key, one in value.items()}
        elif name in ("anyOf", "oneOf", "allOf") and isinstance(value, (list, tuple)):
            closed[_alternatives(name, len(value), rules)] = [_closed_value(one, rules) for one in value]
        elif name == "items":
            closed[name] = _closed_value(value, rules)
        elif name == "additionalProperties":
            continue
        elif rules.keywords is None or _is_enforced(name, value, rules):
            closed[name] = value
        elif name not in ("$schema", "$id", "$comment"):
            told[name] = value
    if _is_object(schema):
        _close(closed, schema, rules)
    if told:
        limits = ", ".join(f"{name}: {value}" for name, value in told.items())
        closed["description"] = f"{closed.get('description', '')} ({limits})".strip()
    if rules.plain_references and "$ref" in closed and len(closed) > 1:
        closed["anyOf"] = [{"$ref": closed.pop("$ref")}]
    return closed


def _closed_value(schema: object, rules: _Rules) -> object:
    """A schema within a schema. One that allows anything, such as true or {}, is left to those who take it."""
    if isinstance(schema, Mapping) and set(schema) - _ABOUT:
        return _closed_object(schema, rules)
    if rules.keywords is not None:
        raise _Open
    return schema


def _alternatives(name: str, number: int, rules: _Rules) -> str:
    """The keyword for these alternatives: vendors that know only "anyOf" take it for the others, where it can be."""
    if rules.keywords is None or (name == "allOf" and rules.all_of):
        return name
    if name == "allOf" and number > 1:
        raise _Open
    return "anyOf"


def _is_enforced(name: str, value: object, rules: _Rules) -> bool:
    assert rules.keywords is not None
    if name == "format":
        return value in rules.formats
    return name in rules.keywords or (name == "minItems" and value in (0, 1))


def _is_object(schema: Mapping[str, object]) -> bool:
    kind = schema.get("type")
    return kind == "object" or (isinstance(kind, (list, tuple)) and "object" in kind) or "properties" in schema


def _close(closed: dict[str, object], schema: Mapping[str, object], rules: _Rules) -> None:
    further = schema.get("additionalProperties")
    if further is None and "properties" not in schema:
        raise _Open  # any object at all
    if further not in (None, False) or "patternProperties" in schema:
        raise _Open  # a map
    closed["additionalProperties"] = False
    if rules.all_required:
        properties = closed.setdefault("properties", {})
        closed["required"] = list(properties) if isinstance(properties, dict) else []


def _refers_to_itself(schema: JsonSchema) -> bool:
    """Whether a definition leads back to itself."""
    leads: dict[str, set[str]] = {"#": set(_references(schema))}
    for kind in ("$defs", "definitions"):
        defined = schema.get(kind)
        for name, one in defined.items() if isinstance(defined, Mapping) else ():
            leads[f"#/{kind}/{name}"] = set(_references(one))

    def reached(start: str) -> set[str]:
        found: set[str] = set()
        ahead = [start]
        while ahead:
            for one in leads.get(ahead.pop(), set()) - found:
                found.add(one)
                ahead.append(one)
        return found

    return "#" in leads["#"] or any(name in reached(name) for name in leads)


def _references(value: object) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, one in value.items():
            if name == "$ref" and isinstance(one, str):
                yield one
            else:
                yield from _references(one)
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from _references(one)
