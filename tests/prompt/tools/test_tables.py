"""list_tables and query_table: exact values, names, limits that say so, errors that help, and whose tables they are."""

import asyncio
import json
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal

import pytest

from sourcebook.errors import ToolError
from sourcebook.prompt.tools.base import Toolboxes
from sourcebook.prompt.tools.query import QueryLimits, QueryResult, TableQueries
from sourcebook.prompt.tools.table_names import RESERVED, identifier, named, quoted
from sourcebook.prompt.tools.tables import TableTools
from sourcebook.types import LiveTable
from tests.prompt.tools.table_sources import Tables, shop

pytest.importorskip("duckdb")


@pytest.fixture(scope="module")
def queries() -> Iterator[TableQueries]:
    made = TableQueries(QueryLimits(max_rows=20))
    yield made
    made.close()


@pytest.fixture(scope="module")
def source() -> Tables:
    return shop()


def rows(result: QueryResult) -> list[tuple[object, ...]]:
    return list(result.rows)


# --- values -----------------------------------------------------------------------------------------------


def test_sums_of_decimals_are_exact(queries: TableQueries, source: Tables) -> None:
    result = queries.run(source, "SELECT SUM(amount), COUNT(amount), COUNT(*), MIN(placed) FROM orders")
    assert rows(result) == [(Decimal("370.19"), 5, 6, "2024-01-03")]
    assert [column.type for column in result.columns] == ["DECIMAL(38,2)", "BIGINT", "BIGINT", "DATE"]


def test_joins_conditions_and_codes(queries: TableQueries, source: Tables) -> None:
    joined = "SELECT c.name, o.amount FROM customers c JOIN orders o ON o.customer = c.id WHERE o.paid ORDER BY amount"
    assert rows(queries.run(source, joined)) == [
        ("Kim", Decimal("0.10")),
        ("Müller", Decimal("0.20")),
        ("Kim", Decimal("19.90")),
        ("Müller", Decimal("99.99")),
    ]
    assert rows(queries.run(source, "SELECT name FROM customers WHERE zip = '00184' AND since IS NULL")) == [("Rossi",)]
    assert [one.name for one in queries.run(source, joined).used] == ["customers", "orders"]
    of_its_own_name = "WITH orders AS (SELECT * FROM orders WHERE paid) SELECT COUNT(*) FROM orders"
    assert [one.name for one in queries.run(source, of_its_own_name).used] == ["orders"]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("170141183460469231731687303715884105727::HUGEINT", 170141183460469231731687303715884105727),
        ("0.1 + 0.2", Decimal("0.3")),
        ("0.1::DOUBLE + 0.2", 0.30000000000000004),
        ("'inf'::DOUBLE", float("inf")),
        ("NULL", None),
        ("1 = 1", True),
        ("TIMESTAMP '2024-01-31 10:00:00.5'", "2024-01-31 10:00:00.500000"),
        ("TIME '10:00'", "10:00:00"),
        ("[1, NULL]", "[1, null]"),
        ("[1.50, 2.25]", '["1.50", "2.25"]'),
        ("['nan'::DOUBLE]", '["nan"]'),
        ("MAP {DATE '2024-01-31': 1}", '{"2024-01-31": 1}'),
        ("MAP {1: TIME '10:00', 2: NULL}", '{"1": "10:00:00", "2": null}'),
        ("(SELECT histogram(amount) FROM (VALUES (0.10), (0.20)) AS t (amount))", '{"0.10": 1, "0.20": 1}'),
        ("{'a': 'é'}", '{"a": "é"}'),
        ("'\\xFF'::BLOB", "ff"),
        ("INTERVAL 2 DAY", "2 days, 0:00:00"),
        ("'tab\t' || chr(10) || '\u2028'", "tab\t\n\u2028"),
    ],
)
def test_values_of_every_kind(queries: TableQueries, source: Tables, expression: str, expected: object) -> None:
    ((value,),) = rows(queries.run(source, f"SELECT {expression}"))
    assert (value, type(value)) == (expected, type(expected))


