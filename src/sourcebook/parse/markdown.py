"""Markdown: headings, paragraphs, lists, code, tables as rows; front matter becomes metadata.

The text is what a reader of the page sees: no emphasis marks, no link targets, numbers of lists kept.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from sourcebook.parse.base import Limits
from sourcebook.parse.draft import Draft
from sourcebook.parse.encoding import decode
from sourcebook.parse.html import write_html
from sourcebook.parse.inline import join_lines, plain
from sourcebook.parse.rows import header_names, row_text
from sourcebook.types import BlockKind, Metadata, MetadataValue, ParsedDocument

_HEADING = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*))?$")
_CLOSING = re.compile(r"(?:^|[ \t]+)#+[ \t]*$")
_UNDERLINE = re.compile(r" {0,3}(=+|-+)[ \t]*$")
_RULE = re.compile(r" {0,3}([-*_])[ \t]*(?:\1[ \t]*){2,}$")
_FENCE = re.compile(r"[ \t]*(`{3,}|~{3,})([^`]*)$")
_ITEM = re.compile(r"[ \t]*(?:([-*+])|(\d{1,9}[.)]))(?:[ \t]+(.*)|$)")
_QUOTE = re.compile(r" {0,3}((?:>[ \t]?)+)")
_DELIMITER_ROW = re.compile(r"[ \t]*\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$")
_REFERENCE = re.compile(r" {0,3}\[[^\]]{1,200}\]:[ \t]*\S")
_HTML_BLOCK = re.compile(
    r"[ \t]*<(?:table|ul|ol|div|p|dl|details|section|h[1-6]|pre|center|blockquote|figure)\b", re.IGNORECASE
)
_CELL_END = re.compile(r"(?<!\\)\|")
_FRONT = re.compile(r"---[ \t]*\n(.*?)(?:\n)?^(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
_MAX_FRONT = 65_536


class MarkdownParser:
    """Line by line, in the block structure of CommonMark 0.31 with GitHub's tables."""

    fingerprint = "markdown-1"

    def accepts(self, name: str, head: bytes) -> bool:  # noqa: ARG002
        """By its name."""
        return name.lower().endswith((".md", ".markdown", ".mdx", ".qmd", ".rmd"))

    def parse(self, data: bytes, name: str, limits: Limits) -> ParsedDocument:  # noqa: ARG002
        """Title: of the front matter, or the first heading of level one. Errors: Damaged, Empty, TooLarge."""
        text = decode(data)
        metadata, text = front_matter(text)
        draft = Draft(limits)
        title = write_markdown(draft, text)
        stated = metadata.get("title")
        return draft.finish(title=str(stated) if stated else title, metadata=metadata)


def write_markdown(draft: Draft, text: str, *, page: int | None = None) -> str | None:
    """Add the blocks of a Markdown text to the draft; returns its first heading of level one."""
    return _Writer(draft, page).write(text.split("\n"))


