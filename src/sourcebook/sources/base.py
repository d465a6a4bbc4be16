"""Where documents come from."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from sourcebook.types import SourceItem


class Source(Protocol):
    """A place that lists documents and gives their bytes.

    url: canonical name of the place; the same place always has the same.
    """

    @property
    def url(self) -> str: ...

    def scan(self) -> AsyncIterator[SourceItem]:
        """Every document, in a stable order, without reading any.

        A listing that ends normally is complete: what it does not name is gone. Errors: SourceError if the
        place as a whole cannot be listed; then nothing may be deleted.
        """
        ...

    async def read(self, item: SourceItem) -> tuple[bytes, str]:
        """The document's bytes, and the fingerprint that belongs to exactly these bytes. Errors: SourceError."""
        ...

    def changes(self) -> AsyncIterator[None]:
        """Yields whenever something below the place may have changed, until cancelled."""
        ...
