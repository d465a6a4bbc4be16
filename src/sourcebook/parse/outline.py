"""The outline of a PDF, its bookmarks (ISO 32000-1:2008, 12.3.3), read from the file's objects.

The library that reads the pages gives one entry a page and none by name, from which no heading path can be made. What
stands here follows the references and looks at nothing else; of a file that is damaged there may be less of an outline,
of an encrypted one there is none.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """Where a name of the outline leads. page: from 1. depth: from 1, the outermost."""

    name: str
    page: int
    depth: int


def read_outline(data: bytes) -> list[Entry]:
    """The entries in their order, as far as they lead to a page; none if there is no outline."""
    if b"/Encrypt" in data or (b"/Outlines" not in data and b"/ObjStm" not in data):
        return []
    return list(_File(data).entries())


class _File:
    """The objects of a file by their number; of several with one number, the last."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._places = {int(found[1]): found.end() for found in _OBJECT.finditer(data)}
        self._packed: dict[int, bytes] = {}
        self._left = _LARGEST
        for place in self._places.values():
            if b"/ObjStm" in data[place : place + _HEAD]:
                self._unpack(place)

    def entries(self) -> Iterator[Entry]:
        """Depth first, each object once, as it should be; a loop ends there."""
        seen: set[int] = set()
        left = [(first, 1) for first in self._named("First", self._of(self._named("Outlines", self._catalog)))]
        while left and len(seen) < _MOST:
            number, depth = left.pop()
            if number in seen:
                continue
            seen.add(number)
            item = self._object(number)
            left += [(after, depth) for after in self._named("Next", item)]
            left += [(first, depth + 1) for first in self._named("First", item)]
            name, page = self._title(item), self._page(item)
            if name and page:
                yield Entry(name=name, page=page, depth=depth)

    @cached_property
    def _catalog(self) -> bytes:
        roots = _ROOT.findall(self._data)
        return self._object(int(roots[-1])) if roots else b""

    @cached_property
    def _pages(self) -> dict[int, int]:
        """Number of the object -> of the page."""
        pages: dict[int, int] = {}
        seen: set[int] = set()
        left = self._named("Pages", self._catalog)
        while left:
            number = left.pop()
            if number in seen:
                continue
            seen.add(number)
            node = self._object(number)
            if b"/Kids" in node:
                left += reversed(self._kids(node))
            else:
                pages[number] = len(pages) + 1
        return pages

    def _kids(self, node: bytes) -> list[int]:
        found = _KIDS.search(node)
        held = found[1] if found else self._of(self._named("Kids", node))
        return [int(one) for one in _REFERENCE.findall(held)]

    @cached_property
    def _destinations(self) -> dict[bytes, int]:
        """Name of a place -> number of its page's object."""
        found: dict[bytes, int] = {}
        for name, reference, page in _OLD_NAMES.findall(self._of(self._named("Dests", self._catalog))):
            found[name] = int(page or self._first_of(int(reference)))
        tree = self._of(self._named("Names", self._catalog)) or self._catalog
        left, seen = self._named("Dests", tree), set[int]()
        while left:
            number = left.pop()
            if number in seen:
                continue
            seen.add(number)
            node = self._object(number)
            left += self._kids(node)
            for name, reference, page in _TREE_NAMES.findall(node):
                found[_string(name, 0)] = int(page or self._first_of(int(reference)))
        return found

    def _title(self, item: bytes) -> str:
        if not (found := _TITLE.search(item)):
            return ""
        held = self._object(int(found[1])).strip() if found[1] else item[found.end() :]
        raw = _string(held, 0)
        for mark, encoding in ((b"\xfe\xff", "utf-16-be"), (b"\xef\xbb\xbf", "utf-8")):
            if raw.startswith(mark):
                return " ".join(raw.removeprefix(mark).decode(encoding, "replace").split())
        return " ".join(raw.decode("latin-1").split())

    def _page(self, item: bytes) -> int:
        for action in self._named("A", item):
            item += self._object(action)
        if not (found := _PLACE.search(item)):
            return 0
        if found[1]:
            reference = self._first_of(int(found[1]))
        elif found[2]:
            reference = int(found[2])
        else:
            name = found[3] or _string(item, found.end())
            reference = self._destinations.get(name, 0)
        return self._pages.get(reference, 0)

    def _first_of(self, number: int) -> int:
        """The first reference within an array, or within a dictionary's array."""
        found = _ARRAY.search(self._object(number))
        return int(found[1]) if found else 0

    def _named(self, name: str, held: bytes) -> list[int]:
        """The object that a dictionary names, if it does."""
        found = re.search(rb"/" + name.encode() + rb"\s+(\d+)\s+\d+\s+R\b", held)
        return [int(found[1])] if found else []

    def _of(self, numbers: list[int]) -> bytes:
        return self._object(numbers[0]) if numbers else b""

    def _object(self, number: int) -> bytes:
        if (place := self._places.get(number)) is not None:
            end = self._data.find(b"endobj", place)
            return self._data[place : end if end >= 0 else place + _LARGEST][:_LARGEST]
        return self._packed.get(number, b"")

    def _unpack(self, place: int) -> None:
        """Objects within a compressed stream (7.5.7)."""
        begins = self._data.find(b"stream", place)
        head = self._data[place:begins]
        counted, first = re.search(rb"/N\s+(\d+)", head), re.search(rb"/First\s+(\d+)", head)
        if begins < 0 or not counted or not first or b"/FlateDecode" not in head:
            return
        start = begins + len(b"stream\r\n" if self._data[begins + 6 : begins + 8] == b"\r\n" else b"stream\n")
        end = self._data.find(b"endstream", start)
        try:
            text = zlib.decompressobj().decompress(self._data[start : end if end >= 0 else None], max(self._left, 1))
        except zlib.error:
            return
        self._left -= len(text)
        numbers = [int(one) for one in text[: int(first[1])].split() if one.isdigit()][: 2 * int(counted[1])]
        places = [int(first[1]) + one for one in numbers[1::2]]
        for number, begin, end in zip(numbers[::2], places, [*places[1:], len(text)], strict=False):
            self._packed[number] = text[begin:end]


