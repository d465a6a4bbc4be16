"""Vectors without a model: words and their pieces hashed into a fixed number of dimensions.

Feature hashing (Weinberger et al. 2009, arXiv:0902.2206) of words and character trigrams with signs. It knows
spelling, not meaning: for tests, for benchmarks of everything around the model, and where no model may run.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING
from zlib import crc32

from sourcebook.embed.base import EmbedKind
from sourcebook.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_WORD = re.compile(r"\w+")


class Hashing:
    """An embedder of `dimension` dimensions that needs nothing and takes some microseconds a word."""

    max_tokens = 1_000_000
    languages: frozenset[str] = frozenset()

    def __init__(self, dimension: int = 384) -> None:
        self.dimension = dimension
        self.fingerprint = f"hashing-1-{dimension}"
        self._features: dict[str, list[tuple[int, float]]] = {}

    async def embed(self, texts: Sequence[str], *, kind: EmbedKind = "passage") -> NDArray[np.float32]:  # noqa: ARG002
        """Shape (n, d), rows of length one; a text without words is the zero vector with a one in front."""
        import numpy as np

        rows = np.zeros((len(texts), self.dimension), np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in _WORD.findall(text.casefold()):
                for place, sign in self._of(word):
                    row[place] += sign
            if not row.any():
                row[0] = 1.0
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        return rows

    def _of(self, word: str) -> list[tuple[int, float]]:
        known = self._features.get(word)
        if known is None:
            padded = f"<{word}>"
            pieces = [word, *(padded[at : at + 3] for at in range(len(padded) - 2))]
            hashes = [crc32(piece.encode("utf-8", "surrogatepass")) for piece in pieces]
            known = [(one % self.dimension, 1.0 if one >> 31 else -1.0) for one in hashes]
            if len(self._features) < 200_000:
                self._features[word] = known
        return known

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Words, counted as a subword tokenizer would find about: one for every five letters begun."""
        return [sum(1 + (len(word) - 1) // 5 for word in _WORD.findall(text)) for text in texts]

    async def close(self) -> None:
        """Nothing to free."""


def open_hashing(url: str, **_: object) -> Hashing:
    """For `embed = "hashing"` or "hashing:DIMENSION". Errors: ConfigError."""
    dimension = url.partition(":")[2] or "384"
    if not dimension.isdecimal() or not int(dimension):
        raise ConfigError(f"embed = {url!r}: {dimension!r} is no number of dimensions", remedy='Use "hashing:384"')
    return Hashing(int(dimension))
