"""Catalogs to test, on every database there is."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import pytest

from sourcebook.catalog.catalog import Catalog
from sourcebook.catalog.conversations import start_conversation
from sourcebook.catalog.records import Staged
from tests.catalog.drafts import NOBODY
from tests.catalog.remembered import document, learn, say, summarise
from tests.postgresql import CannotRun, Server, server


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """One PostgreSQL server for all tests of this process."""
    with ExitStack() as stack:
        try:
            started = stack.enter_context(server())
        except CannotRun as error:
            if os.environ.get("CI"):  # there, a proof that does not run is a failure
                raise
            pytest.skip(str(error))
        yield started


@pytest.fixture(scope="session")
def unused() -> list[str]:
    """Databases with an empty catalog that no test has at the moment."""
    return []


@pytest.fixture
def lend(postgresql: Server, unused: list[str]) -> Iterator[Callable[[], str]]:
    """Makes URLs of empty catalogs on PostgreSQL, each in a database of its own for as long as the test runs."""
    lent: list[str] = []

    def lending() -> str:
        if unused:
            lent.append(unused.pop())
        else:
            lent.append(postgresql.make())
            Catalog(postgresql.url(lent[-1]), Path()).close()
        return postgresql.url(lent[-1])

    yield lending
    for name in lent:
        postgresql.empty(name)
    unused.extend(lent)


@pytest.fixture(params=["sqlite", "postgresql"])
def another(request: pytest.FixtureRequest) -> Callable[[], str]:
    """Makes URLs of empty catalogs, on each database."""
    if request.param == "postgresql":
        lending: Callable[[], str] = request.getfixturevalue("lend")
        return lending
    numbers = count()
    return lambda: f"sqlite:{next(numbers)}.db"


@pytest.fixture
def url(another: Callable[[], str]) -> str:
    """The URL of an empty catalog, on each database."""
    return another()


@pytest.fixture
def postgresql_url(lend: Callable[[], str]) -> str:
    """The URL of an empty catalog on PostgreSQL."""
    return lend()


@pytest.fixture
def shared(postgresql_url: str, tmp_path: Path) -> Iterator[Catalog]:
    """A catalog on PostgreSQL."""
    made = Catalog(postgresql_url, tmp_path)
    yield made
    made.close()


@pytest.fixture
def catalog(url: str, tmp_path: Path) -> Iterator[Catalog]:
    """An empty catalog, on each database."""
    made = Catalog(url, tmp_path)
    yield made
    made.close()


@pytest.fixture
def told(catalog: Catalog) -> tuple[str, Staged, Staged]:
    """A conversation over two documents, summarised up to its fourth turn, with a fact from each kind of turn."""
    one, other = document(catalog, "a", "The fee is 3%."), document(catalog, "b", "Lamps cost 49.")
    name = start_conversation(catalog, NOBODY)
    say(catalog, name, "What is the fee?", "The fee is 3%.", one)
    say(catalog, name, "What do lamps cost?", "Lamps cost 49.", other)
    say(catalog, name, "And in all?", "50.47.", one, other)
    learn(catalog, name, "I buy lamps.", 3)
    learn(catalog, name, "I pay 3%.", 2)
    summarise(catalog, name, "The fee is 3%, lamps cost 49.", 4)
    return name, one, other
