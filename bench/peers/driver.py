"""Starts each system in a process of its own, sends it commands, and watches its memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from types import TracebackType

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PEER_PYTHON = HERE / ".venv" / "bin" / "python"


@dataclass(frozen=True, kw_only=True, slots=True)
class System:
    """A system under measurement. modules: what its user imports before the first call."""

    name: str
    python: Path
    adapter: str
    modules: str


OURS = System(name="Sourcebook", python=Path(sys.executable), adapter="sourcebook_peer.py", modules="sourcebook")
PEERS = (
    System(
        name="LlamaIndex",
        python=PEER_PYTHON,
        adapter="llamaindex_peer.py",
        modules="llama_index.core, llama_index.vector_stores.chroma, llama_index.retrievers.bm25",
    ),
    System(
        name="LangChain",
        python=PEER_PYTHON,
        adapter="langchain_peer.py",
        modules="langchain_chroma, langchain_classic.indexes, langchain_community.retrievers",
    ),
    System(name="txtai", python=PEER_PYTHON, adapter="txtai_peer.py", modules="txtai"),
)


class PeerError(Exception):
    """A system's process ended instead of answering; the message holds the end of what it said."""


class Process:
    """One run of a system's adapter, as a context manager.

    stand_in: passages are embedded by a random projection instead of the model (questions never are).
    """

    def __init__(self, system: System, *, stand_in: bool = False, log: Path) -> None:
        self._system, self._log = system, log
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [str(system.python), str(HERE / system.adapter)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=environment(),
                text=True,
            )
        self._children_peak = 0.0
        self._ended = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()
        self.call("start", **model_paths(), stand_in=stand_in)

    def call(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Send a command and wait for its result; `peak_memory` counts child processes too. Errors: PeerError."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"do": do, **arguments}, default=str) + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            said = self._log.read_text(errors="replace")[-2000:]
            raise PeerError(f"{self._system.name}, {do}: no answer; the end of its log:\n{said}")
        result: dict[str, Any] = json.loads(answer)
        result["peak_memory"] += self._children_peak
        return result

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._ended.set()
        self._watcher.join()

    def _watch(self) -> None:
        """Keep the highest sum, in MB, of the memory of the processes that the system started."""
        while not self._ended.wait(0.1):
            total = sum(_resident(child) for child in _descendants(self._process.pid))
            self._children_peak = max(self._children_peak, total)


def environment() -> dict[str, str]:
    """Ours, with compiled bytecode in use, our sources importable, and nobody phoning home."""
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    quiet = {"ANONYMIZED_TELEMETRY": "False", "HF_HUB_OFFLINE": "1", "LANGSMITH_TRACING": "false"}
    return kept | quiet | {"PYTHONPATH": str(ROOT / "src"), "NO_COLOR": "1"}


def model_paths() -> dict[str, str]:
    """Where the installed `sourcebook-minilm` has its files."""
    import sourcebook_minilm

    return {"model": str(sourcebook_minilm.MODEL_PATH), "tokenizer": str(sourcebook_minilm.TOKENIZER_PATH)}


def seconds_of(command: list[str]) -> float:
    """Wall time of a command that must succeed."""
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env=environment())
    return time.perf_counter() - started


def _descendants(pid: int) -> list[int]:
    found = []
    for listing in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = [int(child) for child in listing.read_text().split()]
        except OSError:
            continue
        for child in children:
            found += [child, *_descendants(child)]
    return found


def _resident(pid: int) -> float:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in status.splitlines() if line[:6] == "VmRSS:"), 0.0)
