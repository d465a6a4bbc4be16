"""Replies that think first: only what stands between <TAG> and </TAG> is the answer."""

from __future__ import annotations

import re
from typing import Final


class Shown:
    """Divides a reply, as it comes, into reasoning and answer. tag: "" means that all of it is the answer.

    A reply that never opens the tag is all answer, its <think> parts left out: a model may forget the tag, but the
    asker should have what it said.
    """

    def __init__(self, tag: str) -> None:
        self._opening = re.compile(rf"<\s*{tag}\s*>", re.IGNORECASE) if tag else None
        self._closing = re.compile(rf"<\s*/\s*{tag}\s*>", re.IGNORECASE)
        self._inside = not tag
        self._over = False
        self._waiting = ""
        self._before = ""

    def feed(self, text: str) -> tuple[str, str]:
        """(reasoning, answer) that have become certain with this piece."""
        if self._opening is None:
            return "", text
        reasoning = ""
        self._waiting += text
        if not self._inside and not self._over:
            found = self._opening.search(self._waiting)
            cut = found.start() if found else _certain(self._waiting)
            reasoning = self._waiting[:cut]
            self._before += reasoning
            self._waiting = self._waiting[found.end() if found else cut :]
            self._inside = found is not None
        answer = ""
        if self._inside:
            found = self._closing.search(self._waiting)
            cut = found.start() if found else _certain(self._waiting)
            answer = self._waiting[:cut]
            self._waiting = self._waiting[found.end() if found else cut :]
            if found:
                self._inside, self._over = False, True
        if self._over:
            reasoning, self._waiting = reasoning + self._waiting, ""
        return reasoning, answer

    def close(self) -> str:
        """What is left of the answer when the reply has ended."""
        if self._opening is None or self._over:
            return ""
        if self._inside:
            return self._waiting
        return _THOUGHT.sub("", self._before + self._waiting)


def _certain(text: str) -> int:
    """Characters that no tag can begin in."""
    start = text.rfind("<")
    return start if start >= 0 and ">" not in text[start:] and len(text) - start < _LONGEST else len(text)


_LONGEST: Final = 24  # characters of a tag, with white space
_THOUGHT: Final = re.compile(r"(?s)^\s*(?:<think(?:ing)?>)?.*?</think(?:ing)?>|<think(?:ing)?>.*\Z")
