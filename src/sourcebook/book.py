"""Sourcebook: the one object users hold. It owns the parts that the settings name, and hands them to the flows."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing, suppress
from dataclasses import asdict, replace
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Any, Self

from sourcebook import config as configuration
from sourcebook.book_index import UNSETTLED, BookIndex
from sourcebook.book_models import BookModels
from sourcebook.book_tools import BookTools
from sourcebook.catalog import answers, reads
from sourcebook.catalog.catalog import Catalog
from sourcebook.catalog.live import LivePassages
from sourcebook.catalog.records import SourceRecord
from sourcebook.catalog.statements import kept
from sourcebook.config import Config
from sourcebook.errors import BookBusy, ConfigError, NoBook, NotFound, SourcebookError, SourceError, VectorIndexError
from sourcebook.filters import parse_filter
from sourcebook.ownership import Ownership
from sourcebook.registry import find
from sourcebook.types import (
    Answer,
    Citation,
    Filter,
    Hit,
    LedgerEntry,
    Passage,
    PassageId,
    Question,
    Scope,
    SyncReport,
)

if TYPE_CHECKING:
    from types import TracebackType

    from sourcebook.embed.base import Analyzer, Embedder
    from sourcebook.models.base import Model
    from sourcebook.parse.parsing import Parsers
    from sourcebook.prompt.cite import AnswerPart
    from sourcebook.prompt.support import SupportJudge
    from sourcebook.sources.base import Source

HOME = ".sourcebook"
COMPOSITION = "title > headings, text: 1"
"""How the text that is embedded for a passage is made up; part of what embeddings are kept by."""

Progress = Callable[[int, int], None]
"""Called with (documents listed, documents done) while a sync runs."""


class Sourcebook:
    """A book: documents, an index over them, and a model that answers from them.

    Made by `open`; use it as an async context manager or call `close`. Any number of processes may search and
    ask; one at a time may add, sync and remove (BookBusy names it to the others).
    """

    def __init__(self, home: Path, config: Config, *, progress: Progress | None = None) -> None:
        self.home = home
        self.config = config
        self.catalog = Catalog(config.parts.catalog, home)
        self.live = LivePassages(self.catalog)
        self.embedded = 0
        self.reading_slots = asyncio.Semaphore(16)
        self.on_progress = progress
        self.has_documents = False
        self._ownership = Ownership(home / "writer.lock", "This book", shared=self.catalog.writer)
        self._syncing = asyncio.Lock()
        self.index = BookIndex(self)
        self.models = BookModels(self)
        self.tools = BookTools(self)
        self._tending: set[asyncio.Task[None]] = set()
        self.seen_epoch = -1  # the newest epoch of the catalog that a search has seen
        self._listed = self._done = 0
        self._uris: dict[str, int] = {}
        self.source_ids: frozenset[int] = frozenset()

    # --- life ---------------------------------------------------------------------------------------------

    @classmethod
    async def open(
        cls,
        home: str | os.PathLike[str] | None = None,
        *,
        create: bool = True,
        config: Config | None = None,
        progress: Progress | None = None,
    ) -> Sourcebook:
        """Open the book in the folder `home` (None: SOURCEBOOK_HOME, or the nearest .sourcebook folder).

        create: make one where there is none. config: instead of the folder's sourcebook.toml.
        Errors: NoBook, ConfigError, CatalogError.
        """
        place = find_home(home)
        if not (place / configuration.FILE).exists():
            if not create:
                raise NoBook(f"There is no book in {place}", remedy="Make one: sourcebook init, or name it with --home")
            try:
                place.mkdir(parents=True, exist_ok=True)
                (place / configuration.FILE).write_text(configuration.template(), encoding="utf-8")
            except OSError as error:
                raise NoBook(
                    f"No book can be made in {place}: {error.strerror}", remedy="Name another place"
                ) from error
        return cls(place, config or configuration.load(place), progress=progress)

    async def close(self) -> None:
        """Write everything out and let go of files, processes and locks."""
        await self._finish_tending()
        await self.tools.close()
        await self.models.close()
        await self.index.close()
        if "parsers" in self.__dict__:
            self.parsers.close()
        if "embedder" in self.__dict__:
            await self.embedder.close()
        self.catalog.close()
        self._ownership.release()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # --- documents in ---------------------------------------------------------------------------------------

    async def add(
        self,
        source: str | os.PathLike[str],
        *,
        tenant: str = "default",
        access: Iterable[str] = (),
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
    ) -> SourceRecord:
        """Follow a source (a file or folder, or a URL); `sync` then takes its documents in.

        access: names that may see its documents; none: everybody in the tenant. include, exclude: patterns in
        .gitignore's language. Adding a known source again changes its settings.
        Errors: ConfigError, SourceError, BookBusy.
        """
        made = self._source(os.fspath(source), include, exclude)
        async for _ in made.scan():
            break
        with self._writing():
            return await asyncio.to_thread(
                lambda: self.catalog.add_source(
                    made.url, tenant=tenant, access=frozenset(access), include=include, exclude=exclude
                )
            )

    async def sync(self, *, retry: bool = False, wait: float = 0.0) -> SyncReport:
        """Bring the book up to date with all its sources.

        retry: also try failed documents again whose content has not changed. wait: seconds to wait for another
        process that is writing. Errors: BookBusy, SourceError if a source as a whole is out of reach.
        """
        from sourcebook.pipeline import ingest

        async with self._syncing:
            with self._writing(wait):
                began = perf_counter()
                total = SyncReport()
                sources = self.catalog.sources()
                self.source_ids = frozenset(one.id for one in sources)
                self._listed = self._done = 0
                unreachable: list[SourceError] = []
                for record in sources:
                    self._uris = {uri: one.source_id for uri, one in self.catalog.documents(record.tenant).items()}
                    self.has_documents = bool(self._uris)
                    source = self._source(record.url, record.include, record.exclude)
                    try:
                        total = _sum(total, await ingest(self, record, source, retry=retry))
                    except SourceError as error:  # the others are synced all the same
                        unreachable.append(error)
                if unreachable:
                    raise unreachable[0]
                return replace(total, seconds=round(perf_counter() - began, 3))

    async def watch(self, *, wait: float = 0.0) -> AsyncIterator[SyncReport]:
        """Sync now, and again whenever something below the sources changes; runs until it is cancelled."""
        changed = asyncio.Event()

        async def follow(source: Source) -> None:
            async for _ in source.changes():
                changed.set()

        with self._writing(wait):
            followers = [
                asyncio.create_task(follow(self._source(one.url, one.include, one.exclude)))
                for one in self.catalog.sources()
            ]
            await asyncio.sleep(0)  # they watch from here on, so that nothing falls between the first sync and them
            try:
                while True:
                    yield await self.sync()
                    await changed.wait()
                    changed.clear()
            finally:
                for one in followers:
                    one.cancel()
                await asyncio.gather(*followers, return_exceptions=True)

    async def remove(self, name: str, *, tenant: str = "default") -> int:
        """Remove a source with its documents, or one document; nothing of them is found once this returns.

        name: path or URL as added, or a document's URI. A document whose source stays comes back with the next
        sync unless it is gone there. Returns how many documents were removed. Errors: NotFound, BookBusy.
        """
        from sourcebook.publish import retire

        with self._writing():
            url = self._url(name)
            source = next((one for one in self.catalog.sources() if one.url == url and one.tenant == tenant), None)
            if source is not None:
                removed = await asyncio.to_thread(self.catalog.remove_source, source.id)
            else:
                found = self.catalog.documents(tenant).get(url) or self.catalog.documents(tenant).get(name)
                if found is None:
                    raise NotFound(f"{name!r} is neither a source nor a document", remedy="See: sourcebook status")
                await asyncio.to_thread(self.catalog.withdraw, [found.id])
                removed = 1
            # Its points are dropped from answers already; if the index is out of reach, the next sync deletes them.
            with suppress(BookBusy, VectorIndexError):
                await retire(self)
            return removed

    # --- answers out ----------------------------------------------------------------------------------------

    async def search(
        self, question: str, *, top: int = 10, scope: Scope | None = None, where: str | Filter | None = None
    ) -> list[Hit]:
        """The passages that matter for a question, best first, at most `top`.

        where: a filter over metadata, as text or tree. Errors: FilterError.
        """
        from sourcebook.pipeline import retrieve

        return await retrieve(self, self._question(question, scope, where, top=top), top=top)

    async def ask(
        self,
        question: str,
        *,
        scope: Scope | None = None,
        where: str | Filter | None = None,
        conversation: str | None = None,
        account: str = "default",
        seconds: float | None = None,
    ) -> Answer:
        """The answer to a question, with its citations; known=False if the documents do not support one.

        conversation: id of the conversation that it belongs to. account: whose budget pays for model calls.
        seconds: the time that it may take. Errors: FilterError, NotFound, ModelError.
        """
        asked = self._question(question, scope, where, conversation=conversation, account=account, seconds=seconds)
        async with aclosing(self._answering(asked)) as parts:
            async for part in parts:
                if isinstance(part, Answer):
                    return part
        raise SourcebookError("The model ended without an answer", remedy="Run: sourcebook doctor")

    async def stream(
        self,
        question: str,
        *,
        scope: Scope | None = None,
        where: str | Filter | None = None,
        conversation: str | None = None,
        account: str = "default",
        seconds: float | None = None,
    ) -> AsyncGenerator[AnswerPart, None]:
        """The answer as it comes: pieces of text, the citations of each sentence, and the finished Answer last.

        What else may come is said at `AnswerPart`. Closing the generator stops the model. Errors: as of `ask`.
        """
        asked = self._question(question, scope, where, conversation=conversation, account=account, seconds=seconds)
        async with aclosing(self._answering(asked)) as parts:
            async for part in parts:
                yield part

    def _answering(self, question: Question) -> AsyncGenerator[AnswerPart, None]:
        from sourcebook.pipeline import answer

        return answer(self, question)

    def _question(
        self,
        text: str,
        scope: Scope | None,
        where: str | Filter | None,
        *,
        top: int | None = None,
        conversation: str | None = None,
        account: str = "default",
        seconds: float | None = None,
    ) -> Question:
        if not text.strip():
            raise SourcebookError("The question is empty", remedy="Write what you want to know")
        return Question(
            text=kept(text),  # a lone surrogate can be neither stored nor embedded
            scope=scope or Scope(),
            filter=parse_filter(where) if isinstance(where, str) else where,
            top=self.config.answer.passages if top is None else top,
            conversation=conversation,
            account=account,
            deadline=None if seconds is None else monotonic() + seconds,
        )

    def converse(self, *, scope: Scope | None = None, owner: Iterable[str] | None = None) -> str:
        """Begin a conversation; its id is for `ask` and `stream`, in this process or any other.

        owner: those of the scope's names whose it is, and whose facts are recalled in it: the user's own name, where
        the scope holds changing groups besides. None: all of them.
        """
        from sourcebook.catalog.conversations import start_conversation

        names = None if owner is None else frozenset(owner)
        return start_conversation(self.catalog, scope or Scope(), owner=names)

    # --- looking inside ---------------------------------------------------------------------------------------

    def follows(self, source: str | os.PathLike[str], *, tenant: str = "default") -> bool:
        """Whether a source is followed already, under whatever settings."""
        url = self._url(os.fspath(source))
        return any((one.url, one.tenant) == (url, tenant) for one in self.sources())

    def ledger(self) -> list[LedgerEntry]:
        """Every document that is known: what is in, what failed and why."""
        return reads.ledger(self.catalog)

    def sources(self) -> list[SourceRecord]:
        """The sources that are followed."""
        return self.catalog.sources()

    def show(self, name: str, *, scope: Scope | None = None) -> tuple[str, list[Passage]]:
        """A live document as the book sees it: its whole text, and its passages. Errors: NotFound."""
        scope = scope or Scope()
        try:
            return reads.whole_document(self.catalog, self._url(name), scope)
        except NotFound:
            return reads.whole_document(self.catalog, name, scope)

    def find(self, name: str, *, scope: Scope | None = None) -> tuple[str, list[Passage]] | dict[str, Any]:
        """What a name names: a document's text and passages, one passage, or an answer's record. Errors: NotFound."""
        scope = scope or Scope()
        passages = self.live.passages([PassageId(name)], scope)
        if passages:
            (passage,) = passages.values()
            return passage.text, [passage]
        try:
            return self.show(name, scope=scope)
        except NotFound:
            try:
                return self.answer_record(name, scope=scope)
            except NotFound:
                raise NotFound(
                    f"{name!r} is neither a live document, nor a passage, nor an answer",
                    remedy="See what is in the book: sourcebook status",
                ) from None

    def export(self) -> Iterator[dict[str, Any]]:
        """Live documents, then their passages, in a stable order: equal states give equal rows."""
        return reads.export(self.catalog)

    def answer_record(self, answer_id: str, *, scope: Scope | None = None) -> dict[str, Any]:
        """An answer with all that made it, for those who may see what its asker saw. Errors: NotFound."""
        return answers.recorded_answer(self.catalog, answer_id, scope or Scope())

    # --- the parts, made when first needed --------------------------------------------------------------------

    @cached_property
    def embedder(self) -> Embedder:
        """Text -> vectors."""
        made: Embedder = find("embed", self.config.parts.embed)(
            self.config.parts.embed, threads=self.config.embed.threads or None
        )
        return made

    @cached_property
    def analyzer(self) -> Analyzer:
        """Text -> terms."""
        from sourcebook.embed.terms import KeywordAnalyzer

        return KeywordAnalyzer()

    @cached_property
    def parsers(self) -> Parsers:
        """Bytes -> text."""
        from sourcebook.parse.base import Limits
        from sourcebook.parse.parsing import Parsers

        return Parsers(Limits(**asdict(self.config.parse)))

    @cached_property
    def model(self) -> Model:
        """Evidence -> answer: the model, or the models, of the settings."""
        return self.models.chosen()

    @cached_property
    def support_judge(self) -> SupportJudge:
        """Whether a sentence is supported by what it cites."""
        from sourcebook.prompt.support import SupportJudge

        return SupportJudge(self.analyzer.words, threshold=self.config.prompt.support)

    @cached_property
    def embedding_fingerprint(self) -> str:
        """What embeddings are kept by: it changes whenever a vector or a term weight would."""
        parts = (self.embedder.fingerprint, self.analyzer.fingerprint, COMPOSITION)
        return blake2b("\0".join(parts).encode(), digest_size=8).hexdigest()

    @cached_property
    def _recipe(self) -> str:
        settings = self.config.chunk
        parts = (self.parsers.fingerprint, str(settings.tokens), str(settings.overlap), COMPOSITION)
        return blake2b("\0".join(parts).encode(), digest_size=8).hexdigest()

    def recipe(self, name: str) -> str:
        """What turns the bytes of a file of this name into passages: parser, chunker, their settings, its ending."""
        return f"{self._recipe}:{os.path.splitext(name)[1].lower()}"

    def attempt(self, name: str) -> str:
        """The recipe, and the limits under which it may fail: a failure is final until one of them changes."""
        limits = asdict(self.config.parse).values()
        return f"{self.recipe(name)}:{blake2b(repr(list(limits)).encode(), digest_size=4).hexdigest()}"

    def embedded_text(self, title: str | None, heading_path: Sequence[str], text: str) -> str:
        """What is embedded and indexed for a passage: its text, under the title and headings it stands under."""
        context = [part for part in (title, *heading_path) if part and part not in text]
        return "\n".join([" > ".join(context), text]) if context else text

    def _source(self, url: str, include: Sequence[str], exclude: Sequence[str]) -> Source:
        made: Source = find("source", url if _has_scheme(url) else "file:")(
            url,
            include=include,
            exclude=exclude,
            hidden=self.config.sources.hidden,
            max_bytes=self.config.parse.max_bytes,
        )
        return made

    def _url(self, name: str) -> str:
        """A source's or document's canonical name; a name of no known kind stays as it is, and names nothing."""
        try:
            return self._source(name, (), ()).url
        except ConfigError:
            return name

    async def rebuild_index(self) -> None:
        """Make the index anew from the catalog, without parsing or embedding anything again. Errors: BookBusy."""
        from sourcebook.publish import ready, retire

        async with self._syncing:
            with self._writing():
                await self.index.close()
                await asyncio.to_thread(self.catalog.set_index_identity, f"{UNSETTLED}:")
                await ready(self, work=True)
                await retire(self)

    # --- what the flows ask of it -------------------------------------------------------------------------------

    def foreign_uris(self, record: SourceRecord) -> frozenset[str]:
        """Documents of the same tenant that another source, still followed, has brought."""
        return frozenset(uri for uri, source in self._uris.items() if source != record.id and source in self.source_ids)

    def note_embedded(self, count: int) -> None:
        """Count texts that went through the embedding model."""
        self.embedded += count

    def progress(self, listed: int, done: int) -> None:
        """A source has been listed."""
        self._listed += listed
        self.advance(done)

    def advance(self, done: int) -> None:
        """So many more documents are done."""
        self._done += done
        if self.on_progress is not None:
            self.on_progress(self._listed, self._done)

    def verifier(self, scope: Scope) -> Callable[[Citation], Awaitable[bool]]:
        """Whether a citation's quote stands, now, in a live document that the scope admits."""

        async def verify(citation: Citation) -> bool:
            found = await asyncio.to_thread(
                reads.quote, self.catalog, citation.document, citation.version, citation.start, citation.end, scope
            )
            return found == citation.quote

        return verify

    def reader(self, scope: Scope) -> Callable[[Passage, int, int], str | None]:
        """How to read on in the live document that a passage is from."""

        def read(passage: Passage, start: int, end: int) -> str | None:
            return reads.quote(self.catalog, passage.document, passage.version, start, end, scope)

        return read

    def all_hits(self, scope: Scope) -> list[Hit]:
        """Every live passage that the scope admits, in the order of documents, all worth the same."""
        return [Hit(passage=one, score=0.0) for one in reads.all_passages(self.catalog, scope)]

    def tend_later(self, question: Question) -> None:
        """Carry a conversation's summary on and learn from it, while its user reads the answer."""
        task = asyncio.create_task(self._tend(question))
        self._tending.add(task)
        task.add_done_callback(self._tending.discard)

    async def _tend(self, question: Question) -> None:
        from sourcebook.prompt.memory import tend

        assert question.conversation is not None
        with suppress(SourcebookError):  # what is not done now is done after the next turn
            await tend(
                self.catalog,
                question.conversation,
                question.scope,
                model=self.model,
                embedder=self.embedder,
                words=self.analyzer.words,
                settings=self.config.memory,
                account=question.account,
                home=self.home,
            )

    async def _finish_tending(self) -> None:
        """Let it end if it is soon done; it can be stopped at any moment."""
        if self._tending:
            _, late = await asyncio.wait(self._tending, timeout=self.config.memory.seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _writing(self, wait: float = 0.0) -> _Writing:
        return _Writing(self._ownership, wait)


class _Writing:
    """The right to write, for the time of a `with` block; blocks may be nested."""

    def __init__(self, ownership: Ownership, wait: float) -> None:
        self._ownership = ownership
        self._wait = wait
        self._outermost = False

    def __enter__(self) -> None:
        self._outermost = not self._ownership.held
        self._ownership.take(wait=self._wait)

    def __exit__(self, *_: object) -> None:
        if self._outermost:
            self._ownership.release()


def find_home(home: str | os.PathLike[str] | None = None) -> Path:
    """The folder of the book: as given, SOURCEBOOK_HOME, the nearest .sourcebook upwards, or ./.sourcebook."""
    if home is not None:
        return Path(home).expanduser().absolute()
    if os.environ.get("SOURCEBOOK_HOME"):
        return Path(os.environ["SOURCEBOOK_HOME"]).expanduser().absolute()
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / HOME / configuration.FILE).exists():
            return folder / HOME
    return here / HOME


def _has_scheme(url: str) -> bool:
    scheme, colon, _ = url.partition(":")
    return bool(colon) and len(scheme) > 1 and scheme.isalnum() and not os.path.exists(url)


def _sum(one: SyncReport, other: SyncReport) -> SyncReport:
    return SyncReport(
        added=one.added + other.added,
        changed=one.changed + other.changed,
        deleted=one.deleted + other.deleted,
        unchanged=one.unchanged + other.unchanged,
        failed=one.failed + other.failed,
        passages=other.passages,
        embedded=one.embedded + other.embedded,
    )
