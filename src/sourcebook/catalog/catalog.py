"""The catalog: reads and writes of everything that is true about a book.

Each method is one transaction. Methods are synchronous and thread-safe; the pipeline calls them from worker
threads. The statements are plain SQL that SQLite and PostgreSQL both run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sourcebook.catalog import staging
from sourcebook.catalog.origins import forget_gone
from sourcebook.catalog.postgresql import WriterSession, without_password
from sourcebook.catalog.records import (
    DocumentRecord,
    Draft,
    Failure,
    Retired,
    Reusable,
    SourceRecord,
    Staged,
)
from sourcebook.catalog.schema import connect, upgrade
from sourcebook.catalog.statements import IN_LIST, batches, explained, kept, metadata_from, names_json, now, sql
from sourcebook.catalog.tables import read_tables
from sourcebook.types import Chunk, PassageId

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine, Row


class Catalog:
    """Documents, versions and passages in a relational database.

    url: "sqlite:FILE" relative to `home`, or "postgresql://...". writer: the right to write, where it is the
    database's to give; for a file, a lock beside it does. Errors: CatalogError.
    """

    def __init__(self, url: str, home: Path) -> None:
        self.url = without_password(url)
        self._engine: Engine = connect(url, home)
        self.writer = WriterSession(self._engine) if self._engine.dialect.name == "postgresql" else None
        try:
            with explained(self.url):
                upgrade(self._engine)
        except BaseException:
            self._engine.dispose()
            raise

    def rows(self, statement: str, **parameters: object) -> Sequence[Row[Any]]:
        """What one SELECT gives: the shortest way, for what every search does. It sees one state of the book."""
        with explained(self.url), self._engine.connect() as connection:
            return connection.execute(sql(statement), parameters).all()

    @property
    def listed(self) -> str:
        """A subquery of the texts in the JSON list :some: one prepared statement for lists of every length."""
        if self._engine.dialect.name == "sqlite":
            return "(SELECT value FROM json_each(:some))"
        return "(SELECT jsonb_array_elements_text(CAST(:some AS jsonb)))"

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection whose statements all see one state of the book."""
        with explained(self.url), self._engine.connect() as connection:
            if self._engine.dialect.name == "postgresql":
                connection = connection.execution_options(isolation_level="REPEATABLE READ")
            else:
                connection.exec_driver_sql("BEGIN")
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A connection in a transaction that is committed at the end, or rolled back on an error."""
        connected = self._engine.connect() if self.writer is None else self.writer.connection()
        with explained(self.url), connected as connection:
            if self.writer is None:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection
            connection.commit()

    # --- sources ------------------------------------------------------------------------------------------

    def add_source(
        self,
        url: str,
        *,
        tenant: str = "default",
        access: frozenset[str] = frozenset(),
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
    ) -> SourceRecord:
        """Follow a source; one that is known gets the new settings."""
        options = json.dumps({"include": list(include), "exclude": list(exclude)})
        with self.writing() as connection:
            connection.execute(
                sql("""
                    INSERT INTO source (url, tenant, access, options, added)
                    VALUES (:url, :tenant, :access, :options, :now)
                    ON CONFLICT (tenant, url) DO UPDATE
                       SET access = excluded.access, options = excluded.options
                """),
                {"url": url, "tenant": tenant, "access": names_json(access), "options": options, "now": now()},
            )
        return next(source for source in self.sources() if (source.url, source.tenant) == (url, tenant))

    def sources(self) -> list[SourceRecord]:
        """Every source, in the order they were added."""
        with self.reading() as connection:
            rows = connection.execute(sql("SELECT id, url, tenant, access, options FROM source ORDER BY id")).all()
        return [
            SourceRecord(
                id=row.id,
                url=row.url,
                tenant=row.tenant,
                access=frozenset(json.loads(row.access)),
                include=tuple(json.loads(row.options)["include"]),
                exclude=tuple(json.loads(row.options)["exclude"]),
            )
            for row in rows
        ]

    def remove_source(self, source_id: int) -> int:
        """Stop following a source and withdraw its documents at once; returns how many were in."""
        with self.reading() as connection:
            ids = list(
                connection.execute(
                    sql("SELECT id FROM document WHERE source_id = :source AND state <> 'deleted'"),
                    {"source": source_id},
                ).scalars()
            )
        self.withdraw(ids)
        with self.writing() as connection:
            connection.execute(sql("DELETE FROM source WHERE id = :id"), {"id": source_id})
        return len(ids)

    # --- comparing a source with what is in --------------------------------------------------------------

    def documents(self, tenant: str) -> dict[str, DocumentRecord]:
        """The documents of a tenant by URI, deleted ones left out."""
        with self.reading() as connection:
            rows = connection.execute(
                sql("""
                    SELECT id, uri, tenant, source_id, access, state, transient,
                           live_version_id IS NOT NULL AS live, fingerprint, content_hash, recipe
                      FROM document
                     WHERE state <> 'deleted' AND tenant = :tenant
                """),
                {"tenant": tenant},
            ).all()
        return {
            row.uri: DocumentRecord(
                id=row.id,
                uri=row.uri,
                tenant=row.tenant,
                source_id=row.source_id,
                access=frozenset() if row.access == "[]" else frozenset(json.loads(row.access)),
                state=row.state,
                transient=bool(row.transient),
                live=bool(row.live),
                fingerprint=row.fingerprint,
                content_hash=row.content_hash,
                recipe=row.recipe,
            )
            for row in rows
        }

    def reusable(self, content_hash: str, recipe: str) -> Reusable | None:
        """A version made from the same bytes by the same recipe, whatever document it belongs to."""
        with self.reading() as connection:
            found = connection.execute(
                sql("""
                    SELECT version.id, version.title, version.metadata, parsed.text, parsed.language
                      FROM version JOIN parsed ON parsed.version_id = version.id
                     WHERE version.content_hash = :hash AND version.recipe = :recipe
                     ORDER BY version.id LIMIT 1
                """),
                {"hash": content_hash, "recipe": recipe},
            ).first()
            if found is None:
                return None
            rows = connection.execute(
                sql("""
                    SELECT text, start_offset, end_offset, heading_path, page, location, language, text_key
                      FROM passage WHERE version_id = :version ORDER BY ordinal
                """),
                {"version": found.id},
            ).all()
            tables = read_tables(connection, found.id)
        chunks = tuple(
            Chunk(
                text=row.text,
                start=row.start_offset,
                end=row.end_offset,
                heading_path=tuple(json.loads(row.heading_path)),
                page=row.page,
                location=row.location,
                language=row.language,
            )
            for row in rows
        )
        return Reusable(
            text=found.text,
            language=found.language,
            title=found.title,
            metadata=metadata_from(found.metadata),
            chunks=chunks,
            text_keys=tuple(row.text_key for row in rows),
            tables=tables,
        )

    def refresh(self, seen: Sequence[tuple[int, str]]) -> None:
        """Note new fingerprints of documents whose content is as it was: (document id, fingerprint)."""
        with self.writing() as connection:
            connection.execute(
                sql("UPDATE document SET fingerprint = :fingerprint WHERE id = :id"),
                [{"id": document, "fingerprint": fingerprint} for document, fingerprint in seen],
            )

    def restrict(self, documents: Sequence[tuple[int, frozenset[str]]]) -> None:
        """Set the access lists of documents, effective at once: (document id, names)."""
        with self.writing() as connection:
            connection.execute(
                sql("UPDATE document SET access = :access WHERE id = :id"),
                [{"id": document, "access": names_json(access)} for document, access in documents],
            )
            _advance(connection)

    # --- the four steps of publishing --------------------------------------------------------------------

    def stage(self, drafts: Sequence[Draft]) -> list[Staged]:
        """Step 1: write versions and passages, not live. The i'th result belongs to the i'th draft."""
        with self.writing() as connection:
            return staging.stage(connection, drafts)

    def commit(self, staged: Sequence[Staged]) -> None:
        """Step 3: in one transaction the new versions become live and the old ones are retired."""
        with self.writing() as connection:
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
            _advance(connection)

    def fail(self, failures: Sequence[Failure]) -> None:
        """Note attempts that failed; a version that was live stays so."""
        with self.writing() as connection:
            connection.execute(
                sql("""
                    INSERT INTO document (id, tenant, uri, source_id, access, state, error, transient, attempts,
                                          versions, fingerprint, content_hash, recipe, seconds, updated)
                    VALUES (COALESCE((SELECT id FROM document WHERE tenant = :tenant AND uri = :uri),
                                     (SELECT COALESCE(MAX(id), 0) + 1 FROM document)), :tenant, :uri, :source, :access,
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

    def withdraw(self, document_ids: Sequence[int]) -> None:
        """Delete documents: when this returns, nothing of them can be found, whatever the index still holds.

        What conversations remember of them is gone as well.
        """
        if not document_ids:
            return
        ids = [{"id": document} for document in document_ids]
        with self.writing() as connection:
            connection.execute(
                sql("UPDATE version SET state = 'retired' WHERE document_id = :id AND state <> 'retired'"), ids
            )
            connection.execute(
                sql("""
                    UPDATE document SET state = 'deleted', error = NULL, live_version_id = NULL, updated = :now
                     WHERE id = :id
                """),
                [{**one, "now": now()} for one in ids],
            )
            forget_gone(connection, document_ids)
            _advance(connection)

    def abandon_staged(self) -> int:
        """Retire what an interrupted run staged and never committed; returns how many versions."""
        with self.writing() as connection:
            result = connection.execute(sql("UPDATE version SET state = 'retired' WHERE state = 'staged'"))
        return int(result.rowcount)

    def retired(self) -> list[Retired]:
        """Step 4, first half: the versions whose points must leave the index."""
        with self.reading() as connection:
            rows = connection.execute(
                sql("""
                    SELECT version.id AS version_id, passage.id AS passage_id
                      FROM version LEFT JOIN passage ON passage.version_id = version.id
                     WHERE version.state = 'retired' ORDER BY version.id
                """)
            ).all()
        passages: dict[int, list[PassageId]] = {}
        for row in rows:
            ids = passages.setdefault(row.version_id, [])
            if row.passage_id is not None:
                ids.append(PassageId(row.passage_id))
        return [Retired(version_id=version, passages=tuple(ids)) for version, ids in passages.items()]

    def purge(self, retired: Sequence[Retired]) -> None:
        """Step 4, second half: forget versions that the index no longer holds, and embeddings nobody uses."""
        versions = [one.version_id for one in retired]
        with self.writing() as connection:
            for some in batches(versions, IN_LIST):
                keys = connection.execute(
                    sql("SELECT DISTINCT text_key FROM passage WHERE version_id IN :some", "some"), {"some": some}
                ).scalars()
                candidates = list(keys)
                for table in ("passage", "parsed", "table_data", "version"):
                    column = "id" if table == "version" else "version_id"
                    statement = f"DELETE FROM {table} WHERE {column} IN :some"  # noqa: S608
                    connection.execute(sql(statement, "some"), {"some": some})
                for unused in batches(candidates, IN_LIST):
                    for fingerprint in _fingerprints(connection):
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

    def drop_pending(self) -> None:
        """Forget documents that were never more than staged, once their versions are purged."""
        with self.writing() as connection:
            connection.execute(
                sql("""
                    DELETE FROM document
                     WHERE state = 'pending'
                       AND NOT EXISTS (SELECT 1 FROM version WHERE version.document_id = document.id)
                """)
            )

    # --- which index belongs to this catalog -------------------------------------------------------------

    def epoch(self) -> int:
        """Grows with every change of what is live."""
        with self.reading() as connection:
            return int(connection.execute(sql("SELECT epoch FROM book WHERE id = 1")).scalar_one())

    def index_identity(self) -> str | None:
        """The identity of the index that was filled from this catalog, or None before the first."""
        with self.reading() as connection:
            found = connection.execute(sql("SELECT index_identity FROM book WHERE id = 1")).scalar_one()
        return None if found is None else str(found)

    def set_index_identity(self, identity: str) -> None:
        """Note that the index of this identity holds all that is live."""
        with self.writing() as connection:
            connection.execute(sql("UPDATE book SET index_identity = :identity WHERE id = 1"), {"identity": identity})


def _fingerprints(connection: Connection) -> Iterator[str]:
    """The embedders that embeddings are kept of: found one after the other in the key, which is not read through."""
    last = ""
    while True:
        following = "SELECT MIN(fingerprint) FROM embedding WHERE fingerprint > :last"
        found = connection.execute(sql(following), {"last": last}).scalar_one()
        if found is None:
            return
        yield (last := str(found))


def _advance(connection: Connection) -> None:
    connection.execute(sql("UPDATE book SET epoch = epoch + 1 WHERE id = 1"))
