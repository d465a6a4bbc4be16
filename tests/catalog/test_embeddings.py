"""Embeddings, kept by what they were made of and by whom."""

import numpy as np

from sourcebook.catalog.catalog import Catalog
from sourcebook.catalog.embeddings import (
    drop_other_embeddings,
    keep_embeddings,
    known_embeddings,
    live_points,
    text_key,
    unembedded,
)
from tests.catalog.drafts import draft, embedding, publish


def test_embeddings_are_kept_by_fingerprint_and_text(catalog: Catalog) -> None:
    keep_embeddings(catalog, "model-1", {"k": embedding(0.25), "l": embedding(2.0)})
    keep_embeddings(catalog, "model-1", {"k": embedding(9.0)})  # a retry changes nothing
    keep_embeddings(catalog, "model-1", {})
    known = known_embeddings(catalog, "model-1", ["k", "l", "m"])
    assert set(known) == {"k", "l"}
    for name, number in (("k", 0.25), ("l", 2.0)):
        expected = embedding(number)
        assert np.array_equal(known[name].vector, expected.vector)
        assert np.array_equal(known[name].terms.indices, expected.terms.indices)
        assert np.array_equal(known[name].terms.weights, expected.terms.weights)
        assert str(known[name].vector.dtype) == "float32"
        assert str(known[name].terms.indices.dtype) == "uint32"
    assert known_embeddings(catalog, "model-2", ["k"]) == {}


def test_embeddings_that_nobody_uses_are_dropped_with_the_version(catalog: Catalog) -> None:
    publish(catalog, draft("a", "only here", "shared"), draft("b", "shared"))
    keys = [text_key("only here"), text_key("shared")]
    for model in ("model-1", "model-2"):
        keep_embeddings(catalog, model, dict.fromkeys(keys, embedding(1.0)))
    catalog.withdraw([catalog.documents("default")["file:///a"].id])
    assert set(known_embeddings(catalog, "model-1", keys)) == set(keys)
    catalog.purge(catalog.retired())
    for model in ("model-1", "model-2"):
        assert set(known_embeddings(catalog, model, keys)) == {text_key("shared")}


def test_live_points_are_every_live_passage_with_an_embedding(catalog: Catalog) -> None:
    staged = publish(
        catalog,
        *(draft(f"d{number}", f"text {number}", access=frozenset({"x"}), tenant="t") for number in range(7)),
    )
    keys = [text_key(f"text {number}") for number in range(6)]
    keep_embeddings(catalog, "m", {key: embedding(float(number)) for number, key in enumerate(keys)})
    catalog.stage([draft("d0", "text 1")])
    catalog.withdraw([staged[1].document_id])
    points = [point for some in live_points(catalog, "m", size=2) for point in some]
    wanted = {staged[number].passages[0]: float(number) for number in (0, 2, 3, 4, 5)}
    assert {point.id: point.vector[0] for point in points} == wanted
    assert all(point.tenant == "t" and point.access == {"x"} and "name" in point.metadata for point in points)
    assert list(live_points(catalog, "other")) == []


def test_what_has_no_embedding_is_named_once(catalog: Catalog) -> None:
    publish(catalog, draft("a", "same", "own"), draft("b", "same"), draft("c", *map(str, range(20))))
    keep_embeddings(catalog, "m", dict.fromkeys(map(text_key, ["own", *map(str, range(20))]), embedding(1.0)))
    ((missing,),) = unembedded(catalog, "m", size=10)
    assert (missing.key, missing.text, missing.heading_path) == (text_key("same"), "same", ("H",))
    keep_embeddings(catalog, "m", {missing.key: embedding(1.0)})
    assert list(unembedded(catalog, "m", size=10)) == []
    seen = []
    for some in unembedded(catalog, "other", size=1):  # what is embedded meanwhile is not named again
        seen += [one.key for one in some]
        keep_embeddings(catalog, "other", {one.key: embedding(1.0) for one in some})
    assert len(seen) == len(set(seen)) == 22


def test_what_other_embedders_made_is_dropped(catalog: Catalog) -> None:
    for model in ("a", "m", "z"):
        keep_embeddings(catalog, model, {key: embedding(1.0) for key in ("k", "l")})
    assert drop_other_embeddings(catalog, "m") == 4
    assert [set(known_embeddings(catalog, model, ["k", "l"])) for model in ("a", "m", "z")] == [
        set(),
        {"k", "l"},
        set(),
    ]
    assert drop_other_embeddings(catalog, "m") == 0


def test_text_keys_tell_texts_apart() -> None:
    texts = ["", "a", "a ", "A", "\u00e9", "e\u0301", "\ud800"]
    assert len({text_key(text) for text in texts}) == len(texts)
    assert text_key("a") == text_key("a") == "27c35e6e9373877f29e562464e46497e"
