"""The sources that a book follows, and the index that belongs to it."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from sqlalchemy import Connection

from sourcebook.catalog import sources
from sourcebook.catalog.catalog import Catalog
from sourcebook.catalog.publishing import withdraw
from sourcebook.catalog.records import SourceRecord
from tests.catalog.drafts import draft, failure, publish


def test_sources_are_kept_in_order_and_changed_by_adding_them_again(catalog: Catalog) -> None:
    first = catalog.add_source("file:///z", access=frozenset({"b", "a"}), include=["*.md"], exclude=["x"])
    assert first == SourceRecord(id=1, url="file:///z", access=frozenset({"a", "b"}), include=("*.md",), exclude=("x",))
    second = catalog.add_source("file:///a")
    other = catalog.add_source("file:///a", tenant="other")
    again = catalog.add_source("file:///z", access=frozenset({"c"}))
    assert again == SourceRecord(id=first.id, url="file:///z", access=frozenset({"c"}))
    assert catalog.sources() == [again, second, other]


def test_removing_a_source_withdraws_its_documents_alone(catalog: Catalog) -> None:
    one, two = catalog.add_source("file:///one"), catalog.add_source("file:///two")
    publish(catalog, draft("one/a", "text", source_id=one.id), draft("two/b", "text", source_id=two.id))
    catalog.fail([failure("one/c", source_id=one.id)])
    assert catalog.remove_source(one.id) == 2
    assert catalog.sources() == [two]
    assert set(catalog.documents("default")) == {"file:///two/b"}
    assert catalog.remove_source(99) == 0


def test_a_source_is_removed_in_one_transaction(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    one = catalog.add_source("file:///one")
    publish(catalog, draft("one/a", "text", source_id=one.id))

    def interrupted(connection: Connection, ids: Sequence[int]) -> None:
        withdraw(connection, ids)
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr(sources, "withdraw", interrupted)
        with pytest.raises(ZeroDivisionError):
            catalog.remove_source(one.id)
    assert catalog.sources() == [one]
    assert set(catalog.documents("default")) == {"file:///one/a"}
    assert catalog.remove_source(one.id) == 1
    assert catalog.add_source("file:///two").id > one.id


def test_the_identity_of_the_index_is_kept(url: str, tmp_path: Path) -> None:
    catalog = Catalog(url, tmp_path)
    assert catalog.index_identity() is None
    catalog.set_index_identity("one:two")
    catalog.close()
    again = Catalog(url, tmp_path)
    assert again.index_identity() == "one:two"
    again.close()
