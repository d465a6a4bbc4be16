"""Everything that can go wrong, as one tree.

    SourcebookError                 has .remedy and .transient
    ├── ConfigError                 a setting, URL or argument is not valid
    │   └── MissingExtra            an optional dependency is not installed; names the pip command
    ├── BookError                   the book itself
    │   ├── NoBook                  there is no book at this place
    │   ├── BookBusy                another process is writing (transient)
    │   └── CatalogError            the catalog cannot be read or written: damaged, full disk, newer schema
    ├── SourceError                 a source cannot be listed or read
    ├── ParseError                  bytes cannot be turned into text
    │   ├── UnsupportedFormat       nobody parses this format
    │   ├── Encrypted               protected by a password
    │   ├── Damaged                 not what its format promises
    │   ├── Empty                   nothing to read in it
    │   └── TooLarge                past a limit (size, pages, time, expansion); names the setting
    ├── VectorIndexError            the vector index failed
    ├── EmbedError                  the embedder failed
    ├── ModelError                  the language model failed
    ├── FilterError                 a metadata filter cannot be understood
    └── NotFound                    no such document, passage or answer

`transient` says whether the same call can succeed later without anything being changed.
"""

from __future__ import annotations

from typing import ClassVar


class SourcebookError(Exception):
    """Something went wrong: what happened and to what (the message), and what the user can do (`remedy`)."""

    transient: ClassVar[bool] = False

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy

    def __str__(self) -> str:
        message = super().__str__()
        return f"{message}. {self.remedy}" if self.remedy else message

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.args[0], self.remedy)


def _rebuild(kind: type[SourcebookError], message: str, remedy: str) -> SourcebookError:
    """Unpickle, so that errors cross process boundaries whole."""
    return kind(message, remedy=remedy)


class ConfigError(SourcebookError):
    """A setting, URL or argument is not valid."""


class MissingExtra(ConfigError):
    """An optional dependency is not installed."""

    @classmethod
    def of(cls, part: str, extra: str) -> MissingExtra:
        """For the part (such as "pdf parsing") that the extra brings."""
        return cls(f"{part} is not installed", remedy=f'Run: pip install "sourcebook[{extra}]"')


class BookError(SourcebookError):
    """The book itself cannot be used."""


class NoBook(BookError):
    """There is no book at this place."""


class BookBusy(BookError):
    """Another process is writing to the book."""

    transient = True


class CatalogError(BookError):
    """The catalog cannot be read or written."""


class SourceError(SourcebookError):
    """A source cannot be listed or read."""


class ParseError(SourcebookError):
    """Bytes cannot be turned into text."""


class UnsupportedFormat(ParseError):
    """Nobody parses this format."""


class Encrypted(ParseError):
    """Protected by a password."""


class Damaged(ParseError):
    """Not what its format promises."""


class Empty(ParseError):
    """Nothing to read in it."""


class TooLarge(ParseError):
    """Past a limit of size, pages, time or expansion."""


class VectorIndexError(SourcebookError):
    """The vector index failed."""


class EmbedError(SourcebookError):
    """The embedder failed."""


class ModelError(SourcebookError):
    """The language model failed."""


class FilterError(SourcebookError):
    """A metadata filter cannot be understood."""


class NotFound(SourcebookError):
    """No such document, passage or answer."""
