"""The folders that are ingested: real abstracts, and passages made of their shuffled sentences."""

from __future__ import annotations

import json
import random
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PASSAGE_WORDS = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Abstract:
    """One document of SciFact (Wadden et al., 2020)."""

    id: str
    title: str
    text: str

    @property
    def content(self) -> str:
        return f"{self.title}\n\n{self.text}"


def read_abstracts(data: Path) -> list[Abstract]:
    """All of SciFact's abstracts, in the file's order."""
    with (data / "retrieval" / "scifact" / "corpus.jsonl").open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [Abstract(id=str(row["_id"]), title=row["title"], text=row["text"]) for row in rows]


def read_claims(data: Path, count: int) -> list[str]:
    """Some of SciFact's claims, in a seeded order; they serve as questions."""
    with (data / "retrieval" / "scifact" / "queries.jsonl").open(encoding="utf-8") as lines:
        claims = [str(json.loads(line)["text"]) for line in lines]
    random.Random(0).shuffle(claims)
    return claims[:count]


def write_abstracts(folder: Path, abstracts: list[Abstract]) -> None:
    """One text file each, `<id>.txt`: title, empty line, text."""
    folder.mkdir(parents=True, exist_ok=True)
    for abstract in abstracts:
        (folder / f"{abstract.id}.txt").write_text(abstract.content, encoding="utf-8")


def make_passages(abstracts: list[Abstract], count: int) -> Iterator[str]:
    """`count` texts of about 100 words, made of the abstracts' sentences in a seeded random order."""
    pool = [
        sentence
        for abstract in abstracts
        for sentence in re.split(r"(?<=[.!?])\s+", abstract.text)
        if 3 <= len(sentence.split()) <= 60
    ]
    shuffle = random.Random(count)
    sentences: list[str] = []
    for _ in range(count):
        passage: list[str] = []
        while sum(len(sentence.split()) for sentence in passage) < PASSAGE_WORDS:
            if not sentences:
                sentences = shuffle.sample(pool, len(pool))
            passage.append(sentences.pop())
        yield " ".join(passage)


def write_passages(folder: Path, abstracts: list[Abstract], count: int) -> None:
    """One text file for each of `make_passages`, a thousand to a folder."""
    for number, passage in enumerate(make_passages(abstracts, count)):
        file = folder / f"{number // 1000:03}" / f"{number:06}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(passage, encoding="utf-8")


@dataclass(frozen=True, kw_only=True, slots=True)
class Edits:
    """What was done to a folder. changed: what stood in a file, and what stands there now."""

    changed: list[tuple[Abstract, Abstract]]
    deleted: list[Abstract]


def edit(folder: Path, present: list[Abstract], spare: list[Abstract], count: int) -> Edits:
    """Give `count` files other contents and delete `count` others, spread over the folder."""
    chosen = random.Random(1).sample(present, 2 * count)
    changed = list(zip(chosen[:count], spare[:count], strict=True))
    for old, new in changed:
        (folder / f"{old.id}.txt").write_text(new.content, encoding="utf-8")
    for gone in chosen[count:]:
        (folder / f"{gone.id}.txt").unlink()
    return Edits(changed=changed, deleted=chosen[count:])
