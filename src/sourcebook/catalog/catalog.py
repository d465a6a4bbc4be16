"""The catalog: reads and writes of everything that is true about a book.

Each method is one transaction; what happens in it stands in `sources`, `comparing`, `staging` and `publishing`, as
functions over its connection. Methods are synchronous and thread-safe; the pipeline calls them from worker threads.
The statements are plain SQL that SQLite and PostgreSQL both run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sourcebook.catalog import comparing, publishing, sources, staging
from sourcebook.catalog.postgresql import WriterSession, without_password
from sourcebook.catalog.records import DocumentRecord, Draft, Failure, Retired, Reusable, SourceRecord, Staged
from sourcebook.catalog.schema import connect, upgrade
from sourcebook.catalog.statements import explained, sql

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine, Row


class Catalog:
    """Documents, versions and passages in a relational database.

    url: "sqlite:FILE" relative to `home`, or "postgresql://...". writer: the right to publish, where it is the
    database's to give; for a file, a lock beside it does. Errors: CatalogError; CatalogBusy, which may pass.
    """

    def __init__(self, url: str, home: Path) -> None:
        self.url = without_password(url)
        self._engine: Engine = connect(url, home)
        self._at_once = self._engine  # where a statement alone is no transaction, which takes three more round trips
        self.writer: WriterSession | None = None
        if self._engine.dialect.name == "postgresql":
            self._at_once = self._engine.execution_options(isolation_level="AUTOCOMMIT")
            self.writer = WriterSession(self._engine, self.url)
        try:
            with explained(self.url):
                upgrade(self._engine)
        except BaseException:
            self._engine.dispose()
            raise

    def rows(self, statement: str, **parameters: object) -> Sequence[Row[Any]]:
        """What one SELECT gives: the shortest way, for what every search does. It sees one state of the book."""
        with explained(self.url), self._at_once.connect() as connection:
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
        """A connection in a transaction that is committed at the end, or rolled back on an error.

        For what any process may write at any time: what is asked, answered, remembered and spent.
        """
        with explained(self.url), self._engine.connect() as connection, self._transaction(connection):
            yield connection

    @contextmanager
    def publishing(self) -> Iterator[Connection]:
        """As `writing`, for what one process at a time may write: sources, documents, and what is made of them.

        While this process holds the right to publish, it fails if that is lost. Errors: CatalogBusy.
        """
        connected = self._engine.connect() if self.writer is None else self.writer.connection()
        with explained(self.url), connected as connection, self._transaction(connection):
            yield connection

    @contextmanager
    def _transaction(self, connection: Connection) -> Iterator[None]:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        yield
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
        with self.publishing() as connection:
            return sources.add_source(connection, url, tenant=tenant, access=access, include=include, exclude=exclude)

    def sources(self) -> list[SourceRecord]:
        """Every source, in the order they were added."""
        with self.reading() as connection:
            return sources.sources(connection)

    def remove_source(self, source_id: int) -> int:
        """Stop following a source and withdraw its documents at once; returns how many were in."""
        with self.publishing() as connection:
            return sources.remove_source(connection, source_id)

    # --- comparing a source with what is in --------------------------------------------------------------

    def documents(self, tenant: str) -> dict[str, DocumentRecord]:
        """The documents of a tenant by URI, deleted ones left out."""
        with self.reading() as connection:
            return comparing.documents(connection, tenant)

    def reusable(self, content_hash: str, recipe: str) -> Reusable | None:
        """A version made from the same bytes by the same recipe, whatever document it belongs to."""
        with self.reading() as connection:
            return comparing.reusable(connection, content_hash, recipe)

    def refresh(self, seen: Sequence[tuple[int, str]]) -> None:
        """Note new fingerprints of documents whose content is as it was: (document id, fingerprint)."""
        with self.publishing() as connection:
            publishing.refresh(connection, seen)

    def restrict(self, documents: Sequence[tuple[int, frozenset[str]]]) -> None:
        """Set the access lists of documents, effective at once: (document id, names)."""
        with self.publishing() as connection:
            publishing.restrict(connection, documents)

    # --- the four steps of publishing --------------------------------------------------------------------

    def stage(self, drafts: Sequence[Draft]) -> list[Staged]:
        """Step 1: write versions and passages, not live. The i'th result belongs to the i'th draft."""
        with self.publishing() as connection:
            return staging.stage(connection, drafts)

    def commit(self, staged: Sequence[Staged]) -> None:
        """Step 3: in one transaction the new versions become live and the old ones are retired."""
        with self.publishing() as connection:
            publishing.commit(connection, staged)

    def fail(self, failures: Sequence[Failure]) -> None:
        """Note attempts that failed; a version that was live stays so."""
        with self.publishing() as connection:
            publishing.fail(connection, failures)

    def withdraw(self, document_ids: Sequence[int]) -> None:
        """Delete documents: when this returns, nothing of them can be found, whatever the index still holds.

        What conversations and the records of answers hold of them is gone as well.
        """
        if document_ids:
            with self.publishing() as connection:
                publishing.withdraw(connection, document_ids)

    def abandon_staged(self) -> int:
        """Retire what an interrupted run staged and never committed; returns how many versions."""
        with self.publishing() as connection:
            return publishing.abandon_staged(connection)

    def retired(self) -> list[Retired]:
        """Step 4, first half: the versions whose points must leave the index."""
        with self.reading() as connection:
            return publishing.retired(connection)

    def purge(self, retired: Sequence[Retired]) -> None:
        """Step 4, second half: forget versions that the index no longer holds, and embeddings nobody uses."""
        with self.publishing() as connection:
            publishing.purge(connection, retired)

    def drop_pending(self) -> None:
        """Forget documents that were never more than staged, once their versions are purged."""
        with self.publishing() as connection:
            publishing.drop_pending(connection)

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
        with self.publishing() as connection:
            connection.execute(sql("UPDATE book SET index_identity = :identity WHERE id = 1"), {"identity": identity})
