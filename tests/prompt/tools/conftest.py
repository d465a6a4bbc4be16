"""What tests of tools share."""

import pytest

from sourcebook.types import Hit, Passage, PassageId


@pytest.fixture
def hit() -> Hit:
    text = "The lighthouse was built in 1873."
    return Hit(
        passage=Passage(
            id=PassageId("a" * 32), document="file:///light.md", version=1, ordinal=0, text=text, start=0, end=len(text)
        ),
        score=1.0,
    )
