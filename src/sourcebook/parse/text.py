"""Plain text: the text as it is; paragraphs, parted by empty lines, are the blocks."""

from __future__ import annotations

from sourcebook.errors import Empty
from sourcebook.parse.base import Limits
from sourcebook.parse.draft import document, storable, too_much_text
from sourcebook.parse.encoding import decode
from sourcebook.types import Block, ParsedDocument

_LONGEST_TITLE = 300  # characters


class TextParser:
    """Text in any encoding. Also takes markup nobody else knows: its marks stay in the text."""

    fingerprint = "text-2"

    def accepts(self, name: str, head: bytes) -> bool:  # noqa: ARG002
        """Files named as text are told from others by the table in `formats`."""
        return name.lower().endswith((".txt", ".text", ".log"))

    def parse(self, data: bytes, name: str, limits: Limits) -> ParsedDocument:  # noqa: ARG002
        """The decoded text. Errors: Damaged, Empty, TooLarge."""
        text = storable(decode(data))
        if len(text) > limits.max_text:
            raise too_much_text(limits)
        blocks = paragraphs(text)
        return document(text, blocks, title=_title(text, blocks))


def _title(text: str, blocks: list[Block]) -> str | None:
    """A single line above an empty one and more text: what people put a title in where there is no markup."""
    first = text[blocks[0].start : blocks[0].end]
    return first if len(blocks) > 1 and "\n" not in first and len(first) <= _LONGEST_TITLE else None


def paragraphs(text: str) -> list[Block]:
    """Runs of lines that are not empty, without the white space around them. Errors: Empty."""
    blocks: list[Block] = []
    start = end = -1
    position = 0
    for line in text.split("\n"):
        bare = line.strip()
        if bare:
            if start < 0:
                start = position + line.index(bare[0])
            end = position + len(line.rstrip())
        elif start >= 0:
            blocks.append(Block(kind="paragraph", start=start, end=end))
            start = -1
        position += len(line) + 1
    if start >= 0:
        blocks.append(Block(kind="paragraph", start=start, end=end))
    if not blocks:
        raise Empty("There is no text in it")
    return blocks
