"""The extractive model: it quotes exactly, quotes what answers, and says when it does not know."""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from sourcebook.embed.minilm import MiniLM
from sourcebook.embed.terms import KeywordAnalyzer
from sourcebook.models.base import CitedPart, Finish, ModelRequest, TextPart
from sourcebook.models.extractive import Extractive, TextEmbedder, TokenEmbedder, judge
from sourcebook.models.extractive.evidence import defines, take_passage, take_question
from sourcebook.models.extractive.features import (
    SentenceVectors,
    TokenVectors,
    Vectors,
    describe,
    feature_names,
    kind_of,
    tokens_of,
)
from sourcebook.models.extractive.reading import read
from sourcebook.models.extractive.wording import leads
from sourcebook.types import Hit, Passage, PassageId

LIGHTHOUSE = (
    "The lighthouse on Cape Arden stands 41 metres tall and was finished in 1887. "
    "It was designed by the engineer Clara Whitfield. "
    "Its lamp burned paraffin until 1926, because electricity did not reach the cape before. "
    "Visitors may climb the tower on Sundays between May and September."
)
HARBOUR = (
    "The harbour of Port Lowry handles about 300 fishing boats a year. "
    "The harbour master lives in a stone house by the quay. "
    "Fees for mooring are paid at the customs office."
)
LEAVE = (
    "Employees who leave the company return their laptop and badge on the last day. "
    "Annual leave amounts to 26 working days. "
    "Requests for leave are sent to the team lead two weeks ahead."
)
KOREAN = (
    "연차 휴가는 1년에 26일이다. 휴가를 신청하려면 2주 전에 팀장에게 알려야 한다. "
    "환불 수수료는 결제 금액의 3%이며 7일 이내에는 무료이다. 고객 센터는 평일 오전 9시부터 오후 6시까지 운영한다."
)


def hit(text: str, *, location: str | None = None, language: str | None = "en", title: str | None = None) -> Hit:
    passage = Passage(
        id=PassageId(sha256(text.encode()).hexdigest()[:32]),
        document="file:///handbook.txt",
        version=1,
        ordinal=0,
        text=text,
        start=0,
        end=len(text),
        title=title,
        location=location,
        language=language,
    )
    return Hit(passage=passage, score=1.0)


@pytest.fixture(scope="module")
def minilm() -> MiniLM:
    return MiniLM(threads=1)


@pytest.fixture(scope="module")
def analyzer() -> KeywordAnalyzer:
    return KeywordAnalyzer()


class WithoutTokens:
    """An embedder that embeds whole texts only; counts how often it is asked."""

    fingerprint = "texts-only"
    max_tokens = 254

    def __init__(self, embedder: MiniLM, languages: frozenset[str] = frozenset({"en"})) -> None:
        self.languages = languages
        self.count_tokens = embedder.count_tokens
        self.asked = 0
        self._embedder = embedder

    async def embed(
        self, texts: Sequence[str], *, kind: Literal["passage", "query"] = "passage"
    ) -> NDArray[np.float32]:
        self.asked += 1
        return await self._embedder.embed(texts, kind=kind)


async def ask(
    model: Extractive, question: str, *hits: Hit, sentences: int = 3
) -> tuple[list[str], list[CitedPart], Finish]:
    """The pieces of text, the citations and the end, after checking that they come in turns."""
    request = ModelRequest(question=question, evidence=hits, max_sentences=sentences)
    events = [event async for event in model.stream(request)]
    pieces = [event.text for event in events if isinstance(event, TextPart)]
    cited = [event for event in events if isinstance(event, CitedPart)]
    assert [type(event) for event in events] == [TextPart, CitedPart] * len(cited) + [Finish]
    assert isinstance(events[-1], Finish)
    for piece, place in zip(pieces, cited, strict=True):
        assert piece.strip() == hits[place.number - 1].passage.text[place.start : place.end]
    return pieces, cited, events[-1]


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Who designed the lighthouse on Cape Arden?", "Clara Whitfield"),
        ("How tall is the lighthouse?", "41 metres"),
        ("Why did the lamp burn paraffin?", "electricity"),
        ("mooring fees", "customs office"),
        ("How many days of annual leave are there?", "26 working days"),
        ("Where does the harbour master live?", "stone house"),
    ],
)
@pytest.mark.parametrize("vectors", ["tokens", "sentences", "words"])
async def test_the_first_sentences_answer(
    question: str, answer: str, vectors: str, minilm: MiniLM, analyzer: KeywordAnalyzer
) -> None:
    embedders: dict[str, TextEmbedder] = {
        "tokens": minilm,
        "sentences": WithoutTokens(minilm),
        "words": WithoutTokens(minilm, frozenset({"xx"})),
    }
    pieces, _, finish = await ask(
        Extractive(embedders[vectors], analyzer), question, hit(HARBOUR), hit(LEAVE), hit(LIGHTHOUSE)
    )
    assert finish.reason == "stop"
    # Words alone cannot tell which of two neighbours answers: either may come first.
    assert any(answer in piece for piece in pieces[: 1 if vectors == "tokens" else 2])


