"""What a book does for clients of MCP: search, fetch and ask, each from one string to JSON values."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from sourcebook.errors import NotFound
from sourcebook.models.base import Switched
from sourcebook.models.record import computed_json
from sourcebook.types import Answer, Citation, Filter, Passage, PassageId, Scope

if TYPE_CHECKING:
    from mcp_types import Tool

    from sourcebook.book import Sourcebook

MOST_TEXT = 100_000
"""Characters of a document that `fetch` gives; of a longer one, those around the passage."""

_TRIES = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Served:
    """What is served, and to whom.

    scope: whose book it is; every call is theirs. where: only documents with such metadata, as text or tree.
    top: results of a search. links: beginnings of document URIs, and what stands for them in the URLs that clients
    are given ("file:///srv/docs/" -> "https://docs.example.org/"). account: who pays for answers. seconds: for one.
    """

    scope: Scope = field(default_factory=Scope)
    where: str | Filter | None = None
    top: int = 10
    links: Mapping[str, str] = field(default_factory=dict)
    account: str = "default"
    seconds: float | None = None


async def search(book: Sourcebook, served: Served, query: str) -> dict[str, object]:
    """The passages that matter for a query, best first, as names to fetch and places to cite."""
    hits = await book.search(query, top=served.top, scope=served.scope, where=served.where)
    return {
        "results": [
            {"id": hit.passage.id, "title": _title(hit.passage), "url": _url(hit.passage, served)} for hit in hits
        ]
    }


async def fetch(book: Sourcebook, served: Served, name: str) -> dict[str, object]:
    """The document of a passage, or a document by its URI, if the scope and the filter let it be seen."""
    text, passage, found = await _read(book, served, name)
    first, last = _around(text, passage) if found else (0, min(len(text), MOST_TEXT))
    metadata: dict[str, object] = {key: _json_value(value) for key, value in passage.metadata.items()}
    metadata |= {"document": passage.document, "version": passage.version, "characters": len(text)}
    if found:
        metadata |= {"passage_start": passage.start - first, "passage_end": passage.end - first}
        if passage.page is not None:
            metadata["page"] = passage.page
    if (first, last) != (0, len(text)):
        metadata["part"] = f"characters {first} to {last} of {len(text)}"
    return {
        "id": name,
        "title": _title(passage) if found else passage.title or _last_part(passage.document),
        "text": text[first:last],
        "url": _url(passage, served),
        "metadata": metadata,
    }


async def _read(book: Sourcebook, served: Served, name: str) -> tuple[str, Passage, bool]:
    """(a document's text, the passage of that name or else its first, whether it is that), all of one version."""
    from sourcebook.catalog import reads

    for _ in range(_TRIES):
        passages = await asyncio.to_thread(book.live.passages, [PassageId(name)], served.scope)
        found = passages.get(PassageId(name))
        document = name if found is None else found.document
        text, all_of_it = await asyncio.to_thread(reads.whole_document, book.catalog, document, served.scope)
        passage = found or all_of_it[0]
        if not _passes(served, passage):
            break
        if passage.version == all_of_it[0].version:  # else another one was published in between
            return text, passage, found is not None
    raise NotFound(f"No live document {name!r}", remedy="Search first, and fetch an id of its results")


async def ask(book: Sourcebook, served: Served, question: str) -> dict[str, object]:
    """The answer; a number stands after each sentence that rests on the citation of that number."""
    text = ""
    marks: list[tuple[int, Citation]] = []  # where in the text each citation stands
    answer: Answer | None = None
    stream = book.stream(
        question, scope=served.scope, where=served.where, account=served.account, seconds=served.seconds
    )
    async with aclosing(stream) as parts:
        async for part in parts:
            match part:
                case str():
                    text += part
                case Citation():
                    marks.append((len(text), part))
                case Switched():  # another model went on; what was not kept is withdrawn
                    text, marks = text[: part.kept], [mark for mark in marks if mark[0] <= part.kept]
                case Answer():
                    answer = part
    assert answer is not None
    citations = list(dict.fromkeys(citation for _, citation in marks)) if answer.known else []
    unknown = answer.text or "I do not know: nothing in the documents supports an answer."
    return {
        "answer": _marked(text, marks, citations) if answer.known else unknown,
        "known": answer.known,
        "citations": [
            {
                "number": number,
                "id": one.passage,
                "title": one.title or _last_part(one.document),
                "url": _link(one.document, one.page, served),
                "quote": one.quote,
                "page": one.page,
                **({} if one.computed is None else {"computed": computed_json(one.computed)}),
            }
            for number, one in enumerate(citations, 1)
        ],
        "unsupported": [one.text for one in answer.unsupported],
        "answer_id": answer.id,
    }


def _marked(text: str, marks: Sequence[tuple[int, Citation]], citations: Sequence[Citation]) -> str:
    """The text with [n] where the citation of that number stands."""
    made, done = "", 0
    for place, citation in marks:
        made += f"{text[done:place]} [{citations.index(citation) + 1}]"
        done = place
    return (made + text[done:]).strip()


def described() -> list[Tool]:
    """What clients are told of the tools; each takes one string."""
    import mcp_types as types

    hints = types.ToolAnnotations(
        read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False
    )
    text = {"type": "string"}

    def tool(name: str, title: str, says: str, argument: str, means: str, gives: dict[str, Any]) -> Tool:
        parameters = {
            "type": "object",
            "properties": {argument: {"type": "string", "description": means}},
            "required": [argument],
        }
        output = {"type": "object", "properties": gives, "required": list(gives)}
        return types.Tool(
            name=name, title=title, description=says, input_schema=parameters, output_schema=output, annotations=hints
        )

    result = {"type": "object", "properties": dict.fromkeys(("id", "title", "url"), text), "required": ["id", "url"]}
    return [
        tool(
            "search",
            "Search documents",
            "Find the passages of the user's documents that matter most for a query, best first. "
            "Gives ids for `fetch`.",
            "query",
            "What to look for: a question, or words that a good passage would hold",
            {"results": {"type": "array", "items": result}},
        ),
        tool(
            "fetch",
            "Read a document",
            "Read the document that a search result is from, around its passage if the document is long.",
            "id",
            "The id of a search result",
            {**dict.fromkeys(("id", "title", "text", "url"), text), "metadata": {"type": "object"}},
        ),
        tool(
            "ask",
            "Ask the documents",
            "Answer a question from the user's documents alone. Each sentence is followed by the numbers of its "
            "citations, whose quotes are checked against the documents; `known` is false if nothing supports any.",
            "question",
            "The question, in whole words",
            {
                "answer": text,
                "known": {"type": "boolean"},
                "citations": {"type": "array", "items": {"type": "object"}},
                "unsupported": {"type": "array", "items": text},
                "answer_id": text,
            },
        ),
    ]


# --- places and names ---------------------------------------------------------------------------------------


def _passes(served: Served, passage: Passage) -> bool:
    from sourcebook.filters import matches, parse_filter

    where = parse_filter(served.where) if isinstance(served.where, str) else served.where
    return where is None or matches(where, passage.metadata)


def _around(text: str, passage: Passage) -> tuple[int, int]:
    """The part of a long text that has the passage in its middle: [first, last)."""
    if len(text) <= MOST_TEXT:
        return 0, len(text)
    middle = (passage.start + passage.end) // 2
    first = max(0, min(middle - MOST_TEXT // 2, len(text) - MOST_TEXT))
    return first, first + MOST_TEXT


def _title(passage: Passage) -> str:
    """For people: the document's title, the headings that the passage stands under, page or row."""
    parts = [passage.title or _last_part(passage.document), *passage.heading_path]
    place = passage.location or (f"page {passage.page}" if passage.page is not None else "")
    title = " > ".join(dict.fromkeys(" ".join(part.split()) for part in parts))
    return f"{title} ({place})" if place else title


def _url(passage: Passage, served: Served) -> str:
    return _link(passage.document, passage.page, served)


def _link(document: str, page: int | None, served: Served) -> str:
    """Where clients find a document: its URI, under the address that stands for its beginning."""
    link = document
    for beginning in sorted(served.links, key=len, reverse=True):
        if document.startswith(beginning):
            link = served.links[beginning] + document[len(beginning) :]
            break
    return f"{link}#page={page}" if page is not None and "#" not in link else link


def _last_part(document: str) -> str:
    return unquote(document.rstrip("/").rpartition("/")[2]) or document


def _json_value(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value
