"""Facts and preferences that users state, found in their turns.

A model that generates reads what the user said and what was answered, and writes what is worth recalling; without
one, whole sentences of the user that state something of himself are kept as they stand. A fact that is in the user's
own words belongs to the user's turn; one that has words of the answer belongs to the answer's, and is forgotten with
what that was made from. Secrets are not remembered.

What a model writes is not believed alone, for it has read documents, too: preferences are in the user's words, and
notes end only where the user's own words end them.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from sourcebook.catalog.conversations import Conversation, Turn, read_conversation
from sourcebook.catalog.facts import Fact, Learned, keep_facts, recallable_facts
from sourcebook.errors import ModelError
from sourcebook.models.base import JsonSchema
from sourcebook.prompt.aside import Payer, ask_aside
from sourcebook.prompt.fence import code_of
from sourcebook.prompt.similarity import similarities
from sourcebook.prompt.stating import LONGEST, SECRET, Statement, may_state, stated
from sourcebook.prompt.summary import OF_THE_TEXT, beginning
from sourcebook.types import Scope, Usage

if TYPE_CHECKING:
    from pathlib import Path

    from sourcebook.catalog.catalog import Catalog
    from sourcebook.embed.base import Embedder
    from sourcebook.models.base import Model
    from sourcebook.prompt.terms import Words


@dataclass(frozen=True, kw_only=True, slots=True)
class Lesson:
    """What was done: facts that are new, what it cost, and what went wrong."""

    facts: int = 0
    usage: Usage = field(default_factory=Usage)
    notes: tuple[str, ...] = ()


async def learn(
    catalog: Catalog,
    name: str,
    scope: Scope,
    *,
    model: Model,
    embedder: Embedder,
    words: Words,
    account: str = "default",
    home: Path | None = None,
) -> Lesson:
    """Learn from the turns of a conversation that have not been looked at yet.

    Each exchange is one transaction, in which what was learned is written and the exchange noted as looked at. A
    model is only asked about turns that seem to state something; where it refuses one, the rule stands in. home: of
    the book, whose own template `learn` comes first. Errors: NotFound, EmbedError, PromptError; a model's error is a
    note, and where it may pass, the rest is for the next time.
    """
    learned, usage = 0, Usage()
    notes: list[str] = []
    conversation = await asyncio.to_thread(read_conversation, catalog, name, scope, last=_LAST)
    asked: Turn | None = None
    for turn in conversation.turns:
        if turn.number <= conversation.learned or turn.role == "user":
            asked = turn if turn.role == "user" else None
            continue
        if asked is None:
            continue
        statements: Sequence[Statement] = ()
        if may_state(asked.text):
            try:
                statements, cost = await _statements(
                    catalog, conversation, asked, turn, scope, model, embedder, words, account, home
                )
                usage += cost
            except OF_THE_TEXT as error:
                notes.append(f"Facts were learned by rule from turn {asked.number}: {error}")
                statements = stated(asked.text)
                usage += error.usage or Usage()
            except ModelError as error:
                notes.append(f"No facts could be learned from turn {asked.number}: {error}")
                usage += error.usage or Usage()
                break
        learned += await _keep(catalog, conversation, asked, turn, statements, embedder, words)
        conversation = await asyncio.to_thread(read_conversation, catalog, name, scope, last=0)
        if conversation.learned != turn.number:
            break  # another process is learning from this conversation
    return Lesson(facts=learned, usage=usage, notes=tuple(notes))


async def _keep(
    catalog: Catalog,
    conversation: Conversation,
    asked: Turn,
    answered: Turn,
    statements: Sequence[Statement],
    embedder: Embedder,
    words: Words,
) -> int:
    statements = [one for one in statements if not SECRET.search(one.text)]
    texts = [one.text for one in statements if one.text]
    vectors = dict(zip(texts, await embedder.embed(texts), strict=True)) if texts else {}
    facts = [
        Learned(
            kind=one.kind,
            text=one.text,
            number=asked.number if in_words_of(one.text, asked.text, words) else answered.number,
            vector=vectors[one.text],
        )
        for one in statements
        if one.text
    ]
    replaced = {name for one in statements for name in one.replaces}
    return await asyncio.to_thread(
        keep_facts,
        catalog,
        conversation,
        facts,
        upto=answered.number,
        fingerprint=embedder.fingerprint,
        replaced=replaced,
    )


def in_words_of(fact: str, said: str, words: Words) -> bool:
    """Whether every word of a fact, but for those that say that it is about the user, is one of the user's."""
    own = set(words(said))
    return all(term in own for term in words(_ABOUT_USER.sub(" ", fact)))


