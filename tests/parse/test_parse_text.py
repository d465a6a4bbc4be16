"""Plain text and its encodings."""

import pytest

from sourcebook.errors import Damaged, Empty, TooLarge
from sourcebook.parse.base import Limits
from sourcebook.parse.encoding import decode
from sourcebook.parse.text import TextParser
from tests.parse.parsing_checks import shown

LIMITS = Limits()

WRITTEN = [
    ("utf-8", "Größe, 수수료, 料金 — €"),
    ("utf-8-sig", "Größe, 수수료"),
    ("utf-16", "Größe, 수수료"),
    ("utf-32", "Größe, 수수료"),
    ("utf-16-le", "The quick brown fox jumps over the lazy dog"),
    ("utf-16-be", "The quick brown fox jumps over the lazy dog"),
    ("cp949", "개인정보 보호법은 개인정보의 처리 및 보호에 관한 사항을 정함으로써 개인의 자유와 권리를 보호하고 있다."),
    ("cp932", "個人情報の保護に関する法律は、個人の権利利益を保護することを目的とする。これはテストです。"),
    ("gb18030", "个人信息保护法是为了保护个人信息权益，规范个人信息处理活动，促进个人信息合理利用而制定的法律。"),
    ("cp1251", "Закон о защите персональных данных принят в России и действует на всей территории страны."),
    ("cp1252", "Über die Straße gehen – das kostet 5 €. Die Bäume blühen, und die Vögel singen für alle Gäste."),
]


@pytest.mark.parametrize(("encoding", "text"), WRITTEN, ids=[encoding for encoding, _ in WRITTEN])
def test_every_encoding_comes_out_as_it_was_written(encoding: str, text: str) -> None:
    assert decode(text.encode(encoding)) == text


def test_a_declared_encoding_is_believed_where_it_holds() -> None:
    assert decode("déjà".encode("cp1252"), declared="cp1252") == "déjà"
    assert decode("déjà".encode(), declared="ascii") == "déjà"
    assert decode("Straße – Größe".encode("cp1252"), declared="no-such-thing").startswith("Stra")


def test_text_cut_in_the_middle_of_a_character_is_still_utf8() -> None:
    assert decode("수수료는 무료입니다".encode()[:-1]) == "수수료는 무료입니"


def test_paragraphs_are_parted_by_empty_lines_and_the_text_stays_as_it_is() -> None:
    text = "First line\nsecond line.\n\n \t\n   Another one.  \r\n\r\nLast"
    document = TextParser().parse(text.encode(), "a.txt", LIMITS)
    assert document.text == text.replace("\r\n", "\n")
    assert shown(document) == [
        ("paragraph", "First line\nsecond line."),
        ("paragraph", "Another one."),
        ("paragraph", "Last"),
    ]


def test_noise_is_damaged_and_white_space_is_empty() -> None:
    with pytest.raises(Damaged):
        TextParser().parse(bytes(range(256)) * 40, "a.txt", LIMITS)
    with pytest.raises(Empty):
        TextParser().parse(b" \n\t ", "a.txt", LIMITS)


def test_control_characters_do_not_reach_the_text() -> None:
    document = TextParser().parse(b"before\x01after " * 3 + b"and much more text" * 20, "a.txt", LIMITS)
    assert "\x01" not in document.text
    assert "before after" in document.text


def test_the_limit_of_text_names_its_setting() -> None:
    with pytest.raises(TooLarge, match=r"parse\.max_text"):
        TextParser().parse(b"word " * 100, "a.txt", Limits(max_text=99))
