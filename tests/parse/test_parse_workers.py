"""The worker processes: whatever happens in one, only that document is concerned."""

import asyncio
import gc
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sourcebook.errors import Damaged, Empty, ParseError, TooLarge
from sourcebook.parse import Limits, Parsers, workers
from sourcebook.parse.workers import Workers

HOSTILE = """
import sys; sys.path[:] = sys.argv[1:]
import ctypes, os, signal, tempfile, time
from sourcebook.errors import Empty
from sourcebook.parse import worker
from sourcebook.parse.text import TextParser

class Hostile:
    def parse(self, data, name, limits):
        if data == b"hang": time.sleep(1000)
        if data == b"stop": os.kill(os.getpid(), signal.SIGSTOP)
        if data == b"crash": os.kill(os.getpid(), signal.SIGSEGV)
        if data == b"leave": os._exit(0)
        if data == b"swell": bytearray(1 << 33)
        if data == b"panic": raise BaseException("a native library panics")
        if data == b"empty": raise Empty("nothing here", remedy="Do this")
        if data == b"recurse": return self.parse(data, name, limits)
        if data == b"print": print("x" * 100_000, flush=True)
        if data == b"temp": data = tempfile.mkdtemp().encode()
        if data == b"where": data = f"{os.getpid()} {os.getcwd()}".encode()
        return TextParser().parse(data, name, limits)

worker.parser_of = lambda kind: Hostile()
worker.main()
"""


@pytest.fixture
def hostile(monkeypatch: pytest.MonkeyPatch) -> Iterator[Workers]:
    monkeypatch.setattr(workers, "_BOOT", HOSTILE)
    pool = Workers(Limits(max_seconds=1.5, max_memory=1_000_000_000, workers=1))
    yield pool
    pool.close()


def parse(pool: Workers, data: bytes) -> str:
    return pool.parse("any", data, "a.any").text


@pytest.mark.parametrize(
    ("data", "error", "says"),
    [
        (b"hang", TooLarge, "parse.max_seconds"),
        (b"stop", TooLarge, "parse.max_seconds"),
        (b"swell", TooLarge, "parse.max_memory"),
        (b"crash", Damaged, "SIGSEGV"),
        (b"leave", Damaged, "exit code 0"),
        (b"panic", Damaged, "a native library panics"),
        (b"recurse", TooLarge, "nested"),
        (b"empty", Empty, "nothing here. Do this"),
    ],
)
@pytest.mark.skipif(sys.platform == "win32", reason="signals and memory limits of POSIX")
def test_what_befalls_a_worker_ends_as_that_documents_error(
    hostile: Workers, data: bytes, error: type[ParseError], says: str
) -> None:
    started = time.monotonic()
    with pytest.raises(error) as caught:
        parse(hostile, data)
    assert says in str(caught.value)
    assert time.monotonic() - started < 10
    assert parse(hostile, b"the next one") == "the next one"


def test_what_a_library_prints_does_not_disturb(hostile: Workers) -> None:
    assert parse(hostile, b"print") == "print"


def test_a_worker_is_kept_and_its_folder_goes_with_it(hostile: Workers) -> None:
    first = parse(hostile, b"where")
    assert parse(hostile, b"where") == first
    process, folder = int(first.split()[0]), Path(first.split()[1])
    inside = Path(parse(hostile, b"temp"))
    assert inside.parent == folder
    assert folder.is_dir()
    hostile.close()
    assert not folder.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
    assert parse(hostile, b"where") != first


def test_documents_wait_for_a_free_worker_and_none_is_lost(hostile: Workers) -> None:
    texts: list[str] = []
    threads = [threading.Thread(target=lambda n=n: texts.append(parse(hostile, b"%d" % n))) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(int, texts)) == list(range(20))
    assert len(hostile._all) == 1


def test_closing_ends_a_document_that_hangs(hostile: Workers) -> None:
    errors: list[ParseError] = []

    def waiting() -> None:
        try:
            parse(hostile, b"hang")
        except ParseError as error:
            errors.append(error)

    thread = threading.Thread(target=waiting)
    thread.start()
    time.sleep(0.5)
    hostile.close()
    thread.join(timeout=5)
    assert len(errors) == 1


def test_a_pool_nobody_holds_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_BOOT", HOSTILE)
    pool = Workers(Limits(workers=1))
    folder = Path(parse(pool, b"where").split()[1])
    del pool
    gc.collect()
    assert not folder.exists()


def test_a_script_that_is_killed_leaves_no_worker(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import time\nfrom sourcebook.parse import Limits, workers\n"
        f"workers._BOOT = {HOSTILE!r}\n"
        "pool = workers.Workers(Limits(workers=1))\n"
        "print(pool.parse('any', b'where', 'a').text, flush=True)\ntime.sleep(60)\n"
    )
    path = os.pathsep.join(entry for entry in sys.path if entry)
    with subprocess.Popen(
        [sys.executable, script], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path}
    ) as process:
        assert process.stdout is not None
        worker, folder = process.stdout.readline().split()
        process.kill()
    for _ in range(100):
        if not Path(folder).exists() and (not Path(f"/proc/{worker}").exists() or _is_zombie(int(worker))):
            break
        time.sleep(0.1)
    assert not Path(folder).exists()
    assert not Path(f"/proc/{worker}").exists() or _is_zombie(int(worker))


def _is_zombie(process: int) -> bool:
    """Ended, and waiting for whoever inherited it."""
    return ") Z " in Path(f"/proc/{process}/stat").read_text()


async def test_light_formats_need_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_BOOT", "raise SystemExit(1)")
    box = Parsers(Limits())
    for name in ("a.txt", "a.md", "a.csv", "a.html", "a.json", "a.xml"):
        text = {"a.json": b'{"a": 1}', "a.xml": b"<a>text</a>"}.get(name, b"some, text\n1, 2")
        assert (await box.parse(text, name)).text
    with pytest.raises(ParseError, match="does not start"):
        await box.parse(b"{\\rtf1 text}", "a.rtf")
    box.close()


async def test_large_light_files_are_parsed_in_a_worker() -> None:
    box = Parsers(Limits(inline_bytes=1000, workers=1))
    document = await box.parse(b"word " * 20_000, "a.txt")
    assert len(document.blocks) == 1
    assert len(box._pool()._all) == 1
    box.close()


async def test_the_event_loop_goes_on_meanwhile(parsers: Parsers) -> None:
    ticks = 0

    async def ticking() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.005)
            ticks += 1

    task = asyncio.create_task(ticking())
    await parsers.parse(b"word " * 5_000_000, "large.txt")
    task.cancel()
    assert ticks > 3
