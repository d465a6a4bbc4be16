"""Checks that everything a book needs is there and in order, each with what to do if it is not."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sourcebook.catalog.answers import count_answers
from sourcebook.catalog.reads import count_live
from sourcebook.catalog.statements import sql
from sourcebook.errors import BookBusy, SourcebookError

if TYPE_CHECKING:
    from sourcebook.book import Sourcebook

_LITTLE_SPACE = 500_000_000  # bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One check. remedy: what to do, if anything."""

    check: str
    ok: bool
    detail: str
    remedy: str = ""


async def examine(book: Sourcebook) -> list[Finding]:
    """Every check, in the order in which one rests on another."""
    checks: tuple[tuple[str, Callable[[Sourcebook], Awaitable[Finding]]], ...] = (
        ("python", _python),
        ("space", _space),
        ("catalog", _catalog),
        ("embedder", _embedder),
        ("index", _index),
        ("model", _model),
        ("documents", _documents),
        ("answers", _answers),
        ("ocr", _ocr),
    )
    findings = []
    for name, check in checks:
        try:
            findings.append(await check(book))
        except SourcebookError as error:
            findings.append(Finding(check=name, ok=False, detail=str(error.args[0]), remedy=error.remedy))
    return findings


async def _python(_: Sourcebook) -> Finding:
    return Finding(check="python", ok=sys.version_info >= (3, 11), detail=sys.version.split()[0])


async def _space(book: Sourcebook) -> Finding:
    free = shutil.disk_usage(book.home).free
    ok = free > _LITTLE_SPACE
    return Finding(
        check="space", ok=ok, detail=f"{free / 1e9:.1f} GB free", remedy="" if ok else "Free some disk space"
    )


async def _catalog(book: Sourcebook) -> Finding:
    detail = book.catalog.url  # without a password
    if detail.startswith("sqlite:"):
        with book.catalog.reading() as connection:
            result = str((await asyncio.to_thread(connection.execute, sql("PRAGMA quick_check"))).scalar_one())
        if result != "ok":
            remedy = "Restore the file from a backup, or move it away and sync again"
            return Finding(check="catalog", ok=False, detail=result, remedy=remedy)
    documents, passages = await asyncio.to_thread(count_live, book.catalog)
    return Finding(check="catalog", ok=True, detail=f"{detail}: {documents} documents, {passages} passages live")


async def _embedder(book: Sourcebook) -> Finding:
    vectors = await book.embedder.embed(["Is the model there?"], kind="query")
    detail = f"{book.config.parts.embed}: {vectors.shape[1]} dimensions"
    return Finding(check="embedder", ok=True, detail=detail)


async def _index(book: Sourcebook) -> Finding:
    _, passages = await asyncio.to_thread(count_live, book.catalog)
    url = book.config.parts.index
    if not passages:
        return Finding(check="index", ok=True, detail=f"{url}: nothing to hold yet")
    try:
        index = await book.index.own()
    except BookBusy as error:
        return Finding(check="index", ok=True, detail=f"{url}: not looked into. {error}")
    if index is None:
        return Finding(check="index", ok=False, detail=f"{url}: missing", remedy="Run: sourcebook doctor --repair")
    points = await index.count(None)
    ok = points == passages
    detail = f"{url}: {points} points for {passages} live passages"
    return Finding(check="index", ok=ok, detail=detail, remedy="" if ok else "Run: sourcebook doctor --repair")


async def _model(book: Sourcebook) -> Finding:
    """That it can be opened: its key is there, its file, its library. Nothing is sent."""
    model = book.model
    window = "" if model.capabilities.cites else f", window {model.window:,} tokens"
    return Finding(check="model", ok=True, detail=f"{model.name}{window}")


async def _documents(book: Sourcebook) -> Finding:
    failed = [entry for entry in book.ledger() if entry.state == "failed"]
    detail = f"{len(failed)} failed" if failed else "none failed"
    return Finding(
        check="documents", ok=True, detail=detail, remedy="See: sourcebook status --failed" if failed else ""
    )


async def _answers(book: Sourcebook) -> Finding:
    many, since, size = await asyncio.to_thread(count_answers, book.catalog)
    if not many:
        return Finding(check="answers", ok=True, detail="none recorded")
    days = book.config.answer.keep_days
    kept = f"kept for {days} days" if days else "kept until deleted"
    return Finding(check="answers", ok=True, detail=f"{many} recorded since {since[:10]}, {size / 1e6:.1f} MB, {kept}")


async def _ocr(_: Sourcebook) -> Finding:
    found = shutil.which("tesseract")
    if found:
        return Finding(check="ocr", ok=True, detail=found)
    return Finding(
        check="ocr",
        ok=True,
        detail="Tesseract is not installed; images and scanned pages are not read",
        remedy="To read them, install it; on Debian: apt-get install tesseract-ocr",
    )
