"""OpenAPI descriptions as tools, called against a real server on this machine."""

import base64
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from jsonschema import Draft202012Validator

from sourcebook.errors import ConfigError, ToolError
from sourcebook.prompt.tools.base import Toolboxes
from sourcebook.prompt.tools.openapi import OpenApiTools, Service
from sourcebook.prompt.tools.openapi_description import read_description
from sourcebook.prompt.tools.openapi_request import Request

SHOP = """
openapi: 3.0.3
info: {title: Shop, version: 2026-01-01}
servers:
  - url: /{stage}/v1
    variables: {stage: {default: api}}
security: [{token: []}]
paths:
  /products/{id}:
    parameters:
      - {$ref: '#/components/parameters/Id'}
      - {name: lang, in: query, schema: {type: string}, description: overridden}
    get:
      operationId: get product
      summary: One product
      description: With its price.
      parameters:
        - {name: lang, in: query, schema: {type: string, nullable: true}, description: Language of the text}
        - {name: X-Trace, in: header, schema: {type: string}}
        - {name: Authorization, in: header, schema: {type: string}}
    delete: {operationId: removeProduct, responses: {}}
  /products:
    get:
      summary: Products
      parameters:
        - {name: tags, in: query, schema: {type: array, items: {type: string}}}
        - {name: ids, in: query, explode: false, schema: {type: array, items: {type: integer}}}
        - {name: near, in: query, style: deepObject, schema: {type: object, properties: {lat: {type: number}}}}
        - {name: page, in: query, content: {application/json: {schema: {type: object}}}}
        - {name: stocked, in: query, schema: {type: boolean}}
        - {name: price, in: query, schema: {type: number, minimum: 0, exclusiveMinimum: true}}
        - {name: api_key, in: query, schema: {type: string}}
    post:
      operationId: addProduct
      requestBody:
        required: true
        content: {application/json: {schema: {$ref: '#/components/schemas/Product'}}}
  /upload:
    get:
      operationId: upload
      requestBody: {required: true, content: {multipart/form-data: {schema: {type: object}}}}
  /elsewhere:
    get: {operationId: elsewhere, parameters: [{$ref: 'other.yaml#/x'}]}
  /public: {get: {operationId: public, security: []}}
  /keyed: {get: {operationId: keyed, security: [{nobody: []}, {key: [], login: []}, {key: []}]}}
  /basic: {get: {operationId: basic, security: [{login: []}]}}
  /form:
    post:
      operationId: sendForm
      requestBody: {content: {application/x-www-form-urlencoded: {schema: {type: object}}}}
  /large: {get: {operationId: large}}
  /picture: {get: {operationId: picture}}
  /missing: {get: {operationId: missing}}
  /moved: {get: {operationId: moved}}
  /away: {get: {operationId: away}}
  /around: {get: {operationId: around}}
components:
  parameters:
    Id: {name: id, in: path, required: true, schema: {type: string}}
  schemas:
    Product:
      type: object
      required: [id, name]
      properties:
        id: {type: integer, readOnly: true}
        name: {type: string, example: Bell}
        parts: {type: array, items: {$ref: '#/components/schemas/Product'}}
        made: {type: string, format: date, default: 2026-01-01}
  securitySchemes:
    token: {type: http, scheme: bearer}
    key: {type: apiKey, in: query, name: api_key}
    login: {type: http, scheme: basic}
    nobody: {type: apiKey, in: header, name: X-Nobody}
"""


@dataclass
class Shop:
    url: str
    seen: list[web.Request] = field(default_factory=list)
    bodies: list[str] = field(default_factory=list)


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    made = Shop("")

    async def answer(request: web.Request) -> web.Response:
        made.seen.append(request)
        made.bodies.append(await request.text())
        match request.path.rpartition("/")[2]:
            case "openapi.yaml":
                return web.Response(text=SHOP)
            case "large":
                return web.Response(text="x" * 5000)
            case "picture":
                return web.Response(body=b"\x89PNG", content_type="image/png")
            case "missing":
                return web.json_response({"error": "no such thing"}, status=404)
            case "moved":
                return web.Response(status=302, headers={"Location": "/api/v1/public"})
            case "away":
                return web.Response(status=302, headers={"Location": "http://169.254.169.254/latest?secret=1"})
            case "around":
                return web.Response(status=302, headers={"Location": "around"})
            case _:
                said = request.headers.get("Authorization", "") + request.query_string
                return web.json_response({"path": request.raw_path, "said": said})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest.fixture