@pytest.mark.parametrize(
    "statement",
    [
        "WITH x AS (SELECT 1 AS a) SELECT a FROM x",
        "VALUES (1)",
        "FROM orders SELECT min(1)",
        "SELECT 1 -- ; DROP TABLE orders",
        "SELECT /* ; */ 1;",
        "(SELECT 1)",
        "SELECT count(*) FROM (DESCRIBE orders) WHERE column_name = 'paid'",
        "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 5) SELECT min(n) FROM r",
        "SELECT count(*) FROM information_schema.tables WHERE table_name = 'orders'",
    ],
)
def test_every_way_of_reading(queries: TableQueries, source: Tables, statement: str) -> None:
    assert rows(queries.run(source, statement)) == [(1,)]


def test_describe_and_show(queries: TableQueries, source: Tables) -> None:
    assert [row[:2] for row in rows(queries.run(source, "DESCRIBE orders"))][3] == ("amount", "DECIMAL(18,2)")
    assert rows(queries.run(source, "SHOW TABLES")) == [("customers",), ("orders",)]


# --- groups by a key ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT c.name, COUNT(*) FROM customers c JOIN orders o ON o.customer = c.id GROUP BY c.id ORDER BY c.name",
        "SELECT name, COUNT(*) FROM customers JOIN orders ON customer = id GROUP BY id ORDER BY name",
        "SELECT name, COUNT(*) FROM customers, orders WHERE customer = id GROUP BY id HAVING name <> '' ORDER BY city",
        "WITH x AS (SELECT name, COUNT(*) FROM customers, orders WHERE customer = id GROUP BY id) SELECT * FROM x",
    ],
)
def test_what_a_key_determines_needs_no_group(queries: TableQueries, source: Tables, statement: str) -> None:
    assert sorted(rows(queries.run(source, statement))) == [("Kim", 2), ("Lee", 1), ("Müller", 2)]


def test_all_columns_of_a_keyed_table(queries: TableQueries, source: Tables) -> None:
    statement = "SELECT c.*, COUNT(o.customer) FROM customers c LEFT JOIN orders o ON customer = id GROUP BY c.id"
    assert sorted(row[-1] for row in rows(queries.run(source, statement))) == [0, 0, 1, 2, 2]  # type: ignore[type-var]


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT o.amount, COUNT(*) FROM orders o GROUP BY o.customer",  # comes twice
        "SELECT c.name, COUNT(*) FROM customers c GROUP BY c.since",  # is missing once
        "SELECT o.amount FROM customers c JOIN orders o ON customer = id GROUP BY c.id",  # of the other table
        "WITH customers AS (SELECT * FROM orders) SELECT placed FROM customers GROUP BY customer",
    ],
)
def test_what_a_group_does_not_determine_is_still_an_error(
    queries: TableQueries, source: Tables, statement: str
) -> None:
    with pytest.raises(ToolError, match="GROUP BY"):
        queries.run(source, statement)


# --- limits ---------------------------------------------------------------------------------------------------


def test_a_cut_result_says_so_and_why(source: Tables) -> None:
    queries = TableQueries(QueryLimits(max_rows=3, max_characters=400, max_cell=50))
    try:
        result = queries.run(source, "SELECT range FROM range(10)")
        assert (rows(result), "first 3 rows; there are more" in result.cut) == ([(0,), (1,), (2,)], True)
        assert queries.run(source, "SELECT range FROM range(3)").cut == ""
        assert len(queries.run(source, "SELECT range FROM range(10)", rows=10).rows) == 10
        wide = queries.run(source, "SELECT repeat('x', 60) FROM range(9)", rows=9)
        assert (len(wide.rows), "first 5 rows, the result is too long" in wide.cut) == (5, True)
        assert wide.rows[0][0] == "x" * 50 + "… [cut: 60 characters]"
    finally:
        queries.close()


def test_a_statement_too_long(queries: TableQueries, source: Tables) -> None:
    with pytest.raises(ToolError, match="50000 characters"):
        queries.run(source, "SELECT " + "1" * 50_000)


