"""Tables for tests: out of CSV text, as the parser makes them; and workbooks, as spreadsheet programs write them."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from xml.sax.saxutils import quoteattr

from sourcebook.parse import Limits
from sourcebook.parse.delimited import DelimitedParser
from sourcebook.types import LiveTable, Passage, PassageId, Table

DATA = Path(__file__).parents[2] / "data" / "tables"


class Tables:
    """A source of tables that tests may change. reads: keys of cells that were asked for."""

    def __init__(self) -> None:
        self._tables: dict[str, tuple[LiveTable, bytes]] = {}
        self.reads: list[str] = []

    def add(self, document: str, text: str | bytes, *, name: str = "") -> LiveTable:
        """The table of a CSV file."""
        data = text.encode() if isinstance(text, str) else text
        (table,) = DelimitedParser().parse(data, "a.csv", Limits()).tables
        return self.put(document, table, name=name)

    def put(self, document: str, table: Table, *, name: str = "") -> LiveTable:
        live = LiveTable(
            key=f"{len(self._tables)}.{sha256(table.data).hexdigest()}",
            document=document,
            version=1,
            name=name,
            columns=table.columns,
            rows=table.rows,
            places=table.places,
        )
        self._tables[live.key] = (live, table.data)
        return live

    def remove(self, live: LiveTable) -> None:
        del self._tables[live.key]

    def listed(self) -> tuple[LiveTable, ...]:
        return tuple(live for live, _ in self._tables.values())

    def cells(self, keys: Sequence[str], *, most: int | None = None) -> Mapping[str, bytes]:
        self.reads += keys
        return {key: self._tables[key][1][:most] for key in keys if key in self._tables}

    def anchors(self, keys: Sequence[str]) -> Mapping[str, Passage]:
        return {key: begins(self._tables[key][0]) for key in keys if key in self._tables}

    def damage(self, live: LiveTable) -> None:
        """Cells that are not what the columns say."""
        self._tables[live.key] = (live, zlib.compress(b'[["x"]]'))


def begins(live: LiveTable) -> Passage:
    """Where a table stands in its document."""
    text = f"the first row of {live.name or live.document}\nand the second"
    return Passage(
        id=PassageId(f"{live.key:0>32}"[-32:]), document=live.document, version=live.version, ordinal=0, text=text,
        start=0, end=len(text),
    )  # fmt: skip


def shop() -> Tables:
    """Customers and orders of the test data."""
    tables = Tables()
    for name in ("customers", "orders"):
        tables.add(f"file:///shop/{name}.csv", (DATA / f"{name}.csv").read_bytes())
    return tables


def workbook(sheets: Mapping[str, Sequence[Sequence[object]]]) -> bytes:
    """An XLSX file (ECMA-376, inline strings): numbers as numbers, text as text, None as nothing."""
    names = list(sheets)
    relations = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    package = "http://schemas.openxmlformats.org/package/2006"
    types = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    files = {
        "[Content_Types].xml": f'<Types xmlns="{package}/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{types}.sheet.main+xml"/>'
        + "".join(
            f'<Override PartName="/xl/worksheets/sheet{n}.xml" ContentType="{types}.worksheet+xml"/>'
            for n in range(1, len(names) + 1)
        )
        + "</Types>",
        "_rels/.rels": f'<Relationships xmlns="{package}/relationships"><Relationship Id="rId1" '
        f'Type="{relations}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{relations}"><sheets>'
        + "".join(f'<sheet name={quoteattr(name)} sheetId="{n}" r:id="rId{n}"/>' for n, name in enumerate(names, 1))
        + "</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{package}/relationships">'
        + "".join(
            f'<Relationship Id="rId{n}" Type="{relations}/worksheet" Target="worksheets/sheet{n}.xml"/>'
            for n in range(1, len(names) + 1)
        )
        + "</Relationships>",
    }
    for n, rows in enumerate(sheets.values(), 1):
        body = "".join(f'<row r="{r}">{"".join(map(_cell, row))}</row>' for r, row in enumerate(rows, 1))
        files[f"xl/worksheets/sheet{n}.xml"] = f'<worksheet xmlns="{main}"><sheetData>{body}</sheetData></worksheet>'
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, f'<?xml version="1.0" encoding="UTF-8" standalone="yes"?>{text}')
    return packed.getvalue()


def _cell(value: object) -> str:
    if value is None:
        return "<c/>"
    if isinstance(value, (int, float)):
        return f"<c><v>{value!r}</v></c>"
    text = str(value).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return f'<c t="inlineStr"><is><t xml:space="preserve">{text}</t></is></c>'
