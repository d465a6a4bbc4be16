"""document -> passages, along its structure and under a token budget."""

from sourcebook.chunk.structure import CountTokens, chunk

__all__ = ["CountTokens", "chunk"]
