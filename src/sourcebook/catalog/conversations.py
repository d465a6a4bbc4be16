"""Conversations: their turns, and the running summary of the older ones.

A conversation belongs to a tenant and to the names of its owner; it is there for nobody who does not go by all of
them, as with recorded answers. An assistant's turn, and the summary, are kept with the document versions that they
were made from, and go with them (`origins`).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from uuid import uuid4

from sourcebook.catalog.answers import forget_answers_of_conversation
from sourcebook.catalog.origins import SUMMARY, Origin, all_live, live_origins, read_origins, write_origins
from sourcebook.catalog.postgresql import begin_forgetting, begin_remembering
from sourcebook.catalog.statements import access_from, kept, names_json, now, sql
from sourcebook.errors import NotFound
from sourcebook.types import PassageId, Scope

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row

    from sourcebook.catalog.catalog import Catalog


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """One turn. number: from 1, in order. removed: what it was made from is deleted, changed or not for this reader.

    hidden: removed for this reader alone; others may see it. text: as asked or answered; "" if it was removed, and
    for an answer that was not known. origins: what it was made from, the turns that were in its prompt included.
    """

    number: int
    role: Literal["user", "assistant"]
    text: str
    at: str
    answer_id: str | None = None
    removed: bool = False
    hidden: bool = False
    origins: frozenset[Origin] = frozenset()


@dataclass(frozen=True, kw_only=True, slots=True)
class Conversation:
    """A conversation as one reader may see it. turns: in order; the last ones, if only those were asked for.

    owner: names; those who go by all of them may read, continue and delete it. length: turns that there are.
    summary: of the turns up to number `summarised`; "" and 0 if there is none that this reader may see.
    hidden: there is a summary, which this reader may not see.
    learned: facts have been looked for up to this turn. revision: changes whenever the summary may not be
    carried on from what was read.
    """

    id: str
    tenant: str
    owner: frozenset[str]
    started: str
    touched: str
    length: int
    turns: tuple[Turn, ...]
    summary: str = ""
    summarised: int = 0
    summary_origins: frozenset[Origin] = frozenset()
    hidden: bool = False
    learned: int = 0
    revision: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class ConversationEntry:
    """A conversation in a list. title: its first question. length: turns."""

    id: str
    title: str
    started: str
    touched: str
    length: int


def start_conversation(catalog: Catalog, scope: Scope, *, owner: frozenset[str] | None = None) -> str:
    """A new conversation; returns its id. owner: whose it is; None: whoever goes by all the names of the scope.

    Give the user's own name where users also go by the names of groups, which come and go.
    Errors: NotFound if the owner has a name that the asker has not.
    """
    owner = scope.principals if owner is None else owner
    if not scope.principals.issuperset(owner):
        raise NotFound("The owner of a conversation must be a name of the asker", remedy="Ask as its owner")
    name = uuid4().hex
    with catalog.writing() as connection:
        connection.execute(
            sql("""
                INSERT INTO conversation (id, tenant, principals, started, touched, turns, summary, summarised,
                                          learned, revision)
                VALUES (:id, :tenant, :owner, :now, :now, 0, '', 0, 0, 0)
            """),
            {"id": name, "tenant": scope.tenant, "owner": names_json(owner), "now": now()},
        )
    return name


def read_conversation(catalog: Catalog, name: str, scope: Scope, *, last: int | None = None) -> Conversation:
    """A conversation, with all its turns or the `last` so many. Errors: NotFound, also where it is not the asker's."""
    with catalog.reading() as connection:
        row = connection.execute(sql("SELECT * FROM conversation WHERE id = :id"), {"id": name}).first()
        owner = _owner(row, scope)
        if row is None or owner is None:
            raise _not_found(name)
        since = 0 if last is None else max(0, row.turns - last)
        turns = connection.execute(
            sql("""
                SELECT number, role, text, at, answer_id, removed FROM turn
                 WHERE conversation_id = :id AND number > :since ORDER BY number
            """),
            {"id": name, "since": since},
        ).all()
        origins, hidden = read_origins(connection, name, since, scope)
    summarised = 0 if SUMMARY in hidden else row.summarised
    return Conversation(
        id=name,
        tenant=row.tenant,
        owner=owner,
        started=row.started,
        touched=row.touched,
        length=row.turns,
        turns=tuple(_turn(one, origins.get(one.number, frozenset()), one.number in hidden) for one in turns),
        summary=row.summary if summarised else "",
        summarised=summarised,
        summary_origins=origins.get(SUMMARY, frozenset()) if summarised else frozenset(),
        hidden=SUMMARY in hidden,
        learned=row.learned,
        revision=row.revision,
    )


