"""Every answer with what made it, so that it can be replayed and checked later; and forgetting it.

A record holds the words of documents and of users. It outlives a change of its documents, which is what it is for;
it does not outlive their deletion, nor that of its conversation, and it is open to those alone who may see them all:

    a document is deleted        the words go, and what was asked, when, of which model, at what cost, stays
    the conversation is deleted  the record goes
    somebody may not see one of its documents (any more)   there is no such record, to them
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sourcebook.catalog.origins import Origin
from sourcebook.catalog.postgresql import begin_remembering
from sourcebook.catalog.statements import IN_LIST, batches, kept, sql
from sourcebook.errors import NotFound
from sourcebook.types import And, Answer, Filter, Not, Or, Question, Scope

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row

    from sourcebook.catalog.catalog import Catalog


@dataclass(frozen=True, kw_only=True, slots=True)
class AnswerLine:
    """One answer in a list of them. asked: UTC, ISO 8601. cost: micro-US-dollars. removed: its words are gone."""

    id: str
    asked: str
    question: str
    model: str
    known: bool
    cost: int
    conversation: str | None
    removed: bool


def record_answer(
    catalog: Catalog,
    question: Question,
    answer: Answer,
    made_from: Mapping[str, object],
    *,
    versions: Collection[tuple[str, int]] = (),
    origins: Collection[Origin] = (),
) -> None:
    """Keep an answer. made_from: prompt version, request, model and so on, as JSON values.

    versions: of documents, as (URI, number), that it was made from; origins: what else in its prompt was made from.
    If one of their documents was deleted while the model wrote, the words are not kept; if its conversation was,
    nothing is.
    """
    record = {
        "asked_by": {"tenant": question.scope.tenant, "principals": sorted(question.scope.principals)},
        "filter": None if question.filter is None else _tree(question.filter),
        "top": question.top,
        "answer": answer.text,
        "known": answer.known,
        "model": answer.model,
        "usage": asdict(answer.usage),
        "citations": [asdict(citation) for citation in answer.citations],
        **made_from,
    }
    with catalog.writing() as connection:
        begin_remembering(connection)
        if question.conversation is not None and not _conversation_stands(connection, question.conversation):
            return
        documents, gone = _documents(connection, question.scope.tenant, versions, origins)
        if gone:
            record = blanked(record, gone)
        connection.execute(
            sql("""
                INSERT INTO answer (id, asked, tenant, question, record, conversation_id)
                VALUES (:id, :asked, :tenant, :question, :record, :conversation)
            """),
            {
                "id": answer.id,
                "asked": _stamp(datetime.now(UTC)),
                "tenant": question.scope.tenant,
                "question": kept(question.text),
                "record": kept(json.dumps(record, ensure_ascii=False)),
                "conversation": question.conversation,
            },
        )
        if documents:
            connection.execute(
                sql("INSERT INTO answer_document (answer_id, document_id) VALUES (:answer, :document)"),
                [{"answer": answer.id, "document": one} for one in sorted(documents)],
            )


def recorded_answer(catalog: Catalog, answer_id: str, scope: Scope) -> dict[str, Any]:
    """The record of an answer: its question, text, citations, and all that made it.

    answer_id: or its beginning, of six characters at least, or "last". It holds texts that its asker could see, so
    it is for those alone who go by all the names the asker had, and may see all its documents now. `removed` lists
    the documents whose deletion took its words. Errors: NotFound, also where the scope does not allow it.
    """
    with catalog.reading() as connection:
        for row in _candidates(connection, answer_id, scope):
            record = json.loads(row.record)
            if _is_for(record, scope) and _admits(connection, [row.id], scope)[row.id]:
                return {"id": row.id, "asked": row.asked, "question": row.question, **record}
    raise NotFound(f"No answer {answer_id!r}", remedy="See yours: sourcebook answers list")


def list_answers(catalog: Catalog, scope: Scope, *, most: int = 50) -> list[AnswerLine]:
    """The newest answers that the scope may see, the newest first, at most `most`."""
    found: list[AnswerLine] = []
    with catalog.reading() as connection:
        seen = 0
        while len(found) < most:
            rows = connection.execute(
                sql("""
                    SELECT id, asked, question, record, conversation_id FROM answer
                     WHERE tenant = :tenant ORDER BY asked DESC, id DESC LIMIT 200 OFFSET :seen
                """),
                {"tenant": scope.tenant, "seen": seen},
            ).all()
            if not rows:
                break
            seen += len(rows)
            own = [(row, record) for row in rows if _is_for(record := json.loads(row.record), scope)]
            admitted = _admits(connection, [row.id for row, _ in own], scope)
            found += [_line(row, record) for row, record in own if admitted[row.id]]
    return found[:most]


def delete_answers(catalog: Catalog, ids: Sequence[str], scope: Scope) -> int:
    """Delete the records of these answers, by their full ids. Errors: NotFound for one that is not the asker's."""
    for one in ids:
        recorded_answer(catalog, one, scope)
    with catalog.writing() as connection:
        return _delete(connection, ids)


