"""The process that runs SQL: a DuckDB in memory that can reach nothing, inside a process that may take little.

Started by `query`; reads messages from its standard input and answers on its standard output, framed as
`sourcebook.pipes` has it. They are JSON; cells of tables follow as messages of their own.

    <- {"limits": {...}}
    -> {"ready": true}
    <- {"sql": "...", "rows": 200, "tables": [{"key", "name", "aliases", "columns": [[name, type], ...]}, ...]}
    -> {"need": [key, ...]}             for tables it has no cells of yet
    <- cells of the first, cells of the second, ...
    -> {"loaded": true}
    -> {"columns": [[name, type], ...], "rows": [[...], ...], "more": "" | "rows" | "characters",
        "used": [key, ...], "given": [key, ...], "made": [key, ...]}
       or {"error": "sql" | "refused" | "time" | "memory" | "load" | "broken", "message": "...", "used": [...], ...}

"tables" may be left out: then they are those of the request before. A table is made when a statement first names it,
and stays as it is: every later request must have it, under the same names. After an answer other than "loaded" to
cells, the process is of no more use.

A query passes three gates: DuckDB's own parser says that it is one SELECT; its syntax tree holds nothing but reading
of the tables named; and it runs in a read-only transaction of a locked database without access to anything outside.
"""

from __future__ import annotations

import json
import math
import os
import re
import sys
import threading
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime, time
from decimal import Decimal
from typing import IO, TYPE_CHECKING, Any

from sourcebook.pipes import end_with_parent, read_message, write_message
from sourcebook.prompt.tools.grouping import complete_groups
from sourcebook.prompt.tools.only_reading import Named, NoSuchTable, Refused, named_in

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_OVERHEAD = 600_000_000  # bytes that interpreter and library take, besides the memory for tables and queries
_TYPE = re.compile(r"BIGINT|HUGEINT|DOUBLE|BOOLEAN|DATE|TIMESTAMP|VARCHAR|DECIMAL\(\d{1,2},\d{1,2}\)")


def main() -> None:
    """Answer queries until the input ends."""
    requests = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print must not come between the answers
    end_with_parent()
    opening = read_message(requests)
    if opening is None:
        return
    try:
        database = _Database(json.loads(opening)["limits"])
    except ImportError:
        write_message(answers, b'{"error": "missing", "message": "duckdb"}')
        return
    write_message(answers, b'{"ready": true}')
    while (request := read_message(requests)) is not None:
        answer = _answer(database, json.loads(request), requests, answers)
        write_message(answers, json.dumps({**database.account, **answer}).encode())


def _answer(
    database: _Database, asked: Mapping[str, Any], requests: IO[bytes], answers: IO[bytes]
) -> Mapping[str, object]:
    try:
        if "tables" in asked:
            database.know(asked["tables"])
        if needed := database.examine(str(asked["sql"])):
            write_message(answers, json.dumps({"need": needed}).encode())
            _load(database, needed, requests)
            write_message(answers, b'{"loaded": true}')
        return database.run(int(asked["rows"]))
    except Exception as error:
        return _explained(error)


def _load(database: _Database, needed: Sequence[str], requests: IO[bytes]) -> None:
    """Take all the cells, also after some that cannot be loaded: none is to be read as a request. Errors: NotLoaded."""
    failed: NotLoaded | None = None
    for key in needed:
        cells = read_message(requests)
        if cells is None:
            raise EOFError
        try:
            if failed is None:
                database.load(key, cells)
        except Exception as error:
            failed = NotLoaded(key)
            failed.__cause__ = error
    if failed is not None:
        raise failed


class NotLoaded(Exception):
    """A table's cells are not what its columns say; its cause says why."""


