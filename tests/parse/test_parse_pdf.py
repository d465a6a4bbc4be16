"""PDF files made here: what the outline names is a heading, whatever its size."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sourcebook.parse import Parsers
from sourcebook.parse.outline import Entry, read_outline
from sourcebook.parse.pdf import page_blocks
from tests.parse.parsing_checks import shown

FIRST = (
    "Of the lighthouse",
    "The lighthouse on Gull Island was built in 1873, after many years of",
    "quarrels about who was to pay for it, and has been in service since.",
)
SECOND = (
    "It is 41 metres tall, and can be seen from the whole of the island.",
    "2 Of the harbour",
    "The harbour was built two years later. Fishing boats lie there, and",
    "the ferry leaves from it at nine in the morning.",
)


def pdf(pages: Sequence[Sequence[str]], outline: Sequence[tuple[str, int]] = ()) -> bytes:
    """A file with lines of one size on its pages, and an outline: (name, number of the page), all on one level."""
    objects = ["<< /Type /Catalog /Pages 2 0 R /Outlines 3 0 R >>"]
    first = 5 + 2 * len(pages)
    kids = " ".join(f"{5 + 2 * number} 0 R" for number in range(len(pages)))
    objects.append(f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>")
    ends = f"/First {first} 0 R /Last {first + len(outline) - 1} 0 R" if outline else ""
    objects.append(f"<< /Type /Outlines {ends} /Count {len(outline)} >>")
    objects.append("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>")
    for number, lines in enumerate(pages):
        shown = "".join(f"({line}) Tj 0 -16 Td\n" for line in lines)
        text = f"BT /F1 11 Tf 60 780 Td\n{shown}ET"
        objects.append(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Resources << /Font << /F1 4 0 R >> >> "
            f"/Contents {6 + 2 * number} 0 R >>"
        )
        objects.append(f"<< /Length {len(text)} >>\nstream\n{text}\nendstream")
    for place, (name, page) in enumerate(outline):
        beside = f"/Next {first + place + 1} 0 R" if place + 1 < len(outline) else ""
        objects.append(f"<< /Title ({name}) /Parent 3 0 R {beside} /Dest [{3 + 2 * page} 0 R /Fit] >>")
    written, places = b"%PDF-1.4\n", list[int]()
    for number, one in enumerate(objects, 1):
        places.append(len(written))
        written += f"{number} 0 obj\n{one}\nendobj\n".encode()
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    end = (
        f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\n"
    )
    return written + f"{end}startxref\n{len(written)}\n%%EOF\n".encode()


async def test_what_the_outline_names_is_a_heading(parsers: Parsers) -> None:
    outline = [("Of the lighthouse", 1), ("Of the harbour", 2)]
    document = await parsers.parse(pdf([FIRST, SECOND], outline), "island.pdf")
    headings = [(document.text[one.start : one.end], one.page) for one in document.blocks if one.kind == "heading"]
    assert headings == [("Of the lighthouse", 1), ("2 Of the harbour", 2)]
    assert [one.level for one in document.blocks if one.kind == "heading"] == [1, 1]
    assert ("paragraph", "It is 41 metres tall, and can be seen from the whole of the island.") in shown(document)


async def test_without_an_outline_a_line_of_the_same_size_is_none(parsers: Parsers) -> None:
    document = await parsers.parse(pdf([FIRST, SECOND]), "island.pdf")
    assert "Of the lighthouse" not in [text for kind, text in shown(document) if kind == "heading"]


async def test_an_outline_that_names_what_is_not_there_changes_nothing(parsers: Parsers) -> None:
    plain = await parsers.parse(pdf([FIRST, SECOND]), "island.pdf")
    strange = [("Seite 1", 1), ("Of the harbour", 1), ("x" * 400, 2), ("1", 2), ("Of the harbour", 7)]
    assert (await parsers.parse(pdf([FIRST, SECOND], strange), "island.pdf")).blocks == plain.blocks


async def test_passages_have_the_path_of_their_headings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sourcebook import Sourcebook

    for part, name in (("EMBED", "hashing"), ("INDEX", "flat")):
        monkeypatch.setenv(f"SOURCEBOOK_PARTS_{part}", name)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "island.pdf").write_bytes(
        pdf([FIRST, SECOND], [("Of the lighthouse", 1), ("Of the harbour", 2)])
    )
    async with await Sourcebook.open(tmp_path / "home") as book:
        await book.add(tmp_path / "docs")
        await book.sync()
        paths = {hit.passage.heading_path for hit in await book.search("When does the ferry leave the harbour?")}
    assert ("2 Of the harbour",) in paths


@pytest.mark.parametrize("line", ["Of the harbour", "2 Of the harbour", "2. Of the harbour", "2.1 Of the harbour"])
def test_a_number_before_a_heading_is_passed_over(line: str) -> None:
    text = "The harbour was built two years later. Fishing boats lie there."
    assert list(page_blocks([line, text], {"oftheharbour": 2})) == [("heading", line, 2), ("paragraph", text, 0)]


# --- the outline itself -------------------------------------------------------------------------------------

TREE = (
    "1 0 obj\n<< /Type /Catalog /Pages 2 0 R /Outlines 3 0 R /Names << /Dests 20 0 R >> >>\nendobj\n"
    "2 0 obj\n<< /Type /Pages /Kids [30 0 R 33 0 R] /Count 3 >>\nendobj\n"
    "30 0 obj\n<< /Type /Pages /Kids [31 0 R 32 0 R] /Count 2 >>\nendobj\n"
    "31 0 obj\n<< /Type /Page >>\nendobj\n32 0 obj\n<< /Type /Page >>\nendobj\n33 0 obj\n<< /Type /Page >>\nendobj\n"
)
ITEMS = {
    3: "<< /Type /Outlines /First 4 0 R /Last 7 0 R >>",
    4: "<< /Title (One \\(a\\) \\334\\(b) /First 5 0 R /Next 7 0 R /Dest [31 0 R /Fit] >>",
    5: "<< /Title <FEFFD55CAD6D> /Next 6 0 R /A << /S /GoTo /D (here) >> >>",
    6: "<< /Title (Elsewhere) /A << /S /URI /URI (https://example.org) >> >>",
    7: "<< /Title (Two) /First 8 0 R /A 9 0 R >>",
    8: "<< /Title (Again) /Dest (there) /Next 4 0 R >>",
    9: "<< /S /GoTo /D [33 0 R /XYZ 0 0 0] >>",
    20: "<< /Kids [21 0 R] >>",
    21: "<< /Names [(here) << /D [32 0 R /Fit] >> (there) 22 0 R] >>",
    22: "[33 0 R /Fit]",
}
ENTRIES = [
    Entry(name="One (a) \u00dc(b", page=1, depth=1),
    Entry(name="\ud55c\uad6d", page=2, depth=2),
    Entry(name="Two", page=3, depth=1),
    Entry(name="Again", page=3, depth=2),
]
END = b"trailer\n<< /Root 1 0 R >>\n%%EOF\n"
PLAIN = TREE.encode() + b"".join(b"%d 0 obj\n%s\nendobj\n" % (n, one.encode()) for n, one in ITEMS.items()) + END


def packed() -> bytes:
    """The same, with the items in a compressed object stream."""
    bodies = [one.encode() for one in ITEMS.values()]
    places = [sum(len(one) + 1 for one in bodies[:n]) for n in range(len(bodies))]
    head = " ".join(f"{number} {place}" for number, place in zip(ITEMS, places, strict=True)).encode() + b" "
    stream = zlib.compress(head + b"\n".join(bodies))
    about = f"<< /Type /ObjStm /N {len(bodies)} /First {len(head)} /Filter /FlateDecode /Length {len(stream)} >>"
    return TREE.encode() + b"40 0 obj\n" + about.encode() + b"\nstream\n" + stream + b"\nendstream\nendobj\n" + END


def test_names_of_all_kinds_and_loops() -> None:
    assert read_outline(PLAIN) == ENTRIES
    assert read_outline(packed()) == ENTRIES
    assert read_outline(PLAIN.replace(b"/Root 1 0 R", b"/Root 1 0 R /Encrypt 9 0 R")) == []
    assert read_outline(b"") == read_outline(b"/Outlines") == []


@given(
    st.lists(st.tuples(st.integers(0, len(PLAIN)), st.integers(0, 60), st.binary(max_size=8)), max_size=4),
    st.booleans(),
)
def test_a_damaged_file_is_no_error(wounds: list[tuple[int, int, bytes]], compressed: bool) -> None:
    data = packed() if compressed else PLAIN
    for place, length, instead in wounds:
        data = data[:place] + instead + data[place + length :]
    assert all(one.page >= 1 <= one.depth for one in read_outline(data))
