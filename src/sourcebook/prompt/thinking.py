"""Replies that think first: a leading <think> part is always reasoning; a template may name a tag for the answer."""

from __future__ import annotations

import re
from typing import Final


class Shown:
    """Divides a reply, as it comes, into reasoning and answer.

    tag: only what stands between <TAG> and </TAG> is the answer; "": all of it after the thought that it begins with.
    A reply that never opens the tag is all answer, its <think> parts left out: a model may forget the tag, but the
    asker should have what it said.
    """

    def __init__(self, tag: str) -> None:
        self._thought = _Thought()
        self._opening = re.compile(rf"<\s*{tag}\s*>", re.IGNORECASE) if tag else None
        self._closing = re.compile(rf"<\s*/\s*{tag}\s*>", re.IGNORECASE)
        self._inside = not tag
        self._over = False
        self._waiting = ""
        self._before = ""

    def feed(self, text: str) -> tuple[str, str]:
        """(reasoning, answer) that have become certain with this piece."""
        reasoning, text = self._thought.feed(text)
        if self._opening is None:
            return reasoning, text
        self._waiting += text
        if not self._inside and not self._over:
            found = self._opening.search(self._waiting)
            cut = found.start() if found else _certain(self._waiting)
            self._before += self._waiting[:cut]
            reasoning += self._waiting[:cut]
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
        rest = self._thought.close()
        if self._opening is None:
            return rest
        if self._over:
            return ""
        if self._inside:
            return self._waiting + rest
        return without_thought(self._before + self._waiting + rest)


def without_thought(text: str) -> str:
    """A whole reply without its thoughts, also where only the end of the first is marked."""
    return _THOUGHTS.sub("", text)


class _Thought:
    """Takes the thought that a reply begins with off it, as both come."""

    def __init__(self) -> None:
        self._waiting = ""
        self._begun = False
        self._over = False

    def feed(self, text: str) -> tuple[str, str]:
        """(of the thought, of the rest)."""
        if self._over:
            return "", text
        self._waiting += text
        if not self._begun:
            opening = _OPENING.match(self._waiting)
            if opening is None:
                if _MAY_OPEN.fullmatch(self._waiting):
                    return "", ""
                return "", self.close()
            self._begun, self._waiting = True, self._waiting[opening.end() :]
        closing = _CLOSING.search(self._waiting)
        if closing is None:
            cut = _certain(self._waiting)
            thought, self._waiting = self._waiting[:cut], self._waiting[cut:]
            return thought, ""
        thought, rest = self._waiting[: closing.start()], self._waiting[closing.end() :]
        self._over, self._waiting = True, ""
        return thought, rest

    def close(self) -> str:
        """What turned out to be no thought. One that never ends was one all the same."""
        self._over = True
        rest, self._waiting = self._waiting, ""
        return "" if self._begun else rest


def _certain(text: str) -> int:
    """Characters that no tag can begin in."""
    start = text.rfind("<")
    return start if start >= 0 and ">" not in text[start:] and len(text) - start < _LONGEST else len(text)


_LONGEST: Final = 24  # characters of a tag, with white space
_OPENING: Final = re.compile(r"(?i)\s*<think(?:ing)?>")
_MAY_OPEN: Final = re.compile(r"(?i)\s*(?:<(?:t(?:h(?:i(?:n(?:k(?:i(?:n(?:g)?)?)?)?)?)?)?)?)?")
_CLOSING: Final = re.compile(r"(?i)</think(?:ing)?>")
_THOUGHTS: Final = re.compile(r"(?is)^\s*(?:<think(?:ing)?>)?.*?</think(?:ing)?>|<think(?:ing)?>.*\Z")
