"""Few-shot examples: chosen by how near their questions are to the one asked, and how little they repeat each other."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from sourcebook.catalog.examples import Example, keep_example_vectors, keep_examples, read_examples
from sourcebook.errors import PromptError
from sourcebook.prompt.similarity import similarities

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sourcebook.catalog.catalog import Catalog
    from sourcebook.embed.base import Embedder
    from sourcebook.prompt.terms import Words

COLLECTION: Final = "default"


async def add_examples(
    catalog: Catalog,
    pairs: Sequence[tuple[str, str]],
    *,
    embedder: Embedder,
    tenant: str = "default",
    collection: str = COLLECTION,
) -> list[str]:
    """Keep (question, answer) pairs; a question that is known gets the new answer. Returns the i'th pair's id.

    Errors: EmbedError, CatalogError; then nothing is kept.
    """
    pairs = [(question.strip(), answer.strip()) for question, answer in pairs]
    if not pairs:
        return []
    vectors = await embedder.embed([question for question, _ in pairs])
    return await asyncio.to_thread(
        keep_examples,
        catalog,
        pairs,
        vectors,
        tenant=tenant,
        collection=collection,
        fingerprint=embedder.fingerprint,
    )


async def choose_examples(
    catalog: Catalog,
    question: str,
    *,
    embedder: Embedder,
    words: Words,
    tenant: str = "default",
    collection: str = COLLECTION,
    most: int = 3,
    diversity: float = 0.3,
) -> list[Example]:
    """At most `most` examples for a question, the most fitting first.

    Maximal marginal relevance (Carbonell and Goldstein, The Use of MMR, 1998): one after the other, the example with
    the largest (1 - diversity) sim(question) - diversity max sim(those chosen). diversity: from 0, nearness alone.
    Vectors of another embedder are made anew and kept, a hundred or so at a time; until then these examples wait.
    Errors: EmbedError.
    """
    import numpy as np

    if most < 1:
        return []
    examples = await asyncio.to_thread(read_examples, catalog, tenant=tenant, collection=collection)
    examples = await _embedded(catalog, examples, embedder)
    if not examples:
        return []
    vectors = np.stack([one.vector for one in examples])
    near = await similarities(question, [one.question for one in examples], vectors, embedder=embedder, words=words)
    chosen: list[int] = []
    repeated = np.full(len(examples), -1.0, np.float32)
    for _ in range(min(most, len(examples))):
        worth = (1 - diversity) * near - diversity * np.maximum(repeated, 0.0)
        worth[chosen] = -np.inf
        best = int(np.argmax(worth))
        chosen.append(best)
        repeated = np.maximum(repeated, _alike(vectors, best))
    return [examples[i] for i in sorted(chosen, key=lambda i: -near[i])]


def parse_examples(lines: Iterable[str], name: str) -> list[tuple[str, str]]:
    """(question, answer) of each line of JSON lines: {"question": "...", "answer": "..."}; other keys are ignored.

    name: of the file, for errors. Errors: PromptError, which names the line.
    """
    pairs = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            pair = row["question"], row["answer"]
            if not all(isinstance(text, str) and text.strip() for text in pair):
                raise ValueError("no text")
            "".join(pair).encode()  # raises where there are bytes that are no UTF-8, or half characters
        except (ValueError, KeyError, TypeError) as error:
            raise PromptError(
                f"Line {number} of {name} is not an example: {line.strip()[:80]!a}",
                remedy='Each line must be {"question": "...", "answer": "..."}',
            ) from error
        pairs.append(pair)
    return pairs


async def _embedded(catalog: Catalog, examples: Sequence[Example], embedder: Embedder) -> list[Example]:
    """The examples with vectors of this embedder; of those that need new ones only the newest, for now."""
    old = [one for one in examples if one.fingerprint != embedder.fingerprint][-_EMBEDDED_AT_ONCE:]
    if not old:
        return list(examples)
    vectors = await embedder.embed([one.question for one in old])
    names = [one.id for one in old]
    await asyncio.to_thread(keep_example_vectors, catalog, names, vectors, fingerprint=embedder.fingerprint)
    made = dict(zip(names, vectors, strict=True))
    return [
        replace(one, vector=made.get(one.id, one.vector), fingerprint=embedder.fingerprint)
        for one in examples
        if one.id in made or one.fingerprint == embedder.fingerprint
    ]


def _alike(vectors: NDArray[np.float32], best: int) -> NDArray[np.float32]:
    alike: NDArray[np.float32] = vectors @ vectors[best]
    return alike


_EMBEDDED_AT_ONCE: Final = 128  # questions of examples, before an answer that somebody waits for
