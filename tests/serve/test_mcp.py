"""A real book over MCP, driven by the official SDK's client: in this process, over stdio, over streamable HTTP."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from sourcebook.book import Sourcebook
from sourcebook.config import Config, Parts
from sourcebook.errors import ConfigError, MissingExtra
from sourcebook.filters import parse_filter
from sourcebook.models.base import Switched
from sourcebook.serve import mcp_tools
from sourcebook.serve.mcp import serve_http, server_of
from sourcebook.serve.mcp_tools import Served
from sourcebook.types import Answer, Citation, PassageId, Scope, Unsupported
from tests.verbatim import Verbatim

pytest.importorskip("mcp")

COMMAND = "from sourcebook.commands.mcp import mcp; mcp()"
HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "a", "version": "1"}},
}
LIGHT = "# The lighthouse\n\nThe lighthouse was built in 1873. It is 41 metres tall.\n"
SECRET = "# Salaries\n\nThe lighthouse keeper earns 90 crowns.\n"


@dataclass
class Made:
    home: Path
    light: Path
    secret: Path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A book of two documents, one of which only the board may see, and a long one of another tenant."""
    folder = tmp_path_factory.mktemp("served")
    paragraphs = [f"Paragraph {number} is about something else." for number in range(400)]
    paragraphs[200] = "The zeppelin landed in the harbour."
    texts = {"open/the light.md": LIGHT, "closed/salaries.md": SECRET, "long/long.md": "\n\n".join(paragraphs)}
    for name, text in texts.items():
        (folder / name).parent.mkdir()
        (folder / name).write_text(text)

    async def make() -> None:
        async with await Sourcebook.open(folder / "book", config=Config(parts=Parts(embed="hashing"))) as book:
            await book.add(folder / "open")
            await book.add(folder / "closed", access=["board"])
            await book.add(folder / "long", tenant="long")
            await book.sync()

    asyncio.run(make())
    return Made(folder / "book", folder / "open/the light.md", folder / "closed/salaries.md")


@pytest.fixture
async def book(made: Made) -> AsyncIterator[Sourcebook]:
    async with await Sourcebook.open(made.home, config=Config(parts=Parts(embed="hashing"))) as book:
        book.__dict__["model"] = Verbatim()
        yield book


async def said(client: Any, tool: str, **arguments: str) -> Any:
    """What a tool gives: one text item of JSON, the same as the structured content."""
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    (item,) = result.content
    assert item.type == "text"
    assert json.loads(item.text) == result.structured_content
    return result.structured_content


async def refused(client: Any, tool: str, arguments: Mapping[str, object]) -> str:
    result = await client.call_tool(tool, dict(arguments))
    assert result.is_error
    return str(result.content[0].text)


@contextmanager
def served(made: Made, *arguments: str, **environment: str) -> Iterator[str]:
    """`sourcebook mcp --http` as a process; gives its URL."""
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, "--home", str(made.home), "--http", "127.0.0.1:0", *arguments],
        env={**os.environ, "SOURCEBOOK_PARTS_EMBED": "hashing", **environment},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        line = process.stderr.readline()
        assert line.startswith("Serving "), line + process.stderr.read()
        yield line.split()[-1]
    finally:
        process.terminate()
        assert process.wait(10) in (0, -15)
        process.stderr.close()


# --- the tools, in this process -----------------------------------------------------------------------------


async def test_the_tools_are_those_that_connectors_expect(book: Sourcebook) -> None:
    from mcp import Client

    async with Client(server_of(book, Served())) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert list(tools) == ["search", "fetch", "ask"]
        for name, argument in (("search", "query"), ("fetch", "id"), ("ask", "question")):
            schema = tools[name].input_schema
            assert list(schema["properties"]) == schema["required"] == [argument]
            assert schema["properties"][argument]["type"] == "string"
            hints = tools[name].annotations
            assert hints is not None
            assert hints.read_only_hint
        assert "never instructions" in (client.instructions or "")


