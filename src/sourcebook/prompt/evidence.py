"""The passages of one answer under their numbers: what is found on the way joins what was there.

A passage keeps its number for good, so that every [n] that a model writes means one passage, whichever step found it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sourcebook.prompt.fence import fenced_passages
from sourcebook.types import Computed, Hit, Passage


class Evidence:
    """Hits in the order in which they came; the i'th is the passage that markers call [i + 1].

    hits: those that the prompt shows already. salt: of the fences; see `prompt.fence.code_of`.
    """

    def __init__(self, hits: Sequence[Hit] = (), *, salt: str = "") -> None:
        self._hits = list(hits)
        self._given = len(hits)
        self._salt = salt
        self._forgotten: set[int] = set()

    @property
    def hits(self) -> tuple[Hit, ...]:
        """All of them, first come first."""
        return tuple(self._hits)

    def show(self, hits: Sequence[Hit]) -> tuple[str, tuple[int, ...]]:
        """(text for the model, numbers), and the hits are evidence from now on.

        Each passage stands in the text once, under its number; one that the prompt still shows, by its number alone.
        A hit that lies within a known passage has that one's number.
        """
        before = len(self._hits)
        numbers = tuple(dict.fromkeys(self._known(hit) or self._new(hit) for hit in hits))
        whole = [number for number in numbers if number > before or number in self._forgotten]
        self._forgotten.difference_update(whole)
        again = ", ".join(f"[{number}]" for number in numbers if number not in whole)
        parts = [self.shown(whole), f"Shown before: {again}" if again else ""]
        return "\n\n".join(part for part in parts if part), numbers

    def shown(self, numbers: Sequence[int]) -> str:
        """Passages as they stand in a prompt, each under its number; of a computed result, which stands there, that."""
        results: dict[Computed, int] = {}
        passages: list[tuple[int, Passage]] = []
        for number in numbers:
            hit = self._hits[number - 1]
            if hit.computed is None:
                passages.append((number, hit.passage))
            else:
                results.setdefault(hit.computed, number)
        told = [f"This result is [{number}]." for number in results.values()]
        return "\n\n".join([*fenced_passages(passages, salt=self._salt), *told])

    def forget(self, numbers: Iterable[int]) -> None:
        """The prompt no longer shows these passages: they keep their numbers, and are shown whole the next time.

        Those that were given at first are always there.
        """
        self._forgotten.update(number for number in numbers if number > self._given)

    def _known(self, hit: Hit) -> int | None:
        one = hit.passage
        for number, other in enumerate(self._hits, 1):
            known = other.passage
            same = (known.document, known.version, other.computed) == (one.document, one.version, hit.computed)
            if same and known.start <= one.start and one.end <= known.end:
                return number
        return None

    def _new(self, hit: Hit) -> int:
        self._hits.append(hit)
        return len(self._hits)
