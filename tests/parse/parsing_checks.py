"""What holds for every parsed document, and ways to show one."""

from sourcebook.types import Block, ParsedDocument


def shown(document: ParsedDocument) -> list[tuple[str, str]]:
    """(kind, text) of each block, after a check of what holds for every document."""
    check(document)
    return [(block.kind, document.text[block.start : block.end]) for block in document.blocks]


def located(document: ParsedDocument) -> list[tuple[str | None, str]]:
    """(location, text) of each table row."""
    check(document)
    rows = [block for block in document.blocks if block.kind == "table_row"]
    return [(row.location, document.text[row.start : row.end]) for row in rows]


def check(document: ParsedDocument) -> None:
    """Blocks in order, not overlapping, not empty, within the text; pages as well; storable text."""
    document.text.encode()
    assert "\0" not in document.text
    end = 0
    for block in document.blocks:
        assert end <= block.start < block.end <= len(document.text)
        assert document.text[block.start : block.end].strip()
        assert (block.level > 0) == (block.kind == "heading")
        end = block.end
    end = 0
    for page in document.pages:
        assert end == page.start <= page.end <= len(document.text)
        end = page.end
        assert all(_on(block, page.start, page.end) for block in document.blocks if block.page == page.number)
    assert not document.pages or end == len(document.text)


def _on(block: Block, start: int, end: int) -> bool:
    return start <= block.start and block.end <= end
