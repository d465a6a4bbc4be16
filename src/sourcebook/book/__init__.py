"""The book: the object that users hold, with what it owns: its index, its models, its tools."""

from sourcebook.book.book import Sourcebook
from sourcebook.book.home import HOME, find_home
from sourcebook.book.syncing import Progress

__all__ = ["HOME", "Progress", "Sourcebook", "find_home"]
