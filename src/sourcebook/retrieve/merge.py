"""What belongs together is one hit: near-duplicates are folded, neighbouring passages are joined."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from sourcebook.types import Hit, Passage

_SAME = 0.9  # Jaccard similarity of the word sets from which two passages say the same
_LONGEST = 3  # passages that may become one hit

_WORD = re.compile(r"\w+")
_ASCII_WORDS = "".join(chr(code).lower() if _WORD.match(chr(code)) else " " for code in range(128))


def fold(hits: Sequence[Hit], *, top: int) -> list[Hit]:
    """The hits without those that repeat a better one nearly word for word; it names their documents.

    Goes on until `top` different ones are found; what comes after is left as it is.
    """
    kept: list[Hit] = []
    words: list[frozenset[str]] = []
    for place, hit in enumerate(hits):
        if len(kept) >= top:
            return kept + list(hits[place:])
        own = _words(hit.passage.text)
        twin = next((number for number, other in enumerate(words) if _alike(own, other)), None)
        if twin is None:
            kept.append(hit)
            words.append(own)
        elif hit.passage.document != kept[twin].passage.document:
            kept[twin] = replace(kept[twin], duplicates=(*kept[twin].duplicates, hit.passage.document))
    return kept


def _words(text: str) -> frozenset[str]:
    """Its different words, in small letters."""
    if text.isascii():  # the same as below, in half the time
        return frozenset(text.translate(_ASCII_WORDS).split())
    return frozenset(_WORD.findall(text.casefold()))


def _alike(one: frozenset[str], other: frozenset[str]) -> bool:
    few, many = len(one), len(other)
    if few < _SAME * many or many < _SAME * few:
        return False
    common = len(one & other)
    return common >= _SAME * (few + many - common)


def merge(hits: Sequence[Hit], *, top: int, read: Callable[[Passage, int, int], str | None]) -> list[Hit]:
    """The hits with neighbours joined into the better one of them, until `top` are found.

    Neighbours are passages of one document version that follow each other; rows of tables stay alone.
    read(passage, start, end): the document's parsed text at [start, end), or None if it is no longer live.
    """
    joined: list[list[Hit]] = []
    places: dict[tuple[str, int, int], int] = {}
    for hit in hits:
        passage = hit.passage
        beside = [
            places[key]
            for step in (-1, 1)
            if (key := (passage.document, passage.version, passage.ordinal + step)) in places
        ]
        group = next((number for number in beside if _joinable(joined[number], hit)), None)
        if group is None:
            if len(joined) >= top:
                break
            group = len(joined)
            joined.append([])
        joined[group].append(hit)
        places[passage.document, passage.version, passage.ordinal] = group
    return [_one(group, read) for group in joined]


def _joinable(group: Sequence[Hit], hit: Hit) -> bool:
    return (
        len(group) < _LONGEST
        and hit.passage.location is None
        and all(other.passage.location is None for other in group)
        and all(other.passage.heading_path == hit.passage.heading_path for other in group)
    )


def _one(group: Sequence[Hit], read: Callable[[Passage, int, int], str | None]) -> Hit:
    best = group[0]
    if len(group) == 1:
        return best
    inside = sorted((hit.passage for hit in group), key=lambda passage: passage.start)
    start, end = inside[0].start, max(passage.end for passage in inside)
    text = read(best.passage, start, end)
    if text is None:
        return best
    return replace(best, passage=replace(inside[0], text=text, end=end))
