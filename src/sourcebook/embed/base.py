"""text -> vectors (dense channel) and text -> terms (keyword channel)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sourcebook.types import Terms

EmbedKind = Literal["passage", "query"]


class Embedder(Protocol):
    """Turns texts into vectors.

    fingerprint: changes whenever the vectors would. dimension: d. max_tokens: longer texts are truncated.
    languages: ISO 639-1 codes the model was made for; fusion trusts it less elsewhere.
    """

    @property
    def fingerprint(self) -> str: ...
    @property
    def dimension(self) -> int: ...
    @property
    def max_tokens(self) -> int: ...
    @property
    def languages(self) -> frozenset[str]: ...

    async def embed(self, texts: Sequence[str], *, kind: EmbedKind = "passage") -> NDArray[np.float32]:
        """Shape (n, d); the i'th row is the L2-normalised vector of the i'th text. Errors: EmbedError."""
        ...

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text by the model's own tokenizer, special tokens not counted."""
        ...

    async def close(self) -> None:
        """Free what it holds; it may be used again, and loads anew."""
        ...


class Analyzer(Protocol):
    """Turns texts into terms for keyword search.

    fingerprint: changes whenever the terms would.
    """

    @property
    def fingerprint(self) -> str: ...

    def passage_terms(self, texts: Sequence[str]) -> list[Terms]:
        """The i'th entry holds the terms of the i'th text with their BM25 weights; IDF is left to the index."""
        ...

    def query_terms(self, text: str) -> Terms:
        """The terms of a question, weighted by how often each occurs in it."""
        ...

    def words(self, text: str) -> list[str]:
        """The normalised terms of a text in order, repeated as they occur; stop words are left out."""
        ...
