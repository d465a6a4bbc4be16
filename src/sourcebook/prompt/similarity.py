"""How near remembered texts are to a question: by vectors where the embedder knows the languages, else by words."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import TYPE_CHECKING

from sourcebook.language import detect

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sourcebook.embed.base import Embedder
    from sourcebook.prompt.terms import Words


async def similarities(
    question: str, texts: Sequence[str], vectors: NDArray[np.float32], *, embedder: Embedder, words: Words
) -> NDArray[np.float32]:
    """Shape (n,), from -1 to 1: the cosine of the question and the i'th text, whose vector is the i'th row.

    Where the question or the text is in a language that the embedder was not made for, its vectors are noise; the
    cosine of their sets of words, |A & B| / sqrt(|A| |B|), stands in. Errors: EmbedError.
    """
    import numpy as np

    scores = np.zeros(len(texts), np.float32)
    if not len(texts):
        return scores
    asked = set(words(question))
    foreign = [not knows(embedder, question) or not knows(embedder, text) for text in texts]
    if not all(foreign):
        [vector] = await embedder.embed([question], kind="query")
        scores = vectors @ vector
    for i, text in enumerate(texts):
        if foreign[i]:
            said = set(words(text))
            scores[i] = len(asked & said) / sqrt(len(asked) * len(said)) if asked and said else 0.0
    return scores


def knows(embedder: Embedder, text: str) -> bool:
    """Whether the embedder was made for the text's language; a text too short to tell gets the benefit of doubt."""
    language = detect(text)
    return not embedder.languages or language is None or language in embedder.languages
