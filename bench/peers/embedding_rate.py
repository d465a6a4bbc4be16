"""Texts per second: our embedder, texts in and vectors out, against bare loops over prepared batches.

Run as `embedding_rate.py TEXTS.json ROUNDS` with our own interpreter; prints one JSON line. They take turns, so
that a busy moment of the machine hits all. The bare loops are given their batches of token numbers, sorted by
length, and do nothing but run the model: "spread" with onnxruntime's defaults, batches of 32 and each run on
all cores; "side by side" with single-threaded runs of two texts, one on each core.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
import sourcebook_minilm
from embedding import MAX_TOKENS, feeds
from tokenizers import Tokenizer

from sourcebook.registry import find

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from sourcebook.embed.base import Embedder


def main(texts: list[str], rounds: int) -> None:
    """Measure all, `rounds` times; they must agree on every vector."""
    embedder: Embedder = find("embed", "minilm")("minilm", threads=None)
    with asyncio.Runner() as runner:
        contenders: dict[str, Callable[[], NDArray[np.float32]]] = {
            "spread": bare(texts, threads=0, batch=32, lanes=1),
            "side by side": bare(texts, threads=1, batch=2, lanes=len(os.sched_getaffinity(0))),
            "ours": lambda: runner.run(embedder.embed(texts)),
        }
        expected = {name: contend() for name, contend in contenders.items()}  # a first round that does not count
        for name, vectors in expected.items():
            assert np.allclose((vectors * expected["spread"]).sum(axis=1), 1, atol=1e-4), f"{name} does not agree"
        rates: dict[str, list[float]] = {name: [] for name in contenders}
        for _ in range(rounds):
            for name, contend in contenders.items():
                started = time.perf_counter()
                contend()
                rates[name].append(len(texts) / (time.perf_counter() - started))
    print(json.dumps(rates))


def bare(texts: list[str], *, threads: int, batch: int, lanes: int) -> Callable[[], NDArray[np.float32]]:
    """A loop over batches that were prepared beforehand. threads: of one run; lanes: runs at the same time."""
    tokenizer = Tokenizer.from_file(str(sourcebook_minilm.TOKENIZER_PATH))
    tokenizer.enable_truncation(MAX_TOKENS)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(
        str(sourcebook_minilm.MODEL_PATH), options, providers=["CPUExecutionProvider"]
    )
    batches = list(feeds(tokenizer, texts, batch=batch))
    vectors = np.empty((len(texts), sourcebook_minilm.DIMENSION), dtype=np.float32)
    pool = ThreadPoolExecutor(lanes)

    def run(prepared: tuple[list[int], dict[str, Any]]) -> None:
        vectors[prepared[0]] = session.run(["sentence_embedding"], prepared[1])[0]

    def loop() -> NDArray[np.float32]:
        for _ in pool.map(run, batches):
            pass
        return vectors

    return loop


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()), int(sys.argv[2]))
