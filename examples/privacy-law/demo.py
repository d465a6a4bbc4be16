"""Takes the example documents in and answers four questions from them, with sources. Run by `make demo`."""

import json
import os
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sourcebook import Answer, BlockingSourcebook, Citation, open_book

HERE = Path(__file__).resolve().parent
QUESTIONS = ("en-01", "en-02", "en-03", "ko-01")


def main() -> None:
    home = Path(os.environ.get("SOURCEBOOK_HOME", ".demo"))
    with open_book(home) as book:
        book.add(HERE / "documents")
        report = book.sync()
        done = f"{report.added} documents taken in" if report.added else "The documents are in already"
        print(f"{done}: {report.passages} passages, {report.embedded} embedded, {report.seconds:.1f} s\n")
        rows = [json.loads(line) for line in (HERE / "questions.jsonl").read_text(encoding="utf-8").splitlines()]
        texts = {row["id"]: row["text"] for row in rows}
        for name in QUESTIONS:
            ask(book, texts[name])
    here = Path(sys.executable).parent / "sourcebook"
    print("Ask your own:")
    print(f'  {os.path.relpath(here)} --home {home} ask "Who must appoint a data protection officer?"')


def ask(book: BlockingSourcebook, question: str) -> None:
    print(f"Q: {question}")
    print("A: ", end="")
    citations: list[Citation] = []
    for part in book.stream(question):
        match part:
            case str():
                print(part, end="", flush=True)
            case Citation():
                citations.append(part)
                print(f" [{len(citations)}]", end="", flush=True)
            case Answer(known=False):
                print("I do not know: nothing in the documents supports an answer.")
            case Answer():
                print()
    for number, one in enumerate(citations, 1):
        path = Path(unquote(urlsplit(one.document).path)).relative_to(HERE)
        page = f", page {one.page}" if one.page else ""
        row = f", {one.location}" if one.location else ""
        print(f"   [{number}] {path}{page}{row}, characters {one.start}-{one.end}")
    print()


if __name__ == "__main__":
    main()
