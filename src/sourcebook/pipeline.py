"""The two flows. Each line of `ingest` and of `answer` is one box of the diagram.

    ingest   source -> parse -> chunk -> embed -> index
    answer   recall -> retrieve -> compose -> route -> cite -> remember

`publish.py` holds the four steps by which a version becomes live, `answering.py` and
`remembering.py` the boxes of an answer, `book/book.py` the object that owns the parts.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from time import perf_counter
from typing import TYPE_CHECKING
from uuid import uuid4

from sourcebook.answering import Run, cited, composed, offered, recall, running, searched
from sourcebook.book.reading import reader
from sourcebook.book.recipes import embedded_text
from sourcebook.catalog.embeddings import text_key
from sourcebook.catalog.reads import count_live
from sourcebook.catalog.records import DocumentRecord, Draft, Failure, Reusable, SourceRecord
from sourcebook.chunk.structure import chunk
from sourcebook.errors import SourcebookError, SourceError
from sourcebook.language import detect
from sourcebook.publish import publish, ready, retire
from sourcebook.remembering import remember, remember_part
from sourcebook.retrieve.closeness import FIRST, rerank
from sourcebook.retrieve.fusion import FusionMethod, channel_weights, fuse
from sourcebook.retrieve.merge import fold, merge
from sourcebook.types import (
    Answer,
    Candidate,
    Hit,
    IndexQuery,
    Metadata,
    ParsedDocument,
    Question,
    SourceItem,
    SyncReport,
)

if TYPE_CHECKING:
    from sourcebook.book import Sourcebook as Book
    from sourcebook.prompt.cite import AnswerPart
    from sourcebook.sources.base import Source

_BATCH_PASSAGES = 256
_BATCH_DOCUMENTS = 64


async def ingest(
    book: Book, record: SourceRecord, source: Source, *, retry: bool = False, allow_empty: bool = False
) -> SyncReport:
    """Bring the book up to date with a source: what is new goes in, what is gone goes out at once.

    retry: also try documents again whose failure was final. allow_empty: a source that lists nothing any more has been
    emptied. Errors: SourceError if the source cannot be listed, or lists nothing without leave; then nothing has
    changed. A document that fails is a row of the ledger and stops nothing.
    """
    began = perf_counter()
    plan = await compare(book, record, source, retry=retry, allow_empty=allow_empty)
    await withdraw(book, plan.gone)
    await ready(book, work=bool(plan.work))
    async for batch in ahead(parsed(book, record, source, plan)):
        await publish(book, batch)
    await retire(book)
    return await report(book, plan, began)


async def answer(book: Book, question: Question) -> AsyncGenerator[AnswerPart, None]:
    """Answer a question: pieces of text and their citations as they come, and the finished answer last."""
    question = replace(question, id=question.id or uuid4().hex)
    model = book.model
    await book.models.ready()
    recalled = await recall(book, question)
    found = await searched(book, question, recalled)
    run = Run(tools=await offered(book, question))
    composition = await composed(book, model, question, found.hits, recalled, tools=run.tools)
    events = await running(book, composition, run)
    parts = cited(book, model, question, composition, events, run)
    whole: Answer | None = None
    try:
        async with aclosing(parts):
            async for part in parts:
                if isinstance(part, Answer):
                    usage = recalled.usage + found.usage + part.usage
                    part = whole = replace(part, id=question.id or part.id, usage=usage)
                    await remember(book, question, composition, run, whole, recalled, found)
                yield part
    except BaseException as error:
        if whole is None:
            await remember_part(book, question, composition, run, error, recalled, found)
        raise


# --- ingest, box by box -----------------------------------------------------------------------------------


@dataclass(slots=True)
class Plan:
    """What a sync has to do: items with what is known of them, and the documents that are gone."""

    work: list[tuple[SourceItem, DocumentRecord | None]] = field(default_factory=list)
    gone: list[DocumentRecord] = field(default_factory=list)
    unchanged: int = 0
    failed: int = 0
    added: int = 0
    changed: int = 0
    embedded_before: int = 0


async def compare(book: Book, record: SourceRecord, source: Source, *, retry: bool, allow_empty: bool) -> Plan:
    """source: list it, and set the listing against the catalog. Nothing is read of what is unchanged."""
    plan = Plan(embedded_before=book.syncing.embedded)
    items = [item async for item in source.scan()]
    known = {
        uri: one
        for uri, one in (await asyncio.to_thread(book.catalog.documents, record.tenant)).items()
        if one.source_id == record.id or one.source_id not in book.syncing.source_ids
    }
    foreign = book.syncing.foreign_uris(record)
    if not items and not allow_empty and (held_before := sum(one.live for one in known.values())):
        raise _emptied(record, held_before)
    held = tuple(f"{item.uri}/" for item in items if item.holds)
    narrowed: list[tuple[int, frozenset[str]]] = []
    for item in items:
        if item.uri in foreign:
            plan.unchanged += 1
            continue
        before = known.pop(item.uri, None)
        if before is not None and before.access != record.access:
            narrowed.append((before.id, record.access))
            before = replace(before, fingerprint="", recipe="")
        if before is None or _differs(book, item, before, retry=retry):
            plan.work.append((item, before))
        elif before.state == "failed":
            plan.failed += 1
        else:
            plan.unchanged += 1
    narrowed += [(one.id, record.access) for one in known.values() if one.access != record.access]
    plan.gone = [one for one in known.values() if not one.uri.startswith(held)] if held else list(known.values())
    if narrowed:
        await asyncio.to_thread(book.catalog.restrict, narrowed)
    book.syncing.listed(len(items), len(items) - len(plan.work))
    return plan


def _emptied(record: SourceRecord, before: int) -> SourceError:
    """A disk, share or cloud folder that is not there often shows as an empty folder."""
    return SourceError(
        f"{record.url} lists no document any more, and the book has {before} of it",
        remedy="Bring back what it held and sync again; or, if it was emptied on purpose, run: "
        "sourcebook sync --allow-empty",
    )


def _differs(book: Book, item: SourceItem, before: DocumentRecord, *, retry: bool) -> bool:
    if not item.fingerprint or item.fingerprint != before.fingerprint:
        return True
    if before.state == "failed":
        return before.transient or retry or before.recipe != book.recipes.attempt(item.name)
    return before.recipe != book.recipes.of(item.name)


async def withdraw(book: Book, gone: Sequence[DocumentRecord]) -> None:
    """Documents that their source no longer has: from here on nothing of them is found."""
    await asyncio.to_thread(book.catalog.withdraw, [one.id for one in gone])


async def parsed(book: Book, record: SourceRecord, source: Source, plan: Plan) -> AsyncIterator[list[Draft]]:
    """Parse and chunk: the work as drafts, in batches that fit the embedder; failures go to the ledger."""
    batch: list[Draft] = []
    refreshed: list[tuple[int, str]] = []
    failures: list[Failure] = []
    size = 0
    for start in range(0, len(plan.work), _BATCH_DOCUMENTS):
        some = plan.work[start : start + _BATCH_DOCUMENTS]
        outcomes = await asyncio.gather(*(_draft(book, record, source, item, before) for item, before in some))
        for (_, before), outcome in zip(some, outcomes, strict=True):
            match outcome:
                case Failure():
                    failures.append(outcome)
                    plan.failed += 1
                case str():
                    assert before is not None
                    refreshed.append((before.id, outcome))
                    plan.unchanged += 1
                case Draft():
                    plan.added += before is None or not before.live
                    plan.changed += before is not None and before.live
                    batch.append(outcome)
                    size += len(outcome.chunks)
            if size >= _BATCH_PASSAGES or len(batch) >= _BATCH_DOCUMENTS:
                yield batch
                batch, size = [], 0
        if failures:
            async with book.syncing.publishing:
                if wanted := [one for one in failures if book.syncing.wanted(one)]:
                    await asyncio.to_thread(book.catalog.fail, wanted)
            failures = []
        book.syncing.advance(len(some))
    if refreshed:
        await asyncio.to_thread(book.catalog.refresh, refreshed)
    if batch:
        yield batch


async def _draft(
    book: Book, record: SourceRecord, source: Source, item: SourceItem, before: DocumentRecord | None
) -> Draft | Failure | str:
    """One document as a draft, as a failure, or, if its bytes are as they were, its new fingerprint."""
    recipe = book.recipes.of(item.name)
    fingerprint, digest = item.fingerprint, None
    began = perf_counter()
    try:
        if item.problem is not None:
            raise SourcebookError(item.problem)
        async with book.syncing.reading_slots:
            data, fingerprint = await source.read(item)
            digest = blake2b(data, digest_size=32).hexdigest()
            if before is not None and before.live and (before.content_hash, before.recipe) == (digest, recipe):
                return fingerprint
            same = await _reusable(book, digest, recipe)
            if same is None:
                document = await book.parsers.parse(data, item.name)
                same = _cut(book, document)
    except SourcebookError as error:
        return Failure(
            uri=item.uri,
            tenant=record.tenant,
            source_id=record.id,
            access=record.access,
            fingerprint=fingerprint,
            content_hash=digest,
            recipe=book.recipes.attempt(item.name),
            error=str(error),
            transient=error.transient or isinstance(error, SourceError),  # it says nothing of the content
        )
    return Draft(
        uri=item.uri,
        tenant=record.tenant,
        source_id=record.id,
        access=record.access,
        fingerprint=fingerprint,
        content_hash=digest,
        recipe=recipe,
        text=same.text,
        chunks=same.chunks,
        text_keys=same.text_keys,
        title=same.title,
        language=same.language,
        metadata={**same.metadata, **_metadata(item)},
        tables=same.tables,
        seconds={"parse": perf_counter() - began},
    )


async def _reusable(book: Book, digest: str, recipe: str) -> Reusable | None:
    """The same bytes, parsed before: nothing of a moved or copied document is done twice."""
    if not book.syncing.has_documents:
        return None
    return book.catalog.reusable(digest, recipe)


def _cut(book: Book, document: ParsedDocument) -> Reusable:
    """chunk: passages, and the key of the text that is embedded for each."""
    settings = book.config.chunk
    language = document.language or detect(document.text)
    document = replace(document, language=language)
    chunks = tuple(
        chunk(document, budget=settings.tokens, overlap=settings.overlap, count_tokens=book.embedder.count_tokens)
    )
    return Reusable(
        text=document.text,
        language=language,
        title=document.title,
        metadata=document.metadata,
        chunks=chunks,
        text_keys=tuple(text_key(embedded_text(document.title, one.heading_path, one.text)) for one in chunks),
        tables=document.tables,
    )


def _metadata(item: SourceItem) -> Metadata:
    suffix = item.name.rpartition(".")[2].lower() if "." in item.name.lstrip(".") else ""
    return {**item.metadata, "name": item.name, "type": suffix}


async def ahead(batches: AsyncIterator[list[Draft]]) -> AsyncIterator[list[Draft]]:
    """The same batches, each prepared while the one before it is embedded."""

    async def following() -> list[Draft] | None:
        return await anext(batches, None)

    coming = asyncio.ensure_future(following())
    try:
        while (batch := await coming) is not None:
            coming = asyncio.ensure_future(following())
            yield batch
    finally:
        coming.cancel()
        await asyncio.gather(coming, return_exceptions=True)


async def report(book: Book, plan: Plan, began: float) -> SyncReport:
    """What the sync did, in numbers."""
    _, passages = await asyncio.to_thread(count_live, book.catalog)
    return SyncReport(
        added=plan.added,
        changed=plan.changed,
        deleted=len(plan.gone),
        unchanged=plan.unchanged,
        failed=plan.failed,
        passages=passages,
        embedded=book.syncing.embedded - plan.embedded_before,
        seconds=round(perf_counter() - began, 3),
    )


# --- answer, box by box -----------------------------------------------------------------------------------


async def retrieve(book: Book, question: Question, *, top: int) -> list[Hit]:
    """The passages that matter, best first: both channels searched, fused, joined with the catalog, merged."""
    settings = book.config.retrieve
    embedding = asyncio.ensure_future(book.embedder.embed([question.text], kind="query"))
    await asyncio.sleep(0)  # the model runs in threads of its own; words are analysed meanwhile
    words = book.analyzer.words(question.text)
    terms = book.analyzer.query_terms(question.text)
    query = IndexQuery(
        vector=(await embedding)[0],
        terms=terms,
        scope=question.scope,
        filter=question.filter,
        limit=max(settings.candidates, top),
    )
    weights = channel_weights(detect(question.text), book.embedder.languages, settings)
    method: FusionMethod = "rrf" if settings.fusion == "rrf" else "standardised"
    while True:
        ranked = fuse(await _live_candidates(book, query), method=method, weights=weights)
        ranked = ranked[: max(FIRST, 2 * top + 20)]  # some will be folded or merged
        passages = book.live.passages([name for name, _, _ in ranked], question.scope, epoch=book.seen_epoch)
        if len(passages) == len(ranked):
            break  # otherwise the catalog has changed since the candidates were found to be live
    if settings.closeness and method == "standardised":
        texts = {name: embedded_text(one.title, one.heading_path, one.text) for name, one in passages.items()}
        ranked = rerank(ranked, words, texts, weight=settings.closeness)
    hits = [Hit(passage=passages[name], score=score, channels=ranks) for name, score, ranks in ranked]
    if settings.fold:
        hits = fold(hits, top=top)
    if settings.merge:
        hits = merge(hits, top=top, read=reader(book.catalog, question.scope))
    return hits[:top]


async def _live_candidates(book: Book, query: IndexQuery) -> list[Candidate]:
    """Candidates that are live and allowed, all in one state of the catalog.

    The index may hold points that are not live (staged, or retired and not yet deleted): if they crowd live
    ones out, more is asked for; if the catalog changed between search and join, the search is made again.
    """
    wanted = query.limit
    while True:
        index = await book.index.searchable()
        before = book.seen_epoch
        candidates = await index.search(query)
        found, book.seen_epoch = book.live.ids([one.id for one in candidates], query.scope)
        live = [one for one in candidates if one.id in found]
        if len(live) == len(candidates):
            return live
        if before != book.seen_epoch:
            continue
        crowded = any(
            sum(channel in one.scores for one in candidates) >= query.limit
            and sum(channel in one.scores for one in live) < wanted
            for channel in ("dense", "keyword")
        )
        if not crowded:
            return live
        query = replace(query, limit=query.limit * 4)
