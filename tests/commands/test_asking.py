"""ask and search."""

from pathlib import Path

import pytest

from sourcebook.commands import base
from tests.commands.ended import Run, Write


def test_ask(run: Run, filled: Path) -> None:
    done = run("ask", "When was the lighthouse built?")
    assert (done.code, done.err) == (0, "")
    assert done.out == "The lighthouse was built in 1873. [1]\n\n[1] docs/light.md, characters 8-41\n"
    found = run("ask", "When was the lighthouse built?", "--json").json
    assert (found["answer"], found["known"], found["model"]) == (
        "The lighthouse was built in 1873.",
        True,
        "verbatim-1",
    )
    (citation,) = found["citations"]
    wanted = ("document", "page", "start", "end", "quote")
    assert {name: citation[name] for name in wanted} == {
        "document": f"file://{filled}/light.md", "page": None, "start": 8, "end": 41,
        "quote": "The lighthouse was built in 1873.",
    }  # fmt: skip


def test_what_is_not_known_is_an_answer_too(run: Run, filled: Path) -> None:
    done = run("ask", "Who discovered penicillin?")
    assert (done.code, done.out) == (0, "I do not know: nothing in the documents supports an answer.\n")
    found = run("ask", "Who discovered penicillin?", "--json").json
    assert (found["answer"], found["known"], found["citations"]) == ("", False, [])


def test_search(run: Run, filled: Path) -> None:
    done = run("search", "lighthouse")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("1. docs/light.md  (")
    assert "The lighthouse was built in 1873." in done.out
    (hit,) = run("search", "lighthouse", "--json", "--top", "3").json["hits"]
    assert (hit["document"], hit["page"]) == (f"file://{filled}/light.md", None)
    text = run("show", str(filled / "light.md"), "--json").json["text"]
    assert text[hit["start"] : hit["end"]] == hit["text"]
    assert isinstance(hit["score"], float)
    assert run("search", "lighthouse", "--where", "type = 'pdf'").out == "Nothing found.\n"


def test_ask_source_in_an_empty_folder(run: Run, write: Write, place: Path) -> None:
    write("a.md", "The lighthouse was built in 1873.")
    write("more/b.md", "The lighthouse stands on Gull Island.")
    done = run("ask", "--source", "docs/a.md", "--source", "docs/more", "Where is the lighthouse?")
    assert (done.code, done.err) == (0, "")
    assert "Gull Island" in done.out
    assert "1873" in done.out
    assert (place / ".sourcebook").is_dir()
    assert run("ask", "--source", ".", "Where is the lighthouse?", "--json").json["known"]
    assert {one["uri"] for one in run("status", "--json").json["documents"]} == {
        f"file://{place}/docs/a.md",
        f"file://{place}/docs/more/b.md",
    }


def test_asking_as_somebody_and_for_a_tenant(run: Run, write: Write) -> None:
    write("a.md", "The lighthouse keeper earns 900 crowns.")
    run("add", "docs", "--access", "alice", "--tenant", "t")
    run("sync")
    for more, known in (
        (("--as", "alice", "--tenant", "t"), True),
        (("--as", "bob", "--as", "alice", "--tenant", "t"), True),
        (("--as", "bob", "--tenant", "t"), False),
        (("--tenant", "t"), False),
        (("--as", "alice"), False),
    ):
        assert run("ask", "What does the lighthouse keeper earn?", "--json", *more).json["known"] is known
        assert bool(run("search", "lighthouse keeper", "--json", *more).json["hits"]) is known


@pytest.mark.parametrize("command", ["ask", "search"])
def test_batches(run: Run, filled: Path, place: Path, command: str) -> None:
    questions = '{"id": 7, "text": "When was the lighthouse built?"}\n\n{"text": "Who?", "id": "두"}\n'
    (place / "questions.jsonl").write_text(questions, encoding="utf-8")
    done = run(command, "--batch", "questions.jsonl")
    assert (done.code, done.err) == (0, "")
    assert [row["id"] for row in done.lines] == [7, "두"]
    assert ("hits" if command == "search" else "answer") in done.lines[0]
    piped = run(command, "--batch", "-", "--json", stdin=questions)
    assert [row["id"] for row in piped.lines] == [7, "두"]


@pytest.mark.parametrize(
    "bad",
    ["no json", '{"id": 1}', '{"text": "x"}', '[1, "x"]', '{"id": 1, "text": null}', '{"id": 1, "text": 5}',
     '{"id": 1, "text": " "}', '{"id": 1, "text": "caf\udce9"}', '{"id": 1, "text": "\\ud800"}', "null"],
)  # fmt: skip
def test_a_bad_line_of_a_batch_is_named_and_what_came_before_is_answered(run: Run, filled: Path, bad: str) -> None:
    done = run("ask", "--batch", "-", stdin=f'{{"id": 1, "text": "When was the lighthouse built?"}}\n{bad}\n')
    assert done.code == base.FAILED
    assert [row["id"] for row in done.lines] == [1]
    assert "Error: Line 2 of " in done.err
    assert 'Each line must be {"id": ..., "text": "..."}' in done.err
    assert "Traceback" not in done.err
