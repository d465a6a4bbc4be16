"""The filter language: from text to a tree, and what the tree means."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sourcebook.errors import FilterError
from sourcebook.filters import matches, parse_filter
from sourcebook.types import And, Equals, Exists, Filter, In, Metadata, Not, Or, Range

# --- from text to a tree ----------------------------------------------------------------------------------

A, B, C = Equals("a", 1), Equals("b", 2), Equals("c", 3)


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("type = 'pdf'", Equals("type", "pdf")),
        ("type != 'pdf'", Not(Equals("type", "pdf"))),
        ("type <> 'pdf'", Not(Equals("type", "pdf"))),
        ("year = -5", Equals("year", -5)),
        ("price = 1.50e2", Equals("price", 150.0)),
        ("draft = true", Equals("draft", True)),
        ("draft = FALSE", Equals("draft", False)),
        ("year < 1", Range("year", below=1)),
        ("year <= 1", Range("year", at_most=1)),
        ("year > 1.5", Range("year", above=1.5)),
        ("day >= '2024-05-31'", Range("day", at_least="2024-05-31")),
        ("day < '2024-05-31T10:00:00+02:00'", Range("day", below="2024-05-31T10:00:00+02:00")),
        ("tags in ('law', 2, true)", In("tags", ("law", 2, True))),
        ("tags not in ('law')", Not(In("tags", ("law",)))),
        ("exists(draft)", Exists("draft")),
        ('EXISTS ( "a b" )', Exists("a b")),
        ("not exists(draft)", Not(Exists("draft"))),
        ("not not a = 1", Not(Not(A))),
    ],
)
def test_each_kind_of_condition(text: str, tree: Filter) -> None:
    parsed = parse_filter(text)
    assert parsed == tree
    assert repr(parsed) == repr(tree)  # True == 1, but they are not the same


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("a = 1 or b = 2 and c = 3", Or((A, And((B, C))))),
        ("a = 1 and b = 2 or c = 3", Or((And((A, B)), C))),
        ("(a = 1 or b = 2) and c = 3", And((Or((A, B)), C))),
        ("not a = 1 and b = 2", And((Not(A), B))),
        ("not (a = 1 and b = 2)", Not(And((A, B)))),
        ("a = 1 and b = 2 and c = 3", And((A, B, C))),
        ("A = 1", Equals("A", 1)),
        ("a=1 AND b=2 Or not c=3", Or((And((A, B)), Not(C)))),
        ("((((a = 1))))", A),
        ("  a\n=\t1  ", A),
    ],
)
def test_what_binds_closer(text: str, tree: Filter) -> None:
    assert parse_filter(text) == tree


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("name = 'it''s'", Equals("name", "it's")),
        ("name = ''", Equals("name", "")),
        ("name = ''''", Equals("name", "'")),
        ("name = 'a \"quoted\" word'", Equals("name", 'a "quoted" word')),
        ('"a ""b"" c" = 1', Equals('a "b" c', 1)),
        ('"and" = 1', Equals("and", 1)),
        ('"exists" in (1)', In("exists", (1,))),
        ("dc.title = 'x'", Equals("dc.title", "x")),
        ("x-author = 'x'", Equals("x-author", "x")),
        ("종류 = '계약서'", Equals("종류", "계약서")),
        ("name = 'and or not ( ) = in'", Equals("name", "and or not ( ) = in")),
    ],
)
def test_quoting(text: str, tree: Filter) -> None:
    assert parse_filter(text) == tree


@pytest.mark.parametrize(
    ("text", "character", "expected"),
    [
        ("", 1, "a field name"),
        ("   ", 4, "a field name"),
        ("a", 2, "expected ="),
        ("a = ", 5, "a number"),
        ("a == 1", 4, "a number"),
        ("a = b", 5, "found 'b'"),
        ("a = 'open", 5, 'found "\'"'),
        ("1 = a", 1, "a field name"),
        ("and = 1", 1, "a field name"),
        ("a = 1 b = 2", 7, "the end, 'and' or 'or'"),
        ("(a = 1", 7, "')'"),
        ("a = 1)", 6, "the end"),
        ("a in 1", 6, "'('"),
        ("a in ()", 7, "a number"),
        ("a in (1 2)", 9, "')'"),
        ("a not = 1", 7, "'in'"),
        ("exists a", 8, "'('"),
        ("a > true", 5, "a date"),
        ("a > 'yesterday'", 5, "a date"),
        ("a > '2024-13-01'", 5, "a date"),
        ("a = 1e999", 5, "below 1e308"),
        ("a = " + "9" * 5000, 5, "below 1e308"),
        ("a = 1 and # = 2", 11, "found '#'"),
        ("not " * 60 + "a = 1", 201, "at most 50"),
        ("(" * 60 + "a = 1" + ")" * 60, 51, "at most 50"),
    ],
)
def test_errors_point_at_the_place(text: str, character: int, expected: str) -> None:
    with pytest.raises(FilterError) as caught:
        parse_filter(text)
    message = caught.value.args[0]
    assert f"at character {character}: " in message
    assert expected in message
    assert "Example:" in caught.value.remedy


@given(st.text() | st.text(alphabet="ab1.'\"()<>=!, \nnotrindexs"))
def test_any_text_is_a_filter_or_an_error(text: str) -> None:
    try:
        parse_filter(text)
    except FilterError as error:
        assert str(error)  # noqa: PT017


fields = st.text(min_size=1, max_size=8)
numbers = st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, allow_infinity=False)
values = st.text(max_size=8) | numbers | st.booleans()
dates = st.datetimes().map(lambda one: one.isoformat(timespec="microseconds")) | st.dates().map(str)
bounds = st.sampled_from(["above", "at_least", "below", "at_most"])
conditions: st.SearchStrategy[Filter] = st.one_of(
    st.builds(Equals, fields, values),
    st.builds(In, fields, st.lists(values, min_size=1, max_size=3).map(tuple)),
    st.builds(lambda field, bound, value: Range(field, **{bound: value}), fields, bounds, numbers | dates),
    st.builds(Exists, fields),
)
trees: st.SearchStrategy[Filter] = st.recursive(
    conditions,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.lists(inner, min_size=2, max_size=3).map(lambda some: And(tuple(some))),
        st.lists(inner, min_size=2, max_size=3).map(lambda some: Or(tuple(some))),
    ),
    max_leaves=6,
)


def written(tree: Filter) -> str:
    """A text that means the tree."""
    match tree:
        case Equals(field, value):
            return f"{_field(field)} = {_value(value)}"
        case In(field, values):
            return f"{_field(field)} in ({', '.join(map(_value, values))})"
        case Range():
            limits = {">": tree.above, ">=": tree.at_least, "<": tree.below, "<=": tree.at_most}
            ((sign, limit),) = ((sign, limit) for sign, limit in limits.items() if limit is not None)
            return f"{_field(tree.field)} {sign} {_value(limit)}"
        case Exists(field):
            return f"exists({_field(field)})"
        case And(filters):
            return " and ".join(f"({written(one)})" for one in filters)
        case Or(filters):
            return " or ".join(f"({written(one)})" for one in filters)
        case Not(inner):
            return f"not ({written(inner)})"


def _field(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else repr(value)


@given(trees)
def test_what_is_written_is_read(tree: Filter) -> None:
    assert parse_filter(written(tree)) == tree


# --- what it means ----------------------------------------------------------------------------------------

DOCUMENT: Metadata = {
    "type": "pdf",
    "year": 2020,
    "price": 9.5,
    "draft": True,
    "one": 1,
    "empty": "",
    "tags": ("law", "tax"),
    "day": "2024-05-31",
    "moment": "2024-05-31T10:00:00+02:00",
    "version": "10",
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("type = 'pdf'", True),
        ("type = 'PDF'", False),
        ("type != 'pdf'", False),
        ("year = 2020", True),
        ("year = 2020.0", True),
        ("year = '2020'", False),
        ("year > 2019 and year < 2021", True),
        ("year > 2020", False),
        ("year >= 2020", True),
        ("year <= 2020", True),
        ("year < 2020", False),
        ("price <= 9.5 and price > 9", True),
        # a field with several values has each of them
        ("tags = 'law'", True),
        ("tags = 'tax'", True),
        ("tags != 'law'", False),
        ("tags in ('none', 'tax')", True),
        ("tags not in ('none')", True),
        # truth values are not numbers
        ("draft = true", True),
        ("draft = 1", False),
        ("one = 1", True),
        ("one = true", False),
        ("draft in (1)", False),
        ("draft > 0", False),
        # dates are moments, not letters
        ("day >= '2024-05-31'", True),
        ("day > '2024-05-31'", False),
        ("day >= '2024-05-31T00:00:00Z'", True),
        ("day < '2024-06-01'", True),
        ("moment < '2024-05-31T09:00:00Z'", True),
        ("moment >= '2024-05-31T08:00:00Z' and moment <= '2024-05-31T08:00:00Z'", True),
        ("type > '2024-05-31'", False),
        ("type < '2024-05-31'", False),
        ("version > 9", False),
        ("day > 2000", False),
        ("year > '2000-01-01'", False),
        # what is not there
        ("exists(empty)", True),
        ("empty = ''", True),
        ("exists(author)", False),
        ("not exists(author)", True),
        ("author = 'x'", False),
        ("author != 'x'", True),
        ("author in ('x')", False),
        ("author not in ('x')", True),
        ("author > 1", False),
        ("not author > 1", True),
        # together
        ("type = 'md' or year = 2020", True),
        ("type = 'md' and year = 2020", False),
        ("not (type = 'md' or year = 2020)", False),
    ],
)
def test_matching(text: str, expected: bool) -> None:
    assert matches(parse_filter(text), DOCUMENT) is expected


def test_of_no_conditions_all_hold_and_none_does() -> None:
    assert matches(And(()), {})
    assert not matches(Or(()), {})
    assert not matches(In("type", ()), DOCUMENT)


@given(trees, st.dictionaries(st.sampled_from(["a", "b"]), values | st.lists(st.text(), max_size=2).map(tuple)))
def test_not_is_the_opposite_and_de_morgan_holds(tree: Filter, metadata: dict[str, Any]) -> None:
    assert matches(Not(tree), metadata) is not matches(tree, metadata)
    other = Exists("a")
    both = matches(Not(And((tree, other))), metadata)
    assert both is matches(Or((Not(tree), Not(other))), metadata)
