"""What every source must do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from unittest import SkipTest

from sourcebook.errors import SourceError
from sourcebook.sources.base import Source
from sourcebook.types import SourceItem


class SourceSuite:
    """Subclass it and give `make`, `put` and `drop`: a place that the suite can fill; `again` if there can be two.

    patience: seconds after which a document that nobody touches must have a fingerprint that stays.
    """

    patience = 10.0

    def make(self, documents: Mapping[str, bytes]) -> Source:
        """A source over a fresh place that holds these documents, by name."""
        raise NotImplementedError

    def put(self, source: Source, name: str, data: bytes) -> None:
        """Write a document, new or changed, into the place."""
        raise NotImplementedError

    def drop(self, source: Source, name: str) -> None:
        """Delete a document from the place."""
        raise NotImplementedError

    def again(self, source: Source) -> Source | None:
        """Another source over the same place, by another name of it if it has one; None: there can be no other."""
        return None

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

    def test_what_is_unchanged_keeps_its_fingerprint(self) -> None:
        """A sync reads again whatever has another fingerprint, or none ("": the place cannot tell)."""
        source = self.make({"a.txt": b"one", "b.txt": b"same", "c.txt": b"same too"})
        before = self._settled(source)
        for item in before.values():
            _, read = asyncio.run(source.read(item))
            assert read == item.fingerprint or not item.fingerprint
        self.put(source, "a.txt", b"two")
        after = self._settled(source)
        changed = {name for name in before if before[name].fingerprint != after[name].fingerprint}
        assert changed <= {"a.txt"}
        assert "a.txt" in changed or not after["a.txt"].fingerprint

    def _settled(self, source: Source) -> dict[str, SourceItem]:
        """A scan whose fingerprints the next one repeats; of what was just written they may not stay."""
        until = time.monotonic() + self.patience
        items = self._scan(source)
        while items != (later := self._scan(source)):
            assert time.monotonic() < until, "fingerprints differ from scan to scan"
            time.sleep(0.02)
            items = later
        return items

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

    def test_one_place_has_one_url(self) -> None:
        source, other = self.make({"a.txt": b"one"}), self.make({"a.txt": b"one"})
        assert source.url
        assert source.url != other.url
        again = self.again(source)
        if again is None:
            raise SkipTest("there can be no other source over the same place")
        assert again.url == source.url
        assert {item.uri for item in self._scan(again).values()} == {item.uri for item in self._scan(source).values()}
