"""Keeping and forgetting at the same time on PostgreSQL: the one waits for the other, and nothing is left behind."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Event
from time import monotonic, sleep

import numpy as np
import pytest
from sqlalchemy import event

from sourcebook.catalog.catalog import Catalog
from sourcebook.catalog.conversations import (
    delete_conversation,
    keep_exchange,
    keep_summary,
    read_conversation,
    start_conversation,
)
from sourcebook.catalog.facts import Learned, keep_facts, keep_vectors, read_facts
from sourcebook.catalog.records import Staged
from sourcebook.catalog.statements import sql
from tests.catalog.drafts import NOBODY, draft, publish
from tests.catalog.remembered import document, say

Act = Callable[[Catalog, str, Staged], object]

_WAITING = """
    SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
"""


def exchange(catalog: Catalog, name: str, one: Staged) -> object:
    return keep_exchange(catalog, name, NOBODY, question="q", answer="The secret is 40.", passages=one.passages)


def summary(catalog: Catalog, name: str, one: Staged) -> object:
    read = read_conversation(catalog, name, NOBODY)
    return keep_summary(catalog, read, "The secret is 40.", upto=2, origins=read.turns[1].origins)


def fact(catalog: Catalog, name: str, one: Staged) -> object:
    read = read_conversation(catalog, name, NOBODY)
    learned = Learned(kind="fact", text="The secret is 40.", number=2, vector=np.ones(2, np.float32))
    return keep_facts(catalog, read, [learned], upto=2, fingerprint="f")


def withdraw(catalog: Catalog, name: str, one: Staged) -> None:
    catalog.withdraw([one.document_id])


def supersede(catalog: Catalog, name: str, one: Staged) -> None:
    catalog.commit(catalog.stage([draft("a", "Something else.")]))


def delete(catalog: Catalog, name: str, one: Staged) -> None:
    delete_conversation(catalog, name, NOBODY)


@pytest.fixture
def two(postgresql_url: str, tmp_path: Path) -> Iterator[tuple[Catalog, Catalog]]:
    """Two processes, as it were, at one catalog."""
    made = Catalog(postgresql_url, tmp_path), Catalog(postgresql_url, tmp_path)
    yield made
    for one in made:
        one.close()


def overlapping(first: Callable[[], object], second: Callable[[], object], catalog: Catalog, other: Catalog) -> None:
    """Run the first up to its commit, then the second until it waits for a lock or has ended; then let both end."""
    written, go = Event(), Event()

    def hold(_: object) -> None:
        written.set()
        assert go.wait(20)

    event.listen(catalog._engine, "commit", hold)
    try:
        with ThreadPoolExecutor(2) as threads:
            one = threads.submit(first)
            assert written.wait(20)
            another = threads.submit(second)
            until = monotonic() + 20
            with other.reading() as connection:
                connection = connection.execution_options(isolation_level="AUTOCOMMIT")
                while not another.done() and not connection.execute(sql(_WAITING)).scalar_one():
                    assert monotonic() < until
                    sleep(0.005)
            go.set()
            one.result(20)
            another.result(20)
    finally:
        event.remove(catalog._engine, "commit", hold)


@pytest.mark.parametrize("forget", [withdraw, supersede, delete])
@pytest.mark.parametrize("keep", [exchange, summary, fact])
@pytest.mark.parametrize("order", ["keep first", "forget first"])
def test_nothing_is_kept_of_what_is_forgotten_meanwhile(
    two: tuple[Catalog, Catalog], keep: Act, forget: Act, order: str
) -> None:
    catalog, other = two
    one = document(catalog, "a", "The secret is 40.")
    name = start_conversation(catalog, NOBODY)
    say(catalog, name, "What does Anna earn?", "The secret is 40.", one)
    acts = (keep, forget) if order == "keep first" else (forget, keep)
    first, second = (partial(act, at, name, one) for act, at in zip(acts, two, strict=True))
    overlapping(first, second, catalog, other)
    texts = [text for (text,) in catalog.rows(_ALL_TEXTS)]
    assert not [text for text in texts if "secret" in text]
    assert catalog.rows("SELECT 1 FROM turn_document") == []
    if forget is delete:
        assert texts == []
    assert read_facts(catalog, NOBODY, frozenset()) == []


_ALL_TEXTS = """
    SELECT text FROM turn UNION ALL SELECT summary FROM conversation UNION ALL SELECT text FROM memory
"""


def test_a_fact_of_a_turn_that_is_removed_is_not_recalled(catalog: Catalog) -> None:
    name = start_conversation(catalog, NOBODY)
    say(catalog, name, "I earn 40.", "Good.")
    read = read_conversation(catalog, name, NOBODY)
    learned = Learned(kind="fact", text="Earns 40", number=2, vector=np.ones(2, np.float32))
    keep_facts(catalog, read, [learned], upto=2, fingerprint="f")
    assert len(read_facts(catalog, NOBODY, frozenset())) == 1
    with catalog.writing() as connection:
        connection.execute(sql("UPDATE turn SET removed = :yes WHERE number = 2"), {"yes": True})
    assert read_facts(catalog, NOBODY, frozenset()) == []


def test_publishing_and_asking_do_not_stop_each_other(two: tuple[Catalog, Catalog]) -> None:
    """Each locks the same rows, in orders of its own."""
    catalog, other = two
    names = [f"d{number}" for number in range(30)]
    staged = publish(catalog, *(draft(name, f"text of {name}") for name in names))
    conversations = [start_conversation(catalog, NOBODY) for _ in range(2)]
    began, ended = Event(), Event()

    def ask(name: str) -> int:
        kept = 0
        while not ended.is_set():
            passages = [passage for one in reversed(staged) for passage in one.passages]
            keep_exchange(other, name, NOBODY, question="q", answer="a", passages=passages)
            kept += 1
            began.set()
        return kept

    with ThreadPoolExecutor(2) as threads:
        asking = [threads.submit(ask, name) for name in conversations]
        try:
            assert began.wait(20)
            for round_ in range(6):
                publish(catalog, *(draft(name, f"text of {name}", content=f"{round_} {name}") for name in names))
                catalog.restrict([(one.document_id, frozenset()) for one in staged])
        finally:
            ended.set()
        assert all(one.result(20) for one in asking)


def test_vectors_are_replaced_by_several_at_once(two: tuple[Catalog, Catalog]) -> None:
    catalog, other = two
    name = start_conversation(catalog, NOBODY)
    say(catalog, name, "q", "a")
    read = read_conversation(catalog, name, NOBODY)
    vector = np.ones(2, np.float32)
    learned = [Learned(kind="fact", text=f"Fact {n}", number=1, vector=vector) for n in range(50)]
    keep_facts(catalog, read, learned, upto=2, fingerprint="f")
    ids = [one.id for one in read_facts(catalog, NOBODY, frozenset())]
    overlapping(
        lambda: keep_vectors(catalog, [(one, vector) for one in ids], fingerprint="g"),
        lambda: keep_vectors(other, [(one, vector) for one in reversed(ids)], fingerprint="h"),
        catalog,
        other,
    )
    assert {one.fingerprint for one in read_facts(catalog, NOBODY, frozenset())} == {"h"}