async def service(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Service:
    monkeypatch.setenv("SHOP_TOKEN", "s3cr3t-token")
    monkeypatch.setenv("SHOP_KEY", "s3cr3t key")
    return Service(description=f"{shop.url}/openapi.yaml", credentials={"token": "SHOP_TOKEN", "key": "SHOP_KEY"})


async def test_operations_that_read_become_tools(service: Service) -> None:
    async with await OpenApiTools.open(service) as box:
        tools = {tool.name: tool for tool in Toolboxes([box]).tools}
        assert {"get_product", "get_products", "public", "keyed"} < set(tools)
        assert not {"removeProduct", "addProduct", "sendForm"} & set(tools)
        product: Any = tools["get_product"]
        assert product.description == "One product\nWith its price."
        assert product.parameters == {
            "type": "object",
            "properties": {
                "id": {"type": "string"},
                "lang": {"type": ["string", "null"], "description": "Language of the text"},
                "X-Trace": {"type": "string"},
            },
            "required": ["id"],
            "additionalProperties": False,
        }
        products: Any = tools["get_products"]
        assert products.parameters["properties"]["price"] == {"type": "number", "exclusiveMinimum": 0}
        assert "api_key" not in products.parameters["properties"]
        assert set(box.left_out) == {"GET /upload", "GET /elsewhere"}
        assert "multipart/form-data" in box.left_out["GET /upload"]
        assert "outside of the description" in box.left_out["GET /elsewhere"]


async def called(box: OpenApiTools, name: str, **arguments: object) -> Any:
    result = await Toolboxes([box]).call(name, json.dumps(arguments))
    assert not result.failed, result.text
    return json.loads(result.text)


async def test_a_call_goes_where_its_values_say(service: Service, shop: Shop) -> None:
    async with await OpenApiTools.open(service) as box:
        said = await called(box, "get_product", id="a/b ?#%", lang="de", **{"X-Trace": "t1"})
        assert said["path"] == "/api/v1/products/a%2Fb%20%3F%23%25?lang=de"
        request = shop.seen[-1]
        assert request.headers["X-Trace"] == "t1"
        assert request.headers["Authorization"] == "Bearer s3cr3t-token"
        said = await called(
            box, "get_products", tags=["a", "b&c"], ids=[1, 2], near={"lat": 1.5}, page={"n": 1}, stocked=True
        )
        assert list(shop.seen[-1].query.items()) == [
            ("tags", "a"), ("tags", "b&c"), ("ids", "1,2"), ("near[lat]", "1.5"), ("page", '{"n": 1}'),
            ("stocked", "true"),
        ]  # fmt: skip


@pytest.mark.parametrize("value", ["..", ".", "", "../../admin", "a/../../b", "a\\..\\b"])
async def test_no_value_leads_out_of_its_place_in_the_path(service: Service, shop: Shop, value: str) -> None:
    async with await OpenApiTools.open(service) as box:
        before = len(shop.seen)
        assert (await Toolboxes([box]).call("get_product", json.dumps({"id": value}))).failed
        assert len(shop.seen) == before


@pytest.mark.parametrize("value", ["http://169.254.169.254/", "//evil.example.org/", "@evil.example.org", "?x=1#y"])
async def test_no_value_leads_to_another_host(service: Service, shop: Shop, value: str) -> None:
    async with await OpenApiTools.open(service) as box:
        said = await called(box, "get_product", id=value)
        assert said["path"].startswith("/api/v1/products/")
        assert shop.seen[-1].path == f"/api/v1/products/{value}"
        result = await Toolboxes([box]).call("get_product", json.dumps({"id": "a", "X-Trace": "a\r\nHost: evil"}))
        assert result.failed


async def test_credentials_are_sent_as_the_description_says_and_never_shown(
    service: Service, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with await OpenApiTools.open(service) as box:
        assert (await called(box, "get_product", id="1"))["said"] == "Bearer ***"
        assert await called(box, "public") == {"path": "/api/v1/public", "said": ""}
        assert "Authorization" not in shop.seen[-1].headers
        assert (await called(box, "keyed"))["said"] == "api_key=***"
        assert shop.seen[-1].query["api_key"] == "s3cr3t key"
        assert "s3cr3t" not in json.dumps([tool.parameters for tool in box.tools])
        assert (await called(box, "basic"))["said"] == ""
    monkeypatch.setenv("SHOP_LOGIN", "ada:lovelace")
    service = Service(description=service.description, credentials={"login": "SHOP_LOGIN"})
    async with await OpenApiTools.open(service) as box:
        assert (await called(box, "basic"))["said"] == "Basic ***"
        assert shop.seen[-1].headers["Authorization"] == "Basic " + base64.b64encode(b"ada:lovelace").decode()


async def test_what_changes_things_must_be_allowed_by_name(service: Service, shop: Shop) -> None:
    allowed = Service(description=service.description, allow=frozenset({"addProduct", "POST /form"}))
    async with await OpenApiTools.open(allowed) as box:
        tools = {tool.name: tool for tool in box.tools}
        assert "removeProduct" not in tools
        valid = Draft202012Validator(dict(tools["addProduct"].parameters))
        assert valid.is_valid({"body": {"name": "Bell", "parts": [{"name": "Clapper"}]}})
        assert not valid.is_valid({"body": {"name": "Bell", "parts": [{"nom": "Clapper"}]}})
        assert not valid.is_valid({})
        assert "readOnly" not in json.dumps(tools["addProduct"].parameters)
        await called(box, "addProduct", body={"name": "Bell"})
        assert (shop.seen[-1].method, shop.bodies[-1]) == ("POST", '{"name": "Bell"}')
        await called(box, "sendForm", body={"a": "b c", "d": ["1", "2"]})
        assert shop.bodies[-1] == "a=b+c&d=1&d=2"
        assert shop.seen[-1].content_type == "application/x-www-form-urlencoded"


async def test_only_what_is_named(service: Service) -> None:
    only = Service(description=service.description, only=frozenset({"public", "GET /products"}), prefix="shop_")
    async with await OpenApiTools.open(only) as box:
        assert [tool.name for tool in box.tools] == ["shop_get_products", "shop_public"]


async def test_replies_are_bounded_and_errors_told(service: Service) -> None:
    small = Service(description=service.description, most_bytes=1000)
    async with await OpenApiTools.open(small) as box:
        boxes = Toolboxes([box])
        large = await boxes.call("large", "{}")
        assert large.cut
        assert large.text.startswith("x" * 1000 + "\n[cut")
        assert (await boxes.call("picture", "{}")).text == "[image/png, 4 bytes; not shown]"
        missing = await boxes.call("missing", "{}")
        assert missing.failed
        assert missing.text == 'HTTP 404 Not Found: {"error": "no such thing"}'


async def test_redirects_stay_with_the_server(service: Service, shop: Shop) -> None:
    async with await OpenApiTools.open(service) as box:
        assert (await called(box, "moved"))["path"] == "/api/v1/public"
        boxes = Toolboxes([box])
        away = await boxes.call("away", "{}")
        assert away.failed
        assert "not followed" in away.text
        assert "secret" not in away.text
        assert "in circles" in (await boxes.call("around", "{}")).text


async def test_a_service_that_is_down_is_told(tmp_path: Path) -> None:
    path = tmp_path / "shop.yaml"
    path.write_text(SHOP)
    async with await OpenApiTools.open(Service(description=str(path), server="http://127.0.0.1:9")) as box:
        result = await Toolboxes([box]).call("public", "{}")
        assert result.failed
        assert "cannot be reached" in result.text


async def test_a_description_may_not_name_another_host(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    other = SHOP.replace("/{stage}/v1", "http://169.254.169.254/{stage}")
    monkeypatch.setattr(f"{__name__}.SHOP", other)
    with pytest.raises(ConfigError, match=r"169\.254"):
        await OpenApiTools.open(Service(description=f"{shop.url}/openapi.yaml"))
    async with await OpenApiTools.open(Service(description=f"{shop.url}/openapi.yaml", server=shop.url)) as box:
        assert (await called(box, "public"))["path"] == "/public"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"allow": frozenset({"nothing"})}, "no operation nothing"),
        ({"only": frozenset({"GET /upload"})}, "multipart"),
        ({"credentials": {"nothing": "SHOP_TOKEN"}}, "no security scheme"),
        ({"credentials": {"token": "NOT_SET_AT_ALL"}}, "is not set"),
        ({"credentials": {"token": "SHOP_TOKEN"}, "server": "http://shop.example.org"}, "in the clear"),
    ],
)
async def test_settings_that_make_no_sense(service: Service, change: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        await OpenApiTools.open(Service(description=service.description, **change))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("swagger: '2.0'", "version 2.0"),
        ("- a", "no mapping"),
        ("{", "neither JSON nor YAML"),
        ("a: [", "neither JSON nor YAML"),
        ("hello: world", "none"),
    ],
)
def test_what_is_no_description_is_told(text: str, message: str) -> None:
    with pytest.raises(ToolError, match=message):
        read_description(text)


