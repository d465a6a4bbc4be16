"""Which class stands behind a URL."""

import importlib.metadata
import json
from dataclasses import fields

import pytest

from sourcebook import registry
from sourcebook.config import Config, Parts
from sourcebook.errors import ConfigError, MissingExtra
from sourcebook.registry import BUILT_IN, Entry, attribute_of, find, name_of


@pytest.mark.parametrize(("box", "name"), [(box, name) for box, names in BUILT_IN.items() for name in names])
def test_every_row_of_the_table_leads_somewhere(box: str, name: str) -> None:
    made = find(box, name)
    assert callable(made)
    assert find(box, f"{name}:anything") is made


def test_names_are_sorted_and_the_defaults_among_them() -> None:
    for names in BUILT_IN.values():
        assert list(names) == sorted(names)
    for box in ("index", "embed", "model"):
        assert name_of(getattr(Config().parts, box)) in BUILT_IN[box]
    assert {one.name for one in fields(Parts)} == {"catalog", "index", "embed", "model"}


@pytest.mark.parametrize(
    ("url", "name"), [("minilm", "minilm"), ("qdrant:./index", "qdrant"), ("file:///a:b", "file"), ("", "")]
)
def test_the_name_stands_before_the_colon(url: str, name: str) -> None:
    assert name_of(url) == name


def test_an_unknown_name_is_told_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"embed = 'word2vec:x'. Known names: hashing, minilm"):
        find("embed", "word2vec:x")


def test_a_missing_extra_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BUILT_IN["index"], "far", Entry("sourcebook_has_no_such_module:open", extra="far"))
    with pytest.raises(MissingExtra, match=r'pip install "sourcebook\[far\]"'):
        find("index", "far:host")


def test_outsiders_register_by_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def entry_points(*, group: str, name: str) -> list[importlib.metadata.EntryPoint]:
        asked.append((group, name))
        known = importlib.metadata.EntryPoint("mine", "sourcebook.embed.hashing:open_hashing", "sourcebook.embed")
        return [known] if (group, name) == ("sourcebook.embed", "mine") else []

    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)
    assert find("embed", "mine:128")("mine:128").dimension == 128
    with pytest.raises(ConfigError):
        find("index", "mine")
    assert find("embed", "hashing") is find("embed", "mine")
    assert asked == [("sourcebook.embed", "mine"), ("sourcebook.index", "mine"), ("sourcebook.embed", "mine")]


@pytest.mark.parametrize("path", ["sourcebook_has_no_such_module:open", "sourcebook.types:no_such_name"])
def test_an_outsider_that_is_broken_is_named(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setattr(registry, "_from_outside", lambda box, name: Entry(path))
    with pytest.raises(ConfigError, match="model = 'broken'") as caught:
        find("model", "broken")
    assert caught.value.__cause__ is not None


def test_what_stands_at_a_place_in_a_module() -> None:
    assert attribute_of("json:dumps") is json.dumps
    assert attribute_of("json:JSONDecoder.decode") is json.JSONDecoder.decode
    for place, error in (("json", ValueError), ("json:", ValueError), (":dumps", ValueError)):
        with pytest.raises(error):
            attribute_of(place)
    with pytest.raises(AttributeError):
        attribute_of("json:nothing")
    with pytest.raises(ImportError):
        attribute_of("no.such.module:nothing")
