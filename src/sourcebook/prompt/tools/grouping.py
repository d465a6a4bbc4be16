"""GROUP BY a key: what the key determines may be selected, as SQL:1999 (feature T301) and other databases have it.

    SELECT c.name, COUNT(*) FROM customer c JOIN invoice i ON i.customer = c.id GROUP BY c.id

DuckDB wants c.name in the GROUP BY as well. Here it is put there, if no two rows of the table have the same id: then
the groups, and with them the result, are the same. The statement is changed in its syntax tree, as DuckDB writes it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

Tree = dict[str, Any]


def complete_groups(
    tree: object,
    *,
    columns: Callable[[str], Collection[str] | None],
    unique: Callable[[str, str], bool],
    aggregates: Collection[str],
) -> bool:
    """Add to the GROUP BY of every SELECT in the tree the columns it selects that its keys determine.

    columns: of a table by name, or None if there is none. unique: whether a column of a table has a value in every
    row, and no value twice. aggregates: functions whose arguments need no group. Returns whether anything was added.
    """
    nodes = list(_nodes(tree))
    views = {str(entry.get("key", "")).casefold() for node in nodes for entry in _entries(node)}
    changed = False
    for node in nodes:
        if node.get("type") == "SELECT_NODE" and len(node.get("group_sets") or ()) == 1:
            tables = _Tables(node.get("from_table"), lambda name: None if name.casefold() in views else columns(name))
            changed = _complete(node, tables, unique, aggregates) or changed
    return changed


def _complete(node: Tree, tables: _Tables, unique: Callable[[str, str], bool], aggregates: Collection[str]) -> bool:
    groups = node["group_expressions"]
    grouped = {found for one in groups if (found := tables.resolve(one)) is not None}
    keyed = {alias for alias, column in grouped if unique(tables.names[alias], column)}
    if not keyed:
        return False
    added = False
    for part in (node.get("select_list"), node.get("having"), node.get("qualify"), node.get("modifiers")):
        for reference in _references(part, aggregates):
            for alias, column in tables.all_of(reference):
                if alias in keyed and (alias, column) not in grouped:
                    grouped.add((alias, column))
                    groups.append(_column(alias, column))
                    added = True
    if added:
        node["group_sets"] = [list(range(len(groups)))]
    return added


class _Tables:
    """The tables that stand in one FROM, by alias; names: alias -> table."""

    def __init__(self, source: object, columns: Callable[[str], Collection[str] | None]) -> None:
        self.names: dict[str, str] = {}
        self._columns: dict[str, Mapping[str, str]] = {}
        self._certain = True  # whether a column without a table's name can only be of one of these
        waiting = [source]
        while waiting:
            one = waiting.pop()
            if not isinstance(one, dict):
                continue
            if one.get("type") == "JOIN":
                waiting += (one.get("left"), one.get("right"))
            elif one.get("type") == "BASE_TABLE" and (found := columns(str(one.get("table_name")))) is not None:
                alias = str(one.get("alias") or one.get("table_name")).casefold()
                self.names[alias] = str(one["table_name"])
                self._columns[alias] = {column.casefold(): column for column in found}
            else:
                self._certain = False

    def resolve(self, reference: object) -> tuple[str, str] | None:
        """(alias, column) that an expression refers to, or None if it is no column, or not surely of one table."""
        if not isinstance(reference, dict) or reference.get("class") != "COLUMN_REF":
            return None
        *tables, column = [str(name).casefold() for name in reference.get("column_names") or ("",)]
        if tables:
            places = [alias for alias in self.names if alias == tables[-1] and column in self._columns[alias]]
        else:
            places = [alias for alias in self.names if column in self._columns[alias] and self._certain]
        return (places[0], column) if len(places) == 1 else None

    def all_of(self, reference: Tree) -> list[tuple[str, str]]:
        """The same for `c.*`, which refers to all columns of c."""
        if reference.get("class") == "STAR":
            alias = str(reference.get("relation_name") or "").casefold()
            aliases = [alias] if alias else list(self.names)
            return [(one, column) for one in aliases for column in self._columns.get(one, ())]
        found = self.resolve(reference)
        return [] if found is None else [found]


def _references(tree: object, aggregates: Collection[str]) -> Iterator[Tree]:
    """Columns and stars outside of aggregates and subqueries."""
    waiting = [tree]
    while waiting:
        one = waiting.pop()
        if isinstance(one, list):
            waiting.extend(reversed(one))
        elif isinstance(one, dict):
            kind = one.get("class")
            if kind in ("COLUMN_REF", "STAR"):
                yield one
            elif kind != "SUBQUERY" and not (
                kind == "FUNCTION" and str(one.get("function_name", "")).casefold() in aggregates
            ):
                waiting.extend(reversed(list(one.values())))


def _nodes(tree: object) -> Iterator[Tree]:
    waiting = [tree]
    while waiting:
        one = waiting.pop()
        if isinstance(one, list):
            waiting.extend(one)
        elif isinstance(one, dict):
            waiting.extend(one.values())
            yield one


def _entries(node: Tree) -> list[Tree]:
    found = node.get("cte_map")
    entries = found.get("map") if isinstance(found, dict) else None
    return [one for one in entries or () if isinstance(one, dict)]


def _column(alias: str, column: str) -> Tree:
    return {
        "class": "COLUMN_REF",
        "type": "COLUMN_REF",
        "alias": "",
        "query_location": 0,
        "query_location_length": 0,
        "column_names": [alias, column],
    }
