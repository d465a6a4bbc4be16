"""txtai: one Embeddings index with `hybrid` and `content`, saved to a folder.

As its documentation has it: what there is goes through `upsert`. It keeps no record of what it has seen, so every
sync embeds everything again, and what has gone from the folder stays until somebody calls `delete` for it. A
document is one text: it is not split.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from embedding import OnnxEmbedding
from protocol import Found, serve
from txtai import Embeddings

if TYPE_CHECKING:
    from pathlib import Path


class TxtaiPeer:
    """txtai with its defaults: Faiss, its own BM25, SQLite."""

    def __init__(self, meter: OnnxEmbedding) -> None:
        self.meter = meter
        self._searching = False

    def open(self, home: Path) -> None:
        self._index = home / "index"

        def transform(texts: list[str]) -> Any:
            return self.meter.query(texts[0])[None] if self._searching else self.meter.passages(texts)

        settings = {"method": "external", "transform": transform, "hybrid": True, "content": True}
        self._embeddings = Embeddings(settings)
        if self._index.exists():
            self._embeddings.load(str(self._index), config={"transform": transform})

    def sync(self, folder: Path) -> None:
        paths = sorted(folder.rglob("*.txt"))
        self._embeddings.upsert((str(path), path.read_text(encoding="utf-8")) for path in paths)
        self._embeddings.save(str(self._index))

    def search(self, query: str, top: int) -> list[Found]:
        self._searching = True
        hits = self._embeddings.search(query, top)
        self._searching = False
        return [Found(document=hit["id"], text=hit["text"]) for hit in hits]

    def close(self) -> None:
        self._embeddings.close()


def make(command: dict[str, Any]) -> TxtaiPeer:
    """As `speed.py` starts it."""
    return TxtaiPeer(OnnxEmbedding(command["model"], command["tokenizer"], stand_in=command["stand_in"]))


if __name__ == "__main__":
    serve(make)
