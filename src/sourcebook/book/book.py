"""Sourcebook: the one object users hold. It owns the parts that the settings name, and hands them to the flows."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import asdict
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Self

from sourcebook import config as configuration
from sourcebook.book.home import find_home, make_home
from sourcebook.book.index import BookIndex
from sourcebook.book.models import BookModels
from sourcebook.book.places import canonical, source_at
from sourcebook.book.recipes import COMPOSITION, Recipes
from sourcebook.book.syncing import Progress, Syncing
from sourcebook.book.tending import Tending
from sourcebook.book.tools import BookTools
from sourcebook.book.underway import UnderWay
from sourcebook.catalog import answers, reads
from sourcebook.catalog.catalog import Catalog
from sourcebook.catalog.live import LivePassages
from sourcebook.catalog.records import SourceRecord
from sourcebook.catalog.statements import kept
from sourcebook.config import Config
from sourcebook.errors import NoBook, NotFound, SourcebookError
from sourcebook.filters import parse_filter
from sourcebook.registry import find
from sourcebook.types import Answer, Filter, Hit, LedgerEntry, Passage, PassageId, Question, Scope, SyncReport

if TYPE_CHECKING:
    from types import TracebackType

    from sourcebook.book.estimating import ModelEstimate
    from sourcebook.embed.base import Analyzer, Embedder
    from sourcebook.models.base import Model
    from sourcebook.parse.parsing import Parsers
    from sourcebook.prompt.cite import AnswerPart
    from sourcebook.prompt.support import SupportJudge


class Sourcebook:
    """A book: documents, an index over them, and a model that answers from them.

    Made by `open`; use it as an async context manager or call `close`. Any number of processes may search and
    ask; one at a time may add, sync and remove (BookBusy names it to the others).
    """

    def __init__(self, home: Path, config: Config, *, progress: Progress | None = None) -> None:
        configuration.check(config)
        self.home = home
        self.config = config
        self._catalog = Catalog(config.parts.catalog, home)
        self.live = LivePassages(self._catalog)
        self.seen_epoch = -1  # the newest epoch of the catalog that a search has seen
        self.under_way = UnderWay()
        self.syncing = Syncing(self, progress)
        self.index = BookIndex(self)
        self.models = BookModels(self)
        self.tools = BookTools(self)
        self.tending = Tending(self)

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
            make_home(place)
        return cls(place, config or configuration.load(place), progress=progress)

    async def close(self) -> None:
        """End what is being asked, write everything out, and let go of files, processes and locks.

        Questions and syncs under way end in a BookError; so does whatever is called afterwards. Every part is closed,
        whatever the others do; then the error of one is raised, if there was any.
        """
        async with AsyncExitStack() as parts:  # what is pushed last is closed first
            parts.callback(self.syncing.drop)
            parts.callback(self._catalog.close)
            if "embedder" in self.__dict__:
                parts.push_async_callback(self.embedder.close)
            if "parsers" in self.__dict__:
                parts.callback(self.parsers.close)
            parts.push_async_callback(self.index.close)
            parts.push_async_callback(self.models.close)
            parts.push_async_callback(self.tools.close)
            parts.push_async_callback(self.tending.finish, seconds=self.config.memory.seconds)
            parts.push_async_callback(self.under_way.end)

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
        names = frozenset(access)
        with self.under_way.inside():
            made = source_at(self.config, os.fspath(source), include, exclude)
            scan = made.scan()
            try:
                await anext(scan, None)
            finally:
                if isinstance(scan, AsyncGenerator):
                    await scan.aclose()
            async with self.syncing.writing():
                return await asyncio.to_thread(
                    lambda: self.catalog.add_source(
                        made.url, tenant=tenant, access=names, include=include, exclude=exclude
                    )
                )

    async def sync(self, *, retry: bool = False, allow_empty: bool = False, wait: float = 0.0) -> SyncReport:
        """Bring the book up to date with all its sources.

        retry: also try failed documents again whose content has not changed. allow_empty: a source that had documents
        and lists none any more has been emptied, and they go; without it, that is taken for a disk or a share that is
        not there. wait: seconds to wait for another process that is writing. Errors: BookBusy; SourceError if a source
        as a whole is out of reach, which names all that are, and whose `report` says what was done with the others.
        """
        with self.under_way.inside():
            return await self.syncing.sync(retry=retry, allow_empty=allow_empty, wait=wait)

    async def watch(self, *, allow_empty: bool = False, wait: float = 0.0) -> AsyncGenerator[SyncReport, None]:
        """Sync now, and again whenever something below the sources changes; runs until it is cancelled.

        A source that is out of reach is in the report's `unreachable`, and tried again. allow_empty, wait: as of
        `sync`.
        """
        watching = self.syncing.watch(allow_empty=allow_empty, wait=wait)
        async with aclosing(self.under_way.through(watching)) as reports:
            async for report in reports:
                yield report

    async def remove(self, name: str, *, tenant: str = "default") -> int:
        """Remove a source with its documents, or one document; nothing of them is found once this returns.

        name: path or URL as added, or a document's URI. A document whose source stays comes back with the next
        sync unless it is gone there. Returns how many documents were removed. Errors: NotFound, BookBusy.
        """
        with self.under_way.inside():
            return await self.syncing.remove(name, tenant=tenant)

    async def rebuild_index(self) -> None:
        """Make the index anew from the catalog, without parsing or embedding anything again. Errors: BookBusy."""
        with self.under_way.inside():
            await self.syncing.rebuild()

    # --- answers out ----------------------------------------------------------------------------------------

    async def search(
        self, question: str, *, top: int = 10, scope: Scope | None = None, where: str | Filter | None = None
    ) -> list[Hit]:
        """The passages that matter for a question, best first, at most `top`.

        where: a filter over metadata, as text or tree. Errors: FilterError.
        """
        from sourcebook.pipeline import retrieve

        with self.under_way.inside():
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

    async def estimate(
        self,
        question: str,
        *,
        scope: Scope | None = None,
        where: str | Filter | None = None,
        conversation: str | None = None,
    ) -> tuple[ModelEstimate, ...]:
        """What the answer will cost with each of the models that the settings name. No model is called.

        Errors: FilterError, NotFound, ConfigError, NotAuthorised.
        """
        from sourcebook.book.estimating import estimated

        asked = self._question(question, scope, where, conversation=conversation)
        with self.under_way.inside():
            return await estimated(self, asked)

    def _answering(self, question: Question) -> AsyncGenerator[AnswerPart, None]:
        from sourcebook.pipeline import answer

        return self.under_way.through(answer(self, question))

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
        url = canonical(self.config, os.fspath(source))
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
            return reads.whole_document(self.catalog, canonical(self.config, name), scope)
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
                    remedy="See what is in the book: sourcebook status, sourcebook answers list",
                ) from None

    def export(self) -> Iterator[dict[str, Any]]:
        """Live documents, then their passages, in a stable order: equal states give equal rows."""
        return reads.export(self.catalog)

    def answer_record(self, answer_id: str, *, scope: Scope | None = None) -> dict[str, Any]:
        """An answer with all that made it, for those who may see what its asker saw.

        answer_id: also its beginning, or "last". Errors: NotFound.
        """
        return answers.recorded_answer(self.catalog, answer_id, scope or Scope())

    def forget_old_answers(self) -> int:
        """Delete the records of answers that are older than `answer.keep_days`; every sync does. Returns how many."""
        return answers.delete_answers_older_than(self.catalog, self.config.answer.keep_days)

    # --- the parts, made when first needed --------------------------------------------------------------------

    @property
    def catalog(self) -> Catalog:
        """The truth about the book. Errors: BookError once the book is closed."""
        self.under_way.require_open()
        return self._catalog

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
    def recipes(self) -> Recipes:
        """What documents are made into passages with."""
        return Recipes(self.parsers.fingerprint, self.config.chunk, self.config.parse)

    @cached_property
    def embedding_fingerprint(self) -> str:
        """What embeddings are kept by: it changes whenever a vector or a term weight would."""
        parts = (self.embedder.fingerprint, self.analyzer.fingerprint, COMPOSITION)
        return blake2b("\0".join(parts).encode(), digest_size=8).hexdigest()
