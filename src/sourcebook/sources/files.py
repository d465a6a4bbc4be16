"""Files and folders: one file, or everything below a folder."""

from __future__ import annotations

import asyncio
import os
import stat
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

from sourcebook.errors import SourceError, TooLarge
from sourcebook.sources.ignoring import IGNORE_FILES, Ignoring
from sourcebook.types import SourceItem

_READ_ATTEMPTS = 3
_CLOCK_STEP = 0.05  # seconds; how coarse a file system's clock may be
_SMALL = 1_000_000  # bytes; below, reading takes less than handing the work to a thread
_BOOK = {"sourcebook.toml", "writer.lock"}  # a folder that holds both is a book, not documents


class Files:
    """A file, or a folder with all below it.

    url: "file:///..." of a file or folder, or a plain path. include, exclude: patterns in .gitignore's language.
    hidden: also files and folders whose name starts with a dot. max_bytes: larger files are listed as too large.

    Symbolic links are followed, but each folder that links lead to once, so that loops end and links among folders
    do not multiply them. A folder that cannot be listed
    is reported as such, and what is known below it is kept. A folder that is a book itself is passed over.
    """

    def __init__(
        self,
        url: str,
        *,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        hidden: bool = False,
        max_bytes: int = 200_000_000,
    ) -> None:
        self.root = path_of(url)
        self.url = uri_of(self.root)
        self._include = include
        self._exclude = exclude
        self._hidden = hidden
        self._max_bytes = max_bytes

    async def scan(self) -> AsyncIterator[SourceItem]:
        """Files in the order of their names, folder by folder."""
        for item in await asyncio.to_thread(lambda: list(self._walk())):
            yield item

    def _walk(self) -> Iterator[SourceItem]:
        try:
            found = os.stat(self.root)
        except OSError as error:
            raise SourceError(
                f"{self.root} cannot be read: {error.strerror}",
                remedy="Bring it back and sync again; or, if it is gone for good, run: sourcebook remove "
                + display(self.root),
            ) from error
        if stat.S_ISREG(found.st_mode):
            yield self._item(self.root, os.path.basename(self.root), found)
            return
        if not stat.S_ISDIR(found.st_mode):
            raise SourceError(f"{self.root} is neither a file nor a folder", remedy="Name a file or a folder")
        rules = Ignoring.at(self.root, self._include, self._exclude)
        yield from self._walk_folder(self.root, rules, frozenset({(found.st_dev, found.st_ino)}), set())

    def _walk_folder(
        self, folder: str, rules: Ignoring, above: frozenset[tuple[int, int]], linked: set[tuple[int, int]]
    ) -> Iterator[SourceItem]:
        try:
            with os.scandir(folder) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            problem = f"The folder cannot be listed: {error.strerror}"
            yield SourceItem(uri=uri_of(folder), name=_name(os.path.basename(folder)), problem=problem, holds=True)
            return
        if folder != self.root and _BOOK.issubset(entry.name for entry in entries):
            return
        rules = rules.entering(
            folder, {entry.name for entry in entries if entry.name in IGNORE_FILES and entry.is_file()}
        )
        for entry in entries:
            if entry.name == ".sourcebook" or (_hidden(entry.name) and not self._hidden):
                continue
            try:
                found = entry.stat()
            except OSError as error:
                gone = isinstance(error, FileNotFoundError) and not entry.is_symlink()
                if not gone and not rules.skips(entry.path, folder=False):
                    yield self._unreadable(entry.path, entry.name, error)
                continue
            if stat.S_ISDIR(found.st_mode):
                identity = (found.st_dev, found.st_ino)
                if identity in above or rules.skips(entry.path, folder=True):
                    continue
                if entry.is_symlink():
                    if identity in linked:
                        continue
                    linked.add(identity)
                yield from self._walk_folder(entry.path, rules, above | {identity}, linked)
            elif stat.S_ISREG(found.st_mode) and not rules.skips(entry.path, folder=False):
                yield self._item(entry.path, entry.name, found)

    def _item(self, path: str, name: str, found: os.stat_result) -> SourceItem:
        problem = None
        if found.st_size > self._max_bytes:
            problem = (
                f"The file has {found.st_size:,} bytes, more than the limit of {self._max_bytes:,}. "
                "Raise parse.max_bytes in sourcebook.toml to take it in"
            )
        return SourceItem(
            uri=uri_of(path), name=_name(name), fingerprint=_fingerprint(found), size=found.st_size, problem=problem
        )

    def _unreadable(self, path: str, name: str, error: OSError) -> SourceItem:
        reason = "it is a symbolic link to nothing" if os.path.islink(path) else str(error.strerror)
        return SourceItem(uri=uri_of(path), name=_name(name), problem=f"The file cannot be read: {reason}")

    async def read(self, item: SourceItem) -> tuple[bytes, str]:
        """The bytes of a file as they were at one moment: a file that changes meanwhile is read again."""
        path = path_of(item.uri)
        if 0 <= item.size < _SMALL:
            return self._read(path)
        return await asyncio.to_thread(self._read, path)

    def _read(self, path: str) -> tuple[bytes, str]:
        try:
            for _ in range(_READ_ATTEMPTS):
                with open(path, "rb", buffering=0) as file:
                    before = os.fstat(file.fileno())
                    if before.st_size > self._max_bytes:
                        raise TooLarge(
                            f"The file has {before.st_size:,} bytes, more than the limit of {self._max_bytes:,}",
                            remedy="Raise parse.max_bytes in sourcebook.toml to take it in",
                        )
                    data = _all(file.fileno(), before.st_size)
                    after = os.fstat(file.fileno())
                if _state(before) == _state(after) and len(data) == after.st_size:
                    return data, _fingerprint(after)
        except OSError as error:
            raise SourceError(f"The file cannot be read: {error.strerror}", remedy="Check its permissions") from error
        raise SourceError("The file keeps changing while it is read", remedy="Sync again once it is complete")

    async def changes(self) -> AsyncIterator[None]:
        """Yields after changes below the root, bundled over a tenth of a second."""
        from watchfiles import awatch

        folder = self.root if os.path.isdir(self.root) else os.path.dirname(self.root)
        async for _ in awatch(folder, debounce=400, step=100, recursive=True):
            yield None


