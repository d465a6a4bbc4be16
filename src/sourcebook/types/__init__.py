"""What crosses the boundaries between boxes: frozen dataclasses and the filter language's tree.

The ground floor, with `errors` and `language`: it imports nothing of ours and no vendor.
Units, everywhere: offsets are characters in the parsed text, half open; scores are similarities, higher is
better; durations are seconds on a monotonic clock; stamps are UTC.
"""

from sourcebook.types.answer import (
    Answer,
    Candidate,
    Citation,
    Computed,
    Hit,
    IndexQuery,
    LeftOut,
    Question,
    TableRead,
    Unsupported,
    Usage,
)
from sourcebook.types.document import (
    Block,
    BlockKind,
    Chunk,
    Column,
    LiveTable,
    Metadata,
    MetadataValue,
    Page,
    ParsedDocument,
    Passage,
    PassageId,
    Point,
    SourceItem,
    Table,
    Terms,
)
from sourcebook.types.filter import And, Equals, Exists, Filter, In, Not, Or, Range
from sourcebook.types.ledger import LedgerEntry, SyncReport
from sourcebook.types.money import Budget, BudgetStanding, CallRecord, Outcome, Period, Reservation
from sourcebook.types.scope import Scope

__all__ = [
    "And",
    "Answer",
    "Block",
    "BlockKind",
    "Budget",
    "BudgetStanding",
    "CallRecord",
    "Candidate",
    "Chunk",
    "Citation",
    "Column",
    "Computed",
    "Equals",
    "Exists",
    "Filter",
    "Hit",
    "In",
    "IndexQuery",
    "LedgerEntry",
    "LeftOut",
    "LiveTable",
    "Metadata",
    "MetadataValue",
    "Not",
    "Or",
    "Outcome",
    "Page",
    "ParsedDocument",
    "Passage",
    "PassageId",
    "Period",
    "Point",
    "Question",
    "Range",
    "Reservation",
    "Scope",
    "SourceItem",
    "SyncReport",
    "Table",
    "TableRead",
    "Terms",
    "Unsupported",
    "Usage",
]
