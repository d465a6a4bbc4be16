"""How replies are cut into frames: server-sent events, JSON lines, AWS's event stream, or one whole body."""

from __future__ import annotations

import json
import struct
from codecs import getincrementaldecoder
from typing import Final
from zlib import crc32

from sourcebook.errors import InvalidReply
from sourcebook.models.wire import Frame

_Decoder = getincrementaldecoder("utf-8-sig")  # which drops a byte-order mark, as the standard of events wants it
_LONGEST: Final = 2**26
"""Characters or bytes of one frame; past them whoever sends is no model."""


class ServerSentEvents:
    """The event stream of the WHATWG HTML standard, section 9.2. Comments and unknown fields are passed over.

    Errors: InvalidReply for an event that does not end.
    """

    def __init__(self) -> None:
        self._decoder = _Decoder("replace")
        self._line: list[str] = []  # the pieces of a line that is not over
        self._returned = False  # the last character was a carriage return, whose line feed may still come
        self._event = ""
        self._data: list[str] = []
        self._held = 0

    def feed(self, data: bytes) -> list[Frame]:
        """The events that these bytes complete."""
        text = self._decoder.decode(data)
        if not text:
            return []
        if self._returned:
            text = text.removeprefix("\n")
        self._returned = text.endswith("\r")
        self._held += _checked(len(text), self._held)
        first, *lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        self._line.append(first)
        frames: list[Frame] = []
        for following in lines:
            frames += self._over("".join(self._line))
            self._line = [following]
        return frames

    def _over(self, line: str) -> list[Frame]:
        """What a whole line completes."""
        if not line:
            frames = [Frame(event=self._event, data="\n".join(self._data))] if self._data else []
            self._event, self._data, self._held = "", [], 0
            return frames
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._event = value
        return []


class JsonLines:
    """One JSON value a line. Errors: InvalidReply for a line that does not end."""

    def __init__(self) -> None:
        self._line: list[bytes] = []
        self._held = 0

    def feed(self, data: bytes) -> list[Frame]:
        """The lines that these bytes complete."""
        self._held += _checked(len(data), self._held)
        first, *lines = data.split(b"\n")
        self._line.append(first)
        frames: list[Frame] = []
        for following in lines:
            line = b"".join(self._line)
            if line.strip():
                frames.append(Frame(data=line.decode("utf-8", "replace")))
            self._line, self._held = [following], len(following)
        return frames


class Whole:
    """One body, which is one frame once it is a complete JSON value; its event is "reply".

    Errors: InvalidReply for a body that does not end.
    """

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._held = 0

    def feed(self, data: bytes) -> list[Frame]:
        """The frame, with the byte that completes it."""
        self._held += _checked(len(data), self._held)
        self._pieces.append(data)
        if not data.rstrip().endswith((b"}", b"]")):
            return []
        try:
            text = b"".join(self._pieces).decode()
            json.loads(text)
        except ValueError:
            return []
        except RecursionError:
            pass  # whoever reads it says what is wrong with it
        return [Frame(event="reply", data=text)]


def _checked(size: int, held: int) -> int:
    """The size of what comes, if it may be held besides."""
    if held + size > _LONGEST:
        raise InvalidReply(f"The reply has a message of more than {_LONGEST // 2**20} MB")
    return size


class EventStream:
    """application/vnd.amazon.eventstream: messages of a prelude, headers, a payload and two checksums.

    A frame's event is the message's `:event-type`; of an exception it is "exception/" and its type, of an error
    "error/" and its code. The first message whose checksum is wrong is a frame of the event "damaged", which says
    why, and the last: nothing that follows can be trusted.
    Source: smithy.io/2.0/aws/amazon-eventstream.html.
    """

    def __init__(self) -> None:
        self._rest = bytearray()
        self._damaged = False

    def feed(self, data: bytes) -> list[Frame]:
        """The messages that these bytes complete."""
        self._rest += data
        frames: list[Frame] = []
        while not self._damaged and len(self._rest) >= _PRELUDE:
            length, headers_length, checksum = struct.unpack_from("!III", self._rest)
            whole = length >= _PRELUDE + headers_length + 4 and length <= _LONGEST_MESSAGE
            if crc32(self._rest[:8]) != checksum or not whole:
                frames.append(self._broken("the head of a message"))
            elif len(self._rest) < length:
                break
            else:
                message = bytes(self._rest[:length])
                del self._rest[:length]
                frames.append(self._message(message, headers_length))
        return frames

    def _message(self, message: bytes, headers_length: int) -> Frame:
        if crc32(message[:-4]) != int.from_bytes(message[-4:]):
            return self._broken("a message")
        end = _PRELUDE + headers_length
        try:
            headers = _headers(message[_PRELUDE:end])
        except (struct.error, IndexError, UnicodeDecodeError):
            return self._broken("the headers of a message")
        payload = message[end:-4].decode("utf-8", "replace")
        match headers.get(":message-type"):
            case "exception":
                return Frame(event=f"exception/{headers.get(':exception-type', '')}", data=payload)
            case "error":
                told = {"message": headers.get(":error-message", "")}
                return Frame(event=f"error/{headers.get(':error-code', '')}", data=json.dumps(told))
        return Frame(event=headers.get(":event-type", ""), data=payload)

    def _broken(self, what: str) -> Frame:
        self._damaged = True
        return Frame(event="damaged", data=f"{what} came damaged")


_PRELUDE = 12  # bytes: the length of the message, that of its headers, a checksum of both
_LONGEST_MESSAGE = 2**24 + 2**17 + 16  # payload, headers and frame, as the format bounds them
_FIXED_SIZES = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}  # bytes of a header's value, by its type
_BYTES, _STRING = 6, 7


def _headers(block: bytes) -> dict[str, str]:
    """Names and values of the headers that are strings; the others are passed over."""
    headers: dict[str, str] = {}
    place = 0
    while place < len(block):
        name_end = place + 1 + block[place]
        name = block[place + 1 : name_end].decode()
        kind = block[name_end]
        place = name_end + 1
        if kind in (_BYTES, _STRING):
            (length,) = struct.unpack_from("!H", block, place)
            place += 2
            if kind == _STRING:
                headers[name] = block[place : place + length].decode()
            place += length
        else:
            place += _FIXED_SIZES[kind] if kind in _FIXED_SIZES else len(block)
    return headers