# --- processes ------------------------------------------------------------------------------------------------


def test_only_what_is_named_is_loaded_and_only_once() -> None:
    tables, queries = shop(), TableQueries()
    try:
        queries.run(tables, "SELECT 1")
        assert tables.reads == []
        for _ in range(2):
            queries.run(tables, "SELECT COUNT(*) FROM ORDERS")
        assert len(tables.reads) == 1
        queries.run(tables, "SELECT COUNT(*) FROM customers, orders")
        assert len(tables.reads) == 2
    finally:
        queries.close()


def test_a_table_that_goes_is_gone_and_one_that_changes_has_changed() -> None:
    tables, queries = Tables(), TableQueries()
    before = tables.add("file:///a.csv", "n,m\n1,2\n")
    try:
        assert rows(queries.run(tables, "SELECT sum(n) FROM a")) == [(1,)]
        tables.remove(before)
        with pytest.raises(ToolError, match='no table "a"'):
            queries.run(tables, "SELECT sum(n) FROM a")
        tables.add("file:///a.csv", "n,m\n5,2\n")
        assert rows(queries.run(tables, "SELECT sum(n) FROM a")) == [(5,)]
    finally:
        queries.close()


def test_a_table_that_goes_while_it_is_read_is_not_in_the_result() -> None:
    class Going(Tables):
        def cells(self, keys: Sequence[str], *, most: int | None = None) -> Mapping[str, bytes]:
            found = super().cells(keys, most=most)
            self.remove(before)
            return found

    tables, queries = Going(), TableQueries()
    before = tables.add("file:///a.csv", "n,m\n1,2\n")
    try:
        with pytest.raises(ToolError, match='no table "a"'):
            queries.run(tables, "SELECT sum(n) FROM a")
    finally:
        queries.close()


def test_a_killed_process_is_replaced(source: Tables) -> None:
    queries = TableQueries()
    try:
        for _ in range(3):
            assert rows(queries.run(source, "SELECT COUNT(*) FROM orders")) == [(6,)]
            for process in queries._all:
                os.kill(process._process.pid, signal.SIGKILL)
                process._process.wait()
    finally:
        queries.close()
    assert queries._all == set()
    assert rows(queries.run(source, "SELECT 1")) == [(1,)]
    queries.close()


def test_views_that_differ_never_share_a_process() -> None:
    mine, theirs, queries = Tables(), Tables(), TableQueries()
    mine.add("file:///a.csv", "n,m\n1,2\n")
    theirs.add("file:///secret.csv", "n,m\n7,7\n")
    try:
        for _ in range(2):
            assert rows(queries.run(mine, "SHOW TABLES")) == [("a",)]
            assert rows(queries.run(theirs, "SHOW TABLES")) == [("secret",)]
            with pytest.raises(ToolError) as error:
                queries.run(mine, "SELECT * FROM secret")
            assert "The tables are: a." in str(error.value)
    finally:
        queries.close()


# --- names ----------------------------------------------------------------------------------------------------


def live(document: str, name: str = "") -> LiveTable:
    return LiveTable(key=f"{document}!{name}", document=document, version=1, name=name, columns=(), rows=1, places=())


