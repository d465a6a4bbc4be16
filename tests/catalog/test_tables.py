"""Tables live and die with their version: I1, I2 and I3 hold for them as for passages, and so does scope."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sourcebook import Sourcebook
from sourcebook.catalog.catalog import Catalog
from sourcebook.catalog.records import Draft, Staged
from sourcebook.catalog.statements import sql
from sourcebook.catalog.tables import ScopedTables
from sourcebook.filters import parse_filter
from sourcebook.types import Chunk, Column, Scope, Table

ALICE = Scope(principals=frozenset({"alice"}))


def table(content: str, name: str = "") -> Table:
    return Table(
        name=name,
        columns=(Column(name="Größe", type="BIGINT"),),
        rows=3,
        places=((2, 1), (4, 2)),
        data=content.encode(),
    )


def draft(name: str, *tables: Table, **more: Any) -> Draft:
    settings: dict[str, Any] = {
        "uri": f"file:///{name}",
        "tenant": "default",
        "source_id": 1,
        "access": frozenset(),
        "fingerprint": "f",
        "content_hash": f"hash of {[one.data for one in tables]}",
        "recipe": "recipe",
        "text": "text",
        "chunks": (),
        "text_keys": (),
        "tables": tables,
    }
    return Draft(**settings | more)


def publish(catalog: Catalog, *drafts: Draft) -> list[Staged]:
    staged = catalog.stage(drafts)
    catalog.commit(staged)
    return staged


def seen(catalog: Catalog, scope: Scope | None = None) -> list[tuple[str, str, bytes]]:
    """(document, sheet, cells) of what a scope may see."""
    source = ScopedTables(catalog, scope or Scope())
    listed = source.listed()
    cells = source.cells([one.key for one in listed])
    return [(one.document, one.name, cells[one.key]) for one in listed]


def kept(catalog: Catalog) -> int:
    with catalog.reading() as connection:
        return int(connection.execute(sql("SELECT COUNT(*) FROM table_data")).scalar_one())


def test_a_table_comes_back_as_it_was(catalog: Catalog) -> None:
    publish(catalog, draft("a", table("first", "one"), table("second", "two"), title="Title"))
    first, second = ScopedTables(catalog, Scope()).listed()
    assert (first.document, first.version, first.name, first.title) == ("file:///a", 1, "one", "Title")
    assert (first.columns, first.rows, first.places) == (table("").columns, 3, ((2, 1), (4, 2)))
    assert ScopedTables(catalog, Scope()).cells([second.key]) == {second.key: b"second"}


def test_staged_tables_are_not_seen_and_the_old_ones_answer_until_the_commit(catalog: Catalog) -> None:
    (staged,) = catalog.stage([draft("a", table("old"))])
    assert seen(catalog) == []
    catalog.commit([staged])
    assert seen(catalog) == [("file:///a", "", b"old")]
    (newer,) = catalog.stage([draft("a", table("new"))])
    assert seen(catalog) == [("file:///a", "", b"old")]
    (old,) = ScopedTables(catalog, Scope()).listed()
    catalog.commit([newer])
    assert seen(catalog) == [("file:///a", "", b"new")]
    assert ScopedTables(catalog, Scope()).cells([old.key]) == {}


def test_tables_go_with_their_document_at_once_and_are_purged_with_it(catalog: Catalog) -> None:
    one, _ = publish(catalog, draft("a", table("a")), draft("b", table("b")))
    (key, _) = [listed.key for listed in ScopedTables(catalog, Scope()).listed()]
    catalog.withdraw([one.document_id])
    assert seen(catalog) == [("file:///b", "", b"b")]
    assert ScopedTables(catalog, Scope()).cells([key]) == {}
    assert kept(catalog) == 2
    catalog.purge(catalog.retired())
    assert kept(catalog) == 1
    catalog.stage([draft("b", table("interrupted"))])
    catalog.abandon_staged()
    catalog.purge(catalog.retired())
    assert (kept(catalog), seen(catalog)) == (1, [("file:///b", "", b"b")])


def test_a_key_never_names_other_cells(catalog: Catalog) -> None:
    """Whoever has kept cells by key must not mix them up with those of a document that came later."""
    (one,) = publish(catalog, draft("a", table("a")))
    (before,) = ScopedTables(catalog, Scope()).listed()
    catalog.withdraw([one.document_id])
    catalog.purge(catalog.retired())
    (other,) = publish(catalog, draft("b", table("b")))
    (after,) = ScopedTables(catalog, Scope()).listed()
    assert one.version_id != other.version_id
    assert before.key != after.key
    assert ScopedTables(catalog, Scope()).cells([before.key]) == {}


def test_scope_decides(catalog: Catalog) -> None:
    publish(
        catalog,
        draft("open", table("open")),
        draft("closed", table("closed"), access=frozenset({"alice"})),
        draft("other", table("other"), tenant="other"),
    )
    assert [document for document, _, _ in seen(catalog)] == ["file:///open"]
    assert [document for document, _, _ in seen(catalog, ALICE)] == ["file:///closed", "file:///open"]
    assert [document for document, _, _ in seen(catalog, Scope(tenant="other"))] == ["file:///other"]
    keys = [one.key for one in ScopedTables(catalog, ALICE).listed()]
    assert list(ScopedTables(catalog, Scope()).cells(keys).values()) == [b"open"]
    assert ScopedTables(catalog, Scope(tenant="other")).cells(keys) == {}


def test_a_filter_decides_as_well(catalog: Catalog) -> None:
    publish(
        catalog,
        draft("a", table("a"), metadata={"type": "csv"}),
        draft("b", table("b"), metadata={"type": "xlsx"}),
        draft("c", table("c"), metadata={"type": "csv"}, access=frozenset({"alice"})),
    )
    every = ScopedTables(catalog, Scope())
    only = ScopedTables(catalog, Scope(), parse_filter("type = 'csv'"))
    keys = [one.key for one in every.listed()]
    assert [one.document for one in only.listed()] == ["file:///a"]
    assert list(only.cells(keys).values()) == [b"a"]
    assert only.anchors(keys) == {}  # there are no passages
    assert ScopedTables(catalog, Scope(), parse_filter("type = 'pdf'")).listed() == ()


def test_of_cells_a_beginning_can_be_had(catalog: Catalog) -> None:
    publish(catalog, draft("a", table("0123456789")))
    (one,) = ScopedTables(catalog, Scope()).listed()
    assert ScopedTables(catalog, Scope()).cells([one.key], most=4) == {one.key: b"0123"}


def test_a_table_begins_where_its_sheet_does(catalog: Catalog) -> None:
    chunks = tuple(
        Chunk(text=text, start=at, end=at + 1, heading_path=path)
        for at, (text, path) in enumerate([("t", ()), ("1", ("One",)), ("2", ("Two",)), ("3", ("Two",))])
    )
    some = (table("1", "One"), table("2", "Two"), table("3", "Three"))
    publish(catalog, draft("a", *some, text="t123", chunks=chunks, text_keys=tuple(f"{n}" * 32 for n in range(4))))
    source = ScopedTables(catalog, Scope())
    anchors = source.anchors([one.key for one in source.listed()])
    assert [anchors[one.key].text for one in source.listed()] == ["1", "2", "t"]
    assert ScopedTables(catalog, Scope(tenant="other")).anchors([one.key for one in source.listed()]) == {}


def test_narrowed_access_holds_at_once(catalog: Catalog) -> None:
    (one,) = publish(catalog, draft("a", table("a")))
    catalog.restrict([(one.document_id, frozenset({"alice"}))])
    assert (seen(catalog), len(seen(catalog, ALICE))) == ([], 1)


def test_tables_are_reused_with_the_text(catalog: Catalog) -> None:
    made = draft("a", table("a", "x"), table("b", "y"))
    publish(catalog, made)
    same = catalog.reusable(made.content_hash, "recipe")
    assert same is not None
    assert same.tables == made.tables
    publish(catalog, replace(made, uri="file:///copy", tables=same.tables))
    assert [cells for _, _, cells in seen(catalog)] == [b"a", b"b", b"a", b"b"]


# --- in a book --------------------------------------------------------------------------------------------


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCEBOOK_PARTS_EMBED", "hashing")
    monkeypatch.setenv("SOURCEBOOK_PARTS_INDEX", "flat")


@pytest.mark.usefixtures("small")
async def test_the_tables_of_a_book_follow_its_files(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "a.csv").write_text("Name,Sum\nKim,1\nLee,2\n")
    (docs / "notes.md").write_text("# Notes\n\nNo table.\n")
    async with await Sourcebook.open(tmp_path / "book") as book:
        await book.add(docs)
        await book.sync()
        (first,) = seen(book.catalog)
        (docs / "a.csv").rename(docs / "moved.csv")
        await book.sync()
        assert [(document.rpartition("/")[2], cells) for document, _, cells in seen(book.catalog)] == [
            ("moved.csv", first[2])
        ]
        (docs / "moved.csv").write_text("Name,Sum\nKim,7\n")
        await book.sync()
        ((_, _, cells),) = seen(book.catalog)
        assert cells != first[2]
        (docs / "moved.csv").unlink()
        await book.sync()
        assert (seen(book.catalog), kept(book.catalog)) == ([], 0)
