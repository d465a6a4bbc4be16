"""How well passages are found, with default settings, on three public sets.

    python bench/retrieval.py [--data ../shared/data] [--sets scifact,korquad,squad]

Documents are "title, blank line, text", cut by the chunker; a document ranks by its best passage. The parts are
driven directly, with exact search in place of an index: the figures are those of chunker, terms, model, fusion
and the look at closeness. Settings were chosen on SciFact's training claims and on every other question of the
other two (the "tuned" rows, and the rest, are told apart). Vectors are kept in the temporary folder.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from math import log2
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sourcebook.chunk import chunk
from sourcebook.config import Config
from sourcebook.embed.minilm import MiniLM
from sourcebook.embed.terms import KeywordAnalyzer
from sourcebook.language import detect
from sourcebook.parse.base import Limits
from sourcebook.parse.text import TextParser
from sourcebook.retrieve.closeness import rerank
from sourcebook.retrieve.fusion import channel_weights, fuse
from sourcebook.types import Candidate, PassageId, Terms

Vectors = NDArray[np.float32]
Order = list[int]  # documents, best first


@dataclass(frozen=True, kw_only=True)
class Set:
    """Documents as (title, text), questions, the documents that answer each, and which questions were tuned on."""

    name: str
    documents: list[tuple[str, str]]
    questions: list[str]
    answers: list[set[int]]
    parts: Mapping[str, list[int]]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    options.add_argument("--sets", default="scifact,korquad,squad")
    chosen = options.parse_args()
    if not (chosen.data / "retrieval").is_dir():
        print(f"skipped: no data sets below {chosen.data}; give their place with --data")
        return
    machine = platform.processor() or platform.machine()
    print(f"- machine: {machine}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print("- ms: a question's time here, the model and an index left out\n")
    print("| set | questions | channel | nDCG@10 | recall@1 | recall@10 | recall@100 | ms |")
    print("| --- | --- | --- | ---: | ---: | ---: | ---: | ---: |")
    for name in chosen.sets.split(","):
        asyncio.run(report(READERS[name](chosen.data / "retrieval")))


async def report(given: Set) -> None:
    """Print the rows of one set."""
    searcher = await Searcher.over(given)
    for part, numbers in given.parts.items():
        for channel in ("keyword", "dense", "fused"):
            began = perf_counter()
            orders = [searcher.search(number, channel) for number in numbers]
            each = (perf_counter() - began) / len(numbers) * 1e3
            relevant = [given.answers[number] for number in numbers]
            both = list(zip(orders, relevant, strict=True))
            figures = [np.mean([ndcg(order, want) for order, want in both])]
            figures += [
                np.mean([len(want & set(order[:top])) / len(want) for order, want in both]) for top in (1, 10, 100)
            ]
            row = " | ".join(f"{figure:.4f}" for figure in figures)
            print(f"| {given.name} | {part}, {len(numbers)} | {channel} | {row} | {each:.1f} |", flush=True)


def ndcg(order: Order, relevant: set[int], top: int = 10) -> float:
    """Normalised discounted cumulative gain with binary relevance (Järvelin and Kekäläinen, 2002)."""
    gain = sum(1 / log2(place + 2) for place, number in enumerate(order[:top]) if number in relevant)
    return gain / sum(1 / log2(place + 2) for place in range(min(top, len(relevant))))


# --- search, as the pipeline does it, with exact scores ---------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Searcher:
    given: Set
    owners: NDArray[np.int64]  # of passages: the number of their document
    texts: dict[PassageId, str]
    passages: Vectors
    questions: Vectors
    analyzer: KeywordAnalyzer
    postings: Mapping[int, tuple[NDArray[np.int64], Vectors]]  # term -> passages, weights with the IDF in them
    languages: frozenset[str]

    @classmethod
    async def over(cls, given: Set) -> Searcher:
        """Cut, embed and analyse the documents of a set."""
        settings, embedder, analyzer = Config().chunk, MiniLM(), KeywordAnalyzer()
        owners, texts = [], []
        for number, (title, text) in enumerate(given.documents):
            parsed = TextParser().parse(f"{title}\n\n{text}".encode(), "document.txt", Limits())
            parsed = replace(parsed, title=parsed.title or title)
            for piece in chunk(
                parsed, budget=settings.tokens, overlap=settings.overlap, count_tokens=embedder.count_tokens
            ):
                owners.append(number)
                texts.append(piece.text if title in piece.text else f"{title}\n{piece.text}")
        return cls(
            given=given,
            owners=np.array(owners),
            texts={PassageId(str(number)): text for number, text in enumerate(texts)},
            passages=await embedded(embedder, texts),
            questions=await embedded(embedder, given.questions),
            analyzer=analyzer,
            postings=inverted(analyzer.passage_terms(texts)),
            languages=embedder.languages,
        )

    def search(self, number: int, channel: str, depth: int = 400) -> Order:
        """Documents for a question, by the keyword or dense channel alone, or as the pipeline finds them."""
        question = self.given.questions[number]
        dense = self.passages @ self.questions[number]
        keyword = np.zeros(len(self.owners), np.float32)
        terms = self.analyzer.query_terms(question)
        for term, weight in zip(terms.indices.tolist(), terms.weights.tolist(), strict=True):
            if term in self.postings:
                places, weights = self.postings[term]
                keyword[places] += weight * weights
        if channel != "fused":
            scores = dense if channel == "dense" else keyword
            return self._documents([place for place in best(scores, depth) if channel == "dense" or scores[place] > 0])
        settings = Config().retrieve
        by_channel: dict[int, dict[str, float]] = {}
        for name, scores in (("dense", dense), ("keyword", keyword)):
            for place in best(scores, settings.candidates):
                if name == "dense" or scores[place] > 0:
                    by_channel.setdefault(place, {})[name] = float(scores[place])
        ranked = fuse(
            [Candidate(id=PassageId(str(place)), scores=scores) for place, scores in by_channel.items()],
            method="standardised",
            weights=channel_weights(detect(question), self.languages, settings),
        )
        ranked = rerank(ranked, self.analyzer.words(question), self.texts)
        return self._documents([int(name) for name, _, _ in ranked])

    def _documents(self, places: Sequence[int]) -> Order:
        return list(dict.fromkeys(self.owners[list(places)].tolist()))


def best(scores: Vectors, top: int) -> Order:
    some = np.argpartition(-scores, top)[:top] if top < len(scores) else np.arange(len(scores))
    return some[np.argsort(-scores[some], kind="stable")].tolist()  # type: ignore[no-any-return]


def inverted(passages: Sequence[Terms]) -> dict[int, tuple[NDArray[np.int64], Vectors]]:
    """Postings whose weights have BM25's IDF in them, ln(1 + (N - n + 0.5) / (n + 0.5)), as Qdrant computes it."""
    terms = np.concatenate([one.indices for one in passages])
    places = np.repeat(np.arange(len(passages)), [len(one.indices) for one in passages])
    weights = np.concatenate([one.weights for one in passages])
    order = np.argsort(terms, kind="stable")
    distinct, starts, counts = np.unique(terms[order], return_index=True, return_counts=True)
    idf = np.log(1 + (len(passages) - counts + 0.5) / (counts + 0.5)).astype(np.float32)
    return {
        int(term): (places[order[start : start + count]], weights[order[start : start + count]] * rarity)
        for term, start, count, rarity in zip(distinct, starts, counts, idf, strict=True)
    }