def delete_answers_before(catalog: Catalog, limit: datetime, *, tenant: str | None = None) -> int:
    """Delete the records of all answers given before `limit`, of a tenant or of all; returns how many."""
    with catalog.writing() as connection:
        ids = connection.execute(
            sql("SELECT id FROM answer WHERE asked < :limit AND (:every OR tenant = :tenant)"),
            {"limit": _stamp(limit), "every": tenant is None, "tenant": tenant or ""},
        ).scalars()
        return _delete(connection, list(ids))


def delete_answers_older_than(catalog: Catalog, days: int, *, now: datetime | None = None) -> int:
    """Delete the records of answers given more than so many days ago. days: 0 keeps all. Returns how many."""
    return delete_answers_before(catalog, (now or datetime.now(UTC)) - timedelta(days=days)) if days else 0


def count_answers(catalog: Catalog) -> tuple[int, str, int]:
    """How many answers are recorded, since when ("" if there are none), and the characters of their records."""
    with catalog.reading() as connection:
        row = connection.execute(
            sql("SELECT COUNT(*) AS many, MIN(asked) AS since, SUM(LENGTH(record)) AS size FROM answer")
        ).one()
    return int(row.many), row.since or "", int(row.size or 0)


# --- forgetting, in the transactions of others ----------------------------------------------------------------


def forget_answers_of_documents(connection: Connection, document_ids: Sequence[int]) -> None:
    """Blank the records of all answers that were made from these documents, which are being deleted."""
    for some in batches(document_ids, IN_LIST):
        rows = connection.execute(
            sql(
                """
                SELECT made.answer_id, document.uri
                  FROM answer_document AS made JOIN document ON document.id = made.document_id
                 WHERE made.document_id IN :some
                """,
                "some",
            ),
            {"some": list(some)},
        ).all()
        gone: dict[str, set[str]] = {}
        for row in rows:
            gone.setdefault(row.answer_id, set()).add(row.uri)
        for name, uris in gone.items():
            _blank(connection, name, uris)


def forget_answers_of_conversation(connection: Connection, conversation_id: str) -> None:
    """Delete the records of all answers of a conversation, which is being deleted."""
    found = connection.execute(
        sql("SELECT id FROM answer WHERE conversation_id = :conversation"), {"conversation": conversation_id}
    )
    _delete(connection, list(found.scalars()))


def blanked(record: Mapping[str, Any], gone: Collection[str]) -> dict[str, Any]:
    """A record without words: neither of documents nor of users or models. Names, places, digests, numbers stay.

    gone: URIs of the deleted documents, which `removed` lists.
    """
    shown = {name: value for name, value in record.items() if name not in _WORDS}
    shown["answer"] = ""
    shown["citations"] = [{**one, "quote": "", "title": None, "computed": None} for one in record.get("citations", ())]
    nothing: dict[str, object] = {"text": "", "heading_path": [], "title": None, "computed": None}
    shown["passages"] = [{**one, **nothing} for one in record.get("passages", ())]
    if "request" in record:
        shown["request"] = {**record["request"], "question": "", "messages": []}
    shown["removed"] = sorted({*record.get("removed", ()), *gone})
    return shown


_WORDS = ("reply", "steps", "searched", "unsupported", "left_out", "notes", "switched")
"""Parts of a record that hold words of documents, users or models, and nothing that is needed without them."""


# --- what these need ------------------------------------------------------------------------------------------


def _blank(connection: Connection, name: str, gone: Collection[str]) -> None:
    found = connection.execute(sql("SELECT record FROM answer WHERE id = :id"), {"id": name}).scalar_one_or_none()
    if found is not None:
        record = json.dumps(blanked(json.loads(found), gone), ensure_ascii=False)
        connection.execute(sql("UPDATE answer SET record = :record WHERE id = :id"), {"record": record, "id": name})


