"""PDF: the lines that stand on its pages -> paragraphs, list items and headings."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from sourcebook.parse.draft import Draft
from sourcebook.parse.inline import join_lines
from sourcebook.parse.outline import Entry
from sourcebook.types import BlockKind

if TYPE_CHECKING:
    from kreuzberg import ExtractionResult

_SOFT_HYPHEN = re.compile("[\x02\u00ad][ \t]*\n?")  # pdfium marks with \x02 a hyphen that only breaks a line
_HYPHEN_END = re.compile(r"(\w+)-[ \t]*\n[ \t]*(\w+)")
_ENDS_SENTENCE = re.compile(r"[.!?。！？:;…][\"'”’)\]\d]*$")
_NUMBERED = re.compile(r"(\d{1,2}(?:\.\d{1,2}){0,3})\.?\s+([^\W\d_][^\n.!?]{2,70})")
_NUMBER = re.compile(r"(?:\d{1,2}\.)*\d{1,2}\.?\s+(?=\D)")
_BULLET = re.compile(r"[•◦▪●○■□‣⁃·▶►➢✓➤∙*–-]\s+(?=\S)")
_COUNTED = re.compile(r"(?:\(?(?:\d{1,3}|[a-zA-Z]|[ivx]{1,5})[.)]|[①-⑳]|\[\d{1,3}\])\s+\S")
_MAX_HEADING = 150
_DEEPEST = 6  # level of a heading
_FULL = 0.7  # of the usual line length: a line as long as this was broken by the margin
_REPEATED = 3  # pages on which a line at the edge stands before it counts as a running head


def write_pdf(draft: Draft, result: ExtractionResult, outline: Sequence[Entry]) -> None:
    """Blocks with their pages. Lines are pdfium's, in its order.

    What may be a heading, kreuzberg tells by size, and the file's outline by name.
    """
    words = frozenset(re.findall(r"\w{4,}", result.content.lower()))
    pages = [
        (page["page_number"], [line.strip() for line in _unhyphenated(page["content"], words).split("\n")])
        for page in result.pages or ()
    ]
    running = _running_heads([lines for _, lines in pages])
    headings = _headings(result, words, running, outline)
    for number, lines in pages:
        kept = [line for place, line in enumerate(lines) if not _runs(line, place, len(lines), running)]
        for kind, text, level in page_blocks(kept, headings.get(number, {})):
            draft.add(kind, text, level=level, page=number)


def page_blocks(lines: Sequence[str], headings: dict[str, int]) -> Iterator[tuple[BlockKind, str, int]]:
    """(kind, text, level) of each block of a page."""
    usual = _usual_length(lines)
    begun: list[str] = []
    kind: BlockKind = "paragraph"
    number = 0
    while number < len(lines):
        line = lines[number]
        before = begun[-1] if begun else ""
        broken = len(before) >= _FULL * usual and not _ENDS_SENTENCE.search(before)  # goes on in this line
        found = None if broken else _heading_at(lines, number, headings, before)
        starts_new = not line or found or _BULLET.match(line) or _COUNTED.match(line)
        if begun and (starts_new or _ends(before, line, usual)):
            yield kind, _paragraph(begun, usual), 0
            begun, kind = [], "paragraph"
        if found:
            text, level, count = found
            yield "heading", text, level
            number += count
            continue
        if line:
            if not begun and (bullet := _BULLET.match(line)):
                kind, line = "list_item", line[bullet.end() :]
            begun.append(line)
        number += 1
    if begun:
        yield kind, _paragraph(begun, usual), 0


def _heading_at(
    lines: Sequence[str], number: int, headings: dict[str, int], before: str
) -> tuple[str, int, int] | None:
    """(text, level, number of lines) of the heading that begins at this line."""
    for count in (3, 2, 1):
        text = join_lines(lines[number : number + count])
        after = lines[number + count] if number + count < len(lines) else ""
        level = headings.get(_key(text), 0)
        if not level and _NUMBER.match(lines[number]):  # the outline may leave the number out
            level = headings.get(_key(_NUMBER.sub("", text, count=1)), 0)
        if level and not after[:1].islower():
            return text, level, count
    numbered = _NUMBERED.fullmatch(lines[number])
    after = lines[number + 1] if number + 1 < len(lines) else ""
    if not numbered or not numbered[2][0].isupper() or not after[:1].isupper() or len(after) <= len(lines[number]):
        return None
    if before and not _ENDS_SENTENCE.search(before):
        return None
    return lines[number], min(numbered[1].count(".") + 2, _DEEPEST), 1


def _ends(before: str, after: str, usual: int) -> bool:
    """Whether a paragraph ends between two lines: the first is short and ends a sentence."""
    return len(before) < _FULL * usual and bool(_ENDS_SENTENCE.search(before)) and not after[:1].islower()


def _paragraph(lines: Sequence[str], usual: int) -> str:
    """Lines that the margin broke are joined; short ones, as in addresses and tables, stay lines."""
    parts: list[list[str]] = [[]]
    for line, after in zip(lines, (*lines[1:], ""), strict=True):
        parts[-1].append(line)
        if len(line) < _FULL * usual and len(line) > 2 and len(after) > 2 and not after[:1].islower():
            parts.append([])
    return "\n".join(filter(None, map(join_lines, parts)))


def _usual_length(lines: Iterable[str]) -> int:
    """Characters of a full line: nine tenths of the text stand in lines that are no longer."""
    lengths = sorted(len(line) for line in lines if line)
    if not lengths:
        return 1
    left = 0.9 * sum(lengths)
    for length in lengths:
        left -= length
        if left <= 0:
            return length
    return lengths[-1]


def _headings(
    result: ExtractionResult, words: frozenset[str], running: frozenset[str], outline: Sequence[Entry]
) -> dict[int, dict[str, int]]:
    """Page -> key of the heading's text -> level, as far as they look like headings or the outline says so."""
    headings: dict[int, dict[str, int]] = {}
    for entry in outline:
        if any(map(str.isalpha, entry.name)):
            headings.setdefault(entry.page, {})[_key(entry.name)] = min(entry.depth, _DEEPEST)
    deepest = max((entry.depth for entry in outline), default=0)
    page = 1
    for node in result.document["nodes"] if result.document else ():
        page = node.get("page") or page
        content = node["content"]
        if content["node_type"] in ("heading", "title"):
            lines = _unhyphenated(content.get("text") or "", words).split("\n")
            text = join_lines(line for line in lines if _without_numbers(line.strip()) not in running)
            known = headings.setdefault(page, {})
            if _is_heading(text) and known.keys().isdisjoint((_key(text), _key(_NUMBER.sub("", text, count=1)))):
                known[_key(text)] = min(deepest + int(content.get("level") or 1), _DEEPEST)  # below what has a name
    return headings