def test_json_and_version_3_1() -> None:
    document = {
        "openapi": "3.1.0",
        "servers": [{"url": "https://api.example.org/v2/"}],
        "paths": {
            "/a/{x}": {"get": {"parameters": [{"name": "x", "in": "path", "schema": {"type": ["integer", "null"]}}]}},
            "/b": {"get": {"operationId": "get /a/x"}},
            "/loop": {"get": {"parameters": [{"$ref": "#/components/parameters/Loop"}]}},
            "/gone": {"get": {"parameters": [{"$ref": "#/components/parameters/Gone"}]}},
            "/bare/{y}": {"get": {}},
        },
        "components": {"parameters": {"Loop": {"$ref": "#/components/parameters/Loop"}}},
    }  # fmt: skip
    read = read_description(json.dumps(document))
    assert [one.tool.name for one in read.operations] == ["get_a_x", "get_a_x_2"]
    first = read.operations[0]
    assert first.server == "https://api.example.org/v2"
    properties: Any = first.tool.parameters["properties"]
    assert properties["x"] == {"type": ["integer", "null"]}
    assert set(read.left_out) == {"GET /loop", "GET /gone", "GET /bare/{y}"}


def test_a_type_that_grows_without_end_is_left_out() -> None:
    schemas = {
        f"T{n}": {"properties": {c: {"$ref": f"#/components/schemas/T{n + 1}"} for c in "ab"}} for n in range(40)
    }
    schemas["T40"] = {"properties": {}}
    parameter = {"name": "q", "in": "query", "schema": {"$ref": "#/components/schemas/T0"}}
    document = {
        "openapi": "3.1.0", "servers": [{"url": "https://a"}], "paths": {"/a": {"get": {"parameters": [parameter]}}},
        "components": {"schemas": schemas},
    }  # fmt: skip
    assert "too large" in read_description(yaml.safe_dump(document)).left_out["GET /a"]


