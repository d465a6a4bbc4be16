"""bytes -> str, for files that do not say how they are written."""

from __future__ import annotations

import codecs
import re

from sourcebook.errors import Damaged

_MARKS = (  # byte order marks, longest first where one begins another
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_LEGACY_NAMES = (
    "cp949 cp932 gb18030 big5 euc_jp cp1252 cp1250 cp1251 koi8_r cp1253 cp1254 cp1255 cp1256 cp1257 cp1258 cp874"
)
_LEGACY = _LEGACY_NAMES.split()
_SAMPLE = 65_536
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f-\x84\x86-\x9f\ufffd]")
_LINE_ENDS = re.compile(r"\r\n?|[\x85\u2028\u2029\f\v]")


def decode(data: bytes, *, declared: str | None = None) -> str:
    """The text of the bytes, every line end a line feed.

    In order: byte order mark, UTF-8, the declared encoding, UTF-16 by its zero bytes, legacy encodings by what
    their text looks like. Errors: Damaged if it is no text in any of them.
    """
    text = _decode(data, declared)
    sample = text[:_SAMPLE]
    if _CONTROL.search(sample) and len(_CONTROL.findall(sample)) > max(2, len(sample) // 50):
        raise not_text()
    if "\r" in text or not text.isprintable():
        text = _LINE_ENDS.sub("\n", text)
    return text


def not_text() -> Damaged:
    """The error of bytes that are no text in any encoding."""
    return Damaged("Its bytes are not text in any known encoding", remedy="Check that the file is what its name says")


def _decode(data: bytes, declared: str | None) -> str:
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data.decode(encoding, "replace")
    zeros = data.count(0, 0, _SAMPLE)
    if zeros <= len(data[:_SAMPLE]) // 100:
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            if _nearly_utf8(data, error):
                return data.decode("utf-8", "replace").rstrip("\ufffd")
    if declared:
        try:
            return data.decode(declared)
        except (UnicodeDecodeError, LookupError, ValueError):
            pass
    if zeros:
        return _by_zeros(data)
    return _legacy(data)


def _nearly_utf8(data: bytes, error: UnicodeDecodeError) -> bool:
    """UTF-8 that was cut off or has a few wrong bytes: far more sequences decode than do not."""
    if error.start >= len(data) - 3 and error.start > 0 and not data[: error.start].isascii():
        return True
    text = data[:_SAMPLE].decode("utf-8", "replace")
    wrong = text.count("\ufffd")
    right = sum(1 for character in text if character > "\x7f") - wrong
    return right > 10 * wrong


def _by_zeros(data: bytes) -> str:
    """UTF-16 without a mark has a zero in every other byte of its Latin letters."""
    sample = data[:_SAMPLE]
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    half = len(sample) / 2
    for here, there, encoding in ((odd, even, "utf-16-le"), (even, odd, "utf-16-be")):
        if here > 0.3 * half and there < 0.05 * half:
            return data[: len(data) // 2 * 2].decode(encoding, "replace")
    if even + odd <= max(2, len(sample) // 50):
        return _legacy(data)
    raise not_text()


def _legacy(data: bytes) -> str:
    """By charset-normalizer; where it finds several equally good, the most used Western one is taken."""
    from charset_normalizer import from_bytes

    matches = from_bytes(data[:_SAMPLE], cp_isolation=_LEGACY, preemptive_behaviour=False)
    best = matches.best()
    if best is None:
        raise not_text()
    encoding = best.encoding
    for match in matches:
        if match.encoding == "cp1252" and (match.chaos, -match.coherence) <= (best.chaos, -best.coherence):
            encoding = "cp1252"
    return data.decode(encoding, "replace")
