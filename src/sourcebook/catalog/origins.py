"""What remembered things were made from: the document versions behind turns and summaries, and forgetting with them.

Three things make sure that nothing outlives the documents that it was made from:

    begin_remembering   opens every transaction that keeps something (`postgresql`): what it finds live stays so
    forget_gone         runs in the transaction that makes versions not live, and empties what was made from them
    read_origins        is part of every read, and tells what was made from anything that is not live, or that the
                        reader may not see
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sourcebook.catalog.statements import IN_LIST, access_from, batches, sql
from sourcebook.types import PassageId, Scope

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row

    from sourcebook.catalog.records import Staged

SUMMARY = 0
"""The number under which `turn_document` holds what a summary was made from; turns count from 1."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """A document version that something remembered was made from."""

    document_id: int
    version_id: int


def forget_gone(connection: Connection, document_ids: Sequence[int]) -> None:
    """Forget what was made from versions of these documents that are not live any more.

    To be called in the transaction that retires versions, after they are retired: turns lose their text, facts that
    were learned in them are deleted, and summaries that covered them begin anew.
    """
    for some in batches(document_ids, IN_LIST):
        gone = connection.execute(
            sql(
                """
                SELECT DISTINCT conversation_id AS name, number FROM turn_document
                 WHERE document_id IN :some
                   AND NOT EXISTS (SELECT 1 FROM version
                                    WHERE version.id = turn_document.version_id
                                      AND version.document_id = turn_document.document_id
                                      AND version.state = 'live')
                """,
                "some",
            ),
            {"some": list(some)},
        ).all()
        if gone:
            _forget(connection, [{"name": row.name, "number": row.number} for row in gone])


def inherit(connection: Connection, staged: Sequence[Staged]) -> None:
    """What was made from the live version of a document rests on the staged one, where both are of the same bytes.

    To be called before the old version is retired: a document that is only cut or parsed anew says what it said.
    """
    again = [
        {"document": one.document_id, "version": one.version_id, "hash": one.draft.content_hash}
        for one in staged
        if one.number > 1
    ]
    if not again:
        return
    connection.execute(
        sql("""
            UPDATE turn_document SET version_id = :version
             WHERE document_id = :document
               AND version_id = (SELECT version.id
                                   FROM document JOIN version ON version.id = document.live_version_id
                                  WHERE document.id = :document AND version.content_hash = :hash)
        """),
        again,
    )


def _forget(connection: Connection, gone: Sequence[Mapping[str, object]]) -> None:
    for statement in (
        """
        UPDATE conversation
           SET revision = revision + 1,
               summary = CASE :number WHEN 0 THEN '' ELSE summary END,
               summarised = CASE :number WHEN 0 THEN 0 ELSE summarised END
         WHERE id = :name
        """,
        """
        UPDATE turn SET text = '', answer_id = NULL, removed = TRUE
         WHERE conversation_id = :name AND number = :number
        """,
        "DELETE FROM memory WHERE conversation_id = :name AND number = :number",
        "DELETE FROM turn_document WHERE conversation_id = :name AND number = :number",
    ):
        connection.execute(sql(statement), gone)


def read_origins(
    connection: Connection, name: str, since: int, scope: Scope
) -> tuple[dict[int, frozenset[Origin]], set[int]]:
    """What the summary and the turns after `since` were made from, and the numbers that the reader may not see."""
    rows = connection.execute(
        sql("""
            SELECT made.number, made.document_id, made.version_id, document.tenant, document.access
              FROM turn_document AS made
              LEFT JOIN version ON version.id = made.version_id AND version.document_id = made.document_id
                               AND version.state = 'live'
              LEFT JOIN document ON document.id = version.document_id
             WHERE made.conversation_id = :id AND (made.number = 0 OR made.number > :since)
        """),
        {"id": name, "since": since},
    )
    origins: dict[int, set[Origin]] = {}
    hidden: set[int] = set()
    for row in rows:
        origins.setdefault(row.number, set()).add(_origin(row))
        if not visible(row, scope):
            hidden.add(row.number)
    return {number: frozenset(some) for number, some in origins.items()}, hidden


def visible(row: Row[Any], scope: Scope) -> bool:
    """Whether a version, joined from the left as (tenant, access), is live and may be seen."""
    return row.tenant is not None and scope.admits(row.tenant, access_from(row.access))


def live_origins(
    connection: Connection,
    scope: Scope,
    *,
    passages: Collection[PassageId] = (),
    versions: Collection[tuple[str, int]] = (),
    origins: Collection[Origin] = (),
) -> frozenset[Origin] | None:
    """Passages, versions as (URI, number) and origins, all as origins; None if one is not live, or not for the asker.

    As `all_live`, a part of a transaction that began with `begin_remembering`: so it is to its end.
    """
    found: set[Origin] = set()
    for some in batches(sorted(set(passages)), IN_LIST):
        rows = connection.execute(
            sql(
                """
                SELECT document.id AS document_id, version.id AS version_id, document.tenant, document.access
                  FROM passage
                  JOIN version ON version.id = passage.version_id AND version.state = 'live'
                  JOIN document ON document.id = version.document_id
                 WHERE passage.id IN :some
                """,
                "some",
            ),
            {"some": list(some)},
        ).all()
        if len(rows) < len(some) or not all(visible(row, scope) for row in rows):
            return None
        found.update(_origin(row) for row in rows)
    wanted = set(versions)
    for uris in batches(sorted({uri for uri, _ in versions}), IN_LIST):
        rows = connection.execute(
            sql(
                """
                SELECT document.id AS document_id, version.id AS version_id, document.tenant, document.access,
                       document.uri, version.number
                  FROM document JOIN version ON version.id = document.live_version_id
                 WHERE document.tenant = :tenant AND document.uri IN :some
                """,
                "some",
            ),
            {"tenant": scope.tenant, "some": list(uris)},
        ).all()
        read = [row for row in rows if (row.uri, row.number) in wanted and visible(row, scope)]
        found.update(_origin(row) for row in read)
        wanted.difference_update((row.uri, row.number) for row in read)
    found.update(origins)
    return frozenset(found) if not wanted and all_live(connection, origins, scope) else None


def all_live(connection: Connection, origins: Collection[Origin], scope: Scope | None = None) -> bool:
    """Whether all are live; and, with a scope, may be seen."""
    wanted = {(one.document_id, one.version_id) for one in origins}
    for some in batches(sorted({version for _, version in wanted}), IN_LIST):
        rows = connection.execute(
            sql(
                """
                SELECT document.id AS document_id, version.id AS version_id, document.tenant, document.access
                  FROM version JOIN document ON document.id = version.document_id
                 WHERE version.state = 'live' AND version.id IN :some
                """,
                "some",
            ),
            {"some": list(some)},
        )
        wanted -= {(row.document_id, row.version_id) for row in rows if scope is None or visible(row, scope)}
    return not wanted


def _origin(row: Row[Any]) -> Origin:
    return Origin(document_id=row.document_id, version_id=row.version_id)


def write_origins(connection: Connection, name: str, number: int, origins: Collection[Origin]) -> None:
    """Set what a turn, or the summary, was made from."""
    connection.execute(
        sql("DELETE FROM turn_document WHERE conversation_id = :name AND number = :number"),
        {"name": name, "number": number},
    )
    if origins:
        connection.execute(
            sql("""
                INSERT INTO turn_document (conversation_id, number, document_id, version_id)
                VALUES (:name, :number, :document, :version)
            """),
            [
                {"name": name, "number": number, "document": one.document_id, "version": one.version_id}
                for one in set(origins)
            ],
        )
