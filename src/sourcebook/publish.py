"""How a document version becomes live: the same four steps for every index.

    1 stage    write version and passages to the catalog, not live
    2 upsert   write its points to the index (ids are content-addressed, so a retry writes the same points)
    3 commit   one catalog transaction makes the new version live and the old one not
    4 retire   delete the old version's points; whatever a crash left behind, the next sync removes

While an index is being written, the catalog notes it as unsettled; a run that finds that note knows that the
one before it was interrupted, and checks the index against the catalog before it goes on.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from sourcebook.book.index import UNSETTLED
from sourcebook.book.recipes import embedded_text
from sourcebook.catalog.embeddings import (
    Embedding,
    drop_other_embeddings,
    keep_embeddings,
    known_embeddings,
    live_points,
    unembedded,
)
from sourcebook.catalog.reads import count_live
from sourcebook.catalog.records import Draft, Staged
from sourcebook.errors import BookBusy, CatalogError
from sourcebook.types import Point

if TYPE_CHECKING:
    from sourcebook.book import Sourcebook as Book
    from sourcebook.index.base import Index

_SLICE = 1024  # texts embedded, kept and upserted at a time: what an interrupted run does not do again
_SPARE = 96_000_000  # bytes; the index writes its log and segments in files of up to 32 MB
_BYTES_PER_PASSAGE = 8_000  # vector and terms in catalog, log and index, and the passage's text


async def ready(book: Book, *, work: bool) -> None:
    """Before the first version: clean up after an interrupted run, and see that the index is the catalog's own."""
    known = book.catalog.index_identity() or ""
    interrupted = known.startswith(UNSETTLED)
    if not work and not interrupted and (not known or _index_part(known, book)):
        return
    await asyncio.to_thread(book.catalog.abandon_staged)
    index = await book.index.writable(expected=_index_part(known, book))
    identity = f"{index.identity}:{book.embedding_fingerprint}"
    await asyncio.to_thread(book.catalog.set_index_identity, UNSETTLED + identity)
    if known.removeprefix(UNSETTLED) != identity:
        await fill(book, index)
    elif interrupted:
        await _delete_retired(book, index)
        if await index.count(None) != (await asyncio.to_thread(count_live, book.catalog))[1]:
            await fill(book, index)


def _index_part(known: str, book: Book) -> str:
    """The identity of the index that may be carried on with; "" (none) if its vectors are of another embedder."""
    identity, _, fingerprint = known.removeprefix(UNSETTLED).rpartition(":")
    return identity if fingerprint == book.embedding_fingerprint else ""


async def restore(book: Book) -> None:
    """Make the index anew if it is gone: a sync that found nothing to do has not looked for it.

    Not where several machines share the catalog: the index that it was filled into may be another's. Nor while another
    process has the index open, or the disk is too full to open it.
    """
    known = book.catalog.index_identity() or ""
    identity = "" if known.startswith(UNSETTLED) else _index_part(known, book)
    if not identity or book.catalog.writer is not None or shutil.disk_usage(book.home).free < _SPARE:
        return
    with suppress(BookBusy):
        if await book.index.own() is not None:
            return
        if (await book.index.writable(expected=identity)).capabilities.lasting:
            await ready(book, work=True)
            await retire(book)
        else:
            await book.index.close()  # it is empty, and was never meant to be there: searches fill one of their own


async def publish(book: Book, drafts: Sequence[Draft]) -> None:
    """Steps 1 to 3 for a batch of documents, which become live together."""
    _require_space(book, drafts)
    async with book.syncing.publishing:  # what was removed since the source was listed is not taken in again
        drafts = [one for one in drafts if book.syncing.wanted(one)]
        staged = await asyncio.to_thread(book.catalog.stage, drafts) if drafts else []
    index = await book.index.writable()
    texts = {
        key: embedded_text(draft.title, chunk.heading_path, chunk.text)
        for draft in drafts
        for key, chunk in zip(draft.text_keys, draft.chunks, strict=True)
    }
    keys = list(texts)
    places = [place for one in staged for place in _places(one)]
    for start in range(0, len(keys), _SLICE):
        some = keys[start : start + _SLICE]
        embeddings = await embed(book, {key: texts[key] for key in some})
        wanted = [(point, key) for point, key in places if key in embeddings]
        await index.upsert([_point(one, ordinal, embeddings[key]) for (one, ordinal), key in wanted])
    async with book.syncing.publishing:
        staged = [one for one in staged if book.syncing.wanted(one.draft)]
        if staged:
            await asyncio.to_thread(book.catalog.commit, staged)


