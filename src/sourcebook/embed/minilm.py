"""The default embedder: all-MiniLM-L6-v2 on onnxruntime, from the package `sourcebook-minilm`, on the CPU.

Passages go through it few at a time, those of like length together, one thread a run and as many runs at once
as there are cores. On a 2-core server with AVX-512 this takes a quarter less CPU than batches of 4,096 tokens
spread over the cores (activations stay in the cache, hardly any padding, no core waits for another), and 10 MB
instead of 150. Where somebody waits for one text, all cores work on it: 4.3 ms a question there, not 6.2.
"""

from __future__ import annotations

import asyncio
import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence, Sized
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sourcebook_minilm import DIMENSION, FINGERPRINT, LANGUAGES, MAX_TOKENS, MODEL_PATH, TOKENIZER_PATH

from sourcebook.embed.base import EmbedKind
from sourcebook.errors import EmbedError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from tokenizers import Encoding, Tokenizer

    Keep = Callable[[int, NDArray[np.float32]], None]

Result = TypeVar("Result")


class MiniLM:
    """An `Embedder` of 384 dimensions for English, and a `TokenEmbedder`. Nothing is loaded before it is needed.

    threads: cores to use; by default those that this process may use.
    """

    def __init__(self, *, threads: int | None = None) -> None:
        self._threads = threads or _available_cores()
        self._workers = self._new_workers()
        self._lock = threading.Lock()
        self._loaded_tokenizer: Tokenizer | None = None
        self._word_tokens: dict[str, int] = {}
        self._loaded_sessions: dict[int, Any] = {}  # by threads of one run

    @property
    def fingerprint(self) -> str:
        """Changes with the bytes of model and tokenizer, and with where texts are cut."""
        return f"{FINGERPRINT}:{MAX_TOKENS}"

    @property
    def dimension(self) -> int:
        """384."""
        return DIMENSION

    @property
    def max_tokens(self) -> int:
        """254: the model reads 256, and adds two of its own. Longer texts are truncated by `embed`."""
        return MAX_TOKENS - _SPECIAL

    @property
    def languages(self) -> frozenset[str]:
        """English."""
        return LANGUAGES

    async def embed(self, texts: Sequence[str], *, kind: EmbedKind = "passage") -> NDArray[np.float32]:
        """Shape (n, 384); the i'th row is the L2-normalised vector of the i'th text. Errors: EmbedError.

        The model makes no difference between kinds; a query is for the soonest answer, passages for the most an
        hour. Of a very long text only the first 20,000 characters are looked at.
        """
        import numpy as np

        vectors = np.empty((len(texts), DIMENSION), np.float32)
        keep: Keep = vectors.__setitem__
        if kind == "query":
            await self._in_worker(lambda: self._run_in_turn(self._first_tokens(texts), "sentence_embedding", keep))
        else:
            tokens = await self._in_worker(lambda: self._first_tokens(texts))
            await self._run_side_by_side(tokens, "sentence_embedding", keep)
        return vectors

    async def embed_tokens(self, texts: Sequence[str]) -> list[tuple[NDArray[np.float32], NDArray[np.int64]]]:
        """The i'th entry: vectors of the i'th text's tokens in their context, and the characters they stand for.

        Shapes (tokens, 384), rows L2-normalised, and (tokens, 2), half open; the model's own tokens are left
        out. A text longer than `max_tokens` is read in stretches of equal length, none of it is left out.
        Errors: EmbedError.
        """
        return await self._in_worker(lambda: self._embed_tokens(texts))

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text by the model's own tokenizer, special tokens not counted. Errors: EmbedError.

        Loads the tokenizer only. It does not join what spaces and line breaks part, so a text has the tokens of
        its words, and what a word has is remembered: a tenth of the time of tokenising the texts.
        """
        written = [text.split() for text in texts]
        known = self._word_tokens
        new = list({word for words in written for word in words if word not in known})
        counted = dict(zip(new, map(len, self._encode(new)), strict=True))
        counts = [sum(known[word] if word in known else counted[word] for word in words) for words in written]
        if len(known) + len(counted) > _WORDS_REMEMBERED:
            self._word_tokens = {}  # another thread may be reading the old one
        self._word_tokens.update((word, tokens) for word, tokens in counted.items() if len(word) <= _LONGEST_WORD)
        return counts

    async def close(self) -> None:
        """Free model, tokenizer and threads, when running calls are done; if used again, it loads anew."""
        workers, self._workers = self._workers, self._new_workers()
        await asyncio.to_thread(workers.shutdown)
        with self._lock:
            self._loaded_tokenizer = None
            self._loaded_sessions.clear()

    def _embed_tokens(self, texts: Sequence[str]) -> list[tuple[NDArray[np.float32], NDArray[np.int64]]]:
        import numpy as np

        tokens, offsets = self._all_tokens(texts)
        results = [np.empty((len(found), DIMENSION), np.float32) for found in tokens]
        stretches = [
            (vectors[start:end], found[start:end])
            for vectors, found in zip(results, tokens, strict=True)
            for start, end in _equal_parts(len(found), self.max_tokens)
        ]

        def keep(place: int, states: NDArray[np.float32]) -> None:
            vectors = stretches[place][0]
            states = states[1 : len(vectors) + 1]
            np.divide(states, np.linalg.norm(states, axis=1, keepdims=True), out=vectors)

        self._run_in_turn([found for _, found in stretches], "token_embeddings", keep)
        return list(zip(results, offsets, strict=True))

    def _run_in_turn(self, tokens: Sequence[NDArray[np.int32]], output: str, keep: Keep) -> None:
        """Call keep(i, what the model gives for tokens[i], of shape (384,) or (padded length, 384)) for every i.

        All cores work on each batch: this is for those who wait.
        """
        for batch in _batches(tokens):
            self._run_batch(tokens, batch, output, keep, threads=self._threads)

    async def _run_side_by_side(self, tokens: Sequence[NDArray[np.int32]], output: str, keep: Keep) -> None:
        """The same with one core for each batch: this is for many."""
        batches = _batches(tokens)

        async def lane() -> None:
            while batches:
                await self._in_worker(partial(self._run_batch, tokens, batches.pop(), output, keep, threads=1))

        # A lane queues its next batch when the last is done, so calls at the same time take turns.
        try:
            await asyncio.gather(*(lane() for _ in range(min(self._threads, len(batches)))))
        finally:
            batches.clear()  # where one lane failed, the others end

    def _run_batch(
        self, tokens: Sequence[NDArray[np.int32]], batch: list[int], output: str, keep: Keep, *, threads: int
    ) -> None:
        import numpy as np

        ids = np.zeros((len(batch), max(len(tokens[place]) for place in batch) + _SPECIAL), np.int64)
        mask = np.zeros_like(ids)
        ids[:, 0] = _CLS
        for row, place in enumerate(batch):
            end = len(tokens[place]) + 1
            ids[row, 1:end], ids[row, end], mask[row, : end + 1] = tokens[place], _SEP, 1
        session = self._session(threads)
        try:
            (found,) = session.run([output], {"input_ids": ids, "attention_mask": mask})
        except Exception as error:
            raise EmbedError(f"MiniLM failed on {len(batch)} texts: {error}") from error
        for place, result in zip(batch, found, strict=True):
            keep(place, result)

    def _first_tokens(self, texts: Sequence[str]) -> list[NDArray[np.int32]]:
        import numpy as np

        heads = [text[:_MAX_CHARACTERS] for text in texts]
        return [np.array(encoding.ids[: self.max_tokens], np.int32) for encoding in self._encode(heads)]

    def _all_tokens(self, texts: Sequence[str]) -> tuple[list[NDArray[np.int32]], list[NDArray[np.int64]]]:
        import numpy as np

        tokens, offsets = [], []
        for encoding in self._encode(texts, offsets=True):
            tokens.append(np.array(encoding.ids, np.int32))
            offsets.append(np.array(encoding.offsets, np.int64).reshape(-1, 2))
        return tokens, offsets

    def _encode(self, texts: Sequence[str], *, offsets: bool = False) -> Iterator[Encoding]:
        tokenizer = self._tokenizer()
        encode = tokenizer.encode_batch if offsets else tokenizer.encode_batch_fast
        for start in range(0, len(texts), _ENCODED_AT_ONCE):
            some = [_SURROGATE.sub("\ufffd", text) for text in texts[start : start + _ENCODED_AT_ONCE]]
            if len(some) == 1:  # no threads to wake for a single question
                yield tokenizer.encode(some[0], add_special_tokens=False)
            else:
                yield from encode(some, add_special_tokens=False)

    async def _in_worker(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._workers, work)

    def _new_workers(self) -> ThreadPoolExecutor:
        # One more than the lanes of a call, so that a question does not wait behind the passages of a sync.
        return ThreadPoolExecutor(self._threads + 1, thread_name_prefix="minilm")

    def _tokenizer(self) -> Tokenizer:
        with self._lock:
            if self._loaded_tokenizer is None:
                from tokenizers import Tokenizer

                try:
                    self._loaded_tokenizer = Tokenizer.from_file(str(TOKENIZER_PATH))
                except Exception as error:
                    raise EmbedError(f"MiniLM's tokenizer cannot be read: {error}", remedy=_REINSTALL) from error
            return self._loaded_tokenizer

    def _session(self, threads: int) -> Any:
        with self._lock:
            if threads not in self._loaded_sessions:
                import onnxruntime

                options = onnxruntime.SessionOptions()
                options.intra_op_num_threads = threads
                # Threads that wait for each other within a run spin, which saves a question a fifth of its time,
                # and sleep between runs.
                options.add_session_config_entry("session.intra_op.allow_spinning", "1" if threads > 1 else "0")
                options.add_session_config_entry("session.force_spinning_stop", "1")
                options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
                options.log_severity_level = 3
                try:
                    self._loaded_sessions[threads] = onnxruntime.InferenceSession(
                        str(MODEL_PATH), options, providers=["CPUExecutionProvider"]
                    )
                except Exception as error:
                    raise EmbedError(f"MiniLM cannot be loaded: {error}", remedy=_REINSTALL) from error
            return self._loaded_sessions[threads]


def open_minilm(_url: str, *, threads: int | None = None, **_: object) -> MiniLM:
    """For `embed = "minilm"`."""
    return MiniLM(threads=threads)


_CLS, _SEP, _SPECIAL = 101, 102, 2  # the model's own tokens: before a text, after it, and how many that is
_BATCH_TOKENS: Final = 256  # padded tokens of one run; 256 to 384 measured best for texts of 25, 80 and 145 tokens
_ENCODED_AT_ONCE: Final = 256  # texts; the tokenizer's results take 100 bytes a token while they live
_WORDS_REMEMBERED: Final = 200_000
_LONGEST_WORD: Final = 60  # characters
_MAX_CHARACTERS: Final = 20_000
_SURROGATE: Final = re.compile("[\ud800-\udfff]")  # valid in str, unknown to the tokenizer
_REINSTALL: Final = "Install it again: pip install --force-reinstall sourcebook-minilm"


def _batches(tokens: Sequence[Sized]) -> list[list[int]]:
    """Places of texts of like length, within the budget; to be taken from the end, where the longest are."""
    batches: list[list[int]] = []
    for place in sorted(range(len(tokens)), key=lambda place: len(tokens[place])):
        # The newcomer is the longest so far, and the others are padded to it.
        if batches and (len(batches[-1]) + 1) * (len(tokens[place]) + _SPECIAL) <= _BATCH_TOKENS:
            batches[-1].append(place)
        else:
            batches.append([place])
    return batches


def _equal_parts(length: int, most: int) -> Iterator[tuple[int, int]]:
    """As few [start, end) as cover the length with at most `most` each, of like size."""
    count = -(-length // most)
    for part in range(count):
        yield length * part // count, length * (part + 1) // count


def _available_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
