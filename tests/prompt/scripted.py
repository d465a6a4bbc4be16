"""A generating model that replies as it is told, and a conversation over documents to remember."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from pathlib import Path

from sourcebook.catalog.catalog import Catalog
from sourcebook.catalog.conversations import keep_exchange
from sourcebook.catalog.records import Draft, Staged
from sourcebook.models.base import Capabilities, Finish, FinishReason, ModelEvent, ModelRequest, TextPart
from sourcebook.types import Chunk, Scope, Usage

NOBODY = Scope()


class Scripted:
    """Replies with what `reply` makes of the request; an exception is raised. It keeps the requests."""

    name = "scripted-1"
    window = 8000
    capabilities = Capabilities(schema=True)

    def __init__(
        self,
        reply: Callable[[ModelRequest], str] | Sequence[str | Exception] | str | Exception = "",
        *,
        reason: FinishReason = "stop",
        seconds: float = 0.0,
    ) -> None:
        self.requests: list[ModelRequest] = []
        self._reply = reply
        self._reason: FinishReason = reason
        self._seconds = seconds

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        self.requests.append(request)
        await asyncio.sleep(self._seconds)
        if callable(self._reply):
            text: str | Exception = self._reply(request)
        elif isinstance(self._reply, str | Exception):
            text = self._reply
        else:
            text = self._reply[len(self.requests) - 1]
        if isinstance(text, Exception):
            raise text
        yield TextPart(text=text)
        yield Finish(reason=self._reason, usage=Usage(input_tokens=10, output_tokens=self.count_tokens(text)))

    @property
    def prompts(self) -> list[str]:
        """The texts of each request's messages together."""
        return ["\n".join(message.text for message in request.messages) for request in self.requests]

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    async def close(self) -> None:
        pass


class Quoting(Scripted):
    """One that only quotes, and must not be asked to write."""

    name = "quoting-1"
    capabilities = Capabilities(cites=True)

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        raise AssertionError("it writes nothing of its own")
        yield Finish(reason="stop")


def make_catalog(folder: Path) -> Catalog:
    return Catalog("sqlite:catalog.db", folder)


def publish(catalog: Catalog, name: str, text: str, *, access: frozenset[str] = frozenset()) -> Staged:
    """A live document of one passage."""
    draft = Draft(
        uri=f"file:///{name}",
        tenant="default",
        source_id=1,
        access=access,
        fingerprint=text,
        content_hash=text,
        recipe="recipe",
        text=text,
        chunks=(Chunk(text=text, start=0, end=len(text)),),
        text_keys=(text,),
    )
    staged = catalog.stage([draft])
    catalog.commit(staged)
    return staged[0]


def say(catalog: Catalog, name: str, question: str, answer: str, *documents: Staged, scope: Scope = NOBODY) -> None:
    """Add an exchange, made from these documents."""
    passages = [passage for one in documents for passage in one.passages]
    assert keep_exchange(catalog, name, scope, question=question, answer=answer, passages=passages)
