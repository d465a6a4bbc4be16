"""Facts: what users said of themselves and of what they want, recalled in later conversations of the same owner.

A fact belongs to the turn that it was learned in: it goes with the conversation, and with what that turn was made
from. Vectors are kept with the fingerprint of the embedder that made them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Literal

from sourcebook.catalog.origins import Origin, visible
from sourcebook.catalog.postgresql import begin_forgetting, begin_remembering
from sourcebook.catalog.statements import IN_LIST, batches, kept, names_json, now, sql, vector_bytes, vector_from
from sourcebook.errors import NotFound
from sourcebook.types import Scope

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from sqlalchemy import Connection, Row

    from sourcebook.catalog.catalog import Catalog
    from sourcebook.catalog.conversations import Conversation

FactKind = Literal["fact", "preference"]
"""A fact is recalled where it is about the question; a preference, how answers should be, always."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fact:
    """Something worth recalling. conversation, number: the turn that it was learned in. at: when.

    vector: float32, shape (d,), of length one, made by the embedder of this fingerprint.
    origins: the document versions that the turn was made from; none for what the user said.
    """

    id: str
    kind: FactKind
    text: str
    conversation: str
    number: int
    at: str
    vector: NDArray[np.float32]
    fingerprint: str
    origins: frozenset[Origin] = frozenset()


@dataclass(frozen=True, kw_only=True, slots=True)
class Learned:
    """A fact on its way in, learned in turn `number`."""

    kind: FactKind
    text: str
    number: int
    vector: NDArray[np.float32]


def read_facts(
    catalog: Catalog, scope: Scope, owner: frozenset[str], *, conversation: str | None = None, most: int | None = None
) -> list[Fact]:
    """The facts of exactly this owner, newest first; none if the asker does not go by all the owner's names.

    Facts of the owner's subsets are not among them: what others said must not reach into somebody's answers.
    conversation: only those learned in this one. most: so many of the newest; None: all.
    """
    if not scope.principals.issuperset(owner):
        return []
    mine = """
        FROM memory
        JOIN turn ON turn.conversation_id = memory.conversation_id AND turn.number = memory.number AND NOT turn.removed
       WHERE memory.tenant = :tenant AND memory.principals = :owner
    """
    if conversation is not None:
        mine += " AND memory.conversation_id = :conversation"
    whose = {"tenant": scope.tenant, "owner": names_json(owner), "conversation": conversation}
    with catalog.reading() as connection:
        rows = connection.execute(
            sql(f"""
                SELECT memory.id, memory.kind, memory.text, memory.conversation_id, memory.number, memory.at,
                       memory.vector, memory.fingerprint
                {mine}
                 ORDER BY memory.at DESC, memory.conversation_id, memory.number DESC, memory.id LIMIT :most
            """),
            {**whose, "most": _ALL if most is None else most},
        ).all()
        made = connection.execute(
            sql(f"""
                SELECT DISTINCT made.conversation_id, made.number, made.document_id, made.version_id,
                       document.tenant, document.access
                  FROM (SELECT DISTINCT memory.conversation_id, memory.number {mine}) AS learned
                  JOIN turn_document AS made
                    ON made.conversation_id = learned.conversation_id AND made.number = learned.number
                  LEFT JOIN version ON version.id = made.version_id AND version.document_id = made.document_id
                                   AND version.state = 'live'
                  LEFT JOIN document ON document.id = version.document_id
            """),  # noqa: S608
            whose,
        ).all()
    origins: dict[tuple[str, int], set[Origin]] = {}
    hidden: set[tuple[str, int]] = set()
    for row in made:
        turn = (row.conversation_id, row.number)
        origins.setdefault(turn, set()).add(Origin(document_id=row.document_id, version_id=row.version_id))
        if not visible(row, scope):
            hidden.add(turn)
    return [
        _fact(row, frozenset(origins.get((row.conversation_id, row.number), ())))
        for row in rows
        if (row.conversation_id, row.number) not in hidden
    ]


def recallable_facts(catalog: Catalog, scope: Scope, owner: frozenset[str], conversation: str) -> list[Fact]:
    """The facts that may come up in a conversation of this owner: the owner's, newest first, a thousand at most.

    Those of nobody in particular come up in the conversation alone that they were learned in: others who give no
    name either are other people.
    """
    return read_facts(catalog, scope, owner, conversation=None if owner else conversation, most=_MOST)


