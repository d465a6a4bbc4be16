"""Our retrieval as a LangChain retriever."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import ConfigDict, InstanceOf

from sourcebook.interop.calling import blocking_book
from sourcebook.interop.passages import async_only, metadata_of
from sourcebook.types import Hit, Scope

if TYPE_CHECKING:
    from sourcebook.types import Filter

    Where = str | Filter | None
else:
    Where = Any


class SourcebookRetriever(BaseRetriever):
    """The passages of a book that matter for a question, as Documents, best first.

    book: a BlockingSourcebook (`open_book`), for blocking and async calls; or a Sourcebook, for async calls.
    k: Documents at most. scope, where: as in `Sourcebook.search`: who asks, and a filter over metadata. All three
    may be given with a call as well: `retriever.invoke(question, k=3, scope=Scope(tenant="acme"))`.
    A Document's metadata holds what the document has, and what `metadata_of` says of the hit.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    book: Any
    k: int = 10
    scope: InstanceOf[Scope] | None = None
    where: Where = None

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,  # noqa: ARG002
        k: int | None = None,
        scope: Scope | None = None,
        where: Where = None,
    ) -> list[Document]:
        book = blocking_book(self.book)
        if book is None:
            raise async_only("invoke", "ainvoke")
        hits = book.search(query, top=k or self.k, scope=scope or self.scope, where=where or self.where)
        return [document_of(hit) for hit in hits]

    async def _aget_relevant_documents(
        self,
        query: str,
        *,
        run_manager: AsyncCallbackManagerForRetrieverRun,  # noqa: ARG002
        k: int | None = None,
        scope: Scope | None = None,
        where: Where = None,
    ) -> list[Document]:
        top, scope, where = k or self.k, scope or self.scope, where or self.where
        if (book := blocking_book(self.book)) is not None:
            hits = await asyncio.to_thread(lambda: book.search(query, top=top, scope=scope, where=where))
        else:
            hits = await self.book.search(query, top=top, scope=scope, where=where)
        return [document_of(hit) for hit in hits]


def document_of(hit: Hit) -> Document:
    """A hit as a Document, whose id is the passage's."""
    return Document(id=hit.passage.id, page_content=hit.passage.text, metadata=metadata_of(hit))
