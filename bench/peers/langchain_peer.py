"""LangChain: the indexing API with its SQL record manager, Chroma, BM25Retriever and EnsembleRetriever.

As its documentation has it: `index(..., cleanup="full")` skips what the record manager knows and deletes what the
loader no longer returns. Its BM25 retriever is kept in memory only, so it is built anew after every sync and
every opening. An abstract is one document: it is not split, which is the least work it can have.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from embedding import OnnxEmbedding
from langchain_chroma import Chroma
from langchain_classic.indexes import SQLRecordManager, index
from langchain_classic.retrievers import EnsembleRetriever
from langchain_community.document_loaders import DirectoryLoader, TextLoader
from langchain_community.retrievers import BM25Retriever
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from protocol import Found, serve

if TYPE_CHECKING:
    from pathlib import Path


class SharedModel(Embeddings):
    """The common embedding model behind LangChain's interface."""

    def __init__(self, model: OnnxEmbedding) -> None:
        self.model = model

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return self.model.passages(texts).tolist()  # type: ignore[no-any-return]

    def embed_query(self, text: str) -> list[float]:
        return self.model.query(text).tolist()  # type: ignore[no-any-return]


class LangChainPeer:
    """LangChain with Chroma."""

    def __init__(self, meter: OnnxEmbedding) -> None:
        self.meter = meter
        self._keyword: BM25Retriever | None = None

    def open(self, home: Path) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self._chroma = Chroma(
            collection_name="passages",
            embedding_function=SharedModel(self.meter),
            persist_directory=str(home / "chroma"),
        )
        self._records = SQLRecordManager("chroma/passages", db_url=f"sqlite:///{home / 'records.sqlite'}")
        self._records.create_schema()
        self._keyword = None

    def sync(self, folder: Path) -> None:
        documents = DirectoryLoader(
            str(folder), glob="**/*.txt", loader_cls=TextLoader, loader_kwargs={"encoding": "utf-8"}
        ).load()
        index(
            documents,
            self._records,
            self._chroma,
            cleanup="full",
            source_id_key="source",
            key_encoder="blake2b",
        )
        self._keyword = BM25Retriever.from_documents(documents)

    def search(self, query: str, top: int) -> list[Found]:
        if self._keyword is None:
            kept = self._chroma.get(include=["documents", "metadatas"])
            self._keyword = BM25Retriever.from_documents(
                [
                    Document(page_content=text, metadata=metadata)
                    for text, metadata in zip(kept["documents"], kept["metadatas"], strict=True)
                ]
            )
        self._keyword.k = top
        dense = self._chroma.as_retriever(search_kwargs={"k": top})
        both = EnsembleRetriever(retrievers=[self._keyword, dense], weights=[0.5, 0.5])
        return [Found(document=hit.metadata["source"], text=hit.page_content) for hit in both.invoke(query)[:top]]

    def close(self) -> None:
        self._keyword = None


def make(command: dict[str, Any]) -> LangChainPeer:
    """As `speed.py` starts it."""
    return LangChainPeer(OnnxEmbedding(command["model"], command["tokenizer"], stand_in=command["stand_in"]))


if __name__ == "__main__":
    os.environ["ANONYMIZED_TELEMETRY"] = "False"
    serve(make)