SPECS = Path(__file__).parents[4] / "shared" / "specs"  # beside the repository, where there is such a folder


@pytest.mark.skipif(not SPECS.exists(), reason="the vendors' descriptions are not here")
@pytest.mark.parametrize(
    ("name", "least"),
    [("qdrant/openapi.rebuilt.json", 20), ("replicate/openapi.rebuilt.json", 10), ("cohere/cohere-openapi.yaml", 5)],
)
def test_descriptions_of_vendors_are_read(name: str, least: int) -> None:
    read = read_description((SPECS / name).read_text(), server="https://api.example.org")
    assert len(read.operations) >= least
    assert len(read.left_out) <= len(read.operations) / 4, read.left_out


async def test_a_type_that_is_no_schema_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "odd.yaml"
    path.write_text(SHOP.replace("minimum: 0, exclusiveMinimum: true", "minimum: low"))
    async with await OpenApiTools.open(Service(description=str(path), server="https://a")) as box:
        assert "no JSON Schema" in box.left_out["GET /products"]
        assert "get_products" not in [tool.name for tool in box.tools]
        assert "public" in [tool.name for tool in box.tools]


# --- what anybody may have written --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "odd",
    [
        "parameters:",
        "parameters: {a: 1}",
        "security:",
        "parameters: [{name: a, in: query, schema: {allOf: }}]",
        "parameters: [{name: a, in: query, schema: {type: object, required: true, properties: {b: {readOnly: true}}}}]",
        "parameters: [{name: a, in: query, schema: {type: object, required: 7, properties: {b: {readOnly: true}}}}]",
        "requestBody:",
    ],
)
def test_an_odd_line_spoils_nothing_else(odd: str) -> None:
    text = f"""
openapi: 3.0.0
servers: [{{url: https://shop.example/v1}}]
paths:
  /good: {{get: {{operationId: good}}}}
  /odd:
    get:
      operationId: odd
      {odd}
"""
    description = read_description(text)
    assert "good" in [one.name for one in description.operations]
    assert "GET /odd" in description.left_out or "odd" in [one.name for one in description.operations]
    for one in description.operations:
        Draft202012Validator.check_schema(one.tool.parameters)


def test_an_operation_that_cannot_be_read_is_left_out_with_the_reason() -> None:
    text = """
openapi: 3.0.0
servers: [{url: https://a.example}]
paths:
  /a:
    get:
      parameters: [{name: a, in: query, schema: {properties: {b: {readOnly: true}}, required: [[]]}}]
  /b: {get: {}}
"""
    description = read_description(text)
    assert [one.path for one in description.operations] == ["/b"]
    assert "malformed" in description.left_out["GET /a"]


