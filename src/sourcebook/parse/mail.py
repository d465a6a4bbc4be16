"""Mail (RFC 5322 with MIME): who wrote to whom and when, what, and the attachments that can be read."""

from __future__ import annotations

import email.policy
from collections.abc import Iterator
from email.message import EmailMessage
from email.parser import BytesParser
from email.utils import parsedate_to_datetime

from sourcebook.errors import Encrypted, ParseError
from sourcebook.parse.base import Limits
from sourcebook.parse.builtin import parser_of
from sourcebook.parse.draft import Draft
from sourcebook.parse.encoding import decode
from sourcebook.parse.formats import identify
from sourcebook.parse.html import write_html
from sourcebook.parse.inline import join_lines
from sourcebook.types import MetadataValue, ParsedDocument

_PEOPLE = ("From", "To", "Cc")
_MAX_ATTACHMENTS = 100
_MAX_DEPTH = 3  # of mails attached to mails


class MailParser:
    """One message. Its attachments are parsed by the parsers of their formats; one that cannot be is only named."""

    fingerprint = "mail-1"

    def accepts(self, name: str, head: bytes) -> bool:
        """By its name, or by headers at its beginning."""
        return identify(name, head) == "eml"

    def parse(self, data: bytes, name: str, limits: Limits) -> ParsedDocument:  # noqa: ARG002
        """Title: the subject. Metadata: from, to, cc, subject, date, attachments. Errors: Encrypted, Empty."""
        message = _message(data)
        draft = Draft(limits)
        metadata: dict[str, MetadataValue] = {}
        subject = _header(message, "Subject")
        _write_headers(draft, message, subject, metadata)
        heads = draft.length
        attached = _write_parts(draft, message, limits, depth=0)
        if attached:
            metadata["attachments"] = tuple(attached)
        if draft.length == heads and _is_encrypted(message):
            raise Encrypted("The message is encrypted", remedy="Save it decrypted from your mail program")
        return draft.finish(title=subject, metadata=metadata)


def _message(data: bytes) -> EmailMessage:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in data[:200]:
        data = decode(data).encode()
    message = BytesParser(policy=email.policy.default).parsebytes(data.lstrip())
    assert isinstance(message, EmailMessage)
    return message


def _write_headers(draft: Draft, message: EmailMessage, subject: str, metadata: dict[str, MetadataValue]) -> None:
    draft.add("heading", subject, level=1)
    lines = []
    for name in _PEOPLE:
        if people := _header(message, name):
            metadata[name.lower()] = people
            lines.append(f"{name}: {people}")
    if date := _date(message):
        metadata["date"] = date
        lines.append(f"Date: {date}")
    metadata["subject"] = subject
    draft.add("paragraph", "\n".join(lines))


def _write_parts(draft: Draft, message: EmailMessage, limits: Limits, *, depth: int) -> list[str]:
    """The body, in plain text if it has it, and the attachments; returns the names of these."""
    body = _body(message)
    if body is not None:
        _write_body(draft, body)
    names: list[str] = []
    for part in _parts(message):
        if part is body or (part.is_multipart() and part.get_content_type() != "message/rfc822"):
            continue
        name = _filename(part)
        if name is None and (part.get_content_maintype() in ("text", "image", "multipart") or depth >= _MAX_DEPTH):
            continue
        names.append(name or "message")
        if len(names) <= _MAX_ATTACHMENTS and depth < _MAX_DEPTH:
            _write_attachment(draft, part, name or "message.eml", limits, depth=depth)
    return names


def _parts(message: EmailMessage) -> Iterator[EmailMessage]:
    """All parts below this one, but not those of attached messages."""
    stack = [message]
    seen = 0
    while stack and seen < 10_000:
        part = stack.pop()
        seen += 1
        if part is not message or not part.is_multipart():
            yield part
        if part.is_multipart() and (part is message or part.get_content_type() != "message/rfc822"):
            children = part.get_payload()
            if isinstance(children, list):
                stack.extend(child for child in reversed(children) if isinstance(child, EmailMessage))


def _body(message: EmailMessage) -> EmailMessage | None:
    try:
        body = message.get_body(preferencelist=("plain", "html"))
    except (AttributeError, KeyError, ValueError, IndexError, TypeError):
        body = None
    return body if isinstance(body, EmailMessage) else None


def _write_body(draft: Draft, part: EmailMessage) -> None:
    text = _text(part)
    if part.get_content_type() == "text/html":
        write_html(draft, text)
        return
    for paragraph in text.replace("\r\n", "\n").split("\n\n"):
        lines = [line.rstrip() for line in paragraph.strip("\n").split("\n")]
        wrapped = len(lines) > 1 and all(len(line) > 50 for line in lines[:-1]) and not paragraph.startswith((" ", ">"))
        draft.add("paragraph", join_lines(lines) if wrapped else "\n".join(lines))


def _write_attachment(draft: Draft, part: EmailMessage, name: str, limits: Limits, *, depth: int) -> None:
    """Its text under its name as a heading; nothing if nobody can read it."""
    if part.get_content_type() == "message/rfc822":
        inner = part.get_payload()
        if isinstance(inner, list) and inner and isinstance(inner[0], EmailMessage):
            _write_headers(draft, inner[0], _header(inner[0], "Subject") or name, {})
            _write_parts(draft, inner[0], limits, depth=depth + 1)
        return
    try:
        data = part.get_payload(decode=True)
        if not isinstance(data, bytes) or not data:
            return
        kind = identify(name, data)
        if kind in ("image", "eml"):
            return
        document = parser_of(kind).parse(data, name, limits)
    except (ParseError, ValueError, TypeError, KeyError, LookupError, RecursionError):
        return
    draft.add("heading", name, level=1)
    for block in document.blocks:
        level = block.level + 1 if block.level else 0
        text = document.text[block.start : block.end]
        draft.add(block.kind, text, level=level, location=block.location)


def _text(part: EmailMessage) -> str:
    """Decoded by its charset if that holds, else by what it looks like."""
    data = part.get_payload(decode=True)
    if not isinstance(data, bytes):
        return str(data or "")
    try:
        return decode(data, declared=part.get_content_charset())
    except ParseError:
        return data.decode("utf-8", "replace")


def _header(message: EmailMessage, name: str) -> str:
    """One header on one line; "" if there is none, or none that can be read."""
    try:
        return " ".join(str(message.get(name) or "").split())
    except Exception:  # the standard library fails in many ways on headers that are not what they should be
        return ""


def _date(message: EmailMessage) -> str:
    """ISO 8601, or "" if there is none."""
    try:
        return parsedate_to_datetime(_header(message, "Date")).isoformat()
    except (ValueError, TypeError, IndexError, OverflowError):
        return ""


def _filename(part: EmailMessage) -> str | None:
    try:
        return part.get_filename()
    except Exception:  # as in _header
        return None


def _is_encrypted(message: EmailMessage) -> bool:
    types = {part.get_content_type() for part in (message, *_parts(message))}
    return bool(types & {"multipart/encrypted", "application/pgp-encrypted", "application/pkcs7-mime"})
