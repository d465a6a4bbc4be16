"""The measures of the speed comparison, one method per part."""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from peers.driver import HERE, OURS, PeerError, Process, System, environment, seconds_of
from peers.folders import (
    Abstract,
    Edits,
    edit,
    make_passages,
    read_abstracts,
    read_claims,
    write_abstracts,
    write_passages,
)
from peers.table import Results

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator
    from pathlib import Path

PARTS = ("start", "embedding", "ingest", "search", "ingest-10000")
WARMING = 20  # questions asked before those whose time counts


class Bench:
    """Runs the parts; `results` and `failures` grow as it does."""

    def __init__(self, options: argparse.Namespace, work: Path) -> None:
        self.options, self.work = options, work
        self.results = Results()
        self.failures: list[str] = []
        self.abstracts = read_abstracts(options.data)
        self.claims = read_claims(options.data, options.queries + WARMING)

    def run(self, part: str, systems: list[System]) -> None:
        """Measure one part for all systems; what fails is noted, and the rest goes on."""
        measures: dict[str, Callable[[System], None]] = {
            "start": self.start,
            "embedding": self.embedding,
            "ingest": self.ingest,
            "search": self.search,
            "ingest-10000": self.ingest_many,
        }
        for system in systems:
            note(f"{part}: {system.name}")
            try:
                measures[part](system)
            except (PeerError, OSError, subprocess.CalledProcessError) as failure:
                output = getattr(failure, "stderr", None) or b""
                self.failures.append(f"{part}, {system.name}: {failure} {output[-1000:]!r}")
                note(self.failures[-1])

    def start(self, system: System) -> None:
        """Import and command line, with bytecode in place: the first run of each is not counted."""
        bare = [str(system.python), "-c", "pass"]
        loaded = [str(system.python), "-c", f"import {system.modules}"]
        seconds_of(loaded)
        for _ in range(3 * self.options.repeats):
            cost = seconds_of(loaded) - seconds_of(bare)
            self.results.add(system.name, "import, beyond Python's own start", "ms", 1e3 * cost, target=100)
        if system is OURS:
            shown = [str(system.python.with_name("sourcebook")), "--help"]
            seconds_of(shown)
            for _ in range(3 * self.options.repeats):
                cost = seconds_of(shown)
                self.results.add(system.name, "`sourcebook --help`, whole process", "ms", 1e3 * cost, target=400)

    def embedding(self, system: System) -> None:
        """Our embedder against bare loops over prepared batches; the peers' shared model is such a loop."""
        if system is not OURS:
            return
        texts = self.work / "texts.json"
        texts.write_text(json.dumps(list(make_passages(self.abstracts, self.options.embed))))
        command = [str(system.python), str(HERE / "embedding_rate.py"), str(texts), str(self.options.repeats)]
        said = subprocess.run(command, check=True, capture_output=True, env=environment()).stdout
        rates = json.loads(said.splitlines()[-1])
        for spread, side_by_side, ours in zip(rates["spread"], rates["side by side"], rates["ours"], strict=True):
            add = partial(self.results.add, system.name)
            add("bare onnxruntime, each run spread over the cores", "texts/s", spread)
            add("bare onnxruntime, a run on each core", "texts/s", side_by_side)
            add("embedder, texts in, vectors out", "texts/s", ours)
            share = 100 * ours / max(spread, side_by_side)
            add("embedder's speed against the faster of the two", "%", share, target=90, at_least=True)

    def ingest(self, system: System) -> None:
        """A new folder, the same again, the same edited: every time a fresh process."""
        for repeat in range(self.options.repeats):
            place = self.work / f"{system.name}-{repeat}"
            folder, home = place / "documents", place / "home"
            documents, spare = self.abstracts[: self.options.documents], self.abstracts[self.options.documents :]
            write_abstracts(folder, documents)
            self._new(system, folder, home)
            if repeat == 0:
                self._idle(system, home)
                self._whole_process(system, folder, home)
            self._unchanged(system, folder, home)
            edits = edit(folder, documents, spare, min(10, len(documents) // 4))
            self._edited(system, folder, home, edits)
            shutil.rmtree(place)

    def _new(self, system: System, folder: Path, home: Path) -> None:
        with self._process(system) as process:
            done = process.call("sync", home=home, folder=folder)
        count = self.options.documents
        name, results = system.name, self.results
        results.add(
            name, "new folder: per document, outside embedding", "ms", 1e3 * done["outside"] / count, target=1.6
        )
        results.add(name, "new folder: embedding", "s", done["embedding_seconds"])
        results.add(name, "new folder: in all", "s", done["seconds"])
        results.add(name, "new folder: texts embedded", "", done["embedded"], compared=False)
        results.add(name, "new folder: peak memory", "MB", done["peak_memory"], target=550)

    def _idle(self, system: System, home: Path) -> None:
        with Process(system, stand_in=self.options.stand_in, log=self._log(system)) as process:
            process.call("open", home=home)
            done = process.call("search", queries=self.claims[:1], top=10)
        self.results.add(system.name, "opened and searched once: memory", "MB", done["memory"])

    def _whole_process(self, system: System, folder: Path, home: Path) -> None:
        """Imports and all, as a scheduled job would pay for it."""
        for _ in range(self.options.repeats if system.name != "txtai" else 1):
            started = time.perf_counter()
            with Process(system, stand_in=self.options.stand_in, log=self._log(system)) as process:
                process.call("sync", home=home, folder=folder)
                process.call("close")
            seconds = time.perf_counter() - started
            self.results.add(system.name, "unchanged folder: whole process, imports and all", "s", seconds)

    def _unchanged(self, system: System, folder: Path, home: Path) -> None:
        with self._process(system) as process:
            done = process.call("sync", home=home, folder=folder)
        self.results.add(system.name, "unchanged folder: outside embedding", "s", done["outside"], target=0.5)
        self.results.add(
            system.name, "unchanged folder: texts embedded", "", done["embedded"], target=0, compared=False
        )

    def _edited(self, system: System, folder: Path, home: Path, edits: Edits) -> None:
        with self._process(system) as process:
            done = process.call("sync", home=home, folder=folder)
            titles = [new.title for _, new in edits.changed] + [old.title for old in edits.deleted]
            found = process.call("search", queries=titles, top=10)["found"]
        number = len(edits.changed)
        arrived = sum(
            _is_there(hits, old.id, new) for hits, (old, new) in zip(found[:number], edits.changed, strict=True)
        )
        lingering = sum(
            _is_there(hits, gone.id, gone) for hits, gone in zip(found[number:], edits.deleted, strict=True)
        )
        name, results = system.name, self.results
        what = f"{number} changed and {number} deleted"
        results.add(name, f"{what}: outside embedding", "s", done["outside"], target=0.7)
        results.add(name, f"{what}: texts embedded", "", done["embedded"], compared=False)
        results.add(name, f"{what}: changed found at once", "", arrived, target=number, at_least=True, compared=False)
        results.add(name, f"{what}: deleted still found", "", lingering, target=0, compared=False)

    def search(self, system: System) -> None:
        """Latency at each size: the store is filled in one process and searched in another."""
        goals = {5_000: 12.0, 50_000: 15.0, 200_000: 25.0}
        for size in self.options.sizes if system is OURS else self.options.peer_sizes:
            folder, home = self.work / f"passages-{size}", self.work / f"{system.name}-{size}"
            if not folder.exists():
                write_passages(folder, self.abstracts, size)
            with Process(system, stand_in=True, log=self._log(system)) as process:
                filled = process.call("sync", home=home, folder=folder)
                process.call("close")
            with Process(system, stand_in=True, log=self._log(system)) as process:
                process.call("open", home=home)
                process.call("search", queries=self.claims[:WARMING], top=10)
                done = process.call("search", queries=self.claims[WARMING:], top=10)
            times = sorted(1e3 * seconds for seconds in done["times"])
            label, name, results = f"{size:,} passages", system.name, self.results
            results.add(name, f"{label}: filling, outside embedding", "s", filled["outside"])
            results.add(name, f"{label}: hybrid search, p50", "ms", statistics.median(times), target=goals.get(size))
            results.add(name, f"{label}: hybrid search, p99", "ms", times[int(0.99 * (len(times) - 1))])
            results.add(name, f"{label}: memory after searching", "MB", done["memory"])
            shutil.rmtree(home)

    def ingest_many(self, system: System) -> None:
        """Peak memory over 10,000 passages with the real model: minutes per system."""
        folder, home = self.work / "many", self.work / f"{system.name}-many"
        if not folder.exists():
            write_passages(folder, self.abstracts, 10_000)
        with Process(system, stand_in=self.options.stand_in, log=self._log(system)) as process:
            done = process.call("sync", home=home, folder=folder)
        self.results.add(system.name, "10,000 passages: peak memory", "MB", done["peak_memory"], target=1000)
        self.results.add(system.name, "10,000 passages: ingest, embedding included", "s", done["seconds"])
        shutil.rmtree(home)

    @contextmanager
    def _process(self, system: System) -> Iterator[Process]:
        """A process that has imported all and loaded the model, by doing everything once elsewhere."""
        warm = self.work / "warm"
        write_abstracts(warm / "documents", self.abstracts[-20:])
        home = warm / system.name
        with Process(system, stand_in=self.options.stand_in, log=self._log(system)) as process:
            process.call("sync", home=home, folder=warm / "documents")
            process.call("search", queries=self.claims[:2], top=10)
            process.call("close")
            yield process
        shutil.rmtree(home)

    def _log(self, system: System) -> Path:
        return self.work / f"{system.name}.log"


def note(text: str) -> None:
    """Progress, where it does not disturb the table."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def _is_there(hits: list[list[str]], document: str, content: Abstract) -> bool:
    """Whether a hit is of this document and carries this content."""
    expected = "".join(content.content.split())
    return any(name.endswith(f"/{document}.txt") and "".join(text.split())[:80] in expected for name, text in hits)
