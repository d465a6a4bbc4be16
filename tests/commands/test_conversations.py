"""chat, conversations and examples, as they are typed."""

import json
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from sourcebook.commands.conversations import chat, conversations, examples
from sourcebook.commands.documents import add, remove, sync
from sourcebook.errors import NotFound, PromptError


@click.group()
@click.pass_context
def cli(context: click.Context) -> None:
    context.obj = "book"


for command in (chat, conversations, examples, add, sync, remove):
    cli.add_command(command)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SOURCEBOOK_PARTS_EMBED", "hashing")
    monkeypatch.setenv("SOURCEBOOK_PARTS_MODEL", "verbatim")
    monkeypatch.setenv("SOURCEBOOK_PARTS_INDEX", "flat")
    monkeypatch.setattr("sourcebook.registry._from_outside", from_outside)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "refunds.txt").write_text("A refund of lamps takes five days. Students wait two days.")
    typed("add", "docs")
    typed("sync")


def from_outside(box: str, name: str) -> Any:
    from sourcebook.registry import Entry

    return Entry("tests.verbatim:open_verbatim") if (box, name) == ("model", "verbatim") else None


def typed(*arguments: str, said: str = "") -> str:
    result = done(*arguments, said=said)
    assert result.exit_code == 0, result.output
    return result.stdout


def done(*arguments: str, said: str = "") -> Result:
    return CliRunner().invoke(cli, arguments, input=said)


def talk(said: str, *arguments: str) -> list[Any]:
    return [json.loads(line) for line in typed("chat", "--json", *arguments, said=said).splitlines()]


def test_a_conversation_is_held_and_gone_on_with() -> None:
    first, second = talk("How long does a refund take?\n\nAnd for students?\n")
    assert first["answer"] == "A refund of lamps takes five days."
    assert first["citations"]
    assert second["conversation"] == first["conversation"]
    assert second["answer"] == "A refund of lamps takes five days."  # it was about refunds still
    assert second["question"] == "And for students?"
    for name in (first["conversation"], first["conversation"][:6], "last"):
        (again,) = talk("And then?\n/quit\nNot asked.\n", "--resume", name)
        assert again["conversation"] == first["conversation"]
    assert len(json.loads(typed("conversations", "show", "last", "--json"))["turns"]) == 10
    talk("How long does a refund take?\n")
    assert len(json.loads(typed("conversations", "list", "--json"))["conversations"]) == 2


def test_answers_show_their_sources() -> None:
    shown = typed("chat", said="How long does a refund take?\n")
    assert "A refund of lamps takes five days. [1]" in shown
    assert "[1] docs/refunds.txt, characters 0-34" in shown
    assert "How long does a refund take?" in typed("conversations", "list")
    assert "> How long does a refund take?\nA refund of lamps takes five days.\n" in typed(
        "conversations", "show", "last"
    )


def test_what_a_document_gave_is_gone_with_it() -> None:
    talk("How long does a refund take?\n")
    typed("remove", "docs")
    (asked, answered) = json.loads(typed("conversations", "show", "last", "--json"))["turns"]
    assert (asked["text"], answered["text"], answered["removed"]) == ("How long does a refund take?", "", True)
    assert "(removed: " in typed("conversations", "show", "last")


def test_a_conversation_is_its_owners() -> None:
    (answer,) = talk("How long does a refund take?\n", "--as", "alice")
    assert "No conversations" in typed("conversations", "list", "--as", "bob")
    for arguments in (("show",), ("delete",)):
        result = done("conversations", *arguments, answer["conversation"], "--as", "bob")
        assert isinstance(result.exception, NotFound)
    assert isinstance(done("chat", "--resume", answer["conversation"], "--as", "bob").exception, NotFound)
    typed("conversations", "delete", answer["conversation"][:8], "--as", "alice")
    assert "No conversations" in typed("conversations", "list", "--as", "alice")


def test_facts_are_shown_and_forgotten() -> None:
    talk("My office is in Busan. How long does a refund take?\n")
    (fact,) = json.loads(typed("conversations", "facts", "--json"))["facts"]
    assert (fact["text"], fact["kind"]) == ("My office is in Busan.", "fact")
    assert "My office is in Busan." in typed("conversations", "facts")
    assert typed("conversations", "forget", fact["id"][:8]) == "Forgot 1 fact\n"
    assert typed("conversations", "facts") == "Nothing is remembered.\n"
    assert isinstance(done("conversations", "forget", fact["id"]).exception, NotFound)


def test_all_are_deleted_at_once() -> None:
    for _ in range(3):
        talk("How long does a refund take?\n")
    assert done("conversations", "delete").exit_code == 2
    assert typed("conversations", "delete", "--all") == "Deleted 3 conversations\n"
    assert json.loads(typed("conversations", "list", "--json")) == {"conversations": []}


def test_nothing_said_leaves_no_trace() -> None:
    assert typed("chat", said="\n\n/quit\n") == ""
    assert "No conversations" in typed("conversations", "list")
    assert isinstance(done("conversations", "show", "last").exception, NotFound)


def test_examples_are_added_listed_and_removed(tmp_path: Path) -> None:
    lines = [{"question": f"Question {n}?", "answer": f"Answer {n}.", "note": "ignored"} for n in range(3)]
    (tmp_path / "e.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    assert typed("examples", "add", "e.jsonl") == "Added 3 examples\n"
    assert typed("examples", "add", "-", "--collection", "other", said=json.dumps(lines[0])) == "Added 1 example\n"
    typed("examples", "add", "--question", "question 0?", "--answer", "The new answer.")
    found = json.loads(typed("examples", "list", "--collection", "default", "--json"))["examples"]
    assert {one["answer"] for one in found} == {"The new answer.", "Answer 1.", "Answer 2."}
    assert "The new answer." in typed("examples", "list")
    assert typed("examples", "remove", found[0]["id"]) == "Removed 1 example\n"
    assert isinstance(done("examples", "remove", found[0]["id"]).exception, NotFound)
    assert typed("examples", "remove", "--collection", "default") == "Removed 2 examples\n"
    assert len(json.loads(typed("examples", "list", "--json"))["examples"]) == 1


def test_wrong_usage_of_examples_is_told(tmp_path: Path) -> None:
    (tmp_path / "e.jsonl").write_text('{"question": "What?"}', encoding="utf-8")
    assert isinstance(done("examples", "add", "e.jsonl").exception, PromptError)
    for wrong in (("add",), ("add", "--question", "What?"), ("add", "e.jsonl", "--question", "a"), ("remove",)):
        assert done("examples", *wrong).exit_code == 2, wrong
