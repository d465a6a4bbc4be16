"""Catalogs to test, on every database there is."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import pytest

from sourcebook.catalog.catalog import Catalog
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
def catalog(url: str, tmp_path: Path) -> Iterator[Catalog]:
    """An empty catalog, on each database."""
    made = Catalog(url, tmp_path)
    yield made
    made.close()
