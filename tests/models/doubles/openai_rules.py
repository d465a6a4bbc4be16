"""What OpenAI refuses though its types allow it: settings of models that reason, and schemas that are not strict.

Sources: platform.openai.com/docs, "Reasoning models", "Using the latest model", "Structured outputs".
"""

from collections.abc import Iterator, Mapping
from typing import Any

EFFORTS: Mapping[str, tuple[str, ...]] = {
    "gpt-4": (),
    "o1": ("low", "medium", "high"),
    "o3": ("low", "medium", "high"),
    "o4-mini": ("low", "medium", "high"),
    "gpt-5-pro": ("high",),
    "gpt-5-chat": (),
    "gpt-5.1": ("none", "low", "medium", "high"),
    "gpt-5.2-pro": ("medium", "high", "xhigh"),
    "gpt-5.6": ("none", "low", "medium", "high", "xhigh"),
    "gpt-5": ("minimal", "low", "medium", "high"),
}
"""Beginning of a model's name -> efforts that it takes; the first that fits holds. Others take whatever they get."""
KEYWORDS = frozenset((
    "type", "properties", "required", "additionalProperties", "items", "enum", "const", "anyOf", "$ref", "$defs",
    "definitions", "description", "title", "pattern", "format", "multipleOf", "minimum", "maximum",
    "exclusiveMinimum", "exclusiveMaximum", "minItems", "maxItems",
))  # fmt: skip


def settings_broken(model: str, settings: Mapping[str, Any], effort: str | None) -> Iterator[str]:
    """settings: temperature, top_p, stop and logprobs, as far as they were sent."""
    efforts = next((value for name, value in EFFORTS.items() if model.startswith(name)), None)
    if efforts is None:
        return
    if effort is not None and not efforts:
        yield "Unrecognized request argument supplied: reasoning_effort"
    elif effort is not None and effort not in efforts:
        yield f"Unsupported value: '{effort}' is not supported with the '{model}' model."
    unthinking = effort == "none"
    for name in settings if efforts else ():
        if name == "stop" or not unthinking:
            yield f"Unsupported parameter: '{name}' is not supported with this model."
    if len(settings.get("stop") or ()) > 4:
        yield "Invalid 'stop': array too long. Expected an array with maximum length 4."


def schema_broken(schema: Mapping[str, Any], *, strict: bool) -> str:
    """What of the schema of a reply is refused, or ""."""
    if schema.get("type") != "object":
        return "schema must be a JSON Schema of 'type: \"object\"'"
    return next(_not_strict(schema, ()), "") if strict else ""


def _not_strict(schema: Any, place: tuple[str, ...]) -> Iterator[str]:
    if not isinstance(schema, Mapping):
        yield f"In context={place}, a schema must be an object"
        return
    if unknown := set(schema) - KEYWORDS:
        yield f"In context={place}, {sorted(unknown)} is not permitted"
    if "$ref" in schema and len(schema) > 1:
        yield f"In context={place}, $ref cannot have keywords {sorted(set(schema) - {'$ref'})}"
    if not {"type", "$ref", "anyOf", "enum", "const"} & set(schema):
        yield f"In context={place}, schema must have a 'type' key"
    if "object" in (schema.get("type") or ()) or "properties" in schema:
        if schema.get("additionalProperties") is not False:
            yield f"In context={place}, 'additionalProperties' is required to be supplied and to be false"
        if sorted(schema.get("required") or ()) != sorted(schema.get("properties") or ()):
            yield f"In context={place}, 'required' is required to be an array including every key in properties"
    for name in ("properties", "$defs", "definitions"):
        for key, one in (schema.get(name) or {}).items():
            yield from _not_strict(one, (*place, name, key))
    for number, one in enumerate(schema.get("anyOf") or ()):
        yield from _not_strict(one, (*place, "anyOf", str(number)))
    if "items" in schema:
        yield from _not_strict(schema["items"], (*place, "items"))
