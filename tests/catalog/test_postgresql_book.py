"""A whole book on PostgreSQL: in, changed, out, found, answered, remembered, paid for; together, and killed."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sourcebook import Config, Scope, Sourcebook
from sourcebook.catalog.conversations import read_conversation
from sourcebook.catalog.usage import UsageLedger
from sourcebook.catalog.usage_report import calls
from sourcebook.config import Parts
from sourcebook.errors import BookBusy, BudgetExceeded
from sourcebook.testing.doubles import Reply
from sourcebook.types import Budget
from tests.invariants.states import first_state, second_state, text
from tests.models.doubles.openai_chat import OpenAIChatDouble

ALICE = Scope(principals=frozenset({"alice"}))


@pytest.fixture(autouse=True)
def parts(monkeypatch: pytest.MonkeyPatch, postgresql_url: str) -> None:
    """What every book of these tests is made of, in other processes too."""
    monkeypatch.setenv("SOURCEBOOK_PARTS_CATALOG", postgresql_url)
    monkeypatch.setenv("SOURCEBOOK_PARTS_EMBED", "hashing")
    monkeypatch.setenv("SOURCEBOOK_PARTS_INDEX", "flat:")


def command(home: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-c", "from sourcebook.cli import main; main()", "--home", str(home), *arguments]


async def found(book: Sourcebook, question: str, scope: Scope | None = None) -> list[str]:
    hits = await book.search(question, scope=scope)
    return sorted({hit.passage.document.rpartition("/")[2] for hit in hits})


async def test_the_life_of_a_book(tmp_path: Path) -> None:
    docs, closed = tmp_path / "docs", tmp_path / "closed"
    docs.mkdir()
    closed.mkdir()
    (docs / "light.md").write_text("# Lighthouses\n\nThe lighthouse on Gull Island was built in 1873.\n")
    (docs / "bread.txt").write_text("Bread needs flour, water and salt.")
    (docs / "odd \udcff.txt").write_text("An odd name for a text about a telescope.")
    (docs / "figures.csv").write_text("town,people\nHarbour,1200\nOrchard,830\n")
    (closed / "wages.txt").write_text("The wages of the keeper were 40 crowns.")
    async with await Sourcebook.open(tmp_path / "home") as book:
        assert (await book.add(docs)).id == 1
        await book.add(closed, access={"alice"})
        report = await book.sync()
        assert (report.added, report.failed) == (5, 0)
        assert "light.md" in await found(book, "When was the lighthouse built?")
        assert "wages.txt" not in await found(book, "wages of the keeper")
        assert "wages.txt" in await found(book, "wages of the keeper", ALICE)
        answer = await book.ask("When was the lighthouse on Gull Island built?")
        assert (answer.known, "1873" in answer.text) == (True, True)
        record = book.answer_record(answer.id)
        assert record["answer"] == answer.text

        (docs / "light.md").write_text("# Lighthouses\n\nThe lighthouse on Gull Island was pulled down in 1990.\n")
        (docs / "bread.txt").unlink()
        report = await book.sync()
        assert (report.changed, report.deleted, report.unchanged) == (1, 1, 3)
        assert "bread.txt" not in await found(book, "flour, water and salt")
        assert "1990" in (await book.ask("When was the lighthouse on Gull Island pulled down?")).text
        before = list(book.export())
        assert (await book.sync()).unchanged == 4
        await book.rebuild_index()
        assert "light.md" in await found(book, "lighthouse")
    async with await Sourcebook.open(tmp_path / "home", create=False) as book:
        assert list(book.export()) == before
        assert await book.remove(str(docs)) == 3
        assert await found(book, "lighthouse") == []
        assert [entry.uri.rpartition("/")[2] for entry in book.ledger()] == ["wages.txt"]


async def test_conversations_and_what_is_odd_in_them(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    odd = "The lighthouse on Gull Island was built in 1873.\n\nThere is a \0 and a \ud800 in it.\n"
    (docs / "light.md").write_bytes(odd.encode("utf-8", "surrogatepass"))
    (docs / "other.md").write_text("It stays.")
    async with await Sourcebook.open(tmp_path / "home") as book:
        await book.add(docs)
        assert (await book.sync()).failed == 0
        name = book.converse(scope=ALICE)
        asked = "When was the lighthouse on Gull Island built?"
        for question in (asked, f"{asked}\0", f"{asked} \ud800"):
            answer = await book.ask(question, scope=ALICE, conversation=name)
            assert answer.known
            assert book.answer_record(answer.id, scope=ALICE)["question"].startswith(asked)
        turns = read_conversation(book.catalog, name, ALICE).turns
        assert [turn.role for turn in turns] == ["user", "assistant"] * 3
        assert all("1873" in turn.text for turn in turns[1::2])
        assert turns[2].text == f"{asked}\ufffd"
        (docs / "light.md").unlink()
        await book.sync()
        turns = read_conversation(book.catalog, name, ALICE).turns
        assert [turn.removed for turn in turns] == [False, True] * 3


class Vendor(OpenAIChatDouble):
    """Behind a URL of nobody in particular, so without a key."""

    def authorised(self, seen: object) -> bool:
        return True

    def check(self, seen: object) -> str:
        return ""


async def test_calls_are_paid_for_within_the_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "light.md").write_text("The lighthouse on Gull Island was built in 1873.")
    async with Vendor() as vendor:
        vendor.say(Reply(pieces=("It was built in 1873 [1].",)))
        monkeypatch.setenv("SOURCEBOOK_PARTS_MODEL", f"{vendor.url}/v1?model=m-1")
        async with await Sourcebook.open(tmp_path / "home") as book:
            await book.add(docs)
            await book.sync()
            assert (await book.ask("When was the lighthouse built?")).known
        async with await Sourcebook.open(tmp_path / "home") as book:
            (call,) = calls(book.catalog)
            assert (call.account, call.outcome) == ("default", "finished")
            UsageLedger(book.catalog).set_budget(Budget(account="poor", period="day", limit=0))
            with pytest.raises(BudgetExceeded):
                await book.ask("When was the lighthouse built?", account="poor")
        assert len(vendor.seen) == 1


# --- several processes ------------------------------------------------------------------------------------


def started(*arguments: str) -> "subprocess.Popen[str]":
    """Another process."""
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)


def rows(book: Sourcebook, folder: Path) -> list[dict[str, object]]:
    """The export, with names that do not depend on where the folder lies."""
    return json.loads(json.dumps(list(book.export())).replace(folder.as_uri(), "docs:"))  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "wrote_before",
    [
        False,
        True,
    ],
)
async def test_one_machine_syncs_and_the_other_searches_and_is_told(tmp_path: Path, wrote_before: bool) -> None:
    """I2 from another process, which has an index of its own: no gap, and no mixture of versions."""
    folder = tmp_path / "docs"
    first_state(folder, documents=12)
    async with await Sourcebook.open(tmp_path / "here") as here, await Sourcebook.open(tmp_path / "there") as other:
        writer = here if wrote_before else other
        await writer.add(folder)
        assert (await writer.sync()).added == 12
        (folder / "d000.md").write_text(text("d000.md", 2))
        there = started(*command(tmp_path / "there", "sync", "--watch", "--json"))
        try:
            assert there.stdout is not None
            syncing = asyncio.create_task(asyncio.to_thread(there.stdout.readline))
            while not syncing.done():
                hits = await here.search("markerd000v1 markerd000v2 d000.md", top=10)
                assert len({hit.passage.version for hit in hits if hit.passage.document.endswith("d000.md")}) == 1
            assert json.loads(await syncing)["changed"] == 1
            hits = await here.search("markerd000v2 d000.md", top=3)
            assert (hits[0].passage.version, hits[0].passage.document[-7:]) == (2, "d000.md")
            with pytest.raises(BookBusy, match=f"in use by process {there.pid} on ") as busy:
                await here.sync()
            assert "connected since" in str(busy.value)
        finally:
            there.terminate()
            there.communicate(timeout=30)
        assert (await here.sync(wait=10)).unchanged == 12


async def test_killed_in_the_middle_and_started_again(tmp_path: Path, lend: Callable[[], str]) -> None:
    """I3, from another machine even: the state is as if the sync had never been killed."""
    folder, home = tmp_path / "docs", tmp_path / "home"
    first_state(folder, documents=30)
    async with await Sourcebook.open(home) as book:
        await book.add(folder)
        await book.sync()
        second_state(folder, documents=30)
        undisturbed = Config(parts=Parts(catalog=lend(), embed="hashing", index="flat:"))
        async with await Sourcebook.open(tmp_path / "undisturbed", config=undisturbed) as other:
            await other.add(folder)
            await other.sync()
            expected = rows(other, folder)
        for moment in ("stage", "forget_gone", "purge"):
            child = started(sys.executable, "-c", _KILLED, str(home), moment)
            child.communicate(timeout=60)
            assert child.returncode == -signal.SIGKILL
            assert (rows(book, folder) == expected) == (moment == "purge")
    async with await Sourcebook.open(tmp_path / "elsewhere") as book:
        await book.sync(wait=10)
        assert rows(book, folder) == expected
        assert book.catalog.rows("SELECT id FROM version WHERE state <> 'live'") == []
        again = await book.sync()
        assert (again.added, again.changed, again.deleted, again.embedded) == (0, 0, 0, 0)


_KILLED = """
import asyncio, os, signal, sys
from sourcebook import Sourcebook
from sourcebook.catalog import catalog, publishing

moment, staged = sys.argv[2], []
stage = catalog.Catalog.stage
place = publishing if moment == "forget_gone" else catalog.Catalog
original = getattr(place, moment)

def note(self, drafts):
    staged.extend(drafts)
    return stage(self, drafts)

def kill(*arguments):
    original(*arguments)
    if staged or moment == "stage":
        os.kill(os.getpid(), signal.SIGKILL)

catalog.Catalog.stage = note
setattr(place, moment, kill)

async def main():
    async with await Sourcebook.open(sys.argv[1]) as book:
        await book.sync(wait=10)

asyncio.run(main())
"""
"""A sync that is killed after it staged; or in the middle of the transaction that makes live what it staged; or when
the versions that were live before begin to be forgotten."""
