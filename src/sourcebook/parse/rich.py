"""PDF, Office, e-books, mail of Outlook, pictures: what kreuzberg reads, as blocks."""

from __future__ import annotations

import glob
import os
import re
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sourcebook.errors import Damaged, Empty, ParseError, UnsupportedFormat
from sourcebook.parse.archives import check_archive, locked
from sourcebook.parse.base import Limits
from sourcebook.parse.draft import Draft
from sourcebook.parse.formats import identify
from sourcebook.parse.grid import Grid
from sourcebook.parse.outline import read_outline
from sourcebook.parse.pdf import page_blocks, write_pdf
from sourcebook.types import MetadataValue, ParsedDocument

if TYPE_CHECKING:
    from kreuzberg import ExtractionConfig, ExtractionResult

_TYPES = {
    "pdf": "application/pdf",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "odt": "application/vnd.oasis.opendocument.text",
    "epub": "application/epub+zip",
    "rtf": "application/rtf",
    "doc": "application/msword",
    "ppt": "application/vnd.ms-powerpoint",
    "msg": "application/vnd.ms-outlook",
    "image": "",
}
_IMAGES = (
    (b"\x89PNG", "image/png"),
    (b"\xff\xd8", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"II*", "image/tiff"),
    (b"MM\0", "image/tiff"),
    (b"BM", "image/bmp"),
    (b"RIFF", "image/webp"),
    (b"\0\0\0\x0c", "image/jp2"),
)
_STATED = {  # kreuzberg's name -> ours
    "authors": "author",
    "created_at": "created",
    "modified_at": "modified",
    "subject": "subject",
    "keywords": "keywords",
    "from_email": "from",
    "to_emails": "to",
    "cc_emails": "cc",
    "attachments": "attachments",
}
_NO_TITLE = re.compile(
    r"untitled.*|(microsoft )?(word|powerpoint|excel)( presentation| document)?( - .*)?|document\d*|presentation\d*"
    r"|.*\.(docx?|pptx?|odt|rtf|tex|dvi|indd|qxd)|powerpoint[- ]presentation|\W*",
    re.IGNORECASE,
)
_PREFIX = re.compile(r"(?:\w*Error: )+")
_OCR_REMEDY = (
    'Install Tesseract with its languages (Debian: "apt install tesseract-ocr", macOS: "brew install tesseract")'
)


class RichParser:
    """Formats that native code reads; to be run in a worker process."""

    @property
    def fingerprint(self) -> str:
        """With the library's version."""
        return f"rich-2 kreuzberg-{version('kreuzberg')}"

    def accepts(self, name: str, head: bytes) -> bool:
        """By its content."""
        return identify(name, head) in _TYPES

    def parse(self, data: bytes, name: str, limits: Limits) -> ParsedDocument:
        """Errors: Damaged, Encrypted, Empty, TooLarge, UnsupportedFormat."""
        kind = identify(name, data)
        if kind not in _TYPES:
            raise UnsupportedFormat(
                f"Nothing here reads this format: {kind}", remedy="Convert it to PDF, DOCX, HTML or text"
            )
        if data.startswith(b"PK"):
            check_archive(data, limits)
        result = _extract(data, kind)
        draft = Draft(limits)
        if kind == "pdf":
            write_pdf(draft, result, read_outline(data))
            if not draft.length and (scanned := _recognized(data)) is not None:
                _write_recognized(draft, scanned)
        elif kind == "image":
            _write_recognized(draft, result)
        else:
            _write_nodes(draft, result)
        if not draft.length:
            raise _nothing(kind)
        metadata = _metadata(result)
        return draft.finish(title=_title(draft, result), metadata=metadata, paged=kind == "pdf")


def _extract(data: bytes, kind: str) -> ExtractionResult:
    """Errors: Damaged, Encrypted, ParseError."""
    import kreuzberg

    mime = _TYPES[kind] or next((mime for magic, mime in _IMAGES if data.startswith(magic)), "image/png")
    try:
        return kreuzberg.extract_bytes_sync(data, mime, config=_config())
    except Exception as error:
        message = _PREFIX.sub("", " ".join(str(error).split()))[:300]
        lower = message.lower()
        if "password" in lower or "encrypted" in lower:
            raise locked() from error
        if kind == "image" and ("tesseract" in lower or "ocr" in lower):
            raise ParseError("It is a picture, and no text recognition is installed", remedy=_OCR_REMEDY) from error
        if kind == "pdf" and "FormatError" in message:
            message = "its structure is not that of a PDF"
        raise Damaged(f"It cannot be read: {message}", remedy="Check that it opens in its application") from error


def _recognized(data: bytes) -> ExtractionResult | None:
    """The text of scanned pages; None without text recognition, or if it fails."""
    import kreuzberg

    if not _languages():
        return None
    try:
        return kreuzberg.extract_bytes_sync(data, _TYPES["pdf"], config=_config(recognize=True))
    except Exception:
        return None