async def _statements(
    catalog: Catalog,
    conversation: Conversation,
    asked: Turn,
    answered: Turn,
    scope: Scope,
    model: Model,
    embedder: Embedder,
    words: Words,
    account: str,
    home: Path | None,
) -> tuple[Sequence[Statement], Usage]:
    if model.capabilities.cites:
        return stated(asked.text), Usage()
    from sourcebook.prompt.templates import load

    known = await _near(catalog, conversation, asked.text, scope, embedder, words)
    template = load("learn", home)
    longest = model.window // 4
    said, answered_ = (beginning(turn.text, longest, model.count_tokens) for turn in (asked, answered))
    given: dict[str, object] = {"said": said, "answered": answered_, "notes": [one.text for one in known]}
    if "fence" in template.variables:
        given["fence"] = code_of([said, answered_, *(one.text for one in known)], salt=conversation.id)
    reply = await ask_aside(
        model,
        template.messages(**given),
        purpose="remember",
        tokens=_REPLY_TOKENS,
        seconds=_SECONDS,
        payer=Payer(tenant=conversation.tenant, account=account),
        schema=_SCHEMA,
    )
    found = _read_reply(reply.text, known)
    if found is None:  # not what was asked for: the user's own sentences are certain
        return stated(asked.text), reply.finish.usage
    elsewhere = {term for one in known if one.conversation != conversation.id for term in words(one.text)}
    borrowed = elsewhere.difference(
        words(answered.text), *(words(one.text) for one in known if one.conversation == conversation.id)
    )
    believed = (_believed(one, asked.text, borrowed, words) for one in found)
    return [one for one in believed if one is not None], reply.finish.usage


def _believed(one: Statement, said: str, borrowed: Collection[str], words: Words) -> Statement | None:
    """What may be believed of a statement that a model has read out of what the user said; None: nothing.

    borrowed: words that only notes from other conversations have, which such notes must not hand on: they go with
    their own conversation.
    """
    if not one.text:
        return one if _FORGETS.search(said) else None
    if in_words_of(one.text, said, words):
        return one
    own, its = set(words(said)), set(words(_ABOUT_USER.sub(" ", one.text)))
    if one.kind == "preference" or not own & its or (its - own).intersection(borrowed):
        return None
    return one if _ENDS.search(said) else replace(one, replaces=())


async def _near(
    catalog: Catalog, conversation: Conversation, said: str, scope: Scope, embedder: Embedder, words: Words
) -> list[Fact]:
    """What the user has said before about the same: it may be repeated, or ended. Nothing made from documents."""
    import numpy as np

    facts = await asyncio.to_thread(recallable_facts, catalog, scope, conversation.owner, conversation.id)
    facts = [one for one in facts if one.fingerprint == embedder.fingerprint and not one.origins]
    if not facts:
        return []
    vectors = np.stack([one.vector for one in facts])
    scores = await similarities(said, [one.text for one in facts], vectors, embedder=embedder, words=words)
    return [facts[i] for i in np.argsort(-scores, kind="stable")[:_KNOWN]]


def _read_reply(text: str, known: Sequence[Fact]) -> list[Statement] | None:
    """The statements that a reply holds, or None if it is not the JSON that was asked for."""
    start, end = text.find("{"), text.rfind("}")
    try:
        rows = json.loads(text[start : end + 1])["notes"]
        return [one for row in rows[:_MOST] if (one := _statement(row, known)) is not None]
    except (ValueError, KeyError, TypeError, IndexError):
        return None


def _statement(row: object, known: Sequence[Fact]) -> Statement | None:
    if not isinstance(row, dict):
        raise TypeError("not a note")
    text, numbers = row.get("text", ""), row.get("replaces", [])
    if not isinstance(text, str) or not isinstance(numbers, list):
        raise TypeError("not a note")
    text = " ".join(text.split())[:LONGEST]
    replaces = tuple(known[n - 1].id for n in numbers if isinstance(n, int) and 1 <= n <= len(known))
    if not text and not replaces:
        return None
    return Statement(kind="preference" if row.get("kind") == "preference" else "fact", text=text, replaces=replaces)


_SCHEMA: Final[JsonSchema] = {
    "type": "object",
    "properties": {
        "notes": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "text": {"type": "string"},
                    "kind": {"type": "string", "enum": ["fact", "preference"]},
                    "replaces": {"type": "array", "items": {"type": "integer"}},
                },
                "required": ["text", "kind", "replaces"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["notes"],
    "additionalProperties": False,
}


_SECONDS: Final = 60.0  # for one model call; nobody waits for it, but it may hold up what somebody waits for
_LAST: Final = 40  # turns; what is older and was not looked at is not learned from
_KNOWN: Final = 8  # notes that a model is shown
_MOST: Final = 8  # notes that one turn may give
_REPLY_TOKENS: Final = 400

_ABOUT_USER: Final = re.compile(
    r"(?i)\b(?:the )?users?(?:['’]s)?\b|\b(?:is|has|wants?|prefers?|likes?|works?|lives?|uses?|says?|name)\b"
    r"|사용자(?:는|은|가|의|이름은)?"
)
_FORGETS: Final = re.compile(  # asks that something be remembered no more, or says that it was never so
    r"(?i)\b(?:forget|no longer|not any ?more|any(?:more| longer)|delete|remove|wrong|not true|never mind)\b"
    r"|잊어|지워|삭제|더 ?이상|틀렸"
)
_ENDS: Final = re.compile(  # says that something is otherwise now
    _FORGETS.pattern + r"|\b(?:instead|used to|moved|changed|left|quit|stopped|now)\b"
    r"|이제|그만|바뀌|바꿨|옮겼|아니(?:에요|야|라)"
)
