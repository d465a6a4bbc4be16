"""Every answer with what made it, so that it can be replayed and checked later."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from sourcebook.catalog.catalog import Catalog
from sourcebook.catalog.statements import kept, sql
from sourcebook.errors import NotFound
from sourcebook.types import Answer, Question, Scope


def record_answer(catalog: Catalog, question: Question, answer: Answer, made_from: dict[str, Any]) -> None:
    """Keep an answer. made_from: prompt version, request, passages, model and so on, as JSON values."""
    record = {
        "asked_by": {"tenant": question.scope.tenant, "principals": sorted(question.scope.principals)},
        "filter": None if question.filter is None else repr(question.filter),
        "top": question.top,
        "answer": answer.text,
        "known": answer.known,
        "model": answer.model,
        "usage": asdict(answer.usage),
        "citations": [asdict(citation) for citation in answer.citations],
        **made_from,
    }
    with catalog.writing() as connection:
        connection.execute(
            sql("""
                INSERT INTO answer (id, asked, tenant, question, record)
                VALUES (:id, :asked, :tenant, :question, :record)
            """),
            {
                "id": answer.id,
                "asked": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "tenant": question.scope.tenant,
                "question": kept(question.text),
                "record": kept(json.dumps(record, ensure_ascii=False)),
            },
        )


def recorded_answer(catalog: Catalog, answer_id: str, scope: Scope) -> dict[str, Any]:
    """The record of an answer: its question, text, citations, and all that made it.

    It holds texts that its asker could see, so it is for those alone who go by all the names the asker had.
    Errors: NotFound, also where the scope does not allow it.
    """
    with catalog.reading() as connection:
        row = connection.execute(
            sql("SELECT asked, question, record FROM answer WHERE id = :id"), {"id": answer_id}
        ).first()
    record: dict[str, Any] = {"asked_by": {"tenant": None, "principals": []}} if row is None else json.loads(row.record)
    asker = record["asked_by"]
    if row is None or asker["tenant"] != scope.tenant or not scope.principals.issuperset(asker["principals"]):
        raise NotFound(f"No answer {answer_id!r}", remedy="Answers are named in the output of: sourcebook ask --json")
    return {"id": answer_id, "asked": row.asked, "question": row.question, **record}
