"""Ways of asking, compared on a book of one's own."""

import json
from pathlib import Path

import pytest

from sourcebook import Sourcebook
from sourcebook.config import Config, Parts
from sourcebook.errors import ConfigError
from sourcebook.evaluate.compare import EVERYTHING, Item, Measured, compare, read_questions
from sourcebook.evaluate.metrics import contains, interval, normalised, overlap, percentile
from sourcebook.evaluate.plot import draw, save
from tests.verbatim import Verbatim

QUESTIONS = [
    Item(id="1", text="When was the lighthouse of Bergen built?", answers=("1873",)),
    Item(id="2", text="How many inhabitants has the village of Anders?", answers=("212", "two hundred")),
    Item(id="3", text="Which composer wrote symphonies?", answers=()),
]


@pytest.fixture
async def results(tmp_path: Path) -> list[Measured]:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "a.md").write_text("The lighthouse of Bergen was built in 1873.")
    (docs / "b.md").write_text("The village of Anders has 212 inhabitants.")
    for number in range(20):
        (docs / f"{number}.md").write_text(f"Page {number} tells about bread, flour and yeast.")
    config = Config(parts=Parts(embed="hashing", index="flat:"))
    async with await Sourcebook.open(tmp_path / "book", config=config) as book:
        await book.add(docs)
        await book.sync()
        found = [one async for one in compare(book, QUESTIONS, [Verbatim()], passages=(EVERYTHING, 1, 4))]
        record = book.catalog.rows("SELECT COUNT(*) AS n FROM answer")
        assert record[0].n == 0
    return found


async def test_what_is_measured(results: list[Measured]) -> None:
    everything, one, four = results
    assert [each.passages for each in results] == [EVERYTHING, 1, 4]
    assert everything.pasted == 1.0
    assert one.pasted == pytest.approx(1 / 22)
    assert one.accuracy == four.accuracy == 1.0
    assert all(each.errors == 0 and each.seconds(0.5) > 0 for each in results)
    assert [asked.item.id for asked in one.asked] == ["1", "2", "3"]


async def test_the_pictures(results: list[Measured], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    save(results, tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
    drawn = draw(results)
    assert "a: verbatim-1" in drawn
    assert "100 % |" in drawn


async def test_an_empty_book(tmp_path: Path) -> None:
    async with await Sourcebook.open(tmp_path, config=Config(parts=Parts(embed="hashing"))) as book:
        with pytest.raises(ConfigError):
            async for _ in compare(book, QUESTIONS, [Verbatim()]):
                pass


def test_reading_questions(tmp_path: Path) -> None:
    path = tmp_path / "questions.jsonl"
    rows = [
        {"id": 7, "text": "왜?", "answers": ["a"]},
        {"question": "Who?", "answer": "b"},
        {"text": "x", "answers": []},
    ]
    path.write_text("\n\n".join(json.dumps(row) for row in rows))
    assert read_questions(path) == [
        Item(id="7", text="왜?", answers=("a",)),
        Item(id="3", text="Who?", answers=("b",)),
        Item(id="5", text="x", answers=()),
    ]
    for wrong in ('{"text": "no answers"}', "[]", "nothing", '{"text": 7, "answers": []}', ""):
        path.write_text(wrong)
        with pytest.raises(ConfigError):
            read_questions(path)
    with pytest.raises(ConfigError):
        read_questions(tmp_path / "missing.jsonl")


@pytest.mark.parametrize(
    ("answer", "golds", "right"),
    [
        ("It was built in 1873.", ("1873",), True),
        ("It was built in 18734.", ("1873",), False),
        ("The Eiffel Tower", ("eiffel tower",), True),
        ("서울특별시에서 열렸다.", ("서울",), True),
        ("It cost $5.00!", ("5 00",), True),
        ("", ("a", ""), False),
    ],
)
def test_whether_a_right_answer_stands_in_it(answer: str, golds: tuple[str, ...], right: bool) -> None:
    assert contains(answer, golds) is right


def test_the_other_metrics() -> None:
    assert normalised("The  Cat's, a “hat”!") == "cat s hat"
    assert overlap("the red house", ("red house",)) == 1.0
    assert overlap("red", ("red house",)) == pytest.approx(2 / 3)
    assert overlap("x", ("y",)) == 0.0
    low, high = interval(8, 10)
    assert (round(low, 3), round(high, 3)) == (0.490, 0.943)  # Wilson's interval, as tabulated
    assert interval(0, 0) == (0.0, 1.0)
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert percentile([], 0.5) == 0.0
