"""LangChain: `pip install "sourcebook[langchain]"`, which brings langchain-core.

SourcebookRetriever(book=book)                hits as Documents
SourcebookChatModel(model="openai:gpt-4o")    our models as a chat model: tools, schemas, streams, images
SourcebookAnswers(book)                       the whole book as a runnable: a question in, a cited answer out
LangChainModel(chat_model)                    their chat model as one of ours
model = "langchain:package.module:attribute"  the same, in sourcebook.toml
"""

from __future__ import annotations

from sourcebook.errors import MissingExtra

try:
    import langchain_core  # noqa: F401
except ImportError as error:
    raise MissingExtra.of("LangChain", "langchain") from error

from sourcebook.interop.langchain.answers import SourcebookAnswers
from sourcebook.interop.langchain.chat_model import SourcebookChatModel
from sourcebook.interop.langchain.model import LangChainModel, open_langchain
from sourcebook.interop.langchain.retriever import SourcebookRetriever

__all__ = ["LangChainModel", "SourcebookAnswers", "SourcebookChatModel", "SourcebookRetriever", "open_langchain"]