async def embedded(embedder: MiniLM, texts: Sequence[str]) -> Vectors:
    """Vectors of the texts, from the temporary folder if they were computed before."""
    key = blake2b("\0".join([embedder.fingerprint, *texts]).encode(), digest_size=12).hexdigest()
    kept = Path(tempfile.gettempdir()) / "sourcebook-bench" / f"{key}.npy"
    if not kept.exists():
        kept.parent.mkdir(exist_ok=True)
        vectors = await embedder.embed(texts)
        with tempfile.NamedTemporaryFile(dir=kept.parent, suffix=".npy", delete=False) as file:
            np.save(file, vectors)
        Path(file.name).replace(kept)
    return np.load(kept)  # type: ignore[no-any-return]


# --- the sets ---------------------------------------------------------------------------------------------


def scifact(data: Path) -> Set:
    """5,183 abstracts; claims of the training and of the test split."""
    corpus, place = _corpus(data / "scifact")
    claims = {one["_id"]: one["text"] for one in _lines(data / "scifact" / "queries.jsonl")}
    parts: dict[str, list[int]] = {}
    questions: list[str] = []
    answers: list[set[int]] = []
    for split, part in (("train", "tuned on"), ("test", "test")):
        relevant = _relevant(data / "scifact" / "qrels" / f"{split}.tsv", place)
        parts[part] = list(range(len(questions), len(questions) + len(relevant)))
        questions += [claims[claim] for claim in relevant]
        answers += relevant.values()
    return Set(name="SciFact", documents=corpus, questions=questions, answers=answers, parts=parts)


def squad(data: Path) -> Set:
    """2,067 English paragraphs and the questions asked about them."""
    corpus, place = _corpus(data / "squad_v1_dev")
    relevant = _relevant(data / "squad_v1_dev" / "qrels" / "test.tsv", place)
    asked = [one for one in _lines(data / "squad_v1_dev" / "queries.jsonl") if one["_id"] in relevant]
    answers = [relevant[one["_id"]] for one in asked]
    questions = [one["text"] for one in asked]
    return Set(name="SQuAD", documents=corpus, questions=questions, answers=answers, parts=_halves(questions))


def korquad(data: Path) -> Set:
    """The Korean paragraphs and the questions asked about them."""
    content = json.loads((data / "korquad_v1_dev" / "KorQuAD_v1.0_dev.json").read_text(encoding="utf-8"))
    place: dict[str, int] = {}
    corpus: list[tuple[str, str]] = []
    questions: list[str] = []
    answers: list[set[int]] = []
    for article in content["data"]:
        for paragraph in article["paragraphs"]:
            number = place.setdefault(paragraph["context"], len(place))
            if number == len(corpus):
                corpus.append((article["title"], paragraph["context"]))
            questions += [one["question"] for one in paragraph["qas"]]
            answers += [{number} for _ in paragraph["qas"]]
    return Set(name="KorQuAD", documents=corpus, questions=questions, answers=answers, parts=_halves(questions))


READERS: Final[Mapping[str, Callable[[Path], Set]]] = {"scifact": scifact, "korquad": korquad, "squad": squad}


def _halves(questions: Sequence[str]) -> dict[str, list[int]]:
    numbers = list(range(len(questions)))
    return {"tuned on": numbers[::2], "rest": numbers[1::2], "all": numbers}


def _corpus(folder: Path) -> tuple[list[tuple[str, str]], dict[str, int]]:
    documents = list(_lines(folder / "corpus.jsonl"))
    place = {one["_id"]: number for number, one in enumerate(documents)}
    return [(one["title"], one["text"]) for one in documents], place


def _relevant(table: Path, place: Mapping[str, int]) -> dict[str, set[int]]:
    """Question id -> numbers of the documents judged relevant, in the table's order."""
    relevant: dict[str, set[int]] = {}
    for line in table.read_text(encoding="utf-8").splitlines()[1:]:
        question, document, grade = line.split("\t")
        if int(grade) > 0:
            relevant.setdefault(question, set()).add(place[document])
    return relevant


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


if __name__ == "__main__":
    main()
