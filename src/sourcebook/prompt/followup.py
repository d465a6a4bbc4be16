"""Rules for follow-up and compound questions, in English and Korean: what can be done without a model.

A question that leans on the conversation (pronouns, "what about", hardly a word of its own) gets the words that the
question before it was about; nothing else is touched. They are added and not put in place of a pronoun: a search
and a reader of passages go by words, and a wrong guess then costs little. Only "What about Korea?" becomes the
question before with Korea in the place of Japan.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from sourcebook.language import FUNCTION_WORDS, sentences

if TYPE_CHECKING:
    from sourcebook.catalog.conversations import Turn
    from sourcebook.prompt.terms import Words


def resolve(question: str, turns: Sequence[Turn], words: Words) -> str:
    """The question with what it leaves out in brackets behind it, or unchanged if it stands alone.

    turns: those before it, oldest first. Each question is resolved by the ones before it, so that a chain of
    follow-ups keeps its subject.
    """
    before = answer = ""
    for turn in turns:
        if turn.role == "user":
            before, answer = _resolved(turn.text, before, answer, words), ""
        elif not turn.removed:
            answer = turn.text
    return _resolved(question, before, answer, words)


def leans(question: str, words: Words) -> bool:
    """Whether a question cannot be understood alone."""
    if _OPENS_FOLLOW_UP.match(question) or _KOREAN_FRAGMENT.match(question) or _KOREAN_POINTS.search(question):
        return True
    for found in _POINTS.finditer(_EXPLETIVE.sub(" ", question)):
        ahead = question[: found.start()]
        clause = _CLAUSE.split(ahead)
        if len(clause) == 1 or not words(clause[0]):  # else what it stands for was named in the question itself
            return True
    own = set(words(question)) - ASKING
    return not own or (len(own) == 1 and bool(_DEFINITE.search(question)))


def split(question: str, words: Words) -> tuple[str, ...]:
    """The questions that one text holds, each with what it leaves out of the one before it."""
    compared = _COMPARED.search(question) or _COMPARED_KOREAN.search(question)
    if compared:
        one, other = (" ".join(part.split()).strip(" ,.?") for part in compared.group("one", "other"))
        return (question, one, other)
    parts: list[str] = []
    said = ""  # sentences that ask nothing go with the question behind them
    for start, end in sentences(question):
        sentence = question[start:end]
        if sentence.endswith((".", "!", "。")):
            said += f"{sentence} "
            continue
        asked = _joined(_JOINT.split(sentence))
        parts += [said + asked[0], *asked[1:]]
        said = ""
    if said and parts:
        parts[-1] += f" {said.strip()}"
    found: list[str] = []
    for part in parts:
        found.append(_resolved(part, found[-1], "", words) if found else part)
    return tuple(found)


def _joined(parts: Sequence[str]) -> list[str]:
    """The questions of one sentence, each with its mark; what asks nothing stays with what follows."""
    found: list[str] = []
    before = ""
    for part in (one.strip(" ,;") for one in parts):
        if _HANGUL.search(part) and not _KOREAN_INTERROGATIVE.search(part) and part[-1] not in "?？":
            before += f"{part} "
            continue
        found.append(before + part + ("" if part[-1:] in "?？" else "?"))
        before = ""
    return found or [before.strip()]


def _resolved(question: str, before: str, answer: str, words: Words) -> str:
    if not before or not leans(question, words):
        return question
    if swapped := _swapped(question, before):
        return swapped
    said = set(words(question))
    added: list[str] = []
    for word in [*_subject(before), *_names(answer)]:
        terms = words(word)
        if terms and not said.issuperset(terms):
            added.append(word)
            said.update(terms)
    return f"{question} ({' '.join(added[:_MOST])})" if added else question


def _swapped(question: str, before: str) -> str | None:
    """The question before with one thing in it changed: "What about Korea?", "And for chairs?"; None if it is not so.

    What takes the new thing's place follows the same preposition, or is a name as it is one.
    """
    found = _SWAP.fullmatch(question)
    if found is None:
        return None
    link, new = found["link"], found["new"]
    if link:
        places = list(re.finditer(rf"(?i:\b{link}\s+)(?P<old>{_NAME.pattern}|(?:(?i:the|a|an)\s+)?[\w’'-]+)", before))
    elif new[0].isupper():
        places = [one for one in re.finditer(rf"(?P<old>{_ONE_NAME})", before) if one.start()]
    else:
        return None
    if not places:
        return None
    start, end = places[-1].span("old")
    return before[:start] + new + before[end:]


def _subject(question: str) -> list[str]:
    """The words of a question that say what it is about, as they are written; Korean ones without their endings."""
    found = []
    for word in _WORD.findall(question):
        if _HANGUL.search(word):
            if _KOREAN_ASKING.search(word):
                continue
            word = _PARTICLES.sub("", word) or word
        elif word.casefold() in FUNCTION_WORDS["en"] or word.casefold() in ASKING:
            continue
        found.append(word)
    return found


def _names(answer: str) -> list[str]:
    """Names of several words that the first sentence of an answer gives: what it is about may be asked for next."""
    spans = sentences(answer)
    return _NAME.findall(answer[: spans[0][1]])[:2] if spans else []


_MOST: Final = 8  # words that are added
_WORD: Final = re.compile(r"[^\W_]+(?:[-'’.&/][^\W_]+)*")
_HANGUL: Final = re.compile(r"[가-힣]")
_NAME: Final = re.compile(r"\b[A-Z][\w’'-]+(?: (?:of |de |van |von )?[A-Z][\w’'-]+)+")
_ONE_NAME: Final = r"\b[A-Z][\w’'-]*(?: (?:of |de |van |von )?[A-Z][\w’'-]+)*"
_SWAP: Final = re.compile(
    r"\s*(?i:(?:(?:and|or|but)\s+)?(?:what|how)\s+about\s+|(?:and|or|but)\s+)"
    r"(?i:(?P<link>for|in|to|from|at|with|on|of|by)\s+)?"
    r"(?P<new>(?:(?i:the|a|an)\s+)?[\w’'-]+(?: [\w’'-]+){0,2})\s*\?*\s*"
)

ASKING: Final = frozenset(
    "long much many often far old soon take takes tell explain describe show give list say mean means know find"
    " possible please thanks work works happen happens apply applies exactly really kind sort thing things about"
    " any some there and or also else more details example examples 왜 얼마 몇 어떻게 며칠 걸리 알리 알려주".split()
)
"""Words that ask, and say nothing of what is asked about."""

_OPENS_FOLLOW_UP: Final = re.compile(
    r"(?i)\s*(?:and|but|or|so|also|then|ok(?:ay)?,?)\s+(?!\w+ or\b)|\s*(?:what|how) about\b|\s*what if\b"
    r"|\s*why(?: not)?\s*\?"
    r"|\s*how (?:so|come)\b|\s*(?:can|could) you (?:explain|elaborate|say more)\b|\s*(?:tell|say) (?:me )?more\b"
    r"|\s*(?:when|where|who|which|how (?:much|many|long|often)|what else|anything else|go on)\s*\?*\s*$"
)
_EXPLETIVE: Final = re.compile(
    r"(?i)\b(?:is|was|would|will|be)\s+it\s+(?=(?:\w+ly\s+)?(?:possible|necessary|allowed|required|true|ok(?:ay)?|legal|safe"
    r"|better|worth|likely|mandatory|enough)\b(?!\s*\?))|\bit\s+(?:is|was)\s+(?:possible|necessary|allowed|required)\b"
)
_POINTS: Final = re.compile(
    r"(?i)\b(?:it|its|itself|they|them|their|theirs|he|him|his|she|her|hers)\b"
    r"|\b(?:these|those)\b|\bthis\b(?!\s+(?:year|month|week|quarter|morning|time))"
    r"|\bthat\s*(?=[?.!,]|$)|(?:^|\b(?:about|of|for|in|on|with|than|like|after|before|from|to|by|is|was|does|did|do|can|why)\s)that\b"
    r"|\bthere\s*(?=[?.!]|$)|\bthe (?:former|latter|same|other one|others)\b|\b(?:which|this|that|the|another) ones?\b"
    r"|\bthe (?:first|second|third|last)(?: one)?\s*(?=[?.!]|$)|\b(?:instead|otherwise)\b"
)
_DEFINITE: Final = re.compile(r"(?i)\b(?:the|my|our|your)\s+[\w'’-]+\s*[?.!]*\s*$")
_CLAUSE: Final = re.compile(r"(?i),|\b(?:if|when|and|because|after|before|once|where|while|whether|that|which|who)\b")

_KOREAN_POINTS: Final = re.compile(
    r"(?:^|\s)(?:(?:그|이|저)(?:것|거|건|게|걸)|거기|여기|그곳|이곳|그때|그분|그녀|그들|그중|그 중|이 중)"
    r"\S{0,3}(?=\s|\?|$)"
    r"|(?:^|\s)(?:그|이|해당|위|위의|앞의|같은|다른) \S"
    r"|(?:^|\s)(?:그럼|그러면|그렇다면|그리고|그런데|근데|그래도|그런|이런|그렇게|이렇게)(?=\s|,|$)"
)
_KOREAN_FRAGMENT: Final = re.compile(r"\s*\S*[가-힣](?:은|는|도)(?:요)?\s*[?？]\s*$")
_KOREAN_ASKING: Final = re.compile(
    r"^(?:얼마|언제|어디|누구|누가|무엇|뭐|무슨|어떤|어떻게|왜|몇|어느|그럼|그러면|그리고|그런데|근데|그것|그거|이것|이거|알려|설명)"
    r"|(?:나요|까요|까|어요|아요|에요|예요|해요|세요|가요|지요|죠|니다|습니까|는지|은지|인지|하고|되고|이고|는데|줘)$"
)
_PARTICLES: Final = re.compile(
    r"(?<=[가-힣A-Za-z0-9])(?:에서는|에서|에게|한테|으로는|으로|이라는|라는|이란|까지|부터|마다|처럼|보다|에는|은요|는요|은|는|이|가|을|를|의|에|로"
    r"|와|과|도|만|란)$"
)

_INTERROGATIVES: Final = "얼마|언제|어디|누구|누가|무엇|뭐|무슨|어떤|어떻게|왜|몇|어느"
_JOINT: Final = re.compile(
    r"(?i)[,;]?\s+(?:and|as well as)\s+(?:also\s+)?(?=(?:what|who|whom|whose|when|where|why|how|which)\b)"
    rf"|(?<=[가-힣][고며]),?\s+(?=.*(?:{_INTERROGATIVES}))"
)
_KOREAN_INTERROGATIVE: Final = re.compile(_INTERROGATIVES)
_COMPARED: Final = re.compile(
    r"(?i)\b(?:differences?\s+between|compare)\s+(?P<one>.+?)\s+(?:and|with|to|versus|vs\.?)\s+(?P<other>[^?]+)"
)
_COMPARED_KOREAN: Final = re.compile(
    r"(?P<one>\S[^?]*?)(?:와|과|하고|이랑|랑)\s+(?P<other>[^?]+?)(?:의|은|는)?\s*(?:차이|비교|다른 점)"
)
