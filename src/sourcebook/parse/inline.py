"""Marks inside a line of Markdown, and lines into paragraphs: what a person sees of them."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable

_MARKED = re.compile(r"[*_`\[\]<>&\\~!]")
_CODE = re.compile(r"(?<!`)(`{1,8})(?!`)([^`]{1,2000}|.{1,2000}?[^`])(?<!`)\1(?!`)", re.DOTALL)
_ESCAPE = re.compile(r"\\([!-/:-@\[-`{-~])")
_HIDDEN = {0xF0000 + code: chr(code) for code in range(33, 127)}  # escaped marks, out of the patterns' sight
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_IMAGE_OR_LINK = re.compile(
    r"!?\[((?:[^\[\]]|\[[^\[\]]{0,200}\]){0,2000})\]"
    r"(?:\((?:<[^<>\n]{0,2000}>|[^()\s]{0,2000}(?:\([^()\s]{0,500}\)[^()\s]{0,2000})?)"
    r"(?:\s+(?:\"[^\"]{0,500}\"|'[^']{0,500}'))?\s*\)|\[[^\[\]]{0,200}\])"
)
_FOOTNOTE = re.compile(r"\[\^[^\]\s]{1,50}\]")
_AUTOLINK = re.compile(r"<((?:https?|ftp|mailto):[^<>\s]{1,2000}|[^<>\s@]{1,100}@[^<>\s]{1,100})>")
_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)
_TAG = re.compile(r"</?[A-Za-z][A-Za-z0-9-]{0,30}(?:\s[^<>]{0,1000})?/?>")
_STRONG = re.compile(r"(\*\*|__)(?=\S)(.{1,500}?)(?<=\S)\1", re.DOTALL)
_EMPHASIS_STAR = re.compile(
    r"(?<![\*\w])\*(?=[^\s*])([^*]{1,500}?)(?<=\S)\*(?!\*)|\*(?=[^\s*])([^*]{1,500}?)(?<=\S)\*(?![\w*])"
)
_EMPHASIS_LINE = re.compile(r"(?<!\w)_(?=[^\s_])([^_]{1,500}?)(?<=\S)_(?!\w)")
_STRUCK = re.compile(r"~~(?=\S)(.{1,500}?)(?<=\S)~~", re.DOTALL)
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});")
_UNSPACED = re.compile(r"[\u3000-\u30ff\u3400-\u9fff\uff00-\uffef]")  # scripts that put no space between words


def plain(text: str) -> str:
    """Without emphasis, code marks, link targets, tags and escapes.

    Code spans keep what is in them. The patterns follow CommonMark 0.31 where people would see a difference.
    """
    if not _MARKED.search(text):
        return text
    if "`" not in text:
        return _unmark(text)
    pieces: list[str] = []
    position = 0
    for code in _CODE.finditer(text):
        pieces += (_unmark(text[position : code.start()]), code[2].strip())
        position = code.end()
    return "".join((*pieces, _unmark(text[position:])))


def _unmark(text: str) -> str:
    escaped = "\\" in text
    if escaped:
        text = _ESCAPE.sub(lambda match: chr(0xF0000 + ord(match[1])), text)
    if "<" in text:
        text = _COMMENT.sub("", text)
        text = _AUTOLINK.sub(lambda match: match[1].removeprefix("mailto:"), text)
        text = _TAG.sub("", _BREAK.sub("\n", text))
    if "[" in text:
        text = _IMAGE_OR_LINK.sub(r"\1", text)
        text = _IMAGE_OR_LINK.sub(r"\1", text)  # a picture inside a link
        text = _FOOTNOTE.sub("", text)
    if "**" in text or "__" in text:
        text = _STRONG.sub(r"\2", text)
    if "*" in text:
        text = _EMPHASIS_STAR.sub(lambda match: match[1] or match[2], text)
    if "_" in text:
        text = _EMPHASIS_LINE.sub(r"\1", text)
    if "~~" in text:
        text = _STRUCK.sub(r"\1", text)
    if "&" in text:
        text = _ENTITY.sub(lambda match: html.unescape(match[0]), text)
    return text.translate(_HIDDEN) if escaped else text


def join_lines(lines: Iterable[str]) -> str:
    """Lines of one paragraph as one line; a space between them, except where the script has none."""
    joined = ""
    for line in lines:
        line = line.strip()
        if not joined or not line:
            joined = joined or line
        elif _UNSPACED.match(joined[-1]) and _UNSPACED.match(line[0]):
            joined += line
        else:
            joined = f"{joined} {line}"
    return joined
