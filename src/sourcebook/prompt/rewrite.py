"""Questions made ready to be searched for: standing alone, taken apart, in other words.

    stand_alone    the last question of a conversation -> one that is understood without the conversation
    decompose      a compound question -> simpler ones, each to be searched for by itself
    vary           a question -> the same in other words, for a search with each of them

A model that generates does it, within a bound of tokens and seconds; where it fails, the question stays as asked and
a note says so. With a model that only quotes, the rules of `followup` do what rules can, and nothing is varied.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Literal

from sourcebook.errors import ModelError
from sourcebook.models.base import JsonSchema, Message
from sourcebook.prompt.aside import Payer, ask_aside
from sourcebook.prompt.fence import code_of
from sourcebook.prompt.followup import ASKING, resolve, split
from sourcebook.prompt.templates import load
from sourcebook.prompt.terms import plain_words
from sourcebook.types import Usage

if TYPE_CHECKING:
    from pathlib import Path

    from sourcebook.catalog.conversations import Turn
    from sourcebook.models.base import Model
    from sourcebook.prompt.templates import Template
    from sourcebook.prompt.terms import Words

Author = Literal["asker", "rule", "model"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Rewriting:
    """What became of a question. questions: one or more; by: who wrote them; "asker": they are as asked.

    note: why the model's were not taken, if it was asked; else "". prompt: version of the prompt that it was asked by.
    """

    questions: tuple[str, ...]
    by: Author
    usage: Usage = field(default_factory=Usage)
    note: str = ""
    prompt: str = ""

    @property
    def text(self) -> str:
        """The first question; of `stand_alone`, the only one."""
        return self.questions[0]


@dataclass(frozen=True, kw_only=True, slots=True)
class RewriteLimits:
    """How far a rewriting may go, and who pays. seconds: for the call; deadline: by `time.monotonic()`, if nearer."""

    seconds: float = 10.0
    deadline: float | None = None
    payer: Payer = field(default_factory=Payer)


async def stand_alone(
    question: str,
    turns: Sequence[Turn],
    *,
    model: Model,
    words: Words,
    summary: str = "",
    limits: RewriteLimits | None = None,
    home: Path | None = None,
) -> Rewriting:
    """The question as somebody would ask it who has not heard the turns before it, oldest first.

    home: of the book, whose own template `rewrite` comes first. Errors: PromptError.
    """
    if not turns and not summary:
        return Rewriting(questions=(question,), by="asker")
    if model.capabilities.cites:
        resolved = resolve(question, turns, words)
        return Rewriting(questions=(resolved,), by="asker" if resolved == question else "rule")
    told = [{"role": turn.role, "text": turn.text} for turn in turns if turn.text]
    asking = _Asking(
        purpose="rewrite",
        question=question,
        tokens=_allowance(model, question),
        variables={"turns": told, "summary": summary},
        quoted=(summary, *(turn["text"] for turn in told)),
    )

    def read(text: str) -> tuple[str, ...]:
        lines = [_bare(line) for line in text.splitlines() if line.strip()]
        context = " ".join([question, summary, *(turn.text for turn in turns)])
        fits = lines and len(lines[0]) <= _longest(question) and _means(lines[0], question, context, words)
        return tuple(lines[:1] if fits else ())

    return await _ask(model, asking, read, limits or RewriteLimits(), home)


async def decompose(
    question: str,
    *,
    model: Model,
    words: Words,
    most: int = 4,
    limits: RewriteLimits | None = None,
    home: Path | None = None,
) -> Rewriting:
    """The simpler questions that a compound one is made of, at most `most`; a simple question is the only one.

    One that can only be asked when another is answered, and has a place such as {1} for it, is left out.
    home: of the book, whose own template `decompose` comes first. Errors: PromptError.
    """
    if model.capabilities.cites:
        parts = split(question, words)[:most]
        return Rewriting(questions=parts or (question,), by="rule" if len(parts) > 1 else "asker")
    asking = _Asking(
        purpose="decompose",
        question=question,
        tokens=_allowance(model, question) * most,
        variables={"most": most},
        schema=_SCHEMA,
    )

    def read(text: str) -> tuple[str, ...]:
        listed = _listed(text, question, words)
        return tuple(one for one in listed if not _PLACE.search(one))[:most]

    return await _ask(model, asking, read, limits or RewriteLimits(), home)


async def vary(
    question: str,
    *,
    model: Model,
    words: Words = plain_words,
    most: int = 3,
    limits: RewriteLimits | None = None,
    home: Path | None = None,
) -> Rewriting:
    """The question as asked, and then at most `most` times in other words that a document might use.

    home: of the book, whose own template `vary` comes first. Errors: PromptError.
    """
    if model.capabilities.cites or most < 1:
        return Rewriting(questions=(question,), by="asker")
    asking = _Asking(
        purpose="vary",
        question=question,
        tokens=_allowance(model, question) * most,
        variables={"most": most},
        schema=_SCHEMA,
    )

    def read(text: str) -> tuple[str, ...]:
        return _listed(text, question, words)[: most + 1]

    made = await _ask(model, asking, read, limits or RewriteLimits(), home)
    others = [one for one in made.questions if one.casefold() != question.casefold()]
    return replace(made, questions=(question, *others[:most]))


# --- asking the model ---------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class _Asking:
    """What a model is to make of a question. purpose: of the call, and the template's name.

    variables: of the template, besides `question`. quoted: what else stands in it that somebody has written.
    """

    purpose: str
    question: str
    tokens: int
    variables: Mapping[str, object]
    quoted: tuple[str, ...] = ()
    schema: JsonSchema | None = None

    def messages(self, template: Template, salt: str) -> tuple[Message, ...]:
        """The prompt; with a code for tags, where the template takes one."""
        given = {"question": self.question, **self.variables}
        if "fence" in template.variables:
            given["fence"] = code_of([self.question, *self.quoted], salt=salt)
        return template.messages(**given)


async def _ask(
    model: Model, asking: _Asking, read: Callable[[str], tuple[str, ...]], limits: RewriteLimits, home: Path | None
) -> Rewriting:
    """What the model made of the question, or the question as asked with a note."""
    template = load(asking.purpose, home)
    asked = Rewriting(questions=(asking.question,), by="asker", prompt=template.version)
    what = f"The question stays as asked: {asking.purpose}"
    try:
        reply = await ask_aside(
            model,
            asking.messages(template, limits.payer.answer_id or ""),
            purpose=asking.purpose,
            tokens=asking.tokens,
            seconds=limits.seconds,
            deadline=limits.deadline,
            payer=limits.payer,
            schema=asking.schema,
        )
    except ModelError as error:
        return replace(asked, note=f"{what} failed. {error}")
    usage = reply.finish.usage
    if reply.finish.reason in ("length", "filtered"):
        return replace(asked, usage=usage, note=f"{what} ended early ({reply.finish.reason})")
    questions = read(reply.text)
    if not questions:
        return replace(asked, usage=usage, note=f"{what} gave no question")
    return Rewriting(questions=questions, by="model", usage=usage, prompt=template.version)


def _allowance(model: Model, question: str) -> int:
    """Tokens for one rewritten question: it may name what the asked one left out, not more."""
    return 64 + 2 * model.count_tokens(question)


def _longest(question: str) -> int:
    return 300 + 3 * len(question)


def _bare(line: str) -> str:
    """A line without the label, number, and quotation marks that models put around questions."""
    line = _LABEL.sub("", line.strip())
    for opening, closing in ('""', "''", "“”", "「」", "**"):
        if len(line) > 1 and line[0] == opening and line[-1] == closing:
            line = line[1:-1].strip()
    return line


def _means(rewritten: str, question: str, context: str, words: Words) -> bool:
    """Whether a rewritten question can be the one asked: a weak model writes something else altogether.

    It has at least half of the words of the question, and half of its own are the question's or the conversation's.
    """
    own, asked, said = set(words(rewritten)), set(words(question)) - ASKING, set(words(context))
    return bool(own) and 2 * len(own & asked) >= len(asked) and 2 * len(own & said) >= len(own)


def _listed(text: str, question: str, words: Words) -> tuple[str, ...]:
    """The questions of {"questions": [...]}, whatever stands around it; else one from each line that ends as one."""
    start, end = text.find("{"), text.rfind("}")
    try:
        rows = json.loads(text[start : end + 1])["questions"]
        if not isinstance(rows, list) or not all(isinstance(row, str) for row in rows):
            return ()
    except (ValueError, KeyError, TypeError):
        rows = [line for line in text.splitlines() if line.rstrip("\"'”* ").endswith(("?", "？"))]
    found = (_bare(" ".join(row.split())) for row in rows)
    return tuple(dict.fromkeys(one for one in found if words(one) and len(one) <= _longest(question)))


_SCHEMA: Final[JsonSchema] = {
    "type": "object",
    "properties": {"questions": {"type": "array", "items": {"type": "string"}}},
    "required": ["questions"],
    "additionalProperties": False,
}
_PLACE: Final = re.compile(r"\{\d+\}")
_LABEL: Final = re.compile(
    r"(?i)^(?:[-*•]\s+|\(?\d{1,2}[.)]\s+"
    r"|(?:\*\*)?(?:(?:standalone|rewritten)(?: question)?|question)(?:\*\*)?:(?:\*\*)?\s*)+"
)
