"""Rules for what users state of themselves and of how answers should be, in English and Korean: without a model."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sourcebook.language import sentences

if TYPE_CHECKING:
    from sourcebook.catalog.facts import FactKind

LONGEST: Final = 300  # characters of a note


@dataclass(frozen=True, kw_only=True, slots=True)
class Statement:
    """Something that a turn says. replaces: ids of facts that it ends."""

    kind: FactKind
    text: str
    replaces: tuple[str, ...] = ()


def may_state(text: str) -> bool:
    """Whether a turn seems to hold more than a question: it speaks of the user, or of how answers should be."""
    return bool(_SPEAKS_OF_SELF.search(text)) or any(
        not text[start:end].rstrip("\"'”’)]」").endswith(("?", "？")) and len(text[start:end].split()) > 2
        for start, end in sentences(text)
        if not _INTERROGATIVE.match(text[start:end])
    )


def stated(text: str) -> list[Statement]:
    """The sentences of a user's turn that state something of the user, or how answers should be, as they stand.

    A rule for English and Korean, and a modest one: what it does not recognise is not remembered.
    """
    found = []
    for start, end in sentences(text):
        sentence = " ".join(text[start:end].split())
        if sentence.endswith(("?", "？")) or len(sentence) > LONGEST or SECRET.search(sentence):
            continue
        if _PREFERS.search(sentence):
            found.append(Statement(kind="preference", text=sentence))
        elif _STATES.search(sentence) and not _SEEKS.search(sentence):
            found.append(Statement(kind="fact", text=sentence))
    return found


_SPEAKS_OF_SELF: Final = re.compile(
    r"(?i)\b(?:i|i['’]m|i['’]ve|i['’]d|my|mine|me|we|we['’]re|our|us)\b"
    r"|\b(?:remember|forget|always|never|from now on)\b"
    r"|(?:^|[\s\"'])(?:나|저|내|제|우리|저희)(?:는|은|가|의|를|도|한테|에게)?(?=\s|$)|기억|잊어|앞으로|항상|절대"
)
_INTERROGATIVE: Final = re.compile(
    r"(?i)\s*(?:what|who|whom|whose|when|where|why|how|which|is|are|was|were|do|does|did|can|could|will|would|should"
    r"|may|has|have|and|or|tell|show|list|find|give|explain|describe|compare|summari[sz]e)\b"
)
_PREFERS: Final = re.compile(
    r"(?i)^(?:please,? )?(?:always|never|from now on|in (?:the )?future)\b|\bfrom now on\b"
    r"|^(?:please,? )?(?:answer|reply|respond|write|keep (?:your|the) answers?)\b"
    r"|\bI (?:would |['’]d )?(?:prefer|like) (?:you|your|the|short|long|brief|detailed|answers?)\b.*\banswers?\b"
    r"|앞으로(?:는|도)?\s|^항상\s|(?:답변|대답|답)(?:은|을|해)?.*(?:해 ?줘|해 ?주세요|하세요|주세요|바랍니다)[.!]?$"
)
_STATES: Final = re.compile(
    r"(?i)\b(?:remember|note|keep in mind|don['’]t forget) (?:that|this|:)|^(?:for your information|fyi)\b|\bcall me\b"
    r"|\b(?:my|our) (?:\w+ ){1,4}(?:is|are|was|were|has|have)\b"
    r"|\b(?:i|we)(?: am|['’]m| are|['’]re) (?!not sure|sorry|afraid)"
    r"|\b(?:i|we) (?:\w+ly )?(?:work|live|use|own|run|manage|study|teach|prefer|like|love|hate|speak|moved|bought"
    r"|joined|started|decided|plan|have|had)\b|\b(?:i|we)['’]ve (?:been|got|moved|bought|joined|started|decided)\b"
    r"|기억해|(?:내|제|우리|저희) \S+(?:는|은|이|가) "
    r"|(?:^|\s)(?:나는|난|저는|전|우리는|저희는) .*(?:다|요|죠|임|음)[.!]?$"
)
_SEEKS: Final = re.compile(  # says what is asked, and will not matter tomorrow
    r"(?i)\bi(?: am|['’]m) (?:looking|asking|wondering|trying|searching|interested|curious|confused)\b"
    r"|\b(?:i|we) (?:have|had) (?:a|another|one|some|two|\d+) (?:\w+ )?questions?\b"
    r"|\bi (?:would )?(?:like|love) to (?:know|ask)\b"
    r"|궁금|알고 싶|질문(?:이|을|드|하)|모르겠"
)
SECRET: Final = re.compile(
    r"(?i)\bpass(?:word|phrase|code)s?\b|\bapi[ _-]?keys?\b|\bsecret key\b|\baccess token\b|\bcvv\b|\bssn\b"
    r"|\bsocial security\b|\bcredit card\b|\bpin (?:is|code|number)\b|\b(?:\d[ -]?){13,19}\b|\b\d{6}-[1-4]\d{6}\b"
    r"|비밀번호|패스워드|주민(?:등록)?번호|카드 ?번호|인증 ?키"
)
"""What is never remembered."""
