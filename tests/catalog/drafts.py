"""Documents on their way into a catalog, and what is found of them."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from sourcebook.catalog.catalog import Catalog
from sourcebook.catalog.embeddings import Embedding, text_key
from sourcebook.catalog.live import LivePassages
from sourcebook.catalog.records import Draft, Failure, Staged
from sourcebook.catalog.statements import sql
from sourcebook.types import Chunk, PassageId, Scope, Terms

NOBODY = Scope()
ALICE = Scope(principals=frozenset({"alice"}))
BOB = Scope(principals=frozenset({"bob"}))


def draft(name: str, *texts: str, content: str | None = None, **more: Any) -> Draft:
    """A document whose passages are these texts, one after the other."""
    whole, chunks = "", []
    for text in texts:
        chunks.append(Chunk(text=text, start=len(whole), end=len(whole) + len(text), heading_path=("H",), page=2))
        whole += text + "\n"
    settings: dict[str, Any] = {
        "uri": f"file:///{name}",
        "tenant": "default",
        "source_id": 1,
        "access": frozenset(),
        "fingerprint": f"f-{content or texts}",
        "content_hash": content or "hash of " + "|".join(texts),
        "recipe": "recipe",
        "text": whole,
        "chunks": tuple(chunks),
        "text_keys": tuple(text_key(text) for text in texts),
        "title": name.title(),
        "metadata": {"name": name},
    }
    return Draft(**settings | more)


def publish(catalog: Catalog, *drafts: Draft) -> list[Staged]:
    staged = catalog.stage(drafts)
    catalog.commit(staged)
    return staged


def failure(name: str, **more: Any) -> Failure:
    settings: dict[str, Any] = {
        "uri": f"file:///{name}",
        "tenant": "default",
        "source_id": 1,
        "access": frozenset(),
        "fingerprint": "f",
        "content_hash": None,
        "recipe": "recipe",
        "error": "It is broken",
        "transient": False,
    }
    return Failure(**settings | more)


def found(catalog: Catalog, ids: Sequence[PassageId], scope: Scope | None = None) -> list[str]:
    fresh = LivePassages(catalog)
    passages = fresh.passages(ids, scope or Scope())
    live, epoch = fresh.ids(ids, scope or Scope())
    assert (live, epoch) == (set(passages), catalog.epoch())
    return sorted(passage.text for passage in passages.values())


def rows(catalog: Catalog, table: str) -> int:
    with catalog.reading() as connection:
        return int(connection.execute(sql(f"SELECT COUNT(*) FROM {table}")).scalar_one())


def embedding(number: float) -> Embedding:
    return Embedding(
        vector=np.array([number, 1.0], np.float32),
        terms=Terms(indices=np.array([7, 2**32 - 1], np.uint32), weights=np.array([number, 0.5], np.float32)),
    )
