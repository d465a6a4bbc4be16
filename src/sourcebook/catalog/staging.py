"""Step 1 of publishing: new versions with their texts, passages and tables, written but not live."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING

from sourcebook.catalog.records import Draft, Staged
from sourcebook.catalog.statements import IN_LIST, batches, kept, names_json, now, sql
from sourcebook.catalog.tables import write_tables
from sourcebook.types import PassageId

if TYPE_CHECKING:
    from sqlalchemy import Connection


def stage(connection: Connection, drafts: Sequence[Draft]) -> list[Staged]:
    """Write versions, passages and tables, not live. The i'th result belongs to the i'th draft."""
    staged = _numbered(connection, drafts)
    _write_documents(connection, staged)
    _write_versions(connection, staged)
    _write_texts(connection, staged)
    write_tables(connection, {one.version_id: one.draft.tables for one in staged if one.draft.tables})
    return staged


def passage_id(tenant: str, uri: str, version: int, ordinal: int, text: str) -> PassageId:
    """The content-addressed name of a passage: the same passage gets the same id, however often it is staged."""
    place = f"{tenant}\0{uri}\0{version}\0{ordinal}\0".encode("utf-8", "surrogatepass")
    return PassageId(blake2b(place + text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest())


def _numbered(connection: Connection, drafts: Sequence[Draft]) -> list[Staged]:
    """Drafts with the ids and version numbers that they get. The transaction is the only one that writes."""
    known: dict[tuple[str, str], tuple[int, int]] = {}
    for tenant in {draft.tenant for draft in drafts}:
        for uris in batches([draft.uri for draft in drafts if draft.tenant == tenant], IN_LIST):
            rows = connection.execute(
                sql("SELECT id, uri, versions FROM document WHERE tenant = :tenant AND uri IN :uris", "uris"),
                {"tenant": tenant, "uris": list(uris)},
            )
            known.update({(tenant, row.uri): (row.id, row.versions) for row in rows})
    next_document = int(connection.execute(sql("SELECT COALESCE(MAX(id), 0) FROM document")).scalar_one()) + 1
    next_version = int(connection.execute(sql("SELECT COALESCE(MAX(id), 0) FROM version")).scalar_one()) + 1
    staged = []
    for draft in drafts:
        document, versions = known.get((draft.tenant, draft.uri), (next_document, 0))
        next_document += document == next_document
        ids = (
            passage_id(draft.tenant, draft.uri, versions + 1, ordinal, chunk.text)
            for ordinal, chunk in enumerate(draft.chunks)
        )
        staged.append(
            Staged(
                draft=draft,
                document_id=document,
                version_id=next_version,
                number=versions + 1,
                passages=tuple(ids),
            )
        )
        next_version += 1
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
