"""Which parser a file gets, and what the others say."""

import io
import shutil
import zipfile
from collections.abc import Callable

import pytest

from sourcebook.errors import Damaged, Empty, Encrypted, ParseError, TooLarge, UnsupportedFormat
from sourcebook.parse import Limits, Parsers
from sourcebook.parse.builtin import builtin_fingerprint, builtin_parsers
from sourcebook.parse.formats import identify
from sourcebook.types import Block, ParsedDocument
from tests.parse.parsing_checks import located, shown

Example = Callable[[str], tuple[bytes, str]]


@pytest.mark.parametrize(
    ("name", "data", "kind"),
    [
        ("a.txt", b"%PDF-1.4 ...", "pdf"),
        ("a.docx", b"just text", "text"),
        ("a.pdf", b"<!DOCTYPE html><p>404", "html"),
        ("a.doc", b"{\\rtf1 x}", "rtf"),
        ("README", b"text", "text"),
        ("a.MD", b"# Text", "markdown"),
        ("a.csv", b"a,b", "delimited"),
        ("a.bin", b"\x00\x01\x02", ".bin"),
        ("a.xyz", b"some text", "text"),
        ("a.rar", b"Rar!\x1a\x07\x00", "RAR archive"),
        ("message", b"From: a@b.c\nTo: d@e.f\nSubject: x\n\nText", "eml"),
        ("a.xml", b"<?xml version='1.0'?><a/>", "xml"),
        ("a.jpg", b"\xff\xd8\xff\xe0", "image"),
        ("movie.mp4", b"\0\0\0\x18ftypmp42", "video"),
    ],
)
def test_content_goes_before_the_name(name: str, data: bytes, kind: str) -> None:
    assert identify(name, data) == kind


async def test_pdf_keeps_its_pages_whatever_it_is_called(parsers: Parsers, example: Example) -> None:
    data, _ = example("unstructured/fake-memo-with-duplicate-page.pdf")
    document = await parsers.parse(data, "memo.txt")
    assert [page.number for page in document.pages] == [1, 2]
    assert {block.page for block in document.blocks} == {1, 2}
    assert (
        "There were 20,000 bottles of water, 10,000 blankets, and 200 laptops delivered on January 23, 2023."
        in document.text
    )
    shown(document)


async def test_a_protected_pdf_says_so(parsers: Parsers, example: Example) -> None:
    with pytest.raises(Encrypted, match="password"):
        await parsers.parse(*example("unstructured/encrypted-memo.pdf"))  # the memo, with a password of ours


async def test_scanned_pages_say_what_they_need(parsers: Parsers, example: Example) -> None:
    with pytest.raises(Empty, match="tesseract-ocr"):
        await parsers.parse(*example("unstructured/single_table.pdf"))


async def test_rotated_and_korean_pages(parsers: Parsers, example: Example) -> None:
    assert "Hello World" in (await parsers.parse(*example("unstructured/rotated-page-90.pdf"))).text
    korean = await parsers.parse(*example("unstructured/korean-text-with-tables.pdf"))
    assert "빅포인트의 유효기간은 5년으로, 유효기간 만료 시 월 단위로 자동 소멸" in korean.text


async def test_word_documents(parsers: Parsers, example: Example) -> None:
    document = await parsers.parse(*example("docling/word_tables.docx"))
    assert shown(document)[:3] == [
        ("heading", "Test with tables"),
        ("paragraph", "A uniform table"),
        ("table_row", "Header 0.0: Cell 1.0; Header 0.1: Cell 1.1; Header 0.2: Cell 1.2"),
    ]
    assert located(document)[0][0] == "table 1 row 2"
    assert document.title == "Test with tables"
    assert document.metadata["author"] == "Cesar Berrospi Ramis"
    headed = await parsers.parse(*example("docling/unit_test_headers.docx"))
    assert {block.level for block in headed.blocks if block.kind == "heading"} >= {1, 2, 3}