async def test_search_then_fetch(book: Sourcebook, made: Made) -> None:
    from mcp import Client

    async with Client(server_of(book, Served())) as client:
        found = await said(client, "search", query="How tall is the lighthouse?")
        assert list(found) == ["results"]
        (result,) = found["results"]
        assert set(result) == {"id", "title", "url"}
        assert result["title"] == "The lighthouse"
        assert result["url"] == made.light.as_uri()
        document = await said(client, "fetch", id=result["id"])
        assert set(document) == {"id", "title", "text", "url", "metadata"}
        assert document["id"] == result["id"]
        assert "It is 41 metres tall." in document["text"]
        assert document["metadata"]["type"] == "md"
        assert document["metadata"]["document"] == made.light.as_uri()
        by_uri = await said(client, "fetch", id=made.light.as_uri())
        assert by_uri["text"] == document["text"]


async def test_ask_gives_an_answer_with_its_citations(book: Sourcebook, made: Made) -> None:
    from mcp import Client

    async with Client(server_of(book, Served())) as client:
        answer = await said(client, "ask", question="When was it built?")
        assert answer["known"]
        assert answer["answer"] == "The lighthouse was built in 1873. [1]"
        (citation,) = answer["citations"]
        assert citation["quote"] == "The lighthouse was built in 1873."
        assert (citation["number"], citation["url"]) == (1, made.light.as_uri())
        assert (await said(client, "fetch", id=citation["id"]))["title"] == "The lighthouse"
        assert book.answer_record(answer["answer_id"])["known"]
        unknown = await said(client, "ask", question="Who won?")
        assert (unknown["known"], unknown["citations"]) == (False, [])
        assert "do not know" in unknown["answer"]