def keep_facts(
    catalog: Catalog,
    conversation: Conversation,
    facts: Sequence[Learned],
    *,
    upto: int,
    fingerprint: str,
    replaced: Collection[str] = (),
) -> int:
    """Keep what was learned in the conversation's turns up to `upto`, which are then not looked at again.

    fingerprint: of the embedder that made the vectors. replaced: ids of the owner's facts that no longer hold.
    Returns how many are new: 0, with nothing written, if another process has looked at these turns already or the
    conversation is deleted. Facts of a turn that was removed meanwhile are left out.
    """
    stamp = now()
    with catalog.writing() as connection:
        begin_remembering(connection)
        done = connection.execute(
            sql("UPDATE conversation SET learned = :upto WHERE id = :id AND learned = :before"),
            {"upto": upto, "id": conversation.id, "before": conversation.learned},
        )
        if not done.rowcount:
            return 0
        _delete(connection, conversation.tenant, conversation.owner, replaced)
        new = 0
        for one in facts:
            inserted = connection.execute(
                sql("""
                    INSERT INTO memory (id, tenant, principals, conversation_id, number, at, kind, text, vector,
                                        fingerprint)
                    SELECT :id, :tenant, :owner, turn.conversation_id, turn.number, :now, :kind, :text, :vector,
                           :fingerprint
                      FROM turn
                     WHERE turn.conversation_id = :conversation AND turn.number = :number AND NOT turn.removed
                    ON CONFLICT (id) DO NOTHING
                """),
                {
                    "id": fact_id(conversation.id, one.text),
                    "tenant": conversation.tenant,
                    "owner": names_json(conversation.owner),
                    "conversation": conversation.id,
                    "number": one.number,
                    "now": stamp,
                    "kind": one.kind,
                    "text": kept(one.text),
                    "vector": vector_bytes(one.vector),
                    "fingerprint": fingerprint,
                },
            )
            new += inserted.rowcount
    return new


def keep_vectors(catalog: Catalog, vectors: Sequence[tuple[str, NDArray[np.float32]]], *, fingerprint: str) -> None:
    """Note the vectors of facts, by id, that the embedder of this fingerprint has made."""
    if not vectors:
        return
    with catalog.writing() as connection:
        begin_remembering(connection)
        connection.execute(
            sql("UPDATE memory SET vector = :vector, fingerprint = :fingerprint WHERE id = :id"),
            [
                {"id": name, "vector": vector_bytes(vector), "fingerprint": fingerprint}
                for name, vector in sorted(vectors, key=lambda one: one[0])  # all who do so, in one order
            ],
        )


def delete_fact(catalog: Catalog, name: str, scope: Scope, owner: frozenset[str]) -> None:
    """Forget one fact of this owner. Errors: NotFound."""
    with catalog.writing() as connection:
        begin_forgetting(connection)
        allowed = scope.principals.issuperset(owner)
        if not allowed or not _delete(connection, scope.tenant, owner, [name]):
            raise NotFound(f"No fact {name!r}", remedy="See what is remembered: sourcebook conversations facts")


def fact_id(conversation: str, text: str) -> str:
    """The same fact, learned again in the same conversation, has the same id."""
    said = " ".join(text.casefold().split())
    return blake2b(f"{conversation}\0{said}".encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _delete(connection: Connection, tenant: str, owner: frozenset[str], names: Collection[str]) -> int:
    deleted = 0
    for some in batches(sorted(set(names)), IN_LIST):
        done = connection.execute(
            sql("DELETE FROM memory WHERE id IN :some AND tenant = :tenant AND principals = :owner", "some"),
            {"some": list(some), "tenant": tenant, "owner": names_json(owner)},
        )
        deleted += int(done.rowcount)
    return deleted


def _fact(row: Row[Any], origins: frozenset[Origin]) -> Fact:
    return Fact(
        id=row.id,
        kind=row.kind,
        text=row.text,
        conversation=row.conversation_id,
        number=row.number,
        at=row.at,
        vector=vector_from(row.vector),
        fingerprint=row.fingerprint,
        origins=origins,
    )


_MOST = 1000  # facts that are compared with a question, while its asker waits
_ALL = 2**31 - 1  # rows: more than there are
