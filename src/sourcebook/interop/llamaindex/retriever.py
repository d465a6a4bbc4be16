"""Our retrieval as a LlamaIndex retriever."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import NodeRelationship, NodeWithScore, QueryBundle, RelatedNodeInfo, TextNode

from sourcebook.interop.calling import blocking_book
from sourcebook.interop.passages import async_only, metadata_of

if TYPE_CHECKING:
    from sourcebook.book import Sourcebook
    from sourcebook.book.blocking import BlockingSourcebook
    from sourcebook.types import Filter, Hit, Scope

_NOT_FOR_PROMPTS = [
    "start", "end", "document_version", "passage", "ordinal", "score", "channels", "duplicates", "language",
]  # fmt: skip


class SourcebookRetriever(BaseRetriever):
    """The passages of a book that matter for a question, best first.

    book: a BlockingSourcebook (`open_book`), for blocking and async calls; or a Sourcebook, for async calls.
    similarity_top_k: nodes at most. scope, where: as in `Sourcebook.search`: who asks, and a filter over metadata.
    A node's metadata holds what the document has, and what `metadata_of` says of the hit; what is of use only to
    programs is kept out of prompts and embeddings.
    """

    def __init__(
        self,
        book: Sourcebook | BlockingSourcebook,
        *,
        similarity_top_k: int = 10,
        scope: Scope | None = None,
        where: str | Filter | None = None,
        **base: Any,
    ) -> None:
        super().__init__(**base)
        self._book: Any = book
        self._asked: dict[str, Any] = {"top": similarity_top_k, "scope": scope, "where": where}

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        book = blocking_book(self._book)
        if book is None:
            raise async_only("retrieve", "aretrieve")
        return [node_of(hit) for hit in book.search(query_bundle.query_str, **self._asked)]

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        if blocking_book(self._book) is not None:
            return await asyncio.to_thread(self._retrieve, query_bundle)
        return [node_of(hit) for hit in await self._book.search(query_bundle.query_str, **self._asked)]


def node_of(hit: Hit) -> NodeWithScore:
    """A hit as a node, whose id is the passage's."""
    passage = hit.passage
    node = TextNode(
        id_=str(passage.id),
        text=passage.text,
        metadata=metadata_of(hit),
        start_char_idx=passage.start,
        end_char_idx=passage.end,
        excluded_llm_metadata_keys=_NOT_FOR_PROMPTS,
        excluded_embed_metadata_keys=_NOT_FOR_PROMPTS,
        relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id=passage.document)},
    )
    return NodeWithScore(node=node, score=float(hit.score))