@pytest.mark.parametrize(
    ("tables", "expected"),
    [
        ([("a/sales.csv", "")], ["sales"]),
        ([("a/sales.csv", ""), ("b/sales.csv", "")], ["a_sales", "b_sales"]),
        ([("x/a/s.csv", ""), ("y/a/s.csv", ""), ("a_s.csv", "")], ["x_a_s", "y_a_s", "a_s"]),
        ([("Sales 2024 (final).csv", "")], ["Sales_2024_final"]),
        (
            [("2024.csv", ""), ("order.csv", ""), ("매출.csv", ""), ("...csv", "")],
            ["t_2024", "order_", "매출", "table_"],
        ),
        ([("b.xlsx", "May")], ["b"]),
        ([("b.xlsx", "May"), ("b.xlsx", "June")], ["May", "June"]),
        (
            [("b.xlsx", "May"), ("b.xlsx", "June"), ("c.xlsx", "May"), ("c.xlsx", "July")],
            ["b_May", "June", "c_May", "July"],
        ),
        ([("b.xlsx", "Sheet1"), ("b.xlsx", "Sheet2")], ["b_Sheet1", "b_Sheet2"]),
        ([("b.xlsx", "May"), ("b.xlsx", "May")], ["May", "May_2"]),
        ([("d.json", ""), ("d.csv", "")], ["d", "d_2"]),
    ],
)
def test_names_are_short_and_leave_no_doubt(tables: list[tuple[str, str]], expected: list[str]) -> None:
    found = named([live(f"file:///{document}", name) for document, name in tables])
    assert [one.name for one in found] == expected
    every = [name.casefold() for one in found for name in (one.name, *one.aliases)]
    assert len(every) == len(set(every))


def test_tables_are_found_by_all_their_names(queries: TableQueries) -> None:
    tables = Tables()
    tables.add("file:///docs/My%20Sales.csv", "n,m\n1,2\n")
    tables.add("file:///docs/b.xlsx", "n,m\n3,4\n", name="Q1 (May)")
    tables.add("file:///docs/b.xlsx", 'n,"a ""b"", c"\n5,6\n', name="order")
    for name in ("My_Sales", '"My Sales"', "my_sales", "Q1_May", '"Q1 (May)"', '"b Q1 (May)"', '"order"', "order_"):
        ((value,),) = rows(queries.run(tables, f"SELECT sum(n) FROM {name}"))
        assert value in (1, 3, 5)
    assert rows(queries.run(tables, 'SELECT "a ""b"", c" FROM order_')) == [(6,)]


def test_reserved_words_are_those_of_the_dialect() -> None:
    import duckdb

    with duckdb.connect(":memory:") as connection:
        words = connection.execute("SELECT keyword_name FROM duckdb_keywords() WHERE keyword_category = 'reserved'")
        assert {word for (word,) in words.fetchall()} <= RESERVED
    assert (identifier("Select"), quoted("select"), quoted("a b"), quoted("ok_1")) == (
        "Select_",
        '"select"',
        '"a b"',
        "ok_1",
    )


# --- the toolbox ------------------------------------------------------------------------------------------------


@pytest.fixture
def tools(queries: TableQueries, source: Tables) -> Toolboxes:
    return Toolboxes([TableTools(source, queries)])


async def test_what_there_is(tools: Toolboxes) -> None:
    result = await tools.call("list_tables", "")
    assert not result.failed
    assert result.text.splitlines()[:5] == [
        "customers (id BIGINT, name VARCHAR, city VARCHAR, zip VARCHAR, since DATE)",
        "  5 rows, from file:///shop/customers.csv, rows 2 to 6",
        '  [1, "Kim", "Seoul", "04524", "2021-03-01"]',
        '  [2, "Lee", "Busan", "48058", "2022-11-15"]',
        '  [3, "Müller", "Köln", "50667", "2020-06-30"]',
    ]
    assert '"order" BIGINT' in result.text
    only = await tools.call("list_tables", '{"containing": "AMOUNT"}')
    assert only.text.startswith("orders (")
    assert "customers (" not in only.text
    none = await tools.call("list_tables", '{"containing": "nowhere"}')
    assert none.text == "None of the 2 tables has 'nowhere' in its name, columns or document."


