"""init, add, sync, remove."""

from pathlib import Path

from sourcebook.commands import base
from tests.commands.ended import Run, Write


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
    assert report == {
        "added": 1, "changed": 0, "deleted": 0, "unchanged": 0, "failed": 0, "passages": 1, "embedded": 1,
        "unreachable": [],
    }  # fmt: skip
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
