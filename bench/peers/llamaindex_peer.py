"""LlamaIndex: IngestionPipeline with a document store, Chroma, BM25Retriever and QueryFusionRetriever.

As its documentation has it: the strategy UPSERTS_AND_DELETE skips known documents and deletes missing ones; the
pipeline (document store and cache) is persisted after every run, and the BM25 retriever, which cannot be
updated, is built from the document store and persisted as well. An abstract is one node of at most 1,024
tokens, the splitter's default.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import chromadb
from embedding import OnnxEmbedding
from llama_index.core import SimpleDirectoryReader, VectorStoreIndex
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.ingestion import DocstoreStrategy, IngestionPipeline
from llama_index.core.llms import MockLLM
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.retrievers import QueryFusionRetriever
from llama_index.core.retrievers.fusion_retriever import FUSION_MODES
from llama_index.core.storage.docstore import SimpleDocumentStore
from llama_index.retrievers.bm25 import BM25Retriever
from llama_index.vector_stores.chroma import ChromaVectorStore
from protocol import Found, serve
from pydantic import PrivateAttr

if TYPE_CHECKING:
    from pathlib import Path


class SharedModel(BaseEmbedding):
    """The common embedding model behind LlamaIndex's interface."""

    _model: OnnxEmbedding = PrivateAttr()

    def __init__(self, model: OnnxEmbedding) -> None:
        super().__init__(model_name="minilm", embed_batch_size=512)
        self._model = model

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return self._model.passages(texts).tolist()  # type: ignore[no-any-return]

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embeddings([text])[0]

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._model.query(query).tolist()  # type: ignore[no-any-return]

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_query_embedding(query)


class LlamaIndexPeer:
    """LlamaIndex with Chroma."""

    def __init__(self, meter: OnnxEmbedding) -> None:
        self.meter = meter
        self._model = SharedModel(meter)
        self._fused: tuple[int, QueryFusionRetriever] | None = None

    def open(self, home: Path) -> None:
        self._home = home
        client = chromadb.PersistentClient(
            path=str(home / "chroma"), settings=chromadb.Settings(anonymized_telemetry=False)
        )
        self._vectors = ChromaVectorStore(chroma_collection=client.get_or_create_collection("passages"))
        self._fused = None

    def sync(self, folder: Path) -> None:
        pipeline = IngestionPipeline(
            transformations=[SentenceSplitter(), self._model],
            docstore=SimpleDocumentStore(),
            docstore_strategy=DocstoreStrategy.UPSERTS_AND_DELETE,
            vector_store=self._vectors,
        )
        if (self._home / "pipeline").exists():
            pipeline.load(str(self._home / "pipeline"))
        pipeline.run(documents=SimpleDirectoryReader(str(folder), recursive=True, filename_as_id=True).load_data())
        pipeline.persist(str(self._home / "pipeline"))
        BM25Retriever.from_defaults(docstore=pipeline.docstore).persist(str(self._home / "bm25"))
        self._fused = None

    def search(self, query: str, top: int) -> list[Found]:
        if self._fused is None or self._fused[0] != top:
            self._fused = top, self._fusion(top)
        return [
            Found(document=hit.node.metadata["file_path"], text=hit.node.get_content())
            for hit in self._fused[1].retrieve(query)
        ]

    def _fusion(self, top: int) -> QueryFusionRetriever:
        keyword = BM25Retriever.from_persist_dir(str(self._home / "bm25"))
        keyword.similarity_top_k = min(top, len(keyword.corpus))
        dense = VectorStoreIndex.from_vector_store(self._vectors, embed_model=self._model)
        return QueryFusionRetriever(
            [dense.as_retriever(similarity_top_k=top), keyword],
            llm=MockLLM(),
            mode=FUSION_MODES.RECIPROCAL_RANK,
            similarity_top_k=top,
            num_queries=1,  # the question as it stands: no model is asked for variants of it
            use_async=False,
        )

    def close(self) -> None:
        self._fused = None


def make(command: dict[str, Any]) -> LlamaIndexPeer:
    """As `speed.py` starts it."""
    return LlamaIndexPeer(OnnxEmbedding(command["model"], command["tokenizer"], stand_in=command["stand_in"]))


if __name__ == "__main__":
    serve(make)
