"""SQuAD and KorQuAD as they are used here: paragraphs as the documents of a book, questions with their answers."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
from numpy.typing import NDArray

from sourcebook.chunk.structure import chunk
from sourcebook.config import Retrieve
from sourcebook.embed.minilm import MiniLM
from sourcebook.embed.terms import KeywordAnalyzer
from sourcebook.language import detect
from sourcebook.retrieve.fusion import channel_weights, fuse
from sourcebook.types import Block, Candidate, Hit, ParsedDocument, Passage, PassageId

TOKENS = 200  # of a passage; the default of the setting chunk.tokens


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """A question. paragraph: where its answer stands. held_out: nothing was tuned on its article."""

    text: str
    answers: tuple[str, ...]
    paragraph: int
    held_out: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadingSet:
    """paragraphs: (title of the article, text)."""

    paragraphs: list[tuple[str, str]]
    items: list[Item]


def squad(data: Path) -> ReadingSet:
    """SQuAD 1.1, development set."""
    folder = data / "retrieval" / "squad_v1_dev"
    corpus = [json.loads(line) for line in (folder / "corpus.jsonl").read_text("utf-8").splitlines()]
    place = {paragraph["_id"]: number for number, paragraph in enumerate(corpus)}
    [relevance] = (folder / "qrels").iterdir()
    gold = dict(line.split("\t")[:2] for line in relevance.read_text("utf-8").splitlines()[1:])
    paragraphs = [(paragraph["title"], paragraph["text"]) for paragraph in corpus]
    tuned = tuned_articles(title for title, _ in paragraphs)
    items = []
    for line in (folder / "queries.jsonl").read_text("utf-8").splitlines():
        query = json.loads(line)
        paragraph = place[gold[query["_id"]]]
        items.append(
            Item(
                text=query["text"],
                answers=tuple(query["metadata"]["answers"]),
                paragraph=paragraph,
                held_out=paragraphs[paragraph][0] not in tuned,
            )
        )
    return ReadingSet(paragraphs=paragraphs, items=items)


def korquad(data: Path) -> ReadingSet:
    """KorQuAD 1.0, development set; nothing was tuned on it."""
    file = data / "retrieval" / "korquad_v1_dev" / "KorQuAD_v1.0_dev.json"
    paragraphs: list[tuple[str, str]] = []
    items = []
    for article in json.loads(file.read_text("utf-8"))["data"]:
        for paragraph in article["paragraphs"]:
            for question in paragraph["qas"]:
                answers = tuple(answer["text"] for answer in question["answers"])
                items.append(Item(text=question["question"], answers=answers, paragraph=len(paragraphs), held_out=True))
            paragraphs.append((article["title"], paragraph["context"]))
    return ReadingSet(paragraphs=paragraphs, items=items)


def tuned_articles(titles: Iterable[str]) -> frozenset[str]:
    """The half of the articles that may be tuned on. By article, for questions of one article resemble each other."""
    known = sorted(set(titles))
    Random(7).shuffle(known)
    return frozenset(known[: len(known) // 2])


class Book:
    """Paragraphs cut, embedded and searched as the pipeline does it with default settings."""

    def __init__(self, paragraphs: Sequence[tuple[str, str]], embedder: Remembering) -> None:
        self.embedder = embedder
        self.analyzer = KeywordAnalyzer()
        self.passages: list[Passage] = []
        self.paragraph_of: list[int] = []
        self._titles = [title for title, _ in paragraphs]
        for number, (_, text) in enumerate(paragraphs):
            parsed = ParsedDocument(text=text, blocks=(Block(kind="paragraph", start=0, end=len(text)),))
            for one in chunk(parsed, budget=TOKENS, overlap=0, count_tokens=embedder.count_tokens):
                self.passages.append(
                    Passage(
                        id=PassageId(f"{len(self.passages):032x}"),
                        document=f"paragraph {number}",
                        version=1,
                        ordinal=len(self.passages),
                        text=one.text,
                        start=one.start,
                        end=one.end,
                        language=one.language,
                    )
                )
                self.paragraph_of.append(number)

    async def index(self, *, dense: bool = True) -> None:
        """Embed everything, unless the embedder remembers it; or nothing, where its vectors are not trusted."""
        texts = [passage.text for passage in self.passages]
        self._vectors = await self.embedder.embed(texts) if dense else None
        self._postings: dict[int, tuple[NDArray[np.int64], NDArray[np.float32]]] = {}
        terms = self.analyzer.passage_terms(texts)
        rows = np.concatenate([np.full(len(one.indices), row) for row, one in enumerate(terms)])
        numbers = np.concatenate([one.indices for one in terms])
        weights = np.concatenate([one.weights for one in terms])
        order = np.argsort(numbers, kind="stable")
        distinct, first = np.unique(numbers[order], return_index=True)
        for term, some in zip(distinct, np.split(order, first[1:]), strict=True):
            self._postings[int(term)] = rows[some], weights[some]

    def title_of(self, passage: Passage) -> str:
        """The title of the passage's article; the passage itself does not carry it."""
        return self._titles[self.paragraph_of[passage.ordinal]]

    async def search(self, question: str, *, without: Collection[int] = (), top: int = 8) -> list[Hit]:
        """Hits, best first. without: paragraphs that are not in the book for this question."""
        settings = Retrieve()
        channels = {"keyword": (keyword := np.zeros(len(self.passages)))}
        if self._vectors is not None:
            channels["dense"] = self._vectors @ (await self.embedder.embed([question]))[0]
        terms = self.analyzer.query_terms(question)
        for term, weight in zip(terms.indices.tolist(), terms.weights.tolist(), strict=True):
            if term in self._postings:
                rows, weights = self._postings[term]
                keyword[rows] += weight * weights * np.log1p((len(keyword) - len(rows) + 0.5) / (len(rows) + 0.5))
        scores: dict[int, dict[str, float]] = {}
        for channel, values in channels.items():
            for row in np.argsort(-values)[: settings.candidates + 8].tolist():
                if self.paragraph_of[row] not in without and (channel == "dense" or values[row] > 0):
                    scores.setdefault(row, {})[channel] = float(values[row])
        candidates = [Candidate(id=self.passages[row].id, scores=some) for row, some in scores.items()]
        shares = channel_weights(detect(question), self.embedder.languages, settings)
        fused = fuse(candidates, method="standardised", weights=shares)[:top]
        return [Hit(passage=self.passages[int(name, 16)], score=score, channels=ranks) for name, score, ranks in fused]


