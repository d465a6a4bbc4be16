"""Makes damaged, mislabelled and hostile files out of good ones, for tests of everything that reads files.

python tests/damaged.py FOLDER EXAMPLE...      300 of them
"""

from __future__ import annotations

import io
import json
import os
import random
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

_Maker = Callable[[random.Random, bytes, str], tuple[str, bytes]]  # (random, bytes, suffix) -> (name, bytes)
_MEGABYTE = b"0" * 1_000_000


def make_damaged(
    folder: Path, examples: Sequence[Path], count: int = 300, seed: int = 20240229, *, bombs: bool = True
) -> list[Path]:
    """Write `count` damaged files; the same arguments give the same files.

    Names that this system cannot hold are left out of it, and others come in their place. The files that need no
    example (bombs, deep nesting, loops) all come first, if `count` has room for them; bombs: with them at all.
    """
    random_ = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    made: list[Path] = []
    for name, data in _files(random_, examples, bombs):
        path = _write(folder, name, data, len(made))
        if path is not None:
            made.append(path)
        if len(made) == count:
            break
    return made


def _write(folder: Path, name: str, data: bytes, number: int) -> Path | None:
    """Each in a folder of its own, so that names cannot collide; None if the system refuses the name."""
    place = folder / f"{number:03}"
    try:
        place.mkdir(exist_ok=True)
        path = place / name
        path.write_bytes(data)
    except (OSError, ValueError):
        return None
    return path


def _files(random_: random.Random, examples: Sequence[Path], bombs: bool) -> Iterator[tuple[str, bytes]]:
    if bombs:
        yield from _made_up()
    contents = [(path.suffix.lower(), path.read_bytes()) for path in examples] or [(".txt", b"Some text.\n" * 50)]
    makers: tuple[_Maker, ...] = (
        _truncated, _flipped, _mislabelled, _hostile_name, _holed, _spliced, _recoded, _beheaded, _repeated,
    )  # fmt: skip
    while True:
        for maker in makers:
            suffix, data = contents[random_.randrange(len(contents))]
            yield maker(random_, data, suffix)


# --- from an example --------------------------------------------------------------------------------------


def _truncated(random_: random.Random, data: bytes, suffix: str) -> tuple[str, bytes]:
    return f"truncated{suffix}", data[: random_.randrange(len(data) + 1)]


def _beheaded(random_: random.Random, data: bytes, suffix: str) -> tuple[str, bytes]:
    return f"beheaded{suffix}", data[random_.randrange(min(len(data) + 1, 2000)) :]


def _flipped(random_: random.Random, data: bytes, suffix: str) -> tuple[str, bytes]:
    changed = bytearray(data)
    for _ in range(random_.choice((1, 10, 100, 1000)) if changed else 0):
        changed[random_.randrange(len(changed))] ^= 1 << random_.randrange(8)
    return f"flipped{suffix}", bytes(changed)


def _holed(random_: random.Random, data: bytes, suffix: str) -> tuple[str, bytes]:
    start = random_.randrange(len(data) + 1)
    length = random_.randrange(1, 5000)
    return f"holed{suffix}", data[:start] + b"\0" * length + data[start + length :]


def _spliced(random_: random.Random, data: bytes, suffix: str) -> tuple[str, bytes]:
    start, stop = sorted((random_.randrange(len(data) + 1), random_.randrange(len(data) + 1)))
    return f"spliced{suffix}", data[:start] + random_.randbytes(random_.randrange(3000)) + data[stop:]


def _repeated(random_: random.Random, data: bytes, suffix: str) -> tuple[str, bytes]:
    return f"repeated{suffix}", data * random_.randrange(2, 4)


def _mislabelled(random_: random.Random, data: bytes, suffix: str) -> tuple[str, bytes]:
    others = (".txt", ".md", ".pdf", ".docx", ".xlsx", ".pptx", ".html", ".csv", ".json", ".eml", ".epub", ".png", "")
    return "mislabelled" + random_.choice([other for other in others if other != suffix]), data


def _recoded(random_: random.Random, data: bytes, suffix: str) -> tuple[str, bytes]:
    text = data.decode("utf-8", "replace")[:20_000]
    encoding = random_.choice(("utf-16", "utf-16-le", "utf-32", "cp949", "shift_jis", "gb18030", "utf-7", "cp500"))
    return f"recoded{suffix}", text.encode(encoding, "replace")


