"""How commands end: exit codes, errors, interruptions, pipes."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sourcebook.commands import base
from tests.commands.ended import Run, Write
from tests.invariants.states import environment


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