class Remembering:
    """MiniLM that embeds each text once: here the same passages are read for many questions."""

    def __init__(self, *, threads: int | None = None) -> None:
        self._model = MiniLM(threads=threads)
        self._vectors: dict[str, NDArray[np.float32]] = {}
        self._tokens: dict[str, tuple[NDArray[np.float16], NDArray[np.int64]]] = {}
        self.fingerprint = self._model.fingerprint
        self.max_tokens = self._model.max_tokens
        self.languages = self._model.languages
        self.count_tokens = self._model.count_tokens

    async def embed(self, texts: Sequence[str], *, kind: str = "passage") -> NDArray[np.float32]:  # noqa: ARG002
        missing = [text for text in dict.fromkeys(texts) if text not in self._vectors]
        for some in _batches(missing):
            self._vectors.update(zip(some, await self._model.embed(some), strict=True))
        return np.stack([self._vectors[text] for text in texts])

    async def embed_tokens(self, texts: Sequence[str]) -> list[tuple[NDArray[np.float32], NDArray[np.int64]]]:
        missing = [text for text in dict.fromkeys(texts) if text not in self._tokens]
        for some in _batches(missing):
            for text, (vectors, places) in zip(some, await self._model.embed_tokens(some), strict=True):
                self._tokens[text] = vectors.astype(np.float16), places
        found = (self._tokens[text] for text in texts)
        return [(vectors.astype(np.float32), places) for vectors, places in found]

    # Cached between runs of one bench, so pickles of our own.
    def load(self, file: Path) -> None:
        """Remember what an earlier run has saved, if it has."""
        if file.exists():
            with np.load(file, allow_pickle=True) as saved:
                self._vectors, self._tokens = saved["all"].tolist()

    def save(self, file: Path) -> None:
        """Keep what is known for a later run."""
        both = np.empty(2, dtype=object)
        both[:] = self._vectors, self._tokens
        np.savez(file, all=both)


def _batches(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(texts), 512):
        yield texts[start : start + 512]
