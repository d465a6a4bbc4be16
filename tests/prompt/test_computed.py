"""Sentences that rest on a computation: what supports them, and what citations they get."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace

import pytest

from sourcebook.models.base import Finish, ModelRequest, TextPart
from sourcebook.models.record import computed_json, hit_from, hit_record
from sourcebook.prompt.cite import Reading, cite
from sourcebook.prompt.computed import judge_computed
from sourcebook.prompt.evidence import Evidence
from sourcebook.prompt.support import SupportJudge
from sourcebook.types import Answer, Citation, Computed, Hit, TableRead, Usage
from tests.prompt.told import hit

ORDERS = TableRead(document="file:///orders.csv", version=1, table="orders", rows="rows 2 to 4")
SUM = Computed(sql="SELECT SUM(amount) AS total FROM orders", columns=("total",), rows=("[70.00]",), tables=(ORDERS,))
CITIES = Computed(
    sql="SELECT city, SUM(amount) AS total, AVG(share) FROM orders GROUP BY city",
    columns=("city", "total", "share"),
    rows=('["Seoul", 1234567.89, 0.2543]', '["Köln", 30, 0.7457]'),
    tables=(ORDERS,),
)
NONE = replace(SUM, sql="SELECT * FROM orders WHERE amount > 1000", rows=())


@pytest.mark.parametrize(
    ("text", "computed"),
    [
        ("The orders come to 70 in total.", SUM),
        ("It is 70.00.", SUM),
        ("Die Bestellungen kommen nach der Tabelle zusammen auf 70,00.", SUM),
        ("Altogether seventy, that is 70, was ordered.", SUM),
        ("Seoul leads with 1,234,567.89.", CITIES),
        ("Seoul leads with 1.23 million.", CITIES),
        ("Seoul has 1,234,568.", CITIES),
        ("Köln ordered 30, which is 74.6 % of it.", CITIES),
        ("Seoul comes before Köln.", CITIES),
        ("There are 2 cities: Seoul and Köln.", CITIES),
        ("No order is above 1000.", NONE),
    ],
)
def test_what_the_result_says(text: str, computed: Computed) -> None:
    assert judge_computed(text, [computed]).supported


@pytest.mark.parametrize(
    ("text", "computed", "why"),
    [
        ("They come to 71.", SUM, "71"),
        ("It is 700.", SUM, "700"),
        ("They come to 70, up by 12 %.", SUM, "12"),
        ("The orders of Miller come to 70.", SUM, "Miller"),
        ("That is a lot.", SUM, "nothing"),
        ("Köln has 1,234,567.89.", CITIES, "1,234,567.89"),
        ("Seoul has 1,000,000.", CITIES, "1,000,000"),
        ("There are 38 digits for Seoul.", CITIES, "38"),
        ("There are orders above 1000.", NONE, "nothing"),
    ],
)
def test_what_it_does_not_say(text: str, computed: Computed, why: str) -> None:
    verdict = judge_computed(text, [computed])
    assert not verdict.supported
    assert why in verdict.reason


def test_a_result_that_was_cut_says_nothing_of_how_many_rows_there_are() -> None:
    assert judge_computed("There are 2 cities, Seoul among them.", [CITIES]).supported
    assert not judge_computed("There are 2 cities, Seoul among them.", [replace(CITIES, cut=True)]).supported


def test_the_question_and_passages_beside_it_may_say_the_rest() -> None:
    text = "Since Miller came in 1873, the orders come to 70."
    assert not judge_computed(text, [SUM]).supported
    assert judge_computed(text, [SUM], asked="What came of it since Miller?", beside="It was 1873.").supported


# --- numbers and citations ----------------------------------------------------------------------------------


def of(computed: Computed, document: str = "file:///orders.csv") -> Hit:
    return replace(hit("id: 1; amount: 30\nid: 2; amount: 40", document), computed=computed)


def test_a_result_has_one_number_and_its_documents_are_evidence() -> None:
    evidence = Evidence([hit("id: 1; amount: 30\nid: 2; amount: 40", "file:///orders.csv")])
    shown, numbers = evidence.show([of(SUM), of(SUM, "file:///customers.csv")])
    assert (shown, numbers) == ("This result is [2].", (2, 3))
    shown, numbers = evidence.show([of(CITIES)])
    assert (shown, numbers) == ("This result is [4].", (4,))


async def answered(
    text: str, evidence: Sequence[Hit], holds: Callable[[Citation], bool] = lambda citation: True
) -> Answer:
    async def events() -> AsyncIterator[TextPart | Finish]:
        yield TextPart(text=text)
        yield Finish(reason="stop", usage=Usage())

    async def verify(citation: Citation) -> bool:
        return holds(citation)

    request = ModelRequest(question="What do the orders come to?", evidence=tuple(evidence))
    parts = [
        part async for part in cite(events(), request, model="m", verify=verify, reading=Reading(judge=SupportJudge()))
    ]
    assert isinstance(parts[-1], Answer)
    return parts[-1]


@pytest.mark.parametrize("text", ["The orders come to 70 in total [2].", "The orders come to 70 in total."])
async def test_a_sum_is_known_and_cites_its_table(text: str) -> None:
    answer = await answered(text, [hit("The lighthouse was built in 1873."), of(SUM)])
    assert answer.known
    assert answer.unsupported == ()
    (citation,) = answer.citations
    assert citation.computed == SUM
    assert (citation.document, citation.quote) == ("file:///orders.csv", "id: 1; amount: 30")


async def test_a_wrong_sum_is_marked() -> None:
    answer = await answered("The orders come to 71 in total [1].", [of(SUM)])
    assert not answer.known
    assert [one.reason for one in answer.unsupported] == ["the result does not say 71"]


async def test_a_join_cites_all_its_documents_and_falls_with_any() -> None:
    evidence = [of(SUM), of(SUM, "file:///customers.csv")]
    answer = await answered("The orders come to 70 [1].", evidence)
    assert [one.document for one in answer.citations] == ["file:///orders.csv", "file:///customers.csv"]
    assert {one.computed for one in answer.citations} == {SUM}
    gone = await answered("The orders come to 70 [1].", evidence, lambda one: one.document != "file:///customers.csv")
    assert (gone.text, gone.known, gone.citations) == ("", False, ())


async def test_a_sentence_of_the_passages_is_not_given_to_a_result() -> None:
    answer = await answered(
        "The lighthouse was built in Seoul.", [of(CITIES), hit("The lighthouse was built in Seoul.")]
    )
    assert [one.computed for one in answer.citations] == [None]


def test_records_keep_it_and_programs_get_rows() -> None:
    kept = hit_record(of(CITIES))
    assert hit_from(kept) == of(CITIES)
    assert "computed" not in hit_record(hit("plain"))
    assert computed_json(CITIES)["rows"] == [["Seoul", 1234567.89, 0.2543], ["Köln", 30, 0.7457]]
    assert computed_json(CITIES)["tables"][0]["rows"] == "rows 2 to 4"
