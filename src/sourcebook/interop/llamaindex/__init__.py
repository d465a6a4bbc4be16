"""LlamaIndex: `pip install "sourcebook[llamaindex]"`, which brings llama-index-core.

SourcebookRetriever(book)                        hits as NodeWithScore
SourcebookLLM(model="openai:gpt-4o")             our models as an LLM: chat, tools, schemas, streams, images
SourcebookQueryEngine(book)                      the whole book: a question in, a cited answer out
LlamaIndexModel(llm)                             their LLM as one of our models
model = "llamaindex:package.module:attribute"    the same, in sourcebook.toml
"""

from __future__ import annotations

from sourcebook.errors import MissingExtra

try:
    import llama_index.core  # noqa: F401
except ImportError as error:
    raise MissingExtra.of("LlamaIndex", "llamaindex") from error

from sourcebook.interop.llamaindex.answers import SourcebookQueryEngine
from sourcebook.interop.llamaindex.llm import SourcebookLLM
from sourcebook.interop.llamaindex.model import LlamaIndexModel, open_llamaindex
from sourcebook.interop.llamaindex.retriever import SourcebookRetriever

__all__ = ["LlamaIndexModel", "SourcebookLLM", "SourcebookQueryEngine", "SourcebookRetriever", "open_llamaindex"]
