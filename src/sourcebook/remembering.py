"""The end of an answer: its record, with all that made it, and the turn of its conversation."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import asdict, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from sourcebook.answering import Found, Recalled, Run
from sourcebook.catalog import answers
from sourcebook.errors import BookError, CatalogError, ModelError
from sourcebook.models.record import hit_record, request_record
from sourcebook.models.wire import to_json
from sourcebook.prompt.base import Composition
from sourcebook.types import Answer, Question, Usage

if TYPE_CHECKING:
    from sourcebook.book import Sourcebook as Book
    from sourcebook.prompt.memory import Recollection

_log = logging.getLogger(__name__)


async def remember(
    book: Book,
    question: Question,
    composition: Composition,
    run: Run,
    answer: Answer,
    recalled: Recalled,
    found: Found,
) -> None:
    """remember, second half: the answer with all that made it, and the turn of the conversation.

    Where the catalog fails, the answer is not lost to who paid for it: the log says what could not be kept.
    """
    try:
        await _record(book, question, composition, run, answer, recalled, found)
        if recalled.recollection is not None:
            await _keep(book, question, run, answer, recalled.recollection)
    except CatalogError:
        _log.exception("Answer %s, or its turn of the conversation, could not be recorded", answer.id)


async def remember_part(
    book: Book,
    question: Question,
    composition: Composition,
    run: Run,
    error: BaseException,
    recalled: Recalled,
    found: Found,
) -> None:
    """The record of an answer that broke off, or that nobody waited for: what had come of it was paid for.

    It is no turn of its conversation.
    """
    left = isinstance(error, asyncio.CancelledError | GeneratorExit)
    if not run.reply and not left:
        return
    usage = error.usage if isinstance(error, ModelError) and error.usage is not None else Usage(exact=False)
    part = Answer(
        id=question.id or uuid4().hex,
        question=question.text,
        text="",
        known=False,
        citations=(),
        model=book.model.name,
        usage=recalled.usage + found.usage + usage,
        finish="cancelled" if left else "interrupted",
    )
    with suppress(BookError):  # it may be closed by now
        await _record(book, question, composition, run, part, recalled, found)


async def _record(
    book: Book,
    question: Question,
    composition: Composition,
    run: Run,
    answer: Answer,
    recalled: Recalled,
    found: Found,
) -> None:
    settings = book.config.prompt
    request, steps = composition.request, None
    if run.agent is not None:
        steps = run.agent.run.record()
        request = replace(run.agent.request, evidence=run.agent.run.evidence)
    made_from: dict[str, Any] = {
        "prompt": composition.version,
        "answer_tag": composition.answer_tag,
        "request": request_record(request),
        "passages": [hit_record(hit) for hit in request.evidence],
        "steps": steps,
        "left_out": [asdict(one) for one in answer.left_out],
        "unsupported": [asdict(one) for one in answer.unsupported],
        "embedding": book.embedding_fingerprint,
        "switched": [asdict(one) for one in run.switched],
        "conversation": question.conversation,
        "searched": {
            "question": recalled.question,
            "by": recalled.rewritten_by,
            "prompt": recalled.prompt,
            "parts": list(found.questions),
            "parts_prompt": found.prompt,
        },
        "reply": run.reply,
        "reading": {
            "support": settings.support,
            "attribute": settings.attribute,
            "unsupported": settings.unsupported,
        },
        "finish": answer.finish,
        "notes": [*recalled.notes, *found.notes, *run.notes],
    }
    if run.finish is not None:
        made_from |= {
            "vendor_model": run.finish.model,
            "request_id": run.finish.request_id,
            "served_by": run.finish.served_by or answer.model,
            "served_url": run.finish.served_url,
            "sent": run.finish.sent or sha256(to_json(made_from["request"])).hexdigest(),
        }
    recollection = recalled.recollection
    versions = {(hit.passage.document, hit.passage.version) for hit in request.evidence}
    await asyncio.to_thread(
        answers.record_answer,
        book.catalog,
        question,
        answer,
        made_from,
        versions=versions if run.agent is None else versions | run.agent.run.origins,
        origins=recollection.origins if recollection is not None else (),
    )


async def _keep(book: Book, question: Question, run: Run, answer: Answer, recollection: Recollection) -> None:
    from sourcebook.prompt.memory import keep

    quotes = book.model.capabilities.cites
    await keep(
        book.catalog,
        recollection,
        question.text,
        answer,
        question.scope,
        quotes=quotes,
        versions=frozenset() if run.agent is None else run.agent.run.origins,
    )
    book.tending.later(question)
