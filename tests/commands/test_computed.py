"""How a citation of a computed result is shown: to people, and to programs."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from sourcebook.commands.as_json import answer_json
from sourcebook.commands.printing import show_answer
from sourcebook.prompt.cite import AnswerPart
from sourcebook.types import Answer, Citation, Computed, PassageId, TableRead

COMPUTED = Computed(
    sql="SELECT SUM(amount) AS total\nFROM orders",
    columns=("total",),
    rows=("[70.50]",),
    tables=(TableRead(document="https://a.example/orders.csv", version=1, table="orders", rows="rows 2 to 4"),),
)
QUOTED = Citation(
    document="https://a.example/orders.csv", version=1, passage=PassageId("a" * 32), start=0, end=5, quote="id: 1"
)
ANSWER = Answer(
    id="x" * 32, question="?", text="70.50.", known=True, citations=(replace(QUOTED, computed=COMPUTED), QUOTED)
)


def test_programs_get_one_key_more_where_there_is_one() -> None:
    computed, quoted = answer_json(ANSWER)["citations"]
    assert computed.pop("computed") == {
        "sql": COMPUTED.sql,
        "columns": ["total"],
        "rows": [[70.5]],
        "tables": [
            {"document": "https://a.example/orders.csv", "version": 1, "table": "orders", "rows": "rows 2 to 4"}
        ],
        "cut": False,
    }
    assert computed == quoted


async def test_people_see_the_statement(capsys: pytest.CaptureFixture[str]) -> None:
    async def parts() -> AsyncIterator[AnswerPart]:
        yield "70.50."
        for citation in ANSWER.citations:
            yield citation
        yield ANSWER

    await show_answer(parts())
    lines = capsys.readouterr().out.splitlines()
    assert "[1] https://a.example/orders.csv, rows 2 to 4, computed: SELECT SUM(amount) AS total FROM orders" in lines
    assert "[2] https://a.example/orders.csv, characters 0-5" in lines