def _string(held: bytes, place: int) -> bytes:
    """The string that begins there (7.3.4), or b""."""
    if held[place : place + 1] == b"<":
        digits = re.sub(rb"[^0-9A-Fa-f]", b"", held[place : held.find(b">", place)])
        return bytes.fromhex((digits + b"0" * (len(digits) % 2)).decode())
    if held[place : place + 1] != b"(":
        return b""
    made, depth = bytearray(), 0
    for found in _LITERAL.finditer(held, place):
        piece = found[0]
        depth += (piece == b"(") - (piece == b")")
        if not depth:
            break
        if piece == b"(" and depth == 1 and not made:
            continue
        if piece[:1] != b"\\":
            made += piece
        elif piece[1:2].isdigit():
            made.append(int(piece[1:], 8) & 255)
        else:
            made += _ESCAPES.get(piece[1:2], piece[1:2])
    return bytes(made)


_MOST: Final = 20_000  # entries
_LARGEST: Final = 50_000_000  # bytes of an object, and of all that are unpacked
_HEAD: Final = 300
_OBJECT: Final = re.compile(rb"(\d{1,9})\s+\d{1,5}\s+obj\b")
_ROOT: Final = re.compile(rb"/Root\s+(\d{1,9})\s+\d+\s+R")
_REFERENCE: Final = re.compile(rb"(\d{1,9})\s+\d+\s+R\b")
_KIDS: Final = re.compile(rb"/Kids\s*\[([^\]]*)\]")
_ARRAY: Final = re.compile(rb"\[\s*(\d{1,9})\s+\d+\s+R\b")
_TITLE: Final = re.compile(rb"/Title\s*(?:(\d{1,9})\s+\d+\s+R\b|(?=[(<]))")
_PLACE: Final = re.compile(
    rb"/D(?:est)?(?:\s+(\d{1,9})\s+\d+\s+R\b|\s*\[\s*(\d{1,9})\s+\d+\s+R\b|\s*/([^\s/<>\[\]()]+)|\s*(?=[(<]))"
)
_OLD_NAMES: Final = re.compile(
    rb"/([^\s/<>\[\]()]+)\s*(?:(\d{1,9})\s+\d+\s+R\b|(?:<<\s*/D\s*)?\[\s*(\d{1,9})\s+\d+\s+R\b)"
)
_TREE_NAMES: Final = re.compile(
    rb"(\((?:\\.|[^\\()])*\)|<[0-9A-Fa-f\s]*>)\s*(?:(\d{1,9})\s+\d+\s+R\b|(?:<<\s*/D\s*)?\[\s*(\d{1,9})\s+\d+\s+R\b)",
    re.DOTALL,
)
_LITERAL: Final = re.compile(rb"\\[0-7]{1,3}|\\\r\n|\\.|[()]|[^\\()]+", re.DOTALL)
_ESCAPES: Final = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f", b"\n": b"", b"\r": b""}
