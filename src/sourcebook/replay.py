"""An answer once more: its record into the very same request, run again on the same model or on another.

What can be checked without asking anybody is that the bytes of the request are the same; what the model says to them
may differ from day to day, and the difference is shown.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from sourcebook.answering import cited
from sourcebook.errors import NotFound, SourcebookError
from sourcebook.models.base import Served
from sourcebook.models.record import hit_from, request_from, request_record
from sourcebook.models.wire import to_json
from sourcebook.prompt.base import Composition
from sourcebook.types import Answer, Question, Scope

if TYPE_CHECKING:
    from sourcebook.book import Sourcebook
    from sourcebook.models.base import Model, ModelRequest


@dataclass(frozen=True, kw_only=True, slots=True)
class Replay:
    """An answer, and the same request answered again.

    body: the request as it goes to the model, rebuilt from the record. same_bytes: whether its digest is that of the
    bytes that were sent then; None if that cannot be said, with `why_not`. before, after: the texts.
    """

    answer_id: str
    question: str
    model_before: str
    model_after: str
    body: bytes
    same_bytes: bool | None
    why_not: str
    before: str
    after: str
    answer: Answer | None

    @property
    def same_text(self) -> bool:
        """Whether both answers are the same, character for character."""
        return self.before == self.after

    def difference(self) -> list[str]:
        """Lines of a unified diff of the two answers, a sentence a line."""
        return list(
            difflib.unified_diff(
                _lines(self.before), _lines(self.after), self.model_before, self.model_after, lineterm="", n=1
            )
        )


async def replay(
    book: Sourcebook, answer_id: str, *, model: str | None = None, run: bool = True, scope: Scope | None = None
) -> Replay:
    """Rebuild the request of a recorded answer, and run it again.

    model: URL of another model; None: the one that answered. run: False only rebuilds and compares the bytes.
    Nothing is recorded. Errors: NotFound, ConfigError, ModelError.
    """
    scope = scope or Scope()
    record = book.answer_record(answer_id, scope=scope)
    if "request" not in record:
        raise NotFound(
            f"The record of {answer_id} is of an older version and lacks the request", remedy="Ask the question again"
        )
    hits = tuple(hit_from(one) for one in record["passages"])
    request = request_from(record["request"], hits)
    served_by = str(record.get("served_by") or record["model"])
    url = model if model is not None else book.models.url_of(served_by)
    chosen = book.models.bare(url)
    body = body_of(chosen, request)
    same, why_not = _compared(record, body, other=chosen.name != served_by)
    answer = await _answered(book, book.models.open(url), request, record, scope) if run else None
    return Replay(
        answer_id=answer_id,
        question=str(record["question"]),
        model_before=served_by,
        model_after=chosen.name,
        body=body,
        same_bytes=same,
        why_not=why_not,
        before=str(record["answer"]),
        after=str(record["answer"]) if answer is None else answer.text,
        answer=answer,
    )


def body_of(model: Model, request: ModelRequest) -> bytes:
    """What a request is to a model: the body that is sent, or else the request itself as JSON."""
    return model.body(request) if isinstance(model, Served) else to_json(request_record(request))


def _compared(record: Mapping[str, Any], body: bytes, *, other: bool) -> tuple[bool | None, str]:
    if other:
        return None, "another model is asked"
    if record.get("switched"):
        return None, "the answer went through several models, whose requests differ"
    if record.get("steps"):
        return None, "the answer took several steps, of which the last request is kept"
    if not record.get("sent"):
        return None, "no digest was recorded"
    return sha256(body).hexdigest() == record["sent"], ""


async def _answered(
    book: Sourcebook, model: Model, request: ModelRequest, record: Mapping[str, Any], scope: Scope
) -> Answer:
    question = Question(text=str(record["question"]), scope=scope)
    paying = replace(request, tenant=scope.tenant, purpose="replay")
    composition = Composition(
        request=paying, version=str(record["prompt"]), answer_tag=str(record.get("answer_tag", ""))
    )
    parts = cited(book, model, question, composition, model.stream(paying))
    async with aclosing(parts):
        async for part in parts:
            if isinstance(part, Answer):
                return part
    raise SourcebookError("The model ended without an answer", remedy="Run: sourcebook doctor")


def _lines(text: str) -> list[str]:
    from sourcebook.language import sentences

    return [text[start:end].strip() for start, end in sentences(text)] or [""]
