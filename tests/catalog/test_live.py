"""What a search may show, remembered for one epoch: never after a change, never to another asker."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from sourcebook.catalog import live
from sourcebook.catalog.catalog import Catalog
from sourcebook.catalog.live import LivePassages
from sourcebook.types import PassageId, Scope
from tests.catalog.drafts import draft, publish


@pytest.fixture
def asked(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The statements that reach the database, in order."""
    statements: list[str] = []
    reading = Catalog.reading

    @contextmanager
    def listening(self: Catalog) -> Iterator[Any]:
        with reading(self) as connection:
            execute = connection.execute

            def noted(statement: Any, *more: Any, **options: Any) -> Any:
                statements.append(str(statement))
                return execute(statement, *more, **options)

            monkeypatch.setattr(connection, "execute", noted)
            yield connection

    monkeypatch.setattr(Catalog, "reading", listening)
    return statements


def test_what_is_known_is_not_read_again(catalog: Catalog, asked: list[str]) -> None:
    (staged,) = publish(catalog, draft("a", "one", "two"))
    passages = LivePassages(catalog)
    first = passages.ids(staged.passages, Scope()), passages.passages(staged.passages, Scope())
    asked.clear()
    assert (passages.ids(staged.passages, Scope()), passages.passages(staged.passages, Scope())) == first
    assert len(first[1]) == len(staged.passages) > 0
    assert all("epoch" in statement for statement in asked)
    assert len(asked) == 2


def test_a_change_by_another_process_is_seen_at_once(catalog: Catalog) -> None:
    old, other = publish(catalog, draft("a", "one", "two"), draft("b", "three"))
    passages = LivePassages(catalog)
    every = (*old.passages, *other.passages)
    assert passages.passages(every, Scope()).keys() == set(every)
    (new,) = publish(catalog, draft("a", "four"))
    assert passages.ids((*every, *new.passages), Scope())[0] == {*other.passages, *new.passages}
    assert passages.passages((*every, *new.passages), Scope()).keys() == {*other.passages, *new.passages}
    catalog.withdraw([other.document_id])
    assert passages.passages(other.passages, Scope()) == {}


def test_an_access_list_holds_from_the_next_search(catalog: Catalog) -> None:
    (staged,) = publish(catalog, draft("a", "one", "two"))
    passages = LivePassages(catalog)
    assert passages.passages(staged.passages, Scope())
    catalog.restrict([(staged.document_id, frozenset({"ann"}))])
    assert passages.passages(staged.passages, Scope()) == {}
    ann = Scope(principals=frozenset({"ann"}))
    assert passages.passages(staged.passages, ann).keys() == set(staged.passages)
    assert passages.passages(staged.passages, Scope()) == {}, "what ann has read is not for everybody"
    assert passages.passages(staged.passages, Scope(tenant="other", principals=frozenset({"ann"}))) == {}


def test_what_is_not_live_is_remembered_too(catalog: Catalog, asked: list[str]) -> None:
    passages = LivePassages(catalog)
    assert passages.ids([PassageId("0" * 32)], Scope())[0] == set()
    asked.clear()
    assert passages.ids([PassageId("0" * 32)], Scope())[0] == set()
    assert len(asked) == 1


def test_it_keeps_within_its_bound_and_answers_all_the_same(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_MOST_PASSAGES", 2)
    staged = publish(catalog, *(draft(str(number), f"text {number}") for number in range(9)))
    every = [name for one in staged for name in one.passages]
    passages = LivePassages(catalog)
    for _ in range(2):
        assert passages.passages(every, Scope()).keys() == set(every)
        assert len(passages._passages) <= 2
    assert passages.passages(every[3:4], Scope()).keys() == {every[3]}
    assert len(passages._passages) <= 2


def test_within_an_epoch_nothing_is_asked_again(catalog: Catalog, asked: list[str]) -> None:
    (staged,) = publish(catalog, draft("a", "one", "two"))
    passages = LivePassages(catalog)
    _, epoch = passages.ids(staged.passages, Scope())
    first = passages.passages(staged.passages, Scope(), epoch=epoch)
    asked.clear()
    assert passages.passages(staged.passages, Scope(), epoch=epoch) == first
    assert asked == []
    catalog.withdraw([staged.document_id])
    assert passages.ids(staged.passages, Scope())[0] == set()
    assert passages.passages(staged.passages, Scope(), epoch=epoch) == {}, "that epoch is over, and this is known"
