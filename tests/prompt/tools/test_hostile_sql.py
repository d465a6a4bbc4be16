"""Statements that mean harm: each is refused or bounded, soon, and whoever asks next gets the right answer."""

import re
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import pytest

from sourcebook.errors import ToolError
from sourcebook.prompt.tools.query import QueryLimits, QueryResult, TableQueries
from tests.prompt.tools.table_sources import Tables, shop

pytest.importorskip("duckdb")

LIMITS = QueryLimits(max_seconds=0.5, max_memory=150_000_000, max_rows=50, max_characters=5_000)
SOON = 20.0  # seconds; a hundredth of it where nobody else is at work on the machine

WRITES = """
INSERT INTO orders VALUES (1, 1, NULL, 1, true)
UPDATE orders SET amount = 0
DELETE FROM orders
TRUNCATE orders
DROP TABLE orders
ALTER TABLE orders ADD COLUMN extra INT
CREATE TABLE mine AS SELECT * FROM orders
CREATE OR REPLACE VIEW orders AS SELECT 1
CREATE MACRO sum(x) AS 0
CREATE SECRET s (TYPE s3, KEY_ID 'a', SECRET 'b')
WITH x AS (INSERT INTO orders SELECT * FROM orders RETURNING *) SELECT * FROM x
WITH x AS (DELETE FROM orders RETURNING *) SELECT * FROM x
WITH x AS (UPDATE orders SET amount = 0 RETURNING *) SELECT * FROM (SELECT * FROM x)
MERGE INTO orders USING orders s ON orders."order" = s."order" WHEN MATCHED THEN DELETE
UPDATE information_schema.tables SET table_name = 'x'
DELETE FROM pg_catalog.pg_class
COMMENT ON TABLE orders IS 'x'
""".strip().splitlines()

OUTSIDE = """
SELECT * FROM '/etc/passwd'
SELECT * FROM "FILE"
DESCRIBE 'FILE'
SUMMARIZE 'FILE'
FROM 'https://example.org/a.csv'
SELECT * FROM read_csv('FILE')
SELECT * FROM read_text('FILE')
SELECT * FROM read_blob('FILE')
SELECT (SELECT content FROM read_text('FILE'))
DESCRIBE (FROM read_csv('FILE'))
SELECT * FROM orders WHERE "order" IN (SELECT 1 FROM read_json('FILE'))
SELECT * FROM glob('/**')
SELECT * FROM sniff_csv('FILE')
SELECT * FROM parquet_scan('FILE')
SELECT * FROM read_duckdb('FILE')
COPY orders TO 'OUT'
COPY (SELECT 1) TO 'OUT' (FORMAT csv)
COPY orders FROM 'FILE'
EXPORT DATABASE 'OUT'
IMPORT DATABASE 'OUT'
ATTACH 'OUT'
ATTACH ':memory:' AS other
DETACH memory
USE memory
INSTALL httpfs
LOAD httpfs
FORCE INSTALL httpfs FROM 'http://example.org'
SELECT getenv('HOME')
SELECT main.current_setting('home_directory')
SELECT 'home_directory'.current_setting()
SELECT write_log('x')
SELECT system('ls')
.shell ls
""".strip().splitlines()

MACHINERY = """
PRAGMA database_list
PRAGMA enable_profiling
SET enable_external_access = true
SET lock_configuration = false
SET memory_limit = '100GB'
SET VARIABLE x = 1
RESET memory_limit
CALL pragma_version()
CALL enable_logging()
CHECKPOINT
VACUUM
BEGIN TRANSACTION
COMMIT
PREPARE v AS DELETE FROM orders
EXECUTE v(1)
EXPLAIN ANALYZE DELETE FROM orders
SELECT $1
SELECT ?
SELECT 1; DROP TABLE orders
;DELETE FROM orders
/* SELECT */ DROP TABLE orders
SELECT nextval('s')
SELECT sleep_ms(100000)
SELECT pg_sleep(100)
SELECT json_execute_serialized_sql(json_serialize_sql('SELECT 1'))
SELECT * FROM query('DROP TABLE orders')
SELECT * FROM query_table('orders')
SELECT * FROM duckdb_secrets()
SELECT * FROM duckdb_settings()
SELECT * FROM pg_catalog.pg_settings
SELECT * FROM pandas_scan(1234567)
SELECT * FROM arrow_scan(1, 2, 3)
SELECT * FROM seq_scan(1)
SELECT * FROM histogram(orders, amount)
""".strip().splitlines()

ODD = ["SELECT 1 --\n; DELETE FROM orders --", "", "\0", "SELECT " + "(" * 24_000 + "1" + ")" * 24_000]