def _is_heading(text: str) -> bool:
    """Short, begins like one, and neither ends a sentence nor breaks off in the middle of one."""
    if not text or len(text) > _MAX_HEADING or text[0].islower() or sum(map(str.isalpha, text)) < 2:
        return False
    if text.endswith((",", ";", "-", "–", "。")) or text.count("(") != text.count(")"):
        return False
    return not (text.endswith(".") and len(text.split()) > 3)


def _key(text: str) -> str:
    return "".join(text.split()).casefold()


def _running_heads(pages: Sequence[Sequence[str]]) -> frozenset[str]:
    """Lines that stand at the top or bottom of several pages, whatever number is in them."""
    seen = Counter(key for lines in pages for key in {_without_numbers(line) for line in (*lines[:2], *lines[-2:])})
    return frozenset(key for key, times in seen.items() if times >= max(_REPEATED, len(pages) * 0.3))


def _runs(line: str, place: int, count: int, running: frozenset[str]) -> bool:
    return bool(line) and (place < 2 or place >= count - 2) and _without_numbers(line) in running


def _without_numbers(line: str) -> str:
    return re.sub(r"\d+", "#", line)


def _unhyphenated(text: str, words: frozenset[str]) -> str:
    """Lines without the hyphens that only break words over lines.

    A hyphen at a line end goes if the word without it stands elsewhere in the document; otherwise it stays, and
    the two halves are joined with it.
    """
    text = _SOFT_HYPHEN.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    if "-" not in text:
        return text
    return _HYPHEN_END.sub(lambda match: _joined(match[1], match[2], words), text)


def _joined(left: str, right: str, words: frozenset[str]) -> str:
    if (left + right).lower() in words and right[:1].islower():
        return left + right
    return f"{left}-{right}"
