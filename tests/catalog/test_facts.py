"""Facts: learned once, of one owner, gone with their turn."""

from dataclasses import replace

import numpy as np
import pytest

from sourcebook.catalog.catalog import Catalog
from sourcebook.catalog.conversations import read_conversation, start_conversation
from sourcebook.catalog.facts import Learned, delete_fact, keep_facts, keep_vectors, read_facts
from sourcebook.catalog.records import Staged
from sourcebook.errors import NotFound
from sourcebook.types import Scope
from tests.catalog.drafts import ALICE, BOB, NOBODY
from tests.catalog.remembered import ALICE_IN_SALES, facts, learn, say

ELSEWHERE = Scope(tenant="other", principals=frozenset({"alice"}))


def test_facts_are_learned_once(catalog: Catalog) -> None:
    name = start_conversation(catalog, ALICE)
    say(catalog, name, "I live in Busan.", "Good.", scope=ALICE)
    read = read_conversation(catalog, name, ALICE)
    fact = Learned(kind="fact", text="I live in Busan.", number=1, vector=np.array([0.6, 0.8], np.float32))
    assert keep_facts(catalog, read, [fact], upto=2, fingerprint="f") == 1
    assert keep_facts(catalog, read, [fact], upto=2, fingerprint="f") == 0
    again = read_conversation(catalog, name, ALICE)
    assert again.learned == 2
    said_again = replace(fact, text="i live  in busan.")
    assert keep_facts(catalog, again, [said_again], upto=4, fingerprint="f") == 0
    (kept,) = read_facts(catalog, ALICE, ALICE.principals)
    assert (kept.text, kept.conversation, kept.number, kept.fingerprint) == ("I live in Busan.", name, 1, "f")
    assert kept.vector.tolist() == pytest.approx([0.6, 0.8])
    assert read_facts(catalog, ALICE_IN_SALES, ALICE_IN_SALES.principals) == []
    assert len(read_facts(catalog, ALICE_IN_SALES, ALICE.principals)) == 1


def test_facts_of_a_turn_that_is_gone_meanwhile_are_not_kept(
    catalog: Catalog, told: tuple[str, Staged, Staged]
) -> None:
    name, one, _ = told
    read = read_conversation(catalog, name, NOBODY)
    catalog.withdraw([one.document_id])
    vector = np.array([1.0, 0.0], np.float32)
    learned = [Learned(kind="fact", text=f"Fact of {n}", number=n, vector=vector) for n in (5, 6, 99)]
    assert keep_facts(catalog, read, learned, upto=6, fingerprint="f") == 1
    assert "Fact of 5" in facts(catalog)


def test_facts_end_when_they_are_replaced_or_deleted(catalog: Catalog) -> None:
    name = start_conversation(catalog, ALICE)
    say(catalog, name, "I live in Busan.", "Good.", scope=ALICE)
    learn(catalog, name, "I live in Busan.", 1, ALICE)
    (old,) = read_facts(catalog, ALICE, ALICE.principals)
    read = read_conversation(catalog, name, ALICE)
    new = Learned(kind="fact", text="I live in Seoul.", number=1, vector=np.array([1.0, 0.0], np.float32))
    keep_facts(catalog, read, [new], upto=4, fingerprint="f", replaced=[old.id, "nothing"])
    assert facts(catalog, ALICE) == ["I live in Seoul."]
    (kept,) = read_facts(catalog, ALICE, ALICE.principals)
    for stranger, owner in ((BOB, BOB.principals), (BOB, ALICE.principals), (ELSEWHERE, ALICE.principals)):
        with pytest.raises(NotFound):
            delete_fact(catalog, kept.id, stranger, owner)
    delete_fact(catalog, kept.id, ALICE, ALICE.principals)
    assert facts(catalog, ALICE) == []


def test_vectors_of_another_embedder_are_replaced(catalog: Catalog) -> None:
    name = start_conversation(catalog, NOBODY)
    say(catalog, name, "I live in Busan.", "Good.")
    learn(catalog, name, "I live in Busan.", 1)
    (fact,) = read_facts(catalog, NOBODY, frozenset())
    keep_vectors(catalog, [(fact.id, np.array([0.0, 1.0, 0.0], np.float32))], fingerprint="g")
    (fact,) = read_facts(catalog, NOBODY, frozenset())
    assert (fact.fingerprint, fact.vector.tolist()) == ("g", [0.0, 1.0, 0.0])
