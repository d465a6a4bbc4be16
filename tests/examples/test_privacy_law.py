"""The example's documents hold the whole regulation, its script makes them, and its questions can be checked."""

from __future__ import annotations

import csv
import importlib.metadata
import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import kreuzberg
import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "privacy-law"
DOCUMENTS = EXAMPLE / "documents"
REGULATION = DOCUMENTS / "regulation"
REGISTER = DOCUMENTS / "register-of-processing-activities.csv"
KOREAN = DOCUMENTS / "questions-and-answers-ko.md"

MADE_WITH = {"reportlab": "5.1.0", "python-docx": "1.2.0"}
"""The versions that made the committed files; others may write other bytes."""


def test_script_makes_the_committed_files(tmp_path: Path) -> None:
    for package, version in MADE_WITH.items():
        try:
            installed = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            pytest.skip(f'{package} is not installed: pip install "sourcebook[examples]"')
        if installed != version:
            pytest.skip(f"the files were made with {package} {version}, here is {installed}")
    subprocess.run([sys.executable, str(EXAMPLE / "make.py"), "--into", str(tmp_path)], check=True, capture_output=True)
    made = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    committed = {path.name: path.read_bytes() for path in REGULATION.iterdir()}
    assert sorted(made) == sorted(committed)
    assert [name for name in made if made[name] != committed[name]] == []


def test_every_recital_and_article_stands_in_exactly_one_document() -> None:
    wanted = list(provisions())
    assert len(wanted) == 173 + 99
    texts = {path.name: read(path) for path in REGULATION.iterdir()}
    for provision in wanted:
        holders = [name for name, text in texts.items() for _ in range(text.count(provision.whole))]
        assert len(holders) == 1, f"{provision.heading}: {holders}"
        assert holders[0].startswith(provision.document)


def test_chapters_begin_with_their_title_and_name_their_sections() -> None:
    for ordinal, chapter in enumerate(source()["chapters"], start=1):
        (path,) = REGULATION.glob(f"chapter-{ordinal:02}-*")
        text = read(path)
        assert text.startswith(f"Chapter {chapter['number']}: {chapter['title']} ")
        sections = list(dict.fromkeys(article["section"] for article in chapter["articles"] if article["section"]))
        for number, section in enumerate(sections, start=1):
            assert text.count(f" Section {number}: {section} Article ") == 1, path.name
        assert len(re.findall(r"Section \d: ", text)) == len(sections)


def test_documents_come_in_four_formats_and_stay_small() -> None:
    assert {path.suffix for path in REGULATION.iterdir()} == {".pdf", ".docx", ".html", ".md"}
    assert sum(path.stat().st_size for path in EXAMPLE.rglob("*") if path.is_file()) < 3_000_000


def test_pdf_keeps_its_pages() -> None:
    configuration = kreuzberg.ExtractionConfig(pages=kreuzberg.PageConfig(extract_pages=True))
    pages = kreuzberg.extract_file_sync(REGULATION / "recitals.pdf", config=configuration).pages
    assert pages is not None
    assert len(pages) == 52
    for page in pages:
        assert f"Page {page['page_number']}" in page["content"].splitlines()


def test_register_is_a_whole_table() -> None:
    with REGISTER.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, strict=True))
    assert 20 <= len(rows) <= 30
    assert len({row["Activity"] for row in rows}) == len(rows)
    for row in rows:
        assert None not in row, row["Activity"]
        assert all(value and value == value.strip() for value in row.values()), row["Activity"]
        assert re.match(r"Article 6\(1\)\([a-f]\): ", row["Legal basis"]), row["Activity"]
        date.fromisoformat(row["Last review"])


