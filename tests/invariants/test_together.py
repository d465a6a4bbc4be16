"""Several at once: two syncs, searches while a sync runs, readers beside a writer."""

import asyncio
import json
import subprocess
from pathlib import Path

import pytest

from sourcebook.book import Sourcebook
from tests.invariants.states import command, doctor, environment, export, first_state, run, second_state, sync, text


@pytest.fixture(autouse=True)
def without_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCEBOOK_PARTS_EMBED", "hashing")


def test_of_two_syncs_at_once_one_waits_or_is_told(tmp_path: Path) -> None:
    folder, home = tmp_path / "docs", tmp_path / "home"
    first_state(folder, documents=60)
    run(home, "add", str(folder))
    pair = [
        subprocess.Popen(
            command(home, "sync", "--json", *more),
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for more in ((), (), ("--wait", "60"))
    ]
    results = [(*child.communicate(timeout=120), child.returncode) for child in pair]
    assert results[2][2] == 0, results[2][1]
    assert {code for _, _, code in results} <= {0, 4}
    for _, message, code in results:
        if code == 4:
            error = json.loads(message)["error"]
            assert error["kind"] == "BookBusy"
            assert "process" in error["message"]
            assert error["transient"]
    alone = tmp_path / "alone"
    run(alone, "add", str(folder))
    sync(alone)
    assert export(home) == export(alone)
    assert doctor(home)["index"]


async def test_searches_during_a_sync_see_no_gap_and_no_mixture(tmp_path: Path) -> None:
    """I2: of each document, every search finds passages of exactly one version."""
    folder, home = tmp_path / "docs", tmp_path / "home"
    folder.mkdir()
    names = [f"d{number:03}.md" for number in range(80)]
    for name in names:
        (folder / name).write_text(text(name, 1, paragraphs=2))
    async with await Sourcebook.open(home) as book:
        await book.add(folder)
        await book.sync()
        seen: set[int] = set()
        searches = 0
        running = True

        async def search(lane: int) -> None:
            nonlocal searches
            while running:
                name = names[(searches * 7 + lane) % len(names)]
                stem = name.split(".")[0]
                hits = await book.search(f"marker{stem}v1 marker{stem}v2 {name}", top=10)
                versions = {hit.passage.version for hit in hits if hit.passage.document.endswith(name)}
                assert len(versions) == 1, (name, versions)
                (version,) = versions
                seen.add(version)
                own = [hit for hit in hits if hit.passage.document.endswith(name)]
                assert all(f"v{1 + (version - 1) % 2}" in hit.passage.text for hit in own)
                searches += 1
                await asyncio.sleep(0)

        lanes = [asyncio.create_task(search(lane)) for lane in range(3)]
        for round_ in range(2, 5):
            for name in names:
                (folder / name).write_text(text(name, 1 + (round_ - 1) % 2, paragraphs=2))
            report = await book.sync()
            assert report.changed == len(names)
        running = False
        await asyncio.gather(*lanes)
        assert searches > 30
        assert len(seen) > 1


def test_a_reader_beside_a_process_that_holds_the_index(tmp_path: Path) -> None:
    folder, home = tmp_path / "docs", tmp_path / "home"
    first_state(folder, documents=30)
    run(home, "add", str(folder))
    sync(home)
    watcher = subprocess.Popen(
        command(home, "sync", "--watch", "--json"), env=environment(), stdout=subprocess.PIPE, text=True
    )
    try:
        assert watcher.stdout is not None
        json.loads(watcher.stdout.readline())
        (folder / "d000.md").write_text(text("d000.md", 2))  # makes the watcher open the index, and keep it
        changed = json.loads(watcher.stdout.readline())
        assert changed["changed"] == 1
        done = run(home, "search", "markerd000v2", "--json", "--top", "1")
        assert done.returncode == 0, done.stderr
        assert "markerd000v2" in json.loads(done.stdout)["hits"][0]["text"]
        refused = run(home, "sync")
        assert refused.returncode == 4
        assert str(watcher.pid) in refused.stderr
        (folder / "d001.md").unlink()
        assert json.loads(watcher.stdout.readline())["deleted"] == 1
        gone = run(home, "search", "markerd001v1", "--json")
        assert "d001" not in gone.stdout
    finally:
        watcher.terminate()
        watcher.communicate(timeout=30)


async def test_a_slow_index_never_shows_what_was_deleted(tmp_path: Path) -> None:
    """I1: the index keeps the points of deleted documents, and their passages are found no more."""
    folder, home = tmp_path / "docs", tmp_path / "home"
    first_state(folder, documents=30)
    async with await Sourcebook.open(home) as book:
        await book.add(folder)
        await book.sync()
        index = await book.index.writable()
        before = await index.count(None)
        await asyncio.to_thread(
            book.catalog.withdraw, [one.id for one in book.catalog.documents("default").values()][:29]
        )
        assert await index.count(None) == before
        hits = await book.search("harbour ledger granite", top=5)
        assert {hit.passage.document for hit in hits} == {f"file://{folder}/d029.md"}


async def test_second_state_without_a_kill(tmp_path: Path) -> None:
    folder, home = tmp_path / "docs", tmp_path / "home"
    first_state(folder)
    async with await Sourcebook.open(home) as book:
        await book.add(folder)
        assert (await book.sync()).added == 40
        second_state(folder)
        report = await book.sync()
        # Every third of 40 changed; 5 deleted and 5 moved away are gone under their old names.
        assert (report.changed, report.deleted, report.failed) == (14, 10, 1)
        assert report.added == 5 + 4 + 10  # moved, copied, new
        assert report.embedded < report.passages
        again = await book.sync()
        assert (again.added, again.changed, again.deleted, again.embedded) == (0, 0, 0, 0)
        assert again.failed == 1


def test_another_embedder_is_noticed_and_a_sync_embeds_anew(tmp_path: Path) -> None:
    folder, home = tmp_path / "docs", tmp_path / "home"
    first_state(folder, documents=10)
    run(home, "add", str(folder))
    before = sync(home)
    other = {"SOURCEBOOK_PARTS_EMBED": "hashing:128"}
    refused = run(home, "search", "markerd003v1", **other)
    assert refused.returncode == 1
    assert "sourcebook sync" in refused.stderr
    report = sync(home, **other)
    assert (report["unchanged"], report["embedded"]) == (10, before["embedded"])
    assert "markerd003v1" in run(home, "search", "markerd003v1", "--top", "1", **other).stdout


def test_a_flat_index_is_filled_by_whoever_opens_the_book(tmp_path: Path) -> None:
    folder, home = tmp_path / "docs", tmp_path / "home"
    first_state(folder, documents=5)
    flat = {"SOURCEBOOK_PARTS_INDEX": "flat"}
    run(home, "add", str(folder), **flat)
    sync(home, **flat)
    assert "markerd003v1" in run(home, "search", "markerd003v1", "--top", "1", **flat).stdout


def test_asking_with_a_source_leaves_its_access_list(tmp_path: Path) -> None:
    folder, home = tmp_path / "docs", tmp_path / "home"
    first_state(folder, documents=3)
    run(home, "add", str(folder), "--access", "hr")
    run(home, "ask", "--source", str(folder), "markerd001v1")
    assert json.loads(run(home, "search", "markerd001v1", "--json").stdout)["hits"] == []
    assert json.loads(run(home, "search", "markerd001v1", "--json", "--as", "hr").stdout)["hits"]
