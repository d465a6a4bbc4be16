"""Command lines run in this process, in an empty folder, as `main` runs them for the installed command."""

import sys
from pathlib import Path

import pytest

from sourcebook.cli import main
from sourcebook.registry import BUILT_IN, Entry
from tests.commands.ended import Result, Run, Write


@pytest.fixture
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
