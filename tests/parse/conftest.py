"""What the parsers' tests share."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sourcebook.parse import Limits, Parsers

EXAMPLES = Path(__file__).parent.parent / "data" / "parsing"


@pytest.fixture(scope="session")
def parsers() -> Iterator[Parsers]:
    """The box with its default limits, and one worker for all tests."""
    box = Parsers(Limits(workers=1))
    yield box
    box.close()


@pytest.fixture(scope="session")
def example() -> Callable[[str], tuple[bytes, str]]:
    """(bytes, name) of a document of the examples."""

    def reading(path: str) -> tuple[bytes, str]:
        return (EXAMPLES / path).read_bytes(), Path(path).name

    return reading
