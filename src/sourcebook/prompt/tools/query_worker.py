"""The process that runs SQL: a DuckDB in memory that can reach nothing, inside a process that may take little.

Started by `query`; reads messages from its standard input and answers on its standard output. A message is eight
bytes of length (big endian) and that much JSON; cells of tables follow as messages of their own.

    <- {"limits": {...}, "tables": [{"key", "name", "aliases", "columns": [[name, type], ...]}, ...]}
    -> {"ready": true}
    <- {"sql": "...", "rows": 200}
    -> {"need": [key, ...]}             for tables it has no cells of yet
    <- cells of the first, cells of the second, ...
    -> {"loaded": true}
    -> {"columns": [[name, type], ...], "rows": [[...], ...], "used": [key, ...], "more": false, ...}
       or {"error": "sql" | "refused" | "time" | "memory", "message": "...", "used": [...]}

A query passes three gates: DuckDB's own parser says that it is one SELECT; its syntax tree holds nothing but reading
of the tables named; and it runs in a read-only transaction of a locked database without access to anything outside.
"""

from __future__ import annotations

import json
import os
import re
import struct
import sys
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, time
from decimal import Decimal
from typing import IO, TYPE_CHECKING, Any

from sourcebook.prompt.tools.grouping import complete_groups
from sourcebook.prompt.tools.only_reading import NoSuchTable, Refused, tables_read

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_OVERHEAD = 600_000_000  # bytes that interpreter and library take, besides the memory for tables and queries
_TYPE = re.compile(r"BIGINT|HUGEINT|DOUBLE|BOOLEAN|DATE|TIMESTAMP|VARCHAR|DECIMAL\(\d{1,2},\d{1,2}\)")


def main() -> None:
    """Answer queries until the input ends."""
    requests = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print must not come between the answers
    opening = read_message(requests)
    if opening is None:
        return
    setup = json.loads(opening)
    try:
        database = _Database(setup)
    except ImportError:
        write_message(answers, b'{"error": "missing", "message": "duckdb"}')
        return
    write_message(answers, b'{"ready": true}')
    while (request := read_message(requests)) is not None:
        asked = json.loads(request)
        try:
            needed = database.examine(str(asked["sql"]))
            if needed:
                write_message(answers, json.dumps({"need": needed}).encode())
                for key in needed:
                    cells = read_message(requests)
                    if cells is None:
                        return
                    database.load(key, cells)
                write_message(answers, b'{"loaded": true}')
            answer = database.run(int(asked["rows"]))
        except Refused as refusal:
            answer = {"error": "refused", "message": str(refusal)}
        except NoSuchTable as missing:
            answer = {"error": "sql", "message": str(missing)}
        except MemoryError:
            answer = {"error": "memory", "message": "out of memory"}
        except RecursionError:
            answer = {"error": "refused", "message": "The statement is nested too deep"}
        except Exception as error:
            answer = _explained(error)
        write_message(answers, json.dumps({"used": database.used, **answer}).encode())


def read_message(stream: IO[bytes]) -> bytes | None:
    """The next message, or None if the other side is gone."""
    head = stream.read(8)
    if len(head) < 8:
        return None
    (length,) = struct.unpack(">Q", head)
    body = stream.read(length)
    return body if len(body) == length else None


def write_message(stream: IO[bytes], body: bytes) -> None:
    """Send one message."""
    stream.write(struct.pack(">Q", len(body)))
    stream.write(body)
    stream.flush()


class _Database:
    """The tables, empty until a query names them, and one query at a time."""

    def __init__(self, setup: dict[str, Any]) -> None:
        limits = setup["limits"]
        _bind(int(limits["max_memory"]))
        self._seconds = float(limits["max_seconds"])
        self._cell = int(limits["max_cell"])
        self._characters = int(limits["max_characters"])
        self._connection = _connect(int(limits["max_memory"]), int(limits["threads"]))
        self._tables: dict[str, dict[str, Any]] = {one["key"]: one for one in setup["tables"]}
        self._keys: dict[str, str] = {}
        self._loaded: set[str] = set()
        self._statement: Any = None
        self._tree: Any = None
        self._unique: dict[tuple[str, str], bool] = {}
        self.used: list[str] = []
        for one in setup["tables"]:
            columns = ", ".join(f"{_quoted(name)} {_checked(kind)}" for name, kind in one["columns"])
            self._connection.execute(f"CREATE TABLE {_quoted(one['name'])} ({columns})")
            self._keys[one["name"].casefold()] = one["key"]
            for alias in one["aliases"]:
                view = f"CREATE VIEW {_quoted(alias)} AS FROM {_quoted(one['name'])}"
                self._connection.execute(view)
                self._keys[alias.casefold()] = one["key"]

    def examine(self, sql: str) -> list[str]:
        """Take the statement if it may run; the keys of the tables whose cells it needs first.

        Errors: Refused, NoSuchTable.
        """
        self.used, self._statement, self._tree = [], None, None
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
        self.used = sorted({self._keys[name] for name in tables_read(tree, self._keys.keys())})
        self._statement, self._tree = statement, tree
        return [key for key in self.used if key not in self._loaded]

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
        self._statement = found[0] if found else None
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
        if value is None or isinstance(value, (bool, int)):
            return value
        if isinstance(value, float):
            return value if value == value and abs(value) != float("inf") else str(value)
        if isinstance(value, Decimal):
            return format(value, "f")
        if isinstance(value, (bytes, bytearray, memoryview)):
            text = bytes(value)[: self._cell].hex()
        elif isinstance(value, datetime):
            text = value.isoformat(" ")
        elif isinstance(value, (date, time)):
            text = value.isoformat()
        elif isinstance(value, (list, tuple, dict)):
            text = json.dumps(value, ensure_ascii=False, default=str)
        else:
            text = str(value)
        return text if len(text) <= self._cell else f"{text[: self._cell]}… [cut: {len(text)} characters]"


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
    if kind == "InterruptException":
        return {"error": "time", "message": "interrupted"}
    if kind == "OutOfMemoryException" or "bad_alloc" in str(error):
        return {"error": "memory", "message": "out of memory"}
    if "pytz" in str(error):  # of a time with zone, without the library that Python wants for it
        return {"error": "sql", "message": "Values with a time zone cannot be shown: CAST them AS TIMESTAMP or VARCHAR"}
    if kind == "PermissionException":
        return {"error": "refused", "message": "Only tables of the documents can be read: no files, no network"}
    if not isinstance(error, _errors()):
        return {"error": "broken"}
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