async def test_slides_are_pages(parsers: Parsers, example: Example) -> None:
    document = await parsers.parse(*example("docling/powerpoint_sample.pptx"))
    assert [page.number for page in document.pages] == [1, 2, 3]
    second = document.pages[1]
    text = document.text[second.start : second.end]
    assert "Second slide title" in text
    assert "Let’s introduce a list" in text
    shown(document)


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("unstructured/eng_spa_mult.epub", "All human beings are born free"),
        ("unstructured/eng_spa_mult.odt", "Todos los seres humanos"),
        ("unstructured/duplicate-paragraphs.doc", ""),
        ("unstructured/fake-email.msg", "This is a test email"),
        ("unstructured/stanley-cups-utf-16.csv", "Team: Blues; Location: STL"),
        ("docling/duck.md", "Food: Ash, Elm, Maple"),
        ("docling/example_03.html", "Header 1: Row 1, Col 1"),
    ],
)
async def test_other_formats(parsers: Parsers, example: Example, path: str, says: str) -> None:
    document = await parsers.parse(*example(path))
    assert says in document.text
    assert shown(document)


async def test_rtf(parsers: Parsers) -> None:
    document = await parsers.parse(rb"{\rtf1\ansi The \b fee\b0  is 10 \u8364? a year.\par Second.}", "a.rtf")
    assert "The fee is 10" in document.text


async def test_mail_says_who_wrote_and_brings_its_attachments(parsers: Parsers, example: Example) -> None:
    document = await parsers.parse(*example("unstructured/fake-email-attachment.eml"))
    assert document.title == "Fake email with attachment"
    assert document.metadata["from"] == "Mallori Harrell <mallori@unstructured.io>"
    assert document.metadata["date"] == "2022-12-23T12:08:48-06:00"
    assert document.metadata["attachments"] == ("fake-attachment.txt",)
    assert ("heading", "fake-attachment.txt") in shown(document)


async def test_pictures_without_text_recognition_say_how_to_get_it(parsers: Parsers, example: Example) -> None:
    if shutil.which("tesseract"):
        pytest.skip("text recognition is installed here")
    with pytest.raises(ParseError, match="tesseract-ocr"):
        await parsers.parse(*example("unstructured/chi_sim_image.jpeg"))


@pytest.mark.parametrize(
    ("name", "data", "error", "says"),
    [
        ("a.txt", b"", Empty, "empty"),
        ("a.zip", b"Rar!\x1a\x07\x00", UnsupportedFormat, "RAR archive"),
        ("a.pdf", b"%PDF-1.4\n garbage", Damaged, "PDF"),
        ("a.docx", b"PK\x03\x04 garbage word/", Damaged, "zip"),
        ("a.xml", b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', Damaged, "entities"),
        ("a.xml", b"<a><b></a>", Damaged, "well-formed"),
        ("a.json", b'{"a": ', Damaged, "JSON"),
        ("a.doc", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "EncryptedPackage".encode("utf-16-le"), Encrypted, "password"),
    ],
)
async def test_reasons(parsers: Parsers, name: str, data: bytes, error: type[ParseError], says: str) -> None:
    with pytest.raises(error, match=says) as caught:
        await parsers.parse(data, name)
    assert caught.value.remedy or error is Empty


async def test_size_limits_name_their_settings() -> None:
    box = Parsers(Limits(max_bytes=1000, max_expansion=20_000_000, workers=1))
    with pytest.raises(TooLarge, match=r"parse\.max_bytes"):
        await box.parse(b"x" * 1001, "a.txt")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("word/document.xml", bytes(21_000_000))
    box = Parsers(Limits(max_expansion=20_000_000, workers=1))
    with pytest.raises(TooLarge, match=r"parse\.max_expansion"):
        await box.parse(packed.getvalue(), "a.docx")
    box.close()
    box = Parsers(Limits(workers=1))
    with pytest.raises(TooLarge, match=r"parse\.max_ratio"):
        await box.parse(packed.getvalue(), "a.docx")
    box.close()


class Shouting:
    """A parser from outside."""

    fingerprint = "shouting-1"

    def accepts(self, name: str, head: bytes) -> bool:
        return name.endswith(".shout")

    def parse(self, data: bytes, name: str, limits: Limits) -> ParsedDocument:
        text = data.decode().upper()
        return ParsedDocument(text=text, blocks=(Block(kind="paragraph", start=0, end=len(text)),))


async def test_parsers_from_outside_are_asked_first() -> None:
    box = Parsers(parsers=[Shouting()])
    assert (await box.parse(b"text", "a.shout")).text == "TEXT"
    with pytest.raises(Damaged):
        await box.parse(b"\xff", "a.shout")
    assert box.fingerprint != Parsers().fingerprint
    assert Parsers().fingerprint == Parsers().fingerprint


def test_the_fingerprint_holds_those_of_all_parsers() -> None:
    named = {word for parser in builtin_parsers() for word in parser.fingerprint.split()}
    assert named <= set(builtin_fingerprint().split())
