"""The one embedding model that all peers share, and the meter that takes its cost out of their times.

The same ONNX file, tokenizer, truncation and batching for everyone: texts are sorted by length and run in
batches that are padded to their longest text only, which is the fastest way to use it on a CPU.
"""

from __future__ import annotations

import time
import zlib
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

BATCH = 32
MAX_TOKENS = 256
DIMENSION = 384


class OnnxEmbedding:
    """all-MiniLM-L6-v2 on onnxruntime.

    seconds: spent in here until now. texts: how many went through the model.
    stand_in: passages get `random_projection` instead of the model, so that large stores fill in minutes.
    """

    def __init__(self, model: str, tokenizer: str, *, stand_in: bool = False) -> None:
        import onnxruntime
        from tokenizers import Tokenizer

        self.seconds = 0.0
        self.texts = 0
        self._stand_in = stand_in
        self._tokenizer = Tokenizer.from_file(tokenizer)
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])

    def passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Shape (n, 384); the i'th row is the normalised vector of the i'th text."""
        started = time.perf_counter()
        vectors = random_projection(texts) if self._stand_in else self._run(texts)
        self.seconds += time.perf_counter() - started
        self.texts += len(texts)
        return vectors

    def query(self, text: str) -> NDArray[np.float32]:
        """Shape (384,), always by the real model."""
        started = time.perf_counter()
        vector: NDArray[np.float32] = self._run([text])[0]
        self.seconds += time.perf_counter() - started
        self.texts += 1
        return vector

    def _run(self, texts: Sequence[str]) -> NDArray[np.float32]:
        vectors = np.empty((len(texts), DIMENSION), dtype=np.float32)
        for positions, feed in feeds(self._tokenizer, texts):
            vectors[positions] = self._session.run(["sentence_embedding"], feed)[0]
        return vectors


def feeds(
    tokenizer: Any, texts: Sequence[str], *, batch: int = BATCH
) -> Iterator[tuple[list[int], dict[str, NDArray[np.int64]]]]:
    """The model's inputs, batch by batch in order of length, with the texts' positions in `texts`."""
    encodings = tokenizer.encode_batch(list(texts))
    order = sorted(range(len(texts)), key=lambda position: len(encodings[position].ids))
    for start in range(0, len(order), batch):
        positions = order[start : start + batch]
        shape = len(positions), len(encodings[positions[-1]].ids)
        ids, mask = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
        for row, position in enumerate(positions):
            length = len(encodings[position].ids)
            ids[row, :length] = encodings[position].ids
            mask[row, :length] = 1
        yield positions, {"input_ids": ids, "attention_mask": mask}


def random_projection(texts: Sequence[str]) -> NDArray[np.float32]:
    """Shape (n, 384), normalised: each word adds one of 4,096 seeded random directions.

    Texts that share words are near each other, as with a real model (Johnson and Lindenstrauss, 1984).
    """
    directions = _directions()
    vectors = np.empty((len(texts), DIMENSION), dtype=np.float32)
    for row, text in enumerate(texts):
        words = [zlib.crc32(word.encode()) % len(directions) for word in set(text.lower().split())] or [0]
        vectors[row] = directions[words].sum(axis=0)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


@cache
def _directions() -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal((4096, DIMENSION), dtype=np.float32)
