"""Hits into a request for a model that generates: what fits its window, numbered, fenced; and what did not fit.

    window = instructions + question + summary        always in
           + what is reserved                         for what others add to the prompt, such as tools
           + examples, facts, history                 each up to a quarter of the room that is left
           + passages                                 the best together that fit, one of them cut if need be
           + the answer                               reserved

The same input gives the same bytes, so that an answer can be replayed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Final, TypeVar

from sourcebook.errors import PromptError
from sourcebook.language import detect
from sourcebook.models.base import Message, ModelRequest
from sourcebook.prompt.base import Background, Composition, Example, Reader, Settings, Turn
from sourcebook.prompt.cut import cut
from sourcebook.prompt.fence import CODE_LENGTH, code_of_passages, fenced_passage
from sourcebook.prompt.pack import Candidate, pack, strongest_at_the_ends
from sourcebook.prompt.terms import Words, plain_words
from sourcebook.types import Hit, LeftOut, PassageId, Question

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sourcebook.prompt.templates import Template


def compose_prompt(
    question: Question,
    hits: Sequence[Hit],
    *,
    model: Reader,
    template: Template,
    settings: Settings,
    sentences: int,
    background: Background | None = None,
    words: Words = plain_words,
    vectors: Mapping[PassageId, NDArray[np.float32]] | None = None,
    variables: Mapping[str, object] | None = None,
    reserved: int = 0,
    salt: str = "",
) -> Composition:
    """The request for a model: whatever of hits and background fits its window.

    hits: best first. The request's evidence keeps that order, and its numbers are what the model cites by; where the
    passages stand in the prompt is a setting. sentences: length of the answer at most. words, vectors: by what it is
    known that passages say the same. variables: further ones of the template's own. reserved: tokens of the window
    that others will take. salt: of the fences, see `prompt.fence.code_of`; the id of the answer does well.
    Errors: PromptError, also if the window is too small for the question.
    """
    work = _Composer(
        question=question,
        model=model,
        template=template,
        settings=settings,
        sentences=sentences,
        background=background or Background(),
        variables=dict(variables or {}),
        window=model.window - reserved,
        salt=salt,
    )
    work.take_background()
    work.take_passages(hits, words, vectors or {})
    return work.finish()


@dataclass(slots=True, kw_only=True)
class _Composer:
    """One composition in the making. window: what the prompt and the answer may take of the model's.

    chosen: places in `hits` of the passages that go in; parts: those that were cut, and how; repeats: place of one
    that is left out -> place of the one that says the same.
    """

    question: Question
    model: Reader
    template: Template
    settings: Settings
    sentences: int
    background: Background
    variables: dict[str, object]
    window: int
    salt: str
    history: list[Turn] = field(default_factory=list)
    examples: list[Example] = field(default_factory=list)
    facts: list[str] = field(default_factory=list)
    hits: list[Hit] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    chosen: list[int] = field(default_factory=list)
    parts: dict[int, LeftOut] = field(default_factory=dict)
    repeats: dict[int, int] = field(default_factory=dict)
    left_out: list[LeftOut] = field(default_factory=list)
    code: str = "0" * CODE_LENGTH
    output: int = 0
    room: int = 0

    @property
    def evidence(self) -> tuple[Hit, ...]:
        """The passages that go in, best first."""
        return tuple(self.hits[place] for place in self.chosen)

    def take_background(self) -> None:
        """Examples, facts and turns, each up to its share of what instructions, question and summary leave."""
        self.output = min(self.settings.output_tokens, max(_LEAST_OUTPUT, self.model.window // 4))
        fixed = self._measured(self._messages())
        self.room = self.window - self.output - fixed
        if self.room < 0:
            taken = fixed + self.model.window - self.window
            raise PromptError(
                f"Question and instructions take {taken} tokens, and the model's window holds {self.model.window}, "
                f"{self.output} of them for the answer",
                remedy="Ask a shorter question, lower prompt.output_tokens, or use a model with a larger window",
            )
        if self.background.summary and "summary" not in self.template.variables:
            summary = self.background.summary
            self._leave("summary", summary, "the template takes no summary", self._count(summary))
        share = self.room // 4
        taken_examples = self._take("examples", self.background.examples, share, _example_text)
        self.examples = taken_examples[::-1]  # the most fitting stands next to the question
        self.facts = self._take("facts", self.background.facts, share, str)
        turns = [turn for turn in self.background.history if turn.text.strip()]
        recent = self._take("history", turns[::-1], share, _turn_text, gaps=False)[::-1]
        while recent and recent[0].role != "user":
            self._leave("turn", recent.pop(0).text, "it answers a turn that is left out", 0)
        self.history = recent

    def take_passages(
        self, hits: Sequence[Hit], words: Words, vectors: Mapping[PassageId, NDArray[np.float32]]
    ) -> None:
        """The hits that are worth most together in the room that is left."""
        self.hits = list(hits)
        self.sizes = [self._size(hit) for hit in hits]
        if "passages" not in self.template.variables:
            return
        budget = min(self.settings.passage_tokens, self.room)
        asked = frozenset(words(self.question.text))
        if hits and self.sizes[0] > budget:
            self._cut(0, budget, asked, words)
        candidates = [
            Candidate(
                score=hit.score,
                tokens=size,
                terms=_terms(words(hit.passage.text)),
                vector=vectors.get(hit.passage.id),
                text=" ".join(hit.passage.text.casefold().split()),
            )
            for hit, size in zip(self.hits, self.sizes, strict=True)
        ]
        packed = pack(candidates, budget, diversity=self.settings.diversity)
        self.repeats = packed.repeats
        self.chosen = list(packed.chosen)
        budget -= sum(self.sizes[place] for place in self.chosen)
        for place in range(len(self.hits)):
            untold = place not in self.chosen and place not in self.repeats
            if untold and budget >= _LEAST_CUT and self._cut(place, budget, asked, words):
                self.chosen.append(place)
                budget -= self.sizes[place]
        self.chosen.sort()

    def finish(self) -> Composition:
        """The request. Tokens of a whole may be a few more than those of its parts: then the weakest goes."""
        while True:
            background = (self.background.summary, *self.facts, *map(_turn_text, self.history))
            beside = [self.question.text, *background, *map(_example_text, self.examples)]
            self.code = code_of_passages((hit.passage for hit in self.evidence), beside=beside, salt=self.salt)
            messages = self._messages()
            if self._measured(messages) + self.output <= self.window:
                break
            if self.chosen:
                self.chosen.pop()
            elif self.history:
                self._leave("turn", (turn := self.history.pop(0)).text, "no room for it", self._count(turn.text))
            else:
                break
        return Composition(
            request=ModelRequest(
                question=self.question.text,
                evidence=self.evidence,
                messages=messages,
                max_sentences=self.sentences,
                max_output_tokens=self.output,
            ),
            version=f"{self.template.version}/{_LAYOUT}",
            left_out=(*self.left_out, *self._missed()),
            answer_tag=self.template.answer_tag,
        )

    def _missed(self) -> list[LeftOut]:
        """What became of the passages that are not in the prompt, or not whole."""
        number = {place: number for number, place in enumerate(self.chosen, 1)}
        missed: list[LeftOut] = []
        for place, hit in enumerate(self.hits):
            reason = "no room for it"
            if place in number:
                missed += [self.parts[place]] if place in self.parts else []
                continue
            if "passages" not in self.template.variables:
                reason = "the template takes no passages"
            elif (twin := self.repeats.get(place)) in number:
                assert twin is not None
                reason = f"it says nothing that passage [{number[twin]}] does not"
            missed.append(LeftOut(kind="passage", what=hit.passage.id, reason=reason, tokens=self._whole(place)))
        return missed

    def _messages(self) -> tuple[Message, ...]:
        """The template rendered with those of the composer's variables that it declares."""
        blocks = [fenced_passage(number, hit.passage, self.code) for number, hit in enumerate(self.evidence, 1)]
        if self.settings.order == "ends":
            blocks = [blocks[i] for i in strongest_at_the_ends(range(len(blocks)))]
        offered: dict[str, object] = {
            "question": self.question.text,
            "passages": "\n\n".join(blocks),
            "fence": self.code,
            "language": _LANGUAGES.get(detect(self.question.text) or "", ""),
            "sentences": self.sentences,
            "summary": self.background.summary,
            "facts": self.facts,
            "history": [{"role": turn.role, "text": turn.text} for turn in self.history],
            "examples": [{"question": one.question, "answer": one.answer} for one in self.examples],
        }
        taken = {name: value for name, value in offered.items() if name in self.template.variables}
        return self.template.messages(**(taken | self.variables))

    def _take(
        self,
        variable: str,
        things: Sequence[_Thing],
        budget: int,
        text_of: Callable[[_Thing], str],
        *,
        gaps: bool = True,
    ) -> list[_Thing]:
        """Those that fit, in their order. gaps: whether what comes after one that does not fit may be taken."""
        kind = _KINDS[variable]
        taken: list[_Thing] = []
        full = False
        for thing in things:
            text = text_of(thing)
            size = self._count(text)
            if variable not in self.template.variables:
                self._leave(kind, text, f"the template takes no {variable}", size)
            elif size > budget or full:
                self._leave(kind, text, "no room for it", size)
                full = not gaps
            else:
                taken.append(thing)
                budget -= size
                self.room -= size
        return taken

    def _cut(self, place: int, budget: int, asked: frozenset[str], words: Words) -> bool:
        """Cut a hit to the sentences around what was asked, if the budget holds some of them."""
        if not self.settings.cut:
            return False
        hit, size = self.hits[place], self.sizes[place]
        fence = size - self.model.count_tokens(hit.passage.text)
        found = cut(hit.passage, budget - fence, asked, count=self.model.count_tokens, words=words)
        if found is None:
            return False
        part = replace(hit, passage=found[0])
        kept = self._size(part)
        if kept > budget:
            return False
        self.parts[place] = LeftOut(kind="passage", what=hit.passage.id, reason=found[1], tokens=size - kept)
        self.hits[place], self.sizes[place] = part, kept
        return True

    def _whole(self, place: int) -> int:
        """Tokens of a passage before anything was cut off it."""
        return self.sizes[place] + (self.parts[place].tokens if place in self.parts else 0)

    def _size(self, hit: Hit) -> int:
        return self.model.count_tokens(fenced_passage(_WIDE, hit.passage, "0" * CODE_LENGTH)) + 1

    def _count(self, text: str) -> int:
        return self.model.count_tokens(text) + _MESSAGE

    def _measured(self, messages: Sequence[Message]) -> int:
        return sum(self._count(message.text) for message in messages)

    def _leave(self, kind: str, text: str, reason: str, tokens: int) -> None:
        words = " ".join(text.split())
        self.left_out.append(
            LeftOut(kind=kind, what=words if len(words) <= 60 else f"{words[:59]}…", reason=reason, tokens=tokens)
        )


