r"""A model's text with markers, as it streams, into sentences and the numbers of the passages that each rests on.

Markers are [1], [2][3], [1], [2], [1, 2], [1-3], [1 to 3], [Passage 2, Passage 3], [^1], [**1**], \[1\], 【1】,
【1†source】 and their full-width kin; [0] says that no passage answers. They may come in any number of pieces. Not
markers: what stands in code, a link's text, an index such as rows[1], and numbers too large to be a passage's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from sourcebook.language import sentences


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """A passage that is cited. number: its own, from 1, which may not exist; 0 says that none answers.

    at: where in the sentence's text it stood. span: characters of the passage, if the model itself has named them.
    """

    number: int
    at: int
    span: tuple[int, int] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Sentence:
    """A sentence of a reply, or a line of it that is none: a heading, a table row, code.

    text: without its markers, with the white space before it. code: it stands in a block of code.
    """

    text: str
    marks: tuple[Mark, ...] = ()
    code: bool = False


class SentenceReader:
    """Takes a reply in pieces and gives its sentences as soon as they and their markers are complete.

    The sentences do not depend on how the reply was cut into pieces. names: of the passages as they are known so far,
    in the order of their numbers; they stand in for markers that the text uses as nouns ("According to [2], ...").
    language: ISO 639-1, of the reply, if known.
    """

    def __init__(self, names: Callable[[], Sequence[str]], *, language: str | None = None) -> None:
        self._named = names
        self._language = language
        self._tail = ""  # not looked at yet, or not to be understood yet
        self._plain = ""  # text without markers that is not given yet
        self._marks: list[_Placed] = []
        self._line_given = ""  # of the line that the plain text begins in
        self._leading: bool | None = None  # whether markers stand before what they are for; the first one tells
        self._in_code = 0  # lines of the block of code so far, and one

    def feed(self, text: str) -> list[Sentence]:
        """The sentences that are complete with this piece."""
        self._tail += text
        return self._given(final=False)

    def close(self) -> list[Sentence]:
        """What is left when the reply has ended."""
        return self._given(final=True)

    def cite(self, number: int, start: int, end: int) -> None:
        """The model itself says what the text just written rests on."""
        self._marks.append(_Placed(number=number, at=len(self._plain), span=(start, end)))

    def _given(self, *, final: bool) -> list[Sentence]:
        given: list[Sentence] = []
        while True:
            if self._in_code:
                if not self._read_code(given, final=final):
                    break
            elif not self._read(final=final):  # up to a block of code
                given.extend(self._complete(final=final))
                break
            else:
                given.extend(self._complete(final=True))
                self._in_code = 1
        return given

    @property
    def _names(self) -> Sequence[str]:
        return self._named()

    @property
    def _line(self) -> str:
        """The line that the plain text ends in."""
        return (self._line_given + self._plain).rpartition("\n")[2]

    # --- markers ------------------------------------------------------------------------------------------------

    def _read(self, *, final: bool) -> bool:
        """Move what is understood of the tail to plain text and marks; true if a block of code begins."""
        while self._tail:
            special = _SPECIAL.search(self._tail)
            before = special.start() if special else len(self._tail)
            self._plain += self._tail[:before]
            self._tail = self._tail[before:]
            if special is None:
                return False
            taken = self._read_code_mark(final=final) if self._tail[0] == "`" else self._read_bracket(final=final)
            if taken is None:
                return True
            if not taken:
                return False
            self._tail = self._tail[taken:]
        return False

    def _read_code_mark(self, *, final: bool) -> int | None:
        """Characters taken of inline code; 0 to wait; None where a block of code begins."""
        run = len(self._tail) - len(self._tail.lstrip("`"))
        if not self._line.strip():
            if run >= _FENCE:
                return None
            if run == len(self._tail) and not final:
                return 0
        line, newline, _ = self._tail.partition("\n")
        closing = line.find("`" * run, run)
        if closing < 0 and not newline and not final and len(line) < _LONGEST_CODE:
            return 0
        taken = closing + run if closing >= 0 else run
        self._plain += self._tail[:taken]
        return taken

    def _read_bracket(self, *, final: bool) -> int:
        """Characters taken of what may be a marker; 0 to wait."""
        found = _MARKER.match(self._tail)
        if found is None or len(found[0]) > _LONGEST:
            if not final and len(self._tail) < _LONGEST and _BEGUN.fullmatch(self._tail):
                return 0
            self._plain += self._tail[0]
            return 1
        rest = self._tail[found.end() :]
        after = rest[:2]
        if not final and ((len(after) < 2 and "\n" not in after) or not rest.strip(" \t")):
            return 0
        joint = self._joint(rest, final=final)
        if joint is None:
            return 0
        numbers = _numbers(found["numbers"] or found["wide"], len(self._names))
        if not self._is_marker(numbers, after):
            self._plain += found[0]
        elif self._is_noun(numbers, after):
            at = len(self._plain)
            self._plain += " and ".join(f"“{self._names[number - 1]}”" for number in numbers)
            self._marks.extend(_Placed(number=number, at=at) for number in numbers)
        else:
            return found.end() + joint + self._place(numbers, rest[joint:])
        return found.end()

    def _joint(self, rest: str, *, final: bool) -> int | None:
        """Characters between a marker and a further one, as of "[1], [2]"; None to wait."""
        joint = _JOINT.match(rest)
        if joint is None:
            return 0
        following = rest[joint.end() :]
        if _MARKER.match(following):
            return joint.end()
        waits = not final and len(following) < _LONGEST and (not following or _BEGUN.fullmatch(following))
        return None if waits else 0

    def _is_marker(self, numbers: Sequence[int], after: str) -> bool:
        if not numbers or after.startswith("(") or (not self._names and numbers != [0]):
            return False
        word = _IDENTIFIER.search(self._line)
        if word is None or (self._marks and self._marks[-1].at == len(self._plain)):
            return not (after.startswith(":") and not self._line.strip())  # [1]: http...
        if 0 in numbers or _INDEXED.match(after):
            return False
        return not (_VARIABLE.fullmatch(word[0]))

    def _is_noun(self, numbers: Sequence[int], after: str) -> bool:
        """Whether the sentence would lack a word without it: "According to [2], ...", "as [1] says"."""
        if not all(1 <= number <= len(self._names) and self._names[number - 1] for number in numbers):
            return False
        line = self._line
        if not line.strip():
            return bool(_VERB.match(after))
        if not line.endswith((" ", "\u00a0")):
            return False
        return line.split()[-1].lower().strip("(") in _BEFORE_NAMES

    def _place(self, numbers: Sequence[int], rest: str) -> int:
        """Keep the marks; characters of white space after them that go, too."""
        leads = not _BULLET.sub("", self._line).strip() and bool(rest.strip(" \t")[:1].strip())
        if self._leading is None:
            self._leading = leads
        elif self._leading and not leads:
            leads = self._line.endswith(" ") and self._line.rstrip().endswith(_STOPS)
        spaces = len(rest) - len(rest.lstrip(" \t")) if leads else 0
        if not leads and (not rest or rest[0].isspace() or rest[0] in _PUNCTUATION):
            self._plain = self._plain.rstrip(" \t") if self._plain.strip() else self._plain
        self._marks.extend(_Placed(number=number, at=len(self._plain), leads=leads) for number in numbers)
        return spaces

    # --- sentences ----------------------------------------------------------------------------------------------

    def _complete(self, *, final: bool) -> list[Sentence]:
        """Take the sentences off the plain text that are complete."""
        taken: list[Sentence] = []
        while (end := self._end(final=final)) is not None:
            text, self._plain = self._plain[:end], self._plain[end:]
            self._line_given = (self._line_given + text).rpartition("\n")[2]
            gap = end + len(self._plain) - len(self._plain.lstrip())
            own = [one for one in self._marks if one.at < end or (one.at <= gap and not one.leads)]
            self._marks = [one.moved(end) for one in self._marks if one not in own]
            marks = tuple(Mark(number=one.number, at=min(one.at, end), span=one.span) for one in own)
            taken.append(Sentence(text=text, marks=marks))
        return taken

    def _end(self, *, final: bool) -> int | None:
        """Where the first sentence of the plain text ends, if that is certain."""
        plain = self._plain
        start = len(plain) - len(plain.lstrip())
        if start == len(plain):
            return None
        line_end = _line_end(plain, start, final=final and not self._tail)
        block = plain[start : line_end if line_end is not None else len(plain)]
        spans = sentences(block, self._language)
        if len(spans) > 1:
            following = block[spans[1][0] :]
            certain = final or line_end is not None or _WHOLE_WORD.match(following)
            return start + spans[0][1] if certain else None
        return start + spans[0][1] if final or line_end is not None else None

    # --- code ---------------------------------------------------------------------------------------------------

    def _read_code(self, given: list[Sentence], *, final: bool) -> bool:
        """Give the lines of a block of code as they are; true when the block is over."""
        while self._tail:
            line, newline, rest = self._tail.partition("\n")
            if not newline and not final:
                return False
            given.append(Sentence(text=self._plain + line + newline, code=True))
            self._line_given = "" if newline else line
            self._plain, self._tail = "", rest
            closes = line.strip().startswith("`" * _FENCE) and self._in_code > 1
            self._in_code = 0 if closes else self._in_code + 1
            if closes:
                return True
        return False


@dataclass(frozen=True, kw_only=True, slots=True)
class _Placed:
    """A mark in plain text. leads: it stands at the beginning of a line, and is for what follows."""

    number: int
    at: int
    leads: bool = False
    span: tuple[int, int] | None = None

    def moved(self, end: int) -> _Placed:
        """As it stands when the text up to `end` has been taken."""
        return replace(self, at=max(0, self.at - end))


def _numbers(written: str, known: int) -> list[int]:
    """What "1, 2" or "2-4" name, in order; none if it is too much to be passages. known: how many there are."""
    found: list[int] = []
    for part in _COMMA.split(_NAMED.sub("", written)):
        first, _, last = _TO.sub("-", part).strip(" \t").partition("-")
        if any(len(one) > 2 and int(one) > known for one in (first, last)):
            return []
        if last and not 0 < int(last) - int(first) < _LONGEST_RANGE:
            return []
        found.extend(range(int(first), int(last or first) + 1))
    return list(dict.fromkeys(found))


def _line_end(plain: str, start: int, *, final: bool) -> int | None:
    """The line break from `start` on that ends a sentence or a line of its own, if it is certain; else None.

    A line that is only wrapped goes on with a small letter, and has no full stop before the break.
    """
    position = plain.find("\n", start)
    while position >= 0:
        rest = plain[position:].lstrip()
        if not rest:
            return position if final else None
        before = plain[start:position].rstrip()
        wrapped = rest[0].islower() and "\n" not in plain[position + 1 : len(plain) - len(rest)]
        if not wrapped or before.endswith(_STOPS) or before.startswith(("#", "|")):
            return position
        position = plain.find("\n", position + 1)
    return None


_NUMBER: Final = r"\d{1,4}"
_AND: Final = r"[,;、，&]|and|und|et|en|e|y|와|과|및|和"
_UP_TO: Final = r"[\-–—]|to|bis|à"
_KIND: Final = (
    r"(?:passages?|sources?|documents?|docs?|refs?|quellen?|abschnitte?|fuentes?|fonti|fonte|bron"
    r"|본문|출처|문서|資料|来源)"
)
_WORD: Final = rf"(?:{_KIND}[\s:#.]*)?"
_LIST: Final = rf"{_NUMBER}(?:\s*(?:{_AND}|{_UP_TO})\s*{_WORD}{_NUMBER})*"
_MARKER: Final = re.compile(
    rf"\\?\[\[?\^?[ \t]*\*{{0,2}}{_WORD}(?P<numbers>{_LIST})\*{{0,2}}[ \t]*\\?\]?\]"
    rf"|[【［]{_WORD}(?P<wide>{_LIST})(?:†[^】］\n]{{0,120}})?[】］]",
    re.IGNORECASE,
)
_BEGUN: Final = re.compile(  # whatever may become a marker: its words whole, the last one perhaps not
    rf"\\?(?:\[\[?\^?(?:{_KIND}|and|und|et|en|to|bis|[\d\s:#.*,;、，&\-–—eyà와과및和])*+[^\W\d_]{{0,10}}\\?\]?)?"
    r"|[【［][^】］\n]*",
    re.IGNORECASE,
)
_SPECIAL: Final = re.compile(r"[\[【［`]|\\(?=\[|\Z)")
_JOINT: Final = re.compile(r"[,;][ \t]*(?=[\[【［\\]|\Z)")
_COMMA: Final = re.compile(rf"\s*(?:{_AND})\s*", re.IGNORECASE)
_TO: Final = re.compile(rf"\s*(?:{_UP_TO})\s*", re.IGNORECASE)
_NAMED: Final = re.compile(rf"{_KIND}[\s:#.]*", re.IGNORECASE)
_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z|[)\]]\Z")
_VARIABLE: Final = re.compile(r"[a-z]|\w*_\w*|[a-z]+(?:[A-Z][a-z]*)+|[)\]]")
_INDEXED: Final = re.compile(r"[ \t]?[=+*/%<>]|\.\w|->")
_BULLET: Final = re.compile(r"^\s*(?:[-*•]|\d{1,2}[.)])\s")
_VERB: Final = re.compile(r" [a-z]")
_WHOLE_WORD: Final = re.compile(r"\S+\s|[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]|\S{20}")
_BEFORE_NAMES: Final = frozenset(
    "to in by from per see via of laut nach aus siehe gemäß selon dans voir según en véase secondo segundo em volgens"
    " uit zie".split()
)
_PUNCTUATION: Final = ".,;:!?)\"'”’»…。，、；：！？」』）*_"
_STOPS: Final = (".", "!", "?", ":", ";", "…", "。", "！", "？", "：")
_FENCE: Final = 3
_LONGEST: Final = 160  # characters of a marker
_LONGEST_CODE: Final = 300  # characters of code in a line, that are waited for
_LONGEST_RANGE: Final = 20
