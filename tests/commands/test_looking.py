"""status, show, doctor, export."""

from pathlib import Path

import pytest

from sourcebook.commands import base
from tests.commands.ended import Run, Write


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
