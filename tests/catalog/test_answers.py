"""Every answer is kept with what made it, for those who may see all of that."""

import pytest

from sourcebook.catalog import answers
from sourcebook.catalog.catalog import Catalog
from sourcebook.errors import NotFound
from sourcebook.types import Answer, Question, Scope, Usage


def test_an_answer_is_kept_with_what_made_it(catalog: Catalog) -> None:
    answer = Answer(
        id="x1", question="왜?", text="Because.", known=True, citations=(), model="m-1", usage=Usage(input_tokens=3)
    )
    question = Question(text="왜?", scope=Scope(tenant="t", principals=frozenset({"b", "a"})), top=4)
    answers.record_answer(catalog, question, answer, {"prompt": "p-1"})
    record = answers.recorded_answer(catalog, "x1", Scope(tenant="t", principals=frozenset({"a", "b"})))
    assert (record["id"], record["question"], record["answer"], record["known"]) == ("x1", "왜?", "Because.", True)
    assert (record["model"], record["prompt"], record["top"], record["filter"]) == ("m-1", "p-1", 4, None)
    assert record["asked_by"] == {"tenant": "t", "principals": ["a", "b"]}
    assert record["usage"]["input_tokens"] == 3
    with pytest.raises(NotFound):
        answers.recorded_answer(catalog, "x2", Scope(tenant="t"))
