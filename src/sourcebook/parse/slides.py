"""PPTX: each slide is a page, with its tables and the speaker's notes."""

from __future__ import annotations

import io
import posixpath
import re
import zipfile
from collections.abc import Iterator
from xml.etree import ElementTree as ET
from xml.etree.ElementTree import Element

from sourcebook.errors import Damaged
from sourcebook.parse.archives import check_archive
from sourcebook.parse.base import Limits
from sourcebook.parse.draft import Draft
from sourcebook.parse.formats import identify
from sourcebook.parse.grid import Grid
from sourcebook.types import MetadataValue, ParsedDocument

_DRAWING = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_SLIDES = "{http://schemas.openxmlformats.org/presentationml/2006/main}"
_LINK = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
_SLIDE_NAME = re.compile(r"ppt/slides/slide(\d+)\.xml")
_FURNITURE = frozenset(("dt", "ftr", "sldNum", "hdr", "sldImg"))
_STRICT = re.compile(rb"http://purl\.oclc\.org/ooxml/(drawingml|presentationml)/main")
_STRICT_LINK = b"http://purl.oclc.org/ooxml/officeDocument/relationships"


class SlideParser:
    """PPTX, by the XML in it (ECMA-376)."""

    fingerprint = "slides-2"

    def accepts(self, name: str, head: bytes) -> bool:
        """By its content."""
        return identify(name, head) == "pptx"

    def parse(self, data: bytes, name: str, limits: Limits) -> ParsedDocument:  # noqa: ARG002
        """Pages are slides in the order of the show, hidden ones too. Errors: Damaged, Encrypted, Empty, TooLarge."""
        check_archive(data, limits)
        draft = Draft(limits)
        metadata: dict[str, MetadataValue] = {}
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                for number, path in enumerate(_slide_paths(archive), 1):
                    _write_slide(draft, archive, path, number)
                metadata = _properties(archive)
        except (zipfile.BadZipFile, ET.ParseError, KeyError, ValueError, EOFError, OSError) as error:
            raise Damaged(
                f"The presentation cannot be read: {error}"[:300], remedy="Check that it opens in its application"
            ) from error
        stated = str(metadata.pop("title", "")).strip()
        junk = stated.lower() in ("", "powerpoint presentation", "presentation", "title")
        return draft.finish(title=draft.first_heading if junk else stated, metadata=metadata, paged=True)


def _slide_paths(archive: zipfile.ZipFile) -> list[str]:
    """In the order of the presentation; by number if that cannot be told."""
    names = set(archive.namelist())
    links = _links(archive, "ppt/presentation.xml")
    presentation = _xml(archive, "ppt/presentation.xml")
    listed = [links.get(slide.get(_LINK, ""), "") for slide in presentation.iter(f"{_SLIDES}sldId")]
    if found := [path for path in listed if path in names]:
        return found
    numbered = [(int(match[1]), match[0]) for name in names if (match := _SLIDE_NAME.fullmatch(name))]
    return [name for _, name in sorted(numbered)]


def _write_slide(draft: Draft, archive: zipfile.ZipFile, path: str, page: int) -> None:
    tables = 0
    for shape in _shapes(_xml(archive, path)):
        role = _role(shape)
        if role in _FURNITURE:
            continue
        if shape.tag == f"{_SLIDES}graphicFrame":
            for table in shape.iter(f"{_DRAWING}tbl"):
                tables += 1
                _write_table(draft, table, page, f"slide {page} table {tables}")
        elif role in ("title", "ctrTitle"):
            title = " ".join(text for text, _ in _paragraphs(shape) if text)
            draft.add("heading", " ".join(title.split()), level=1, page=page)
        else:
            for text, listed in _paragraphs(shape):
                draft.add("list_item" if listed and role != "subTitle" else "paragraph", text, page=page)
    for target in _links(archive, path).values():
        if "notesSlide" in target and target in archive.namelist():
            for shape in _shapes(_xml(archive, target)):
                if _role(shape) not in _FURNITURE:
                    for text, _ in _paragraphs(shape):
                        draft.add("paragraph", text, page=page)


