"""The command line: what it prints, for people and for programs, and how it ends."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sourcebook.cli import main
from sourcebook.commands import base
from sourcebook.registry import BUILT_IN, Entry
from tests.invariants.states import environment

Write = Callable[[str, str], Path]


@dataclass(frozen=True, kw_only=True)
class Result:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test works in an empty folder, without models."""
    monkeypatch.setenv("SOURCEBOOK_PARTS_EMBED", "hashing")
    monkeypatch.setenv("SOURCEBOOK_PARTS_MODEL", "verbatim")
    monkeypatch.setenv("SOURCEBOOK_PARTS_INDEX", "flat")
    monkeypatch.setitem(BUILT_IN["model"], "verbatim", Entry("tests.verbatim:open_verbatim"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], place: Path) -> Run:
    """Run a command line in this process, as `main` does for the installed command."""

    def running(*arguments: str, stdin: str = "") -> Result:
        monkeypatch.setattr(sys, "argv", ["sourcebook", *arguments])
        given = place / ".stdin"
        given.write_bytes(stdin.encode("utf-8", "surrogateescape"))
        capfd.readouterr()
        with given.open(encoding="utf-8") as file:
            monkeypatch.setattr(sys, "stdin", file)
            with pytest.raises(SystemExit) as end:
                main()
        given.unlink()
        out, err = capfd.readouterr()
        assert isinstance(end.value.code, int)
        return Result(code=end.value.code, out=out, err=err)

    return running


@pytest.fixture
def filled(run: Run, write: Write, place: Path) -> Path:
    """The folder of a book of two documents, of which one failed."""
    write("light.md", "# Lights\n\nThe lighthouse was built in 1873.")
    write("broken.pdf", "%PDF-1.7 this is no pdf")
    assert run("add", "docs").code == 0
    assert run("sync").code == 0
    return place / "docs"


# --- documents in -----------------------------------------------------------------------------------------


def test_init_makes_a_book(run: Run, place: Path) -> None:
    done = run("init")
    assert (done.code, done.err) == (0, "")
    assert "Next: sourcebook add" in done.out
    assert (place / ".sourcebook" / "sourcebook.toml").is_file()
    assert run("init", "--json").json == {"home": str(place / ".sourcebook")}


def test_add_and_sync(run: Run, write: Write, place: Path) -> None:
    write("a.md", "The lighthouse was built in 1873.")
    done = run("add", "docs")
    assert (done.code, done.err) == (0, "")
    assert f"Following file://{place}/docs" in done.out
    done = run("add", "docs", "--access", "b", "--access", "a", "--json")
    assert done.json == {"source": f"file://{place}/docs", "tenant": "default", "access": ["a", "b"]}
    done = run("sync", "--json")
    report = done.json
    assert (done.code, done.err) == (0, "")
    seconds = report.pop("seconds")
    assert 0 < seconds < 60
    assert report == {"added": 1, "changed": 0, "deleted": 0, "unchanged": 0, "failed": 0, "passages": 1, "embedded": 1}
    assert run("sync").out.startswith("1 unchanged; 1 passages in the book, 0 embedded, ")


def test_failed_documents_do_not_make_a_sync_fail(run: Run, filled: Path) -> None:
    (filled / "worse.pdf").write_text("%PDF-1.7 nor is this")
    done = run("sync")
    assert done.code == 0
    assert "2 failed (why: sourcebook status --failed)" in done.out
    assert run("sync", "--json").json["failed"] == 2
    assert run("sync", "--retry", "--json").json["failed"] == 2


def test_include_and_exclude(run: Run, write: Write) -> None:
    for name in ("a.md", "b.txt", "c.md"):
        write(name, f"The lighthouse of {name}.")
    assert run("add", "docs", "--include", "*.md", "--exclude", "c.*").code == 0
    assert run("sync", "--json").json["added"] == 1


