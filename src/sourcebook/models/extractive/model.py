"""Answers made of the documents' own sentences: no word is generated, and each sentence is cited."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Protocol, runtime_checkable

from sourcebook.language import detect
from sourcebook.models.base import Capabilities, CitedPart, Finish, ModelEvent, ModelRequest, TextPart
from sourcebook.models.extractive.evidence import WordAnalyzer, defines, take_question
from sourcebook.models.extractive.reading import Sheet, read
from sourcebook.types import Usage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sourcebook.models.extractive.evidence import Asked
    from sourcebook.models.extractive.features import Vectors


class TextEmbedder(Protocol):
    """What is needed of the embedder."""

    @property
    def fingerprint(self) -> str:
        """Changes whenever the vectors would."""
        ...

    @property
    def max_tokens(self) -> int:
        """Longer texts are truncated."""
        ...

    @property
    def languages(self) -> frozenset[str]:
        """ISO 639-1 codes of those it knows; none if it knows all."""
        ...

    async def embed(
        self, texts: Sequence[str], *, kind: Literal["passage", "query"] = "passage"
    ) -> NDArray[np.float32]:
        """Shape (n, d); the i'th row is the L2-normalised vector of the i'th text."""
        ...

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, special tokens not counted."""
        ...


@runtime_checkable
class TokenEmbedder(Protocol):
    """What an embedder may do besides: vectors of the tokens, each in the context of its text."""

    async def embed_tokens(self, texts: Sequence[str]) -> list[tuple[NDArray[np.float32], NDArray[np.int64]]]:
        """For each text the vectors (tokens, d), and the characters (tokens, 2) that the tokens stand for."""
        ...


class Extractive:
    """The `Model` that quotes: the best sentences, best first, exactly as they stand in the passages.

    How well a sentence answers is learned (`judge`): from words and vectors where the embedder knows the
    question's language, else from words alone. If it is not likely enough that any sentence answers, the
    answer has no text and its reason is "unknown".
    """

    window: Final = 8192
    capabilities: Final = Capabilities(cites=True, local=True)

    def __init__(self, embedder: TextEmbedder, analyzer: WordAnalyzer) -> None:
        self._embedder = embedder
        self._analyzer = analyzer

    @property
    def name(self) -> str:
        """Changes with the embedder, the analyzer, and what was learned."""
        return f"extractive-{_VERSION}.{_learned()}:{self._embedder.fingerprint}:{self._analyzer.fingerprint}"

    def count_tokens(self, text: str) -> int:
        """Tokens of a text by the embedder's tokenizer."""
        return self._embedder.count_tokens([text])[0]

    async def close(self) -> None:
        """Nothing is held: the embedder belongs to the book."""

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Each chosen sentence and where it stands, then Finish. Errors: EmbedError."""
        asked = take_question(request.question, self._analyzer)
        sheets = read(
            request.evidence,
            asked,
            self._analyzer,
            self._embedder.count_tokens,
            most=_PASSAGES,
            longest=self._embedder.max_tokens - _SPECIAL_TOKENS,
            budget=_BUDGET,
        )
        places = await self._choose(request, asked, sheets) if sheets and asked.terms else []
        quotes = [request.evidence[one.number - 1].passage.text[one.start : one.end] for one in places]
        for number, (quote, place) in enumerate(zip(quotes, places, strict=True)):
            yield TextPart(text=f" {quote}" if number else quote)
            yield place
        usage = Usage(
            input_tokens=self.count_tokens(request.question) + sum(sheet.tokens for sheet in sheets),
            output_tokens=sum(self._embedder.count_tokens(quotes)),
            counted_by=self._embedder.fingerprint,
        )
        yield Finish(reason="stop" if places else "unknown", usage=usage)

    async def _choose(self, request: ModelRequest, asked: Asked, sheets: Sequence[Sheet]) -> list[CitedPart]:
        """The sentences of the answer, best first; none if nothing supports one."""
        import numpy as np

        from sourcebook.models.extractive.features import describe, kind_of
        from sourcebook.models.extractive.judge import learned_judge

        places = [(sheet.evidence.number, sentence) for sheet in sheets for sentence in sheet.evidence.sentences]
        vectors = await self._vectors(request, sheets)
        rows = describe(asked, [sheet.evidence for sheet in sheets], vectors)
        judge = learned_judge(kind_of(vectors))
        explains = np.array([defines(sentence, asked.subject) for _, sentence in places])
        worth = judge.worth(rows, explains)
        for i, (number, sentence) in enumerate(places[:-1]):
            if sentence.leads and places[i + 1][0] == number:
                worth[i + 1] = max(worth[i], worth[i + 1])
        if judge.trust(rows, worth, explains) < judge.threshold:
            return []
        order = sorted(range(len(places)), key=lambda i: -worth[i])
        order = [i for i in order if not places[i][1].leads] or order
        chosen: list[CitedPart] = []
        seen: set[str] = set()
        for i in order:
            number, sentence = places[i]
            if len(chosen) >= request.max_sentences or worth[i] < worth[order[0]] - _FAR_BEHIND:
                break
            said = " ".join(request.evidence[number - 1].passage.text[sentence.start : sentence.end].split())
            if said not in seen:  # passages may overlap
                seen.add(said)
                chosen.append(CitedPart(number=number, start=sentence.start, end=sentence.end))
        return chosen

    async def _vectors(self, request: ModelRequest, sheets: Sequence[Sheet]) -> Vectors | None:
        """Of question and sheets, as good as the embedder makes them; None where it cannot be trusted."""
        from sourcebook.models.extractive.features import SentenceVectors, TokenVectors, split, tokens_of

        language = detect(request.question) or request.evidence[0].passage.language
        if language is not None and self._embedder.languages and language not in self._embedder.languages:
            return None
        if isinstance(self._embedder, TokenEmbedder):
            found = await self._embedder.embed_tokens([request.question, *(sheet.text for sheet in sheets)])
            starts = [0, *(sheet.start for sheet in sheets)]
            question, *passages = (tokens_of(*one, start) for one, start in zip(found, starts, strict=True))
            return TokenVectors(question=question, passages=passages)
        [question] = await self._embedder.embed([request.question], kind="query")
        texts = [
            request.evidence[sheet.evidence.number - 1].passage.text[sentence.start : sentence.end]
            for sheet in sheets
            for sentence in sheet.evidence.sentences
        ]
        embedded = await self._embedder.embed(texts)
        lengths = [len(sheet.evidence.sentences) for sheet in sheets]
        return SentenceVectors(question=question, passages=split(embedded, lengths))


@cache
def _learned() -> str:
    data = Path(__file__).with_name("judge.json").read_bytes()
    return blake2b(data, digest_size=4).hexdigest()


_VERSION: Final = 1  # of the code, where it changes answers
_PASSAGES: Final = 5  # hits that are read
_BUDGET: Final = 800  # tokens that are read: embedding them takes most of the time
_SPECIAL_TOKENS: Final = 2
_FAR_BEHIND: Final = 4.0  # log odds; such a sentence is hardly ever the one with the answer
