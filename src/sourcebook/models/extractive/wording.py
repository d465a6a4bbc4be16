"""What can be told from how questions and sentences are worded, in English and Korean; elsewhere it tells little."""

from __future__ import annotations

import re
from typing import Final

KINDS: Final = ("any", "date", "number", "person", "place", "reason", "manner", "thing")
"""What a question may ask for."""


def kind_of(question: str) -> str:
    """What an answer to the question would be, one of `KINDS`."""
    return next((kind for kind, pattern in _ASKS if pattern.search(question)), "any")


def subject_of(question: str) -> str:
    """What the question wants explained, in lower case; "" if it asks for something else."""
    for pattern in _EXPLAINS:
        if match := pattern.fullmatch(question.strip().lower()):
            return match[1]
    return ""


def leads(sentence: str) -> bool:
    """Whether it is a question or looks like a heading, so that not it but what follows may answer."""
    if sentence[-1] in "?？؟":
        return True
    if len(sentence) > _HEADING or sentence[-1] in _CLOSES or ": " in sentence or _ITEM.match(sentence):
        return False
    # "Article 17 Right to erasure" is a heading; "Annual leave 26 days" is not.
    return not any(character.isdigit() for character in _NUMBERED.sub("", sentence, count=1))


_HEADING: Final = 80  # characters; a longer line without a full stop is a sentence without a full stop
_CLOSES: Final = ".!…:;,\"'”’»)]」』。！｡"
_ITEM: Final = re.compile(r"[-*•◦‣▪·–]\s|\(?[a-z0-9]{1,3}[)]\s")
_NUMBERED: Final = re.compile(
    r"^#*\s*(?:(?:article|chapter|section|part|annex|appendix|title|§)\s*)?\d[\d.]*\s?|^제\s?\d+\s?[조장절관]",
    re.IGNORECASE,
)
_DATE_ASKED: Final = (
    r"\bwhen\b|\b(?:what|which) (?:\w+ )?(?:year|date|day|month|century|decade|time)\b|언제|몇 ?년|며칠|연도|날짜"
)
_NUMBER_ASKED: Final = (
    r"\bhow (?:many|much|long|old|far|large|big|tall|high|often|fast|deep|wide)\b|몇|얼마"
    r"|\bwhat (?:is the )?(?:\w+ )?(?:percent|percentage|number|amount|price|population|proportion)\b"
)
_PLACE_ASKED: Final = (
    r"\bwhere\b|\b(?:what|which) (?:\w+ )?(?:country|city|state|place|town|region|location)\b"
    r"|어디|어느 (?:나라|도시|곳)"
)
_ASKS: Final = tuple(
    (kind, re.compile(pattern, re.IGNORECASE))
    for kind, pattern in (
        ("date", _DATE_ASKED),
        ("number", _NUMBER_ASKED),
        ("person", r"\bwho(?:m|se)?\b|\b(?:what|which) person\b|누구|누가"),
        ("place", _PLACE_ASKED),
        ("reason", r"\bwhy\b|\bwhat (?:\w+ )?(?:reason|caused)|왜|이유"),
        ("manner", r"\bhow\b|어떻게"),
        ("thing", r"\b(?:what|which)\b|무엇|무슨|어떤|어느|뭐"),
    )
)
_EXPLAINS: Final = tuple(
    re.compile(pattern)
    for pattern in (
        r"(?:what|who) (?:is|are|was|were) (?:meant by )?(?:the |an? )?([^?]{2,40}?) ?\??",
        r"what does (?:the |an? )?([^?]{2,40}?) mean ?\??",
        r"(?:please )?(?:define|explain|describe|tell me about) (?:the |an? )?([^?]{2,40}?)[.?]?",
        r"(?:definition|meaning) of (?:the |an? )?([^?]{2,40}?) ?\??",
        r"([^?]{2,40}?) (?:definition|meaning)",
        r"([^?]{1,30}?)(?:이란|란|은|는|이|가)? ?(?:무엇|뭐|뭔|무슨 뜻|의미|정의)[^?]{0,12}\??",
    )
)
MEANS: Final = re.compile(
    r"\w{0,2}[\"'”’»)]*(?: \([^)]*\))?,?"
    r"(?: (?:(?P<sure>means?|refers? to|denotes?|is defined|are defined|stands for)|is|are|was|were)\b"
    r"|(?:이란|란)(?P<korean>)|은 |는 )"
)
# Words that ask, but that the analyzer takes for words to be found.
ASKING: Final = re.compile(
    r"\bhow (?:many|much|long|often|large|big|high)\b|몇|얼마(?:나|를|인가)?|어떻게|누구|누가|왜", re.IGNORECASE
)
WORD: Final = re.compile(r"\w+(?:['’.-]\w+)*")
NUMBER: Final = re.compile(
    r".*\d.*|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|dozen|once|twice|half|third|quarter"
    r"|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundreds?|thousands?|millions?|billions?"
)
DATE: Final = re.compile(
    r"\b(?:1\d|20)\d\ds?\b|\d+ ?(?:bce?|ad|ce)\b|centur|decade|\b(?:march|may) \d"
    r"|\b(?:january|february|april|june|july|august|september|october|november|december)\b"
    r"|\b(?:mon|tues|wednes|thurs|fri|satur|sun)day\b|\b(?:hour|day|week|month|year)s?\b|\d+ ?(?:년|월|일|세기|시간)"
)
REASON: Final = re.compile(
    r"\b(?:because|due to|in order|so that|as a result|therefore|thus|since|caused|owing|reason|for this|led to"
    r"|to (?:avoid|prevent|help|make|ensure|protect))\b|때문|위해|위하여|까닭|이유|므로"
)
LEANS: Final = re.compile(
    r"(?:he|she|it|they|this|these|those|that|such|his|her|its|their|however|but|and|also|then|there|both|another"
    r"|other)\b|이는|그는|그녀|그것|이것|이러한|그러나|하지만|그리고|또한|그들"
)