def test_remove(run: Run, filled: Path) -> None:
    assert run("remove", str(filled / "light.md")).out == "Removed 1 document\n"
    assert run("remove", "docs", "--json").json == {"removed": 1}
    done = run("remove", "docs")
    assert done.code == base.MISSING
    assert done.err.startswith("Error: 'docs' is neither a source nor a document. See: sourcebook status")


# --- answers out ------------------------------------------------------------------------------------------


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


# --- looking inside ---------------------------------------------------------------------------------------


def test_status(run: Run, filled: Path) -> None:
    done = run("status")
    assert (done.code, done.err) == (0, "")
    assert "live    docs/light.md  1 passages" in done.out
    assert "failed  docs/broken.pdf" in done.out
    assert done.out.endswith("2 documents, 1 failed, 1 passages\n")
    found = run("status", "--json").json
    assert found["sources"] == [f"file://{filled}"]
    by_uri = {row["uri"]: row for row in found["documents"]}
    assert by_uri[f"file://{filled}/light.md"]["state"] == "live"
    assert by_uri[f"file://{filled}/light.md"]["error"] is None
    assert by_uri[f"file://{filled}/broken.pdf"]["error"]
    assert [row["state"] for row in run("status", "--failed", "--json").json["documents"]] == ["failed"]


def test_show(run: Run, filled: Path) -> None:
    done = run("show", "docs/light.md")
    assert (done.code, done.err) == (0, "")
    assert "The lighthouse was built in 1873." in done.out
    found = run("show", f"file://{filled}/light.md", "--json").json
    (passage,) = found["passages"]
    assert found["text"][passage["start"] : passage["end"]] == passage["text"]
    assert run("show", passage["id"], "--json").json["text"] == passage["text"]
    answer = run("ask", "When was the lighthouse built?", "--json").json
    assert run("show", answer["answer_id"], "--json").json["answer"] == answer["answer"]
    assert answer["answer"] in run("show", answer["answer_id"]).out
    done = run("show", "nothing")
    assert done.code == base.MISSING
    assert "neither a live document, nor a passage, nor an answer" in done.err


@pytest.mark.parametrize("command", ["show", "remove"])
def test_a_name_with_a_scheme_that_is_not_there(run: Run, filled: Path, command: str) -> None:
    assert run(command, "https://example.org/a").code == base.MISSING


def test_doctor(run: Run, filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCEBOOK_PARTS_INDEX", "qdrant:index")
    done = run("doctor", "--json")
    assert done.code == base.FAILED
    assert {row["check"] for row in done.json["checks"] if not row["ok"]} == {"index"}
    assert run("doctor").code == base.FAILED
    done = run("doctor", "--repair", "--json")
    assert (done.code, done.json["ok"]) == (0, True)
    done = run("doctor")
    assert (done.code, done.err) == (0, "")
    for name in ("python", "space", "catalog", "embedder", "index", "documents", "ocr"):
        assert f"ok   {name}: " in done.out
    assert run("search", "lighthouse", "--json").json["hits"]


def test_a_damaged_index_is_told_and_repaired(
    run: Run, filled: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCEBOOK_PARTS_INDEX", "qdrant:index")
    assert run("doctor", "--repair").code == 0
    index = place / ".sourcebook" / "index"
    for path in [*index.rglob("*.json"), *index.rglob("*.mappings")]:
        if path.name != "identity.json":
            path.write_bytes(b"\x00damaged")
    done = run("search", "lighthouse")
    assert done.code == base.FAILED
    assert "sourcebook doctor --repair" in done.err
    assert "Traceback" not in done.err
    assert run("doctor").code == base.FAILED
    assert run("doctor", "--repair").code == 0
    assert run("search", "lighthouse", "--json").json["hits"]


def test_export(run: Run, filled: Path, write: Write) -> None:
    done = run("export")
    assert (done.code, done.err) == (0, "")
    document, passage = done.lines
    assert (document["kind"], document["uri"]) == ("document", f"file://{filled}/light.md")
    assert (passage["document"], passage["start"]) == (document["uri"], 0)
    assert run("export", "--json").out == done.out
    run("--home", "other", "ask", "--source", "docs", "Where?")
    assert run("--home", "other", "export").out == done.out


# --- how it ends ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ("status",), ("sync",), ("ask", "Why?"), ("search", "Why?"), ("show", "x"), ("remove", "x"), ("export",),
        ("doctor",),
    ],
)  # fmt: skip
def test_without_a_book(run: Run, place: Path, arguments: tuple[str, ...]) -> None:
    done = run(*arguments)
    assert (done.code, done.out) == (base.MISSING, "")
    assert (
        done.err
        == f"Error: There is no book in {place}/.sourcebook. Make one: sourcebook init, or name it with --home\n"
    )
    assert list(place.iterdir()) == []
    if arguments != ("export",):
        error = json.loads(run(*arguments, "--json").err)["error"]
        assert error["kind"] == "NoBook"
        assert error["remedy"].startswith("Make one")
        assert error["transient"] is False


