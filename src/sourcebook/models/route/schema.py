"""Whether a reply is JSON of the schema that was asked for."""

from __future__ import annotations

import json

from sourcebook.models.base import JsonSchema


def schema_problem(text: str, schema: JsonSchema) -> str:
    """Why the text is not JSON of the schema (2020-12); "" if it is.

    A schema that is not one, or refers to another document (none is fetched), is held against nobody.
    """
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError, ValidationError
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    try:
        value = json.loads(text)
    except ValueError as error:
        return f"the reply is not JSON: {error}"
    try:
        Draft202012Validator.check_schema(schema)
        Draft202012Validator(schema, registry=Registry()).validate(value)
    except ValidationError as error:
        return f"the reply is against the schema at {error.json_path}: {error.message[:200]}"
    except (SchemaError, Unresolvable):
        return ""  # it says nothing about the reply
    return ""
