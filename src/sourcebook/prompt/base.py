"""What composing a prompt takes and gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from sourcebook.models.base import ModelRequest
from sourcebook.types import LeftOut

if TYPE_CHECKING:
    from sourcebook.models.base import Capabilities


class Turn(Protocol):
    """A turn of the conversation."""

    @property
    def role(self) -> str: ...
    @property
    def text(self) -> str: ...


class Example(Protocol):
    """A question with its good answer."""

    @property
    def question(self) -> str: ...
    @property
    def answer(self) -> str: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Background:
    """What a prompt may hold besides question and passages.

    history: earlier turns, oldest first; summary: of what came before them. facts, examples: most fitting first.
    """

    summary: str = ""
    history: Sequence[Turn] = ()
    facts: Sequence[str] = ()
    examples: Sequence[Example] = ()


class Settings(Protocol):
    """The settings of prompts, as in the section [prompt]."""

    @property
    def output_tokens(self) -> int: ...
    @property
    def passage_tokens(self) -> int: ...
    @property
    def diversity(self) -> float: ...
    @property
    def order(self) -> str: ...
    @property
    def cut(self) -> bool: ...


class Reader(Protocol):
    """What is needed of the model that is to read the prompt."""

    @property
    def window(self) -> int: ...
    @property
    def capabilities(self) -> Capabilities: ...

    def count_tokens(self, text: str) -> int: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Composition:
    """A request, and how it came about.

    version: of the prompt, for the record. left_out: what was found for it and is not in it, or only in part.
    answer_tag: of the template: what stands in the reply between these tags is the answer; "": all of it.
    """

    request: ModelRequest
    version: str
    left_out: tuple[LeftOut, ...] = ()
    answer_tag: str = ""
