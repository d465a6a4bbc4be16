"""Step 1 of publishing: new versions with their texts, passages and tables, written but not live."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

from sourcebook.catalog.numbers import advance, take_numbers
from sourcebook.catalog.records import Draft, Failure, Staged
from sourcebook.catalog.statements import IN_LIST, access_from, batches, kept, names_json, now, sql
from sourcebook.catalog.tables import write_tables
from sourcebook.types import PassageId

if TYPE_CHECKING:
    from sqlalchemy import Connection


def stage(connection: Connection, drafts: Sequence[Draft]) -> list[Staged]:
    """Write versions, passages and tables, not live. The i'th result belongs to the i'th draft.

    The access lists of the drafts hold at once, for what is live of their documents as well.
    """
    known = known_documents(connection, [(draft.tenant, draft.uri) for draft in drafts])
    staged = _numbered(connection, drafts, known)
    _write_documents(connection, staged)
    _write_versions(connection, staged)
    _write_texts(connection, staged)
    write_tables(connection, {one.version_id: one.draft.tables for one in staged if one.draft.tables})
    if change_access(known, drafts):
        advance(connection)
    return staged


def passage_id(tenant: str, uri: str, version: int, ordinal: int, text: str) -> PassageId:
    """The content-addressed name of a passage: the same passage gets the same id, however often it is staged."""
    place = f"{tenant}\0{uri}\0{version}\0{ordinal}\0".encode("utf-8", "surrogatepass")
    return PassageId(blake2b(place + text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest())


def change_access(known: Mapping[tuple[str, str], KnownDocument], coming: Sequence[Draft | Failure]) -> bool:
    """Whether any of what is coming has another access list than what is live of its document."""
    return any(
        before.live and before.access != one.access
        for one in coming
        if (before := known.get((one.tenant, one.uri))) is not None
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownDocument:
    """A document that has a row. versions: numbers given out so far. live: whether a version of it is."""

    id: int
    versions: int
    live: bool
    access: frozenset[str]


def known_documents(connection: Connection, names: Sequence[tuple[str, str]]) -> dict[tuple[str, str], KnownDocument]:
    """Those of the documents, by tenant and URI, that have a row."""
    known: dict[tuple[str, str], KnownDocument] = {}
    for tenant in {tenant for tenant, _ in names}:
        for uris in batches([uri for its, uri in names if its == tenant], IN_LIST):
            rows = connection.execute(
                sql(
                    """
                    SELECT id, uri, versions, access, live_version_id FROM document
                     WHERE tenant = :tenant AND uri IN :uris
                    """,
                    "uris",
                ),
                {"tenant": tenant, "uris": list(uris)},
            )
            for row in rows:
                known[tenant, row.uri] = KnownDocument(
                    id=row.id,
                    versions=row.versions,
                    live=row.live_version_id is not None,
                    access=access_from(row.access),
                )
    return known


def _numbered(
    connection: Connection, drafts: Sequence[Draft], known: Mapping[tuple[str, str], KnownDocument]
) -> list[Staged]:
    """Drafts with the ids and version numbers that they get. The transaction is the only one that writes."""
    new = sum((draft.tenant, draft.uri) not in known for draft in drafts)
    documents = iter(take_numbers(connection, "document", new))
    staged = []
    for draft, version in zip(drafts, take_numbers(connection, "version", len(drafts)), strict=True):
        before = known.get((draft.tenant, draft.uri))
        number = 1 if before is None else before.versions + 1
        staged.append(
            Staged(
                draft=draft,
                document_id=next(documents) if before is None else before.id,
                version_id=version,
                number=number,
                passages=tuple(
                    passage_id(draft.tenant, draft.uri, number, ordinal, chunk.text)
                    for ordinal, chunk in enumerate(draft.chunks)
                ),
            )
        )
    return staged


def _write_documents(connection: Connection, staged: Sequence[Staged]) -> None:
    connection.execute(
        sql("""
            INSERT INTO document (id, tenant, uri, source_id, access, state, transient, attempts, versions,
                                  fingerprint, recipe, seconds, updated)
            VALUES (:id, :tenant, :uri, :source, :access, 'pending', FALSE, 0, :number, '', '', '{}', :now)
            ON CONFLICT (id) DO UPDATE
               SET versions = excluded.versions,
                   source_id = excluded.source_id,
                   access = excluded.access,
                   state = CASE document.state WHEN 'deleted' THEN 'pending' ELSE document.state END
        """),
        [
            {
                "id": one.document_id,
                "tenant": one.draft.tenant,
                "uri": one.draft.uri,
                "source": one.draft.source_id,
                "access": names_json(one.draft.access),
                "number": one.number,
                "now": now(),
            }
            for one in staged
        ],
    )


def _write_versions(connection: Connection, staged: Sequence[Staged]) -> None:
    connection.execute(
        sql("""
            INSERT INTO version (id, document_id, number, state, content_hash, recipe, title, metadata, created)
            VALUES (:id, :document, :number, 'staged', :hash, :recipe, :title, :metadata, :now)
        """),
        [
            {
                "id": one.version_id,
                "document": one.document_id,
                "number": one.number,
                "hash": one.draft.content_hash,
                "recipe": one.draft.recipe,
                "title": None if one.draft.title is None else kept(one.draft.title),
                "metadata": kept(json.dumps(dict(one.draft.metadata), ensure_ascii=False)),
                "now": now(),
            }
            for one in staged
        ],
    )


def _write_texts(connection: Connection, staged: Sequence[Staged]) -> None:
    connection.execute(
        sql("INSERT INTO parsed (version_id, text, language) VALUES (:version, :text, :language)"),
        [{"version": one.version_id, "text": kept(one.draft.text), "language": one.draft.language} for one in staged],
    )
    if rows := [row for one in staged for row in _passage_rows(one)]:
        connection.execute(
            sql("""
                INSERT INTO passage (id, version_id, ordinal, start_offset, end_offset, text,
                                     heading_path, page, location, language, text_key)
                VALUES (:id, :version, :ordinal, :start, :end, :text,
                        :heading_path, :page, :location, :language, :text_key)
            """),
            rows,
        )


def _passage_rows(staged: Staged) -> Iterator[Mapping[str, object]]:
    for ordinal, (chunk, key, name) in enumerate(
        zip(staged.draft.chunks, staged.draft.text_keys, staged.passages, strict=True)
    ):
        yield {
            "id": name,
            "version": staged.version_id,
            "ordinal": ordinal,
            "start": chunk.start,
            "end": chunk.end,
            "text": kept(chunk.text),
            "heading_path": kept(json.dumps(chunk.heading_path, ensure_ascii=False)),
            "page": chunk.page,
            "location": None if chunk.location is None else kept(chunk.location),
            "language": chunk.language,
            "text_key": key,
        }