def _shapes(root: Element) -> Iterator[Element]:
    """Shapes and frames in drawing order, those in groups among them; titles first."""
    tags = (f"{_SLIDES}sp", f"{_SLIDES}graphicFrame")
    shapes = [element for element in root.iter() if element.tag in tags]
    return iter(sorted(shapes, key=lambda shape: _role(shape) not in ("title", "ctrTitle")))


def _role(shape: Element) -> str:
    """What the layout takes it for: "title", "body", "sldNum", ...; "" if it is no placeholder."""
    placeholder = shape.find(f".//{_SLIDES}nvPr/{_SLIDES}ph")
    return "" if placeholder is None else placeholder.get("type", "body")


def _paragraphs(shape: Element) -> Iterator[tuple[str, bool]]:
    """(text, whether it is an item of a list)."""
    in_body = _role(shape) == "body"
    for paragraph in shape.iter(f"{_DRAWING}p"):
        properties = paragraph.find(f"{_DRAWING}pPr")
        marked = in_body
        if properties is not None:
            bullets = {child.tag for child in properties}
            marked = marked or f"{_DRAWING}buChar" in bullets or f"{_DRAWING}buAutoNum" in bullets
            marked = marked and f"{_DRAWING}buNone" not in bullets
        yield _text(paragraph), marked


def _text(paragraph: Element) -> str:
    pieces = []
    for element in paragraph.iter():
        if element.tag == f"{_DRAWING}t":
            pieces.append(element.text or "")
        elif element.tag == f"{_DRAWING}br":
            pieces.append("\n")
    return "".join(pieces).replace("\v", "\n")


def _write_table(draft: Draft, table: Element, page: int, place: str) -> None:
    grid = Grid()
    for row in table.iter(f"{_DRAWING}tr"):
        grid.begin_row()
        for cell in row.iter(f"{_DRAWING}tc"):
            if cell.get("hMerge") in ("1", "true") or cell.get("vMerge") in ("1", "true"):
                continue
            columns, rows = (int(span) if (span := cell.get(key, "1")).isdecimal() else 1
                             for key in ("gridSpan", "rowSpan"))  # fmt: skip
            grid.begin_cell(columns=columns, rows=rows)
            grid.add(" ".join(_text(paragraph) for paragraph in cell.iter(f"{_DRAWING}p")))
    written = list(grid.rows())
    for number, text in written:
        draft.add("table_row", text, page=page, location=f"{place} row {number}")
    if not written:
        for text in grid.cells():
            draft.add("paragraph", text, page=page)


def _links(archive: zipfile.ZipFile, path: str) -> dict[str, str]:
    """Relationship id -> path in the archive, of one of its parts."""
    folder, _, name = path.rpartition("/")
    try:
        root = _xml(archive, f"{folder}/_rels/{name}.rels")
    except KeyError:
        return {}
    return {
        link.get("Id", ""): posixpath.normpath(posixpath.join("/" + folder, link.get("Target", ""))).lstrip("/")
        for link in root
        if link.get("TargetMode") != "External"
    }


def _properties(archive: zipfile.ZipFile) -> dict[str, MetadataValue]:
    """Of docProps/core.xml (Dublin Core)."""
    try:
        root = _xml(archive, "docProps/core.xml")
    except (KeyError, ET.ParseError):
        return {}
    wanted = {"title": "title", "creator": "author", "created": "created", "modified": "modified", "subject": "subject"}
    found = ((element.tag.rpartition("}")[2], element.text) for element in root)
    return {wanted[name]: text for name, text in found if name in wanted and text}


def _xml(archive: zipfile.ZipFile, path: str) -> Element:
    """Errors: KeyError if there is no such part; ParseError."""
    data = archive.read(path)
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        raise ValueError("a part of it declares entities")
    data = _STRICT.sub(rb"http://schemas.openxmlformats.org/\1/2006/main", data)
    data = data.replace(_STRICT_LINK, b"http://schemas.openxmlformats.org/officeDocument/2006/relationships")
    return ET.fromstring(data)  # noqa: S314
