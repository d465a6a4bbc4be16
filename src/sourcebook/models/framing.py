"""How replies are cut into frames: server-sent events, JSON lines, AWS's event stream, or one whole body."""

from __future__ import annotations

import json
import struct
from codecs import getincrementaldecoder
from zlib import crc32

from sourcebook.models.wire import Frame

_Decoder = getincrementaldecoder("utf-8")


class ServerSentEvents:
    """The event stream of the WHATWG HTML standard, section 9.2. Comments and unknown fields are passed over."""

    def __init__(self) -> None:
        self._decoder = _Decoder("replace")
        self._rest = ""
        self._event = ""
        self._data: list[str] = []

    def feed(self, data: bytes) -> list[Frame]:
        """The events that these bytes complete."""
        text = self._rest + self._decoder.decode(data)
        held = text.endswith("\r")  # its line feed may still come
        lines = (text[:-1] if held else text).replace("\r\n", "\n").replace("\r", "\n").split("\n")
        self._rest = lines.pop() + ("\r" if held else "")
        frames: list[Frame] = []
        for line in lines:
            if not line:
                if self._data:
                    frames.append(Frame(event=self._event, data="\n".join(self._data)))
                    self._data = []
                self._event = ""
                continue
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if name == "data":
                self._data.append(value)
            elif name == "event":
                self._event = value
        return frames


class JsonLines:
    """One JSON value a line."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[Frame]:
        """The lines that these bytes complete."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [Frame(data=line.decode("utf-8", "replace")) for line in lines if line.strip()]


class Whole:
    """One body, which is one frame once it is a complete JSON value; its event is "reply"."""

    def __init__(self) -> None:
        self._body = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """The frame, with the byte that completes it."""
        self._body += data
        if not self._body.rstrip().endswith((b"}", b"]")):
            return []
        try:
            text = self._body.decode()
            json.loads(text)
        except ValueError:
            return []
        return [Frame(event="reply", data=text)]


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