@pytest.mark.parametrize(
    "question",
    [
        "Who is the president of France?",
        "How do I cook rice?",
        "What is the refund policy?",
        "capital of Australia",
        "?",
    ],
)
@pytest.mark.parametrize("tokens", [True, False])
async def test_unknown_when_nothing_supports_an_answer(
    question: str, tokens: bool, minilm: MiniLM, analyzer: KeywordAnalyzer
) -> None:
    embedder: TextEmbedder = minilm if tokens else WithoutTokens(minilm)
    pieces, cited, finish = await ask(
        Extractive(embedder, analyzer), question, hit(HARBOUR), hit(LEAVE), hit(LIGHTHOUSE)
    )
    assert (pieces, cited, finish.reason) == ([], [], "unknown")


async def test_unknown_without_evidence(minilm: MiniLM, analyzer: KeywordAnalyzer) -> None:
    model = Extractive(minilm, analyzer)
    for hits in ((), (hit("   \n "),), (hit(""),)):
        pieces, _, finish = await ask(model, "How tall is the lighthouse?", *hits)
        assert (pieces, finish.reason) == ([], "unknown")
    pieces, _, finish = await ask(model, "How tall is the lighthouse?", hit(LIGHTHOUSE), sentences=0)
    assert (pieces, finish.reason) == ([], "unknown")


@pytest.mark.parametrize(
    ("question", "answer"), [("환불 수수료는 얼마인가요?", "3%"), ("연차 휴가는 며칠입니까?", "26일")]
)
async def test_korean_is_answered_by_words_where_the_embedder_knows_none(
    question: str, answer: str, minilm: MiniLM, analyzer: KeywordAnalyzer
) -> None:
    embedder = WithoutTokens(minilm)
    pieces, _, finish = await ask(Extractive(embedder, analyzer), question, hit(KOREAN, language="ko"))
    assert answer in pieces[0]
    assert finish.reason == "stop"
    assert embedder.asked == 0


async def test_korean_unknown(minilm: MiniLM, analyzer: KeywordAnalyzer) -> None:
    model = Extractive(minilm, analyzer)
    pieces, _, finish = await ask(model, "프랑스의 대통령은 누구인가요?", hit(KOREAN, language="ko"))
    assert (pieces, finish.reason) == ([], "unknown")


async def test_no_more_sentences_than_wanted(minilm: MiniLM, analyzer: KeywordAnalyzer) -> None:
    model = Extractive(minilm, analyzer)
    for most in (1, 2):
        pieces, _, _ = await ask(model, "Tell me about the lighthouse on Cape Arden", hit(LIGHTHOUSE), sentences=most)
        assert 1 <= len(pieces) <= most


async def test_overlapping_passages_are_quoted_once(minilm: MiniLM, analyzer: KeywordAnalyzer) -> None:
    first, second = hit(LIGHTHOUSE), hit(LIGHTHOUSE[LIGHTHOUSE.index("It was") :])
    pieces, _, _ = await ask(Extractive(minilm, analyzer), "Who designed the lighthouse on Cape Arden?", first, second)
    stripped = [piece.strip() for piece in pieces]
    assert len(stripped) == len(set(stripped))


async def test_a_table_row_is_quoted_whole(minilm: MiniLM, analyzer: KeywordAnalyzer) -> None:
    row = "Activity: Payroll. Monthly.; Purpose: pay salaries; Retention: 10 years; Contact: payroll office"
    pieces, _, _ = await ask(
        Extractive(minilm, analyzer),
        "What is the retention of payroll?",
        hit(row, location="Register!4"),
        hit("Activity: Newsletter; Purpose: advertise; Retention: 1 year", location="Register!5"),
    )
    assert pieces[0] == row