async def test_first_rows_of_tables_that_are_long_wide_or_odd(queries: TableQueries) -> None:
    tables = Tables()
    tables.add(
        "file:///long.csv", "n,ok,x,d\n" + "".join(f"{n},{n % 2 == 0},{n}.50,2024-01-01\n" for n in range(30_000))
    )
    tables.add("file:///wide.csv", ",".join(f"c{n}" for n in range(100)) + "\n" + ",".join(map(str, range(100))))
    tables.add("file:///huge.csv", f"a,b,c\n{'x' * 100_000},{'y' * 100_000},{'z' * 1000}\n")
    text = (await Toolboxes([TableTools(tables, queries)]).call("list_tables", "{}")).text
    assert '\n  [0, true, 0.50, "2024-01-01"]\n  [1, false, 1.50, "2024-01-01"]\n' in text
    assert "... 40 more columns (DESCRIBE wide shows them)" in text
    assert "[0, 1, 2, " in text
    assert ", 59]" in text
    assert text.endswith("huge (a VARCHAR, b VARCHAR, c VARCHAR)\n  1 rows, from file:///huge.csv, row 2")
    assert rows(queries.run(tables, "SELECT COUNT(*), SUM(n) FROM long")) == [(30_000, 449_985_000)]


async def test_of_tables_that_are_listed_only_the_beginning_is_read(queries: TableQueries) -> None:
    class Watched(Tables):
        def cells(self, keys: Sequence[str], *, most: int | None = None) -> Mapping[str, bytes]:
            asked.append(most)
            return super().cells(keys, most=most)

    asked: list[int | None] = []
    tables = Watched()
    tables.add("file:///long.csv", "n\n" + "".join(f"{n}\n" for n in range(1000)))
    assert "[0]\n  [1]" in (await TableTools(tables, queries).call("list_tables", "{}")).text
    assert all(most is not None and most < 1_000_000 for most in asked)


async def test_a_result_is_evidence_of_the_tables_that_it_is_from(tools: Toolboxes) -> None:
    sql = "SELECT c.name, SUM(amount) FROM orders JOIN customers c ON c.id = customer GROUP BY ALL ORDER BY 1 LIMIT 1"
    result = await tools.call("query_table", json.dumps({"sql": sql}))
    assert {hit.passage.document for hit in result.hits} == {"file:///shop/orders.csv", "file:///shop/customers.csv"}
    (computed,) = {hit.computed for hit in result.hits}
    assert computed is not None
    assert (computed.sql, computed.columns, computed.rows) == (sql, ("name", "sum(amount)"), ('["Kim", 20.00]',))
    assert {(one.table, one.rows) for one in computed.tables} == {
        ("customers", "rows 2 to 6"), ("orders", "rows 2 to 7"),
    }  # fmt: skip
    assert result.origins == {("file:///shop/orders.csv", 1), ("file:///shop/customers.csv", 1)}
    listed = await tools.call("list_tables", '{"containing": "amount"}')
    assert listed.origins == {("file:///shop/orders.csv", 1)}


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 70",
        "WITH orders AS (SELECT 999 AS total) SELECT total FROM orders",
        "WITH orders AS (SELECT 999 AS total) SELECT COLUMNS('t.*') FROM orders",  # DuckDB does not account for it
    ],
)
async def test_what_no_table_says_is_evidence_of_nothing(tools: Toolboxes, sql: str) -> None:
    result = await tools.call("query_table", json.dumps({"sql": sql}))
    assert not result.failed
    assert result.hits == ()
    assert "orders.csv" not in result.text


async def test_nothing_there(queries: TableQueries) -> None:
    tools = Toolboxes([TableTools(Tables(), queries)])
    assert (await tools.call("list_tables", "{}")).text == "There are no tables in the documents."
    assert "The tables are: none" in (await tools.call("query_table", '{"sql": "SELECT * FROM a"}')).text


async def test_a_result_is_compact_exact_and_says_where_it_is_from(tools: Toolboxes) -> None:
    sql = "SELECT paid, SUM(amount) AS total FROM orders GROUP BY paid ORDER BY paid"
    result = await tools.call("query_table", json.dumps({"sql": sql}))
    assert result.text.splitlines() == [
        "2 rows (paid BOOLEAN, total DECIMAL(38,2))",
        "[false, 250.00]",
        "[true, 120.19]",
        "from file:///shop/orders.csv, rows 2 to 7 (table orders)",
    ]
    cut = await tools.call("query_table", '{"sql": "SELECT * FROM range(100)"}')
    assert cut.cut
    assert cut.text.splitlines()[-1].startswith("[cut: only the first 20 rows; there are more")


