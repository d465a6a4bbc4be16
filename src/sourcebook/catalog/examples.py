"""Examples: questions with good answers, by tenant and collection, for few-shot prompts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from sourcebook.catalog.statements import IN_LIST, batches, kept, now, sql, vector_bytes, vector_from
from sourcebook.errors import NotFound

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from sqlalchemy import Row

    from sourcebook.catalog.catalog import Catalog


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """A question and how to answer it. vector: of the question, float32, shape (d,), by the named embedder."""

    id: str
    collection: str
    question: str
    answer: str
    added: str
    vector: NDArray[np.float32]
    fingerprint: str


def keep_examples(
    catalog: Catalog,
    pairs: Sequence[tuple[str, str]],
    vectors: NDArray[np.float32],
    *,
    tenant: str,
    collection: str,
    fingerprint: str,
) -> list[str]:
    """Keep (question, answer) pairs; a question that is known gets the new answer. Returns the i'th pair's id.

    vectors: shape (n, d); the i'th row is the vector of the i'th question, by the embedder of the fingerprint.
    """
    names = [example_id(tenant, collection, question) for question, _ in pairs]
    if not pairs:
        return names
    with catalog.writing() as connection:
        connection.execute(
            sql("""
                INSERT INTO example (id, tenant, collection, question, answer, added, vector, fingerprint)
                VALUES (:id, :tenant, :collection, :question, :answer, :now, :vector, :fingerprint)
                ON CONFLICT (id) DO UPDATE
                   SET question = excluded.question, answer = excluded.answer, vector = excluded.vector,
                       fingerprint = excluded.fingerprint
            """),
            [
                {
                    "id": name,
                    "tenant": tenant,
                    "collection": collection,
                    "question": kept(question),
                    "answer": kept(answer),
                    "now": now(),
                    "vector": vector_bytes(vector),
                    "fingerprint": fingerprint,
                }
                for name, (question, answer), vector in zip(names, pairs, vectors, strict=True)
            ],
        )
    return names


def read_examples(catalog: Catalog, *, tenant: str, collection: str | None = None) -> list[Example]:
    """The examples of a collection (None: of all the tenant's), in the order they were added."""
    within = "" if collection is None else "AND collection = :collection"
    rows = catalog.rows(
        f"""
        SELECT id, collection, question, answer, added, vector, fingerprint FROM example
         WHERE tenant = :tenant {within}
         ORDER BY collection, added, id
        """,  # noqa: S608
        tenant=tenant,
        collection=collection,
    )
    return [_example(row) for row in rows]


def keep_example_vectors(
    catalog: Catalog, names: Sequence[str], vectors: NDArray[np.float32], *, fingerprint: str
) -> None:
    """Note the vectors that the embedder of this fingerprint has made: the i'th row for the i'th id."""
    if not names:
        return
    with catalog.writing() as connection:
        connection.execute(
            sql("UPDATE example SET vector = :vector, fingerprint = :fingerprint WHERE id = :id"),
            [
                {"id": name, "vector": vector_bytes(vector), "fingerprint": fingerprint}
                for name, vector in zip(names, vectors, strict=True)
            ],
        )


def delete_examples(catalog: Catalog, names: Sequence[str], *, tenant: str) -> None:
    """Delete examples by id: all or, if one of them is not the tenant's, none. Errors: NotFound."""
    with catalog.writing() as connection:
        for some in batches(sorted(set(names)), IN_LIST):
            done = connection.execute(
                sql("DELETE FROM example WHERE id IN :some AND tenant = :tenant", "some"),
                {"some": list(some), "tenant": tenant},
            )
            if done.rowcount < len(some):
                unknown = ", ".join(some)
                raise NotFound(f"Not all of these are examples: {unknown}", remedy="See: sourcebook examples list")


def delete_collection(catalog: Catalog, collection: str, *, tenant: str) -> int:
    """Delete a collection of examples; returns how many there were."""
    with catalog.writing() as connection:
        done = connection.execute(
            sql("DELETE FROM example WHERE tenant = :tenant AND collection = :collection"),
            {"tenant": tenant, "collection": collection},
        )
    return int(done.rowcount)


def example_id(tenant: str, collection: str, question: str) -> str:
    """The same question in the same collection has the same id, whatever its letters' case and its white space."""
    asked = " ".join(question.casefold().split())
    name = f"{tenant}\0{collection}\0{asked}".encode("utf-8", "surrogatepass")
    return blake2b(name, digest_size=8).hexdigest()


def _example(row: Row[Any]) -> Example:
    return Example(
        id=row.id,
        collection=row.collection,
        question=row.question,
        answer=row.answer,
        added=row.added,
        vector=vector_from(row.vector),
        fingerprint=row.fingerprint,
    )