def test_every_korean_answer_cites_provisions_that_exist() -> None:
    """Also the paragraph: "제33조 제1항" is Article 33(1); "전문 제14항" is recital 14."""
    bodies = {provision.heading.partition(":")[0]: provision.whole for provision in provisions()}
    answers = re.findall(r"^### (.+\?)\n\n(.+)$", KOREAN.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert len(answers) >= 20
    for question, answer in answers:
        cited = re.findall(r"제(\d+)조(?: 제(\d+)([항호]))?", answer)
        assert cited, question
        for article, number, unit in cited:
            body = bodies[f"Article {article}"]
            if number:
                assert f" {number}. " in body, f"{question}: 제{article}조 제{number}{unit}"
                assert (unit == "호") == (article == "4"), question
        for group in re.findall(r"전문 ((?:제\d+항(?:, )?)+)", answer):
            for number in re.findall(r"\d+", group):
                assert f"Recital {number}" in bodies, question
        assert 2 <= len(re.findall(r"다(?:\(.+?\))?\.|니다\.", answer)) <= 4, question


def test_questions_cover_every_document() -> None:
    asked = questions()
    assert len({question["id"] for question in asked}) == len(asked)
    answerable = [question for question in asked if question["expects"] is not None]
    assert sum(question["language"] == "en" for question in answerable) >= 12
    assert sum(question["language"] == "ko" for question in answerable) >= 4
    assert len(asked) - len(answerable) >= 3
    files = {path.relative_to(DOCUMENTS).as_posix() for path in DOCUMENTS.rglob("*") if path.is_file()}
    assert {question["document"] for question in answerable} == files


def test_what_questions_expect_stands_in_the_named_document() -> None:
    for question in questions():
        assert sorted(question) == ["document", "expects", "id", "language", "text"]
        if question["expects"] is None:
            assert question["document"] is None
        else:
            assert question["expects"] in read(DOCUMENTS / question["document"]), question["id"]
            assert question["expects"] not in question["text"], question["id"]


# --- the source ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Provision:
    """A recital or an article. whole: heading and text in one line. document: what its file's name begins with."""

    heading: str
    whole: str
    document: str


def source() -> dict[str, Any]:
    regulation: dict[str, Any] = json.loads((EXAMPLE / "source" / "gdpr.json").read_text(encoding="utf-8"))
    return regulation


def provisions() -> Iterator[Provision]:
    regulation = source()
    for recital in regulation["recitals"]:
        heading = f"Recital {recital['number']}"
        yield Provision(heading=heading, whole=one_line(f"{heading} {recital['text']}"), document="recitals.")
    for ordinal, chapter in enumerate(regulation["chapters"], start=1):
        for article in chapter["articles"]:
            heading = f"Article {article['number']}: {article['title']}"
            yield Provision(
                heading=heading,
                whole=one_line(f"{heading} {article['text']}"),
                document=f"chapter-{ordinal:02}-",
            )


def questions() -> list[dict[str, Any]]:
    return [json.loads(line) for line in (EXAMPLE / "questions.jsonl").read_text(encoding="utf-8").splitlines()]


# --- the documents as plain text, without our own parsers ---------------------------------------------------


@cache
def read(path: Path) -> str:
    """Headings and text of the document in reading order, white space collapsed."""
    return one_line(READERS[path.suffix](path))


def one_line(text: str) -> str:
    return " ".join(text.split())


def read_markdown(path: Path) -> str:
    return re.sub(r"^(#+| *-) ", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)


def read_html(path: Path) -> str:
    class Texts(HTMLParser):
        texts: list[str]

        def handle_data(self, data: str) -> None:
            self.texts.append(data)

    parser = Texts()
    parser.texts = []
    parser.feed(path.read_text(encoding="utf-8").partition("<main>")[2])
    parser.close()
    return "".join(parser.texts)


def read_docx(path: Path) -> str:
    word = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
    with zipfile.ZipFile(path) as archive:
        root = ET.fromstring(archive.read("word/document.xml"))
    return "\n".join("".join(text.text or "" for text in p.iter(f"{word}t")) for p in root.iter(f"{word}p"))


def read_pdf(path: Path) -> str:
    """Without running headers and page numbers."""
    running = re.compile(r"Regulation \(EU\) 2016/679 \(General Data Protection Regulation\).*|Page \d+")
    lines = kreuzberg.extract_file_sync(path).content.splitlines()
    return "\n".join(line for line in lines if not running.fullmatch(line))


def read_csv(path: Path) -> str:
    return path.read_text(encoding="utf-8")


READERS = {".md": read_markdown, ".html": read_html, ".docx": read_docx, ".pdf": read_pdf, ".csv": read_csv}
