"""What questions and people read: passages, quotes, the ledger, the export; and what serves again."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sourcebook.catalog import reads
from sourcebook.catalog.catalog import Catalog
from sourcebook.catalog.live import LivePassages
from sourcebook.errors import NotFound
from sourcebook.types import Chunk, Passage, PassageId, Scope
from tests.catalog.drafts import ALICE, BOB, draft, failure, found, publish


def test_scope_and_tenant_decide_what_is_found_and_counted(catalog: Catalog) -> None:
    staged = publish(
        catalog,
        draft("open", "for all"),
        draft("closed", "for alice", access=frozenset({"alice", "hr"})),
        draft("open", "elsewhere", tenant="other"),
    )
    ids = [name for one in staged for name in one.passages]
    assert found(catalog, ids) == ["for all"]
    assert found(catalog, ids, ALICE) == ["for alice", "for all"]
    assert found(catalog, ids, BOB) == ["for all"]
    assert found(catalog, ids, Scope(tenant="other", principals=frozenset({"alice"}))) == ["elsewhere"]
    assert reads.count_live(catalog, Scope()) == (1, 1)
    assert reads.count_live(catalog, ALICE) == (2, 2)
    assert reads.count_live(catalog, Scope(tenant="nobody")) == (0, 0)
    assert reads.count_live(catalog) == (3, 3)
    for scope, expected in ((Scope(), None), (ALICE, "for alice"), (BOB, None), (Scope(tenant="other"), None)):
        assert reads.quote(catalog, "file:///closed", 1, 0, 9, scope) == expected
    with pytest.raises(NotFound, match="No live document"):
        reads.whole_document(catalog, "file:///closed", BOB)
    assert reads.whole_document(catalog, "file:///open", Scope(tenant="other"))[0] == "elsewhere\n"


def test_a_passage_comes_back_whole(catalog: Catalog) -> None:
    chunk = Chunk(
        text="수수료 table", start=3, end=12, heading_path=("One", "한"), page=7, location="Sheet1!7", language="ko"
    )
    (staged,) = publish(
        catalog,
        draft("a", metadata={"tags": ("x", "y"), "n": 1, "f": 0.5, "b": True, "s": "문"}, title=None,
              text="xx\n수수료 table", chunks=(chunk,), text_keys=("k",), content="c"),
    )  # fmt: skip
    passages = LivePassages(catalog).passages(staged.passages, Scope())
    assert passages == {
        staged.passages[0]: Passage(
            id=staged.passages[0], document="file:///a", version=1, ordinal=0, text="수수료 table", start=3, end=12,
            title=None, heading_path=("One", "한"), page=7, location="Sheet1!7", language="ko",
            metadata={"tags": ("x", "y"), "n": 1, "f": 0.5, "b": True, "s": "문"},
        )
    }  # fmt: skip


def test_many_ids_and_unknown_ones(catalog: Catalog) -> None:
    texts = [f"text {number}" for number in range(2000)]
    (staged,) = publish(catalog, draft("a", *texts, content="c"))
    unknown = [PassageId(f"{number:032x}") for number in range(500)]
    assert found(catalog, [*unknown, *staged.passages]) == sorted(texts)
    assert found(catalog, []) == []


def test_quotes_are_cut_by_characters_from_the_live_version(catalog: Catalog) -> None:
    text = "a\N{SMILING FACE WITH OPEN MOUTH}한글\n\n end"
    publish(catalog, draft("a", text, content="1"))
    for start in range(len(text)):
        for end in range(start + 1, len(text) + 1):
            assert reads.quote(catalog, "file:///a", 1, start, end, Scope()) == text[start:end]
    assert reads.quote(catalog, "file:///a", 2, 0, 3, Scope()) is None
    assert reads.quote(catalog, "file:///b", 1, 0, 3, Scope()) is None
    assert reads.quote(catalog, "file:///a", 1, 500, 503, Scope()) is None
    publish(catalog, draft("a", "other", content="2"))
    assert reads.quote(catalog, "file:///a", 1, 0, 3, Scope()) is None


def test_reusable_is_what_was_made_from_the_same_bytes_by_the_same_recipe(catalog: Catalog) -> None:
    made = draft("a", "one", "two", content="hash", language="en", metadata={"tags": ("x",)})
    assert catalog.reusable("hash", "recipe") is None
    (staged,) = publish(catalog, made)
    same = catalog.reusable("hash", "recipe")
    assert same is not None
    assert (same.text, same.chunks, same.text_keys) == (made.text, made.chunks, made.text_keys)
    assert (same.title, same.language, same.metadata) == ("A", "en", {"tags": ("x",)})
    assert catalog.reusable("hash", "another recipe") is None
    assert catalog.reusable("another hash", "recipe") is None
    catalog.withdraw([staged.document_id])
    assert catalog.reusable("hash", "recipe") == same  # moved: gone there, and not yet here
    catalog.purge(catalog.retired())
    assert catalog.reusable("hash", "recipe") is None


def test_the_ledger_tells_what_is_in_and_what_failed(catalog: Catalog) -> None:
    source = catalog.add_source("file:///")
    publish(catalog, draft("b", "one", "two", source_id=source.id, seconds={"parse": 0.12345678}))
    catalog.fail([failure("a", source_id=source.id), failure("c", source_id=99, transient=True)])
    a, b, c = reads.ledger(catalog)
    assert (a.uri, a.source, a.state, a.answering, a.error, a.attempts, a.version, a.passages) == (
        "file:///a", "file:///", "failed", False, "It is broken", 1, 0, 0,
    )  # fmt: skip
    assert (b.state, b.answering, b.error, b.attempts, b.version, b.passages, b.content_hash) == (
        "live", True, None, 1, 1, 2, "hash of one|two",
    )  # fmt: skip
    assert b.seconds == {"parse": 0.123457}
    assert b.updated.endswith("+00:00")
    assert c.source == ""
    assert catalog.documents("default")["file:///c"].transient


def test_equal_states_export_equal_rows(another: Callable[[], str], tmp_path: Path) -> None:
    exports = []
    for history in ([["a", "b"]], [["b"], ["a"]], [["b", "c", "a"], ["a"]]):
        catalog = Catalog(another(), tmp_path)
        for names in history:
            publish(catalog, *(draft(name, f"text of {name}", "more") for name in names))
        if (extra := catalog.documents("default").get("file:///c")) is not None:
            catalog.withdraw([extra.id])
        exports.append(list(reads.export(catalog)))
        catalog.close()
    assert exports[0] == exports[1] == exports[2]
    assert exports[0] == [
        {"kind": "document", "uri": "file:///a", "tenant": "default", "hash": "hash of text of a|more"},
        {"kind": "document", "uri": "file:///b", "tenant": "default", "hash": "hash of text of b|more"},
        {"kind": "passage", "document": "file:///a", "tenant": "default", "start": 0, "end": 9, "text": "text of a"},
        {"kind": "passage", "document": "file:///a", "tenant": "default", "start": 10, "end": 14, "text": "more"},
        {"kind": "passage", "document": "file:///b", "tenant": "default", "start": 0, "end": 9, "text": "text of b"},
        {"kind": "passage", "document": "file:///b", "tenant": "default", "start": 10, "end": 14, "text": "more"},
    ]


def test_an_export_sees_one_state(catalog: Catalog) -> None:
    publish(catalog, draft("a", "old"))
    running = reads.export(catalog)
    first = next(running)
    publish(catalog, draft("a", "new"), draft("b", "more"))
    assert [first["hash"], *(row.get("text") for row in running)] == ["hash of old", "old"]