class _Database:
    """The tables, each made when a statement names it, and one query at a time."""

    def __init__(self, limits: dict[str, Any]) -> None:
        _bind(int(limits["max_memory"]))
        self._seconds = float(limits["max_seconds"])
        self._cell = int(limits["max_cell"])
        self._characters = int(limits["max_characters"])
        self._connection = _connect(int(limits["max_memory"]), int(limits["threads"]))
        self._tables: dict[str, dict[str, Any]] = {}
        self._keys: dict[str, str] = {}
        self._made: dict[str, None] = {}
        self._loaded: set[str] = set()
        self._statement = ""
        self._tree: Any = None
        self._unique: dict[tuple[str, str], bool] = {}
        self.used: list[str] = []
        self.given: list[str] = []

    @property
    def account(self) -> dict[str, list[str]]:
        """Keys of the tables that the statement reads, that it may read, and that are there at all."""
        return {"used": self.used, "given": self.given, "made": list(self._made)}

    def know(self, tables: Sequence[dict[str, Any]]) -> None:
        """The tables that there are from now on; those that were made are among them."""
        self._tables = {one["key"]: one for one in tables}
        self._keys = {name.casefold(): one["key"] for one in tables for name in (one["name"], *one["aliases"])}

    def examine(self, sql: str) -> list[str]:
        """Take the statement if it may run; the keys of the tables whose cells it needs first.

        Errors: Refused, NoSuchTable.
        """
        self.used, self.given, self._statement, self._tree = [], [], "", None
        statements = self._connection.extract_statements(sql)
        if len(statements) != 1:
            raise Refused(f"There are {len(statements)} statements, and exactly one may run at a time")
        (statement,) = statements
        kind = statement.type.name
        if kind == "MULTI":
            raise Refused("A PIVOT has to name its values: PIVOT table ON column IN (...)")
        if kind != "SELECT":
            raise Refused(f"Only reading is allowed, and this is {kind}: use SELECT, WITH, VALUES or DESCRIBE")
        if statement.named_parameters:
            raise Refused("There are parameters in the statement: write the values into it")
        found = self._connection.execute("SELECT json_serialize_sql(?)", [statement.query]).fetchone()
        tree = json.loads(found[0]) if found else {"error": True, "error_message": "it cannot be read"}
        if tree.get("error"):
            raise Refused(f"The statement cannot be examined: {tree.get('error_message')}")
        named = named_in(tree, self._keys.keys())
        self._make(list(self._tables) if named.everything else [self._keys[name] for name in named.tables])
        self.used, self.given = self._read_by(statement.query, named)
        self._statement, self._tree = statement.query, tree
        return [key for key in self.given if key not in self._loaded]

    def _make(self, keys: Sequence[str]) -> None:
        """Make tables, empty, with a view for each of their other names."""
        for one in (self._tables[key] for key in keys if key not in self._made):
            columns = ", ".join(f"{_quoted(name)} {_checked(kind)}" for name, kind in one["columns"])
            self._connection.execute(f"CREATE TABLE {_quoted(one['name'])} ({columns})")
            for alias in one["aliases"]:
                self._connection.execute(f"CREATE VIEW {_quoted(alias)} AS FROM {_quoted(one['name'])}")
            self._made[one["key"]] = None

    def _read_by(self, query: str, named: Named) -> tuple[list[str], list[str]]:
        """Keys of the tables that a statement surely reads, and of those that it may read.

        DuckDB's own account tells a table from a WITH of the same name. It looks at no columns, and so understands
        not every statement; of one that it does not, such a table may be read, and is not said to be.
        """
        try:
            read = self._keys_of(self._connection.get_table_names(query))
        except (KeyError, _errors()):
            return self._keys_of(named.tables - named.shadowed), self._keys_of(named.tables)
        return read, read

    def _keys_of(self, names: Iterable[str]) -> list[str]:
        """Errors: KeyError if one is no table of the documents."""
        return sorted({self._keys[name.casefold()] for name in names})

    def load(self, key: str, cells: bytes) -> None:
        """Fill a table with its cells, as `types.Table.data` holds them."""
        table = self._tables[key]
        values = ", ".join(
            f"CAST(nullif(c{number}, '') AS {_checked(kind)})" for number, (_, kind) in enumerate(table["columns"])
        )
        lists = ", ".join(f"unnest(string_split(?, chr(31))) AS c{number}" for number in range(len(table["columns"])))
        insert = f"INSERT INTO {_quoted(table['name'])} SELECT {values} FROM (SELECT {lists})"  # noqa: S608
        for batch in json.loads(zlib.decompress(cells)):
            self._connection.execute(insert, batch)
        self._loaded.add(key)

    def run(self, most: int) -> dict[str, Any]:
        """The result of the statement that was examined, as far as the limits let it come."""
        with self._interrupting():
            try:
                return self._fetched(most)
            except Exception as error:
                if "must appear in the GROUP BY" not in str(error) or not self._completed():
                    raise
            return self._fetched(most)

    def _fetched(self, most: int) -> dict[str, Any]:
        self._connection.execute("BEGIN TRANSACTION READ ONLY")
        try:
            cursor = self._connection.execute(self._statement)
            columns = [[str(column[0]), str(column[1])] for column in cursor.description or ()]
            rows: list[list[object]] = []
            more = ""
            left = self._characters
            while not more and (some := cursor.fetchmany(min(64, most + 1 - len(rows)))):
                for row in some:
                    cells = [self._written(cell) for cell in row]
                    left -= sum(len(str(cell)) + 4 for cell in cells)
                    if len(rows) >= most or left < 0:
                        more = "rows" if len(rows) >= most else "characters"
                        break
                    rows.append(cells)
        finally:
            self._connection.execute("ROLLBACK")
        return {"columns": columns, "rows": rows, "more": more}

    def _completed(self) -> bool:
        """Whether the statement could be changed so that its groups name all that they determine."""
        of_type = "SELECT DISTINCT function_name FROM duckdb_functions() WHERE function_type = 'aggregate'"
        aggregates = {str(row[0]) for row in self._connection.execute(of_type).fetchall()}
        if not complete_groups(self._tree, columns=self._columns, unique=self._is_unique, aggregates=aggregates):
            return False
        found = self._connection.execute("SELECT json_deserialize_sql(?)", [json.dumps(self._tree)]).fetchone()
        self._statement = str(found[0]) if found else ""
        return True

    def _columns(self, name: str) -> list[str] | None:
        key = self._keys.get(name.casefold())
        return None if key is None else [str(column) for column, _ in self._tables[key]["columns"]]

    def _is_unique(self, name: str, column: str) -> bool:
        place = (self._keys[name.casefold()], column)
        if place not in self._unique:
            counts = f"SELECT count(*) = count(DISTINCT {_quoted(column)}) FROM {_quoted(name)}"  # noqa: S608
            found = self._connection.execute(counts).fetchone()
            self._unique[place] = bool(found and found[0])
        return self._unique[place]

    @contextmanager
    def _interrupting(self) -> Iterator[None]:
        """Interrupt the query when its time is up."""
        timer = threading.Timer(self._seconds, self._connection.interrupt)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _written(self, value: object) -> object:
        """A value for JSON; exact: decimals are text of their digits, which `query` reads as such."""
        plain = _plain(value, self._cell)
        if isinstance(plain, (list, dict)):
            plain = json.dumps(plain, ensure_ascii=False)
        if not isinstance(plain, str) or len(plain) <= self._cell:
            return plain
        return f"{plain[: self._cell]}… [cut: {len(plain)} characters]"


