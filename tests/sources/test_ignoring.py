"""Which files below a folder count, in git's pattern language."""

import asyncio
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from sourcebook.errors import ConfigError
from sourcebook.sources.files import Files, path_of

Tree = Callable[..., Path]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Make a folder of files with these contents, by relative path; files named alone are empty."""

    def making(*names: str, contents: Mapping[str, str] | None = None) -> Path:
        root = tmp_path / "docs"
        for name, text in {**dict.fromkeys(names, ""), **(contents or {})}.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return root

    return making


async def listed(root: Path, **settings: object) -> set[str]:
    """The files that a source lists, relative to its root."""
    prefix = f"file://{root}/"
    return {item.uri.removeprefix(prefix) async for item in Files(str(root), **settings).scan()}  # type: ignore[arg-type]


async def test_include_and_exclude(tree: Tree) -> None:
    root = tree("a.md", "b.txt", "sub/c.md", "sub/d.txt", "drafts/e.md", "sub/drafts/f.md")
    assert await listed(root, include=["*.md"]) == {"a.md", "sub/c.md", "drafts/e.md", "sub/drafts/f.md"}
    assert await listed(root, exclude=["drafts/"]) == {"a.md", "b.txt", "sub/c.md", "sub/d.txt"}
    assert await listed(root, include=["*.md"], exclude=["/drafts"]) == {"a.md", "sub/c.md", "sub/drafts/f.md"}
    assert await listed(root, include=["sub/"]) == {"sub/c.md", "sub/d.txt", "sub/drafts/f.md"}
    assert await listed(root, include=["*", "!*.txt"]) == {"a.md", "sub/c.md", "drafts/e.md", "sub/drafts/f.md"}
    assert await listed(root, include=["sub/**/*.md"]) == {"sub/c.md", "sub/drafts/f.md"}
    assert await listed(root, include=["[ab].*"]) == {"a.md", "b.txt"}
    assert await listed(root, include=["*.pdf"]) == set()


async def test_a_pattern_that_means_nothing_is_an_error(tree: Tree) -> None:
    root = tree("a.md")
    with pytest.raises(ConfigError, match=r"'!' is not a pattern"):
        await listed(root, include=["*.md", "!"])
    with pytest.raises(ConfigError, match=r"'a\[z-a\]' is not a pattern"):
        await listed(root, exclude=["a[z-a]"])


async def test_a_line_that_means_nothing_is_passed_over(tree: Tree) -> None:
    root = tree("a.md", "b.md", "c.md", contents={".gitignore": "!\na.md\n\\\n[z-a]\nb.md\n"})
    assert await listed(root) == {"c.md"}


async def test_ignore_files_of_both_names_and_of_inner_folders(tree: Tree) -> None:
    root = tree(
        "keep.md",
        "build/out.md",
        "notes.tmp",
        "sub/keep.md",
        "sub/secret.md",
        "sub/deep/secret.md",
        "secret.md",
        contents={
            ".gitignore": "# a comment\n\nbuild/\n*.tmp\n",
            ".sourcebookignore": "keep.tmp\n",
            "sub/.sourcebookignore": "secret.md\n",
        },
    )
    assert await listed(root) == {"keep.md", "sub/keep.md", "secret.md"}


async def test_anchored_patterns_bind_to_their_folder(tree: Tree) -> None:
    root = tree("a.md", "sub/a.md", "sub/b.md", "sub/deep/b.md", contents={".gitignore": "/a.md\n"})
    assert await listed(root) == {"sub/a.md", "sub/b.md", "sub/deep/b.md"}
    (root / "sub" / ".gitignore").write_text("/b.md\n")
    assert await listed(root) == {"sub/a.md", "sub/deep/b.md"}


async def test_inner_files_decide_over_outer_ones_and_last_lines_over_first(tree: Tree) -> None:
    root = tree("a.log", "sub/a.log", "sub/b.log", contents={".gitignore": "*.log\n", "sub/.gitignore": "!a.log\n"})
    assert await listed(root) == {"sub/a.log"}
    (root / "sub" / ".gitignore").write_text("!*.log\nb.log\n")
    assert await listed(root) == {"sub/a.log"}
    (root / "sub" / ".sourcebookignore").write_text("a.log\n")
    assert await listed(root) == set()


async def test_what_lies_in_an_ignored_folder_cannot_be_taken_back(tree: Tree) -> None:
    root = tree("build/keep.md", contents={".gitignore": "build/\n!build/keep.md\n"})
    assert await listed(root) == set()
    (root / ".gitignore").write_text("build/*\n!build/keep.md\n")
    assert await listed(root) == {"build/keep.md"}


async def test_a_pattern_with_a_slash_at_its_end_means_folders_only(tree: Tree) -> None:
    root = tree("notes", "sub/notes/a.md", contents={".gitignore": "notes/\n"})
    assert await listed(root) == {"notes"}


async def test_a_byte_order_mark_is_not_part_of_the_first_pattern(tree: Tree) -> None:
    root = tree("a.md", "b.md")
    (root / ".gitignore").write_bytes(b"\xef\xbb\xbfa.md\r\n")
    assert await listed(root) == {"b.md"}


async def test_an_ignore_file_that_is_none_is_passed_over(tree: Tree) -> None:
    root = tree("a.md", ".gitignore/b.md")
    assert await listed(root) == {"a.md"}


def test_the_verdicts_are_those_of_git(tree: Tree) -> None:
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    names = [
        "a.md", "b.md", "b.txt", "doc/a.md", "doc/frotz/a.md", "frotz/x.md", "foo/bar/baz.md", "foo/x/bar/baz.md",
        "space name.md", "trailing ", "#hash.md", "!bang.md", "x[1].md", "한국어/문서.md", "deep/a/b/c/d.md",
        "q1.md", "qq.md",
    ]  # fmt: skip
    patterns = [
        "doc/frotz/", "/frotz", "foo/**/bar", "\\#hash.md", "\\!bang.md", "x\\[1\\].md", "한국어/", "**/c", "q?.md",
        "!qq.md", "space\\ name.md", "*.txt   ", "[!a-p].md", "deep/*/d.md",
    ]  # fmt: skip
    root = tree(*names, contents={".gitignore": "\n".join(patterns) + "\n"})
    subprocess.run(["git", "init", "-q", str(root)], check=True, capture_output=True)
    done = subprocess.run(
        ["git", "-C", str(root), "-c", "core.quotepath=off", "ls-files", "-z", "--others", "--exclude-standard"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    expected = set(done.stdout.split("\0")) - {"", ".gitignore"}
    found = {path_of(f"file://{root}/{name}") for name in asyncio.run(listed(root))}
    assert {str(Path(path).relative_to(root)) for path in found} == expected
    assert 3 < len(expected) < len(names)
