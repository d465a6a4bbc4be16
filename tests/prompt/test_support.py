"""Whether a sentence is supported by what it cites, and by which sentences of it."""

import time

import pytest

from sourcebook.embed.terms import KeywordAnalyzer
from sourcebook.prompt import particulars
from sourcebook.prompt.support import Source, SupportJudge
from sourcebook.prompt.terms import plain_words
from sourcebook.types import Passage, PassageId

TEXT = (
    "The lighthouse on Gull Island was built in 1873 by Mary Thornton. It is 41.5 metres tall and did not burn down in"
    " the fire of March 1902. The island has 1,250 inhabitants, most of whom fish. Ships must not enter the harbour at"
    " night. In 1921 the tower's lamp was replaced by an electric one."
)


def passage(text: str = TEXT, language: str = "en", title: str | None = "Gull Island Lighthouse") -> Passage:
    return Passage(
        id=PassageId(f"{len(text):032x}"), document="file:///a", version=1, ordinal=0, text=text, start=0,
        end=len(text), title=title, language=language,
    )  # fmt: skip


@pytest.fixture(params=["analyzer", "plain"], scope="module")
def judge(request: pytest.FixtureRequest) -> SupportJudge:
    return SupportJudge(KeywordAnalyzer().words if request.param == "analyzer" else plain_words)


def judged(judge: SupportJudge, text: str, one: Passage | None = None) -> tuple[bool, str]:
    one = one or passage()
    verdict = judge.judge(text, [judge.place(text, one)])
    assert 0 <= verdict.probability <= 1
    assert bool(verdict.reason) != verdict.supported
    return verdict.supported, verdict.reason


@pytest.mark.parametrize(
    "text",
    [
        "The lighthouse on Gull Island was built in 1873 by Mary Thornton.",
        "Mary Thornton built the lighthouse in 1873.",
        "The lighthouse is 41.5 metres tall.",
        "The tower measures 41,5 metres.",
        "The island has 1250 inhabitants.",
        "It did not burn down in 1902.",
        "The lighthouse survived: it did not burn down in the fire of 3/1902.",
        "Ships must not enter the harbour at night.",
        "In 1921, its lamp was replaced by an electric one.",
        "Gull Island's lighthouse was built in 1873.",
    ],
)
def test_what_the_source_says_is_supported(judge: SupportJudge, text: str) -> None:
    assert judged(judge, text) == (True, "")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("The lighthouse on Gull Island was built in 1874.", "1874"),
        ("The lighthouse is 41.5 metres tall and weighs 900 tonnes.", "900"),
        ("The island has 1,350 inhabitants.", "1,350"),
        ("The lighthouse on Gull Island was built by Peter Thornton.", "Peter"),
        ("The lighthouse on Heron Island was built by Mary Thornton.", "Heron"),
        ("The lighthouse on Gull Island was not built in 1873.", "no"),
        ("It burned down in the fire of March 1902.", "no"),
        ("Ships must enter the harbour at night.", "no"),
        ("The keeper lives with a dog and two cats in a cottage nearby.", "similar words"),
    ],
)
def test_what_it_does_not_say_is_not(judge: SupportJudge, text: str, reason: str) -> None:
    supported, why = judged(judge, text)
    assert not supported
    assert reason in why


@pytest.mark.parametrize(
    ("language", "source", "good", "bad"),
    [
        ("de", "Der Leuchtturm wurde 1873 gebaut. Er ist nicht öffentlich zugänglich.",
         "Der Leuchtturm wurde im Jahr 1873 gebaut.", "Der Leuchtturm wurde im Jahr 1875 gebaut."),
        ("de", "Der Leuchtturm wurde 1873 gebaut. Er ist nicht öffentlich zugänglich.",
         "Er ist nicht öffentlich zugänglich.", "Er ist öffentlich zugänglich."),
        ("ko", "등대는 1873년에 세워졌다. 높이는 41미터이다.",
         "등대는 1873년에 세워졌습니다.", "등대는 1880년에 세워졌습니다."),
        ("zh", "灯塔建于1873年。高41米。", "灯塔建于1873年。", "灯塔建于1900年。"),
        ("fr", "Le phare a été construit en 1873. Il mesure 41 mètres.",
         "Le phare mesure 41 mètres.", "Le phare mesure 45 mètres."),
    ],
)  # fmt: skip
def test_other_languages(judge: SupportJudge, language: str, source: str, good: str, bad: str) -> None:
    one = passage(source, language, None)
    assert judged(judge, good, one)[0]
    assert not judged(judge, bad, one)[0]


def test_the_sentences_that_support_it_are_found(judge: SupportJudge) -> None:
    for text, start, end in (
        ("It was built in 1873.", "The lighthouse", "Thornton."),
        ("It is 41.5 metres tall.", "It is", "1902."),
        ("The island has 1250 inhabitants and ships must not enter its harbour at night.", "The island", "night."),
    ):
        source = judge.place(text, passage())
        quote = TEXT[source.start : source.end]
        assert quote.startswith(start)
        assert quote.endswith(end)


def test_two_sources_may_support_it_together(judge: SupportJudge) -> None:
    other = passage("The island of Heron lies 9 miles off the coast.", title="Heron")
    text = "Gull Island's lighthouse is 41.5 metres tall, and Heron lies 9 miles off the coast."
    both = [judge.place(text, passage()), judge.place(text, other)]
    assert judge.judge(text, both).supported
    assert not judge.judge(text, both[:1]).supported


def test_a_title_counts_as_said(judge: SupportJudge) -> None:
    one = passage("It was built in 1873.", title="Gull Island Lighthouse")
    assert judged(judge, "The Gull Island Lighthouse was built in 1873.", one)[0]
    assert not judged(judge, "The Heron Point Lighthouse was built in 1873.", one)[0]


def test_an_empty_passage_supports_nothing(judge: SupportJudge) -> None:
    assert not judge.judge("The tower is tall.", [Source(passage=passage("", title=None), start=0, end=0)]).supported


def test_it_takes_milliseconds(judge: SupportJudge) -> None:
    began = time.process_time()
    for n in range(200):
        judged(judge, f"The lighthouse on Gull Island was built in {1700 + n}.")
    assert time.process_time() - began < 1.0


@pytest.mark.parametrize(
    ("written", "also"),
    [
        ("1,873", "1873"), ("1.873", "1873"), ("41,5", "41.5"), ("1 250 000", "1250000"), ("1.2 million", "1200000"),
        ("12bn", "12000000000"), ("3만", "30000"), ("2019-03-12", "2019"), ("007", "7"), ("20%", "20"),
    ],
)  # fmt: skip
def test_numbers_are_read_in_all_their_ways(written: str, also: str) -> None:
    assert any(also in readings for _, readings in particulars.numbers(f"about {written} of them"))


def test_numbers_within_names_are_none() -> None:
    assert particulars.numbers("COVID-19, M2 and IL-6") == []
    assert particulars.names("They gave COVID-19, M2 and IL-6 to Mary. We saw it.", "en") == [
        "COVID-19",
        "M2",
        "IL-6",
        "Mary",
    ]


def test_names_of_months_are_numbers_to_be_found() -> None:
    assert "3" in particulars.amounts("on the 12th of March")
    assert "2" in particulars.amounts("two towers")
