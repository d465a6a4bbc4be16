"""What the sentences of a reply are: those that say something and need a source, and those that do not."""

from __future__ import annotations

import re
from typing import Final, Literal

from sourcebook.language import detect
from sourcebook.prompt import particulars
from sourcebook.prompt.markers import Sentence
from sourcebook.prompt.terms import Words

Kind = Literal["claim", "remark", "unknown", "frame"]
"""claim: it states something that a source should say. remark: it does, in too few words to be checked ("Yes.").

unknown: it says that the passages do not answer, and nothing else. frame: a heading, a question, code, what leads in
or is only polite.
"""


def kind_of(sentence: Sentence, asked: str, words: Words) -> Kind:
    """What a sentence of a reply is. asked: the question, whose words and figures it may repeat without a source."""
    text = sentence.text.strip()
    if sentence.code or not text or text.endswith(("?", "？")) or _HEADING.match(text) or _RULE.fullmatch(text):
        return "frame"
    cited = any(mark.number for mark in sentence.marks)
    text = _NOD.sub("", _BULLET.sub("", text))
    figures = any(character.isdigit() for character in text)
    if text.endswith((":", "：")) and (not figures or _LEADS_IN.search(text)):
        return "frame"
    if not cited and not figures and _CIVILITY.fullmatch(text):
        return "frame"
    if _abstains(sentence, text, asked, words):
        return "unknown"
    if _YES_OR_NO.fullmatch(text):
        return "remark"
    terms = len(set(words(text)))
    return "claim" if figures or terms >= (1 if cited else _LEAST_TERMS) else "remark"


def _abstains(sentence: Sentence, text: str, asked: str, words: Words) -> bool:
    """Whether it says that the passages do not answer, by the marker [0] or in so many words, and nothing besides.

    What is not known can be named, in words of its own as well; but a figure that was not asked about, a name beside
    that clause, and what follows a "but" are something that is said.
    """
    found = _UNKNOWN.search(text)
    if found is None and not any(mark.number == 0 for mark in sentence.marks):
        return False
    known = particulars.amounts(asked)
    if any(not amount & known for _, amount in particulars.numbers(text)):
        return False
    clauses = _clauses(text, _CLAUSE, found) if found else [text]
    if any(name.casefold() not in asked.casefold() for name in _names(clauses, text)):
        return False
    own = set(words(asked))
    return all(len(set(words(part)) - own) < _LEAST_TERMS for part in (_clauses(text, _BUT, found) if found else []))


def _clauses(text: str, ends: re.Pattern[str], without: re.Match[str]) -> list[str]:
    """The parts of a text between such ends, but for those that the match lies in."""
    cuts = [0, *(place for end in ends.finditer(text) for place in end.span()), len(text)]
    return [
        text[start:end]
        for start, end in zip(cuts[::2], cuts[1::2], strict=True)
        if end <= without.start() or start >= without.end()
    ]


def _names(clauses: list[str], text: str) -> list[str]:
    """Names in clauses of a text; a word is not one for standing first in the text."""
    language = detect(text)
    found = [particulars.names(clause if text.startswith(clause) else f"- {clause}", language) for clause in clauses]
    return [name for names in found for name in names]


_LEAST_TERMS: Final = 2
_HEADING: Final = re.compile(r"#{1,6}(?:\s|\Z)")
_RULE: Final = re.compile(r"[\s|:*_=-]+")
_BULLET: Final = re.compile(r"^\s*\d{1,2}[.)]\s")
_NOD: Final = re.compile(r"(?i)^(?:sure|certainly|of course|absolutely|yes|no)\s*[,!.:—–-]+\s+(?=\S)")
_YES_OR_NO: Final = re.compile(
    r"(?i)(?:yes|no|true|false|ja|nein|oui|non|s[íì]|não|sim|nee|да|нет|네|예|아니요|はい|いいえ|是|否|不)\W*"
)
_LEADS_IN: Final = re.compile(r"(?i)\b(?:here (?:is|are)|the following|as follows|below)\b")
_CLAUSE: Final = re.compile(r"[,;:.!?()–—。、，；！？]+")
_BUT: Final = re.compile(
    r"(?i)[,;.]?\s+(?:but|however|though|although|yet|nevertheless|still|aber|jedoch|doch|mais|cependant|pero"
    r"|sin embargo|ma|però|mas|porém|maar|echter)\b,?|[;:—–]|(?:지만|으나),?\s|[，,。]?(?:但是?|不过|然而)"
)
_CIVILITY: Final = re.compile(
    r"(?i)(?:i hope (?:this|that|it) (?:helps?|answers?|clarifies|is (?:helpful|clear))\b.{0,60}"
    r"|(?:please )?(?:let me know|feel free to (?:ask|reach out|contact me|let me know))\b.{0,120}"
    r"|if you(?:['’]d)? (?:have|need|want|would like|like)(?: to)? (?:\w+ ){0,2}"
    r"(?:questions?|help|assistance|information|details?|clarifications?|know more)\b(?: (?:on|about) this)?"
    r"(?:,? (?:please )?(?:just )?(?:let me know|feel free|ask|don['’]t hesitate|do not hesitate|i['’]m|i am|i can"
    r"|i will|i['’]ll)\b.{0,60})?"
    r"|in summary|ich hoffe,? .{0,80}|n['’]hésitez .{0,80}|espero que .{0,80}|sure|certainly|of course)\W*"
)
_UNKNOWN: Final = re.compile(
    r"(?i)\b(?:i|we) (?:do not|don['’]t|cannot|can['’]t|could not|couldn['’]t|am unable to|are unable to)"
    r" (?:know|find|answer|say|tell|determine)"
    r"|\b(?:passages?|documents?|sources?|context|texts?|information|evidence)\b[^.]{0,40}?"
    r" (?:do|does|did)(?: not|n['’]t)"
    r" (?:say|state|mention|contain|provide|specify|answer|include|give|tell|address|indicate)"
    r"|\b(?:is|are|was|were) not (?:said|stated|mentioned|given|provided|specified|contained|found|answered|addressed)"
    r" (?:in|by) the (?:\w+ )?(?:passages?|documents?|sources?|context|texts?)"
    r"|\bno (?:information|passage|mention)\b[^.]{0,30} (?:about|on|of|answers?|in the)|\binsufficient information\b"
    r"|\bweiß (?:ich|es)? ?(?:es )?nicht|\bich weiß (?:es )?nicht"
    r"|keine (?:angaben?|informationen) |geht [^.]{0,60}nicht hervor"
    r"|\bje ne (?:le )?sais pas|ne (?:le )?(?:mentionnent|précisent|contiennent|disent|permettent) pas"
    r"|aucune information"
    r"|\bno (?:lo )?sé\b|no (?:lo )?(?:mencionan|contienen|indican|dicen)|no hay información"
    r"|\bnon (?:lo )?so\b|non (?:lo )?(?:menzionano|contengono|indicano|dicono)"
    r"|\bnão sei\b|não (?:mencionam|contêm|indicam|dizem)|\bweet (?:ik )?(?:het )?niet\b"
    r"|\bне знаю\b|не (?:указан|упомина|содерж)"
    r"|모르겠|알 수 없|찾을 수 없|답할 수 없|언급(?:되어|돼|이)? ?(?:있지 않|없|되지 않)|정보가 없|나와 ?있지 않"
    r"|わかりません|分かりません|記載(?:が|は|されて)[^。]{0,6}(?:ありません|ない|いません)|不明です"
    r"|不知道|无法(?:回答|确定|得知)|沒有(?:提到|提及)|没有(?:提到|提及|说明|相关)|未(?:提及|提到|说明)"
)
