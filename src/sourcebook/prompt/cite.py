"""A model's events into an answer whose citations hold: each quote is checked before it leaves."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from uuid import uuid4

from sourcebook.models.base import CitedPart, Finish, ModelEvent, ModelRequest, TextPart
from sourcebook.types import Answer, Citation


async def cite(
    events: AsyncIterator[ModelEvent],
    request: ModelRequest,
    *,
    model: str,
    verify: Callable[[Citation], Awaitable[bool]],
) -> AsyncGenerator[str | Citation | Answer, None]:
    """Text and citations as they become certain, then the whole answer.

    Text is held back until the citation that follows it is verified; a sentence whose source is gone by then is
    left out. verify: whether a live document that the asker may see has exactly this quote at this place.
    """
    text: list[str] = []
    citations: list[Citation] = []
    waiting: list[str] = []
    refused = False
    async for event in events:
        match event:
            case TextPart(text=piece):
                if refused:
                    waiting, refused = [], False
                waiting.append(piece)
            case CitedPart():
                citation = _citation(event, request)
                if citation is None or not await verify(citation):
                    refused = bool(waiting)
                    continue
                for piece in waiting:
                    text.append(piece)
                    yield piece
                waiting, refused = [], False
                citations.append(citation)
                yield citation
            case Finish():
                known = event.reason != "unknown" and bool(citations)
                yield Answer(
                    id=uuid4().hex,
                    question=request.question,
                    text="".join(text).strip() if known else "",
                    known=known,
                    citations=tuple(citations) if known else (),
                    hits=request.evidence,
                    model=model,
                    usage=event.usage,
                )
                return


def _citation(part: CitedPart, request: ModelRequest) -> Citation | None:
    """The citation that a model means, or None if it points at nothing that it was given."""
    if not 1 <= part.number <= len(request.evidence):
        return None
    passage = request.evidence[part.number - 1].passage
    return Citation(
        document=passage.document,
        version=passage.version,
        passage=passage.id,
        start=passage.start + part.start,
        end=passage.start + part.end,
        quote=passage.text[part.start : part.end],
        page=passage.page,
        location=passage.location,
        title=passage.title,
    )