def _plain(value: object, most: int) -> Any:
    """A value of SQL as JSON has it. Digits of decimals, days, times and numbers that JSON lacks are text.

    most: bytes of binary data that are shown.
    """
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case Decimal():
            return format(value, "f")
        case bytes() | bytearray() | memoryview():
            return bytes(value)[:most].hex()
        case datetime():
            return value.isoformat(" ")
        case date() | time():
            return value.isoformat()
        case list() | tuple():
            return [_plain(one, most) for one in value]
        case dict():
            return {_key(_plain(key, most)): _plain(one, most) for key, one in value.items()}
    return str(value)


def _key(plain: object) -> str:
    """A key of an object, which is text."""
    return plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)


def _bind(memory: int) -> None:
    """What the process may take, whatever the library would: memory, files, other processes."""
    sys.setrecursionlimit(3000)
    if sys.platform == "win32":
        return
    import resource

    for limit, most in (
        (resource.RLIMIT_DATA, memory + _OVERHEAD),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(limit)
        wanted = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(limit, (wanted, wanted))


def _connect(memory: int, threads: int) -> DuckDBPyConnection:
    """A database in memory, without a way out and without a way to give itself one."""
    import duckdb

    return duckdb.connect(
        ":memory:",
        config={
            "enable_external_access": "false",
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "allow_community_extensions": "false",
            "allow_persistent_secrets": "false",
            "python_enable_replacements": "false",
            "temp_directory": "",
            "memory_limit": f"{memory}B",
            "threads": str(threads),
            "lock_configuration": "true",
        },
    )


def _explained(error: Exception) -> dict[str, Any]:
    """What went wrong, told by kind; DuckDB's own words, which say how to correct the statement."""
    kind = type(error).__name__
    match error:
        case NotLoaded(__cause__=Exception() as cause):
            told = _explained(cause)
            return told if told["error"] == "memory" else {"error": "load", "message": f"{error}: {cause}"[:500]}
        case Refused():
            return {"error": "refused", "message": str(error)}
        case NoSuchTable():
            return {"error": "sql", "message": str(error)}
        case MemoryError():
            return {"error": "memory", "message": "out of memory"}
        case RecursionError():
            return {"error": "refused", "message": "The statement is nested too deep"}
    if kind == "InterruptException":
        return {"error": "time", "message": "interrupted"}
    if kind == "OutOfMemoryException" or "bad_alloc" in str(error):
        return {"error": "memory", "message": "out of memory"}
    if "pytz" in str(error):  # of a time with zone, without the library that Python wants for it
        return {"error": "sql", "message": "Values with a time zone cannot be shown: CAST them AS TIMESTAMP or VARCHAR"}
    if kind == "PermissionException":
        return {"error": "refused", "message": "Only tables of the documents can be read: no files, no network"}
    if not isinstance(error, _errors()):
        return {"error": "broken", "message": f"{kind}: {error}"[:500]}
    return {"error": "sql", "message": str(error)[:2000]}


def _errors() -> type[Exception]:
    import duckdb

    return duckdb.Error


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _checked(kind: str) -> str:
    if not _TYPE.fullmatch(kind):
        raise ValueError(f"no type of a column: {kind}")
    return kind


if __name__ == "__main__":
    main()
