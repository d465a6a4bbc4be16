"""What every embedder must do."""

from __future__ import annotations

import asyncio
from unittest import SkipTest

import numpy as np

from sourcebook.embed.base import Embedder

_TEXTS = (
    "The controller shall notify the supervisory authority within 72 hours.",
    "A cat sat on the mat.",
    "개인정보 처리자는 72시간 이내에 감독기관에 통지해야 한다.",
    "short",
    "A long text. " * 400,
    "line\nbreaks\tand   spaces",
    "emoji \N{SMILING FACE WITH OPEN MOUTH} and a lone surrogate \ud800",
    "",
)


class EmbedderSuite:
    """Subclass it and give `make`. understands: whether near meanings must be near (a model, not a hash)."""

    understands = True

    def make(self) -> Embedder:
        """The embedder."""
        raise NotImplementedError

    def test_vectors_have_the_promised_shape(self) -> None:
        embedder = self.make()
        vectors = asyncio.run(embedder.embed(_TEXTS))
        assert vectors.shape == (len(_TEXTS), embedder.dimension)
        assert vectors.dtype == np.float32
        assert np.isfinite(vectors).all()
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-4)

    def test_nothing_gives_no_rows(self) -> None:
        embedder = self.make()
        assert asyncio.run(embedder.embed([])).shape == (0, embedder.dimension)
        assert embedder.count_tokens([]) == []

    def test_order_and_company_change_nothing(self) -> None:
        embedder = self.make()
        together = asyncio.run(embedder.embed(_TEXTS))
        turned = asyncio.run(embedder.embed(_TEXTS[::-1]))[::-1]
        alone = np.concatenate([asyncio.run(embedder.embed([text])) for text in _TEXTS])
        assert np.allclose(together, turned, atol=1e-4)
        assert np.allclose(together, alone, atol=1e-4)

    def test_near_meanings_are_near(self) -> None:
        if not self.understands:
            raise SkipTest("it knows no meanings")
        vectors = asyncio.run(
            self.make().embed(
                ["When must a breach be reported?", "Deadline for notifying an incident", "Recipe for apple pie"]
            )
        )
        assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.1

    def test_questions_and_passages_share_one_space(self) -> None:
        embedder = self.make()
        question = asyncio.run(embedder.embed(["A cat on a mat"], kind="query"))[0]
        passages = asyncio.run(embedder.embed(_TEXTS[:3], kind="passage"))
        assert int(np.argmax(passages @ question)) == 1

    def test_tokens_are_counted(self) -> None:
        counts = self.make().count_tokens(["one", "one two three four five six seven eight", ""])
        assert counts[0] >= 1
        assert counts[1] > counts[0]
        assert counts[2] == 0

    def test_calls_at_once_do_not_mix(self) -> None:
        embedder = self.make()

        async def all_at_once() -> list[np.typing.NDArray[np.float32]]:
            return list(await asyncio.gather(*(embedder.embed([text]) for text in _TEXTS)))

        together = asyncio.run(embedder.embed(_TEXTS))
        assert np.allclose(np.concatenate(asyncio.run(all_at_once())), together, atol=1e-4)

    def test_the_fingerprint_is_stable(self) -> None:
        assert self.make().fingerprint == self.make().fingerprint != ""

    def test_it_can_be_closed_and_used_again(self) -> None:
        embedder = self.make()
        before = asyncio.run(embedder.embed(["again"]))
        asyncio.run(embedder.close())
        assert np.allclose(asyncio.run(embedder.embed(["again"])), before, atol=1e-5)
