"""The process that parses what native code reads: it may crash, hang or swell without harm to the caller.

Started by `workers`; reads requests from its standard input and answers on its standard output. A message is
JSON, framed as `sourcebook.pipes` has it; the request is followed by the file's bytes, framed alike.
Plain data both ways: nothing that a broken worker could say runs code in the caller.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from base64 import b64decode, b64encode
from dataclasses import asdict

from sourcebook.errors import ParseError, TooLarge
from sourcebook.parse.archives import nested_too_deep
from sourcebook.parse.base import Limits
from sourcebook.parse.builtin import parser_of
from sourcebook.pipes import end_with_parent, read_message, write_message
from sourcebook.types import Block, Column, Page, ParsedDocument, Table

_GRACE = 5.0  # seconds past the time limit after which the process ends itself, should nobody else do it


def main() -> None:
    """Answer requests until the input ends."""
    requests = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print must not come between the answers
    end_with_parent(_leave_nothing)
    try:
        write_message(answers, b'{"ready": true}')
        while (request := read_message(requests)) is not None:
            data = read_message(requests)
            if data is None:
                break
            write_message(answers, json.dumps(_answer(json.loads(request), data)).encode())
    finally:
        _leave_nothing()


def packed(document: ParsedDocument) -> dict[str, object]:
    """The document as plain data."""
    return {
        "text": document.text,
        "blocks": [[b.kind, b.start, b.end, b.level, b.page, b.location] for b in document.blocks],
        "pages": [[page.number, page.start, page.end] for page in document.pages],
        "title": document.title,
        "metadata": dict(document.metadata),
        "tables": [
            [
                one.name,
                [[column.name, column.type] for column in one.columns],
                one.rows,
                one.places,
                b64encode(one.data).decode(),
            ]
            for one in document.tables
        ],
    }


def unpacked(answer: dict[str, object]) -> ParsedDocument:
    """The document out of plain data. Errors: KeyError, TypeError, ValueError if it is none."""
    text, title, blocks, pages = answer["text"], answer["title"], answer["blocks"], answer["pages"]
    metadata, tables = answer["metadata"], answer["tables"]
    if not (isinstance(text, str) and isinstance(blocks, list) and isinstance(pages, list)):
        raise TypeError("not a document")
    if not (isinstance(metadata, dict) and isinstance(tables, list)):
        raise TypeError("not a document")
    return ParsedDocument(
        text=text,
        blocks=tuple(
            Block(kind=kind, start=start, end=end, level=level, page=page, location=location)
            for kind, start, end, level, page, location in blocks
        ),
        pages=tuple(Page(number=number, start=start, end=end) for number, start, end in pages),
        title=title if isinstance(title, str) else None,
        metadata={key: tuple(value) if isinstance(value, list) else value for key, value in metadata.items()},
        tables=tuple(
            Table(
                name=name,
                columns=tuple(Column(name=column, type=kind) for column, kind in columns),
                rows=rows,
                places=tuple((first, count) for first, count in places),
                data=b64decode(data),
            )
            for name, columns, rows, places, data in tables
        ),
    )


def request_of(kind: str, name: str, limits: Limits) -> bytes:
    """What to ask a worker."""
    return json.dumps({"format": kind, "name": name, "limits": asdict(limits)}).encode()


def _answer(request: dict[str, object], data: bytes) -> dict[str, object]:
    limits = Limits(**request["limits"])  # type: ignore[arg-type]
    _limit(limits)
    try:
        return packed(parser_of(str(request["format"])).parse(data, str(request["name"]), limits))
    except ParseError as error:
        return _told(error)
    except RecursionError:
        return _told(nested_too_deep())
    except MemoryError:
        return _told(too_much_memory(limits))
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # whatever a library throws at a damaged file concerns this document only
        message = f"It cannot be read: {type(error).__name__}: {error}"
        return {"error": "Damaged", "message": message[:500], "remedy": "Check that it opens in its application"}
    finally:
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, 0)


def _told(error: ParseError) -> dict[str, object]:
    return {"error": type(error).__name__, "message": error.args[0], "remedy": error.remedy}


def too_much_memory(limits: Limits) -> TooLarge:
    """The error of a document that takes more memory than a worker may have."""
    return TooLarge(
        f"Parsing it takes more than {limits.max_memory:,} bytes of memory",
        remedy="Split the document, or raise the setting parse.max_memory",
    )


def _limit(limits: Limits) -> None:
    """Memory of the process, and an alarm that ends it should the caller be gone when time is up."""
    if sys.platform == "win32":
        return
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = limits.max_memory if hard == resource.RLIM_INFINITY else min(limits.max_memory, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (wanted, hard))
    signal.setitimer(signal.ITIMER_REAL, limits.max_seconds + _GRACE)


def _leave_nothing() -> None:
    """Remove the folder for what native code writes."""
    shutil.rmtree(os.environ.get("SOURCEBOOK_WORKER_FOLDER", ""), ignore_errors=True)


if __name__ == "__main__":
    main()
