"""What a sentence cannot be right without: its numbers and dates, its names, and whether it says yes or no."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from sourcebook.language import FUNCTION_WORDS

Amount = frozenset[str]
"""The ways to read one number as it is written: "1.873" is 1.873 and, in other countries, 1873."""


def numbers(text: str) -> list[tuple[str, Amount]]:
    """The numbers of a text in digits, as written and as they can be read; dates give day, month and year."""
    return [(match[0].strip(), _readings(match)) for match in _NUMBER.finditer(unicodedata.normalize("NFKC", text))]


def amounts(text: str) -> frozenset[str]:
    """Every number that a text names, also in words and as the names of months: what `numbers` may be found in."""
    found: set[str] = set().union(*(amount for _, amount in numbers(text)))
    for word in _WORD.findall(text.casefold()):
        if word in _IN_WORDS:
            found.add(_IN_WORDS[word])
    return frozenset(found)


def names(text: str, language: str | None) -> list[str]:
    """Capitalised words within sentences, and acronyms, as written; of German only acronyms, for all nouns are so."""
    found = []
    function_words = FUNCTION_WORDS.get(language or "en", FUNCTION_WORDS["en"])
    for match in _CAPITALISED.finditer(text):
        word = match[0]
        if not word[0].isupper() or len(word) < 2:
            continue
        acronym = sum(character.isupper() or character.isdigit() for character in word) > 1
        opens = not text[: match.start()].rstrip(" \"'“‘«„(*_") or bool(_OPENING.search(text, 0, match.start()))
        if acronym or (not opens and language not in _CAPITAL_NOUNS and word.casefold() not in function_words):
            found.append(word)
    return found


def denied(text: str, language: str | None) -> frozenset[str]:
    """The `stubs` that a text says no to: the nearest in the clause, behind the no or, in some languages, before it."""
    cues = _DENIALS.get(language or "en")
    if cues is None:
        return frozenset()
    found: set[str] = set()
    folded = text.casefold()
    for cue in cues.finditer(folded):
        if language not in _NO_COMES_LAST:
            found.update(stubs(_CLAUSE_END.split(folded[cue.end() :], maxsplit=1)[0], language)[:_REACH])
        if language in _NO_COMES_LAST or language in _NO_COMES_LATE:
            found.update(stubs(_CLAUSE_END.split(folded[: cue.start()])[-1], language)[-_REACH:])
    return frozenset(found)


def stubs(text: str, language: str | None) -> list[str]:
    """The beginnings of the words that say something, so that inflected forms are one; pairs in unspaced scripts."""
    skipped = FUNCTION_WORDS.get(language or "en", FUNCTION_WORDS["en"])
    found: list[str] = []
    for word in _WORD.findall(text.casefold()):
        if word[0] >= _UNSPACED_FROM:
            found += [word[:2]] if language == "ko" else [word[i : i + 2] for i in range(max(1, len(word) - 1))]
        elif word not in skipped:
            found.append(word[:_STUB])
    return found


def directions(text: str) -> frozenset[tuple[int, bool]]:
    """Which of the opposites (more or less, before or after, ...) an English text names: (pair, which of the two)."""
    return frozenset(_OPPOSITES[word] for word in _WORD.findall(text.casefold()) if word in _OPPOSITES)


def _readings(match: re.Match[str]) -> Amount:
    written = re.sub(r"(?<=\d)[\s'’](?=\d)", "", match["digits"])
    readings = set(_decimals(written))
    scale = _SCALES.get((match["scale"] or "").casefold())
    if scale:
        readings |= {_plain(Decimal(one) * scale) for one in readings}
    return frozenset(readings)


def _decimals(written: str) -> Iterator[str]:
    """With each of the marks as the decimal point, and with none."""
    marks = {mark for mark in ".," if mark in written}
    if not marks:
        yield _plain(Decimal(written))
        return
    if re.fullmatch(r"\d{1,3}(?:[.,]\d{3})+", written):
        yield _plain(Decimal(re.sub(r"[.,]", "", written)))
    last = max(written.rfind("."), written.rfind(","))
    whole, fraction = re.sub(r"[.,]", "", written[:last]), written[last + 1 :]
    yield _plain(Decimal(f"{whole}.{fraction}"))


def _plain(value: Decimal) -> str:
    return f"{value:f}".rstrip("0").rstrip(".") if "." in f"{value:f}" else f"{value:f}"


_SCALES: Final = {
    "thousand": 1000, "million": 10**6, "billion": 10**9, "trillion": 10**12, "k": 1000, "m": 10**6, "bn": 10**9,
    "tausend": 1000, "millionen": 10**6, "milliarden": 10**9, "millions": 10**6, "milliards": 10**9,
    "millones": 10**6, "milioni": 10**6, "miliardi": 10**9, "milhões": 10**6, "miljoen": 10**6, "miljard": 10**9,
    "만": 10**4, "억": 10**8, "万": 10**4, "億": 10**8, "亿": 10**8, "천": 1000, "조": 10**12,
}  # fmt: skip
_NUMBER: Final = re.compile(
    r"(?<![^\W_ㄱ-힣぀-ヿ㐀-鿿])(?<![A-Za-z][-‑])(?<!\d[.,])(?P<digits>\d{1,3}(?:[\s'’]\d{3})+(?!\d)|\d+(?:[.,]\d+)*)"
    rf"(?:\s?(?P<scale>{'|'.join(sorted(_SCALES, key=len, reverse=True))})(?![a-z]))?",
    re.IGNORECASE,
)
_WORD: Final = re.compile(r"[^\W\d_]+")
_CAPITALISED: Final = re.compile(r"(?<!\w)[^\W\d_a-zß-öø-ÿ]\w*(?:['’.]\w+|-[A-Z0-9]\w*)*")
_OPENING: Final = re.compile(r"[.!?:;•|>#*\n-]\s*[\"'“‘«„(]?\s*\Z")
_CAPITAL_NOUNS: Final = frozenset({"de"})
_CLAUSE_END: Final = re.compile(r"[,;:.!?()–—。、，；！？]")
_STUB: Final = 5  # letters
_UNSPACED_FROM: Final = "\u2e80"
_REACH: Final = 2  # terms that a "no" is about
_NO_COMES_LAST: Final = frozenset({"ko", "ja"})
_NO_COMES_LATE: Final = frozenset({"de", "nl", "fr"})

_IN_WORDS: Final = {
    word: str(number)
    for words in (
        "zero one two three four five six seven eight nine ten eleven twelve",
        "null ein zwei drei vier fünf sechs sieben acht neun zehn elf zwölf",
        "zéro un deux trois quatre cinq six sept huit neuf dix onze douze",
        "cero uno dos tres cuatro cinco seis siete ocho nueve diez once doce",
        "zero uno due tre quattro cinque sei sette otto nove dieci undici dodici",
        "zero um dois três quatro cinco seis sete oito nove dez onze doze",
        "nul een twee drie vier vijf zes zeven acht negen tien elf twaalf",
        "_ january february march april may june july august september october november december",
        "_ januar februar märz april mai juni juli august september oktober november dezember",
        "_ janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
        "_ enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
        "_ gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
        "_ janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro",
        "_ jan feb mar apr may jun jul aug sep oct nov dec",
        "_ first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth",
        "_ once twice",
    )
    for number, word in enumerate(words.split())
    if word != "_"
} | {"thirteen": "13", "fourteen": "14", "fifteen": "15", "sixteen": "16", "eighteen": "18", "twenty": "20",
     "thirty": "30", "forty": "40", "fifty": "50", "sixty": "60", "ninety": "90", "hundred": "100"}  # fmt: skip

_DENIALS: Final = {
    language: re.compile(pattern)
    for language, pattern in {
        "en": r"\b(?:not|no|never|none|nor|neither|nobody|nothing|nowhere|without|cannot|lacks?|lacking|fails?|failed"
        r"|unable|absence|absent|refused|denie[sd])\b|n['’]t\b",
        "de": r"\b(?:nicht|kein\w*|nie|niemals|niemand|nichts|ohne|weder)\b",
        "fr": r"\b(?:pas|jamais|aucune?|rien|sans|ni)\b",
        "es": r"\b(?:no|nunca|jamás|ningun[oa]?|ningún|nada|sin|ni|tampoco)\b",
        "it": r"\b(?:non|mai|nessun[oa]?|niente|nulla|senza|né)\b",
        "pt": r"\b(?:não|nunca|jamais|nenhuma?|nada|sem|nem)\b",
        "nl": r"\b(?:niet|geen|nooit|niemand|niets|zonder|noch)\b",
        "ru": r"\b(?:не|нет|никогда|никто|ничего|без|ни)\b",
        "ko": r"않|못하|못했|없|아니|아닌|불가",
        "ja": r"ない|なかった|ません|ず(?:に|、)|ぬ",
        "zh": r"不|没|未|无|無|沒",
    }.items()
}  # fmt: skip

_MORE: Final = (
    "increase increases increased increasing raise raises raised higher greater more rise rises rose grew enhance"
    " enhances enhanced elevated upregulates promotes activates induces"
)
_LESS: Final = (
    "decrease decreases decreased decreasing reduce reduces reduced reducing lower lowers lowered less fewer fall"
    " falls fell declined diminished impairs impaired inhibits inhibited suppresses downregulates prevents blocks"
)
_OPPOSITES: Final = {
    word: (number, side)
    for number, pair in enumerate(
        (
            (_MORE, _LESS),
            ("before earlier until prior", "after later since following"),
            ("all every always", "some sometimes partly"),
            ("allow allows allowed permits permitted may", "forbid forbids forbidden prohibits prohibited"),
            ("first oldest earliest", "last newest latest"),
            ("largest biggest highest longest most best", "smallest lowest shortest least worst"),
            ("won win wins beat", "lost lose loses"),
            ("positive positively better improves improved", "negative negatively worse worsens worsened"),
            ("opened begin begins began started", "closed end ends ended finished"),
            ("north northern", "south southern"),
            ("east eastern", "west western"),
            ("minimum least", "maximum most"),
        )
    )
    for side, words in zip((True, False), pair, strict=True)
    for word in words.split()
}  # fmt: skip
