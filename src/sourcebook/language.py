"""Which language a text is in, and where its sentences end. Cheap enough to run on everything.

The ground floor, with `types` and `errors`: it imports nothing of ours and no vendor. Languages go by their
ISO 639-1 codes. Both functions are rules, not models: some tens of microseconds for a thousand characters.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Final

_SAMPLE: Final = 400  # characters that are enough to know a language by


# --- which language ---------------------------------------------------------------------------------------


def detect(text: str) -> str | None:
    """The ISO 639-1 code of the language that most of the text's beginning is in; None if unsure.

    Korean, Japanese, Chinese and other languages with a script of their own are known by it; languages in
    Latin and Cyrillic letters by their function words and special letters.
    """
    sample = text[:_SAMPLE]
    if not sample.isascii():
        other = Counter(map(_script, "".join(_NOT_LATIN.findall(sample))))
        # A logogram or syllable says as much as two or three letters.
        if other and 3 * sum(other.values()) > len(_LATIN.findall(sample)):
            return _by_script(other, sample)
    return _by_words(sample)


def _by_script(scripts: Counter[str], sample: str) -> str | None:
    # Kana beside any share of Han is Japanese: a Chinese text has none.
    if scripts["ja"] and scripts["ja"] * 10 >= scripts["zh"] and scripts["ja"] >= scripts["ko"]:
        return "ja"
    script, _ = scripts.most_common(1)[0]
    if script == "cyrillic":
        return "uk" if _UKRAINIAN.search(sample) else "ru"
    if script == "ar":
        return "fa" if _PERSIAN.search(sample) else "ar"
    return script or None


def _by_words(sample: str) -> str | None:
    words = _COMPOUND.findall(sample.lower())
    votes: dict[str, float] = {}
    for word in words:
        for language, weight in _VOTES.get(word, ()):
            votes[language] = votes.get(language, 0.0) + weight
    if not sample.isascii():
        for letter in _TELLING_LETTER.findall(sample.lower()):
            for language in _LETTERS[letter]:
                votes[language] = votes.get(language, 0.0) + 0.7 / len(_LETTERS[letter])
    if not votes:
        return None
    best = max(votes, key=votes.__getitem__)
    rest = max((score for language, score in votes.items() if language != best), default=0.0)
    sure = votes[best] >= max(0.5, 0.04 * len(words)) and votes[best] > 1.2 * rest
    return best if sure else None


def _script(character: str) -> str:
    """The language, or family of languages, whose script the character belongs to; "" if none of ours."""
    code = ord(character)
    for first, last, script in _SCRIPTS:
        if first <= code <= last:
            return script
    return ""


_SCRIPTS: Final = (
    (0xAC00, 0xD7A3, "ko"), (0x4E00, 0x9FFF, "zh"), (0x3040, 0x30FF, "ja"), (0x0400, 0x052F, "cyrillic"),
    (0x0600, 0x06FF, "ar"), (0x0370, 0x03FF, "el"), (0x0590, 0x05FF, "he"), (0x0900, 0x097F, "hi"),
    (0x0E00, 0x0E7F, "th"), (0x0530, 0x058F, "hy"), (0x10A0, 0x10FF, "ka"), (0x0980, 0x09FF, "bn"),
    (0x0B80, 0x0BFF, "ta"), (0x0C00, 0x0C7F, "te"), (0x1100, 0x11FF, "ko"), (0x3130, 0x318F, "ko"),
    (0x3400, 0x4DBF, "zh"), (0x20000, 0x3134F, "zh"), (0x0E80, 0x0EFF, "lo"), (0x1780, 0x17FF, "km"),
    (0x1000, 0x109F, "my"), (0x0A80, 0x0AFF, "gu"), (0x0A00, 0x0A7F, "pa"), (0x0D00, 0x0D7F, "ml"),
    (0x0C80, 0x0CFF, "kn"), (0x0D80, 0x0DFF, "si"), (0xFF66, 0xFF9D, "ja"),
)  # fmt: skip
_NOT_LATIN: Final = re.compile(
    r"[\u0370-\u1dff\u3040-\u318f\u3400-\u9fff\uac00-\ud7a3\uff66-\uff9d\U00020000-\U0003134f]+"
)
_LATIN: Final = re.compile(r"[A-Za-z\u00c0-\u024f]")
_UKRAINIAN: Final = re.compile("[іїєґІЇЄҐ]")
_PERSIAN: Final = re.compile("[پچژگ]")
_WORD: Final = re.compile(r"[^\W\d_]+")
_COMPOUND: Final = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")

FUNCTION_WORDS: Final = {
    language: frozenset(words.split())
    for language, words in {
        "en": "a about after against all also an and any are as at be because been before being between both"
        " but by can could did do does during each for from had has have he her his how i if in into is it its"
        " may more most must no not of on only or other our out over shall she should so some such than that"
        " the their them then there these they this those through to under up was we were what when where"
        " which while who whom whose why will with within without would you your",
        "de": "aber als am an auch auf aus bei bis das dass dem den der des die durch ein eine einem einen"
        " einer eines er es für hat haben hatte ich ihr im in ist ist kann mit nach nicht noch nur oder sein"
        " sich sie sind so über um und unter vom von vor war was wenn werden wer wie wird wir wo wurde zu zum"
        " zur zwischen",
        "fr": "à au aux avec ce ces cette comment comme dans de des dont du elle en est et être il ils je la"
        " le les leur lui mais ne nous on ont ou où par pas plus pour quand que quel quelle qui sa sans se"
        " ses son sont sur un une vous était",
        "es": "a al como con cuál cuándo de del donde dónde el ella en entre era es esta este está fue ha"
        " hay la las lo los más no o para pero por que qué quién se sin sobre son su sus también un una y ya",
        "it": "a al alla anche che chi come con cosa da dal dalla degli dei del della delle di dove e è era"
        " gli ha i il in la le lo loro ma nel nella non o per perché più quale quando questa questo se si"
        " sono su sul sulla un una uno",
        "pt": "a ao aos as com como da das de do dos e é ela ele em entre era foi há mais mas na nas no nos"
        " não o onde os ou para pela pelo por qual quando que quem são se sem ser seu sua também um uma",
        "nl": "aan als bij dan dat de deze die dit door een en er had heeft het hij hoe hun ik in is kan maar"
        " met naar niet nog of om onder ook op over te tot uit van voor waar wanneer was wat we werd wie"
        " wordt zijn zij zich ze",
        "sv": "alla att av de den det detta där efter en ett från för ha hade han har hon hur i inte jag kan"
        " man med men mot nu när och om på sig sin som så till under upp vad var vem vid är",
        "da": "af alle at blev da de den der det dette efter en er et for fra han har havde hun hvad hvem hvor"
        " hvornår i ikke jeg kan man med men nogle og om op på sig som til ud under var ved vi være",
        "no": "alle at av ble da de den der det dette en er et etter for fra ha hadde han har hun hva hvem"
        " hvor i ikke jeg kan man med men mot noen når og om opp på seg som til under var ved vi være",
        "fi": "ei että eli en hän hänen ja jo jos joka jotka kanssa kun kuin mikä milloin missä mukaan mutta"
        " myös ne niin noin oli olla on ovat se sen sekä tai tämä vain voi",
        "pl": "a ale albo aby być co czy dla do gdy gdzie go i ich jak jako jest jego jej już kto który która"
        " które lub na nie o od oraz po pod przez przy są się tak to tym w z za ze że",
        "cs": "a aby ale ani až bez by být co do i jak jako je jeho jejich jen jsou již k kde kdo když která"
        " které který na nebo není o od po pod pro při s se si tak také to v ve z za ze že",
        "ro": "a al ale au ca care ce cel cine cu când da de din este fi fost iar în la mai nu o pe pentru"
        " prin sau se sunt să un unde",
        "hu": "a az azt be csak de egy ez ezt és ha hanem hogy ki is kell még meg mely mert mi mikor mint nem"
        " ő pedig s sem szerint vagy van volt",
        "tr": "ama bir bu çok da daha de değil en gibi hangi her için ile ise kadar kim mi mı ne nerede o"
        " olan olarak sonra ve veya ya zaman",
        "id": "ada adalah akan apa atau bagi bahwa dalam dan dapat dari dengan di ini itu juga ke kepada"
        " mereka oleh pada saat sebagai siapa telah tidak untuk yang",
        "ca": "a al amb aquest aquesta com de del dels el els en entre era és està ha i la les més no o per"
        " però que quan qui seva seu són un una va",
    }.items()
}
"""ISO 639-1 code -> the words that hold sentences of the language together and say nothing by themselves."""

_VOTES: Final[dict[str, list[tuple[str, float]]]] = {}
for _word in frozenset().union(*FUNCTION_WORDS.values()):
    _owners = [language for language, words in FUNCTION_WORDS.items() if _word in words]
    # A word that many languages share says little; a single letter may be a variable or a list item. English
    # is the likeliest, and its technical texts hold foreign-looking words and few function words.
    _weight = (1.0 if len(_word) > 1 else 0.3) / len(_owners)
    _VOTES[_word] = [(_owner, _weight * (1.5 if _owner == "en" else 1.0)) for _owner in _owners]

_LETTERS: Final = {
    letter: languages.split()
    for letters, languages in (
        ("ß", "de"), ("ñ", "es"), ("ãõ", "pt"), ("œêù", "fr"), ("ąęłńśźż", "pl"), ("ěřů", "cs"),
        ("ő", "hu"), ("ű", "hu"), ("ğı", "tr"), ("ş", "tr ro"), ("țșă", "ro"), ("ì", "it"), ("ò", "it ca"),
        ("å", "sv da no"), ("æø", "da no"), ("ä", "de sv fi"), ("ö", "de sv fi tr hu"), ("ü", "de tr hu"),
        ("ç", "fr pt tr ca"), ("č", "cs"), ("·", "ca"),
    )
    for letter in letters
}  # fmt: skip
_TELLING_LETTER: Final = re.compile(f"[{''.join(_LETTERS)}]")


# --- where its sentences end ------------------------------------------------------------------------------


def sentences(text: str, language: str | None = None) -> list[tuple[int, int]]:
    """The sentences of a text as half-open character spans, in order and without outer white space.

    Together they cover all that is not white space. A line break does not end a sentence; a blank line, and
    the beginning of a list item, do. The language, if given, helps with ordinals and abbreviations.
    """
    spans: list[tuple[int, int]] = []
    start = 0
    for gap in _BLANK_LINE.finditer(text) if "\n" in text or "\f" in text else ():
        _split(text, start, gap.start(), language, spans)
        start = gap.end()
    _split(text, start, len(text), language, spans)
    return spans


def _split(text: str, start: int, end: int, language: str | None, spans: list[tuple[int, int]]) -> None:
    """Add the sentences of one block of lines, text[start:end]."""
    start = _beginning(text, start)
    for stop in _STOP.finditer(text, start, end):
        if _ends_sentence(text, start, stop.start(), stop.end(), end, language):
            spans.append((start, stop.end()))
            start = _beginning(text, stop.end())
    end = start + len(text[start:end].rstrip())
    if start < end:
        spans.append((start, end))


def _beginning(text: str, position: int) -> int:
    found = _NOT_SPACE.search(text, position)
    return found.start() if found else len(text)


def _ends_sentence(text: str, start: int, stop: int, after: int, end: int, language: str | None) -> bool:
    """Whether the mark at `stop`, with closing quotes up to `after`, ends the sentence that began at `start`."""
    if after >= end:
        return True
    mark = text[stop]
    if mark in _WIDE_STOPS:
        # In 「…。」と言った the quotation goes on as a part of the sentence around it.
        return not (text[after - 1] in "」』" and _PARTICLE.match(text, after))
    if not text[after].isspace():
        # Korean is often set without a space after the full stop, and so ends only after a final syllable.
        return "가" <= text[after] <= "힣" and text[stop - 1] in "다요까죠음함임됨" and stop > start
    next_word = _beginning(text, after)
    if next_word >= end:
        return True
    first = text[next_word]
    if first.islower() or first in ",;:)]}%&=+":
        return False
    if mark != "." or text[stop + 1] == ".":
        return True
    before = text[start:stop].rsplit(None, 2)
    token = before[-1].lstrip("([{\"'“‘«„") if before else ""
    return _full_stop_ends(text, stop, token, before, next_word, language)


def _full_stop_ends(text: str, stop: int, token: str, before: list[str], next_word: int, language: str | None) -> bool:
    """Whether the full stop after `token` ends a sentence, or belongs to an abbreviation, initial or number."""
    first = text[next_word]
    if token.isdigit():
        if len(token) <= 3 and (len(before) == 1 or text[stop - len(token) - 1] == "\n"):
            return False  # "12. Scope": the number of a list item or section
        if first.isdigit():
            return language != "ko" and len(token) > 2  # "1989. 3."
        if language == "ko" and _NUMBER_DOT.fullmatch(before[-2]):
            return False  # "3. 12. 발표했다"
        return not (language in _ORDINAL_DOT and len(token) <= 2)  # "am 3. Oktober"
    if len(token) > 12 or not token[-1:].isalpha():
        return True
    lower = token.lower()
    if lower in _NEVER_LAST:
        return False
    if lower in _BEFORE_NUMBER:
        return not (first.isdigit() or first in "(§" or _ROMAN.match(text, next_word))
    if len(token) == 1 and token.isascii():
        if len(before) == 1:
            return False  # "a. First" or "J. Smith"
        previous = before[-2]
        if token.isupper() and previous.islower() and previous.isalpha() and previous not in _ALL_FUNCTION_WORDS:
            return True  # "vitamin D. Patients"
        return _opens_sentence(text, next_word, language)
    if lower in _MAYBE_LAST or _DOTTED.fullmatch(token):
        return _opens_sentence(text, next_word, language)
    return True


def _opens_sentence(text: str, position: int, language: str | None) -> bool:
    """Whether a word that opens sentences, and no name, stands there: "The", but not "Supreme"."""
    word = _WORD.match(text, position)
    return word is not None and word[0].lower() in FUNCTION_WORDS.get(language or "en", FUNCTION_WORDS["en"])


_WIDE_STOPS: Final = "。！？｡।؟۔։።។။"
_BLANK_LINE: Final = re.compile(
    r"\n[^\S\n]*\n\s*|\f\s*"
    r"|\n(?=[^\S\n]*[-*•◦‣▪·–][^\S\n])|(?<=[.!?:;。])\n(?=[^\S\n]*\(?\w{1,3}[.)][^\S\n])"  # list items
)
_STOP: Final = re.compile(
    rf"[.!?…{_WIDE_STOPS}][.!?…{_WIDE_STOPS}]*[\"'”’»)\]」』）】》]*(?:\[\d{{1,3}}\])*"  # with footnotes: [3]
)
_NOT_SPACE: Final = re.compile(r"\S")
_PARTICLE: Final = re.compile(r"[とてのをがにも]")
_ROMAN: Final = re.compile(r"[IVXLC]+\b")
_NUMBER_DOT: Final = re.compile(r"\d+\.")
_DOTTED: Final = re.compile(r"(?:\w{1,2}\.)+\w{1,2}")
_ORDINAL_DOT: Final = frozenset({"de", "da", "no", "fi", "cs", "hu", "tr", "pl"})
_ALL_FUNCTION_WORDS: Final = frozenset().union(*FUNCTION_WORDS.values())
_NEVER_LAST: Final = frozenset(
    "mr mrs ms mx dr prof st messrs mme mlle sr sra hr gen rep sen gov lt col sgt capt cmdr adm maj rev hon"
    " pres e.g i.e eg ie cf vs v viz approx ca resp incl esp z.b d.h u.a bzw vgl ggf zzgl inkl p.ex mt ft".split()
)
_BEFORE_NUMBER: Final = frozenset(
    "no nos nr art arts fig figs eq eqs sec sect ch chap vol vols p pp para paras pt par abs ref refs tab cap"
    " lit reg dir jan feb mar apr jun jul aug sep sept oct nov dec s núm".split()
)
_MAYBE_LAST: Final = frozenset("inc ltd co corp jr etc al ed eds dept univ bros ave blvd rd assn plc usw dgl".split())
