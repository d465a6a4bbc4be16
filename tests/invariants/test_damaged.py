"""Damaged and hostile files end as live or as failed with a reason, and harm nothing else."""

import json
from pathlib import Path

import pytest

from tests.damaged import make_damaged
from tests.invariants.states import run

EXAMPLES = Path(__file__).parents[2] / "examples" / "privacy-law" / "documents"
MORE = Path(__file__).parents[1] / "data" / "parsing"


def prove(tmp_path: Path, count: int, seed: int) -> None:
    folder, home, good = tmp_path / "docs", tmp_path / "home", tmp_path / "good"
    good.mkdir()
    (good / "lighthouse.txt").write_text("The lighthouse was built in 1873 by Anna Petersen.")
    folder.mkdir()
    examples = [path for path in sorted([*EXAMPLES.rglob("*"), *MORE.rglob("*")]) if path.is_file()]
    made = make_damaged(folder, examples, count=count, seed=seed)
    outside = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir() if path != home}
    assert run(home, "add", str(folder)).returncode == 0
    assert run(home, "add", str(good)).returncode == 0
    settings = {"SOURCEBOOK_PARSE_MAX_SECONDS": "20", "SOURCEBOOK_PARSE_MAX_EXPANSION": "100000000"}
    done = run(home, "sync", "--json", **settings)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    documents = json.loads(run(home, "status", "--json").stdout)["documents"]
    assert len(documents) == len(made) + 1 == report["added"] + report["failed"]
    for document in documents:
        assert document["state"] in ("live", "failed")
        if document["state"] == "failed":
            assert document["error"], document["uri"]
            assert not document["answering"]
            assert "Traceback" not in document["error"]
        else:
            assert document["passages"] > 0
    assert "1873" in run(home, "search", "Who built the lighthouse?", "--json", "--top", "3").stdout
    assert outside == {path: path.stat().st_mtime_ns for path in tmp_path.iterdir() if path != home}
    again = json.loads(run(home, "sync", "--json", **settings).stdout)
    assert (again["added"], again["embedded"]) == (0, 0)


def test_forty_damaged_files(tmp_path: Path) -> None:
    prove(tmp_path, count=40, seed=7)


@pytest.mark.slow
def test_three_hundred_damaged_files(tmp_path: Path) -> None:
    prove(tmp_path, count=300, seed=11)
