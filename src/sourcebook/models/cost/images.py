"""Picture -> tokens, by the rules that vendors publish.

    tiles    base + tile for each square of `side` pixels (OpenAI 512, Gemini 768) of the picture scaled down
    patches  32 x 32 pixels each, `most` of them at most, times factor (OpenAI's small models)
    pixels   width x height / factor, scaled down to `side`, `most` tokens at most (Claude)
    fixed    base, whatever the size

Sources: platform.openai.com/docs/guides/images-vision, platform.claude.com/docs/en/build-with-claude/vision,
ai.google.dev/gemini-api/docs/image-understanding. A picture whose size cannot be read counts as the largest one.
"""

from __future__ import annotations

import struct
from math import ceil

from sourcebook.models.base import Image
from sourcebook.models.cost.known import ImageRule

_UNKNOWN = 2_000  # tokens of a picture where the vendor's rule is not known


def image_tokens(image: Image, rule: ImageRule | None) -> int:
    """Tokens of a picture in the prompt, counted at full detail; never less than the vendor's rule gives."""
    if rule is None:
        return _UNKNOWN
    size = image_size(image.data) if image.data is not None else None
    match rule.name:
        case "tiles":
            return _openai_tiles(size, rule) if not rule.side else _tiles(size, rule)
        case "patches":
            width, height = size or (10_000, 10_000)
            patches = min(ceil(width / 32) * ceil(height / 32), rule.most)
            return ceil(patches * rule.factor / 100)
        case "pixels":
            if size is None:
                return rule.most
            shrink = min(1.0, rule.side / max(size))
            return min(rule.most, ceil(size[0] * shrink * size[1] * shrink / rule.factor) + 1)
        case _:
            return rule.base


def _openai_tiles(size: tuple[int, int] | None, rule: ImageRule) -> int:
    """Fitted into 2048 x 2048, then the shorter side to 768, then squares of 512."""
    width, height = size or (2048, 768)
    shrink = min(1.0, 2048 / max(width, height))
    width, height = round(width * shrink), round(height * shrink)
    shrink = min(1.0, 768 / max(min(width, height), 1))
    width, height = round(width * shrink), round(height * shrink)
    return rule.base + rule.tile * ceil(width / 512) * ceil(height / 512)


def _tiles(size: tuple[int, int] | None, rule: ImageRule) -> int:
    width, height = size or (4 * rule.side, 4 * rule.side)
    return rule.base + rule.tile * ceil(width / rule.side) * ceil(height / rule.side)


def image_size(data: bytes) -> tuple[int, int] | None:
    """(width, height) in pixels from the head of a PNG, GIF, JPEG or WebP file; None if it is none of these."""
    try:
        if data.startswith(b"\x89PNG\r\n\x1a\n"):
            width, height = struct.unpack(">II", data[16:24])
        elif data.startswith((b"GIF87a", b"GIF89a")):
            width, height = struct.unpack("<HH", data[6:10])
        elif data.startswith(b"\xff\xd8"):
            return _jpeg_size(data)
        elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return _webp_size(data)
        else:
            return None
    except (struct.error, IndexError):
        return None
    return (width, height) if width and height else None


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    """From the first frame header (ITU T.81, B.2.2): markers C0 to CF but for the tables C4, C8 and CC."""
    place = 2
    while place + 9 < len(data):
        if data[place] != 0xFF:
            return None
        marker = data[place + 1]
        if marker == 0xFF:
            place += 1
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", data[place + 5 : place + 9])
            return (width, height) if width and height else None
        else:
            (length,) = struct.unpack(">H", data[place + 2 : place + 4])
            place += 2 + length
    return None


def _webp_size(data: bytes) -> tuple[int, int] | None:
    """From the first chunk (RFC 9649): lossy, lossless or extended."""
    kind, head = data[12:16], data[20:30]
    if len(head) < 10:
        return None
    if kind == b"VP8X":
        return 1 + int.from_bytes(head[4:7], "little"), 1 + int.from_bytes(head[7:10], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(head[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        width, height = struct.unpack("<HH", head[6:10])
        return width & 0x3FFF, height & 0x3FFF
    return None
