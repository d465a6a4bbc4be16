"""Whether a statement only reads tables of documents: a look at the syntax tree that DuckDB makes of it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

_READS = frozenset(("SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"))
_SOURCES = frozenset(
    "range generate_series unnest repeat repeat_row json_each json_tree generate_subscripts "
    "regexp_split_to_table".split()
)
"""Functions that may stand in FROM."""
_FORBIDDEN = frozenset(
    "getenv current_setting set_config getvariable nextval currval setval write_log parse_duckdb_log_message sleep_ms "
    "pg_sleep query query_table json_execute_serialized_sql json_deserialize_sql current_connection_id "
    "current_transaction_id current_query_id txid_current inet_server_addr inet_client_addr pg_read_file "
    "pg_conf_load_time pg_postmaster_start_time".split()
)
_SCHEMAS = frozenset(("main", "memory", "information_schema"))


class Refused(Exception):
    """The statement is none that may run."""


class NoSuchTable(Exception):
    """The statement names a table that there is not."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Named:
    """What a statement names, in lower case.

    tables: of the documents; shadowed: those of them that share their name with a WITH, which may be meant instead.
    everything: whether it asks what tables there are.
    """

    tables: frozenset[str]
    shadowed: frozenset[str] = frozenset()
    everything: bool = False


def named_in(tree: object, known: Collection[str]) -> Named:
    """What a statement that only reads names. known: all tables there are, in lower case.

    Errors: Refused if it does anything but read, NoSuchTable.
    """
    names: set[str] = set()
    views: set[str] = set()
    everything = False
    waiting: list[object] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting.extend(node)
        elif isinstance(node, dict):
            waiting.extend(node.values())
            kind = str(node.get("type", ""))
            if kind.endswith("_NODE") and kind not in _READS:
                raise Refused("Only reading is allowed: there is a statement inside that writes")
            if kind == "TABLE_FUNCTION":
                _check_source(node.get("function"))
            _check_function(str(node.get("function_name", "")).casefold())
            if kind == "SHOW_REF":
                everything = everything or node.get("query") is None
            if kind == "BASE_TABLE":
                name = _table_name(node, known)
                everything = everything or not name
                names.add(name)
            if isinstance(parts := node.get("cte_map"), dict):
                views.update(str(part["key"]).casefold() for part in parts.get("map", ()))
    names.discard("")
    for name in sorted(names - views - set(known)):
        close = get_close_matches(name, known, n=3)
        raise NoSuchTable(f'There is no table "{name}"' + (f"; did you mean {_listed(close)}?" if close else ""))
    tables = frozenset(names & set(known))
    return Named(tables=tables, shadowed=tables & views, everything=everything)


def _check_function(name: str) -> None:
    if name in _FORBIDDEN or name.startswith(("__internal", "duckdb_", "pragma_", "read_")):
        raise Refused(f"The function {name} may not be used here")


def _check_source(function: object) -> None:
    name = str(function.get("function_name", "")).casefold() if isinstance(function, dict) else ""
    if name not in _SOURCES:
        raise Refused(f"The function {name or '?'} may not stand in FROM: only tables of the documents can be read")


def _table_name(node: dict[str, Any], known: Collection[str]) -> str:
    """Its name in lower case; "" of one that tells what tables there are."""
    path = node["qualified_name"].get("path") if isinstance(node.get("qualified_name"), dict) else None
    if not isinstance(path, list) or not path or not path[-1]:  # a tree of another shape is not read at a guess
        raise Refused("The statement cannot be examined: it reads a table without a name")
    *schemas, name = [str(part).casefold() for part in path]
    if any(schema not in _SCHEMAS for schema in schemas):
        raise Refused(f"{'.'.join((*schemas, name))} is no table of the documents")
    return "" if "information_schema" in schemas or (name == "sqlite_master" and name not in known) else name


def _listed(names: Collection[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
