"""Answer: from a question, over what is found for it, to what is said and where that stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sourcebook.types.document import Passage, PassageId, Terms
from sourcebook.types.filter import Filter
from sourcebook.types.scope import Scope

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexQuery:
    """One search of an index. A channel without its vector is not searched. limit: candidates per channel."""

    vector: NDArray[np.float32] | None
    terms: Terms | None
    scope: Scope
    filter: Filter | None = None
    limit: int = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A passage that an index proposes; scores by channel ("dense", "keyword"), higher is better."""

    id: PassageId
    scores: Mapping[str, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """What is asked, by whom, about which documents. top: hits wanted at most.

    conversation: id of the one that it belongs to. account: who pays for model calls, within the scope's tenant.
    deadline: by `time.monotonic()`. id: of the answer that it is to get; every call made for it is booked under that.
    """

    text: str
    scope: Scope = field(default_factory=Scope)
    filter: Filter | None = None
    top: int = 10
    conversation: str | None = None
    account: str = "default"
    deadline: float | None = None
    id: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TableRead:
    """A table that a computation read. table: its name in SQL; rows: of its document, for people ("rows 2 to 7")."""

    document: str
    version: int
    table: str
    rows: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Computed:
    """What SQL gave over tables of documents, as a model saw it.

    columns: names. rows: each a JSON array, decimals with all their digits. cut: whether rows are missing at the end.
    tables: all that it read, by the database's own account.
    """

    sql: str
    columns: tuple[str, ...]
    rows: tuple[str, ...]
    tables: tuple[TableRead, ...]
    cut: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Hit:
    """One passage found for a question.

    score: similarity, higher is better; comparable only within one search.
    channels: channel name -> rank there, from 1. duplicates: other documents that say the same in the same words.
    computed: what was found is this result; the passage is where one of its tables begins in its document.
    """

    passage: Passage
    score: float
    channels: Mapping[str, int] = field(default_factory=dict)
    duplicates: tuple[str, ...] = ()
    computed: Computed | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Citation:
    """Where a sentence of an answer comes from. quote == parsed text[start:end] of that document version.

    computed: what the sentence rests on is this result; the quote is then where one of its tables begins.
    """

    document: str
    version: int
    passage: PassageId
    start: int
    end: int
    quote: str
    page: int | None = None
    location: str | None = None
    title: str | None = None
    computed: Computed | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """Tokens a model call took, and who counted them. cost: micro-US-dollars.

    input_tokens: all of the prompt; `cached_tokens` of them were read from the vendor's prompt cache, and
    `cache_write_tokens` of them written to it. output_tokens: all of the reply; `reasoning_tokens` of them thought.
    counted_by: "vendor" if the vendor reported them, else the tokenizer that counted. exact: whether the numbers
    are the vendor's own; a call that broke off is counted by what came.
    priced: false if the price of some of it is not known: then cost is what is known, which may be nothing.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    counted_by: str = ""
    exact: bool = True
    cost: int = 0
    priced: bool = True

    def __add__(self, other: Usage) -> Usage:
        """Both together."""
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            cache_write_tokens=self.cache_write_tokens + other.cache_write_tokens,
            reasoning_tokens=self.reasoning_tokens + other.reasoning_tokens,
            counted_by=self.counted_by or other.counted_by,
            exact=self.exact and other.exact,
            cost=self.cost + other.cost,
            priced=self.priced and other.priced,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class LeftOut:
    """Something meant for a prompt that is not in it, or only in part.

    kind: "passage", "turn", "example", "fact" or "summary". what: a passage's id, else its first words. reason: why,
    for people. tokens: that it would have taken, or, of a passage that was cut, those that were saved.
    """

    kind: str
    what: str
    reason: str
    tokens: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Unsupported:
    """A sentence of an answer that its sources do not support. reason: why, for people."""

    text: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """A finished answer. known: false if nothing in reach supports an answer; then there are no citations.

    unsupported: sentences of the text that nothing cited supports. left_out: what the prompt had no room for.
    finish: why the model's reply ended, one of `models.base.FinishReason`; "length" means that it was cut off.
    """

    id: str
    question: str
    text: str
    known: bool
    citations: tuple[Citation, ...]
    hits: tuple[Hit, ...] = ()
    model: str = ""
    usage: Usage = field(default_factory=Usage)
    unsupported: tuple[Unsupported, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    finish: str = "stop"