def open_files(
    url: str,
    *,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    hidden: bool = False,
    max_bytes: int = 200_000_000,
    **_: object,
) -> Files:
    """For paths and "file:" URLs."""
    return Files(url, include=include, exclude=exclude, hidden=hidden, max_bytes=max_bytes)


def uri_of(path: str) -> str:
    """The file URI (RFC 8089) of an absolute or relative path; names that are not UTF-8 survive."""
    return "file://" + quote(os.fsencode(os.path.abspath(path)), safe="/~!$&'()*+,;=:@")


def path_of(url: str) -> str:
    """The path that a file URI (RFC 8089) or a plain path names. Errors: SourceError for another machine's."""
    if not url.startswith("file:"):
        path = os.path.expanduser(url)
    else:
        path = url.removeprefix("file:")
        if path.startswith("//"):
            machine, slash, path = path.removeprefix("//").partition("/")
            if machine not in ("", "localhost"):
                raise SourceError(f"{url} names another machine", remedy="Mount the folder and add its path")
            path = slash + path
        path = os.fsdecode(unquote_to_bytes(os.fsencode(path)))
    if "\0" in path:
        raise SourceError(f"{url!r} is not the name of a file", remedy="Correct the name")
    return os.path.abspath(path)


def display(path: str) -> str:
    """A path for people: relative to the working folder where that is shorter, never with raw control characters."""
    relative = os.path.relpath(path)
    shown = relative if not relative.startswith("..") else path
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in Path(shown).as_posix())


def _name(name: str) -> str:
    """A file's name as text that can be stored: bytes that are not UTF-8 are replaced (its URI keeps them)."""
    return os.fsencode(name).decode("utf-8", "replace")


def _fingerprint(found: os.stat_result) -> str:
    """Changes with every write: the change time cannot be set back, even where the modification time is.

    A file that was touched a moment ago could be written again without its times moving on, so its fingerprint
    is good for nothing but this reading; the next scan reads it once more.
    """
    token = _state(found)
    fresh = abs(time.time() - max(found.st_mtime, found.st_ctime)) < _CLOCK_STEP
    return f"{token}-at-{time.time_ns()}" if fresh else token


def _hidden(name: str) -> bool:
    """Whether people mean not to see it; a name like "..up" is odd, but not hidden."""
    return name.startswith(".") and not name.startswith("..")


def _state(found: os.stat_result) -> str:
    return f"{found.st_size}-{found.st_mtime_ns}-{found.st_ctime_ns}-{found.st_ino}"


def _all(descriptor: int, size: int) -> bytes:
    pieces = []
    while piece := os.read(descriptor, max(size + 1, 65536)):
        pieces.append(piece)
        size = 0
    return b"".join(pieces)