BOMBS = """
WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r
WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT * FROM r
WITH RECURSIVE r(n) AS (SELECT 'x' UNION ALL SELECT n || n FROM r) SELECT max(length(n)) FROM r
WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT a.n FROM r a, range(1000)) SELECT count(*) FROM r
SELECT count(*) FROM range(1000000000000)
SELECT * FROM range(1000000000000)
SELECT sum(a.range * b.range * c.range) FROM range(1000000) a, range(1000000) b, range(1000000) c
SELECT * FROM orders a, orders b, orders c, orders d, orders e, orders f, orders g, orders h, orders i ORDER BY random()
SELECT range(1000000000)
SELECT repeat('x', 1000000000)
SELECT repeat('x', 1000) FROM range(1000000)
SELECT length(repeat(repeat('x', 1000000), 1000000))
SELECT lpad('x', 2000000000, 'y')
SELECT printf('%2000000000d', 1)
SELECT string_agg(repeat('x', 1000000)) FROM range(100000)
SELECT list_transform(range(100000000), lambda x: repeat('y', 1000))
SELECT array_agg(range) FROM range(10000000000)
SELECT quantile_cont(range, 0.5) FROM range(10000000000)
SELECT unnest(range(1000000000)), unnest(range(1000000000))
SELECT regexp_matches(repeat('a', 30000000), '(a*)*b')
SELECT regexp_replace(repeat('a', 1000000), '((a{1,100}){1,100}){1,100}', 'x')
SELECT levenshtein(repeat('a', 100000), repeat('b', 100000))
SELECT customer FROM orders GROUP BY CUBE (1, customer, customer + 1, customer + 2, customer + 3, customer + 4)
""".strip().splitlines()

DEEP = [
    "SELECT " + " + ".join(["1"] * 10_000),
    "SELECT " + "[" * 3000 + "1" + "]" * 3000,
    "SELECT * FROM " + "(SELECT * FROM " * 400 + "range(5)" + ")" * 400,
]


@pytest.fixture(scope="module")
def queries() -> Iterator[TableQueries]:
    made = TableQueries(LIMITS)
    yield made
    made.close()


@pytest.fixture(scope="module")
def source() -> Tables:
    return shop()


@pytest.fixture(autouse=True)
def unharmed(queries: TableQueries, source: Tables, tmp_path: Path) -> Iterator[None]:
    """Whatever the test did: soon the tables answer as ever, and no file has come into being."""
    (tmp_path / "secret.csv").write_text("secret\nhunter2\n")
    began = monotonic()
    yield
    (row,) = queries.run(source, 'SELECT count(*), sum(amount)::VARCHAR, sum("order") FROM orders').rows
    assert row == (6, "370.19", 615)
    assert monotonic() - began < SOON
    assert [path.name for path in tmp_path.iterdir()] == ["secret.csv"]
    assert len(queries._all) <= 2


def refusal(queries: TableQueries, source: Tables, statement: str, tmp_path: Path) -> str:
    statement = statement.replace("FILE", str(tmp_path / "secret.csv")).replace("OUT", str(tmp_path / "out"))
    with pytest.raises(ToolError) as error:
        queries.run(source, statement)
    assert "hunter2" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("statement", WRITES)
def test_writes_are_refused(queries: TableQueries, source: Tables, tmp_path: Path, statement: str) -> None:
    assert "Only reading is allowed" in refusal(queries, source, statement, tmp_path)


@pytest.mark.parametrize("statement", OUTSIDE)
def test_nothing_outside_is_reached(queries: TableQueries, source: Tables, tmp_path: Path, statement: str) -> None:
    assert refusal(queries, source, statement, tmp_path)


@pytest.mark.parametrize("statement", [*MACHINERY, *ODD])
def test_the_machinery_is_out_of_reach(queries: TableQueries, source: Tables, tmp_path: Path, statement: str) -> None:
    if statement.startswith("SELECT (((("):  # which is no harm, only a strain
        assert isinstance(bounded(queries, source, statement), QueryResult | ToolError)
    else:
        assert refusal(queries, source, statement, tmp_path)


BOUNDS = (
    r"was stopped|nested|examined"  # ours; and the engine's own
    r"|^(Out of Range|Invalid Input|Parser) Error: .*(string size|repetition size|expression depth)"
)


@pytest.mark.parametrize("statement", [*BOMBS, *DEEP])
def test_what_takes_too_much_is_stopped(queries: TableQueries, source: Tables, statement: str) -> None:
    result = bounded(queries, source, statement)
    if isinstance(result, QueryResult):
        assert len(result.rows) <= LIMITS.max_rows
        assert sum(len(str(cell)) for row in result.rows for cell in row) <= LIMITS.max_characters
    else:
        assert re.search(BOUNDS, str(result))


def bounded(queries: TableQueries, source: Tables, statement: str) -> QueryResult | ToolError:
    try:
        return queries.run(source, statement)
    except ToolError as error:
        return error


def test_even_a_statement_that_passed_could_write_nothing(tmp_path: Path) -> None:
    """The second and third wall: without the first, DuckDB itself still refuses."""
    import duckdb

    from sourcebook.prompt.tools.query_worker import _connect

    connection = _connect(150_000_000, 1)
    connection.execute("CREATE TABLE t AS SELECT 1 AS a")
    for statement in (
        f"COPY t TO '{tmp_path / 'out'}'",
        f"ATTACH '{tmp_path / 'out'}'",
        f"SELECT * FROM read_text('{tmp_path / 'in'}')",
        "INSTALL httpfs",
        "SET enable_external_access = true",
        "SET lock_configuration = false",
        "SET memory_limit = '100GB'",
    ):
        with pytest.raises(duckdb.Error):
            connection.execute(statement)
    connection.execute("BEGIN TRANSACTION READ ONLY")
    with pytest.raises(duckdb.Error, match="read-only"):
        connection.execute("WITH x AS (INSERT INTO t VALUES (2) RETURNING *) SELECT * FROM x")
    connection.close()
