from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sourcebook.embed.terms import KeywordAnalyzer
from sourcebook.types import Terms


@pytest.fixture(scope="module")
def analyzer() -> KeywordAnalyzer:
    return KeywordAnalyzer()


def score(query: Terms, passage: Terms) -> float:
    weights: dict[int, float] = dict(zip(passage.indices.tolist(), passage.weights.tolist(), strict=True))
    total: float = sum(
        weight * weights.get(index, 0.0)
        for index, weight in zip(query.indices.tolist(), query.weights.tolist(), strict=True)
    )
    return total


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("What are the studies of running foxes?", ["studi", "run", "fox"]),
        ("The U.S. court's e-mail was sent.", ["us", "court", "e", "mail", "email", "sent"]),
        ("In max_tokens and KeywordAnalyzer", ["max", "token", "maxtokens", "keyword", "analyz", "keywordanalyzer"]),
        ("Art. 17(1) of 1973-1974 at 3.5% for 1,000.50", ["art", "17", "1", "1973", "1974", "3.5", "1000.50"]),
        ("The café is naïve, and it doesn't ﬁt", ["cafe", "naiv", "doesnt", "fit"]),
        ("Write to a.b@c.org for IL-6", ["write", "b", "c", "org", "abcorg", "il", "6", "il6"]),
        ("L'économie de la France n'est pas la même que dans les autres", ["econom", "franc", "mêm", "autr"]),
        ("Die Kündigungsfristen sind zu kurz und nicht lang", ["kundigungsfrist", "kurz", "lang"]),
        ("Это новая страна и она не одна", ["эт", "нов", "стран", "и", "он", "не", "одн"]),
        (
            "日本のカメラABC 猫",
            ["日", "日本", "本", "本の", "の", "のカ", "カ", "カメ", "メ", "メラ", "ラ", "abc", "猫"],
        ),
        ("", []),
    ],
)
def test_words(analyzer: KeywordAnalyzer, text: str, words: list[str]) -> None:
    assert analyzer.words(text) == [word.replace("ê", "e") for word in words]


def test_korean_words_are_found_without_their_endings(analyzer: KeywordAnalyzer) -> None:
    words = analyzer.words("수수료는 GDPR 제17조에 따라 2018년부터 부과되었다.")
    assert [word for word in words if word in ("수수료", "gdpr", "17", "2018", "부과")] == [
        "수수료", "gdpr", "17", "2018", "부과",
    ]  # fmt: skip
    (passage,) = analyzer.passage_terms(["연간 수수료가 얼마인지는 은행마다 다릅니다."])
    assert score(analyzer.query_terms("수수료는?"), passage) > 0


def test_weights_are_bm25(analyzer: KeywordAnalyzer) -> None:
    ours = KeywordAnalyzer(k1=1.2, b=0.75, average_length=4)
    one, other = ours.passage_terms(["fox fox fox hen", "fox"])
    norm = 1.2 * (0.25 + 0.75 * 4 / 4)
    assert sorted(one.weights.tolist()) == pytest.approx([2.2 / (1 + norm), 3 * 2.2 / (3 + norm)])
    assert other.weights.tolist() == pytest.approx([2.2 / (1 + 1.2 * (0.25 + 0.75 / 4))])


def test_indices_are_distinct_and_typed(analyzer: KeywordAnalyzer) -> None:
    passage, empty = analyzer.passage_terms(["The fox and the hen and the fox", "of the and"])
    assert passage.indices.dtype == np.uint32
    assert passage.weights.dtype == np.float32
    assert len(set(passage.indices.tolist())) == len(passage.indices) == 2
    assert empty.indices.shape == empty.weights.shape == (0,)


def test_terms_with_one_number_are_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sourcebook.embed.terms._number", lambda term: 7)
    (passage,) = KeywordAnalyzer().passage_terms(["fox fox hen"])
    assert passage.indices.tolist() == [7]
    assert passage.weights.tolist() == [pytest.approx(KeywordAnalyzer().passage_terms(["fox fox hen"])[0].weights[0])]


@pytest.mark.parametrize(
    ("question", "passage"),
    [
        ("Which studies were cited?", "He cites a study and the others do not."),
        ("deficiency", "Deficiencies of the vitamin are rare."),
        ("Kündigungsfrist", "Die Kündigungsfristen sind in der Regel nicht zu kurz."),
        ("Wie lang sind die Kündigungsfristen?", "Kündigungsfristen"),
        ("email", "Send it by e-mail to the office."),
        ("カメラ", "日本のカメラは高い"),
        ("Какие страны?", "Это новая страна"),
    ],
)
def test_a_question_finds_other_forms_of_its_words(analyzer: KeywordAnalyzer, question: str, passage: str) -> None:
    assert score(analyzer.query_terms(question), analyzer.passage_terms([passage])[0]) > 0


def test_a_question_counts_its_words(analyzer: KeywordAnalyzer) -> None:
    assert sorted(analyzer.query_terms("fox, fox and hen: what is it?").weights.tolist()) == [1.0, 2.0]


def test_numbers_are_the_same_in_every_process_and_korean_is_loaded_only_when_seen() -> None:
    code = (
        "import sys; from sourcebook.embed.terms import KeywordAnalyzer as A;"
        "print(sorted(A().passage_terms(['The quick fox, naïve'])[0].indices.tolist()), 'kiwipiepy' in sys.modules)"
    )
    source = str(Path(__file__).parents[2] / "src")
    runs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": source},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
    (ours,) = KeywordAnalyzer().passage_terms(["The quick fox, naïve"])
    assert runs == {f"{sorted(ours.indices.tolist())} False\n"}


def test_fingerprint_tells_settings_apart() -> None:
    assert KeywordAnalyzer().fingerprint == KeywordAnalyzer().fingerprint
    assert KeywordAnalyzer().fingerprint != KeywordAnalyzer(b=0.5).fingerprint