async def test_a_definition_goes_before_what_mentions_the_term(minilm: MiniLM, analyzer: KeywordAnalyzer) -> None:
    mentions = "The nature of the personal data and the context of the personal data are considered by the controller."
    definition = "‘personal data’ means any information that relates to an identified or identifiable person."
    for question in ("What is personal data?", "personal data definition"):
        pieces, _, _ = await ask(Extractive(minilm, analyzer), question, hit(mentions), hit(HARBOUR), hit(definition))
        assert pieces[0] == definition


async def test_headings_do_not_answer_unless_there_is_nothing_else(minilm: MiniLM, analyzer: KeywordAnalyzer) -> None:
    model = Extractive(minilm, analyzer)
    text = "Height of the lighthouse\n\nIt stands 41 metres tall above the sea."
    pieces, _, _ = await ask(model, "What is the height of the lighthouse?", hit(text))
    assert not any(piece.strip() == "Height of the lighthouse" for piece in pieces)
    pieces, _, _ = await ask(model, "height of the lighthouse", hit("Height of the lighthouse: 41 metres\n"))
    assert pieces == ["Height of the lighthouse: 41 metres"]


@pytest.mark.parametrize(
    ("question", "language", "page"),
    [
        (
            "How do I return a faulty kettle?",
            "en",
            "How can a faulty kettle be returned?\n\nTake it to any of our shops.",
        ),
        (
            "하자 있는 주전자는 어떻게 반품하나요?",
            "ko",
            "하자 있는 주전자는 어떻게 반품하나요? 가까운 매장으로 가져오시면 됩니다.",
        ),
    ],
)
async def test_not_the_question_but_what_follows_it_answers(
    question: str, language: str, page: str, minilm: MiniLM, analyzer: KeywordAnalyzer
) -> None:
    pieces, _, finish = await ask(Extractive(minilm, analyzer), question, hit(page, language=language), hit(HARBOUR))
    assert finish.reason == "stop"
    assert pieces[0] in ("Take it to any of our shops.", "가까운 매장으로 가져오시면 됩니다.")
    assert not any("?" in piece for piece in pieces)


async def test_long_hits_are_read_in_parts_with_offsets_of_the_whole(minilm: MiniLM, analyzer: KeywordAnalyzer) -> None:
    filler = "The cliffs of the county are made of grey limestone and chalk. " * 40
    text = f"{filler}{LIGHTHOUSE} {filler}"
    pieces, [place, *_], _ = await ask(
        Extractive(minilm, analyzer), "Who designed the lighthouse on Cape Arden?", hit(text)
    )
    assert "Clara Whitfield" in pieces[0]
    assert text[place.start : place.end] == pieces[0]


def test_reading_keeps_to_the_budget_and_begins_with_the_likeliest_part(
    minilm: MiniLM, analyzer: KeywordAnalyzer
) -> None:
    filler = "The cliffs of the county are made of grey limestone and chalk. " * 40
    asked = take_question("Who designed the lighthouse?", analyzer)
    hits = [hit(filler + LIGHTHOUSE), hit(HARBOUR), hit(LEAVE)]
    sheets = read(hits, asked, analyzer, minilm.count_tokens, most=5, longest=250, budget=400)
    assert [sheet.evidence.number for sheet in sheets] == [1, 2, 3]
    assert "Clara Whitfield" in sheets[0].text
    assert sum(sheet.tokens for sheet in sheets) <= 400
    for sheet in sheets:
        text = hits[sheet.evidence.number - 1].passage.text
        assert text[sheet.start :].startswith(sheet.text)
        assert sheet.start == sheet.evidence.sentences[0].start or sheet.text == text
    everything = read(hits, asked, analyzer, minilm.count_tokens, most=5, longest=250, budget=100_000)
    assert sum(len(sheet.evidence.sentences) for sheet in everything) == 44 + 3 + 3
    one = read(hits, asked, analyzer, minilm.count_tokens, most=5, longest=250, budget=1)
    assert len(one) == 1


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("Right to erasure", True),
        ("Article 17 Right to erasure", True),
        ("3.1 Scope", True),
        ("제17조 삭제권", True),
        ("How is it returned?", True),
        ("Annual leave 26 days", False),
        ("- Crane and winch", False),
        ("Height: 41 metres", False),
        ("It was finished late.", False),
    ],
)
def test_what_leads_to_an_answer(line: str, expected: bool) -> None:
    assert leads(line) is expected


