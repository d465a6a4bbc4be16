"""The filter language over metadata: from text to a tree, and what the tree means.

    type = 'pdf' and (year >= 2020 or tags in ('law', 'tax')) and not exists(draft)

Comparisons: = != < <= > >= in, not in, exists(field), combined by and, or, not and parentheses. Values are
'text' (a quote inside is doubled), numbers, true and false. A field is a name, or "any text" in double quotes.
< <= > >= compare numbers, and dates as 'YYYY-MM-DD' or 'YYYY-MM-DDThh:mm:ss+hh:mm' (RFC 3339; UTC if no zone is
named). A comparison with a field that the document does not have is false; its negation is true.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from math import isinf

from sourcebook.errors import FilterError
from sourcebook.types import And, Equals, Exists, Filter, In, Metadata, Not, Or, Range

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<text>'(?:[^']|'')*')
      | (?P<quoted>"(?:[^"]|"")+")
      | (?P<number>-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)
      | (?P<operator><=|>=|!=|<>|=|<|>|\(|\)|,)
      | (?P<name>[^\W\d][\w.\-]*)
    )""",
    re.VERBOSE,
)
_KEYWORDS = {"and", "or", "not", "in", "exists", "true", "false"}
_MAX_DEPTH = 50
_DATE = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,6})?(Z|[-+]\d\d:\d\d)?)?)?", re.ASCII)

Value = str | int | float | bool


def parse_filter(text: str) -> Filter:
    """The tree of a filter expression. Errors: FilterError, which points at the place."""
    return _Reader(text).whole()


def matches(filter: Filter, metadata: Metadata) -> bool:
    """Whether metadata passes: the meaning that every index must agree with."""
    match filter:
        case Equals(field, value):
            return any(_same(one, value) for one in _values(metadata, field))
        case In(field, values):
            return any(_same(one, value) for one in _values(metadata, field) for value in values)
        case Range():
            return any(_within(filter, one) for one in _values(metadata, filter.field))
        case Exists(field):
            return field in metadata
        case And(filters):
            return all(matches(one, metadata) for one in filters)
        case Or(filters):
            return any(matches(one, metadata) for one in filters)
        case Not(inner):
            return not matches(inner, metadata)


def _values(metadata: Metadata, field: str) -> tuple[Value, ...]:
    value = metadata.get(field)
    if value is None:
        return ()
    return value if isinstance(value, tuple) else (value,)


def _same(one: Value, other: Value) -> bool:
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _within(bounds: Range, value: Value) -> bool:
    if isinstance(value, bool):
        return False
    checks: tuple[tuple[float | str | None, Callable[[int], bool]], ...] = (
        (bounds.above, lambda order: order > 0),
        (bounds.at_least, lambda order: order >= 0),
        (bounds.below, lambda order: order < 0),
        (bounds.at_most, lambda order: order <= 0),
    )
    own = _instant(value) if isinstance(value, str) else value
    for bound, holds in checks:
        if bound is None:
            continue
        limit = _instant(bound) if isinstance(bound, str) else bound
        if own is None or limit is None or isinstance(own, datetime) != isinstance(limit, datetime):
            return False
        order = (own > limit) - (own < limit)  # type: ignore[operator]
        if not holds(order):
            return False
    return True


def _instant(text: str) -> datetime | None:
    """The moment that a date names, or None if the text is no date."""
    if not _DATE.fullmatch(text):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class _Reader:
    """A recursive-descent reader of one expression."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0
        self._kind = ""
        self._token = ""
        self._start = 0
        self._next()

    def whole(self) -> Filter:
        tree = self._any()
        if self._kind:
            self._fail("expected the end, 'and' or 'or'")
        return tree

    def _next(self) -> None:
        found = _TOKEN.match(self._text, self._at)
        if found is None:
            rest = self._text[self._at :].strip()
            self._start = self._at + len(self._text[self._at :]) - len(self._text[self._at :].lstrip())
            self._kind, self._token = ("?", rest[:1]) if rest else ("", "")
            return
        self._kind = found.lastgroup or ""
        self._token = found.group(self._kind)
        self._start = found.start(self._kind)
        self._at = found.end()
        if self._kind == "name" and self._token.lower() in _KEYWORDS:
            self._kind, self._token = "keyword", self._token.lower()

    def _fail(self, expectation: str) -> None:
        found = f"found {self._token!r}" if self._kind else "found its end"
        raise FilterError(
            f"The filter {self._text!r} cannot be understood at character {self._start + 1}: {expectation}, {found}",
            remedy="Example: type = 'pdf' and year >= 2020 and not exists(draft)",
        )

    def _take(self, token: str) -> bool:
        if self._kind in ("operator", "keyword") and self._token == token:
            self._next()
            return True
        return False

    def _need(self, token: str) -> None:
        if not self._take(token):
            self._fail(f"expected {token!r}")

    def _any(self) -> Filter:
        parts = [self._all()]
        while self._take("or"):
            parts.append(self._all())
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def _all(self) -> Filter:
        parts = [self._one()]
        while self._take("and"):
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def _one(self) -> Filter:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            self._fail(f"expected at most {_MAX_DEPTH} nested conditions")
        try:
            if self._take("not"):
                return Not(self._one())
            if self._take("("):
                inner = self._any()
                self._need(")")
                return inner
            if self._take("exists"):
                self._need("(")
                field = self._field()
                self._need(")")
                return Exists(field)
            return self._comparison()
        finally:
            self._depth -= 1

    def _comparison(self) -> Filter:
        field = self._field()
        if self._take("not"):
            self._need("in")
            return Not(In(field, self._list()))
        if self._take("in"):
            return In(field, self._list())
        if self._take("="):
            return Equals(field, self._value())
        if self._take("!=") or self._take("<>"):
            return Not(Equals(field, self._value()))
        for operator, bound in (("<=", "at_most"), (">=", "at_least"), ("<", "below"), (">", "above")):
            if self._take(operator):
                return Range(field, **{bound: self._bound()})
        self._fail("expected =, !=, <, <=, >, >=, in or not in")
        raise AssertionError  # pragma: no cover

    def _field(self) -> str:
        if self._kind not in ("name", "quoted"):
            self._fail("expected a field name")
        name = self._token[1:-1].replace('""', '"') if self._kind == "quoted" else self._token
        self._next()
        return name

    def _list(self) -> tuple[Value, ...]:
        self._need("(")
        values = [self._value()]
        while self._take(","):
            values.append(self._value())
        self._need(")")
        return tuple(values)

    def _bound(self) -> float | str:
        if self._kind == "keyword" or (self._kind == "text" and _instant(_unquoted(self._token)) is None):
            self._fail("expected a number, or a date such as '2024-05-31'")
        return self._value()

    def _value(self) -> Value:
        kind, token = self._kind, self._token
        value: Value
        if kind == "text":
            value = _unquoted(token)
        elif kind == "number":
            value = float(token)
            if isinf(value):
                self._fail("expected a number below 1e308")
            if not any(mark in token for mark in ".eE"):
                value = int(token)
        elif kind == "keyword" and token in ("true", "false"):
            value = token == "true"
        else:
            self._fail("expected 'text', a number, true or false")
            raise AssertionError  # pragma: no cover
        self._next()
        return value


def _unquoted(token: str) -> str:
    return token[1:-1].replace("''", "'")
