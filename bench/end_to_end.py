"""Quality through the public interface: every corpus as a folder of text files, asked by `search` and `ask`.

    python bench/end_to_end.py [--data ../shared/data] [--sets scifact,squad,korquad] [--answers 600] [--home DIR]

One text file for each document ("title, blank line, text"), default settings. SciFact reports the 300 test claims;
SQuAD and KorQuAD report all questions and the half whose articles nothing was tuned on (see bench/retrieval.py).
Answers are asked of an even sample of SQuAD's questions, once as they are and once with the question's own
paragraph left out by a filter. --home keeps the books, so that a second run embeds nothing.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sourcebook import BlockingSourcebook, open_book

Texts = Mapping[str, str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    parser.add_argument("--sets", default="scifact,squad,korquad")
    parser.add_argument("--answers", type=int, default=600, help="SQuAD questions to ask; 0: none")
    parser.add_argument("--searches", type=int, default=3000, help="questions to search for in each set at most")
    parser.add_argument("--home", type=Path, default=None)
    arguments = parser.parse_args()
    if not (arguments.data / "retrieval").is_dir():
        sys.exit(f"Skipped: there is no corpus in {arguments.data}; name it with --data")
    with tempfile.TemporaryDirectory() as temporary:
        home = arguments.home or Path(temporary)
        print("| set | measure | value | goal |\n| --- | --- | ---: | ---: |")
        for name in arguments.sets.split(","):
            corpus, questions, relevant, answers = LOADERS[name](arguments.data / "retrieval")
            with book_over(home / name, corpus) as book:
                sample = evenly(list(questions), arguments.searches)
                searches(name, book, {key: questions[key] for key in sample}, relevant)
                if answers and arguments.answers:
                    sample = evenly(list(questions), arguments.answers)
                    asks(name, book, {key: questions[key] for key in sample}, relevant, answers)


def book_over(home: Path, corpus: Texts) -> BlockingSourcebook:
    folder = home / "docs"
    if not folder.is_dir():
        folder.mkdir(parents=True)
        for name, text in corpus.items():
            (folder / f"{name}.txt").write_text(text, encoding="utf-8")
    book = open_book(home / "book")
    book.add(folder)
    report = book.sync()
    print(f"{home.name}: {report}", file=sys.stderr)
    return book


def searches(name: str, book: BlockingSourcebook, questions: Texts, relevant: Mapping[str, set[str]]) -> None:
    ndcg, first, tenth, hundredth, took = [], [], [], [], []
    for key, text in questions.items():
        began = time.perf_counter()
        hits = book.search(text, top=100)
        took.append(time.perf_counter() - began)
        found = list(dict.fromkeys(document(hit.passage.document) for hit in hits))
        ndcg.append(gain(found, relevant[key]))
        first.append(bool(relevant[key] & set(found[:1])))
        tenth.append(len(relevant[key] & set(found[:10])) / len(relevant[key]))
        hundredth.append(len(relevant[key] & set(found[:100])) / len(relevant[key]))
    for measure, values in (("nDCG@10", ndcg), ("recall@1", first), ("recall@10", tenth), ("recall@100", hundredth)):
        row(name, f"{measure} of {len(values)} questions", statistics.mean(values), GOALS.get((name, measure)))
    row(name, "milliseconds a search for 100 hits, median", 1000 * statistics.median(took), None)


def asks(
    name: str,
    book: BlockingSourcebook,
    questions: Texts,
    relevant: Mapping[str, set[str]],
    answers: Mapping[str, Sequence[str]],
) -> None:
    first, three, refused, unknown, took = [], [], [], [], []
    for key, text in questions.items():
        began = time.perf_counter()
        answer = book.ask(text)
        took.append(time.perf_counter() - began)
        quotes = [" ".join(one.quote.split()) for one in answer.citations]
        first.append(any(gold in quote for gold in answers[key] for quote in quotes[:1]))
        three.append(any(gold in quote for gold in answers[key] for quote in quotes[:3]))
        refused.append(not answer.known)
        (own,) = relevant[key]
        unknown.append(not book.ask(text, where=f"name != '{own}.txt'").known)
    for measure, values in (
        ("answer in the first sentence", first),
        ("answer in three sentences", three),
        ("answerable questions refused", refused),
        ("paragraph left out: not known", unknown),
    ):
        row(name, f"{measure}, of {len(values)} questions", statistics.mean(values), GOALS.get((name, measure)))
    row(name, "milliseconds an answer, median", 1000 * statistics.median(took), None)


def row(name: str, measure: str, value: float, goal: str | None) -> None:
    print(f"| {name} | {measure} | {value:.3f} | {goal or ''} |", flush=True)


def evenly(items: list[str], count: int) -> list[str]:
    step = max(1.0, len(items) / count)
    return [items[int(place * step)] for place in range(min(count, len(items)))]


def gain(found: Sequence[str], relevant: set[str]) -> float:
    """nDCG@10 with relevance 0 or 1."""
    got = sum(1 / math.log2(rank + 2) for rank, one in enumerate(found[:10]) if one in relevant)
    return got / sum(1 / math.log2(rank + 2) for rank in range(min(10, len(relevant))))


def document(uri: str) -> str:
    return uri.rpartition("/")[2].removesuffix(".txt")


def scifact(folder: Path) -> tuple[Texts, Texts, Mapping[str, set[str]], Mapping[str, Sequence[str]]]:
    corpus = {one["_id"]: f"{one['title']}\n\n{one['text']}" for one in lines(folder / "scifact" / "corpus.jsonl")}
    relevant = judgements(folder / "scifact" / "qrels" / "test.tsv")
    texts = {one["_id"]: one["text"] for one in lines(folder / "scifact" / "queries.jsonl")}
    return corpus, {key: texts[key] for key in relevant}, relevant, {}


def squad(folder: Path) -> tuple[Texts, Texts, Mapping[str, set[str]], Mapping[str, Sequence[str]]]:
    base = folder / "squad_v1_dev"
    corpus = {one["_id"]: f"{one['title']}\n\n{one['text']}" for one in lines(base / "corpus.jsonl")}
    rows = lines(base / "queries.jsonl")
    answers = {one["_id"]: [" ".join(gold.split()) for gold in one["metadata"]["answers"]] for one in rows}
    return corpus, {one["_id"]: one["text"] for one in rows}, judgements(base / "qrels" / "test.tsv"), answers


def korquad(folder: Path) -> tuple[Texts, Texts, Mapping[str, set[str]], Mapping[str, Sequence[str]]]:
    articles = json.loads((folder / "korquad_v1_dev" / "KorQuAD_v1.0_dev.json").read_text(encoding="utf-8"))["data"]
    corpus: dict[str, str] = {}
    questions: dict[str, str] = {}
    relevant: dict[str, set[str]] = {}
    for article in articles:
        for paragraph in article["paragraphs"]:
            name = f"p{len(corpus):04}"
            corpus[name] = f"{article['title']}\n\n{paragraph['context']}"
            for one in paragraph["qas"]:
                questions[one["id"]] = one["question"]
                relevant[one["id"]] = {name}
    return corpus, questions, relevant, {}


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def judgements(path: Path) -> dict[str, set[str]]:
    relevant: dict[str, set[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines()[1:]:
        question, name, grade = line.split("\t")
        if int(grade) > 0:
            relevant.setdefault(question, set()).add(name)
    return relevant


LOADERS = {"scifact": scifact, "squad": squad, "korquad": korquad}
GOALS = {
    ("scifact", "nDCG@10"): ">= 0.735",
    ("squad", "recall@1"): ">= 0.82",
    ("korquad", "recall@1"): ">= 0.91",
    ("korquad", "recall@10"): ">= 0.99",
    ("squad", "answer in the first sentence"): ">= 0.70",
    ("squad", "answer in three sentences"): ">= 0.82",
    ("squad", "answerable questions refused"): "<= 0.10",
    ("squad", "paragraph left out: not known"): ">= 0.55",
}

if __name__ == "__main__":
    main()