def list_conversations(catalog: Catalog, scope: Scope, *, limit: int = 100) -> list[ConversationEntry]:
    """The conversations of this asker, the one touched last first, at most `limit`."""
    with catalog.reading() as connection:
        owners = connection.execute(
            sql("SELECT DISTINCT principals FROM conversation WHERE tenant = :tenant"), {"tenant": scope.tenant}
        ).scalars()
        own = [owner for owner in owners if scope.principals.issuperset(access_from(owner))]
        rows = connection.execute(
            sql(
                f"""
                SELECT id, started, touched, turns,
                       (SELECT turn.text FROM turn
                         WHERE turn.conversation_id = conversation.id AND turn.number = 1) AS title
                  FROM conversation WHERE tenant = :tenant AND principals IN {catalog.listed}
                 ORDER BY touched DESC, id LIMIT :limit
                """  # noqa: S608
            ),
            {"tenant": scope.tenant, "some": json.dumps(own), "limit": limit},
        ).all()
    return [
        ConversationEntry(id=row.id, title=row.title or "", started=row.started, touched=row.touched, length=row.turns)
        for row in rows
    ]


def keep_exchange(
    catalog: Catalog,
    name: str,
    scope: Scope,
    *,
    question: str,
    answer: str,
    answer_id: str | None = None,
    passages: Collection[PassageId] = (),
    versions: Collection[tuple[str, int]] = (),
    origins: Collection[Origin] = (),
) -> tuple[Turn, Turn] | None:
    """Add a question and its answer, one behind the other, whoever else adds at the same time.

    passages: those that the answer was made from; versions: of documents, as (URI, number), that it was made from in
    other ways; origins: what else was in its prompt was made from. If one of them is not live any more, or not for
    the asker, the answer is kept as removed, without its text.
    Returns the two turns, or None if the conversation is deleted. Errors: NotFound if it is not the asker's.
    """
    stamp = now()
    with catalog.writing() as connection:
        begin_remembering(connection)
        made_from = live_origins(connection, scope, passages=passages, versions=versions, origins=origins)
        row = connection.execute(
            sql("""
                UPDATE conversation SET turns = turns + 2, touched = :now WHERE id = :id
                RETURNING turns, tenant, principals
            """),
            {"id": name, "now": stamp},
        ).first()
        if row is None:
            return None
        if _owner(row, scope) is None:
            raise _not_found(name)
        asked = Turn(number=row.turns - 1, role="user", text=kept(question), at=stamp)
        if made_from is None:
            answered = Turn(number=row.turns, role="assistant", text="", at=stamp, removed=True)
        else:
            answered = Turn(
                number=row.turns, role="assistant", text=kept(answer), at=stamp, answer_id=answer_id, origins=made_from
            )
        _write_turns(connection, name, (asked, answered))
    return asked, answered


def keep_summary(
    catalog: Catalog, conversation: Conversation, summary: str, *, upto: int, origins: Collection[Origin]
) -> bool:
    """Replace the summary by one that reaches up to turn number `upto` and was made from `origins`.

    False, and nothing is written, if the conversation is deleted, or its summary or what it covers has changed
    since it was read: another process was faster, or a document is gone.
    """
    with catalog.writing() as connection:
        begin_remembering(connection)
        if not all_live(connection, origins):
            return False
        done = connection.execute(
            sql("""
                UPDATE conversation SET summary = :summary, summarised = :upto, revision = revision + 1
                 WHERE id = :id AND revision = :revision
            """),
            {"summary": kept(summary), "upto": upto, "id": conversation.id, "revision": conversation.revision},
        )
        if not done.rowcount:
            return False
        write_origins(connection, conversation.id, SUMMARY, origins)
    return True


def delete_conversation(catalog: Catalog, name: str, scope: Scope) -> None:
    """Delete a conversation: turns, summary, facts learned in it, records of its answers. Errors: NotFound."""
    with catalog.writing() as connection:
        begin_forgetting(connection)
        row = connection.execute(
            sql("SELECT tenant, principals FROM conversation WHERE id = :id"), {"id": name}
        ).first()
        if _owner(row, scope) is None:
            raise _not_found(name)
        forget_answers_of_conversation(connection, name)
        connection.execute(sql("DELETE FROM conversation WHERE id = :id"), {"id": name})  # what refers to it goes too


def _not_found(name: str) -> NotFound:
    return NotFound(f"No conversation {name!r}", remedy="See yours: sourcebook conversations list")


def _owner(row: Row[Any] | None, scope: Scope) -> frozenset[str] | None:
    """The owner's names, or None if there is no such conversation for this asker."""
    if row is None or row.tenant != scope.tenant:
        return None
    owner = access_from(row.principals)
    return owner if scope.principals.issuperset(owner) else None


def _turn(row: Row[Any], origins: frozenset[Origin], hidden: bool) -> Turn:
    removed = hidden or bool(row.removed)
    return Turn(
        number=row.number,
        role=row.role,
        text="" if removed else row.text,
        at=row.at,
        answer_id=None if removed else row.answer_id,
        removed=removed,
        hidden=hidden and not row.removed,
        origins=frozenset() if removed else origins,
    )


def _write_turns(connection: Connection, name: str, turns: Sequence[Turn]) -> None:
    connection.execute(
        sql("""
            INSERT INTO turn (conversation_id, number, at, role, text, answer_id, removed)
            VALUES (:name, :number, :at, :role, :text, :answer, :removed)
        """),
        [
            {
                "name": name,
                "number": one.number,
                "at": one.at,
                "role": one.role,
                "text": one.text,
                "answer": one.answer_id,
                "removed": one.removed,
            }
            for one in turns
        ],
    )
    for one in turns:
        write_origins(connection, name, one.number, one.origins)
