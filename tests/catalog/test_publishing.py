"""The life of a document: staged, live, failed, withdrawn and purged, and what it is called."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sourcebook.catalog import reads
from sourcebook.catalog.catalog import Catalog
from sourcebook.catalog.live import LivePassages
from sourcebook.catalog.staging import passage_id
from sourcebook.errors import CatalogError, NotFound
from sourcebook.types import Scope
from tests.catalog.drafts import ALICE, BOB, draft, failure, found, publish, rows


def test_staged_is_not_found_and_committed_is(catalog: Catalog) -> None:
    (one,) = catalog.stage([draft("a", "first", "second")])
    assert found(catalog, one.passages) == []
    assert reads.count_live(catalog) == (0, 0)
    assert list(reads.export(catalog)) == []
    with pytest.raises(NotFound):
        reads.whole_document(catalog, "file:///a", Scope())
    catalog.commit([one])
    assert found(catalog, one.passages) == ["first", "second"]
    assert reads.count_live(catalog) == (1, 2)


def test_the_old_version_answers_until_the_new_one_is_committed(catalog: Catalog) -> None:
    (old,) = publish(catalog, draft("a", "old"))
    (new,) = catalog.stage([draft("a", "new")])
    both = (*old.passages, *new.passages)
    assert (old.number, new.number, old.document_id) == (1, 2, new.document_id)
    assert found(catalog, both) == ["old"]
    catalog.commit([new])
    assert found(catalog, both) == ["new"]
    assert [(one.version_id, one.passages) for one in catalog.retired()] == [(old.version_id, old.passages)]


def test_a_batch_becomes_live_together(catalog: Catalog) -> None:
    before = catalog.epoch()
    staged = catalog.stage([draft("a", "one"), draft("b", "two")])
    assert catalog.epoch() == before
    catalog.commit(staged)
    assert catalog.epoch() == before + 1
    assert reads.count_live(catalog) == (2, 2)


def test_an_error_while_committing_leaves_everything_as_it_was(catalog: Catalog) -> None:
    (old,) = publish(catalog, draft("a", "old"))
    (new,) = catalog.stage([draft("a", "new")])
    broken = replace(new, draft=replace(new.draft, fingerprint=None))  # type: ignore[arg-type]
    with pytest.raises(CatalogError, match=r"(?i)not.null"):
        catalog.commit([new, broken])
    assert found(catalog, (*old.passages, *new.passages)) == ["old"]
    assert catalog.retired() == []


def test_purged_versions_are_forgotten_and_nothing_else(catalog: Catalog) -> None:
    publish(catalog, draft("a", "old", "same"), draft("b", "other"))
    publish(catalog, draft("a", "new", "same"))
    assert (rows(catalog, "version"), rows(catalog, "parsed"), rows(catalog, "passage")) == (3, 3, 5)
    catalog.purge(catalog.retired())
    assert (rows(catalog, "version"), rows(catalog, "parsed"), rows(catalog, "passage")) == (2, 2, 3)
    assert catalog.retired() == []
    assert reads.count_live(catalog) == (2, 3)


def test_withdrawn_documents_are_gone_at_once(catalog: Catalog) -> None:
    staged = publish(catalog, draft("a", "one"), draft("b", "two"))
    pending = catalog.stage([draft("a", "one more")])
    before = catalog.epoch()
    catalog.withdraw([staged[0].document_id])
    assert catalog.epoch() > before
    assert found(catalog, [name for one in (*staged, *pending) for name in one.passages]) == ["two"]
    assert [entry.uri for entry in reads.ledger(catalog)] == ["file:///b"]
    assert set(catalog.documents("default")) == {"file:///b"}
    assert len(catalog.retired()) == 2
    catalog.purge(catalog.retired())
    assert rows(catalog, "document") == 1
    catalog.withdraw([])


def test_a_deleted_document_may_come_back(catalog: Catalog) -> None:
    (first,) = publish(catalog, draft("a", "one"))
    catalog.withdraw([first.document_id])
    (again,) = publish(catalog, draft("a", "one"))
    assert again.number == 2
    assert found(catalog, (*first.passages, *again.passages)) == ["one"]
    assert not set(first.passages) & set(again.passages)


def test_what_an_interrupted_run_staged_is_abandoned(catalog: Catalog) -> None:
    (live,) = publish(catalog, draft("a", "one"))
    catalog.stage([draft("a", "two"), draft("b", "three")])
    assert catalog.abandon_staged() == 2
    assert catalog.abandon_staged() == 0
    catalog.purge(catalog.retired())
    catalog.drop_pending()
    assert [(entry.uri, entry.state) for entry in reads.ledger(catalog)] == [("file:///a", "live")]
    assert found(catalog, live.passages) == ["one"]
    assert rows(catalog, "version") == 1


def test_numbers_do_not_come_again(catalog: Catalog) -> None:
    """What rests on a document by its number must never rest on another."""
    (one,) = publish(catalog, draft("a", "one"))
    catalog.withdraw([one.document_id])
    catalog.purge(catalog.retired())
    assert rows(catalog, "document") == 0
    (other,) = publish(catalog, draft("b", "two"))
    assert other.document_id > one.document_id
    assert other.version_id > one.version_id
    catalog.withdraw([other.document_id])
    catalog.purge(catalog.retired())
    catalog.fail([failure("c"), failure("d")])
    assert sorted(one.id for one in catalog.documents("default").values()) == [3, 4]


# --- names ------------------------------------------------------------------------------------------------


def test_ids_name_what_the_passage_is(catalog: Catalog) -> None:
    base = ("default", "file:///a", 1, 0, "text")
    assert passage_id(*base) == passage_id(*base)
    assert len(passage_id(*base)) == 32
    int(passage_id(*base), 16)
    others = [
        ("other", *base[1:]),
        ("default", "file:///b", *base[2:]),
        (*base[:2], 2, 0, "text"),
        (*base[:3], 1, "text"),
        (*base[:4], "t"),
    ]
    assert len({passage_id(*one) for one in [base, *others]}) == 6
    assert passage_id("default", "a", 1, 0, "\ud800")


def test_ids_are_the_same_wherever_a_version_is_staged(another: Callable[[], str], tmp_path: Path) -> None:
    ids = []
    for _ in range(2):
        one = Catalog(another(), tmp_path)
        ids.append([staged.passages for staged in one.stage([draft("a", "x", "y"), draft("b", "x")])])
        one.close()
    assert ids[0] == ids[1]
    assert len({name for passages in ids[0] for name in passages}) == 3
    assert passage_id("default", "file:///a", 1, 1, "y") == ids[0][0][1]


def test_versions_count_up_and_do_not_reuse_a_number(catalog: Catalog) -> None:
    numbers = []
    for number in range(3):
        (staged,) = catalog.stage([draft("a", f"text {number}")])
        numbers.append(staged.number)
        catalog.abandon_staged()
        catalog.purge(catalog.retired())
    assert numbers == [1, 2, 3]


def test_a_failure_keeps_the_version_before_and_counts_attempts(catalog: Catalog) -> None:
    (staged,) = publish(catalog, draft("a", "old"))
    catalog.fail([failure("a", content_hash="new")])
    catalog.fail([failure("a", content_hash="new", error="Still broken")])
    (entry,) = reads.ledger(catalog)
    assert (entry.state, entry.answering, entry.error, entry.attempts, entry.passages) == (
        "failed",
        True,
        "Still broken",
        3,
        1,
    )
    assert found(catalog, staged.passages) == ["old"]
    (record,) = catalog.documents("default").values()
    assert (record.state, record.live, record.transient, record.content_hash) == ("failed", True, False, "new")
    publish(catalog, draft("a", "new"))
    (entry,) = reads.ledger(catalog)
    assert (entry.state, entry.error, entry.attempts, entry.version) == ("live", None, 4, 2)


def test_refreshing_changes_the_fingerprint_alone(catalog: Catalog) -> None:
    (one,) = publish(catalog, draft("a", "text"))
    before = catalog.documents("default")["file:///a"]
    epoch = catalog.epoch()
    catalog.refresh([(one.document_id, "new")])
    assert catalog.documents("default")["file:///a"] == replace(before, fingerprint="new")
    assert catalog.epoch() == epoch


def test_restricting_is_effective_at_once(catalog: Catalog) -> None:
    (one,) = publish(catalog, draft("a", "text"))
    before = catalog.epoch()
    catalog.restrict([(one.document_id, frozenset({"alice"}))])
    assert catalog.epoch() > before
    assert found(catalog, one.passages, BOB) == []
    assert found(catalog, one.passages, ALICE) == ["text"]
    assert reads.quote(catalog, "file:///a", 1, 0, 4, BOB) is None


@pytest.mark.parametrize("how", ["stage", "fail"])
def test_whatever_changes_who_may_see_what_is_live_advances_the_epoch(catalog: Catalog, how: str) -> None:
    """Else searches would go on showing what they remember of the epoch."""
    (one,) = publish(catalog, draft("a", "text"))
    passages = LivePassages(catalog)
    assert passages.passages(one.passages, BOB)
    for names, advances in ((frozenset({"alice"}), True), (frozenset({"alice"}), False)):
        before = catalog.epoch()
        if how == "stage":
            catalog.stage([draft("a", "new text", access=names)])
        else:
            catalog.fail([failure("a", access=names)])
        assert (catalog.epoch() > before) == advances
        assert passages.passages(one.passages, BOB) == {}
    assert passages.passages(one.passages, ALICE)


def test_a_failure_of_a_new_document_changes_nothing_that_is_live(catalog: Catalog) -> None:
    before = catalog.epoch()
    catalog.fail([failure("a", access=frozenset({"alice"}))])
    assert catalog.epoch() == before
