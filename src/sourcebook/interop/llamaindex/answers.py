"""A whole book as a LlamaIndex query engine."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from llama_index.core.base.base_query_engine import BaseQueryEngine
from llama_index.core.base.response.schema import Response
from llama_index.core.callbacks import CallbackManager

from sourcebook.interop.calling import blocking_book
from sourcebook.interop.llamaindex.retriever import node_of
from sourcebook.interop.passages import async_only, source_of

if TYPE_CHECKING:
    from llama_index.core.prompts.mixin import PromptMixinType
    from llama_index.core.schema import QueryBundle

    from sourcebook.book import Sourcebook
    from sourcebook.book.blocking import BlockingSourcebook
    from sourcebook.types import Answer, Filter, Scope


class SourcebookQueryEngine(BaseQueryEngine):
    """Asks a book: retrieval, prompt, model and checked citations, recorded as the book's own answers are.

    book: a BlockingSourcebook, for blocking and async calls; or a Sourcebook, for async calls. Parameters as of
    `Sourcebook.ask`. A response's source_nodes are the passages that the answer cites, in that order; its metadata
    has answer_id, known (False: the documents do not answer it), model, unsupported (sentences that nothing cited
    supports), finish_reason, cost_micro_usd and citations, each with document, quote and where the quote stands.
    """

    def __init__(
        self,
        book: Sourcebook | BlockingSourcebook,
        *,
        scope: Scope | None = None,
        where: str | Filter | None = None,
        account: str = "default",
        seconds: float | None = None,
        callback_manager: CallbackManager | None = None,
    ) -> None:
        super().__init__(callback_manager or CallbackManager())
        self._book: Any = book
        self._asked: dict[str, Any] = {"scope": scope, "where": where, "account": account, "seconds": seconds}

    def _query(self, query_bundle: QueryBundle) -> Response:
        book = blocking_book(self._book)
        if book is None:
            raise async_only("query", "aquery")
        return _response(book.ask(query_bundle.query_str, **self._asked))

    async def _aquery(self, query_bundle: QueryBundle) -> Response:
        if blocking_book(self._book) is not None:
            return await asyncio.to_thread(self._query, query_bundle)
        return _response(await self._book.ask(query_bundle.query_str, **self._asked))

    def _get_prompt_modules(self) -> PromptMixinType:
        return {}


def _response(answer: Answer) -> Response:
    cited = list(dict.fromkeys(one.passage for one in answer.citations))
    hits = {hit.passage.id: hit for hit in answer.hits}
    citations = [
        {"document": one.document, "title": one.title, "quote": one.quote, **source_of(one)} for one in answer.citations
    ]
    return Response(
        response=answer.text,
        source_nodes=[node_of(hits[one]) for one in cited if one in hits],
        metadata={
            "answer_id": answer.id,
            "known": answer.known,
            "model": answer.model,
            "unsupported": [one.text for one in answer.unsupported],
            "finish_reason": answer.finish,
            "cost_micro_usd": answer.usage.cost,
            "citations": citations,
        },
    )
