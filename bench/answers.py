"""How often the extractive model's answer holds the answer, and how often it rightly says that it does not know.

    python bench/answers.py [--questions N] [--cache FILE]

SQuAD's development paragraphs are the book. Every question of the articles that were held out when the model
was made (`paragraphs.tuned_articles`) is asked twice: as it is, and with its own paragraph left out of the
book, where "unknown" is right, although another paragraph may know as well. Retrieval and model work as by
default, only that the embedder remembers. KorQuAD is asked in the same way, without vectors, because the
embedder does not know Korean; nothing was tuned on it.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random

from paragraphs import Book, Item, Remembering, korquad, squad

from sourcebook.models.base import CitedPart, ModelRequest
from sourcebook.models.extractive import Extractive, TextEmbedder
from sourcebook.types import Hit

PASSAGES, SENTENCES = 8, 3  # the defaults of the settings answer.passages and answer.sentences
GOALS = {"first": 0.70, "three": 0.82, "refused": 0.10, "unknown": 0.55}


def main() -> int:
    """Print the table; 0, or 1 if a goal is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    parser.add_argument("--questions", type=int, default=100_000, help="a sample of this many from each set")
    parser.add_argument("--cache", type=Path, help="keeps embeddings between runs")
    parser.add_argument("--tuned", action="store_true", help="ask the questions that were tuned on, to compare")
    options = parser.parse_args()
    if not (options.data / "retrieval" / "squad_v1_dev").exists():
        print(f"skipped: no SQuAD below {options.data}; give its place with --data")
        return 0
    return asyncio.run(measure(options))


async def measure(options: argparse.Namespace) -> int:
    """Ask everything and print the table."""
    embedder = Remembering()
    if options.cache:
        embedder.load(options.cache)
    print("| set | questions | first sentence | at most three | sentences | refused | unknown without | ms |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    english, korean = squad(options.data), korquad(options.data)
    items = [item for item in english.items if item.held_out != options.tuned]
    book = Book(english.paragraphs, embedder)
    await book.index()
    found = await table_row("SQuAD", book, embedder, sample(items, options.questions))
    await table_row("SQuAD, sentence vectors", book, WithoutTokens(embedder), sample(items, options.questions // 4))
    if options.cache:
        embedder.save(options.cache)
    book = Book(korean.paragraphs, embedder)
    await book.index(dense=False)
    await table_row("KorQuAD, words only", book, embedder, sample(korean.items, options.questions // 2))
    missed = [name for name, goal in GOALS.items() if (found[name] > goal) == (name == "refused")]
    print(f"goals on SQuAD: {GOALS}; missed: {', '.join(missed) or 'none'}")
    return 1 if missed else 0


def sample(items: Sequence[Item], size: int) -> list[Item]:
    """The same ones each time."""
    return Random(3).sample(list(items), min(size, len(items)))


async def table_row(name: str, book: Book, embedder: TextEmbedder, items: Sequence[Item]) -> dict[str, float]:
    """Ask the questions with and without their paragraphs; print and return the shares."""
    model = Extractive(embedder, book.analyzer)
    counts: Counter[str] = Counter()
    seconds = 0.0
    for item in items:
        with_it = await book.search(item.text, top=PASSAGES)
        without = await book.search(item.text, without={item.paragraph}, top=PASSAGES)
        began = time.perf_counter()
        quotes = await answer(model, item.text, with_it)
        seconds += time.perf_counter() - began
        right = [any(gold in quote for gold in item.answers) for quote in quotes]
        counts.update(
            first=any(right[:1]),
            three=any(right),
            refused=not quotes,
            unknown=not await answer(model, item.text, without),
            sentences=len(quotes),
        )
    shares = {key: count / len(items) for key, count in counts.items()}
    print(
        f"| {name} | {len(items)} | {shares['first']:.1%} | {shares['three']:.1%} | {shares['sentences']:.1f}"
        f" | {shares['refused']:.1%} | {shares['unknown']:.1%} | {1000 * seconds / len(items):.0f} |",
        flush=True,
    )
    return shares


async def answer(model: Extractive, question: str, hits: Sequence[Hit]) -> list[str]:
    """The quoted sentences."""
    request = ModelRequest(question=question, evidence=tuple(hits), max_sentences=SENTENCES)
    cited = [event async for event in model.stream(request) if isinstance(event, CitedPart)]
    return [hits[one.number - 1].passage.text[one.start : one.end] for one in cited]


class WithoutTokens:
    """An embedder like most: it embeds texts only."""

    def __init__(self, embedder: Remembering) -> None:
        self.fingerprint = embedder.fingerprint
        self.max_tokens = embedder.max_tokens
        self.languages = embedder.languages
        self.count_tokens = embedder.count_tokens
        self.embed = embedder.embed


if __name__ == "__main__":
    raise SystemExit(main())
