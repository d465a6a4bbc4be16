"""Examples for prompts: by tenant and collection, one for each question."""

import numpy as np
import pytest

from sourcebook.catalog.catalog import Catalog
from sourcebook.catalog.examples import (
    delete_collection,
    delete_examples,
    keep_example_vectors,
    keep_examples,
    read_examples,
)
from sourcebook.errors import NotFound


def keep(catalog: Catalog, *questions: str, tenant: str = "t", collection: str = "c", answer: str = "a") -> list[str]:
    vectors = np.eye(len(questions), 3, dtype=np.float32)
    return keep_examples(
        catalog, [(one, answer) for one in questions], vectors, tenant=tenant, collection=collection, fingerprint="f"
    )


def test_examples_stay_in_their_tenant_and_collection(catalog: Catalog) -> None:
    keep(catalog, "one", "two")
    keep(catalog, "one", collection="d")
    keep(catalog, "one", tenant="u")
    assert sorted(one.question for one in read_examples(catalog, tenant="t", collection="c")) == ["one", "two"]
    assert [one.collection for one in read_examples(catalog, tenant="t")] == ["c", "c", "d"]
    assert len(read_examples(catalog, tenant="u")) == 1
    assert read_examples(catalog, tenant="v") == []
    one, *_ = read_examples(catalog, tenant="u")
    assert (one.vector.tolist(), one.fingerprint) == ([1.0, 0.0, 0.0], "f")


def test_a_question_that_is_known_gets_the_new_answer(catalog: Catalog) -> None:
    first = keep(catalog, "What is it?", answer="old")
    assert keep(catalog, "what is  it?", answer="new") == first
    (one,) = read_examples(catalog, tenant="t")
    assert (one.question, one.answer) == ("what is  it?", "new")


def test_deleting_is_all_or_nothing(catalog: Catalog) -> None:
    names = keep(catalog, "one", "two")
    (other,) = keep(catalog, "three", tenant="u")
    for unknown in ("nothing", other):
        with pytest.raises(NotFound, match="Not all of these"):
            delete_examples(catalog, [names[0], unknown], tenant="t")
    assert len(read_examples(catalog, tenant="t")) == 2
    delete_examples(catalog, names[:1], tenant="t")
    assert [one.question for one in read_examples(catalog, tenant="t")] == ["two"]
    assert delete_collection(catalog, "c", tenant="t") == 1
    assert len(read_examples(catalog, tenant="u")) == 1


def test_vectors_are_replaced_with_their_fingerprint(catalog: Catalog) -> None:
    names = keep(catalog, "one", "two")
    keep_example_vectors(catalog, names[:1], np.full((1, 2), 0.5, np.float32), fingerprint="g")
    found = {one.question: (one.fingerprint, len(one.vector)) for one in read_examples(catalog, tenant="t")}
    assert found == {"one": ("g", 2), "two": ("f", 3)}
