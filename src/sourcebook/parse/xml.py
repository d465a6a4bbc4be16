"""XML of any kind: its text in order; titles as headings, tables as rows, records with the names of their fields."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree import ElementTree as ET
from xml.etree.ElementTree import Element

from sourcebook.errors import Damaged
from sourcebook.parse.base import Limits
from sourcebook.parse.draft import Draft
from sourcebook.parse.encoding import decode
from sourcebook.parse.grid import Grid
from sourcebook.parse.html import write_html
from sourcebook.parse.rows import row_text
from sourcebook.types import ParsedDocument

_TITLES = frozenset(("title", "article-title", "head", "heading", "h1", "h2", "h3", "invention-title", "caption-title"))
_SECTIONS = frozenset(
    ("sec", "section", "chapter", "part", "div", "body", "appendix", "app", "abstract", "item", "entry")
)
_SKIPPED = frozenset(("script", "style", "math", "svg", "tex-math", "binary", "metadata-binary"))


class XmlParser:
    """By expat, without external entities; a document that declares entities of its own is refused."""

    fingerprint = "xml-2"

    def accepts(self, name: str, head: bytes) -> bool:
        """By its name, or an XML declaration."""
        return name.lower().endswith((".xml", ".nxml", ".rss", ".atom")) or head.lstrip().startswith(b"<?xml")

    def parse(self, data: bytes, name: str, limits: Limits) -> ParsedDocument:  # noqa: ARG002
        """Errors: Damaged, Empty, TooLarge."""
        if b"<!ENTITY" in data or b"<\0!\0E\0N\0T\0I\0T\0Y" in data:
            raise Damaged(
                "It declares entities, which could expand without bound", remedy="Save it with its entities expanded"
            )
        draft = Draft(limits)
        try:
            root = ET.fromstring(data)  # noqa: S314
        except ET.ParseError as error:
            if "undefined entity" not in str(error):
                raise Damaged(f"It is not well-formed XML: {error}", remedy="Repair the file") from error
            title, _ = write_html(draft, decode(data))
            return draft.finish(title=title)
        except (ValueError, LookupError) as error:
            raise Damaged(f"It is not well-formed XML: {error}", remedy="Repair the file") from error
        return draft.finish(title=_write(draft, root))


def _write(draft: Draft, root: Element) -> str | None:
    """Walk the tree without recursion, as it may be deep; returns the first title."""
    title: str | None = None
    stack: list[tuple[Element, int]] = [(root, 0)]
    while stack:
        element, depth = stack.pop()
        name = local_name(element)
        if name in _SKIPPED:
            continue
        if name == "table" and _write_table(draft, element):
            continue
        if name in _TITLES and (text := _text(element)):
            title = title or text
            draft.add("heading", text, level=min(max(depth, 1), 6))
        elif _is_record(element):
            cells = [_text(child) for child in element]
            draft.add("table_row", row_text([local_name(child) for child in element], cells))
        elif _has_own_text(element) or not len(element):
            draft.add("list_item" if name in ("li", "list-item") else "paragraph", _text(element))
        else:
            below = depth + (name in _SECTIONS)
            stack.extend((child, below) for child in reversed(element))
    return title


def local_name(element: Element) -> str:
    """Without the namespace."""
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def _text(element: Element) -> str:
    return " ".join("".join(_pieces(element)).split())


def _pieces(element: Element) -> Iterator[str]:
    stack: list[Element | str] = [element]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            yield item
        elif local_name(item) not in _SKIPPED and isinstance(item.tag, str):
            for child in reversed(item):
                stack.extend((child.tail or "", child))
            stack.append(item.text or "")


def _has_own_text(element: Element) -> bool:
    if element.text and element.text.strip():
        return True
    return any(child.tail and child.tail.strip() for child in element)


def _is_record(element: Element) -> bool:
    """Fields and nothing else: several leaves of different names with short texts."""
    names = {local_name(child) for child in element}
    return (
        len(element) > 1
        and len(names) == len(element)
        and not names & _TITLES
        and not _has_own_text(element)
        and all(not len(child) and len(child.text or "") < 300 for child in element)
    )


def _write_table(draft: Draft, table: Element) -> bool:
    """As rows; False if it is only layout."""
    grid = Grid()
    for section in table:
        rows = [section] if local_name(section) == "tr" else [row for row in section if local_name(row) == "tr"]
        for row in rows:
            grid.begin_row(head=local_name(section) == "thead")
            for cell in row:
                columns, spanned = (int(cell.get(key, "1")[:4]) if cell.get(key, "1").isdecimal() else 1
                                    for key in ("colspan", "rowspan"))  # fmt: skip
                grid.begin_cell(header=local_name(cell) == "th", columns=columns, rows=spanned)
                grid.add(_text(cell))
    written = list(grid.rows())
    for number, text in written:
        draft.add("table_row", text, location=f"row {number}")
    return bool(written)
