"""answers, replay, compare, ask in conversations and batches: as they are typed."""

import json
from pathlib import Path

import pytest

from sourcebook.commands import base
from sourcebook.errors import QuotaExhausted
from tests.commands.ended import Run
from tests.verbatim import Verbatim

QUESTION = "When was the lighthouse built?"


def test_answers_are_listed_shown_and_deleted(run: Run, filled: Path) -> None:
    assert run("answers", "list").out == "No answers are recorded.\n"
    name = run("ask", QUESTION, "--json").json["answer_id"]
    (line,) = run("answers", "list", "--json").json["answers"]
    assert (line["id"], line["question"], line["known"], line["removed"]) == (name, QUESTION, True, False)
    assert f"{name[:8]}  " in run("answers", "list").out
    for one in (name, name[:8], "last"):
        assert run("answers", "show", one, "--json").json["answer"] == "The lighthouse was built in 1873."
    assert run("answers", "list", "--as", "x", "--tenant", "other", "--json").json == {"answers": []}
    assert run("answers", "delete", name, "--tenant", "other").code == base.MISSING
    assert run("answers", "delete").code == run("answers", "delete", name, "--all").code == 2
    assert run("answers", "delete", "--older-than", "soon").code == 2
    assert run("answers", "delete", "--older-than", "90d").out == "Deleted 0 answers\n"
    assert run("answers", "delete", name[:8]).out == "Deleted 1 answer\n"
    assert run("show", name).code == base.MISSING


def test_an_estimate_asks_nobody(run: Run, filled: Path) -> None:
    (row,) = run("ask", QUESTION, "--estimate", "--json").json["estimates"]
    assert (row["model"], row["high"], row["priced"]) == ("verbatim", 0, True)
    assert run("ask", QUESTION, "--estimate").out.startswith("verbatim  ")
    assert run("answers", "list", "--json").json == {"answers": []}
    assert run("ask", QUESTION, "--estimate", "--conversation", "new").code == 2


def test_a_removed_answer_says_why(run: Run, filled: Path) -> None:
    run("ask", QUESTION)
    run("remove", "docs")
    assert "(its words are removed: it was made from docs/light.md, which was deleted)" in run("show", "last").out
    done = run("replay", "last")
    assert done.code == base.MISSING
    assert "was made from what has been deleted" in done.err


def test_replay(run: Run, filled: Path, place: Path) -> None:
    run("ask", QUESTION)
    done = run("replay", "last")
    assert (done.code, done.err) == (0, "")
    assert "The request is the same, byte for byte" in done.out
    assert "gives the same answer:\nThe lighthouse was built in 1873." in done.out
    checked = run("replay", "last", "--check", "--show", "--json").json
    assert checked["same_bytes"] is True
    assert "after" not in checked
    assert QUESTION in checked["request"]
    import sqlite3

    with sqlite3.connect(place / ".sourcebook" / "catalog.db") as connection:
        connection.execute("UPDATE answer SET record = replace(record, '1873', '1874')")
    connection.close()
    assert run("replay", "last", "--check").code == base.FAILED
    assert run("replay", "nothing").code == base.MISSING


def test_compare(run: Run, filled: Path, place: Path) -> None:
    rows = [{"id": "a", "text": QUESTION, "answers": ["1873"]}, {"id": "b", "text": "Who wrote it?", "answers": []}]
    (place / "questions.jsonl").write_text("\n".join(map(json.dumps, rows)))
    done = run("compare", "questions.jsonl", "--passages", "all,1", "--json", "--details", "details.jsonl")
    assert done.code == 0, done.err
    everything, one = done.json["results"]
    assert (everything["passages"], everything["in_prompt"], one["passages"]) == ("all", 1.0, 1)
    assert (one["accuracy"], one["refused"], one["priced"], one["errors"]) == (1.0, 1.0, True, 0)
    details = [json.loads(line) for line in (place / "details.jsonl").read_text().splitlines()]
    assert [(each["passages"], each["id"]) for each in details] == [("all", "a"), ("all", "b"), (1, "a"), (1, "b")]
    shown = run("compare", "questions.jsonl", "--passages", "1").out
    assert "verbatim-1" in shown
    assert "refused" in shown


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(("--details", "nowhere/x"), 1), (("--plot", "x.xyz"), 1), (("--plot", "nowhere/x.png"), 1),
     (("--passages", "\u00b2"), 2)],
)  # fmt: skip
def test_what_cannot_be_written_is_told_before_anything_is_asked(
    run: Run, filled: Path, place: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, str], code: int
) -> None:
    (place / "questions.jsonl").write_text(json.dumps({"text": QUESTION, "answers": ["1873"]}))
    monkeypatch.setattr(Verbatim, "stream", lambda *_: pytest.fail("it was asked"))
    done = run("compare", "questions.jsonl", *arguments)
    assert done.code == code
    assert "Traceback" not in done.err


def test_asking_in_a_conversation(run: Run, filled: Path, place: Path) -> None:
    first = run("ask", QUESTION, "--conversation", "new", "--json").json["conversation"]
    for name in (first, first[:8], "last"):
        assert run("ask", QUESTION, "--conversation", name, "--json").json["conversation"] == first
    assert run("ask", QUESTION, "--conversation", "nothing").code == base.MISSING
    (place / "batch.jsonl").write_text(f'{{"id": 1, "text": "{QUESTION}"}}')
    (row,) = run("ask", "--batch", "batch.jsonl", "--conversation", "new").lines
    assert row["conversation"] not in ("", first)


def test_a_batch_goes_on_after_an_error_of_the_model(
    run: Run, filled: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = Verbatim.stream

    async def failing(self, request):  # type: ignore[no-untyped-def]
        if "penicillin" in request.question:
            raise QuotaExhausted("nothing is left")
        async for event in stream(self, request):
            yield event

    monkeypatch.setattr(Verbatim, "stream", failing)
    lines = [{"id": 1, "text": "Who found penicillin?"}, {"id": 2, "text": QUESTION}]
    done = run("ask", "--batch", "-", stdin="\n".join(map(json.dumps, lines)))
    assert done.code == base.FAILED
    assert [row["id"] for row in done.lines] == [1, 2]
    assert done.lines[0]["error"]["kind"] == "QuotaExhausted"
    assert done.lines[1]["known"]


def test_words_of_others_do_not_steer_the_terminal(run: Run, filled: Path) -> None:
    run("ask", "When was the \x1b[31mlighthouse\x07 built?")
    shown = run("answers", "list").out
    assert "\x1b[31m" not in shown
    assert "\x07" not in shown


def test_commands_are_grouped(run: Run) -> None:
    shown = run("--help").out
    for title in ("Documents:", "Questions:", "Looking:", "Models and money:", "Serving:"):
        assert title in shown
    assert "..." not in shown.partition("Documents:")[2].partition("Start:")[0]