def _hostile_name(random_: random.Random, data: bytes, suffix: str) -> tuple[str, bytes]:
    names = (
        "-rf", "--help", "$(touch pwned)", "`touch pwned`", "a;touch pwned", "'quotes\"", "new\nline", "tab\there",
        "bell\a\x1b[31mred", "\u202egnp.exe", "\u200b\u200d", "\ufeffmark", "a" * 240, "e\u0301\u0301\u0301",
        "한글 이름", " leading and trailing ", "...", "%2e%2e%2f", "..\\..\\up", "CON", "percent%s%n", "\udcff\udcfe",
        "{0.__class__}",
    )  # fmt: skip
    return random_.choice(names) + suffix, data


# --- made up ----------------------------------------------------------------------------------------------


def _made_up() -> Iterator[tuple[str, bytes]]:
    for suffix in (".txt", ".pdf", ".docx", ".xlsx", ".html", ".json", ".eml", ".png"):
        yield f"empty{suffix}", b""
    yield "white.txt", b" \n\t\r\n" * 1000
    yield "zeros.txt", bytes(10_000)
    yield "zeros.pdf", bytes(10_000)
    yield "noise.txt", random.Random(1).randbytes(50_000)
    yield "noise.docx", random.Random(2).randbytes(50_000)
    yield "line.txt", b"word " * 600_000
    yield "one-word.txt", b"a" * 2_000_000
    yield "quotes.csv", b'"' * 200_001
    yield "open-quote.csv", b'a,b\n"' + b"1,2\n" * 100_000
    yield "wide.csv", b",".join(b"c%d" % column for column in range(20_000)) + b"\n" + b"1," * 20_000
    yield "ragged.csv", b"\n".join(b"x," * (number % 50) for number in range(2_000))
    yield "marks.md", b"[" * 50_000 + b"**a " * 30_000 + b"](" * 30_000 + b"`" * 30_001 + b"_a_" * 20_000
    yield "stars.md", b"*" * 100_000 + b"\n" + b"> " * 50_000 + b"\n" + b"| " * 50_000 + b"\n" + b"|-" * 50_000
    yield "aliases.md", _yaml_bomb()
    yield "nested.html", b"<div>" * 100_000 + b"deep" + b"</div>" * 100_000
    yield "tables.html", b"<table><tr><td>" * 20_000 + b"deep"
    yield "open.html", b"<" * 200_000
    yield "comments.html", b"<!--" * 50_000 + b"<![CDATA[" * 20_000
    yield "ends.html", b"<b>" * 30_000 + b"</i>" * 30_000 + b"text"
    yield "spans.html", b"<table><tr>" + b'<td colspan="99999" rowspan="99999">x' * 300
    yield "entities.html", b"&" * 100_000 + b"&#9999999999;" * 1000 + b"<p>text"
    yield "nested.json", b"[" * 100_000 + b"]" * 100_000
    yield "objects.json", b'{"a":' * 50_000 + b"1" + b"}" * 50_000
    yield "digits.json", b'{"n": ' + b"9" * 100_000 + b"}"
    yield "lone.json", b'{"text": "half \\ud800 of a pair", "\\udfff": "\\u0000"}'
    yield "mixed.jsonl", b'{"a": 1}\nnot json\n{"b": 2}\n'
    yield "nested.xml", b"<a>" * 100_000 + b"deep" + b"</a>" * 100_000
    yield "laughs.xml", _entity_bomb()
    yield "outside.xml", b'<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]><a>&e;</a>'
    yield (
        "parts.eml",
        b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(3_000)),
    )
    yield "headers.eml", b"From: a@b\nSubject: =?utf-8?q?" + b"=00" * 20_000 + b"?=\n" + b"X: y\n" * 20_000 + b"\nbody"
    yield "charset.eml", b"From: a@b\nTo: c@d\nContent-Type: text/plain; charset=no-such\n\nh\xe9llo"
    yield "loop.pdf", _pdf_loop()
    yield "pages.pdf", _pdf_page_loop()
    yield "braces.rtf", b"{\\rtf1 " + b"{" * 100_000 + b"deep" + b"}" * 100_000
    yield "bomb.docx", _zip_of("word/document.xml", 300)
    yield "bomb.xlsx", _zip_of("xl/worksheets/sheet1.xml", 300)
    yield "bomb.epub", _zip_of("OEBPS/chapter.xhtml", 1100)
    yield "nested.docx", _nested_zip(12)
    yield "laughs.docx", _document(_entity_bomb())
    yield "deep.docx", _document(b"<w:document>" + b"<w:p>" * 50_000)
    yield "slip.docx", _slip()
    yield "sheet.xlsx", _far_cell()
    yield "many.docx", _many_members(70_000)
    yield "lying.docx", _lying_zip()
    yield "huge.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\x7f\xff\xff\xff\x7f\xff\xff\xff\x08\x02\0\0\0" + bytes(100)
    yield "archive.zip", _zip_of("readme.txt", 1)
    yield "ole.doc", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "WordDocument".encode("utf-16-le") + bytes(3000)
    yield "ole.msg", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "__substg1.0_".encode("utf-16-le") + b"\xff" * 5000


