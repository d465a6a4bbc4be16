"""Embeddings kept by content: a text that was embedded once is never embedded again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from sourcebook.catalog.catalog import Catalog
from sourcebook.catalog.publishing import fingerprints
from sourcebook.catalog.reads import FROM_PASSAGES, LIVE
from sourcebook.catalog.statements import access_from, metadata_from, sql, vector_bytes, vector_from
from sourcebook.types import PassageId, Point, Terms

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, slots=True)
class Embedding:
    """What a text is to the index. vector: float32, shape (d,); terms: its sparse keyword vector."""

    vector: NDArray[np.float32]
    terms: Terms


def text_key(text: str) -> str:
    """The name of a text: BLAKE2b-128 of its UTF-8, as 32 hex digits."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def known_embeddings(catalog: Catalog, fingerprint: str, keys: Sequence[str]) -> dict[str, Embedding]:
    """The embeddings that are kept for these texts under this fingerprint, by text key."""
    statement = f"""
        SELECT text_key, vector, terms FROM embedding
         WHERE fingerprint = :fingerprint AND text_key IN {catalog.listed}
    """  # noqa: S608
    with catalog.reading() as connection:
        rows = connection.execute(sql(statement), {"fingerprint": fingerprint, "some": json.dumps(list(keys))}).all()
    return {row.text_key: _embedding(row) for row in rows}


def keep_embeddings(catalog: Catalog, fingerprint: str, embeddings: Mapping[str, Embedding]) -> None:
    """Keep embeddings by text key."""
    if not embeddings:
        return
    with catalog.publishing() as connection:
        connection.execute(
            sql("""
                INSERT INTO embedding (fingerprint, text_key, vector, terms)
                VALUES (:fingerprint, :key, :vector, :terms)
                ON CONFLICT (fingerprint, text_key) DO NOTHING
            """),
            [
                {
                    "fingerprint": fingerprint,
                    "key": key,
                    "vector": vector_bytes(one.vector),
                    "terms": one.terms.indices.tobytes() + one.terms.weights.tobytes(),
                }
                for key, one in embeddings.items()
            ],
        )


def live_points(catalog: Catalog, fingerprint: str, *, size: int = 512) -> Iterator[list[Point]]:
    """Every live passage as a point for an index, `size` at a time; passages without an embedding are left out."""
    after = ""
    while True:
        with catalog.reading() as connection:
            rows = connection.execute(
                sql(f"""
                    SELECT passage.id, embedding.vector, embedding.terms, version.metadata,
                           document.tenant, document.access
                      {FROM_PASSAGES} CROSS JOIN embedding
                      {LIVE} AND embedding.text_key = passage.text_key AND embedding.fingerprint = :fingerprint
                       AND passage.id > :after
                     ORDER BY passage.id LIMIT :size
                """),
                {"fingerprint": fingerprint, "after": after, "size": size},
            ).all()
        if not rows:
            return
        after = rows[-1].id
        yield [_point(row) for row in rows]


@dataclass(frozen=True, kw_only=True, slots=True)
class Unembedded:
    """A live passage's text that has no embedding yet."""

    key: str
    title: str | None
    heading_path: tuple[str, ...]
    text: str


def unembedded(catalog: Catalog, fingerprint: str, *, size: int) -> Iterator[list[Unembedded]]:
    """The live texts that have no embedding under this fingerprint, of `size` passages at a time.

    Each text once in a batch, and not again in a later one if it was given an embedding meanwhile.
    """
    after = ""
    while True:
        with catalog.reading() as connection:
            rows = connection.execute(
                sql(f"""
                    SELECT passage.id, passage.text_key, passage.text, passage.heading_path, version.title
                      {FROM_PASSAGES} {LIVE}
                       AND NOT EXISTS (SELECT 1 FROM embedding
                                        WHERE embedding.text_key = passage.text_key
                                          AND embedding.fingerprint = :fingerprint)
                       AND passage.id > :after
                     ORDER BY passage.id LIMIT :size
                """),  # noqa: S608
                {"fingerprint": fingerprint, "after": after, "size": size},
            ).all()
        if not rows:
            return
        after = rows[-1].id
        texts = {row.text_key: row for row in rows}
        yield [
            Unembedded(key=key, title=row.title, heading_path=tuple(json.loads(row.heading_path)), text=row.text)
            for key, row in texts.items()
        ]


def drop_other_embeddings(catalog: Catalog, fingerprint: str) -> int:
    """Forget what other embedders made: to be called once the index is filled by the one of this fingerprint.

    Returns how many there were.
    """
    dropped = 0
    with catalog.publishing() as connection:
        for other in list(fingerprints(connection)):
            if other != fingerprint:
                done = connection.execute(sql("DELETE FROM embedding WHERE fingerprint = :it"), {"it": other})
                dropped += int(done.rowcount)
    return dropped


def _embedding(row: Any) -> Embedding:
    import numpy as np

    half = len(row.terms) // 2
    return Embedding(
        vector=vector_from(row.vector),
        terms=Terms(
            indices=np.frombuffer(row.terms[:half], np.uint32), weights=np.frombuffer(row.terms[half:], np.float32)
        ),
    )


def _point(row: Any) -> Point:
    kept = _embedding(row)
    return Point(
        id=PassageId(row.id),
        vector=kept.vector,
        terms=kept.terms,
        tenant=row.tenant,
        access=access_from(row.access),
        metadata=metadata_from(row.metadata),
    )
