"""Which format a file is in: by its content where that shows it, else by its name."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

_MAGIC = (  # (offset, bytes, format)
    (0, b"{\\rtf", "rtf"),
    (0, b"\x89PNG\r\n\x1a\n", "image"),
    (0, b"\xff\xd8\xff", "image"),
    (0, b"GIF87a", "image"),
    (0, b"GIF89a", "image"),
    (0, b"II*\0", "image"),
    (0, b"MM\0*", "image"),
    (0, b"\0\0\0\x0cjP  ", "image"),
    (8, b"WEBP", "image"),
    (0, b"\x1f\x8b", "gzip archive"),
    (0, b"BZh", "bzip2 archive"),
    (0, b"\xfd7zXZ\0", "xz archive"),
    (0, b"7z\xbc\xaf\x27\x1c", "7z archive"),
    (0, b"Rar!\x1a\x07", "RAR archive"),
    (257, b"ustar", "tar archive"),
    (0, b"\x28\xb5\x2f\xfd", "zstd archive"),
    (0, b"\x7fELF", "program"),
    (0, b"MZ\x90\0", "program"),
    (0, b"\xca\xfe\xba\xbe", "program"),
    (0, b"SQLite format 3\0", "sqlite"),
    (0, b"ID3", "audio"),
    (0, b"OggS", "audio"),
    (0, b"fLaC", "audio"),
    (8, b"WAVE", "audio"),
    (8, b"AVI ", "video"),
    (4, b"ftyp", "video"),
    (0, b"\x1a\x45\xdf\xa3", "video"),
    (0, b"wOFF", "font"),
    (0, b"wOF2", "font"),
    (0, b"PAR1", "Parquet table"),
    (0, b"bplist00", "property list"),
)
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_OLE_STREAMS = (  # names as the directory of the compound file holds them, in UTF-16
    ("EncryptedPackage", "encrypted"),
    ("WordDocument", "doc"),
    ("PowerPoint Document", "ppt"),
    ("Workbook", "xls"),
    ("__substg1.0_", "msg"),
    ("Book", "xls"),
)
_ZIP_PARTS = (("word/", "docx"), ("xl/", "xlsx"), ("ppt/", "pptx"))
_ZIP_TYPES = {
    b"application/epub+zip": "epub",
    b"application/vnd.oasis.opendocument.text": "odt",
    b"application/vnd.oasis.opendocument.spreadsheet": "ods",
    b"application/vnd.oasis.opendocument.presentation": "odp",
}
_SUFFIXES = {
    "text": "txt text log rst adoc asciidoc org vtt srt yaml yml toml ini cfg conf tex latex properties "
    "py js ts java c h cpp hpp cs go rs rb php sh bat ps1 sql r kt swift scala lua pl m css scss diff patch",
    "markdown": "md markdown mdx mkd qmd rmd",
    "html": "html htm xhtml xht",
    "delimited": "csv tsv tab",
    "json": "json jsonl ndjson geojson ipynb",
    "xml": "xml nxml dita docbook rss atom",
    "eml": "eml mht mhtml",
    "mbox": "mbox",
}
_BY_SUFFIX = {f".{suffix}": kind for kind, suffixes in _SUFFIXES.items() for suffix in suffixes.split()}
_BINARY_SUFFIXES = (
    "pdf docx xlsx xlsm xltx pptx odt ods odp epub rtf doc xls ppt msg png jpg jpeg gif tif tiff webp bmp"
)
_BINARY = frozenset(_BINARY_SUFFIXES.split())
_MAIL_HEADER = (
    rb"(?:From|To|Cc|Bcc|Subject|Date|Received|Return-Path|Delivered-To|Message-ID|MIME-Version|Content-Type|"
    rb"Content-Transfer-Encoding|X-[\w-]+|Reply-To|Sender|DKIM-Signature|ARC-[\w-]+): ?[^\r\n]*\r?\n"
)
_MAIL = re.compile(rb"(?:" + _MAIL_HEADER + rb"(?:[ \t][^\r\n]*\r?\n)*){2}", re.IGNORECASE)


def identify(name: str, data: bytes) -> str:
    """The format's name: one that a parser lists, or what people call it ("RAR archive", ".xyz").

    data: the whole file, or its beginning; containers (zip, OLE) are told apart for certain only by all of it.
    """
    suffix = PurePosixPath(name.lower()).suffix
    if b"%PDF-" in data[:1024]:
        return "pdf"
    if data.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _zip_format(data, suffix)
    if data.startswith(_OLE):
        return _ole_format(data)
    for offset, magic, kind in _MAGIC:
        if data.startswith(magic, offset) and (offset == 0 or b"\0" in data[:64]):
            return kind
    if data.startswith(b"BM") and suffix == ".bmp":
        return "image"
    return _text_format(suffix, data[:4096])


def _zip_format(data: bytes, suffix: str) -> str:
    import io
    import zipfile

    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
            if "mimetype" in names:
                with archive.open("mimetype") as member:
                    declared = member.read(100).strip()
                if declared.removesuffix(b"-template") in _ZIP_TYPES:
                    return _ZIP_TYPES[declared.removesuffix(b"-template")]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, RuntimeError, EOFError):
        names = []
    for part, kind in _ZIP_PARTS:
        if any(member.startswith(part) for member in names):
            return "xlsb" if "xl/workbook.bin" in names else kind
    if not names:  # its directory is broken: whoever reads it says so
        for part, kind in _ZIP_PARTS:
            if part.encode() in data[:65_536]:
                return kind
        if suffix[1:] in _BINARY:
            return {"xlsm": "xlsx", "xltx": "xlsx"}.get(suffix[1:], suffix[1:])
    return "zip archive"


def _ole_format(data: bytes) -> str:
    for stream, kind in _OLE_STREAMS:
        if stream.encode("utf-16-le") in data:
            return kind
    return "OLE container"


def _text_format(suffix: str, head: bytes) -> str:
    """Of what is not known to be binary: a parser of text finds out whether it is text."""
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1000]
    lower = start.lower()
    if lower.startswith((b"<!doctype html", b"<html")):
        return "html"
    if suffix in _BY_SUFFIX:
        kind = _BY_SUFFIX[suffix]
        if kind == "text" and suffix in (".txt", ".text") and _MAIL.match(start) and b"received:" in lower:
            return "eml"
        return kind
    if lower.startswith(b"<?xml"):
        return "html" if b"<html" in lower else "xml"
    if _MAIL.match(start):
        return "eml"
    if suffix[1:] in _BINARY and b"\0" in head:
        return suffix[1:]
    return "text" if not suffix or suffix[1:] in _BINARY or _is_text(head) else suffix


def _is_text(head: bytes) -> bool:
    """Whether it could be text of an unknown kind: no zero bytes, few other control bytes."""
    controls = sum(head.count(code) for code in (*range(1, 9), *range(14, 27), *range(28, 32)))
    return b"\0" not in head and controls <= len(head) // 100
