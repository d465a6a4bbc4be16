"""What tables are called in SQL: the name of the file or sheet, as short as leaves no doubt."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from sourcebook.types import LiveTable

RESERVED = frozenset(
    "all analyse analyze and any array as asc asymmetric both case cast check collate column constraint create "
    "default deferrable desc describe distinct do else end except false fetch for foreign from group having in "
    "initially intersect into lambda lateral leading limit not null offset on only or order pivot pivot_longer "
    "pivot_wider placing primary qualify references returning select show some summarize symmetric table then to "
    "trailing true union unique unpivot using variadic when where window with".split()
)
"""Words that are a name only in quotes."""

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_GENERIC = re.compile(r"(?i)(?:sheet|table|tabelle|feuil|hoja|foglio|blad|planilha|лист|시트|工作表)\s*\d*")


@dataclass(frozen=True, kw_only=True, slots=True)
class NamedTable:
    """A table and what it goes by in SQL: its name needs no quotes; its aliases may."""

    table: LiveTable
    name: str
    aliases: tuple[str, ...] = ()


def named(tables: Sequence[LiveTable]) -> tuple[NamedTable, ...]:
    """The tables with their names, in order. The same set of tables has the same names, whoever asks.

    A table is called by the name of its file, or of its sheet where the file has several. Tables that would be
    called the same take the file's name in front, then the folder's, and so on; at last a number.
    """
    forms = _forms(tables)
    chosen = _chosen([[*own, *folders] for own, folders in forms])
    taken = {name.casefold() for name in chosen}
    claims = Counter(alias for own, _ in forms for alias in {name.casefold() for name in _aliases(own)})
    result = []
    for table, name, (own, _) in zip(tables, chosen, forms, strict=True):
        aliases = []
        for alias in _aliases(own):
            if alias.casefold() not in taken and claims[alias.casefold()] == 1:
                taken.add(alias.casefold())
                aliases.append(alias)
        result.append(NamedTable(table=table, name=name, aliases=tuple(aliases)))
    return tuple(result)


def identifier(text: str) -> str:
    """A name that SQL reads without quotes: "Sales 2024 (final)" -> Sales_2024_final."""
    name = re.sub(r"\W+", "_", text).strip("_") or "table"
    if name[0].isdigit():
        name = f"t_{name}"
    return f"{name}_" if name.casefold() in RESERVED else name


def quoted(name: str) -> str:
    """The name as it is to be written in SQL: in quotes if it needs them."""
    plain = _PLAIN.fullmatch(name) and name.casefold() not in RESERVED
    return name if plain else '"' + name.replace('"', '""') + '"'


def searched(one: NamedTable) -> str:
    """All by which a table may be looked for: its names, columns and document, in lower case."""
    columns = (column.name for column in one.table.columns)
    return " ".join((one.name, *one.aliases, unquote(one.table.document), one.table.title or "", *columns)).casefold()


def _forms(tables: Sequence[LiveTable]) -> list[tuple[list[str], list[str]]]:
    """For each table what it could be called, the shortest first: without folders, and with more and more of them."""
    per_document = Counter(table.document for table in tables)
    seen: Counter[tuple[str, str]] = Counter()
    forms = []
    for table in tables:
        path = unquote(urlsplit(table.document).path) or table.document
        *folders, file = [part for part in path.split("/") if part] or [""]
        stem = file.rpartition(".")[0] or file or "table"
        seen[table.document, table.name] += 1
        count = seen[table.document, table.name]
        name = table.name if count == 1 else f"{table.name} {count}".strip()
        if not name:
            some = [stem]
        elif per_document[table.document] == 1:
            some = [stem, name, f"{stem} {name}"]
        elif _GENERIC.fullmatch(name):
            some = [f"{stem} {name}", name]
        else:
            some = [name, f"{stem} {name}"]
        longest = max(some, key=len)
        below = [" ".join((*folders[-depth:], longest)) for depth in range(1, len(folders) + 1)]
        forms.append((some, below))
    return forms


def _chosen(forms: Sequence[Sequence[str]]) -> list[str]:
    """The first form of each that no other table is called by; those that collide all go on to the next."""
    levels = [0] * len(forms)
    while True:
        names = [identifier(form[level]) for form, level in zip(forms, levels, strict=True)]
        times = Counter(name.casefold() for name in names)
        stuck = [
            number
            for number, name in enumerate(names)
            if times[name.casefold()] > 1 and levels[number] + 1 < len(forms[number])
        ]
        if not stuck:
            break
        for number in stuck:
            levels[number] += 1
    taken: set[str] = set()
    for number, name in enumerate(names):
        count, plain = 1, name
        while name.casefold() in taken:
            count += 1
            name = f"{plain}_{count}"
        taken.add(name.casefold())
        names[number] = name
    return names


def _aliases(form: Sequence[str]) -> list[str]:
    """Everything else that somebody might call it: as it is written, and as an identifier."""
    return list(dict.fromkeys(name for text in form for name in (text, identifier(text))))
