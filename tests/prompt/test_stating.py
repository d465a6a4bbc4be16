"""What users state, by rule."""

import pytest

from sourcebook.prompt.stating import may_state, stated


@pytest.mark.parametrize(
    "text",
    [
        "My office is in Busan.",
        "I work for Orion Motors.",
        "We moved to Seoul last year.",
        "I'm a nurse.",
        "Please remember that the audit is in May.",
        "Call me Kim.",
        "Our fiscal year is the calendar year.",
        "I've bought the Basic plan.",
        "제 이름은 김민수입니다.",
        "저는 부산에서 일해요.",
        "우리 회사는 서울에 있습니다.",
        "회의가 금요일이라는 걸 기억해 줘.",
    ],
)
def test_statements_are_facts(text: str) -> None:
    assert [(one.kind, one.text) for one in stated(text)] == [("fact", text)]
    assert may_state(text)


@pytest.mark.parametrize(
    "text",
    [
        "Always answer in Korean.",
        "From now on, keep it short.",
        "Please keep your answers short.",
        "앞으로는 한국어로 답해 줘.",
        "답변은 짧게 해 주세요.",
    ],
)
def test_wishes_about_answers_are_preferences(text: str) -> None:
    assert [(one.kind, one.text) for one in stated(text)] == [("preference", text)]
    assert may_state(text)


@pytest.mark.parametrize(
    "text",
    [
        "What is my fee?",
        "I am looking for the refund policy.",
        "I have a question about lamps.",
        "I would like to know the fee.",
        "I'm not sure.",
        "Tell me about the refund policy.",
        "Thanks!",
        "The fee is 3%.",
        "My password is hunter2.",
        "환불 수수료가 궁금해요.",
        "수수료는 얼마인가요?",
        "저는 그게 궁금합니다.",
        "",
    ],
)
def test_questions_and_small_talk_state_nothing(text: str) -> None:
    assert stated(text) == []


@pytest.mark.parametrize(
    "text", ["What is the fee?", "How long does a refund take? And who pays?", "수수료는 얼마인가요?", "Thanks!"]
)
def test_a_model_is_not_asked_about_questions_alone(text: str) -> None:
    assert not may_state(text)