class _Writer:
    """Goes through the lines once; `pending` are those of the paragraph or list item not yet ended."""

    def __init__(self, draft: Draft, page: int | None) -> None:
        self._draft = draft
        self._page = page
        self._pending: list[str] = []
        self._in_item = False
        self._title: str | None = None
        self._tables = 0

    def write(self, lines: list[str]) -> str | None:
        number = 0
        while number < len(lines):
            line = lines[number]
            if quote := _QUOTE.match(line):
                line = line[quote.end() :]
            if not line.strip():
                self._flush()
                number += 1
                continue
            number = self._line(lines, number, line)
        self._flush()
        return self._title

    def _line(self, lines: list[str], number: int, line: str) -> int:
        """Deals with the line at `number`; returns the number of the next one to deal with."""
        first = line.lstrip()[0]
        if first == "#" and (heading := _HEADING.match(line)):
            self._flush()
            self._heading(len(heading[1]), _CLOSING.sub("", heading[2] or ""))
        elif first in "`~" and (fence := _FENCE.match(line)):
            self._flush()
            return self._code(lines, number + 1, fence[1])
        elif first in "=-" and self._pending and not self._in_item and (under := _UNDERLINE.match(line)):
            text, self._pending = join_lines(self._pending), []
            self._heading(1 if under[1][0] == "=" else 2, text)
        elif first in "-*_" and _RULE.match(line):
            self._flush()
        elif "|" in line and not self._pending and _is_table(lines, number):
            return self._table(lines, number)
        elif (first in "-*+" or first.isdigit()) and (item := _ITEM.match(line)):
            if item[2] and self._pending and not self._in_item and item[2] not in ("1.", "1)"):
                self._pending.append(line)  # a number that happens to begin a line
            else:
                self._flush()
                self._in_item = True
                self._pending = [f"{item[2] or ''} {item[3]}"] if item[3] else []
        elif first == "[" and not self._pending and _REFERENCE.match(line) and "[^" not in line[:6]:
            pass
        elif first == "<" and line.lstrip().startswith("<!--"):
            self._flush()
            return _after_comment(lines, number)
        elif first == "<" and not self._pending and _HTML_BLOCK.match(line):
            return self._html(lines, number)
        elif line.startswith(("    ", "\t")) and not self._pending and not self._in_item:
            return self._indented(lines, number)
        else:
            self._pending.append(line)
        return number + 1

    def _heading(self, level: int, text: str) -> None:
        text = plain(text.strip())
        if level == 1 and self._title is None:
            self._title = text or None
        self._draft.add("heading", text, level=level, page=self._page)

    def _flush(self) -> None:
        """End the paragraph or item."""
        if self._pending:
            kind: BlockKind = "list_item" if self._in_item else "paragraph"
            text = join_lines(self._pending) if not any(map(_hard_break, self._pending)) else _broken(self._pending)
            self._draft.add(kind, plain(text), page=self._page)
            self._pending = []
        self._in_item = False

    def _code(self, lines: list[str], number: int, fence: str) -> int:
        code: list[str] = []
        while number < len(lines):
            line = lines[number].strip()
            number += 1
            if line.startswith(fence) and not line.strip(fence[0]):
                break
            code.append(lines[number - 1])
        self._draft.add("code", "\n".join(code), page=self._page)
        return number

    def _html(self, lines: list[str], number: int) -> int:
        """HTML up to the next empty line; a list or table up to its end."""
        tag = lines[number].split("<", 1)[1][:5].lower()
        end = next((close for close in ("</table", "</ul", "</ol") if close[2:] in tag), None)
        begin = number
        while number < len(lines) and (end or lines[number].strip()):
            number += 1
            if end and end in lines[number - 1].lower():
                break
        write_html(self._draft, "\n".join(lines[begin:number]))
        return number

    def _indented(self, lines: list[str], number: int) -> int:
        code: list[str] = []
        while number < len(lines) and (not lines[number].strip() or lines[number].startswith(("    ", "\t"))):
            line = lines[number]
            code.append(line[4:] if line.startswith("    ") else line[1:])
            number += 1
        self._draft.add("code", "\n".join(code), page=self._page)
        return number

    def _table(self, lines: list[str], number: int) -> int:
        self._tables += 1
        headers = header_names([plain(cell) for cell in _cells(lines[number])])
        number += 2
        row = 1
        while number < len(lines) and lines[number].strip() and "|" in lines[number]:
            row += 1
            text = row_text(headers, [plain(cell) for cell in _cells(lines[number])])
            self._draft.add("table_row", text, page=self._page, location=f"table {self._tables} row {row}")
            number += 1
        if row == 1:
            self._draft.add("table_row", " | ".join(headers), page=self._page)
        return number


def front_matter(text: str) -> tuple[Metadata, str]:
    """Metadata of a YAML header between lines of dashes, and the text after it."""
    if not text.startswith("---"):
        return {}, text
    front = _FRONT.match(text[:_MAX_FRONT])
    if front is None or ":" not in front[1]:
        return {}, text
    import yaml

    try:
        values = yaml.safe_load(front[1])
    except (yaml.YAMLError, ValueError, RecursionError):
        return {}, text
    if not isinstance(values, Mapping):
        return {}, text
    metadata = {str(key): value for key, found in values.items() if (value := _metadata_value(found)) is not None}
    return metadata, text[front.end() :]


def _metadata_value(value: object) -> MetadataValue | None:
    """Scalars and lists of scalars; dates in ISO 8601; anything deeper is left out."""
    if isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, list):
        if all(isinstance(item, (bool, int, float, str)) for item in value):
            return tuple(map(str, value))
        return None
    isoformat = getattr(value, "isoformat", None)
    return str(isoformat()) if isoformat else None


def _is_table(lines: list[str], number: int) -> bool:
    """A row with a row of dashes of as many cells under it."""
    if number + 1 >= len(lines):
        return False
    under = lines[number + 1]
    if "-" not in under or not _DELIMITER_ROW.match(under):
        return False
    return len(_cells(lines[number])) == len(_cells(under))


def _cells(line: str) -> list[str]:
    line = line.strip().removeprefix("|")
    if line.endswith("|") and not line.endswith("\\|"):
        line = line[:-1]
    return [cell.strip().replace("\\|", "|") for cell in _CELL_END.split(line)]


def _after_comment(lines: list[str], number: int) -> int:
    """The line after the one that ends the comment; if none does, only this line is left out."""
    for later in range(number, len(lines)):
        if "-->" in lines[later]:
            return later + 1
    return number + 1


def _hard_break(line: str) -> bool:
    return line.endswith(("  ", "\\"))


def _broken(lines: list[str]) -> str:
    """Lines joined, except after those that ask for a line end."""
    parts: list[list[str]] = [[]]
    for line in lines:
        parts[-1].append(line.removesuffix("\\"))
        if _hard_break(line):
            parts.append([])
    return "\n".join(filter(None, map(join_lines, parts)))
