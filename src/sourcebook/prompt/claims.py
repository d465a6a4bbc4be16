"""Which sentences of a reply need a source: those that say something, not those that lead in, ask, or do not know."""

from __future__ import annotations

import re
from typing import Final

from sourcebook.prompt.markers import Sentence
from sourcebook.prompt.terms import Words


def abstains(sentence: Sentence) -> bool:
    """Whether it says that the passages do not answer: by the marker [0], or in so many words."""
    return any(mark.number == 0 for mark in sentence.marks) or bool(_UNKNOWN.search(sentence.text))


def claims(sentence: Sentence, words: Words) -> bool:
    """Whether it states something that a source should say."""
    text = sentence.text.strip()
    if sentence.code or not text or text.startswith("#") or text.endswith((":", "：", "?", "？")):
        return False
    if _RULE.fullmatch(text) or _CIVILITY.match(text) or abstains(sentence):
        return False
    return len(set(words(text))) >= _LEAST_TERMS or any(character.isdigit() for character in _BULLET.sub("", text))


_LEAST_TERMS: Final = 2
_RULE: Final = re.compile(r"[\s|:*_=-]+")
_BULLET: Final = re.compile(r"^\s*\d{1,2}[.)]\s")
_CIVILITY: Final = re.compile(
    r"(?i)(?:i hope|let me know|if you (?:have|need|want|would)|feel free|sure\b[,!]|certainly\b[,!]|in summary\W*$"
    r"|ich hoffe|n'hésitez|espero que)"
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
