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

from sourcebook.answering import Run, cited
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
    bytes that were sent then; None if that cannot be said, with `why_not`. before, after: the model's own words, where
    they are recorded, else the answers; `answer` is what is left of `after` once its citations are checked.
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
    book: Sourcebook,
    answer_id: str,
    *,
    model: str | None = None,
    run: bool = True,
    scope: Scope | None = None,
    account: str | None = None,
) -> Replay:
    """Rebuild the request of a recorded answer, and run it again.

    answer_id: also its beginning, or "last". model: URL of another model; None: the one that answered. run: False only
    rebuilds and compares the bytes; nothing is asked, and no key is needed. account: who pays; None: who paid then.
    The reply is read as it was then. No answer is recorded; the call is in the usage ledger, for the same answer.
    Errors: NotFound, ConfigError, ModelError.
    """
    scope = scope or Scope()
    record = book.answer_record(answer_id, scope=scope)
    if record.get("removed"):
        raise NotFound(
            f"Answer {record['id']} was made from what has been deleted: {', '.join(filter(None, record['removed']))}",
            remedy="Ask the question again",
        )
    if "request" not in record:
        raise NotFound(
            f"The record of {record['id']} is of an older version and lacks the request",
            remedy="Ask the question again",
        )
    hits = tuple(hit_from(one) for one in record["passages"])
    request = request_from(record["request"], hits)
    served_by = str(record.get("served_by") or record["model"])
    url = model or str(record.get("served_url") or "") or book.models.url_of(served_by)
    chosen = book.models.bare(url, keyless=True)
    body, same, why_not = _compared(chosen, record, request, other=chosen.name != served_by)
    before, after, answer = str(record.get("reply") or record["answer"]), None, None
    if run:
        paying = replace(
            request, tenant=scope.tenant, account=account or request.account, answer_id=record["id"], purpose="replay"
        )
        after, answer = await _answered(book, book.models.open(url), paying, record, scope)
    return Replay(
        answer_id=str(record["id"]),
        question=str(record["question"]),
        model_before=served_by,
        model_after=chosen.name,
        body=body,
        same_bytes=same,
        why_not=why_not,
        before=before,
        after=before if after is None else after,
        answer=answer,
    )


def body_of(model: Model, request: ModelRequest) -> bytes:
    """What a request is to a model: the body that is sent, or else the request itself as JSON."""
    return model.body(request) if isinstance(model, Served) else to_json(request_record(request))


def _compared(
    model: Model, record: Mapping[str, Any], request: ModelRequest, *, other: bool
) -> tuple[bytes, bool | None, str]:
    """The body of the request, whether it is the one that was sent then, and why that cannot be said."""
    body = body_of(model, request)
    if other:
        return body, None, "another model is asked"
    if record.get("switched"):
        return body, None, "the answer went through several models, whose requests differ"
    if record.get("steps"):
        return body, None, "the answer took several steps, of which the last request is kept"
    if not record.get("sent"):
        return body, None, "no digest was recorded"
    if _digest(body) == record["sent"]:
        return body, True, ""
    if record["model"] == record["served_by"]:
        return body, False, ""
    judged = body_of(model, replace(request, logprobs=True))  # so asks a cascade that judges by probabilities
    if _digest(judged) == record["sent"]:
        return judged, True, ""
    return body, None, "the route asked with settings of its own"


def _digest(body: bytes) -> str:
    return sha256(body).hexdigest()


async def _answered(
    book: Sourcebook, model: Model, request: ModelRequest, record: Mapping[str, Any], scope: Scope
) -> tuple[str, Answer]:
    """What the model says, in its own words, and the answer that comes of it."""
    question = Question(text=str(record["question"]), scope=scope)
    composition = Composition(
        request=request, version=str(record["prompt"]), answer_tag=str(record.get("answer_tag", ""))
    )
    settings = replace(book.config.prompt, **record.get("reading", {}))
    run = Run()
    parts = cited(book, model, question, composition, run.watch(model.stream(request)), settings=settings)
    async with aclosing(parts):
        async for part in parts:
            if isinstance(part, Answer):
                return run.reply if "reply" in record else part.text, part
    raise SourcebookError("The model ended without an answer", remedy="Run: sourcebook doctor")


def _lines(text: str) -> list[str]:
    from sourcebook.language import sentences

    return [text[start:end].strip() for start, end in sentences(text)] or [""]
