"""What makes versions live and what ends them: steps 3 and 4 of publishing, failures, access lists, deletions.

Each function is a part of a transaction. Every change of what is live, or of who may see what is live, advances the
book's epoch in it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from sourcebook.catalog.answers import forget_answers_of_documents
from sourcebook.catalog.numbers import advance, take_numbers
from sourcebook.catalog.origins import forget_gone, inherit
from sourcebook.catalog.postgresql import begin_forgetting
from sourcebook.catalog.records import Failure, Retired, Staged
from sourcebook.catalog.staging import change_access, known_documents
from sourcebook.catalog.statements import IN_LIST, batches, kept, names_json, now, sql
from sourcebook.types import PassageId

if TYPE_CHECKING:
    from sqlalchemy import Connection


def commit(connection: Connection, staged: Sequence[Staged]) -> None:
    """Step 3: the new versions become live and the old ones are retired.

    What was remembered of an old version is forgotten, unless the new one was made from the same bytes.
    """
    begin_forgetting(connection)
    inherit(connection, staged)
    connection.execute(
        sql("""
            UPDATE version SET state = 'retired'
             WHERE id = (SELECT live_version_id FROM document WHERE id = :document)
        """),
        [{"document": one.document_id} for one in staged],
    )
    connection.execute(
        sql("UPDATE version SET state = 'live' WHERE id = :version"),
        [{"version": one.version_id} for one in staged],
    )
    connection.execute(
        sql("""
            UPDATE document
               SET state = 'live', error = NULL, transient = FALSE, attempts = attempts + 1,
                   live_version_id = :version, fingerprint = :fingerprint, content_hash = :hash,
                   recipe = :recipe, seconds = :seconds, updated = :now
             WHERE id = :document
        """),
        [
            {
                "document": one.document_id,
                "version": one.version_id,
                "fingerprint": one.draft.fingerprint,
                "hash": one.draft.content_hash,
                "recipe": one.draft.recipe,
                "seconds": json.dumps({stage: round(time, 6) for stage, time in one.draft.seconds.items()}),
                "now": now(),
            }
            for one in staged
        ],
    )
    forget_gone(connection, [one.document_id for one in staged])
    advance(connection)


def fail(connection: Connection, failures: Sequence[Failure]) -> None:
    """Note attempts that failed; a version that was live stays so."""
    known = known_documents(connection, [(one.tenant, one.uri) for one in failures])
    new = sorted({(one.tenant, one.uri) for one in failures} - known.keys())
    numbers = {name: document.id for name, document in known.items()}
    numbers.update(zip(new, take_numbers(connection, "document", len(new)), strict=True))
    connection.execute(
        sql("""
            INSERT INTO document (id, tenant, uri, source_id, access, state, error, transient, attempts,
                                  versions, fingerprint, content_hash, recipe, seconds, updated)
            VALUES (:id, :tenant, :uri, :source, :access,
                    'failed', :error, :transient, 1, 0, :fingerprint, :hash, :recipe, '{}', :now)
            ON CONFLICT (id) DO UPDATE
               SET source_id = excluded.source_id, access = excluded.access, state = 'failed',
                   error = excluded.error, transient = excluded.transient,
                   attempts = document.attempts + 1, fingerprint = excluded.fingerprint,
                   content_hash = excluded.content_hash, recipe = excluded.recipe,
                   updated = excluded.updated
        """),
        [
            {
                "id": numbers[one.tenant, one.uri],
                "tenant": one.tenant,
                "uri": one.uri,
                "source": one.source_id,
                "access": names_json(one.access),
                "error": kept(one.error),
                "transient": one.transient,
                "fingerprint": one.fingerprint,
                "hash": one.content_hash,
                "recipe": one.recipe,
                "now": now(),
            }
            for one in failures
        ],
    )
    if change_access(known, failures):
        advance(connection)


def refresh(connection: Connection, seen: Sequence[tuple[int, str]]) -> None:
    """Note new fingerprints of documents whose content is as it was: (document id, fingerprint)."""
    connection.execute(
        sql("UPDATE document SET fingerprint = :fingerprint WHERE id = :id"),
        [{"id": document, "fingerprint": fingerprint} for document, fingerprint in seen],
    )


def restrict(connection: Connection, documents: Sequence[tuple[int, frozenset[str]]]) -> None:
    """Set the access lists of documents, effective at once: (document id, names)."""
    begin_forgetting(connection)
    connection.execute(
        sql("UPDATE document SET access = :access WHERE id = :id"),
        [{"id": document, "access": names_json(access)} for document, access in documents],
    )
    advance(connection)


def withdraw(connection: Connection, document_ids: Sequence[int]) -> None:
    """Delete documents: nothing of them can be found any more, whatever the index still holds.

    What conversations and the records of answers hold of them is gone as well.
    """
    if not document_ids:
        return
    ids = [{"id": document} for document in document_ids]
    begin_forgetting(connection)
    connection.execute(sql("UPDATE version SET state = 'retired' WHERE document_id = :id AND state <> 'retired'"), ids)
    connection.execute(
        sql("""
            UPDATE document SET state = 'deleted', error = NULL, live_version_id = NULL, updated = :now
             WHERE id = :id
        """),
        [{**one, "now": now()} for one in ids],
    )
    forget_gone(connection, document_ids)
    forget_answers_of_documents(connection, document_ids)
    advance(connection)


def abandon_staged(connection: Connection) -> int:
    """Retire what an interrupted run staged and never committed; returns how many versions."""
    return int(connection.execute(sql("UPDATE version SET state = 'retired' WHERE state = 'staged'")).rowcount)


def retired(connection: Connection) -> list[Retired]:
    """Step 4, first half: the versions whose points must leave the index."""
    rows = connection.execute(
        sql("""
            SELECT version.id AS version_id, passage.id AS passage_id
              FROM version LEFT JOIN passage ON passage.version_id = version.id
             WHERE version.state = 'retired' ORDER BY version.id
        """)
    )
    passages: dict[int, list[PassageId]] = {}
    for row in rows:
        ids = passages.setdefault(row.version_id, [])
        if row.passage_id is not None:
            ids.append(PassageId(row.passage_id))
    return [Retired(version_id=version, passages=tuple(ids)) for version, ids in passages.items()]


def purge(connection: Connection, retired: Sequence[Retired]) -> None:
    """Step 4, second half: forget versions that the index no longer holds, and embeddings nobody uses."""
    for some in batches([one.version_id for one in retired], IN_LIST):
        keys = connection.execute(
            sql("SELECT DISTINCT text_key FROM passage WHERE version_id IN :some", "some"), {"some": some}
        ).scalars()
        candidates = list(keys)
        for table in ("passage", "parsed", "table_data", "version"):
            column = "id" if table == "version" else "version_id"
            statement = f"DELETE FROM {table} WHERE {column} IN :some"  # noqa: S608
            connection.execute(sql(statement, "some"), {"some": some})
        for unused in batches(candidates, IN_LIST):
            for fingerprint in fingerprints(connection):
                connection.execute(
                    sql(
                        """
                        DELETE FROM embedding
                         WHERE fingerprint = :fingerprint AND text_key IN :some
                           AND NOT EXISTS (SELECT 1 FROM passage WHERE passage.text_key = embedding.text_key)
                        """,
                        "some",
                    ),
                    {"fingerprint": fingerprint, "some": unused},
                )
    connection.execute(
        sql("""
            DELETE FROM document
             WHERE state = 'deleted'
               AND NOT EXISTS (SELECT 1 FROM version WHERE version.document_id = document.id)
        """)
    )


def drop_pending(connection: Connection) -> None:
    """Forget documents that were never more than staged, once their versions are purged."""
    connection.execute(
        sql("""
            DELETE FROM document
             WHERE state = 'pending'
               AND NOT EXISTS (SELECT 1 FROM version WHERE version.document_id = document.id)
        """)
    )


def fingerprints(connection: Connection) -> Iterator[str]:
    """The embedders that embeddings are kept of: found one after the other in the key, which is not read through."""
    last = ""
    while True:
        following = "SELECT MIN(fingerprint) FROM embedding WHERE fingerprint > :last"
        found = connection.execute(sql(following), {"last": last}).scalar_one()
        if found is None:
            return
        yield (last := str(found))
