"""A request to a service, made of an operation and the values that a model chose for its parameters."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from sourcebook.errors import ToolError
from sourcebook.prompt.tools.openapi_description import Operation, Parameter, Scheme


@dataclass(slots=True)
class Request:
    """A request in the making. url: whole, with its query."""

    url: str
    headers: dict[str, str]
    body: bytes | None = None

    @classmethod
    def of(cls, operation: Operation, values: Mapping[str, Any]) -> Request:
        """The values, by the names of the tool's arguments, in their places. Errors: ToolError."""
        path, query, headers = operation.path, list[tuple[str, str]](), {"Accept": "application/json, */*;q=0.5"}
        made = cls(url="", headers=headers)
        for one in operation.parameters:
            value = values.get(one.argument)
            if value is None:
                if one.place == "path":
                    raise ToolError(f"{one.argument} is missing", remedy="Pass it and call again")
            elif one.place == "path":
                path = path.replace(f"{{{one.name}}}", _segment(one, value))
            elif one.place == "query":
                query += _pairs(one, value)
            elif one.place == "header":
                headers[one.name] = _header(one, value)
            else:
                headers["Content-Type"] = operation.body
                made.body = _body(operation.body, value)
        made.url = f"{operation.server}{path}{'?' if query else ''}{urlencode(query, quote_via=quote)}"
        return made

    def sign(self, scheme: Scheme, secret: str) -> None:
        """Add a credential, as its scheme says."""
        match scheme.kind:
            case "bearer":
                self.headers["Authorization"] = f"Bearer {secret}"
            case "basic":
                self.headers["Authorization"] = f"Basic {base64.b64encode(secret.encode()).decode()}"
            case "header":
                self.headers[scheme.name] = secret
            case "cookie":
                self.headers["Cookie"] = f"{scheme.name}={quote(secret, safe='')}"
            case "query":
                self.url += f"{'&' if '?' in self.url else '?'}{quote(scheme.name)}={quote(secret, safe='')}"


# --- how values are written (OpenAPI 3.1, 4.8.12.2: style and explode) --------------------------------------


def _segment(parameter: Parameter, value: Any) -> str:
    """One segment of a path, which leads nowhere else."""
    if parameter.style in ("label", "matrix") and not parameter.as_json:
        return _marked(parameter, value)
    text = _joined(parameter, value)
    if not text or not {".", ".."}.isdisjoint(text.replace("\\", "/").split("/")):
        raise ToolError(f"{parameter.argument} cannot be {text!r}", remedy="Pass another value")
    return quote(text, safe=",=")


def _marked(parameter: Parameter, value: Any) -> str:
    """Styles "label" (.a.b) and "matrix" (;id=a;id=b), where a mark stands before each part."""
    matrix = parameter.style == "matrix"
    name = quote(parameter.name, safe="")
    if isinstance(value, dict):
        between = "=" if parameter.explode else ","
        parts = [
            f"{quote(key, safe='')}{between}{quote(_written(one, parameter), safe='')}" for key, one in value.items()
        ]
        named = matrix and not parameter.explode
    else:
        some = value if isinstance(value, list) else [value]
        parts = [quote(_written(one, parameter), safe="") for one in some]
        named = matrix
    if not parameter.explode:
        parts = [",".join(parts)]
    if not all(parts):
        raise ToolError(f"{parameter.argument} cannot be empty", remedy="Pass another value")
    text = "".join(f"{';' if matrix else '.'}{f'{name}=' if named else ''}{part}" for part in parts)
    if text in (".", ".."):
        raise ToolError(f"{parameter.argument} cannot be {value!r}", remedy="Pass another value")
    return text


def _header(parameter: Parameter, value: Any) -> str:
    text = _joined(parameter, value)
    if not text.isprintable() or not text.isascii():
        raise ToolError(f"{parameter.argument} cannot stand in a header", remedy="Use plain ASCII on one line")
    return text


def _pairs(parameter: Parameter, value: Any) -> list[tuple[str, str]]:
    name, separator = parameter.name, {"spaceDelimited": " ", "pipeDelimited": "|"}.get(parameter.style, ",")
    if parameter.as_json or not isinstance(value, list | dict):
        return [(name, _written(value, parameter))]
    if isinstance(value, list):
        written = [_written(one, parameter) for one in value]
        return [(name, one) for one in written] if parameter.explode else [(name, separator.join(written))]
    if parameter.style == "deepObject":
        return [(f"{name}[{key}]", _written(one, parameter)) for key, one in value.items()]
    if parameter.explode:
        if taken := [key for key in value if key.casefold() in parameter.reserved]:
            raise ToolError(f"{parameter.argument} cannot have {', '.join(taken)}", remedy="Leave that out")
        return [(key, _written(one, parameter)) for key, one in value.items()]
    return [(name, ",".join(part for key, one in value.items() for part in (key, _written(one, parameter))))]


def _joined(parameter: Parameter, value: Any) -> str:
    """Style "simple", for paths and headers."""
    if parameter.as_json:
        return _written(value, parameter)
    if isinstance(value, list):
        return ",".join(_written(one, parameter) for one in value)
    if isinstance(value, dict):
        between = "=" if parameter.explode else ","
        return ",".join(f"{key}{between}{_written(one, parameter)}" for key, one in value.items())
    return _written(value, parameter)


def _written(value: Any, parameter: Parameter) -> str:
    if isinstance(value, str) and not parameter.as_json:
        return value
    return json.dumps(value, ensure_ascii=False)  # numbers, true, false, and what is nested deeper


def _body(media: str, value: Any) -> bytes:
    if media == "text/plain":
        return (value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)).encode()
    if media == "application/x-www-form-urlencoded" and isinstance(value, Mapping):
        pairs: list[tuple[str, str]] = []
        for name, one in value.items():
            pairs += _pairs(Parameter(argument=name, name=name, place="body"), one)
        return urlencode(pairs).encode()
    return json.dumps(value, ensure_ascii=False).encode()