async def test_ask_withdraws_what_another_model_did_not_keep(
    book: Sourcebook, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mcp import Client

    def citation(quote: str) -> Citation:
        return Citation(document="file:///a", version=1, passage=PassageId("a"), start=0, end=len(quote), quote=quote)

    one, other = citation("One"), citation("Two")

    async def parts(*_: object, **__: object) -> AsyncIterator[object]:
        yield "One."
        yield one
        yield " Half a"
        yield Switched(before="a", after="b", reason="down", kept=4)
        for part in (" Two.", other, " Three.", one, other, " Four."):
            yield part
        text = "One. Two. Three. Four."
        why = (Unsupported(text="Four.", reason="none"),)
        yield Answer(id="x", question="?", text=text, known=True, citations=(one, other), unsupported=why)

    monkeypatch.setattr(book, "stream", parts)
    async with Client(server_of(book, Served())) as client:
        answer = await said(client, "ask", question="?")
    assert answer["answer"] == "One. [1] Two. [2] Three. [1] [2] Four."
    assert [one["quote"] for one in answer["citations"]] == ["One", "Two"]
    assert answer["unsupported"] == ["Four."]


async def test_what_the_scope_does_not_allow_is_not_there(book: Sourcebook, made: Made) -> None:
    from mcp import Client

    async with Client(server_of(book, Served(scope=Scope(principals=frozenset(["board"]))))) as client:
        results = (await said(client, "search", query="What does the keeper earn?"))["results"]
        secret = next(one["id"] for one in results if one["url"] == made.secret.as_uri())
        assert "90 crowns" in (await said(client, "fetch", id=secret))["text"]
    for scope in (Scope(), Scope(tenant="other", principals=frozenset(["board"]))):
        async with Client(server_of(book, Served(scope=scope))) as client:
            results = (await said(client, "search", query="What does the keeper earn?"))["results"]
            assert made.secret.as_uri() not in [one["url"] for one in results]
            answer = await said(client, "ask", question="What does the keeper earn?")
            assert "crowns" not in json.dumps(answer)
            for name in (secret, made.secret.as_uri()):
                message = await refused(client, "fetch", {"id": name})
                assert "No live document" in message
                assert "alaries" not in message.replace(name, "")
            more = {"query": "What does the keeper earn?", "scope": "board", "principals": "board", "tenant": "default"}
            assert await said(client, "search", **more) == {"results": results}  # nothing that is sent widens it
            assert "takes one argument" in await refused(client, "search", {"scope": "board"})


async def test_a_version_that_comes_in_between_is_not_mixed_with_the_one_before(
    book: Sourcebook, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    ((name, passage),) = [(one.id, one) for one in book.show(made.light.as_uri())[1]]
    read = book.live.passages
    answers = [{name: replace(passage, version=passage.version + 1, start=1000, end=2000)}]

    def passages(names: Any, scope: Any) -> Any:
        return answers.pop() if answers else read(names, scope)

    monkeypatch.setattr(book.live, "passages", passages)
    found = await mcp_tools.fetch(book, Served(), name)
    metadata: Any = found["metadata"]
    assert str(found["text"])[metadata["passage_start"] : metadata["passage_end"]] == passage.text
    assert metadata["version"] == passage.version


async def test_who_pays_and_how_long_is_settled_when_the_server_starts(
    book: Sourcebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []
    stream = book.stream

    def watched(question: str, **more: Any) -> Any:
        asked.append(more)
        return stream(question, **more)

    monkeypatch.setattr(book, "stream", watched)
    await mcp_tools.ask(book, Served(account="mia", seconds=30.0), "When was the lighthouse built?")
    assert (asked[0]["account"], asked[0]["seconds"]) == ("mia", 30.0)


async def test_a_filter_holds_for_every_tool(book: Sourcebook, made: Made) -> None:
    from mcp import Client

    served = Served(where=parse_filter("type = 'pdf'"))
    async with Client(server_of(book, served)) as client:
        assert await said(client, "search", query="lighthouse") == {"results": []}
        assert "No live document" in await refused(client, "fetch", {"id": made.light.as_uri()})
        assert not (await said(client, "ask", question="When was it built?"))["known"]


async def test_links_lead_where_readers_find_the_documents(book: Sourcebook, made: Made) -> None:
    from mcp import Client

    folder = f"{made.light.parent.as_uri()}/"
    served = Served(links={"file:///": "https://wrong/", folder: "https://docs.example.org/"})
    async with Client(server_of(book, served)) as client:
        (result,) = (await said(client, "search", query="lighthouse"))["results"]
        assert result["url"] == "https://docs.example.org/the%20light.md"
        assert (await said(client, "fetch", id=result["id"]))["url"] == result["url"]
        answer = await said(client, "ask", question="When was it built?")
        assert answer["citations"][0]["url"] == result["url"]


async def test_of_a_long_document_the_part_around_the_passage(
    book: Sourcebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mcp import Client

    monkeypatch.setattr(mcp_tools, "MOST_TEXT", 2000)
    async with Client(server_of(book, Served(top=1, scope=Scope(tenant="long")))) as client:
        (result,) = (await said(client, "search", query="Where did the zeppelin land?"))["results"]
        document = await said(client, "fetch", id=result["id"])
        assert len(document["text"]) == 2000
        metadata = document["metadata"]
        passage = document["text"][metadata["passage_start"] : metadata["passage_end"]]
        assert "zeppelin" in passage
        assert metadata["part"].startswith("characters ")
        assert metadata["characters"] > 10_000
        whole = await said(client, "fetch", id=metadata["document"])
        assert whole["text"].startswith("Paragraph 0")


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("search", {}),
        ("search", {"query": ""}),
        ("search", {"query": 5}),
        ("search", {"question": "a"}),
        ("fetch", {"id": "nothing"}),
        ("fetch", {"id": "x" * 32}),
        ("ask", {"question": " "}),
        ("remove", {"name": "a"}),
    ],
)
async def test_wrong_calls_are_told(book: Sourcebook, tool: str, arguments: dict[str, object]) -> None:
    from mcp import Client

    async with Client(server_of(book, Served())) as client:
        assert await refused(client, tool, arguments)


async def test_a_fault_of_ours_tells_clients_nothing(
    book: Sourcebook, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from mcp import Client

    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("/srv/secret/path")

    monkeypatch.setattr(book, "search", broken)
    async with Client(server_of(book, Served())) as client:
        assert "secret" not in await refused(client, "search", {"query": "a"})
    assert "/srv/secret/path" in caplog.text


# --- over the transports ------------------------------------------------------------------------------------


async def test_over_stdio(made: Made) -> None:
    from mcp import Client, StdioServerParameters

    server = StdioServerParameters(
        command=sys.executable,
        args=["-c", COMMAND, "--home", str(made.home), "--as", "board"],
        env={"SOURCEBOOK_PARTS_EMBED": "hashing"},
    )
    async with Client(server) as client:
        found, document, answer = await asyncio.gather(
            said(client, "search", query="What does the keeper earn?"),
            said(client, "fetch", id=made.light.as_uri()),
            said(client, "ask", question="When was it built?"),
        )
        assert made.secret.as_uri() in [one["url"] for one in found["results"]]
        assert "41 metres" in document["text"]
        assert "1873" in answer["answer"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (None, 0)])
def test_a_stdio_server_ends_when_it_is_told_or_its_client_is_gone(made: Made, number: int | None, code: int) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, "--home", str(made.home)],
        env={**os.environ, "SOURCEBOOK_PARTS_EMBED": "hashing"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(HELLO) + "\n")
    process.stdin.flush()
    assert json.loads(process.stdout.readline())["result"]["serverInfo"]["name"] == "sourcebook"
    if number is not None:
        process.send_signal(number)
        assert process.wait(10) == code
    _, errors = process.communicate(timeout=10)
    assert process.returncode == code
    assert errors == ""


async def test_over_http_with_a_token(made: Made) -> None:
    import httpx2
    from mcp import Client
    from mcp.client.streamable_http import streamable_http_client

    with served(made, SOURCEBOOK_MCP_TOKEN="right") as url:
        async with httpx2.AsyncClient(headers={"Authorization": "Bearer right"}) as web:
            async with Client(streamable_http_client(url, http_client=web)) as client:
                found = await said(client, "search", query="How tall is the lighthouse?")
                assert [one["url"] for one in found["results"]] == [made.light.as_uri()]
            accept = {"Accept": "application/json, text/event-stream"}

            async def status(**headers: str) -> int:
                return (await web.post(url, json=HELLO, headers={**accept, **headers})).status_code

            assert await status() == 200
            assert await status(Host="evil.example.org") == 421
            assert await status(Origin="https://evil.example.org") == 403
            assert await status(Authorization="Bearer wrong") == 401
            assert await status(Authorization="bearer right") != 401  # the scheme's name has no case
            assert await status(Authorization="right") == 401
            assert await status(Authorization="") == 401
            assert (await web.get(url, headers={"Authorization": "Bearer"})).status_code == 401


async def test_over_http_under_other_names(made: Made) -> None:
    import httpx2

    with served(made, "--name", "books.example.org") as url:
        async with httpx2.AsyncClient() as web:
            answers = [
                (await web.post(url, json={}, headers={"Host": host})).status_code
                for host in ("books.example.org", "other.example.org")
            ]
    assert answers[0] != 421
    assert answers[1] == 421


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "books.example.org"])
async def test_others_are_not_served_without_a_token(book: Sourcebook, host: str) -> None:
    with pytest.raises(ConfigError, match="SOURCEBOOK_MCP_TOKEN"):
        await serve_http(book, Served(), host=host, port=0)


async def test_an_address_in_use_is_told(book: Sourcebook) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ConfigError, match="Nothing can be served"):
            await serve_http(book, Served(), port=taken.getsockname()[1])


@pytest.mark.parametrize(
    "arguments",
    [["--http", "8000"], ["--http", "localhost:x"], ["--http", "localhost:99999"], ["--link", "a"], ["--where", "("]],
)
def test_wrong_options_are_told(arguments: list[str]) -> None:
    from click.testing import CliRunner

    from sourcebook.commands.mcp import mcp

    result = CliRunner().invoke(mcp, arguments)
    assert result.exit_code != 0
    assert type(result.exception).__name__ in ("ConfigError", "FilterError")


async def test_without_the_sdk_the_extra_is_named(book: Sourcebook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mcp_types", None)
    with pytest.raises(MissingExtra, match=r'pip install "sourcebook\[mcp\]"'):
        server_of(book, Served())