def test_without_a_source(run: Run) -> None:
    run("init")
    done = run("sync")
    assert done.code == base.MISSING
    assert "follows no source" in done.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("frobnicate",), ("--frobnicate",), ("ask",), ("ask", "one", "two"), ("ask", "x", "--batch", "-"),
        ("ask", "--batch", "missing.jsonl"), ("search", "x", "--top", "0"), ("search", "x", "--top", "many"),
        ("sync", "--wait", "long"), ("add",), ("show",), ("status", "extra"), ("sync", "--json=1"),
    ],
)  # fmt: skip
def test_wrong_usage(run: Run, arguments: tuple[str, ...]) -> None:
    done = run(*arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("ask", ""), "The question is empty"),
        (("search", "  "), "The question is empty"),
        (("search", "x", "--where", "type = = 1"), "cannot be understood at character 8"),
        (("ask", "x", "--where", "year > true"), "cannot be understood at character 8"),
        (("search", "x", "--where", ""), "cannot be understood at character 1"),
        (("add", "nowhere"), "nowhere cannot be read: No such file or directory"),
        (("add", "gopher://host"), "Nothing is registered for source"),
        (("add", "docs", "--include", "!"), "'!' is not a pattern"),
        (("ask", "x", "--source", "nowhere"), "nowhere cannot be read"),
    ],
)
def test_errors_say_what_is_wrong(run: Run, filled: Path, arguments: tuple[str, ...], said: str) -> None:
    done = run(*arguments)
    assert (done.code, done.out) == (base.FAILED, "")
    assert done.err.startswith("Error: ")
    assert said in done.err
    error = json.loads(run(*arguments, "--json").err)["error"]
    assert said in error["message"]
    assert error["remedy"]


def test_wrong_settings_are_told(run: Run, place: Path) -> None:
    run("init")
    (place / ".sourcebook" / "sourcebook.toml").write_text("[chunk]\ntokens = 1\n")
    done = run("status")
    assert done.code == base.FAILED
    assert "chunk.tokens is 1, but must be at least 16" in done.err


def test_a_damaged_catalog_is_told(run: Run, filled: Path, place: Path) -> None:
    for path in (place / ".sourcebook").glob("catalog.db*"):
        path.write_bytes(b"damaged" * 1000)
    for command in (("status",), ("sync",), ("ask", "Why?"), ("doctor",)):
        done = run(*command)
        assert done.code == base.FAILED
        assert "Restore the file from a backup" in done.err
        assert "Traceback" not in done.err


