"""A reply that broke off, continued by another model: how it is asked, and where the two pieces join."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from sourcebook.models.base import Message, Model, ModelRequest


@dataclass(frozen=True, kw_only=True, slots=True)
class Continuation:
    """The request that asks a model to go on, and the joint that takes out what it repeats."""

    request: ModelRequest
    joint: Joint


def continuation(request: ModelRequest, model: Model, text: str, *, begun: bool | None = None) -> Continuation | str:
    """How the model is asked to go on after the text, or why it cannot be.

    A model that `continues` is given the text as the beginning of its turn (less the white space at its end, which
    some vendors refuse and all write again). It is not held to a schema then: servers that hold a reply to one begin
    with the first token that is generated, and would write a whole new value.
    Any other is given the text as a turn that broke off, and is asked to begin with its last words, so that the two
    pieces can be joined exactly. begun: which of the two; None: by what the model declares.
    """
    if not text.strip():
        return Continuation(request=request, joint=Joint(text, exact=True))
    begun = model.capabilities.continues if begun is None else begun
    if request.schema is not None and not begun:
        return "it cannot go on in the middle of JSON of a schema"
    if not request.messages or (model.capabilities.cites and not begun):
        return "it writes from question and evidence, and cannot go on after another's text"
    messages, written = _own_words(request.messages, text)
    left = max(request.max_output_tokens - model.count_tokens(text), _LEAST_TOKENS)
    if begun:
        beginning = Message(role="assistant", text=written.rstrip())
        asked = replace(
            request,
            messages=(*messages, beginning),
            max_output_tokens=left,
            schema=None,
            reasoning=None if request.reasoning is None else "none",  # it has been thought about already
        )
        return Continuation(request=asked, joint=Joint(text, exact=True))
    anchor = text[_anchor(text) :]
    turns = (Message(role="assistant", text=written), Message(role="user", text=_GO_ON.format(anchor=anchor)))
    asked = replace(request, messages=(*messages, *turns), max_output_tokens=left + model.count_tokens(anchor) + 8)
    return Continuation(request=asked, joint=Joint(text, exact=False))


def _own_words(messages: tuple[Message, ...], text: str) -> tuple[tuple[Message, ...], str]:
    """The messages without a beginning of the reply at their end, and that beginning with the text after it."""
    if messages[-1].role == "assistant" and not messages[-1].tool_calls:
        return messages[:-1], messages[-1].text + text
    return messages, text


_GO_ON: Final = (
    "Your reply above broke off in the middle. Write the rest of it. Begin with its last characters, exactly as they "
    "stand between the marks, and go on from there as if you had never stopped; say nothing about the break.\n"
    "<<<{anchor}>>>"
)
_LEAST_TOKENS: Final = 16


# --- the joint ----------------------------------------------------------------------------------------------


class Joint:
    """Takes out of a continuation what it repeats of the text before it.

    exact: the model was given the text as its own beginning. Then it repeats nothing but the white space that it was
    not given, unless it begins all over again. Otherwise it was asked to repeat the last words; where it repeats more
    or less than that, the whole text, or as much of its end as nobody repeats by chance, is taken out.

    Text is held back only while it may still turn out to be a repetition.
    """

    def __init__(self, before: str, *, exact: bool) -> None:
        self._before = before
        self._exact = exact
        self._space = len(before.rstrip())  # from here on it is white space
        self._anchor = _anchor(before)
        self._held = ""
        self._open = bool(before)

    @property
    def held(self) -> int:
        """Characters held back now."""
        return len(self._held)

    def push(self, piece: str) -> str:
        """What of the text so far is certain to be new."""
        if not self._open:
            return piece
        self._held += piece
        return self._settled(last=False)

    def end(self) -> str:
        """No more comes, or none that belongs to the same text: the rest."""
        return self._settled(last=True) if self._open else ""

    def _settled(self, *, last: bool) -> str:
        held = self._held
        bare = held.lstrip(_ORNAMENTS)
        for skipped in (0,) if self._exact or bare == held else (0, len(held) - len(bare)):
            repeated = self._repeated(held[skipped:], last=last)
            if repeated is None:
                return ""
            if repeated:
                return self._release(skipped + repeated)
        if not last and not self._exact and not bare and len(held) < _MOST_ORNAMENTS:
            return ""  # quotation marks or dots, perhaps around a repetition
        return self._release(0)

    def _release(self, dropped: int) -> str:
        self._open = False
        rest, self._held = self._held[dropped:], ""
        return rest

    def _repeated(self, text: str, *, last: bool) -> int | None:
        """How many characters of it repeat the end of the text before; None if more must come to tell."""
        if not text:
            return 0
        if not self._exact and text.startswith(self._before[self._anchor :]):
            return len(self._before) - self._anchor  # as asked
        longest = 0
        for start, believed in self._starts(text[0]):
            length = len(self._before) - start
            if not self._before.startswith(text[:length], start):
                continue
            if not last and (len(text) < length or (len(text) == length and not believed)):
                return None
            if len(text) == length or (len(text) > length and believed):
                longest = longest or length
        return longest

    def _starts(self, first: str) -> Iterator[tuple[int, bool]]:
        """Where in the text before a repetition may begin, foremost first.

        And whether it is believed to be one if more follows, not only if it is all that the model had to say.
        """
        before = self._before
        start = before.find(first)
        while start >= 0:
            length = len(before) - start
            if self._exact:
                if start >= self._space or (start == 0 and length >= _LEAST_EXACT):
                    yield start, True
            elif start in (0, self._anchor) or length >= _LEAST_ANYWHERE:
                yield start, True
            elif length >= _LEAST_WHOLE and _is_edge(before, start):
                yield start, length >= _LEAST_ASKED
            start = before.find(first, start + 1)


def _anchor(text: str) -> int:
    """Where the last words begin that a model is asked to repeat: some 40 characters before the end, at a word."""
    start = max(len(text) - _ANCHOR, 0)
    if start == 0:
        return 0
    return next((place for place in range(start, len(text) - _ANCHOR // 2) if _is_word_start(text, place)), start)


def _is_word_start(text: str, place: int) -> bool:
    return _is_edge(text, place) and not text[place].isspace()


def _is_edge(text: str, place: int) -> bool:
    """Whether a word may begin here; where words are not spaced, anywhere."""
    if place == 0:
        return True
    before, after = text[place - 1], text[place]
    return not (before.isalnum() and after.isalnum()) or after >= _UNSPACED


_ANCHOR: Final = 48  # characters
_LEAST_ASKED: Final = 12  # a shorter repetition may be chance, unless it was asked for
_LEAST_ANYWHERE: Final = 24  # as may one that begins within a word
_LEAST_EXACT: Final = 32
_LEAST_WHOLE: Final = 4
_MOST_ORNAMENTS: Final = 8
_ORNAMENTS: Final = " \t\r\n\"'`“”„«»‘’.…<>*"
_UNSPACED: Final = "\u0e00"