def test_words_of_yaml_that_are_no_truth_values_in_json() -> None:
    text = """
openapi: 3.0.0
servers: [{url: https://shop.example}]
paths:
  /a:
    get:
      parameters: [{name: country, in: query, required: true, schema: {type: string, enum: [yes, no, DE, NO, On]}}]
"""
    (operation,) = read_description(text).operations
    assert operation.tool.parameters["properties"]["country"]["enum"] == ["yes", "no", "DE", "NO", "On"]  # type: ignore[index]
    assert operation.tool.parameters["required"] == ["country"]


def written(parameters: list[dict[str, Any]], arguments: dict[str, Any], **more: Any) -> tuple[str, dict[str, str]]:
    """(URL, headers) of a call of /a/{id} with a key."""
    document = {
        "openapi": "3.1.0",
        "servers": [{"url": "https://shop.example"}],
        "components": {"securitySchemes": {"key": {"type": "apiKey", "in": "query", "name": "X-Key"}}},
        "paths": {"/a/{id}": {"get": {"operationId": "a", "parameters": parameters, **more}}},
    }
    description = read_description(json.dumps(document))
    tools = OpenApiTools(Service(description="d", credentials={"key": "OPENAPI_TEST_KEY"}), description)
    request = Request.of(tools._operations["a"], arguments)
    tools._sign(request, tools._operations["a"])
    return request.url, request.headers


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAPI_TEST_KEY", "secret")


ID = {"name": "id", "in": "path", "required": True, "schema": {}}


@pytest.mark.usefixtures("key")
@pytest.mark.parametrize(
    ("style", "explode", "value", "path"),
    [
        ("simple", False, ["a", "b"], "a,b"),
        ("label", False, "a;b", ".a%3Bb"),
        ("label", False, ["a", "b"], ".a,b"),
        ("label", True, ["a", "b"], ".a.b"),
        ("label", True, {"x": 1, "y": 2}, ".x=1.y=2"),
        ("matrix", False, "a", ";id=a"),
        ("matrix", False, ["a", "b"], ";id=a,b"),
        ("matrix", True, ["a", "b"], ";id=a;id=b"),
        ("matrix", False, {"x": 1, "y": 2}, ";id=x,1,y,2"),
        ("matrix", True, {"x": 1, "y": 2}, ";x=1;y=2"),
    ],
)
def test_paths_in_every_style(style: str, explode: bool, value: Any, path: str) -> None:
    url, _ = written([{**ID, "style": style, "explode": explode}], {"id": value})
    assert url == f"https://shop.example/a/{path}"


@pytest.mark.usefixtures("key")
def test_a_label_leads_nowhere_else() -> None:
    for value in (".", "", ["."]):
        with pytest.raises(ToolError):
            written([{**ID, "style": "label"}], {"id": value})


@pytest.mark.usefixtures("key")
def test_a_key_that_is_optional_is_sent() -> None:
    assert written([ID], {"id": "1"}, security=[{}, {"key": []}])[0] == "https://shop.example/a/1?X-Key=secret"
    assert written([ID], {"id": "1"}, security=[])[0] == "https://shop.example/a/1"


@pytest.mark.usefixtures("key")
def test_a_free_object_names_no_other_parameter() -> None:
    free = {"name": "f", "in": "query", "schema": {"type": "object"}}
    other = {"name": "admin", "in": "query", "schema": {"type": "boolean"}}
    url, _ = written([ID, free, other], {"id": "1", "f": {"colour": "red"}})
    assert url == "https://shop.example/a/1?colour=red"
    for name in ("x-key", "X-Key", "admin"):
        with pytest.raises(ToolError, match="cannot have"):
            written([ID, free, other], {"id": "1", "f": {name: "1"}})


async def test_a_description_with_nothing_to_call_says_so(tmp_path: Path) -> None:
    path = tmp_path / "shop.yaml"
    for server, method in (("/api", "get"), ("https://shop.example", "post")):
        path.write_text(
            f"openapi: 3.0.0\nservers: [{{url: '{server}'}}]\npaths: {{/a: {{{method}: {{operationId: a}}}}}}"
        )
        with pytest.raises(ConfigError, match="nothing that may be called"):
            await OpenApiTools.open(Service(description=str(path)))
    many = ", ".join(f"/a{n}: {{get: {{operationId: a{n}}}}}" for n in range(129))
    path.write_text(f"openapi: 3.0.0\nservers: [{{url: 'https://shop.example'}}]\npaths: {{{many}}}")
    with pytest.raises(ConfigError, match="129 operations"):
        await OpenApiTools.open(Service(description=str(path)))
    await (await OpenApiTools.open(Service(description=str(path), only=frozenset(["a1"])))).close()
