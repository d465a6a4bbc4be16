"""What every statement shares: text that all databases take."""

import sqlite3

import pytest
from sqlalchemy.exc import OperationalError

from sourcebook.catalog.catalog import Catalog
from sourcebook.catalog.conversations import keep_exchange, read_conversation, start_conversation
from sourcebook.catalog.statements import explained, kept
from sourcebook.errors import CatalogBusy, CatalogError
from sourcebook.types import Scope


@pytest.mark.parametrize(
    ("reason", "passes"),
    [
        ("database is locked", True),
        ("database or disk is full", False),
        ("database disk image is malformed", False),
        ("no such table: x", False),
    ],
)
def test_errors_say_whether_they_may_pass(reason: str, passes: bool) -> None:
    with pytest.raises(CatalogError, match=reason) as caught, explained("sqlite:catalog.db"):
        raise OperationalError("SELECT 1", {}, sqlite3.OperationalError(reason))
    assert (type(caught.value) is CatalogBusy) == caught.value.transient == passes
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("plain", "plain"),
        ("수수료 \N{SMILING FACE WITH OPEN MOUTH}", "수수료 \N{SMILING FACE WITH OPEN MOUTH}"),
        ("a\0b", "a\ufffdb"),
        ("a\ud800b\udfffc", "a\ufffdb\ufffdc"),
        ("\0\ud83d\ude00", "\ufffd\ufffd\ufffd"),
        ("\x01\x1f\x7f\ufeff\uffff", "\x01\x1f\x7f\ufeff\uffff"),
    ],
)
def test_text_as_every_database_takes_it(text: str, expected: str) -> None:
    assert kept(text) == expected
    assert len(kept(text)) == len(text)


def test_all_that_is_kept_comes_back_the_same_from_every_database(catalog: Catalog) -> None:
    text = "".join(map(chr, range(0x300))) + "\ufeff\uffff\U0001f600\ud800"
    name = start_conversation(catalog, Scope())
    keep_exchange(catalog, name, Scope(), question=text, answer=text)
    assert [one.text for one in read_conversation(catalog, name, Scope()).turns] == [kept(text)] * 2


def test_half_a_character_in_a_name_is_told(catalog: Catalog) -> None:
    with pytest.raises(CatalogError, match="surrogate") as caught:
        catalog.add_source("file:///\ud800")
    assert caught.value.remedy
    assert catalog.sources() == []
