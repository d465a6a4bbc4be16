"""The passages of one answer under their numbers: what is found on the way joins what was there.

A passage keeps its number for good, so that every [n] that a model writes means one passage, whichever step found it.
"""

from __future__ import annotations

from collections.abc import Sequence

from sourcebook.prompt.fence import code_of, fenced
from sourcebook.types import Hit


class Evidence:
    """Hits in the order in which they came; the i'th is the passage that markers call [i + 1]."""

    def __init__(self, hits: Sequence[Hit] = ()) -> None:
        self._hits = list(hits)

    @property
    def hits(self) -> tuple[Hit, ...]:
        """All of them, first come first."""
        return tuple(self._hits)

    def show(self, hits: Sequence[Hit]) -> tuple[str, tuple[int, ...]]:
        """(text for the model, numbers), and the hits are evidence from now on.

        Each passage stands in the text once, under its number; one that was shown before, by its number alone. A hit
        that lies within a known passage has that one's number.
        """
        before = len(self._hits)
        numbers = tuple(dict.fromkeys(self._known(hit) or self._new(hit) for hit in hits))
        code = code_of([hit.passage.text for hit in hits])
        blocks = [fenced(number, self._hits[number - 1].passage, code) for number in numbers if number > before]
        again = ", ".join(f"[{number}]" for number in numbers if number <= before)
        if again:
            blocks.append(f"Shown before: {again}")
        return "\n\n".join(blocks), numbers

    def _known(self, hit: Hit) -> int | None:
        one = hit.passage
        for number, known in enumerate((known.passage for known in self._hits), 1):
            same = (known.document, known.version) == (one.document, one.version)
            if same and known.start <= one.start and one.end <= known.end:
                return number
        return None

    def _new(self, hit: Hit) -> int:
        self._hits.append(hit)
        return len(self._hits)
