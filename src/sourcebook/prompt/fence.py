"""Retrieved text as data: each passage between tags that it cannot close, because it cannot know their code."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sourcebook.types import Passage


def code_of(texts: Iterable[str]) -> str:
    """A code for the tags, made of all the texts of a prompt and found in none of them.

    The same texts have the same code, so that a prompt can be rebuilt byte for byte; who writes one of the texts
    cannot foresee it, because it depends on the question and on all the other passages as well.
    """
    known = list(texts)
    digest = blake2b(digest_size=6)
    for text in known:
        data = text.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "little") + data)
    code = digest.hexdigest()
    while any(code in text for text in known):
        digest.update(b"again")
        code = digest.hexdigest()
    return code


def fenced(number: int, passage: Passage, code: str) -> str:
    """A passage as it stands in a prompt: its number in the tag, where it is from on the first line, its text."""
    place = " > ".join(" ".join(part.split()) for part in place_of(passage))
    first = f"From: {place}\n\n" if place else ""
    return f'<passage-{code} number="{number}">\n{first}{passage.text}\n</passage-{code}>'


def place_of(passage: Passage) -> list[str]:
    """Title, headings, location and page, as far as they are known."""
    place = [part for part in (passage.title, *passage.heading_path, passage.location) if part]
    return place if passage.page is None else [*place, f"page {passage.page}"]
