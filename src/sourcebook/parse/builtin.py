"""The parsers that come with Sourcebook, by the format that `formats.identify` names."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from sourcebook.errors import UnsupportedFormat
from sourcebook.parse.base import Parser

LIGHT = frozenset(("text", "markdown", "html", "delimited", "json", "xml"))
"""Formats read by pure Python in little time: small files of these need no process of their own."""

_PARSERS = {
    "text": "sourcebook.parse.text:TextParser",
    "markdown": "sourcebook.parse.markdown:MarkdownParser",
    "html": "sourcebook.parse.html:WebPageParser",
    "delimited": "sourcebook.parse.delimited:DelimitedParser",
    "json": "sourcebook.parse.records:JsonParser",
    "xml": "sourcebook.parse.xml:XmlParser",
    "eml": "sourcebook.parse.mail:MailParser",
    "pptx": "sourcebook.parse.slides:SlideParser",
    "sqlite": "sourcebook.parse.databases:DatabaseParser",
    **dict.fromkeys(("xlsx", "xls", "xlsb", "ods"), "sourcebook.parse.sheets:SheetParser"),
    **dict.fromkeys(
        ("pdf", "docx", "odt", "epub", "rtf", "doc", "ppt", "msg", "image"),
        "sourcebook.parse.rich:RichParser",
    ),
}


_FINGERPRINTS = "text-2 markdown-1 html-2 delimited-3 databases-1 json-2 xml-2 mail-1 slides-2 sheets-3 rich-2"
_LIBRARIES = ("kreuzberg", "python-calamine", "charset-normalizer")


@cache
def parser_of(kind: str) -> Parser:
    """The parser of the format. Errors: UnsupportedFormat."""
    if kind == "encrypted":
        from sourcebook.parse.archives import locked

        raise locked()
    if kind not in _PARSERS:
        raise UnsupportedFormat(
            f"Nothing here reads this format: {kind}",
            remedy="Convert it to PDF, DOCX, HTML or text, or leave it out with an ignore rule",
        )
    module, _, name = _PARSERS[kind].partition(":")
    parser: Parser = getattr(import_module(module), name)()
    return parser


@cache
def builtin_fingerprint() -> str:
    """Those of all built-in parsers and the versions of their libraries, without importing any of them."""
    from importlib.metadata import version

    return " ".join((_FINGERPRINTS, *(f"{library}-{version(library)}" for library in _LIBRARIES)))


def builtin_parsers() -> tuple[Parser, ...]:
    """One of each."""
    return tuple(parser_of(kind) for kind in {path: kind for kind, path in _PARSERS.items()}.values())
