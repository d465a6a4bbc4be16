"""HTML: what a reader of the page reads. Scripts, styles, navigation and forms are left out."""

from __future__ import annotations

import re
from collections import Counter
from html.parser import HTMLParser
from typing import NamedTuple

from sourcebook.parse.base import Limits
from sourcebook.parse.draft import Draft
from sourcebook.parse.encoding import decode
from sourcebook.parse.grid import Grid
from sourcebook.types import BlockKind, MetadataValue, ParsedDocument

_HIDDEN_TAGS = (
    "script style noscript template svg math head nav form button select option textarea iframe object embed "
    "canvas audio video map dialog menu"
)
_VOID_TAGS = "area base br col embed hr img input link meta param source track wbr"
_BLOCK_TAGS = (
    "p div section article main header footer aside ul ol li dl dt dd table thead tbody tfoot tr td th caption "
    "blockquote pre figure figcaption address details summary fieldset hr body html center"
)
_HIDDEN = frozenset(_HIDDEN_TAGS.split())
_VOID = frozenset(_VOID_TAGS.split())
_FRAME = frozenset(("header", "footer", "aside"))  # left out if the page says where its main part is
_MAIN = frozenset(("main", "article"))
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_BLOCKS = frozenset(_BLOCK_TAGS.split()) | set(_HEADINGS)
_ENDED_BY = {  # an open element of the key ends where one of these begins
    "p": _BLOCKS - {"body", "html"},
    "li": frozenset(("li",)),
    "dt": frozenset(("dt", "dd")),
    "dd": frozenset(("dt", "dd")),
    "td": frozenset(("td", "th", "tr", "tbody", "tfoot")),
    "th": frozenset(("td", "th", "tr", "tbody", "tfoot")),
    "tr": frozenset(("tr", "tbody", "tfoot")),
    "option": frozenset(("option",)),
}
_ROLES = frozenset(("navigation", "search", "menu", "menubar", "dialog", "alertdialog", "banner", "contentinfo"))
_FURNITURE = re.compile(
    r"(?:^|[\s_-])(?:nav|navbar|navbox|navigation|breadcrumbs?|cookies?|cookie-?(?:banner|consent|notice)|"
    r"skip-?(?:link|to-content)|jump-link|editsection|share-buttons|noprint|sr-only|screen-reader-text)(?:$|[\s_-])",
    re.IGNORECASE,
)
_MENU = 12  # items in a row that are only links
_SPACE = re.compile(r"\s+")
_SPACES = re.compile(r"  +")
_INVISIBLE = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_CHARSET = re.compile(rb"""<meta[^>]{1,200}charset\s*=\s*["']?\s*([A-Za-z0-9_:.-]{2,40})""", re.IGNORECASE)
_META = {
    "author": "author",
    "description": "description",
    "keywords": "keywords",
    "date": "date",
    "article:published_time": "date",
    "dc.date": "date",
    "dc.creator": "author",
}


class WebPageParser:
    """By the tokenizer of the standard library, which reads what browsers read."""

    fingerprint = "html-2"

    def accepts(self, name: str, head: bytes) -> bool:
        """By its name, or the beginning of its text."""
        if name.lower().endswith((".html", ".htm", ".xhtml", ".xht")):
            return True
        start = head[:1000].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
        return start.startswith((b"<!doctype html", b"<html"))

    def parse(self, data: bytes, name: str, limits: Limits) -> ParsedDocument:  # noqa: ARG002
        """Title: of the head, or else the first h1. Errors: Damaged, Empty, TooLarge."""
        declared = _CHARSET.search(data[:4096])
        text = decode(data, declared=declared[1].decode("ascii") if declared else None)
        draft = Draft(limits)
        title, metadata = write_html(draft, text)
        return draft.finish(title=title, metadata=metadata)


def write_html(draft: Draft, text: str) -> tuple[str | None, dict[str, MetadataValue]]:
    """Add the blocks of a page to the draft; returns its title and what its head says of it."""
    text = _closed(text)
    reader = _Reader()
    reader.feed(text)
    reader.finish()
    if not reader.found:  # all of it looks like furniture
        reader = _Reader(everything=True)
        reader.feed(text)
        reader.finish()
    reader.found = _without_link_lists(reader.found)
    main = sum(len(found.text) for found in reader.found if found.where == "main")
    everything = sum(len(found.text) for found in reader.found)
    only_main = main > 500 or main > everything / 2
    for found in reader.found:
        if found.where == "main" or not only_main or (found.level == 1 and found.where == "body"):
            draft.add(found.kind, found.text, level=found.level, location=found.location)
    first = next((found.text for found in reader.found if found.level == 1), None)
    return reader.title or first, reader.metadata