def _terms(words: Sequence[str]) -> frozenset[str]:
    return frozenset(words).union(f"{one} {other}" for one, other in pairwise(words))


def _turn_text(turn: Turn) -> str:
    return turn.text


def _example_text(example: Example) -> str:
    return f"{example.question}\n{example.answer}"


_Thing = TypeVar("_Thing")

_LAYOUT: Final = "layout-1"  # of passages in prompts that templates make
_LEAST_OUTPUT: Final = 64
_LEAST_CUT: Final = 48  # tokens of room from which it is worth cutting a passage to them
_MESSAGE: Final = 8  # tokens that a model's own format takes for a message, or a tag and its line break
_WIDE: Final = 10  # a passage's number, for counting
_KINDS: Final = {"examples": "example", "facts": "fact", "history": "turn"}
_LANGUAGES: Final[Mapping[str, str]] = {
    "ar": "Arabic", "bn": "Bengali", "ca": "Catalan", "cs": "Czech", "da": "Danish", "de": "German", "el": "Greek",
    "en": "English", "es": "Spanish", "fa": "Persian", "fi": "Finnish", "fr": "French", "he": "Hebrew", "hi": "Hindi",
    "hu": "Hungarian", "id": "Indonesian", "it": "Italian", "ja": "Japanese", "ko": "Korean", "nl": "Dutch",
    "no": "Norwegian", "pl": "Polish", "pt": "Portuguese", "ro": "Romanian", "ru": "Russian", "sv": "Swedish",
    "ta": "Tamil", "th": "Thai", "tr": "Turkish", "uk": "Ukrainian", "zh": "Chinese",
}  # fmt: skip
