"""A passage too long for its room, cut down to the sentences around the one that is closest to the question."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

from sourcebook.language import sentences
from sourcebook.prompt.terms import Words
from sourcebook.types import Passage


def cut(
    passage: Passage, budget: int, asked: Collection[str], *, count: Callable[[str], int], words: Words
) -> tuple[Passage, str] | None:
    """The part of a passage that fits the budget, and which part it is, for people; None if no sentence fits.

    asked: terms of the question. The part is a passage with offsets of its own: whole sentences in a row, grown from
    the one that shares most terms with the question, forwards first.
    """
    spans = sentences(passage.text, passage.language)
    if len(spans) < 2:
        return None
    shared = [len(set(words(passage.text[start:end])).intersection(asked)) for start, end in spans]
    sizes = [count(passage.text[start:end]) + 1 for start, end in spans]
    best = max(range(len(spans)), key=lambda i: (shared[i] if sizes[i] <= budget else -1, -i))
    if sizes[best] > budget:
        return None
    first = last = best
    left = budget - sizes[best]
    grown = True
    while grown:
        grown = False
        if last + 1 < len(spans) and sizes[last + 1] <= left:
            last += 1
            left -= sizes[last]
            grown = True
        if first > 0 and sizes[first - 1] <= left:
            first -= 1
            left -= sizes[first]
            grown = True
    if last - first + 1 == len(spans):
        return None
    start, end = spans[first][0], spans[last][1]
    part = replace(passage, text=passage.text[start:end], start=passage.start + start, end=passage.start + end)
    which = f"sentence {first + 1}" if first == last else f"sentences {first + 1} to {last + 1}"
    return part, f"cut to {which} of {len(spans)}"