def test_a_definition_that_is_asked_for_is_found_further_down(minilm: MiniLM, analyzer: KeywordAnalyzer) -> None:
    hits = [hit(LIGHTHOUSE), hit(HARBOUR), hit(LEAVE), hit("‘harbour’ means a place where ships lie safely.")]
    for question, numbers in (("What is a harbour?", [1, 4]), ("Who runs the harbour?", [1, 2])):
        asked = take_question(question, analyzer)
        sheets = read(hits, asked, analyzer, minilm.count_tokens, most=2, longest=250, budget=800)
        assert [sheet.evidence.number for sheet in sheets] == numbers


async def test_usage_counts_what_was_read_and_written(minilm: MiniLM, analyzer: KeywordAnalyzer) -> None:
    model = Extractive(minilm, analyzer)
    question = "Who designed the lighthouse on Cape Arden?"
    pieces, _, finish = await ask(model, question, hit(LIGHTHOUSE))
    assert finish.usage.input_tokens == model.count_tokens(question) + model.count_tokens(LIGHTHOUSE)
    assert finish.usage.output_tokens == sum(map(model.count_tokens, pieces))
    assert finish.usage.counted_by == minilm.fingerprint


def test_the_name_changes_with_what_answers_depend_on(minilm: MiniLM, analyzer: KeywordAnalyzer) -> None:
    assert isinstance(minilm, TokenEmbedder)
    assert not isinstance(WithoutTokens(minilm), TokenEmbedder)
    assert Extractive(minilm, analyzer).name != Extractive(WithoutTokens(minilm), analyzer).name
    assert Extractive(minilm, analyzer).name != Extractive(minilm, KeywordAnalyzer(k1=2.0)).name


async def test_rows_have_the_columns_that_the_judge_was_made_for(minilm: MiniLM, analyzer: KeywordAnalyzer) -> None:
    question = "Who designed the lighthouse on Cape Arden?"
    asked = take_question(question, analyzer)
    evidence = [take_passage(hit(text).passage, n, analyzer) for n, text in enumerate((LIGHTHOUSE, HARBOUR), 1)]
    first, *rest = (tokens_of(*one, 0) for one in await minilm.embed_tokens([question, LIGHTHOUSE, HARBOUR]))
    sentences = await minilm.embed([LIGHTHOUSE[s.start : s.end] for s in evidence[0].sentences] + ["a", "b", "c"])
    by_sentence = SentenceVectors(question=sentences[1], passages=[sentences[:4], sentences[4:]])
    every: list[Vectors | None] = [TokenVectors(question=first, passages=rest), by_sentence, None]
    for vectors in every:
        rows = describe(asked, evidence, vectors)
        names = feature_names(kind_of(vectors))
        assert rows.shape == (7, len(names))
        assert np.isfinite(rows).all()
        assert rows[:, names.index("cover")].argmax() in (0, 1)
        worth = judge.learned_judge(kind_of(vectors)).worth(rows, np.zeros(len(rows)))
        assert worth.argmax() in ((1,) if isinstance(vectors, TokenVectors) else (0, 1))
    learned = json.loads(Path(judge.__file__).with_name("judge.json").read_text(encoding="utf-8"))
    with pytest.raises(ValueError, match="train_extractive"):
        judge.Judge(learned["words"], feature_names("tokens"))


@pytest.mark.parametrize(
    ("question", "subject", "sentence"),
    [
        ("What is personal data?", "personal data", "‘Personal data’ means any information about a person."),
        ("personal data definition", "personal data", "Personal data refers to information about a person."),
        ("Define a processor", "processor", "(8) A processor is defined as a body that processes data."),
        ("개인정보란 무엇인가요?", "개인정보", "개인정보란 살아 있는 개인에 관한 정보를 말한다."),
    ],
)
def test_explanations_are_recognised(question: str, subject: str, sentence: str, analyzer: KeywordAnalyzer) -> None:
    asked = take_question(question, analyzer)
    assert asked.subject == subject
    [found] = take_passage(hit(sentence).passage, 1, analyzer).sentences
    assert defines(found, subject) == 1.0
    [other] = take_passage(hit(f"They lost {subject}.").passage, 1, analyzer).sentences
    assert defines(other, subject) == 0.0
    assert take_question("When was the tower finished?", analyzer).subject == ""
