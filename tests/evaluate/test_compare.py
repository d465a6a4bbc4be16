"""Ways of asking, compared on a book of one's own."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sourcebook import Sourcebook
from sourcebook.config import Config, Parts, Route
from sourcebook.errors import ConfigError, NotAuthorised, Unavailable
from sourcebook.evaluate.compare import EVERYTHING, Item, Measured, compare, read_questions
from sourcebook.evaluate.metrics import contains, interval, normalised, overlap, percentile
from sourcebook.evaluate.plot import draw, require_plotting, save, short_names
from sourcebook.testing.doubles import Fault, Reply
from sourcebook.types import Usage
from tests.models.doubles.openai_chat import OpenAIChatDouble
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
    assert one.refused == 1.0
    assert one.overlap is not None
    assert 0 < one.overlap < 1
    assert all(each.errors == 0 and each.seconds(0.5) > 0 for each in results)
    assert [asked.item.id for asked in one.asked] == ["1", "2", "3"]


class Vendor(OpenAIChatDouble):
    """Behind a URL of nobody in particular, so without a key."""

    def authorised(self, seen: object) -> bool:
        return True

    def check(self, seen: object) -> str:
        return ""


@pytest.fixture
async def vendor() -> AsyncIterator[Vendor]:
    async with Vendor() as double:
        yield double


@pytest.fixture
async def book(tmp_path: Path, vendor: Vendor) -> AsyncIterator[Sourcebook]:
    """Of 60 passages, about 6,000 tokens, answered by a model with a window of 128,000."""
    docs = tmp_path / "docs"
    docs.mkdir()
    for number in range(60):
        text = " ".join(f"Lighthouse {number}.{part} was built in {1700 + number + part}." for part in range(12))
        (docs / f"{number:02}.md").write_text(text)
    parts = Parts(embed="hashing", index="flat:", model=f"{vendor.url}/v1?model=m-1&window=128000")
    config = Config(parts=parts, route=Route(attempts=1))
    async with await Sourcebook.open(tmp_path / "book", config=config) as made:
        await made.add(docs)
        await made.sync()
        yield made


def only(results: list[Measured]) -> Measured:
    (one,) = results
    return one


async def test_everything_is_in_the_prompt_in_the_order_of_documents(book: Sourcebook, vendor: Vendor) -> None:
    vendor.say(Reply(pieces=("It was built in 1873 [1].",)))
    one = only([one async for one in compare(book, QUESTIONS[:1], [book.model], passages=(EVERYTHING,))])
    assert one.pasted == 1.0
    prompt = json.dumps(vendor.seen[-1].body["messages"])
    places = [prompt.index(f"Lighthouse {number}.0 was") for number in range(60)]
    assert places == sorted(places)


async def test_many_passages_are_not_cut_to_the_bounds_of_the_book(book: Sourcebook, vendor: Vendor) -> None:
    vendor.say(Reply(pieces=("It was built in 1873 [1].",)))
    question = Item(id="1", text="When was the lighthouse built?", answers=("1873",))
    one = only([one async for one in compare(book, [question], [book.model], passages=(50,))])
    assert one.pasted > 45 / 60


async def test_a_claim_where_nothing_is_known_is_not_right(book: Sourcebook, vendor: Vendor) -> None:
    vendor.say(Reply(pieces=("It was composed by Ada Quill in 1902.",)), Reply(pieces=("The documents do not say.",)))
    asked = Item(id="1", text="Who composed the anthem?", answers=())
    one = only([one async for one in compare(book, [asked, asked], [book.model], passages=(1,))])
    assert [each.right for each in one.asked] == [False, True]
    assert (one.accuracy, one.refused) == (None, 0.5)


async def test_errors_count_with_what_they_cost_but_not_in_the_means(book: Sourcebook, vendor: Vendor) -> None:
    vendor.say(
        Reply(pieces=("It was built in 1873 [1].",), usage=Usage(input_tokens=100, output_tokens=10)),
        Fault(error=Unavailable),
    )
    told: list[tuple[int, str]] = []
    results = compare(
        book, [QUESTIONS[0], QUESTIONS[0]], [book.model], passages=(1,),
        on_asked=lambda _, count, asked: told.append((count, asked.error)),
    )  # fmt: skip
    one = only([one async for one in results])
    assert (one.errors, one.tokens, one.accuracy) == (1, 110.0, 0.5)
    assert one.cost is None  # nobody knows the price
    assert [count for count, _ in told] == [1, 1]
    assert [bool(error) for _, error in told] == [False, True]


async def test_what_all_further_questions_would_end_in_ends_it(book: Sourcebook, vendor: Vendor) -> None:
    vendor.say(Fault(error=NotAuthorised))
    with pytest.raises(NotAuthorised):
        async for _ in compare(book, QUESTIONS, [book.model], passages=(1,), at_once=3):
            pass


def test_names_of_models_stay_apart() -> None:
    names = [f"huggingface:meta-llama/Llama-3.1-{size}B-Instruct" for size in (8, 70)]
    short = short_names([*names, "m"])
    assert len(set(short.values())) == 3
    assert short["m"] == "m"
    longer = [f"{'x' * 30}{one}{'y' * 30}" for one in "ab"]
    assert list(short_names(longer).values()) == longer


@pytest.mark.parametrize("name", ["x.xyz", "x", "nowhere/x.png"])
def test_a_picture_that_cannot_be_saved_is_refused_before(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError):
        require_plotting(tmp_path / name)


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
        ("It cost $5.00!", ("5.00",), True),
        ("It rose by 1.5 percent.", ("5",), False),
        ("It is -7 degrees.", ("7",), False),
        ("It is \u22127 degrees.", ("-7",), True),
        ("on pages 10-20", ("20",), True),
        ("It has 1,873 members.", ("873",), False),
        ("la caf\u00e9t\u00e9ria", ("caf\u00e9",), False),
        ("\u706f\u53f0\u306f1873\u5e74\u306b\u5efa\u3066\u3089\u308c\u305f", ("1873\u5e74",), True),
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
    assert percentile([1.0, 2.0], 0.5) == 1.0
    assert percentile([float(one) for one in range(1, 7)], 0.5) == 3.0
    assert percentile([float(one) for one in range(1, 21)], 0.95) == 19.0
    assert percentile([], 0.5) == 0.0