def test_which_book(run: Run, write: Write, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def home(*arguments: str) -> Any:
        return run(*arguments, "--json").json["home"]

    assert home("init", "--home", "after") == str(place / "after")
    assert home("--home", "before", "init") == str(place / "before")
    assert home("--home", "before", "init", "--home", "after") == str(place / "after")
    monkeypatch.setenv("SOURCEBOOK_HOME", str(place / "named"))
    assert home("init") == str(place / "named")
    assert home("--home", "before", "status") == str(place / "before")
    assert home("status", "--home", "after") == str(place / "after")
    assert home("status") == str(place / "named")
    monkeypatch.delenv("SOURCEBOOK_HOME")
    assert run("status").code == base.MISSING
    assert home("init") == str(place / ".sourcebook")
    (place / "deep").mkdir()
    monkeypatch.chdir(place / "deep")
    assert home("status") == str(place / ".sourcebook")


def test_help_and_version(run: Run) -> None:
    from sourcebook import __version__

    assert run("--version").out.strip().endswith(__version__)
    done = run("--help")
    assert done.code == 0
    for command in ("init", "add", "sync", "ask", "search", "status", "show", "remove", "doctor", "export"):
        assert f"\n  {command} " in done.out
        own = run(command, "--help")
        assert own.code == 0
        assert own.out.startswith(f"Usage: sourcebook {command} ")
        assert "--home DIR" in own.out
        assert "--json" in own.out


def test_interrupting_is_told(run: Run, filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sourcebook.book import Sourcebook

    async def interrupted(self: Sourcebook, **_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Sourcebook, "sync", interrupted)
    done = run("sync")
    assert done.code == base.INTERRUPTED
    assert "What was finished is kept" in done.err


# --- as a process of its own ------------------------------------------------------------------------------


def process(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from sourcebook.cli import main; main()", *arguments]
    settings = environment(SOURCEBOOK_PARTS_INDEX="flat", SOURCEBOOK_PARTS_MODEL="extractive", **more)
    return subprocess.run(command, env=settings, capture_output=True, text=True, timeout=60, check=False)


def test_another_process_that_writes_is_named(filled: Path, place: Path) -> None:
    from sourcebook.ownership import Ownership

    right = Ownership(place / ".sourcebook" / "writer.lock", "This book")
    right.take()
    try:
        done = process("sync")
        assert (done.returncode, done.stdout) == (base.BUSY, "")
        assert f"in use by process {os.getpid()}" in done.stderr
        error = json.loads(process("remove", "docs", "--json").stderr)["error"]
        assert (error["kind"], error["transient"]) == ("BookBusy", True)
        assert process("search", "lighthouse").returncode == 0
    finally:
        right.release()


def test_in_a_pipe_there_are_no_colours(filled: Path) -> None:
    for arguments in (
        ("status",),
        ("search", "lighthouse"),
        ("ask", "When was the lighthouse built?"),
        ("show", "nothing"),
    ):
        done = process(*arguments)
        assert done.stdout + done.stderr
        assert "\x1b" not in done.stdout + done.stderr
        assert "Traceback" not in done.stderr


def test_output_is_utf_8_whatever_the_locale(run: Run, write: Write) -> None:
    write("灯台.md", "灯台は lighthouse 1873年に建てられた。")
    run("add", "docs")
    run("sync")
    done = process("search", "lighthouse", "--json", LC_ALL="C", PYTHONIOENCODING="")
    assert done.returncode == 0, done.stderr
    assert "灯台は" in json.loads(done.stdout)["hits"][0]["text"]


def test_a_reader_that_goes_away_is_no_error(run: Run, write: Write) -> None:
    for number in range(300):
        write(f"{number}.txt", f"Text number {number}. " * 40)
    run("add", "docs")
    run("sync")
    exporting = subprocess.Popen(
        [sys.executable, "-c", "from sourcebook.cli import main; main()", "export"],
        env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert exporting.stdout is not None
    assert json.loads(exporting.stdout.readline())["kind"] == "document"
    exporting.stdout.close()
    assert exporting.stderr is not None
    complaints = exporting.stderr.read()
    exporting.stderr.close()
    assert exporting.wait(timeout=30) == 0
    assert complaints == ""
