"""Stop sequences for vendors that have none: the text is cut here, and the rest is not asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from sourcebook.models.base import TextPart


class StopSequences:
    """Text as it comes, up to the first of the sequences; what may be the beginning of one is held back.

    stopped: whether one has come. The sequence itself is not part of the text.
    """

    def __init__(self, sequences: Sequence[str]) -> None:
        self._sequences = tuple(filter(None, sequences))
        self._held: list[TextPart] = []
        self.stopped = False

    def feed(self, part: TextPart) -> Iterator[TextPart]:
        """The parts that are certain now, whole, so that log probabilities stay with their text."""
        if self.stopped:
            return
        if not self._sequences:
            yield part
            return
        self._held.append(part)
        text = "".join(one.text for one in self._held)
        found = min((place for one in self._sequences if (place := text.find(one)) >= 0), default=-1)
        if found >= 0:
            self.stopped = True
            yield from self._until(found, cut=True)
        else:
            yield from self._until(len(text) - self._beginning(text), cut=False)

    def rest(self) -> Iterator[TextPart]:
        """What was held back, once the text is over."""
        held, self._held = self._held, []
        if not self.stopped:
            yield from held

    def _beginning(self, text: str) -> int:
        """Characters at the text's end that may be the beginning of a sequence."""
        longest = max(map(len, self._sequences)) - 1
        for length in range(min(longest, len(text)), 0, -1):
            if any(one.startswith(text[-length:]) for one in self._sequences):
                return length
        return 0

    def _until(self, place: int, *, cut: bool) -> Iterator[TextPart]:
        """The held parts before this place; one that goes past it is cut or kept back."""
        while self._held and place > 0:
            part = self._held[0]
            if len(part.text) > place:
                if not cut:
                    return
                part = replace(part, text=part.text[:place])
            place -= len(part.text)
            del self._held[0]
            yield part
