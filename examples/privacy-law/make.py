"""Makes `documents/regulation/` out of `source/gdpr.json`: one regulation as PDF, DOCX, HTML and Markdown.

    python examples/privacy-law/make.py [--into FOLDER]

Needs the packages that `sourcebook[examples]` brings, reportlab and python-docx. Equal versions of these give
equal bytes on every machine: dates are fixed, and nothing is compressed, because compressed bytes differ
between builds of zlib.
"""

from __future__ import annotations

import argparse
import html
import io
import json
import re
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

HERE = Path(__file__).parent
SOURCE = HERE / "source" / "gdpr.json"
DOCUMENTS = HERE / "documents" / "regulation"

NOTICE = "Source: EUR-Lex. © European Union. Reuse authorised. Layout changed, wording unchanged."
ADOPTED = datetime(2016, 4, 27, tzinfo=UTC)
"""The date of the regulation: stands in for the time stamps in DOCX files (in PDF, reportlab puts 2000)."""

FORMATS = {
    "recitals": "pdf",
    "I": "md",
    "II": "docx",
    "III": "docx",
    "IV": "html",
    "V": "pdf",
    "VI": "md",
    "VII": "docx",
    "VIII": "html",
    "IX": "md",
    "X": "pdf",
    "XI": "html",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One heading, paragraph or lettered point, in reading order.

    level: of a heading, from 1; else 0. number: the "3." that a numbered paragraph begins with, else "".
    """

    kind: Literal["heading", "paragraph", "point"]
    text: str
    level: int = 0
    number: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """One file to be: name without extension; lines begin with the heading of level 1, which is the title."""

    name: str
    format: str
    regulation: str
    lines: tuple[Line, ...]

    @property
    def title(self) -> str:
        return self.lines[0].text


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the documents of the example.")
    parser.add_argument("--into", type=Path, default=DOCUMENTS, help="folder to write to")
    for path in make(parser.parse_args().into):
        print(f"{path.stat().st_size:8,} bytes  {path.name}")


def make(folder: Path) -> list[Path]:
    """Write all documents into the folder, which is made if need be; the paths written, in order."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for document in read_documents():
        path = folder / f"{document.name}.{document.format}"
        path.write_bytes(WRITERS[document.format](document))
        written.append(path)
    return written


# --- the regulation as lines --------------------------------------------------------------------------------


def read_documents() -> Iterator[Document]:
    """The recitals, then the chapters, each as one document."""
    regulation = json.loads(SOURCE.read_text(encoding="utf-8"))
    recitals = [Line(kind="heading", text="Recitals", level=1)]
    for recital in regulation["recitals"]:
        recitals.append(Line(kind="heading", text=f"Recital {recital['number']}", level=2))
        recitals += read_lines(recital["text"])
    yield Document(
        name="recitals",
        format=FORMATS["recitals"],
        regulation=regulation["title"],
        lines=tuple(recitals),
    )
    for ordinal, chapter in enumerate(regulation["chapters"], start=1):
        slug = re.sub(r"[^a-z]+", "-", chapter["title"].lower()).strip("-")
        yield Document(
            name=f"chapter-{ordinal:02}-{slug}",
            format=FORMATS[chapter["number"]],
            regulation=regulation["title"],
            lines=tuple(read_chapter(chapter)),
        )


def read_chapter(chapter: dict[str, object]) -> Iterator[Line]:
    """Chapter, section (where there are any) and article become headings of levels 1, 2 and the next."""
    yield Line(kind="heading", text=f"Chapter {chapter['number']}: {chapter['title']}", level=1)
    articles = chapter["articles"]
    assert isinstance(articles, list)
    sections: list[str] = []
    for article in articles:
        if article["section"] and article["section"] not in sections:
            sections.append(article["section"])
            yield Line(kind="heading", text=f"Section {len(sections)}: {article['section']}", level=2)
        level = 3 if sections else 2
        yield Line(kind="heading", text=f"Article {article['number']}: {article['title']}", level=level)
        yield from read_lines(article["text"])


def read_lines(text: str) -> Iterator[Line]:
    """The source has one paragraph or point a line; points are indented."""
    for line in text.split("\n"):
        if line.startswith(" "):
            yield Line(kind="point", text=line.strip())
        else:
            numbered = re.match(r"\d+\.(?= )", line)
            yield Line(kind="paragraph", text=line, number=numbered.group() if numbered else "")


# --- one writer a format ------------------------------------------------------------------------------------


def write_markdown(document: Document) -> bytes:
    """CommonMark: numbered paragraphs are ordered lists, points are list items within them."""
    blocks = []
    indent = ""
    for line in document.lines:
        if line.kind == "heading":
            blocks.append(f"{'#' * line.level} {line.text}")
            if line.level == 1:
                blocks.append(document.regulation)
        elif line.kind == "paragraph":
            indent = " " * (len(line.number) + 1) if line.number else ""
            blocks.append(line.text)
        else:
            blocks.append(f"{indent}- {line.text}")
    return ("\n\n".join(blocks) + "\n").encode()


def write_html(document: Document) -> bytes:
    """HTML 5; runs of points are lists."""
    body = []
    listing = False
    for line in document.lines:
        if listing != (line.kind == "point"):
            listing = not listing
            body.append("<ul>" if listing else "</ul>")
        tag = {"heading": f"h{line.level}", "paragraph": "p", "point": "li"}[line.kind]
        body.append(f"<{tag}>{html.escape(line.text, quote=False)}</{tag}>")
    if listing:
        body.append("</ul>")
    page = f"""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{html.escape(document.title)}</title>
<meta name="description" content="{html.escape(document.regulation)}">
<meta name="copyright" content="{html.escape(NOTICE)}">
<style>
body {{ font: 17px/1.5 Georgia, serif; max-width: 42em; margin: 3em auto; padding: 0 1em; }}
h1, h2, h3 {{ font-family: sans-serif; line-height: 1.25; margin-top: 1.6em; }}
ul {{ list-style: none; padding-left: 2em; }}
</style>
</head>
<body>
<main>
{chr(10).join(body)}
</main>
</body>
</html>
"""
    return page.encode()


def write_docx(document: Document) -> bytes:
    """Office Open XML with the built-in heading styles."""
    import docx
    from docx.enum.style import WD_STYLE_TYPE
    from docx.shared import Cm

    file = docx.Document()
    properties = file.core_properties
    properties.title = f"{document.regulation}: {document.title}"
    properties.author, properties.comments, properties.language = "European Union", NOTICE, "en"
    properties.created = properties.modified = properties.last_printed = ADOPTED
    file.sections[0].header.paragraphs[0].text = document.regulation
    for line in document.lines:
        if line.kind == "heading":
            file.add_heading(line.text, level=line.level)
        else:
            paragraph = file.add_paragraph(line.text)
            paragraph.paragraph_format.left_indent = Cm(1 if line.kind == "point" else 0)

    # The template brings 800 KB of table styles, styles for Word 2007 and a preview picture.
    for style in [style for style in file.styles if style.type == WD_STYLE_TYPE.TABLE]:
        style.delete()
    for relations in (file.part.rels, file.part.package.rels):
        for key in [key for key, part in relations.items() if part.reltype.endswith(UNUSED_PARTS)]:
            del relations[key]
    buffer = io.BytesIO()
    file.save(buffer)
    return without_stamps(buffer)


UNUSED_PARTS = ("/stylesWithEffects", "/thumbnail")


def without_stamps(archive: io.BytesIO) -> bytes:
    """The same archive with fixed dates and nothing compressed."""
    fixed = io.BytesIO()
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(fixed, "w", zipfile.ZIP_STORED) as new:
        for name in old.namelist():
            entry = zipfile.ZipInfo(name, ADOPTED.timetuple()[:6])
            entry.create_system = 3  # the same on Windows
            new.writestr(entry, old.read(name))
    return fixed.getvalue()


def write_pdf(document: Document) -> bytes:
    """A4 with running header, page numbers and bookmarks; no paragraph spans two pages."""
    from reportlab.lib.pagesizes import A4
    from reportlab.lib.styles import ParagraphStyle
    from reportlab.lib.units import cm
    from reportlab.pdfgen.canvas import Canvas
    from reportlab.platypus import Paragraph, SimpleDocTemplate

    class Bookmarked(Paragraph):  # type: ignore[misc]
        """A heading that enters itself into the outline of the file."""

        def draw(self) -> None:
            text = self.getPlainText()
            self.canv.bookmarkHorizontal(text, 0, self.height)
            self.canv.addOutlineEntry(text, text, level=self.style.outline)
            super().draw()

    class Whole(Paragraph):  # type: ignore[misc]
        """A paragraph that goes to the next page rather than be split, so that each stands on one page."""

        def split(self, *_: float) -> list[Paragraph]:
            return []

    def decorate(canvas: Canvas, _: SimpleDocTemplate) -> None:
        canvas.setFont("Helvetica", 8)
        canvas.drawString(2.5 * cm, 28.2 * cm, document.regulation)
        canvas.drawRightString(18.5 * cm, 28.2 * cm, document.title.partition(":")[0])
        canvas.line(2.5 * cm, 28.0 * cm, 18.5 * cm, 28.0 * cm)
        canvas.drawCentredString(10.5 * cm, 1.5 * cm, f"Page {canvas.getPageNumber()}")

    def heading(level: int, size: float) -> ParagraphStyle:
        return ParagraphStyle(
            f"heading{level}",
            fontName="Helvetica-Bold",
            fontSize=size,
            leading=size * 1.25,
            spaceBefore=size,
            spaceAfter=size / 2,
            keepWithNext=1,
            outline=level - 1,
        )

    plain = {"fontName": "Times-Roman", "fontSize": 11, "leading": 14.5, "spaceAfter": 6, "splitLongWords": 0}
    headings = {1: heading(1, 18), 2: heading(2, 14), 3: heading(3, 12)}
    styles = {
        "paragraph": ParagraphStyle("paragraph", **plain),
        "point": ParagraphStyle("point", leftIndent=1 * cm, **plain),
    }
    story = []
    for line in document.lines:
        text = html.escape(line.text, quote=False)
        if line.kind == "heading":
            story.append(Bookmarked(text, headings[line.level]))
        else:
            story.append(Whole(text, styles[line.kind]))
    buffer = io.BytesIO()
    SimpleDocTemplate(
        buffer,
        pagesize=A4,
        leftMargin=2.5 * cm,
        rightMargin=2.5 * cm,
        topMargin=2.5 * cm,
        bottomMargin=2.5 * cm,
        title=f"{document.regulation}: {document.title}",
        author="European Union",
        subject=NOTICE,
        lang="en",
        invariant=1,
        pageCompression=0,
    ).build(story, onFirstPage=decorate, onLaterPages=decorate)
    return buffer.getvalue()


WRITERS: dict[str, Callable[[Document], bytes]] = {
    "md": write_markdown,
    "html": write_html,
    "docx": write_docx,
    "pdf": write_pdf,
}


if __name__ == "__main__":
    main()