def _require_space(book: Book, drafts: Sequence[Draft]) -> None:
    """Stop before the disk is full: the embedded index maps its files, and cannot report a page it cannot write."""
    passages = sum(len(draft.chunks) for draft in drafts)
    needed = _SPARE + passages * _BYTES_PER_PASSAGE + 3 * sum(len(draft.text) for draft in drafts)
    free = shutil.disk_usage(book.home).free
    if free < needed:
        raise CatalogError(
            f"The disk that holds {book.home} is full: {free // 1_000_000} MB are free, "
            f"{needed // 1_000_000} MB are needed to go on",
            remedy="Free some space and sync again; all that was in the book is unharmed and answers",
        )


def _places(staged: Staged) -> list[tuple[tuple[Staged, int], str]]:
    return [((staged, ordinal), key) for ordinal, key in enumerate(staged.draft.text_keys)]


def _point(staged: Staged, ordinal: int, embedding: Embedding) -> Point:
    return Point(
        id=staged.passages[ordinal],
        vector=embedding.vector,
        terms=embedding.terms,
        tenant=staged.draft.tenant,
        access=staged.draft.access,
        metadata=staged.draft.metadata,
    )


async def embed(book: Book, texts: Mapping[str, str]) -> Mapping[str, Embedding]:
    """The embeddings of texts by key: kept ones from the catalog, the others made now and kept."""
    fingerprint = book.embedding_fingerprint
    known = await asyncio.to_thread(known_embeddings, book.catalog, fingerprint, list(texts))
    missing = [key for key in texts if key not in known]
    if missing:
        wanted = [texts[key] for key in missing]
        vectors, terms = await asyncio.gather(
            book.embedder.embed(wanted), asyncio.to_thread(book.analyzer.passage_terms, wanted)
        )
        made = {
            key: Embedding(vector=vector, terms=one) for key, vector, one in zip(missing, vectors, terms, strict=True)
        }
        await asyncio.to_thread(keep_embeddings, book.catalog, fingerprint, made)
        book.syncing.note_embedded(len(missing))
        known |= made
    return known


async def fill(book: Book, index: Index) -> None:
    """Bring every live passage into an index, from the catalog alone; only what it never embedded is embedded."""
    missing = unembedded(book.catalog, book.embedding_fingerprint, size=_SLICE)
    while rows := await asyncio.to_thread(next, missing, None):
        await embed(book, {row.key: embedded_text(row.title, row.heading_path, row.text) for row in rows})
    batches = live_points(book.catalog, book.embedding_fingerprint)
    while points := await asyncio.to_thread(next, batches, None):
        await index.upsert(points)


async def retire(book: Book) -> None:
    """Step 4, and the end of a sync: delete the points of what is no longer live, and settle the index."""
    known = book.catalog.index_identity() or ""
    if not known:
        return
    retired = await asyncio.to_thread(book.catalog.retired)
    if retired and not known.startswith(UNSETTLED):
        await ready(book, work=True)
    if retired or known.startswith(UNSETTLED):
        index = await book.index.writable()
        await _delete_retired(book, index)
        await index.settle()
        await asyncio.to_thread(book.catalog.set_index_identity, f"{index.identity}:{book.embedding_fingerprint}")
        await asyncio.to_thread(drop_other_embeddings, book.catalog, book.embedding_fingerprint)


async def _delete_retired(book: Book, index: Index) -> None:
    retired = await asyncio.to_thread(book.catalog.retired)
    for start in range(0, len(retired), 200):
        some = retired[start : start + 200]
        await index.delete([passage for one in some for passage in one.passages])
        await asyncio.to_thread(book.catalog.purge, some)
    await asyncio.to_thread(book.catalog.drop_pending)
