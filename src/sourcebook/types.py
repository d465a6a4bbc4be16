"""What crosses the boundaries between boxes: frozen dataclasses and the filter language's tree.

The ground floor, with `errors` and `language`: it imports nothing of ours and no vendor.
Units, everywhere: offsets are characters in the parsed text, half open; scores are similarities, higher is
better; durations are seconds on a monotonic clock; stamps are UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NewType

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PassageId = NewType("PassageId", str)
"""32 hex digits: BLAKE2b-128 of what the passage is (document, version, place, text)."""

BlockKind = Literal["heading", "paragraph", "list_item", "table_row", "code"]

MetadataValue = str | int | float | bool | tuple[str, ...]
Metadata = Mapping[str, MetadataValue]


# --- who asks, and what they restrict the search to -------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Scope:
    """Who is asking. Nothing outside it is found, counted or named.

    tenant: books are divided by tenant; nothing crosses.
    principals: the names (users, groups) that the asker goes by. A document with an access list is seen by
    those who share a name with it; a document without one, by everybody in the tenant.
    """

    tenant: str = "default"
    principals: frozenset[str] = frozenset()

    def admits(self, tenant: str, access: frozenset[str]) -> bool:
        """Whether a document of this tenant with this access list (empty: open to all) may be seen."""
        return tenant == self.tenant and (not access or not access.isdisjoint(self.principals))


@dataclass(frozen=True, slots=True)
class Equals:
    """The field has this value (or, holding several, one of them is this value)."""

    field: str
    value: str | int | float | bool


@dataclass(frozen=True, slots=True)
class In:
    """The field has one of these values."""

    field: str
    values: tuple[str | int | float | bool, ...]


@dataclass(frozen=True, slots=True)
class Range:
    """The field is a number, or an ISO 8601 date kept as text, between the bounds that are given."""

    field: str
    above: float | str | None = None  # >
    at_least: float | str | None = None  # >=
    below: float | str | None = None  # <
    at_most: float | str | None = None  # <=


@dataclass(frozen=True, slots=True)
class Exists:
    """The document has this field."""

    field: str


@dataclass(frozen=True, slots=True)
class And:
    """All hold."""

    filters: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """At least one holds."""

    filters: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """It does not hold; a document without the field passes."""

    filter: Filter


Filter = Equals | In | Range | Exists | And | Or | Not


# --- ingest: source -> parse -> chunk -> embed -> index ---------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceItem:
    """One document as its source lists it, before anything is read.

    uri: its name, stable between scans; absolute.
    name: file name with extension; what the parser goes by, besides the bytes.
    fingerprint: cheap token that changes whenever the content may have changed ("" if the source has none).
    size: bytes, or -1 if unknown.
    problem: why it cannot be read, if the listing already shows that.
    holds: true if `uri` is a folder that could not be listed: documents below it are neither deleted nor
    updated, because nobody can tell how they are.
    """

    uri: str
    name: str
    fingerprint: str = ""
    size: int = -1
    metadata: Metadata = field(default_factory=dict)
    problem: str | None = None
    holds: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """A structural unit of a parsed text: [start, end) of it, blocks in order and not overlapping.

    level: of a heading, from 1; else 0.
    page: page or slide it starts on, from 1; None where the format has none.
    location: where a table row stands, for people: "Sheet1!7" (sheet, row from 1) or "row 7".
    """

    kind: BlockKind
    start: int
    end: int
    level: int = 0
    page: int | None = None
    location: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """[start, end) of the parsed text stands on this page (number from 1)."""

    number: int
    start: int
    end: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """A column of a table. type: BIGINT, HUGEINT, DECIMAL(p,s), DOUBLE, BOOLEAN, DATE, TIMESTAMP or VARCHAR."""

    name: str
    type: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """A table of a document, kept as one so that SQL can count and join it. Its rows are in its passages too.

    name: of the sheet or the database's table; "" if the file itself is the table. columns: their names differ,
    whatever their case. rows: how many. places: (row number there, from 1; how many) of each run of adjacent rows.
    data: the cells: zlib of a JSON list of batches of rows, the first a small one; a batch is a list of columns; a
    column is the text of its cells, such as SQL reads for its type, parted by U+001F; an empty one is NULL.
    """

    name: str
    columns: tuple[Column, ...]
    rows: int
    places: tuple[tuple[int, int], ...]
    data: bytes = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class LiveTable:
    """A table of a live document, without its cells. key: names its cells in the catalog; they never change.

    version: of the document, from 1. title: the document's.
    """

    key: str
    document: str
    version: int
    name: str
    columns: tuple[Column, ...]
    rows: int
    places: tuple[tuple[int, int], ...]
    title: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ParsedDocument:
    """What a parser makes of bytes: one text, and where its structure lies in it.

    language: ISO 639-1 code of the text, or None if unsure.
    metadata: what the file says of itself (author, dates, subject), for filters.
    tables: those of CSV files, spreadsheets, records and databases.
    """

    text: str
    blocks: tuple[Block, ...]
    pages: tuple[Page, ...] = ()
    title: str | None = None
    language: str | None = None
    metadata: Metadata = field(default_factory=dict)
    tables: tuple[Table, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Chunk:
    """A passage before it belongs to a document version: [start, end) of the parsed text.

    heading_path: the headings it stands under, outermost first; the document's title is not among them.
    """

    text: str
    start: int
    end: int
    heading_path: tuple[str, ...] = ()
    page: int | None = None
    location: str | None = None
    language: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Passage:
    """A chunk of one version of one document, as the catalog holds it.

    text: exactly the parsed text at [start, end).
    version: counts the document's versions, from 1.
    """

    id: PassageId
    document: str
    version: int
    ordinal: int
    text: str
    start: int
    end: int
    title: str | None = None
    heading_path: tuple[str, ...] = ()
    page: int | None = None
    location: str | None = None
    language: str | None = None
    metadata: Metadata = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Terms:
    """A text in the keyword channel: a sparse vector.

    indices: uint32, shape (n,), distinct term numbers (hashes). weights: float32, shape (n,).
    """

    indices: NDArray[np.uint32]
    weights: NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """What an index keeps of a passage. vector: float32, shape (d,), of length one.

    access: names that may see it; empty means everybody in the tenant.
    """

    id: PassageId
    vector: NDArray[np.float32]
    terms: Terms
    tenant: str = "default"
    access: frozenset[str] = frozenset()
    metadata: Metadata = field(default_factory=dict)


# --- answer: retrieve -> compose -> model -> cite ---------------------------------------------------------


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
    deadline: by `time.monotonic()`.
    """

    text: str
    scope: Scope = field(default_factory=Scope)
    filter: Filter | None = None
    top: int = 10
    conversation: str | None = None
    account: str = "default"
    deadline: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Hit:
    """One passage found for a question.

    score: similarity, higher is better; comparable only within one search.
    channels: channel name -> rank there, from 1. duplicates: other documents that say the same in the same words.
    """

    passage: Passage
    score: float
    channels: Mapping[str, int] = field(default_factory=dict)
    duplicates: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Citation:
    """Where a sentence of an answer comes from. quote == parsed text[start:end] of that document version."""

    document: str
    version: int
    passage: PassageId
    start: int
    end: int
    quote: str
    page: int | None = None
    location: str | None = None
    title: str | None = None


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

    kind: "passage", "turn", "example" or "fact". what: a passage's id, else its first words. reason: why, for
    people. tokens: that it would have taken, or, of a passage that was cut, those that were saved.
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


