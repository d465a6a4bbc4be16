"""Conversations about documents, for tests of what is remembered and forgotten."""

import numpy as np

from sourcebook.catalog.catalog import Catalog
from sourcebook.catalog.conversations import Conversation, keep_exchange, keep_summary, read_conversation
from sourcebook.catalog.facts import Learned, keep_facts, read_facts
from sourcebook.catalog.origins import Origin
from sourcebook.catalog.records import Staged
from sourcebook.types import Scope
from tests.catalog.drafts import NOBODY, draft, publish

ALICE_IN_SALES = Scope(principals=frozenset({"alice", "sales"}))
TABLES = ("conversation", "turn", "turn_document", "memory")


def document(catalog: Catalog, name: str, text: str, *, access: frozenset[str] = frozenset()) -> Staged:
    """A document of one passage, live."""
    return publish(catalog, draft(name, text, access=access))[0]


def say(
    catalog: Catalog, name: str, question: str, answer: str, *documents: Staged, scope: Scope = NOBODY
) -> tuple[int, int]:
    """An exchange whose answer was made from these documents; its numbers."""
    passages = [passage for one in documents for passage in one.passages]
    kept = keep_exchange(
        catalog, name, scope, question=question, answer=answer, answer_id=f"id of {answer}", passages=passages
    )
    assert kept is not None
    return kept[0].number, kept[1].number


def texts(catalog: Catalog, name: str, scope: Scope = NOBODY) -> list[str]:
    return [turn.text for turn in read_conversation(catalog, name, scope).turns]


def learn(catalog: Catalog, name: str, text: str, number: int, scope: Scope = NOBODY) -> None:
    read = read_conversation(catalog, name, scope)
    fact = Learned(kind="fact", text=text, number=number, vector=np.array([1.0, 0.0], np.float32))
    assert keep_facts(catalog, read, [fact], upto=read.learned + 2, fingerprint="f") == 1


def facts(catalog: Catalog, scope: Scope = NOBODY) -> list[str]:
    return [one.text for one in read_facts(catalog, scope, scope.principals)]


def summarise(catalog: Catalog, name: str, summary: str, upto: int, scope: Scope = NOBODY) -> Conversation:
    """Write a summary of all turns up to this number, as whoever summarises does."""
    read = read_conversation(catalog, name, scope)
    origins = frozenset[Origin]().union(*(turn.origins for turn in read.turns if turn.number <= upto))
    assert keep_summary(catalog, read, summary, upto=upto, origins=origins)
    return read_conversation(catalog, name, scope)
