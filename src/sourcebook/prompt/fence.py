"""Quoted text as data, between tags that it cannot close because it cannot know their code.

Everything that is quoted in a prompt is fenced here: passages, what tools return, conversations that are summarised.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sourcebook.types import Passage

CODE_LENGTH: Final = 12
"""Characters of a code."""


def code_of(texts: Iterable[str], *, salt: str = "") -> str:
    """A code for tags, made of everything that is to stand between them, and found in none of it.

    salt: what nobody who writes one of the texts can know, such as the id of the answer: without it, who writes all
    of the texts can foresee the code. The same texts and salt have the same code, so that a prompt can be made again
    byte for byte.
    """
    known = list(texts)
    digest = blake2b(digest_size=CODE_LENGTH // 2)
    for text in (salt, *known):
        data = text.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "little") + data)
    code = digest.hexdigest()
    while any(code in text for text in known):
        digest.update(b"again")
        code = digest.hexdigest()
    return code


def code_of_passages(passages: Iterable[Passage], *, beside: Iterable[str] = (), salt: str = "") -> str:
    """The code for passages and for what else stands in the prompt; what is printed of a passage counts whole."""
    return code_of([*beside, *map(_printed, passages)], salt=salt)


def fenced_passage(number: int, passage: Passage, code: str) -> str:
    """A passage as it stands in a prompt: its number in the tag, where it is from on the first line, its text.

    code: of `code_of_passages`, with this passage among them.
    """
    return f'<passage-{code} number="{number}">\n{_printed(passage)}\n</passage-{code}>'


def fenced_passages(numbered: Sequence[tuple[int, Passage]], *, salt: str = "") -> list[str]:
    """Passages under their numbers, each between tags with one code."""
    code = code_of_passages((passage for _, passage in numbered), salt=salt)
    return [fenced_passage(number, passage, code) for number, passage in numbered]


def fenced_data(text: str, *, label: str = "", salt: str = "") -> str:
    """What a program returned. label: what it is of, such as the name of a tool."""
    source = f' of="{_UNSAFE.sub("_", label)}"' if label else ""
    tag = f"data-{code_of([text], salt=salt)}"
    return f"<{tag}{source}>\n{text}\n</{tag}>"


def place_of(passage: Passage) -> list[str]:
    """Title, headings, location and page, as far as they are known."""
    place = [part for part in (passage.title, *passage.heading_path, passage.location) if part]
    return place if passage.page is None else [*place, f"page {passage.page}"]


def _printed(passage: Passage) -> str:
    place = " > ".join(" ".join(part.split()) for part in place_of(passage))
    return f"From: {place}\n\n{passage.text}" if place else passage.text


_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_.-]")
