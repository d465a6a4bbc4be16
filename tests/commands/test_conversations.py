"""chat, conversations and examples, as they are typed."""

import json
from pathlib import Path
from typing import Any

import pytest

from sourcebook.commands.base import FAILED, MISSING
from tests.commands.ended import Run


@pytest.fixture(autouse=True)
def here(run: Run, place: Path) -> None:
    (place / "docs").mkdir()
    (place / "docs" / "refunds.txt").write_text("A refund of lamps takes five days. Students wait two days.")
    run("add", "docs")
    run("sync")


def typed(run: Run, *arguments: str, stdin: str = "") -> str:
    done = run(*arguments, stdin=stdin)
    assert done.code == 0, done.err
    return done.out


def talk(run: Run, said: str, *arguments: str) -> list[Any]:
    return [json.loads(line) for line in typed(run, "chat", "--json", *arguments, stdin=said).splitlines()]


def test_a_conversation_is_held_and_gone_on_with(run: Run) -> None:
    first, second = talk(run, "How long does a refund take?\n\nAnd for students?\n")
    assert first["answer"] == "A refund of lamps takes five days."
    assert first["citations"]
    assert second["conversation"] == first["conversation"]
    assert second["answer"] == "A refund of lamps takes five days."  # it was about refunds still
    assert second["question"] == "And for students?"
    for name in (first["conversation"], first["conversation"][:6], "last"):
        (again,) = talk(run, "And then?\n/quit\nNot asked.\n", "--resume", name)
        assert again["conversation"] == first["conversation"]
    assert len(json.loads(typed(run, "conversations", "show", "last", "--json"))["turns"]) == 10
    talk(run, "How long does a refund take?\n")
    assert len(json.loads(typed(run, "conversations", "list", "--json"))["conversations"]) == 2


def test_answers_show_their_sources(run: Run) -> None:
    shown = typed(run, "chat", stdin="How long does a refund take?\n")
    assert "A refund of lamps takes five days. [1]" in shown
    assert "[1] docs/refunds.txt, characters 0-34" in shown
    assert "How long does a refund take?" in typed(run, "conversations", "list")
    assert "> How long does a refund take?\nA refund of lamps takes five days.\n" in typed(
        run, "conversations", "show", "last"
    )


def test_what_a_document_gave_is_gone_with_it(run: Run) -> None:
    talk(run, "How long does a refund take?\n")
    typed(run, "remove", "docs")
    (asked, answered) = json.loads(typed(run, "conversations", "show", "last", "--json"))["turns"]
    assert (asked["text"], answered["text"], answered["removed"]) == ("How long does a refund take?", "", True)
    assert "(removed: " in typed(run, "conversations", "show", "last")


def test_a_conversation_is_its_owners(run: Run) -> None:
    (answer,) = talk(run, "How long does a refund take?\n", "--as", "alice")
    assert "No conversations" in typed(run, "conversations", "list", "--as", "bob")
    for arguments in (("show",), ("delete",)):
        result = run("conversations", *arguments, answer["conversation"], "--as", "bob")
        assert result.code == MISSING
    assert run("chat", "--resume", answer["conversation"], "--as", "bob").code == MISSING
    typed(run, "conversations", "delete", answer["conversation"][:8], "--as", "alice")
    assert "No conversations" in typed(run, "conversations", "list", "--as", "alice")


def test_facts_are_shown_and_forgotten(run: Run) -> None:
    talk(run, "My office is in Busan. How long does a refund take?\n")
    (fact,) = json.loads(typed(run, "conversations", "facts", "--json"))["facts"]
    assert (fact["text"], fact["kind"]) == ("My office is in Busan.", "fact")
    assert "My office is in Busan." in typed(run, "conversations", "facts")
    assert typed(run, "conversations", "forget", fact["id"][:8]) == "Forgot 1 fact\n"
    assert typed(run, "conversations", "facts") == "Nothing is remembered.\n"
    assert run("conversations", "forget", fact["id"]).code == MISSING


def test_all_are_deleted_at_once(run: Run) -> None:
    for _ in range(3):
        talk(run, "How long does a refund take?\n")
    assert run("conversations", "delete").code == 2
    assert typed(run, "conversations", "delete", "--all") == "Deleted 3 conversations\n"
    assert json.loads(typed(run, "conversations", "list", "--json")) == {"conversations": []}


def test_nothing_said_leaves_no_trace(run: Run) -> None:
    assert typed(run, "chat", stdin="\n\n/quit\n") == ""
    assert "No conversations" in typed(run, "conversations", "list")
    assert run("conversations", "show", "last").code == MISSING


def test_examples_are_added_listed_and_removed(run: Run, tmp_path: Path) -> None:
    lines = [{"question": f"Question {n}?", "answer": f"Answer {n}.", "note": "ignored"} for n in range(3)]
    (tmp_path / "e.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    assert typed(run, "examples", "add", "e.jsonl") == "Added 3 examples\n"
    assert (
        typed(run, "examples", "add", "-", "--collection", "other", stdin=json.dumps(lines[0])) == "Added 1 example\n"
    )
    typed(run, "examples", "add", "--question", "question 0?", "--answer", "The new answer.")
    found = json.loads(typed(run, "examples", "list", "--collection", "default", "--json"))["examples"]
    assert {one["answer"] for one in found} == {"The new answer.", "Answer 1.", "Answer 2."}
    assert "The new answer." in typed(run, "examples", "list")
    assert typed(run, "examples", "remove", found[0]["id"]) == "Removed 1 example\n"
    assert run("examples", "remove", found[0]["id"]).code == MISSING
    assert typed(run, "examples", "remove", "--collection", "default") == "Removed 2 examples\n"
    assert len(json.loads(typed(run, "examples", "list", "--json"))["examples"]) == 1


def test_wrong_usage_of_examples_is_told(run: Run, tmp_path: Path) -> None:
    (tmp_path / "e.jsonl").write_text('{"question": "What?"}', encoding="utf-8")
    assert run("examples", "add", "e.jsonl").code == FAILED
    for wrong in (("add",), ("add", "--question", "What?"), ("add", "e.jsonl", "--question", "a"), ("remove",)):
        assert run("examples", *wrong).code == 2, wrong
