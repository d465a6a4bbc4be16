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
    **dict.fromkeys(("xlsx", "xls", "xlsb", "ods"), "sourcebook.parse.sheets:SheetParser"),
    **dict.fromkeys(
        ("pdf", "docx", "odt", "epub", "rtf", "doc", "ppt", "msg", "image"),
        "sourcebook.parse.rich:RichParser",
    ),
}


@cache
def parser_of(format: str) -> Parser:
    """The parser of the format. Errors: UnsupportedFormat."""
    if format == "encrypted":
        from sourcebook.parse.archives import locked

        raise locked()
    if format not in _PARSERS:
        raise UnsupportedFormat(
            f"Nothing here reads this format: {format}",
            remedy="Convert it to PDF, DOCX, HTML or text, or leave it out with an ignore rule",
        )
    module, _, name = _PARSERS[format].partition(":")
    parser: Parser = getattr(import_module(module), name)()
    return parser


def builtin_parsers() -> tuple[Parser, ...]:
    """One of each."""
    return tuple(parser_of(format) for format in {path: format for format, path in _PARSERS.items()}.values())
