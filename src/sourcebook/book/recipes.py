"""What documents are turned into passages with, as text: when it changes, they are made anew."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from hashlib import blake2b

from sourcebook.config import Chunk, Parse

COMPOSITION = "title > headings, text: 1"
"""How the text that is embedded for a passage is made up; part of what embeddings are kept by."""


def embedded_text(title: str | None, heading_path: Sequence[str], text: str) -> str:
    """What is embedded and indexed for a passage: its text, under the title and headings it stands under."""
    context = [part for part in (title, *heading_path) if part and part not in text]
    return "\n".join([" > ".join(context), text]) if context else text


class Recipes:
    """parser: fingerprint of the parsers. chunk, parse: the settings that take part."""

    def __init__(self, parser: str, chunk: Chunk, parse: Parse) -> None:
        parts = (parser, str(chunk.tokens), str(chunk.overlap), COMPOSITION)
        self._shared = blake2b("\0".join(parts).encode(), digest_size=8).hexdigest()
        limits = repr(list(asdict(parse).values()))
        self._limits = blake2b(limits.encode(), digest_size=4).hexdigest()

    def of(self, name: str) -> str:
        """What turns the bytes of a file of this name into passages: parser, chunker, their settings, its ending."""
        return f"{self._shared}:{os.path.splitext(name)[1].lower()}"

    def attempt(self, name: str) -> str:
        """The recipe, and the limits under which it may fail: a failure is final until one of them changes."""
        return f"{self.of(name)}:{self._limits}"
