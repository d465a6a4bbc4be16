"""How the database finds rows: no statement of a sync or a search may read through what grows with the book."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from sourcebook import Sourcebook

MAY_BE_READ_THROUGH = {
    "source",  # a handful of rows
    "document",  # once a sync, to compare it with the listing
    "book",
}
"""Tables that a statement of these flows may scan."""


@pytest.fixture(autouse=True)
def without_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCEBOOK_PARTS_EMBED", "hashing")
    monkeypatch.setenv("SOURCEBOOK_PARTS_INDEX", "flat:")


@contextmanager
def statements(book: Sourcebook) -> Iterator[dict[str, Any]]:
    """Every statement that runs within, with parameters that it ran with."""
    seen: dict[str, Any] = {}

    def note(_1: object, _2: object, statement: str, parameters: Any, _3: object, many: bool) -> None:
        seen[statement] = parameters[0] if many and parameters else parameters

    event.listen(book.catalog._engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(book.catalog._engine, "before_cursor_execute", note)


async def test_nothing_is_read_through(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    for number in range(30):
        (docs / f"{number}.md").write_text(
            f"# Page {number}\n\nThe lighthouse number {number} was built in 18{number}."
        )
    async with await Sourcebook.open(tmp_path / "book") as book:
        await book.add(docs)
        await book.sync()
        with statements(book) as seen:
            (docs / "0.md").write_text("# Page 0\n\nIt was pulled down.")
            (docs / "1.md").unlink()
            (docs / "new.md").write_text("# New\n\nA new page.")
            report = await book.sync()
            assert (report.added, report.changed, report.deleted) == (1, 1, 1)
            await book.search("When was lighthouse number 7 built?")
            await book.ask("When was lighthouse number 7 built?")
            await book.remove(str(docs / "2.md"))
        offending = [f"{plan}\n{statement}" for statement, plan in plans(book, seen) if not harmless(statement, plan)]
    assert not offending, "\n\n".join(offending)


def plans(book: Sourcebook, seen: dict[str, Any]) -> Iterator[tuple[str, str]]:
    with book.catalog.reading() as connection:
        for statement, parameters in seen.items():
            if re.match(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH)", statement):
                rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
                yield from ((statement, str(row[3])) for row in rows)


def harmless(statement: str, plan: str) -> bool:
    """Whether a step of a plan touches few rows, however large the book."""
    if "version_state (state=?)" in plan:
        return re.search(r"state = '(staged|retired)'", statement) is not None  # most versions are live
    scanned = re.match(r"SCAN (\w+)", plan)
    return scanned is None or scanned[1] in MAY_BE_READ_THROUGH or scanned[1] in ("json_each", "CONSTANT")
