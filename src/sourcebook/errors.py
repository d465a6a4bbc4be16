"""Everything that can go wrong, as one tree.

    SourcebookError                 has .remedy and .transient
    ├── ConfigError                 a setting, URL or argument is not valid
    │   └── MissingExtra            an optional dependency is not installed; names the pip command
    ├── BookError                   the book itself
    │   ├── NoBook                  there is no book at this place
    │   ├── BookBusy                another process is writing (transient)
    │   └── CatalogError            the catalog cannot be read or written: damaged, full disk, newer schema
    │       └── CatalogBusy         its database is locked, overloaded, restarting or out of reach (transient)
    ├── SourceError                 a source cannot be listed or read
    ├── ParseError                  bytes cannot be turned into text
    │   ├── UnsupportedFormat       nobody parses this format
    │   ├── Encrypted               protected by a password
    │   ├── Damaged                 not what its format promises
    │   ├── Empty                   nothing to read in it
    │   └── TooLarge                past a limit (size, pages, time, expansion); names the setting
    ├── VectorIndexError            the vector index failed
    ├── EmbedError                  the embedder failed
    ├── ModelError                  the language model failed; has .provider, .status and .request_id
    │   ├── Transient               the same call may succeed later, or elsewhere
    │   │   ├── RateLimited         too many calls; has .retry_after
    │   │   ├── Unavailable         the vendor is down, overloaded or out of reach; has .retry_after
    │   │   ├── Interrupted         the reply broke off in the middle; has .text, what had come
    │   │   └── DeadlineExceeded    the time that was given is over
    │   └── Terminal                trying again changes nothing
    │       ├── InvalidRequest      the vendor does not accept the request
    │       ├── NotAuthorised       no key, a wrong key, or one that may not
    │       ├── NoSuchModel         the vendor has no model of this name
    │       ├── ContextTooLong      the prompt does not fit the model's window
    │       ├── Refused             the vendor's policy forbids the prompt or the reply
    │       ├── QuotaExhausted      the vendor's account has no money or quota left
    │       ├── InvalidReply        the reply is not what was asked for: broken, or against the schema
    │       └── BudgetExceeded      our own budget does not allow the call
    ├── ToolError                   a tool failed, or was asked for something that it does not do
    ├── PromptError                 a template or its variables are not valid
    ├── FilterError                 a metadata filter cannot be understood
    └── NotFound                    no such document, passage or answer

`transient` says whether the same call can succeed later without anything being changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from sourcebook.types import SyncReport, Usage


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


class CatalogBusy(CatalogError):
    """The catalog's database is locked, overloaded, restarting or out of reach."""

    transient = True


class SourceError(SourcebookError):
    """A source cannot be listed or read. report: what a sync did with the other sources, if it was a sync."""

    report: SyncReport | None = None


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
    """The language model failed.

    provider: who was called ("openai"). status: of the HTTP reply, or 0. request_id: the vendor's.
    retry_after: seconds that the vendor asks to wait, or None. text: what had come of the reply. usage: what the
    vendor had reported of it, or None. asked: whether the vendor may have had the request; False: it was never sent.
    """

    def __init__(
        self,
        message: str,
        *,
        remedy: str = "",
        provider: str = "",
        status: int = 0,
        request_id: str = "",
        retry_after: float | None = None,
        text: str = "",
        usage: Usage | None = None,
        asked: bool = True,
    ) -> None:
        super().__init__(message, remedy=remedy)
        self.usage = usage
        self.asked = asked
        self.provider = provider
        self.status = status
        self.request_id = request_id
        self.retry_after = retry_after
        self.text = text

    def __reduce__(self) -> tuple[object, ...]:
        fields = {name: value for name, value in self.__dict__.items() if not name.startswith("__")}
        return _rebuild_model_error, (type(self), self.args[0], fields)


def _rebuild_model_error(kind: type[ModelError], message: str, fields: dict[str, Any]) -> ModelError:
    return kind(message, **fields)


class Transient(ModelError):
    """The same call may succeed later, or elsewhere."""

    transient = True


class RateLimited(Transient):
    """Too many calls or tokens in too short a time."""


class Unavailable(Transient):
    """The vendor is down, overloaded or out of reach."""


class Interrupted(Transient):
    """The reply broke off in the middle; `text` is what had come of it."""


class DeadlineExceeded(Transient):
    """The time that was given for the call is over."""


class Terminal(ModelError):
    """Trying again changes nothing."""


class InvalidRequest(Terminal):
    """The vendor does not accept the request."""


class NotAuthorised(Terminal):
    """No key, a wrong key, or one that may not do this."""


class NoSuchModel(Terminal):
    """The vendor has no model of this name."""


class ContextTooLong(Terminal):
    """The prompt does not fit the model's window."""


class Refused(Terminal):
    """The vendor's policy forbids the prompt or the reply."""


class QuotaExhausted(Terminal):
    """The vendor's account has no money or quota left."""


class InvalidReply(Terminal):
    """The reply is not what was asked for: broken, or against the schema."""


class BudgetExceeded(Terminal):
    """Our own budget does not allow the call."""


class ToolError(SourcebookError):
    """A tool failed, or was asked for something that it does not do."""


class PromptError(SourcebookError):
    """A template or its variables are not valid."""


class FilterError(SourcebookError):
    """A metadata filter cannot be understood."""


class NotFound(SourcebookError):
    """No such document, passage or answer."""
