"""Files and folders, with everything that lies about in them."""

import asyncio
import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sourcebook.errors import SourceError, TooLarge
from sourcebook.sources import files
from sourcebook.sources.base import Source
from sourcebook.sources.files import Files, display, open_files, path_of, uri_of
from sourcebook.testing import SourceSuite
from sourcebook.types import SourceItem


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    return folder


async def items(root: str | Path, **settings: object) -> dict[str, SourceItem]:
    """What a source lists, by the path relative to its root."""
    found = [item async for item in Files(str(root), **settings).scan()]  # type: ignore[arg-type]
    assert len({item.uri for item in found}) == len(found)
    return {os.path.relpath(path_of(item.uri), root): item for item in found}


class TestFiles(SourceSuite):
    @pytest.fixture(autouse=True)
    def places(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        self.factory = tmp_path_factory

    def make(self, documents: Mapping[str, bytes]) -> Source:
        folder = self.factory.mktemp("source")
        for name, data in documents.items():
            (folder / name).write_bytes(data)
        return Files(str(folder))

    def put(self, source: Source, name: str, data: bytes) -> None:
        (Path(path_of(source.url)) / name).write_bytes(data)

    def drop(self, source: Source, name: str) -> None:
        (Path(path_of(source.url)) / name).unlink()

    def again(self, source: Source) -> Source:
        return Files(os.path.relpath(path_of(source.url)) + "/")


# --- what is listed ---------------------------------------------------------------------------------------


async def test_nested_folders_in_the_order_of_their_names(root: Path) -> None:
    for name in ("b.txt", "a/z.txt", "a/b/c.txt", "c/d.txt", "A.txt"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    (root / "empty").mkdir()
    assert list(await items(root)) == ["A.txt", "a/b/c.txt", "a/z.txt", "b.txt", "c/d.txt"]
    found = (await items(root))["a/b/c.txt"]
    assert (found.name, found.size, found.problem, found.holds) == ("c.txt", len("a/b/c.txt"), None, False)


async def test_one_file_is_a_source(root: Path) -> None:
    (root / "a.txt").write_text("one")
    (root / "b.txt").write_text("two")
    source = Files(str(root / "a.txt"))
    (item,) = [item async for item in source.scan()]
    assert item.uri == source.url == f"file://{root}/a.txt"
    assert (await source.read(item))[0] == b"one"


async def test_names_for_the_same_place_give_the_same_url(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    monkeypatch.setenv("HOME", str(root.parent))
    names = (
        ".",
        "",
        str(root),
        f"{root}/",
        f"{root}/../docs",
        "~/docs",
        f"file://{root}",
        f"file:{root}",
        f"file://localhost{root}",
    )
    assert {Files(name).url for name in names} == {f"file://{root}"}
    assert open_files(str(root), hidden=True, something_else=1).url == f"file://{root}"


async def test_hidden_files_only_on_request_and_never_the_book(root: Path) -> None:
    for name in (".env", ".git/config", ".sourcebook/sourcebook.toml", "sub/.hidden.md", "seen.md"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x")
    assert set(await items(root)) == {"seen.md"}
    assert set(await items(root, hidden=True)) == {".env", ".git/config", "sub/.hidden.md", "seen.md"}
    assert set(await items(root / ".git")) == {"config"}


async def test_a_book_that_lies_among_the_documents_is_none(root: Path) -> None:
    for name in ("mine/sourcebook.toml", "mine/writer.lock", "mine/catalog.db", "other/sourcebook.toml", "a.md"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x")
    assert set(await items(root)) == {"a.md", "other/sourcebook.toml"}


async def test_symbolic_links_are_followed(root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a.txt").write_text("outside")
    (root / "folder").symlink_to(outside)
    (root / "file.txt").symlink_to(outside / "a.txt")
    found = await items(root)
    assert set(found) == {"folder/a.txt", "file.txt"}
    assert (await Files(str(root)).read(found["file.txt"]))[0] == b"outside"
    (tmp_path / "link").symlink_to(root)
    assert set(await items(tmp_path / "link")) == {"folder/a.txt", "file.txt"}


async def test_loops_of_symbolic_links_end(root: Path) -> None:
    (root / "a" / "b").mkdir(parents=True)
    (root / "a" / "b" / "c.txt").write_text("x")
    (root / "a" / "b" / "up").symlink_to(root / "a")
    (root / "a" / "top").symlink_to(root)
    (root / "self").symlink_to(root / "self")
    found = await items(root)
    assert {name for name, item in found.items() if item.problem is None} == {"a/b/c.txt"}
    assert found["self"].problem is not None


async def test_links_among_folders_do_not_multiply_them(root: Path) -> None:
    """Nine folders, each with links to the other eight: followed along every path, they would be some 600,000."""
    for number in range(9):
        (root / f"d{number}").mkdir()
        (root / f"d{number}" / "a.txt").write_text("x")
    for number in range(9):
        for other in range(9):
            if other != number:
                (root / f"d{number}" / f"to{other}").symlink_to(root / f"d{other}")
    found = list(await items(root))
    assert {f"d{number}/a.txt" for number in range(9)} <= set(found)
    assert len(found) <= 18
    assert list(await items(root)) == found


async def test_broken_links_and_only_they_are_reported(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "nowhere.txt").symlink_to(root / "gone")
    (root / "fine.txt").write_text("x")
    found = await items(root)
    assert set(found) == {"nowhere.txt", "fine.txt"}
    assert found["nowhere.txt"].problem == "The file cannot be read: it is a symbolic link to nothing"
    assert not found["nowhere.txt"].fingerprint
    (root / ".gitignore").write_text("nowhere.txt")
    assert set(await items(root)) == {"fine.txt"}


async def test_a_file_that_vanishes_while_it_is_listed_is_gone(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "a.txt").write_text("x")
    (root / "b.txt").write_text("x")
    scandir = os.scandir

    def vanishing(folder: str) -> object:
        listing = scandir(folder)
        entries = list(listing)
        (root / "a.txt").unlink(missing_ok=True)
        return _Listing(entries)

    monkeypatch.setattr(os, "scandir", vanishing)
    assert set(await items(root)) == {"b.txt"}


class _Listing:
    """Entries as os.scandir gives them."""

    def __init__(self, entries: list[os.DirEntry[str]]) -> None:
        self._entries = entries

    def __enter__(self) -> Iterator[os.DirEntry[str]]:
        return iter(self._entries)

    def __exit__(self, *_: object) -> None: ...


async def test_what_is_no_file_is_passed_over(root: Path) -> None:
    os.mkfifo(root / "pipe")
    os.mkfifo(root / ".gitignore")
    (root / "a.txt").write_text("x")
    with socket.socket(socket.AF_UNIX) as one:
        here = Path.cwd()
        os.chdir(root)  # names of sockets may have 107 bytes
        try:
            one.bind("socket")
        finally:
            os.chdir(here)
        assert set(await asyncio.wait_for(items(root), 10)) == {"a.txt"}
    with pytest.raises(SourceError, match="neither a file nor a folder"):
        await asyncio.wait_for(items(root / "pipe"), 10)


async def test_a_missing_place_is_an_error_with_a_way_out(root: Path) -> None:
    with pytest.raises(SourceError, match="gone cannot be read: No such file or directory") as caught:
        await items(root / "gone")
    assert "sourcebook remove" in caught.value.remedy
    (root / "a.txt").write_text("x")
    with pytest.raises(SourceError, match="Not a directory"):
        await items(root / "a.txt" / "b")


async def test_a_folder_that_cannot_be_listed_holds_what_is_below(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("open/a.txt", "closed/b.txt"):
        (root / name).parent.mkdir()
        (root / name).write_text("x")
    closed(monkeypatch, root / "closed")
    found = await items(root)
    assert set(found) == {"open/a.txt", "closed"}
    assert found["closed"].holds
    assert found["closed"].problem == "The folder cannot be listed: Permission denied"
    closed(monkeypatch, root)
    (item,) = (await items(root)).values()
    assert (item.holds, item.uri) == (True, f"file://{root}")


def closed(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let a folder be unlistable, for root as well, who may read everything."""
    scandir = os.scandir

    def refusing(path: str) -> object:
        if Path(path) == folder:
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)


async def test_large_files_are_listed_as_too_large(root: Path) -> None:
    (root / "large.txt").write_bytes(b"x" * 1001)
    (root / "small.txt").write_bytes(b"x" * 1000)
    found = await items(root, max_bytes=1000)
    assert found["small.txt"].problem is None
    problem = found["large.txt"].problem or ""
    assert "1,001 bytes, more than the limit of 1,000" in problem
    assert "parse.max_bytes" in problem
    with pytest.raises(TooLarge, match=r"parse\.max_bytes"):
        await Files(str(root), max_bytes=1000).read(found["large.txt"])


# --- what is read -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 65536, 1_500_000])
async def test_all_bytes_are_read(root: Path, size: int) -> None:
    data = os.urandom(size)
    (root / "a.bin").write_bytes(data)
    source = Files(str(root))
    (item,) = [item async for item in source.scan()]
    assert (await source.read(item))[0] == data


async def test_files_that_cannot_be_read_say_why(root: Path) -> None:
    (root / "a.txt").write_text("x")
    source = Files(str(root))
    (item,) = [item async for item in source.scan()]
    (root / "a.txt").unlink()
    with pytest.raises(SourceError, match="No such file or directory"):
        await source.read(item)
    (root / "a.txt").mkdir()
    with pytest.raises(SourceError, match="cannot be read"):
        await source.read(item)


async def test_a_file_that_changes_while_it_is_read_is_read_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = root / "a.txt"
    path.write_text("old, " * 100)
    source = Files(str(root))
    (item,) = [item async for item in source.scan()]
    read, changes = os.read, iter(["new"])

    def changing(descriptor: int, size: int) -> bytes:
        piece = read(descriptor, 10)
        if (text := next(changes, None)) is not None:
            path.write_text(text)
        return piece

    monkeypatch.setattr(os, "read", changing)
    data, fingerprint = await source.read(item)
    assert data == b"new"
    assert fingerprint != item.fingerprint


async def test_a_file_that_keeps_changing_is_given_up(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = root / "a.log"
    path.write_text("line\n")
    source = Files(str(root))
    (item,) = [item async for item in source.scan()]
    read = os.read

    def growing(descriptor: int, size: int) -> bytes:
        with path.open("a") as file:
            file.write("line\n")
        return read(descriptor, size)

    monkeypatch.setattr(os, "read", growing)
    # It would be read to its ever moving end, were the pieces not larger than what is added.
    monkeypatch.setattr(files, "_all", lambda descriptor, size: growing(descriptor, size))
    with pytest.raises(SourceError, match="keeps changing while it is read"):
        await source.read(item)


async def test_the_fingerprint_is_stable_and_moves_with_every_write(root: Path) -> None:
    path = root / "a.txt"
    path.write_text("one")
    os.utime(path, (1_600_000_000, 1_600_000_000))
    await asyncio.sleep(2 * files._CLOCK_STEP)
    first = (await items(root))["a.txt"].fingerprint
    assert (await items(root))["a.txt"].fingerprint == first
    path.write_text("two")  # as long as before, and with its old times
    os.utime(path, (1_600_000_000, 1_600_000_000))
    await asyncio.sleep(2 * files._CLOCK_STEP)
    assert (await items(root))["a.txt"].fingerprint != first


async def test_a_fingerprint_taken_right_after_a_write_is_never_taken_again(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within the coarseness of the file system's clock, two writes can leave the same times."""
    monkeypatch.setattr(files, "_CLOCK_STEP", 60.0)
    (root / "a.txt").write_text("one")
    first = (await items(root))["a.txt"].fingerprint
    assert (await items(root))["a.txt"].fingerprint != first


async def test_changes_are_noticed(root: Path) -> None:
    source = Files(str(root))
    changes = source.changes()
    waiting = asyncio.ensure_future(anext(changes))
    try:
        for number in range(100):
            (root / f"{number}.txt").write_text("x")
            done, _ = await asyncio.wait([waiting], timeout=0.3)
            if done:
                break
        assert waiting.done()
    finally:
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)


# --- names ------------------------------------------------------------------------------------------------

NAMES = [
    "with space.txt",
    "한국어 문서.txt",
    "new\nline.txt",
    "tab\t.txt",
    "100%.txt",
    "a%20b.txt",
    "#hash?query.txt",
    "semi;colon&and=.txt",
    "quote'\".txt",
    "back\\slash.txt",
    "~tilde.txt",
    "file:colon.txt",
    "\x1b[31mred.txt",
    "\u00e9.txt",
    "e\u0301.txt",
    os.fsdecode(b"latin-\xe9.txt"),
]


async def test_odd_names_are_listed_and_read(root: Path) -> None:
    for name in NAMES:
        (root / name).write_text(ascii(name))
    source = Files(str(root))
    found = await items(root)
    assert set(found) == set(NAMES)
    for name, item in found.items():
        assert (await source.read(item))[0].decode() == ascii(name)
        assert item.uri.isascii()
        assert item.uri.isprintable()
        item.name.encode()  # it is stored as text
    assert found[os.fsdecode(b"latin-\xe9.txt")].name == "latin-\N{REPLACEMENT CHARACTER}.txt"


@given(st.binary(min_size=1, max_size=30).filter(lambda name: b"\0" not in name))
@example(b"a#b")
@example(b"%41")
@example(b"~/x")
@example(b"\xff\xfe")
@example(b"//x")
def test_every_path_survives_as_uri(name: bytes) -> None:
    path = os.path.abspath(os.fsdecode(b"/" + name))
    uri = uri_of(path)
    assert uri.isascii()
    assert path_of(uri) == path
    assert uri_of(path_of(uri)) == uri


@given(st.text())
def test_any_text_is_a_path_or_an_error(text: str) -> None:
    for url in (text, f"file:{text}"):
        try:
            path = path_of(url)
        except SourceError as error:
            assert error.remedy  # noqa: PT017
        except UnicodeEncodeError:
            assert any("\ud800" <= char <= "\udfff" for char in text)  # no file can have such a name
        else:
            assert os.path.isabs(path)


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("file:///a/b", "/a/b"),
        ("file:/a/b", "/a/b"),
        ("file://localhost/a/b", "/a/b"),
        ("file:///a%20b%2Fc", "/a b/c"),
        ("file:///a/../b/", "/b"),
        ("file:///a#b?c", "/a#b?c"),
        ("/a/./b", "/a/b"),
    ],
)
def test_paths_of_urls(url: str, path: str) -> None:
    assert path_of(url) == path


@pytest.mark.parametrize("url", ["file://server/share/a", "file://[", "file:///a%00b", "a\0b"])
def test_other_urls_are_errors(url: str) -> None:
    with pytest.raises(SourceError) as caught:
        path_of(url)
    assert caught.value.remedy


def test_paths_are_shown_without_control_characters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert display(str(tmp_path / "sub" / "a.txt")) == "sub/a.txt"
    assert display(str(tmp_path.parent / "a.txt")) == str(tmp_path.parent / "a.txt")
    assert (
        display(str(tmp_path / "\x1b[31mred\n.txt")) == "\N{REPLACEMENT CHARACTER}[31mred\N{REPLACEMENT CHARACTER}.txt"
    )
    assert display(str(tmp_path / "한국어.txt")) == "한국어.txt"
    display(os.fsdecode(b"/latin-\xe9")).encode()
