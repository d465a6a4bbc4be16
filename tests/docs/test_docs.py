"""The documentation agrees with the program; and the check that says so finds what does not.

What runs commands is left to `make check`.
"""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from docs import check

PAGES = ("README.md", "CHANGELOG.md", "docs")
SETTINGS = "docs/configuration.md"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The repository as far as the pages need it, with pages that can be written to."""
    root = tmp_path / "repository"
    root.mkdir()
    for entry in check.ROOT.iterdir():
        if entry.name not in PAGES and not entry.name.startswith("."):
            (root / entry.name).symlink_to(entry)
    for name in PAGES:
        place = check.ROOT / name
        if place.is_dir():
            shutil.copytree(place, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(place, root / name)
    return root


@pytest.mark.parametrize("part", check.FAST, ids=lambda part: part.__name__)
def test_the_pages_are_right(part: Callable[[Path], Iterator[str]]) -> None:
    assert list(part(check.ROOT)) == []


@pytest.mark.parametrize(
    ("part", "page", "before", "after", "said"),
    [
        (
            check.settings,
            "docs/configuration.md",
            "| `answer.sentences` ",
            "| `answer.lines` ",
            "no setting answer.lines",
        ),
        (
            check.settings,
            "docs/configuration.md",
            "| `answer.sentences` ",
            "answer.sentences ",
            "answer.sentences is missing",
        ),
        (check.settings, SETTINGS, "`120.0`", "`121.0`", "parse.max_seconds: default is 120.0"),
        (check.settings, SETTINGS, "`SOURCEBOOK_PARSE_WORKERS`", "`WORKERS`", "parse.workers: variable"),
        (check.settings, SETTINGS, "| 100000000 |", "| |", "parse.max_memory: least is 100000000"),
        (check.commands, "docs/cli.md", "`--retry`", "`--again`", "sync is not what the program says"),
        (check.commands, "docs/cli.md", "<!-- generated: export -->", "", "the command export is missing"),
        (check.commands, "docs/cli.md", "generated: export", "generated: exports", "there is no command exports"),
        (check.links, "README.md", "(docs/quickstart.md)", "(docs/quick.md)", "docs/quick.md does not exist"),
        (check.links, "docs/cli.md", "quickstart.md#filters", "quickstart.md#filter", "no such heading"),
        (check.words, "README.md", "# Sourcebook", "# /ro" + "ot/book", "names a folder of one machine"),
        (check.words, "CHANGELOG.md", "# Changes", "# py" + "pi.org", "names a package registry"),
        (check.understood, "README.md", "sourcebook status", "sourcebook state", "No such command 'state'"),
        (check.understood, "docs/quickstart.md", "--top 2", "--first 2", "No such option"),
        (check.understood, "README.md", "with open_book(", "with with open_book(", "invalid syntax"),
        (check.understood, "docs/json.md", '{"removed": 1}', "{'removed': 1}", "Expecting property name"),
    ],
)
def test_what_is_wrong_is_found(
    copy: Path, part: Callable[[Path], Iterator[str]], page: str, before: str, after: str, said: str
) -> None:
    path = copy / page
    text = path.read_text(encoding="utf-8")
    assert before in text
    path.write_text(text.replace(before, after), encoding="utf-8")
    findings = list(part(copy))
    assert any(said in one for one in findings), findings


def test_a_block_that_fails_is_found_with_its_line(copy: Path) -> None:
    page = copy / "docs" / "wrong.md"
    page.write_text("# Wrong\n\n```python\nfine = 1\n1 / 0\n```\n\n```python no-run\n1 / 0\n```\n", encoding="utf-8")
    first, second = check.blocks(copy, page)
    assert (first.runs, second.runs) == (True, False)
    assert list(check._run_python(first)) == ["docs/wrong.md:5: ZeroDivisionError: division by zero"]


def test_generated_parts_are_brought_up_to_date(copy: Path) -> None:
    path = copy / "docs/cli.md"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("`--retry`", "`--again`"), encoding="utf-8")
    assert list(check.commands(copy, write=True)) == []
    assert path.read_text(encoding="utf-8") == text


def test_examples_are_compared_by_their_keys() -> None:
    assert check._shape({"a": [{"b": 1}], "c": None}) == check._shape({"c": 5, "a": [{"b": "x"}, {}]})
    assert check._shape({"a": 1}) != check._shape({"b": 1})
    assert check._shape([{"a": 1}]) != check._shape([{"b": 1}])