class _Reader(HTMLParser):
    """Keeps a stack of open elements; text gathers until the block that it belongs to ends."""

    def __init__(self, *, everything: bool = False) -> None:
        super().__init__(convert_charrefs=True)
        self._everything = everything
        self.title: str | None = None
        self.metadata: dict[str, MetadataValue] = {}
        self.found: list[_Found] = []
        self._open: list[tuple[str, bool]] = []  # (tag, whether it hides what is in it)
        self._count: Counter[str] = Counter()
        self._hiding = 0
        self._text: list[str] = []
        self._title_text: list[str] | None = None
        self._grids: list[Grid] = []
        self._tables = 0
        self._linked = 0  # characters of the gathered text that stand in links
        self._item = ""  # number of the list item that begins
        self._numbers: list[int] = []  # of the open lists; -1 in one without numbers

    # --- called by the tokenizer ------------------------------------------------------------------------

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "br":
            self._text.append("\n")
        elif tag == "meta":
            self._meta({key: value or "" for key, value in attrs})
        elif tag == "title" and self.title is None and not self._count["svg"]:
            self._title_text = []
        if tag in _VOID:
            if tag == "hr":
                self.end_block()
            return
        if tag == "body":
            self._close("head")
        self._close_implied(tag)
        if tag in _BLOCKS:
            self.end_block()
        hides = tag in _HIDDEN or (bool(attrs) and not self._everything and _hides(tag, attrs))
        self._open.append((tag, hides))
        self._count[tag] += 1
        self._hiding += hides
        if not self._hiding:
            self._begin(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if tag == "title" and self._title_text is not None:
            self.title, self._title_text = " ".join("".join(self._title_text).split()) or None, None
        elif tag == "p" and not self._count["p"]:
            self.end_block()
        self._close(tag)

    def handle_data(self, data: str) -> None:
        if self._title_text is not None:
            self._title_text.append(data)
        elif not self._hiding:
            self._linked += len(data.strip()) if self._count["a"] else 0
            self._text.append(data if self._count["pre"] else _SPACE.sub(" ", data))

    # --- elements ---------------------------------------------------------------------------------------

    def _begin(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            if self._grids:
                self._as_layout(self._grids[-1])
            self._tables += 1
            self._grids.append(Grid())
        elif tag == "tr" and self._grids:
            self._grids[-1].begin_row(head=bool(self._count["thead"]))
        elif tag in ("td", "th") and self._grids:
            spans = dict(attrs)
            columns, rows = _number(spans.get("colspan")), _number(spans.get("rowspan"))
            self._grids[-1].begin_cell(header=tag == "th", columns=columns, rows=rows)
        elif tag in ("ol", "ul"):
            self._numbers.append(_number(dict(attrs).get("start")) - 1 if tag == "ol" else -1)
        elif tag == "li" and self._numbers and self._numbers[-1] >= 0:
            self._numbers[-1] += 1
            self._item = f"{self._numbers[-1]}. "

    def _end(self, tag: str) -> None:
        if tag == "table" and self._grids:
            grid = self._grids.pop()
            location = f"table {self._tables} row"
            for number, text in () if grid.layout else grid.rows():
                self._found("table_row", text, location=f"{location} {number}")
            if grid.layout:
                self._as_layout(grid)
        elif tag in ("ol", "ul") and self._numbers:
            self._numbers.pop()

    def _as_layout(self, grid: Grid) -> None:
        """The table only places things on the page: its cells become paragraphs."""
        for text in grid.cells():
            self._found("paragraph", text)
        if self._grids and self._grids[-1] is grid:
            self._grids[-1] = Grid()
            self._grids[-1].layout = True

    def _close_implied(self, tag: str) -> None:
        """End the elements that the new one ends by beginning, as HTML lets end tags be left out."""
        while self._open and tag in _ENDED_BY.get(self._open[-1][0], ()):
            self._close(self._open[-1][0])

    def _close(self, tag: str) -> None:
        """End the innermost open element of this name, and all in it."""
        while self._count[tag]:
            last, hides = self._open[-1]
            if last in _BLOCKS:
                self.end_block()
            self._open.pop()
            self._count[last] -= 1
            if not self._hiding:
                self._end(last)
            self._hiding -= hides
            if last == tag:
                return

    def finish(self) -> None:
        """End whatever is still open."""
        self.close()
        while self._open:
            self._close(self._open[-1][0])
        self.end_block()

    # --- blocks -----------------------------------------------------------------------------------------

    def end_block(self) -> None:
        """What was gathered becomes a block, or goes to the table cell it stands in."""
        if not self._text:
            return
        text, self._text = "".join(self._text), []
        linked, self._linked = self._linked, 0
        if not self._count["pre"]:
            text = "\n".join(line.strip() for line in text.split("\n")).strip()
            text = _SPACES.sub(" ", text)
        if not text.strip():
            return
        heading = next((tag for tag in _HEADINGS if self._count[tag]), None)
        if self._grids and not self._grids[-1].layout and self._grids[-1].add(text):
            return
        if heading:
            self._found("heading", " ".join(text.split()), level=_HEADINGS[heading])
        elif self._count["pre"]:
            self._found("code", text)
        elif self._count["li"]:
            item, self._item = self._item, ""
            self._found("list_item", item + text, link=linked > 0.8 * len(text))
        else:
            self._found("paragraph", text)

    def _found(
        self, kind: BlockKind, text: str, *, level: int = 0, location: str | None = None, link: bool = False
    ) -> None:
        inside = any(self._count[tag] for tag in _MAIN)
        frame = not inside and any(self._count[tag] for tag in _FRAME)
        where = "main" if inside else "frame" if frame else "body"
        self.found.append(_Found(kind, level, location, text, where, link))

    def _meta(self, attrs: dict[str, str]) -> None:
        name = (attrs.get("name") or attrs.get("property") or "").lower()
        content = " ".join(attrs.get("content", "").split())
        if name in _META and content:
            self.metadata.setdefault(_META[name], content[:2000])


def _closed(text: str) -> str:
    """Without comments, and with nothing left open at the end: the tokenizer would search for each end in vain."""
    pieces: list[str] = []
    position = 0
    while (start := text.find("<!--", position)) >= 0:
        pieces.append(text[position:start])
        end = text.find("-->", start + 4)
        position = start + 4 if end < 0 else end + 3
        if end < 0:
            pieces.append(text[position:].replace("<!--", ""))
            position = len(text)
    text = "".join((*pieces, text[position:])).replace("<![", "<!")
    last = text.rfind(">") + 1
    return text[:last] + text[last:].replace("<", "&lt;")


class _Found(NamedTuple):
    """A block of the page. where: "main", "frame" (header, footer, aside) or "body"."""

    kind: BlockKind
    level: int
    location: str | None
    text: str
    where: str
    link: bool


def _without_link_lists(found: list[_Found]) -> list[_Found]:
    """Without long runs of items that are nothing but links: menus. If they are most of the page, they stay."""
    kept: list[_Found] = []
    run: list[_Found] = []
    for each in (*found, None):
        if each is not None and each.link and len(each.text) < 60:
            run.append(each)
            continue
        kept += run if len(run) < _MENU else []
        run = []
        if each is not None:
            kept.append(each)
    return kept if sum(len(each.text) for each in kept) > 500 else found


def _hides(tag: str, attrs: list[tuple[str, str | None]]) -> bool:
    """Whether the attributes say that it is not shown, or not part of what the page says."""
    for name, value in attrs:
        value = value or ""
        if name == "hidden" or (name == "aria-hidden" and value == "true" and tag not in ("span", "a")):
            return True
        if name == "role" and value.lower() in _ROLES:
            return True
        if name == "style" and _INVISIBLE.search(value[:1000]):
            return True
        if name in ("class", "id") and tag not in ("html", "body") and _FURNITURE.search(value[:500]):
            return True
    return False


def _number(value: str | None) -> int:
    return int(value) if value and value.isdecimal() and len(value) < 6 else 1
