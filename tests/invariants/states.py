"""A folder of documents in two states, and books over it run as processes of their own."""

import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

WORDS = "harbour ledger granite winter signal orchard copper meadow lantern voyage timber canyon velvet anchor".split()


def text(name: str, version: int, paragraphs: int = 6) -> str:
    """The text of a document; another for every name and version, each paragraph marked with both."""
    chance = random.Random(f"{name} {version}")
    lines = [f"# {name} in version {version}"]
    for number in range(paragraphs):
        sentences = [" ".join(chance.choices(WORDS, k=12)).capitalize() + "." for _ in range(8)]
        lines.append(f"marker{name.split('.')[0]}v{version} paragraph {number}. " + " ".join(sentences))
    return "\n\n".join(lines)


def first_state(folder: Path, documents: int = 40) -> None:
    """Version 1 of every document."""
    folder.mkdir(parents=True)
    for number in range(documents):
        name = f"d{number:03}.md"
        (folder / name).write_text(text(name, 1))


def second_state(folder: Path, documents: int = 40) -> None:
    """A third changed, some deleted, some moved, some copied, some new, one damaged."""
    for number in range(0, documents, 3):
        name = f"d{number:03}.md"
        (folder / name).write_text(text(name, 2))
    for number in range(1, documents, 9):
        (folder / f"d{number:03}.md").unlink()
    (folder / "moved").mkdir()
    for number in range(2, documents, 9):
        (folder / f"d{number:03}.md").rename(folder / "moved" / f"d{number:03}.md")
    for number in range(3, documents, 12):
        shutil.copy(folder / f"d{number:03}.md", folder / "moved" / f"copy{number:03}.md")
    for number in range(documents, documents + 10):
        name = f"d{number:03}.md"
        (folder / name).write_text(text(name, 1))
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7 this is no pdf")


def command(home: Path, *arguments: str) -> list[str]:
    """A command line of the book at `home`."""
    return [sys.executable, "-c", "from sourcebook.cli import main; main()", "--home", str(home), *arguments]


def environment(**more: str) -> dict[str, str]:
    """The environment of such a process: an embedder that needs no model."""
    return {**os.environ, "SOURCEBOOK_PARTS_EMBED": "hashing", **more}


def run(home: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        command(home, *arguments), env=environment(**more), capture_output=True, text=True, timeout=120, check=False
    )


def sync(home: Path, **more: str) -> dict[str, float]:
    """Sync, and what it reports."""
    done = run(home, "sync", "--json", **more)
    assert done.returncode == 0, done.stderr
    report: dict[str, float] = json.loads(done.stdout)
    return report


def export(home: Path) -> str:
    """The export of the book."""
    done = run(home, "export")
    assert done.returncode == 0, done.stderr
    return done.stdout


def doctor(home: Path) -> dict[str, bool]:
    """The doctor's verdict on each part."""
    checks = json.loads(run(home, "doctor", "--json").stdout)["checks"]
    return {one["check"]: one["ok"] for one in checks}
