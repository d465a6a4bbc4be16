from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sourcebook.language import detect, sentences


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("When did the 1973 oil crisis begin?", "en"),
        ("Where is Köln?", "en"),
        ("Was ist die DSGVO?", "de"),
        ("Wann wurde Berlin gegründet?", "de"),
        ("Le chat est sur la table.", "fr"),
        ("¿Dónde está la biblioteca?", "es"),
        ("Onde fica o banco que não abre?", "pt"),
        ("Perché il treno non è arrivato?", "it"),
        ("Het is een mooie dag", "nl"),
        ("Hva er det, og når må jeg betale for å få det?", "no"),
        ("Что это такое", "ru"),
        ("Що це таке, їжак", "uk"),
        ("日本語の文章です", "ja"),
        ("中文的句子", "zh"),
        ("GDPR 수수료는 얼마인가요?", "ko"),
        ("What does 개인정보 mean in the law?", "en"),
        ("Ποιος είναι αυτός;", "el"),
        ("مرحبا بالعالم", "ar"),
        ("vitamin deficiency", None),
        ("x = 3", None),
        ("", None),
    ],
)
def test_detects_the_language(text: str, language: str | None) -> None:
    assert detect(text) == language


@pytest.mark.parametrize(
    ("language", "marked"),
    [
        ("en", "Dr. Smith met George W. Bush in the U.S. |The talks lasted 3.5 hours. |He said no. |Then he left."),
        ("en", "See Art. 5(1) of the act, No. 17 and Fig. 2 (p. 3). |It is clear, e.g. from recital 4."),
        ("en", "The U.S. Supreme Court sat at 5 p.m. on Monday. |At 6 p.m. |The end."),
        ("en", 'He asked: "Really?" she said. |"Yes." |Then... nothing. |Well… |It works!'),
        ("en", "Visit https://a.example/b.c?x=1. |Version 1.2.3 is out."),
        ("en", "Acme Inc. was sold. |Acme Inc. Holdings was not. |J. R. R. Tolkien wrote it."),
        ("en", "Patients lacked vitamin D. |Patients with it did well."),
        ("en", "Oil rose.[1] |The crisis[2] ended in 1974. |25 people came. |(He did not.) |She did."),
        ("en", "The line\nbreaks here. |And\nthere"),
        ("en", "A heading\n\n|Its text. |More:\n|- one\n|- two, which\nis long\n\n|3. Third part."),
        ("en", "1. First.\n|2. Second."),
        ("de", "Am 3. Oktober 1990 geschah z. B. viel. |Das ist z.B. gut. |Im Jahr 1990. |Danach nicht."),
        ("ko", "그는 말했다. |정말요? |네! |1989. 3. 12. 발표했다.|그는 갔다. |값은 3.5이다."),
        ("ko", "수수료는 없습니다. |“그렇습니까?” |A.B. 회사는 그렇게 말해요."),
        ("ja", "「行きます。」と言った。|次の日！|「終わり？」|はい。"),
        ("zh", "他说：“你好。”|然后走了。|真的？|是的！"),
    ],
)
def test_splits_sentences(language: str, marked: str) -> None:
    text = marked.replace("|", "")
    found = [text[start:end] for start, end in sentences(text, language)]
    assert found == [sentence.strip() for sentence in marked.split("|")]


def test_has_no_sentence_without_text() -> None:
    assert sentences("") == []
    assert sentences(" \n\n \t ") == []


@settings(deadline=None, derandomize=True)
@given(
    st.text(alphabet=st.sampled_from("ab AB.!?…。！」\"')(\n\t1다요한あ-•[]\f"), max_size=80),
    st.sampled_from([None, "en", "de", "ko", "ja"]),
)
def test_covers_all_text(text: str, language: str | None) -> None:
    spans = sentences(text, language)
    covered = "".join(text[start:end] for start, end in spans)
    assert "".join(covered.split()) == "".join(text.split())
    assert all(text[start:end] == text[start:end].strip() != "" for start, end in spans)
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))
