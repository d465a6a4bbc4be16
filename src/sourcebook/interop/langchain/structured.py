"""Replies that obey a schema, as LangChain's parsers give them: whole, or an error.

LangChain's own parsers mend JSON that breaks off, which is right while a reply is streamed. Of a reply that is over, it
would make a number with its last digits gone, or an object without its last fields.
"""

from __future__ import annotations

import json
import re
from typing import Any

from langchain_core.exceptions import OutputParserException
from langchain_core.output_parsers import JsonOutputParser, PydanticOutputParser
from langchain_core.outputs import ChatGeneration, Generation
from pydantic import Field

_FENCE = re.compile(r"\s*```(?:json)?\s*\n(.*)\n\s*```\s*", re.DOTALL | re.IGNORECASE)


class WholeJson(JsonOutputParser):
    """A reply's JSON, which obeys a schema. shape: JSON Schema. Errors: OutputParserException."""

    shape: dict[str, Any] = Field(default_factory=dict)

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        """The value; while it is streamed (`partial`), what there is of it."""
        if partial:
            return super().parse_result(result, partial=True)
        from jsonschema import Draft202012Validator

        from sourcebook.prompt.tools.base import problems_of

        value = _whole(result)
        if problems := problems_of(Draft202012Validator(self.shape), value):
            raise OutputParserException(f"The reply is not of the schema: {'; '.join(problems)}", result[0].text)
        return value


class WholeObject(PydanticOutputParser[Any]):
    """A reply as an instance of a Pydantic class. Errors: OutputParserException."""

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        """The instance; while it is streamed (`partial`), what there is of it, or None."""
        if partial:
            return super().parse_result(result, partial=True)
        return self._parse_obj(_whole(result))


def _whole(result: list[Generation]) -> Any:
    """The JSON of a reply. Errors: OutputParserException if it broke off, or is none."""
    (generation, *_) = result
    message = generation.message if isinstance(generation, ChatGeneration) else None
    if message is not None and message.response_metadata.get("finish_reason") == "length":
        raise OutputParserException("The reply was cut off at its limit of tokens", generation.text)
    fenced = _FENCE.fullmatch(generation.text)
    try:
        return json.loads(fenced[1] if fenced else generation.text)
    except ValueError as error:
        raise OutputParserException(f"The reply is no JSON: {error}", generation.text) from error
