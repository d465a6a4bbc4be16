"""What every source must do."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from sourcebook.errors import SourceError
from sourcebook.sources.base import Source
from sourcebook.types import SourceItem


class SourceSuite:
    """Subclass it and give `make`, `put` and `drop`: a place that the suite can fill."""

    def make(self, documents: Mapping[str, bytes]) -> Source:
        """A source over a fresh place that holds these documents, by name."""
        raise NotImplementedError

    def put(self, source: Source, name: str, data: bytes) -> None:
        """Write a document, new or changed, into the place."""
        raise NotImplementedError

    def drop(self, source: Source, name: str) -> None:
        """Delete a document from the place."""
        raise NotImplementedError

    def _scan(self, source: Source) -> dict[str, SourceItem]:
        async def collect() -> list[SourceItem]:
            return [item async for item in source.scan()]

        items = asyncio.run(collect())
        assert len({item.uri for item in items}) == len(items)
        return {item.name: item for item in items}

    def test_it_lists_everything_and_reads_it(self) -> None:
        documents = {"a.txt": b"alpha", "b.md": b"# beta", "c.bin": bytes(range(256))}
        source = self.make(documents)
        items = self._scan(source)
        assert set(items) == set(documents)
        for name, item in items.items():
            data, _ = asyncio.run(source.read(item))
            assert data == documents[name]

    def test_scans_agree(self) -> None:
        source = self.make({f"{n}.txt": b"x" for n in range(20)})
        assert list(self._scan(source)) == list(self._scan(source))

    def test_the_fingerprint_changes_with_the_content(self) -> None:
        source = self.make({"a.txt": b"one", "b.txt": b"same"})
        _, before = asyncio.run(source.read(self._scan(source)["a.txt"]))
        self.put(source, "a.txt", b"two")
        item = self._scan(source)["a.txt"]
        data, after = asyncio.run(source.read(item))
        assert data == b"two"
        assert after != before

    def test_deleted_documents_are_no_longer_listed(self) -> None:
        source = self.make({"a.txt": b"one", "b.txt": b"two"})
        item = self._scan(source)["a.txt"]
        self.drop(source, "a.txt")
        assert set(self._scan(source)) == {"b.txt"}
        try:
            asyncio.run(source.read(item))
        except SourceError as error:
            assert str(error)
        else:
            raise AssertionError("a document that is gone was read")

    def test_the_url_is_canonical(self) -> None:
        source = self.make({"a.txt": b"one"})
        assert source.url == source.url != ""
