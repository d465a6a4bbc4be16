"""Sourcebook: answers from your own documents, with sources that can be checked.

    documents ──> source ──> parse ──> chunk ──> embed ──> index
                                                             │
    question  ──> embed ──> retrieve <───────────────────────┘
                               │
                            compose ──> model ──> cite ──> answer, with its sources

Everything hangs off one object:

    async with await Sourcebook.open("my-book") as book:      with open_book("my-book") as book:
        await book.add("./docs")                                  book.add("./docs")
        await book.sync()                                         book.sync()
        answer = await book.ask("Who may see it?")                answer = book.ask("Who may see it?")
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sourcebook.book import Sourcebook
    from sourcebook.book.blocking import BlockingSourcebook, open_book
    from sourcebook.config import Config
    from sourcebook.errors import SourcebookError
    from sourcebook.types import Answer, Citation, Hit, LedgerEntry, Passage, Scope, SyncReport

__version__ = "0.1.0"

__all__ = [
    "Answer",
    "BlockingSourcebook",
    "Citation",
    "Config",
    "Hit",
    "LedgerEntry",
    "Passage",
    "Scope",
    "Sourcebook",
    "SourcebookError",
    "SyncReport",
    "open_book",
]

_HOMES = {
    "BlockingSourcebook": "book.blocking",
    "Config": "config",
    "Sourcebook": "book",
    "SourcebookError": "errors",
    "open_book": "book.blocking",
}


def __getattr__(name: str) -> object:
    """Load a public name when it is first used: importing the package costs next to nothing."""
    if name not in __all__:
        raise AttributeError(f"module 'sourcebook' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"sourcebook.{_HOMES.get(name, 'types')}"), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