def _delete(connection: Connection, ids: Sequence[str]) -> int:
    for some in batches(ids, IN_LIST):
        for statement in (
            "DELETE FROM answer_document WHERE answer_id IN :some",
            "DELETE FROM answer WHERE id IN :some",
        ):
            connection.execute(sql(statement, "some"), {"some": list(some)})
    return len(ids)


def _conversation_stands(connection: Connection, name: str) -> bool:
    """Whether it is there now, and stays so to the end of the transaction."""
    held = "" if connection.dialect.name == "sqlite" else " FOR SHARE"
    found = connection.execute(sql(f"SELECT 1 FROM conversation WHERE id = :id{held}"), {"id": name})  # noqa: S608
    return found.first() is not None


def _documents(
    connection: Connection, tenant: str, made_from: Collection[tuple[str, int]], origins: Collection[Origin]
) -> tuple[set[int], set[str]]:
    """Ids of the documents that versions and origins are of, and URIs (or "") of those deleted meanwhile.

    A version may have been superseded and purged since it was read; its document is then known by its URI, and by
    having had that many versions.
    """
    versions: dict[str, int] = {}
    for uri, number in made_from:
        versions[uri] = max(number, versions.get(uri, 0))
    documents: set[int] = set()
    gone: set[str] = set()
    for some in batches(sorted(versions), IN_LIST):
        rows = connection.execute(
            sql("SELECT id, uri, versions, state FROM document WHERE tenant = :tenant AND uri IN :some", "some"),
            {"tenant": tenant, "some": list(some)},
        ).all()
        there = {row.uri: row.id for row in rows if row.state != "deleted" and row.versions >= versions[row.uri]}
        documents.update(there.values())
        gone.update(uri for uri in some if uri not in there)
    recalled = {one.document_id for one in origins}
    for ids in batches(sorted(recalled), IN_LIST):
        rows = connection.execute(
            sql("SELECT id FROM document WHERE state <> 'deleted' AND id IN :some", "some"), {"some": list(ids)}
        ).all()
        documents.update(row.id for row in rows)
        if len(rows) < len(ids):
            gone.add("")
    return documents, gone


def _candidates(connection: Connection, name: str, scope: Scope) -> Sequence[Row[Any]]:
    columns = "SELECT id, asked, question, record FROM answer WHERE tenant = :tenant"
    exact = connection.execute(sql(f"{columns} AND id = :name"), {"tenant": scope.tenant, "name": name}).all()
    if exact:
        return exact
    if name == "last":
        newest = f"{columns} ORDER BY asked DESC LIMIT 500"
        return connection.execute(sql(newest), {"tenant": scope.tenant}).all()
    if len(name) >= 6:
        beginning = f"{columns} AND id >= :name AND id < :after ORDER BY id LIMIT 2"
        found = connection.execute(
            sql(beginning), {"tenant": scope.tenant, "name": name, "after": f"{name}\uffff"}
        ).all()
        return found if len(found) == 1 else ()
    return ()


def _is_for(record: Mapping[str, Any], scope: Scope) -> bool:
    asker = record["asked_by"]
    return asker["tenant"] == scope.tenant and scope.principals.issuperset(asker["principals"])


def _admits(connection: Connection, ids: Sequence[str], scope: Scope) -> dict[str, bool]:
    """Of answers, whether the scope may see all their documents that are there."""
    admitted = dict.fromkeys(ids, True)
    for some in batches(ids, IN_LIST):
        rows = connection.execute(
            sql(
                """
                SELECT made.answer_id, document.tenant, document.access
                  FROM answer_document AS made JOIN document ON document.id = made.document_id
                 WHERE made.answer_id IN :some AND document.state <> 'deleted'
                """,
                "some",
            ),
            {"some": list(some)},
        )
        for row in rows:
            if not scope.admits(row.tenant, frozenset(json.loads(row.access))):
                admitted[row.answer_id] = False
    return admitted


def _line(row: Row[Any], record: Mapping[str, Any]) -> AnswerLine:
    return AnswerLine(
        id=row.id,
        asked=row.asked,
        question=row.question,
        model=record["model"],
        known=record["known"],
        cost=int(record["usage"].get("cost", 0)),
        conversation=row.conversation_id,
        removed=bool(record.get("removed")),
    )


def _tree(filter: Filter) -> dict[str, object]:
    """A filter as JSON values: the kind of each node with its fields."""
    values: dict[str, object] = {}
    match filter:
        case And() | Or():
            values = {"filters": [_tree(one) for one in filter.filters]}
        case Not():
            values = {"filter": _tree(filter.filter)}
        case _:
            values = asdict(filter)
    return {"kind": type(filter).__name__.lower(), **values}


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")