@dataclass(frozen=True, kw_only=True, slots=True)
class SyncReport:
    """What one sync did. embedded: texts that went through the model; seconds: wall time."""

    added: int = 0
    changed: int = 0
    deleted: int = 0
    unchanged: int = 0
    failed: int = 0
    passages: int = 0
    embedded: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class LedgerEntry:
    """The ledger's row for one document.

    state: "live", "failed" (see error), "pending". answering: whether a version of it can be found now;
    a document whose newest content failed still answers from the version before.
    seconds: time by stage of the last attempt ("parse", "embed", ...).
    """

    uri: str
    source: str
    state: str
    answering: bool
    error: str | None
    attempts: int
    version: int
    passages: int
    content_hash: str | None
    updated: str
    seconds: Mapping[str, float] = field(default_factory=dict)


# --- money: micro-US-dollars ------------------------------------------------------------------------------


Period = Literal["day", "month", "total"]
"""What a budget is for. Days and months are UTC's."""

Outcome = Literal["finished", "broken", "cancelled", "lost"]
"""How a model call ended. "lost": its process died during the call, and what it cost is not known."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """What may be spent in a period: by one account of a tenant, or by all of them together (account "*")."""

    tenant: str = "default"
    account: str = "*"
    period: Period
    limit: int


@dataclass(frozen=True, kw_only=True, slots=True)
class BudgetStanding:
    """A budget as it stands. spent: settled; held: for calls under way. renews: the day it begins anew, or None."""

    budget: Budget
    spent: int
    held: int
    renews: str | None

    @property
    def left(self) -> int:
        """What a further call may cost at most; negative if more was spent than the limit."""
        return self.budget.limit - self.spent - self.held


@dataclass(frozen=True, kw_only=True, slots=True)
class Reservation:
    """Money held for a call before it is made. id: the call's. at: stamp; the call counts to the day of it."""

    id: str
    at: str
    tenant: str
    account: str
    model: str
    purpose: str
    amount: int


@dataclass(frozen=True, kw_only=True, slots=True)
class CallRecord:
    """One model call in the usage ledger.

    id: ours, the same as of its reservation. at: stamp of its beginning. request_id: the vendor's.
    reserved: what was held for it; 0 if no budget applied. A vendor may charge more than that: cost is the truth.
    """

    id: str
    at: str
    tenant: str
    account: str
    purpose: str
    model: str
    outcome: Outcome
    usage: Usage
    request_id: str = ""
    answer_id: str | None = None
    reserved: int = 0
