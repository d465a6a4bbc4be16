"""What an OpenAPI description (3.0, 3.1; https://spec.openapis.org/oas/) says: operations, parameters, servers.

References within the document are followed; types that contain themselves become `$defs` of the tool's schema. What a
model cannot be offered (another file's types, uploads, required cookies) is left out, with the reason.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal
from urllib.parse import unquote, urljoin, urlsplit

from sourcebook.errors import SourcebookError, ToolError
from sourcebook.models.base import Tool

METHODS = ("get", "head", "post", "put", "patch", "delete", "options")
Place = Literal["path", "query", "header", "body"]

_STYLES = {"path": "simple", "query": "form", "header": "simple"}
_NOT_PARAMETERS = ("accept", "content-type", "authorization")  # headers that are not the caller's, says the standard
_MOST_NODES = 3_000  # of one tool's schema
_DROPPED = ("example", "examples", "xml", "externalDocs", "discriminator", "readOnly", "writeOnly", "nullable")
_SCHEMA_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")
_SCHEMA_MAPS = ("properties", "patternProperties", "$defs", "dependentSchemas")
_SCHEMAS = ("items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames")


@dataclass(frozen=True, kw_only=True, slots=True)
class Parameter:
    """Where a property of the tool's arguments goes. argument: its name there; name: in the request.

    style, explode: how lists and objects are written (OpenAPI's words); as_json: they are written as JSON.
    reserved: names in lower case that no key of an object may have which stands in the query as it is, because they
    are those of other parameters, and of credentials.
    """

    argument: str
    name: str
    place: Place
    style: str = "form"
    explode: bool = True
    as_json: bool = False
    reserved: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True, slots=True)
class Operation:
    """One thing that the service does. server: base URL. body: media type of the request's body.

    security: alternatives; of one of them, all the named schemes are needed.
    """

    tool: Tool
    name: str
    method: str
    path: str
    server: str
    parameters: tuple[Parameter, ...] = ()
    body: str = ""
    security: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Scheme:
    """How a credential is sent: "bearer", "basic", or as the value of a header, query parameter or cookie."""

    kind: Literal["bearer", "basic", "header", "query", "cookie"]
    name: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Description:
    """left_out: "METHOD /path" -> why no tool is made of it."""

    operations: tuple[Operation, ...]
    schemes: Mapping[str, Scheme]
    left_out: Mapping[str, str] = field(default_factory=dict)


def read_description(text: str, *, where: str = "", server: str = "", prefix: str = "") -> Description:
    """Read a description. text: JSON or YAML. where: the URL it is from, which relative servers start at.

    server: base URL instead of those that it names. prefix: put before the tools' names. Errors: ToolError.
    """
    document = _parsed(text)
    version = str(document.get("openapi", ""))
    if not re.match(r"3\.\d", version):
        found = f"version {version or document.get('swagger')}" if version or "swagger" in document else "none"
        raise ToolError(f"This is no description of OpenAPI 3, but {found}", remedy="Convert it to OpenAPI 3")
    reader = _Reader(document, where, server, prefix)
    return Description(
        operations=tuple(reader.operations()), schemes=dict(reader.schemes()), left_out=dict(reader.left_out)
    )


class _Reader:
    def __init__(self, document: Mapping[str, Any], where: str, server: str, prefix: str) -> None:
        self._document = document
        self._where = where
        self._server = server
        self._prefix = prefix
        self._names: set[str] = set()
        self._keys = {scheme.name.casefold() for _, scheme in self.schemes() if scheme.name}
        self.left_out: dict[str, str] = {}

    def operations(self) -> Iterator[Operation]:
        for path, item in _mapping(self._document.get("paths")).items():
            try:
                item = self._followed(item)
            except SourcebookError as error:
                self.left_out[path] = str(error)
                continue
            for method in METHODS:
                if isinstance(item.get(method), Mapping):
                    try:
                        yield self._operation(path, method, item, item[method])
                    except SourcebookError as error:
                        self.left_out[f"{method.upper()} {path}"] = str(error)
                    except (TypeError, ValueError, AttributeError, KeyError) as error:  # anybody may have written it
                        self.left_out[f"{method.upper()} {path}"] = f"its description is malformed: {error}"

    def schemes(self) -> Iterator[tuple[str, Scheme]]:
        for name, node in _mapping(_mapping(self._document.get("components")).get("securitySchemes")).items():
            node = self._followed(node)
            kind = node.get("type")
            if kind == "apiKey" and node.get("in") in ("header", "query", "cookie"):
                yield name, Scheme(kind=node["in"], name=str(node.get("name")))
            elif kind == "http" and str(node.get("scheme")).lower() == "basic":
                yield name, Scheme(kind="basic")
            elif kind in ("http", "oauth2", "openIdConnect"):
                yield name, Scheme(kind="bearer")

    def _operation(self, path: str, method: str, item: Mapping[str, Any], node: Mapping[str, Any]) -> Operation:
        schemas = _Schemas(self._document)
        properties: dict[str, object] = {}
        required: list[str] = []
        parameters: list[Parameter] = []
        for one in self._parameters(item, node):
            parameter, schema = self._parameter(one, properties, schemas)
            if parameter is None:
                continue
            parameters.append(parameter)
            properties[parameter.argument] = schema
            if one.get("required") or parameter.place == "path":
                required.append(parameter.argument)
        body, schema, needed = self._body(node, schemas)
        if body:
            argument = "body" if "body" not in properties else "request_body"
            parameters.append(Parameter(argument=argument, name="", place="body"))
            properties[argument] = schema
            required += [argument] if needed else []
        missing = set(re.findall(r"{([^}]+)}", path)) - {one.name for one in parameters if one.place == "path"}
        if missing:
            raise ToolError(f"its path has {', '.join(sorted(missing))}, which it does not describe")
        arguments: dict[str, object] = {"type": "object", "properties": properties, "additionalProperties": False}
        arguments |= {"required": required} if required else {}
        arguments |= {"$defs": schemas.definitions} if schemas.definitions else {}
        name = str(node.get("operationId") or f"{method}_{path}")
        said = [str(node[key]).strip() for key in ("summary", "description") if node.get(key)]
        tool = Tool(
            name=self._name(name),
            description="\n".join(dict.fromkeys(said))[:1000] or f"{method.upper()} {path}",
            parameters=arguments,
        )
        security = node.get("security", self._document.get("security", []))
        return Operation(
            tool=tool,
            name=name,
            method=method.upper(),
            path=path,
            server=self._base(node.get("servers") or item.get("servers") or self._document.get("servers")),
            parameters=tuple(self._reserving(parameters)),
            body=body,
            security=tuple(tuple(_mapping(one)) for one in _list(security)),
        )

    def _parameters(self, item: Mapping[str, Any], node: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        """The path's and the operation's own, which override the path's."""
        found: dict[tuple[str, str], Mapping[str, Any]] = {}
        for one in [*_list(item.get("parameters")), *_list(node.get("parameters"))]:
            one = self._followed(one)
            found[str(one.get("name")), str(one.get("in"))] = one
        return list(found.values())

    def _parameter(
        self, node: Mapping[str, Any], taken: Mapping[str, object], schemas: _Schemas
    ) -> tuple[Parameter | None, dict[str, object]]:
        name, place = str(node.get("name")), node.get("in")
        if place == "cookie" and node.get("required"):
            raise ToolError(f"it needs the cookie {name}")
        if place not in ("path", "query", "header") or name.casefold() in self._keys:  # a key is no model's business
            return None, {}
        if place == "header" and name.casefold() in _NOT_PARAMETERS:
            return None, {}
        content = _mapping(node.get("content"))
        holder = _mapping(next(iter(content.values()))) if content else node
        schema = schemas.of(holder.get("schema", {}))
        if node.get("description"):
            schema = {**schema, "description": str(node["description"]).strip()[:500]}
        style = str(node.get("style") or _STYLES[place])
        parameter = Parameter(
            argument=name if name not in taken else f"{name}_{place}",
            name=name,
            place=place,
            style=style,
            explode=bool(node.get("explode", style in ("form", "deepObject"))),
            as_json=bool(content),
        )
        return parameter, schema

    def _reserving(self, parameters: Sequence[Parameter]) -> Iterator[Parameter]:
        names = frozenset(one.name.casefold() for one in parameters if one.place == "query")
        for one in parameters:
            yield replace(one, reserved=names - {one.name.casefold()} | self._keys) if one.place == "query" else one

    def _body(self, node: Mapping[str, Any], schemas: _Schemas) -> tuple[str, dict[str, object], bool]:
        """(media type or "", schema, whether it is required) of the request's body."""
        if "requestBody" not in node:
            return "", {}, False
        body = self._followed(node["requestBody"])
        content = _mapping(body.get("content"))
        for media, one in content.items():
            kind = media.partition(";")[0].strip().lower()
            if kind.endswith(("/json", "+json")) or kind in ("application/x-www-form-urlencoded", "text/plain"):
                return kind, schemas.of(_mapping(one).get("schema", {})), bool(body.get("required"))
        if body.get("required"):
            raise ToolError(f"its body is {' or '.join(content) or 'not described'}")
        return "", {}, False

    def _base(self, servers: Any) -> str:
        """The base URL, without a slash at its end."""
        if self._server:
            return self._server.rstrip("/")
        node = _mapping(servers[0]) if isinstance(servers, list) and servers else {"url": "/"}
        url = str(node.get("url", "/"))
        for name, variable in _mapping(node.get("variables")).items():
            url = url.replace(f"{{{name}}}", str(_mapping(variable).get("default", "")))
        url = urljoin(self._where, url)
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ToolError(f"its server is {url!r}", remedy="Name its base URL: server")
        return url.rstrip("/")

    def _name(self, name: str) -> str:
        """A name that vendors accept and no other operation has."""
        plain = re.sub(r"[^A-Za-z0-9-]+", "_", self._prefix + name).strip("_")[:64] or "operation"
        unique, number = plain, 1
        while unique in self._names:
            number += 1
            unique = f"{plain[:60]}_{number}"
        self._names.add(unique)
        return unique

    def _followed(self, node: Any) -> Mapping[str, Any]:
        return _mapping(followed(self._document, node))


class _Schemas:
    """OpenAPI's schemas as JSON Schema 2020-12, for one tool. definitions: of types that contain themselves."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document
        self._open: list[str] = []
        self._recursive: set[str] = set()
        self._nodes = 0
        self.definitions: dict[str, object] = {}

    def of(self, node: Any) -> dict[str, object]:
        """Errors: ToolError if a reference leads nowhere, or out of the document."""
        if isinstance(node, bool):
            return {} if node else {"not": {}}
        node = _mapping(node)
        self._nodes += 1
        if self._nodes > _MOST_NODES:
            raise ToolError("its types are too large to be shown to a model")
        reference = node.get("$ref")
        if isinstance(reference, str):
            return self._referred(reference, {key: value for key, value in node.items() if key != "$ref"})
        made = {key: value for key, value in node.items() if key not in _DROPPED and not key.startswith("x-")}
        hidden = {name for name, one in _mapping(made.get("properties")).items() if _mapping(one).get("readOnly")}
        for key in _SCHEMA_MAPS:
            if key in made:
                made[key] = {name: self.of(one) for name, one in _mapping(made[key]).items() if name not in hidden}
        for key in _SCHEMA_LISTS:
            if key in made:
                made[key] = [self.of(one) for one in _list(made[key])]
                if not made[key]:
                    del made[key]  # which says nothing, and is no JSON Schema
        for key in _SCHEMAS:
            if key in made:
                made[key] = made[key] if isinstance(made[key], bool) else self.of(made[key])
        if "required" in made and not isinstance(made["required"], list):
            del made["required"]  # of 3.0's forerunners, or a slip: it says nothing of properties
        if hidden and "required" in made:
            made["required"] = [name for name in made["required"] if name not in hidden]
        return _modern(made, nullable=node.get("nullable") is True)

    def _referred(self, reference: str, beside: dict[str, Any]) -> dict[str, object]:
        name = re.sub(r"[^A-Za-z0-9_.-]", "_", reference.rpartition("/")[2])
        if reference in self._open:
            self._recursive.add(reference)
            return {"$ref": f"#/$defs/{name}"}
        self._open.append(reference)
        made = self.of(pointed(self._document, reference))
        self._open.pop()
        if reference in self._recursive:
            self.definitions[name] = made
            made = {"$ref": f"#/$defs/{name}"}
        return {**made, **self.of(beside)} if beside else made


def _modern(made: dict[str, Any], *, nullable: bool) -> dict[str, object]:
    """What 3.0 writes otherwise than JSON Schema: nullable, and bounds that are exclusive by a flag."""
    for flag, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if isinstance(made.get(flag), bool) and made.pop(flag) and bound in made:
            made[flag] = made.pop(bound)
    if not nullable:
        return made
    if isinstance(made.get("enum"), list) and None not in made["enum"]:
        made["enum"] = [*made["enum"], None]
    if isinstance(made.get("type"), str):
        return {**made, "type": [made["type"], "null"]}
    return {"anyOf": [made, {"type": "null"}]} if made else made


def pointed(document: Mapping[str, Any], reference: str) -> Any:
    """What a reference within the document points at (RFC 6901). Errors: ToolError."""
    if not reference.startswith("#/"):
        raise ToolError(f"it refers to {reference!r}, outside of the description")
    node: Any = document
    for part in reference[2:].split("/"):
        part = unquote(part).replace("~1", "/").replace("~0", "~")
        try:
            node = node[int(part)] if isinstance(node, list) else node[part]
        except (KeyError, IndexError, ValueError, TypeError):
            raise ToolError(f"it refers to {reference!r}, which is not there") from None
    return node


def followed(document: Mapping[str, Any], node: Any) -> Any:
    """The node, or what it refers to. Errors: ToolError if it refers to itself."""
    for _ in range(50):
        if not (isinstance(node, Mapping) and isinstance(node.get("$ref"), str)):
            return node
        node = pointed(document, node["$ref"])
    raise ToolError("it refers to itself")


def _parsed(text: str) -> Mapping[str, Any]:
    try:
        document = json.loads(text) if text.lstrip().startswith("{") else _yaml(text)
    except (ValueError, RecursionError) as error:
        raise ToolError(f"The description is neither JSON nor YAML: {error}", remedy="Correct it") from error
    if not isinstance(document, Mapping):
        raise ToolError("The description is no mapping", remedy="Name a description of OpenAPI 3")
    return document


def _yaml(text: str) -> Any:
    import yaml

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        """As JSON has it: a date is text, and so is the country NO; true and false alone are truth values."""

    Loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag not in _NOT_IN_JSON]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    truth = re.compile(r"(?:true|True|TRUE|false|False|FALSE)$")
    Loader.add_implicit_resolver("tag:yaml.org,2002:bool", truth, list("tTfF"))
    try:
        return yaml.load(text, Loader)  # noqa: S506
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


_NOT_IN_JSON = ("tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:bool")


def _mapping(node: Any) -> Mapping[str, Any]:
    return node if isinstance(node, Mapping) else {}


def _list(node: Any) -> list[Any]:
    return node if isinstance(node, list) else []