def _entity_bomb() -> bytes:
    """A billion laughs."""
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 10))
    return f'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY e0 "ha">{entities}]><a>&e9;</a>'.encode()


def _yaml_bomb() -> bytes:
    lines = ["a0: &a0 [ha, ha]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    return ("---\n" + "\n".join(lines) + "\n---\nText after the header.\n").encode()


def _pdf_loop() -> bytes:
    """A page tree that contains itself."""
    return (
        b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n"
        b"2 0 obj<</Type/Pages/Kids[2 0 R 2 0 R]/Count 99999999/Parent 2 0 R>>endobj\n"
        b"trailer<</Root 1 0 R/Prev 0/Size 3>>\nstartxref\n0\n%%EOF"
    )


def _pdf_page_loop() -> bytes:
    """Form objects that draw each other."""
    form = (
        b"<</Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<</F %d 0 R>>>>/Length 5>>"
        b"stream\n/F Do\nendstream"
    )
    parts = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]/Contents 4 0 R/Resources<</XObject<</F 5 0 R>>>>>>",
        b"<</Length 5>>stream\n/F Do\nendstream",
        form % 6,
        form % 5,
    ]
    body = b"".join(b"%d 0 obj%sendobj\n" % (number, part) for number, part in enumerate(parts, 1))
    return b"%PDF-1.4\n" + body + b"trailer<</Root 1 0 R/Size 7>>\n%%EOF"


def _zip_of(member: str, megabytes: int) -> bytes:
    """A container whose member unpacks to so many megabytes of zeros."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        with archive.open(member, "w") as stream:
            for _ in range(megabytes):
                stream.write(_MEGABYTE)
    return packed.getvalue()


def _nested_zip(depth: int) -> bytes:
    data = b"x" * 1000
    for level in range(depth):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for copy in range(5):
                archive.writestr(f"word/embeddings/level{level}-{copy}.zip", data)
        data = packed.getvalue()
    return data


def _document(xml: bytes) -> bytes:
    types = (
        '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Override PartName='
        '"/word/document.xml" ContentType="application/vnd.openxmlformats-officedocument.wordprocessingml.'
        'document.main+xml"/></Types>'
    )
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", types)
        archive.writestr("word/document.xml", xml)
    return packed.getvalue()


def _slip() -> bytes:
    """Members whose names lead out of the folder that they are unpacked to."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in ("word/document.xml", "../../slipped.txt", "/tmp/slipped.txt", "word/../../../slipped.txt"):
            archive.writestr(name, "<a>slipped</a>")
    return packed.getvalue()


def _far_cell() -> bytes:
    """A sheet of two cells, in its first and its last place."""
    space = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    links = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006/relationships"
    cell = '<row r="{0}"><c r="{1}{0}"><v>1</v></c></row>'
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr(
            "_rels/.rels",
            f'<Relationships xmlns="{package}"><Relationship Id="r1" Type="{links}/officeDocument" '
            'Target="xl/workbook.xml"/></Relationships>',
        )
        archive.writestr(
            "xl/workbook.xml",
            f'<workbook xmlns="{space}" xmlns:r="{links}"><sheets><sheet name="S" sheetId="1" r:id="r1"/>'
            "</sheets></workbook>",
        )
        archive.writestr(
            "xl/_rels/workbook.xml.rels",
            f'<Relationships xmlns="{package}"><Relationship Id="r1" Type="{links}/worksheet" '
            'Target="worksheets/sheet1.xml"/></Relationships>',
        )
        rows = cell.format(1, "A") + cell.format(1048576, "XFD")
        archive.writestr(
            "xl/worksheets/sheet1.xml", f'<worksheet xmlns="{space}"><sheetData>{rows}</sheetData></worksheet>'
        )
    return packed.getvalue()


def _many_members(count: int) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("word/document.xml", "<a/>")
        for number in range(count):
            archive.writestr(zipfile.ZipInfo(f"{number}"), b"")
    return packed.getvalue()


def _lying_zip() -> bytes:
    """A bomb whose directory says that it is small."""
    data = bytearray(_zip_of("word/document.xml", 300))
    length = (300_000_000).to_bytes(4, "little")
    place = data.find(length)
    while place >= 0:
        data[place : place + 4] = (1000).to_bytes(4, "little")
        place = data.find(length, place + 4)
    return bytes(data)


def _main() -> None:
    made = make_damaged(Path(sys.argv[1]), [Path(argument) for argument in sys.argv[2:]])
    sys.stdout.write(json.dumps({"made": len(made), "folder": os.fspath(Path(sys.argv[1]))}) + "\n")


if __name__ == "__main__":
    _main()
