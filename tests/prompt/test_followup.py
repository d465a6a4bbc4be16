"""Rules for questions that lean on a conversation, and for questions that are several."""

import pytest

from sourcebook.catalog.conversations import Turn
from sourcebook.embed.terms import KeywordAnalyzer
from sourcebook.prompt.followup import leans, resolve, split

WORDS = KeywordAnalyzer().words


def turns(*texts: str) -> list[Turn]:
    """User and assistant in turn; an answer may be empty."""
    return [Turn(number=n, role="user" if n % 2 else "assistant", text=text, at="") for n, text in enumerate(texts, 1)]


LEANING = [
    "How long does it take?",
    "And for students?",
    "What about Korea?",
    "How about online purchases?",
    "Why?",
    "When?",
    "Who pays them?",
    "Does the warranty cover it?",
    "Is that allowed?",
    "What are the exceptions?",
    "Who is the director?",
    "Does this policy apply to gift cards?",
    "Are those fees refundable?",
    "Tell me more.",
    "Where was he born?",
    "What if the receipt is lost?",
    "Which one is cheaper?",
    "But what happens after 30 days?",
    "Is it possible?",
    "그럼 배송비는요?",
    "배송비는?",
    "그건 얼마인가요?",
    "언제까지인가요?",
    "이 제품도 되나요?",
    "그 기간이 지나면 어떻게 되나요?",
    "왜?",
]
STANDING = [
    "What is the refund policy?",
    "What is Sourcebook?",
    "How long does a refund take?",
    "When was the lighthouse on Gull Island built?",
    "Is it possible to return opened software?",
    "Is it allowed to keep pets in the office?",
    "What happens to a parcel if it is lost in transit?",
    "Which documents say that fees are refunded?",
    "What did the company earn this year?",
    "Who founded Orion Motors?",
    "How do customers return a lamp when they have lost the receipt?",
    "환불 수수료는 얼마인가요?",
    "연차 휴가는 며칠인가요?",
    "고객 센터의 운영 시간을 알려 주세요.",
    "부산 사무실은 어디에 있나요?",
]


@pytest.mark.parametrize("question", LEANING)
def test_it_leans(question: str) -> None:
    assert leans(question, WORDS)


@pytest.mark.parametrize("question", STANDING)
def test_it_stands_alone(question: str) -> None:
    assert not leans(question, WORDS)
    assert resolve(question, turns("What do lamps cost?", "49."), WORDS) == question


@pytest.mark.parametrize(
    ("before", "question", "resolved"),
    [
        ("What is the refund policy for lamps?", "How long does it take?", "(refund policy lamps)"),
        ("What is the refund policy?", "Does the refund policy have exceptions for them?", ""),
        ("환불 수수료는 얼마인가요?", "그건 언제 내나요?", "(환불 수수료)"),
        ("국제 배송은 며칠 걸리나요?", "배송비는요?", "(국제 배송 며칠)"),
    ],
)
def test_it_gets_what_the_question_before_it_was_about(before: str, question: str, resolved: str) -> None:
    wanted = f"{question} {resolved}".strip()
    assert resolve(question, turns(before, "Some answer."), WORDS) == wanted


@pytest.mark.parametrize(
    ("before", "question", "resolved"),
    [
        ("What is the tax rate in Japan?", "What about Korea?", "What is the tax rate in Korea?"),
        ("What is the tax rate in Japan?", "And in South Korea?", "What is the tax rate in South Korea?"),
        ("How long does shipping to Port Anders take?", "How about Oslo?", "How long does shipping to Oslo take?"),
        ("What do we charge for lamps?", "And for chairs?", "What do we charge for chairs?"),
        ("What do we charge for the lamp?", "But what about for a chair", "What do we charge for a chair?"),
        ("What do we charge for lamps?", "And for Korea?", "What do we charge for Korea?"),
        ("What do lamps cost?", "And in Korea?", "And in Korea? (lamps cost)"),
        ("What do lamps cost?", "What about Korea?", "What about Korea? (lamps cost)"),
        ("What do lamps cost?", "What about chairs?", "What about chairs? (lamps cost)"),
        ("Who founded Orion Motors?", "And why?", "And why? (founded Orion Motors)"),
        ("Who founded Orion Motors?", "And when was it sold?", "And when was it sold? (founded Orion Motors)"),
    ],
)
def test_one_thing_is_put_in_the_place_of_another(before: str, question: str, resolved: str) -> None:
    assert resolve(question, turns(before, "Some answer."), WORDS) == resolved


def test_a_chain_of_follow_ups_keeps_its_subject() -> None:
    said = turns("What is the refund policy for lamps?", "30 days.", "And for students?", "60 days.")
    resolved = resolve("Who pays it?", said, WORDS)
    assert resolved == "Who pays it? (refund policy students)"
    said += turns("What does the Falcon weigh?", "2 tons.")
    assert resolve("Why?", said, WORDS) == "Why? (Falcon weigh)"


def test_names_of_the_answer_are_taken_and_removed_answers_are_not() -> None:
    said = turns("Who designed the lighthouse?", "It was designed by Clara Whitfield. Port Lowry is near.")
    assert resolve("Where was she born?", said, WORDS) == "Where was she born? (designed lighthouse Clara Whitfield)"
    said[1] = Turn(number=2, role="assistant", text="Clara Whitfield designed it.", at="", removed=True)
    assert "Whitfield" not in resolve("Where was she born?", said, WORDS)


def test_without_a_conversation_nothing_is_added() -> None:
    assert resolve("How long does it take?", [], WORDS) == "How long does it take?"
    assert resolve("", turns("What is the refund policy?", ""), WORDS) is not None


def test_what_is_added_has_a_bound() -> None:
    long = "What do " + " ".join(f"word{n}" for n in range(50)) + " mean?"
    assert len(resolve("Why?", turns(long, ""), WORDS).split()) == 9


@pytest.mark.parametrize(
    ("question", "parts"),
    [
        ("What is the refund policy?", ("What is the refund policy?",)),
        (
            "When was the lighthouse built and who designed it?",
            ("When was the lighthouse built?", "who designed it? (lighthouse built)"),
        ),
        ("What does the lamp cost? How heavy is the chair?", ("What does the lamp cost?", "How heavy is the chair?")),
        (
            "What is the difference between the Basic plan and the Pro plan?",
            ("What is the difference between the Basic plan and the Pro plan?", "the Basic plan", "the Pro plan"),
        ),
        ("Compare minilm with hashing", ("Compare minilm with hashing", "minilm", "hashing")),
        ("What do bread and butter cost?", ("What do bread and butter cost?",)),
        ("등대는 언제 지어졌고 누가 설계했나요?", ("등대는 언제 지어졌고?", "누가 설계했나요?")),
        (
            "기본 요금제와 프로 요금제의 차이는 무엇인가요?",
            ("기본 요금제와 프로 요금제의 차이는 무엇인가요?", "기본 요금제", "프로 요금제"),
        ),
        (
            "I bought a lamp in May. What is the refund policy? Thanks!",
            ("I bought a lamp in May. What is the refund policy? Thanks!",),
        ),
        ("저는 학생이고 언제 신청하나요?", ("저는 학생이고 언제 신청하나요?",)),
        ("Tell me about lamps.", ()),
        ("", ()),
    ],
)
def test_compound_questions_are_taken_apart(question: str, parts: tuple[str, ...]) -> None:
    found = split(question, WORDS)
    assert tuple(one if "누가" not in one else one.partition(" (")[0] for one in found) == parts