@pytest.mark.parametrize(
    ("sql", "hint"),
    [
        ("SELECT amout FROM orders", '"amount"'),
        ("SELECT * FROM order_s", 'did you mean "orders"'),
        ("SELEC 1", "syntax error"),
        ("SELECT sum(name) FROM customers", "No function matches"),
        ("SELECT now()", "CAST"),
        ("PIVOT orders ON paid", "IN"),
        ("", "exactly one"),
    ],
)
async def test_errors_tell_how_to_do_better(tools: Toolboxes, sql: str, hint: str) -> None:
    result = await tools.call("query_table", json.dumps({"sql": sql}))
    assert result.failed
    assert hint in result.text
    assert "Traceback" not in result.text


async def test_arguments_that_are_none(tools: Toolboxes) -> None:
    for arguments in ("{}", '{"sql": 1}', '{"sql": "SELECT 1", "more": 1}', "[]"):
        assert (await tools.call("query_table", arguments)).failed


# --- processes ----------------------------------------------------------------------------------------------

ENDLESS = "SELECT COUNT(*) FROM range(1000000000000)"


async def test_a_query_that_nobody_waits_for_any_more_gives_its_place_away(source: Tables) -> None:
    queries = TableQueries(QueryLimits(max_seconds=30, threads=1))
    try:
        slow = [asyncio.create_task(queries.arun(source, f"{ENDLESS} WHERE {n} > 0")) for n in range(1, 9)]
        await asyncio.sleep(0.3)
        await asyncio.wait_for(asyncio.to_thread(len, ""), 5)  # the loop's own threads are free
        for task in slow:
            task.cancel()
        await asyncio.gather(*slow, return_exceptions=True)
        assert rows(await asyncio.wait_for(queries.arun(source, "SELECT 1"), 10)) == [(1,)]
    finally:
        queries.close()


async def test_closing_ends_what_runs_and_what_waits(source: Tables) -> None:
    queries = TableQueries(QueryLimits(max_seconds=30, threads=1))
    asked = [asyncio.create_task(queries.arun(source, f"{ENDLESS} WHERE {n} > 0")) for n in range(1, 5)]
    await asyncio.sleep(0.5)
    queries.close()
    failures = await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), 10)
    assert {type(one) for one in failures} == {ToolError}
    assert {str(one).partition(".")[0] for one in failures} == {"The query was stopped"}
    assert rows(await queries.arun(source, "SELECT 1")) == [(1,)]
    queries.close()


def test_a_table_that_cannot_be_loaded_spoils_no_other_query() -> None:
    tables = shop()
    broken = tables.add("file:///broken.csv", "n,day\n1,2024-01-31\n")
    tables.damage(broken)
    queries = TableQueries()
    try:
        for _ in range(2):
            with pytest.raises(ToolError, match="could not be loaded"):
                queries.run(tables, "SELECT * FROM broken, orders")
            assert rows(queries.run(tables, "SELECT COUNT(*) FROM orders")) == [(6,)]
    finally:
        queries.close()


def test_tables_that_come_and_go_elsewhere_cost_nothing() -> None:
    tables = shop()
    queries = TableQueries()
    try:
        assert rows(queries.run(tables, "SELECT COUNT(*) FROM orders")) == [(6,)]
        other = tables.add("file:///other/prices.csv", "n\n1\n")
        tables.reads.clear()
        assert rows(queries.run(tables, "SELECT COUNT(*) FROM orders")) == [(6,)]
        assert rows(queries.run(tables, "SELECT n FROM prices")) == [(1,)]
        assert tables.reads == [other.key]  # the same process, which holds the orders already
        assert {row[0] for row in rows(queries.run(tables, "SHOW TABLES"))} == {"customers", "orders", "prices"}
        tables.remove(other)
        assert {row[0] for row in rows(queries.run(tables, "SHOW TABLES"))} == {"customers", "orders"}
        with pytest.raises(ToolError, match="no table"):
            queries.run(tables, "SELECT n FROM prices")
    finally:
        queries.close()