def _languages() -> str:
    """Those that Tesseract has here, in its own notation; "" if none."""
    folders = [os.environ.get("TESSDATA_PREFIX", ""), *glob.glob("/usr/share/tesseract-ocr/*/tessdata")]
    folders += ["/usr/share/tessdata", "/usr/local/share/tessdata", "/opt/homebrew/share/tessdata"]
    for folder in filter(None, folders):
        names = sorted(Path(path).stem for path in glob.glob(f"{folder}/*.traineddata"))
        if names := [name for name in names if name not in ("osd", "equ")]:
            return "+".join(sorted(names, key=lambda name: name != "eng")[:4])
    return ""


def _config(*, recognize: bool = False) -> ExtractionConfig:
    """Structure and pages wanted; nothing cached on disk, no models. recognize: read pages as pictures."""
    import kreuzberg

    return kreuzberg.ExtractionConfig(
        ocr=kreuzberg.OcrConfig(backend="tesseract", language=_languages() or "eng"),
        force_ocr=recognize,
        output_format="markdown",
        include_document_structure=True,
        use_cache=False,
        enable_quality_processing=False,
        pages=kreuzberg.PageConfig(extract_pages=True),
        concurrency=kreuzberg.ConcurrencyConfig(max_threads=1),
    )


def _write_recognized(draft: Draft, result: ExtractionResult) -> None:
    """What stands on pictures or scanned pages, line by line."""
    pages: dict[int | None, list[str]] = {}
    page = 1 if len(result.pages or ()) == 1 and result.mime_type == _TYPES["pdf"] else None
    for node in result.document["nodes"] if result.document else ():
        page = node.get("page") or page
        lines = (node["content"].get("text") or "").split("\n")
        pages.setdefault(page, []).extend((*map(str.strip, lines), ""))
    for number, lines in pages.items():
        for kind, text, level in page_blocks(lines, {}):
            draft.add(kind, text, level=level, page=number)


def _write_nodes(draft: Draft, result: ExtractionResult) -> None:
    """The nodes of the document structure in reading order; headers and footers of pages are left out."""
    nodes = result.document["nodes"] if result.document else []
    numbers: dict[int | None, int] = {}
    tables = 0
    for node in nodes:
        content: dict[str, Any] = dict(node["content"])
        if node.get("content_layer") in ("header", "footer"):
            continue
        kind = content["node_type"]
        text = str(content.get("text") or "")
        if kind in ("heading", "title"):
            draft.add("heading", " ".join(text.split()), level=int(content.get("level") or 1))
        elif kind == "list_item":
            parent = node.get("parent")
            numbers[parent] = numbers.get(parent, 0) + 1
            ordered = parent is not None and nodes[parent]["content"].get("ordered")
            draft.add("list_item", f"{numbers[parent]}. {text}" if ordered else text)
        elif kind == "table":
            tables += 1
            _write_table(draft, content["grid"], tables)
        elif kind == "code":
            draft.add("code", text)
        elif kind in ("paragraph", "footnote", "formula", "slide"):
            draft.add("paragraph", text)


def _write_table(draft: Draft, table: Any, number: int) -> None:
    rows: dict[int, list[str]] = {}
    for cell in table["cells"]:
        rows.setdefault(cell["row"], []).append(str(cell["content"]))
    grid = Grid()
    for row in rows.values():
        grid.begin_row()
        for text in row:
            grid.begin_cell()
            grid.add(text)
    written = list(grid.rows())
    for row_number, text in written:
        draft.add("table_row", text, location=f"table {number} row {row_number}")
    if not written:
        for text in grid.cells():
            draft.add("paragraph", text)


def _title(draft: Draft, result: ExtractionResult) -> str | None:
    stated = str(result.metadata.get("title") or result.metadata.get("subject") or "").strip()
    if stated and not _NO_TITLE.fullmatch(stated):
        return stated
    heading = draft.first_heading
    return None if heading and heading[:1].isdigit() else heading


def _metadata(result: ExtractionResult) -> dict[str, MetadataValue]:
    metadata: dict[str, MetadataValue] = {}
    stated: dict[str, Any] = dict(result.metadata)
    for theirs, ours in _STATED.items():
        value = stated.get(theirs)
        if isinstance(value, list):
            value = tuple(str(item) for item in value if item)
            value = value[0] if len(value) == 1 and ours != "attachments" else value
        if value:
            metadata[ours] = value if isinstance(value, (bool, int, float, tuple)) else str(value)
    return metadata


def _nothing(kind: str) -> ParseError:
    if kind == "pdf":
        return Empty("Its pages hold pictures and no text", remedy=f"For scanned pages: {_OCR_REMEDY}")
    if kind == "image":
        return Empty("No text was recognised in the picture")
    return Empty("There is no text in it")
