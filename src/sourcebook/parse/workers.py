"""The worker processes: started when the first file needs one, kept warm, killed when time is up."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import weakref
from pathlib import Path

from sourcebook import errors
from sourcebook.errors import Damaged, ParseError, TooLarge
from sourcebook.parse.base import Limits
from sourcebook.parse.worker import request_of, too_much_memory, unpacked
from sourcebook.pipes import read_message, write_message
from sourcebook.types import ParsedDocument

_START_SECONDS = 60.0
_DOCUMENTS = 500  # after so many a worker is replaced: what libraries leak goes with it
_BOOT = "import sys; sys.path[:] = sys.argv[1:]; from sourcebook.parse.worker import main; main()"
_NOWHERE = "http://127.0.0.1:9"  # the discard port: a library that tries to download fails at once


class Workers:
    """A pool of processes, at most `limits.workers` at work at once. May be used from any thread."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._free = threading.BoundedSemaphore(limits.workers or os.cpu_count() or 1)
        self._lock = threading.Lock()
        self._idle: list[_Worker] = []
        self._all: set[_Worker] = set()
        self._owner = os.getpid()
        self._finalizer = weakref.finalize(self, _end_all, self._all)

    def parse(self, kind: str, data: bytes, name: str) -> ParsedDocument:
        """Have a worker parse it; waits until one is free. Errors: ParseError."""
        with self._free:
            worker = self._take()
            try:
                document = worker.parse(kind, data, name, self._limits)
            finally:
                self._give_back(worker)
            return document

    def close(self) -> None:
        """End all workers, at once; whoever waits for one gets a ParseError."""
        _end_all(self._all)
        with self._lock:
            self._idle.clear()
            self._all.clear()

    def _take(self) -> _Worker:
        with self._lock:
            if self._owner != os.getpid():  # after a fork they belong to the parent
                self._owner = os.getpid()
                self._idle.clear()
                self._all.clear()
            if self._idle:
                return self._idle.pop()
        worker = _Worker()
        with self._lock:
            self._all.add(worker)
        return worker

    def _give_back(self, worker: _Worker) -> None:
        with self._lock:
            if worker.usable and worker in self._all:
                self._idle.append(worker)
                return
            self._all.discard(worker)
        worker.end()


class _Worker:
    """One process and its two pipes. A private folder takes its temporary files and is removed with it."""

    def __init__(self) -> None:
        self._words = ""
        self._folder = Path(tempfile.mkdtemp(prefix="sourcebook-parse-"))
        self._said = self._folder / "stderr"
        with self._said.open("wb") as said:
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-c", _BOOT, *_import_path()],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                cwd=self._folder,
                env=_environment(self._folder),
                start_new_session=True,
            )
        self._parsed = 0
        self._expired = False
        timer = self._timer(_START_SECONDS)
        ready = self._receive()
        timer.cancel()
        if ready is None:
            reason = self._last_words()
            self.end()
            raise ParseError(f"The parsing process does not start: {reason}", remedy="Run: sourcebook doctor")

    @property
    def usable(self) -> bool:
        """Whether it can take another document."""
        return self._process.poll() is None and self._parsed < _DOCUMENTS

    def parse(self, kind: str, data: bytes, name: str, limits: Limits) -> ParsedDocument:
        """Errors: ParseError; Damaged or TooLarge if the process did not survive it."""
        self._parsed += 1
        timer = self._timer(limits.max_seconds)
        try:
            self._send(request_of(kind, name, limits), data)
            answer = self._receive()
        finally:
            timer.cancel()
        if answer is not None:
            try:
                return _document(json.loads(answer))
            except (KeyError, TypeError, ValueError) as error:
                self.end()
                raise Damaged("The parser gave no document for it") from error
        self.end()
        if self._expired:
            raise TooLarge(
                f"Parsing it takes more than {limits.max_seconds:g} seconds",
                remedy="Split the document, or raise the setting parse.max_seconds",
            )
        said = self._last_words()
        if "memory" in said or "bad_alloc" in said:
            raise too_much_memory(limits)
        raise Damaged(
            f"The parser broke down on it ({_ending(self._process.returncode)})",
            remedy="Check that it opens in its application, and save it anew",
        )

    def end(self) -> None:
        """Kill the process with all it started, wait for it, remove its folder."""
        _kill(self._process)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):  # what was not sent yet has nobody to go to
                    pipe.close()
        self._words = self._read_words()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _timer(self, seconds: float) -> threading.Timer:
        timer = threading.Timer(seconds, self._expire)
        timer.daemon = True
        timer.start()
        return timer

    def _expire(self) -> None:
        self._expired = True
        _kill(self._process)

    def _send(self, request: bytes, data: bytes) -> None:
        if self._process.stdin is not None:
            try:
                write_message(self._process.stdin, request)
                write_message(self._process.stdin, data)
            except OSError:  # it is gone: there will be no answer, and that is dealt with
                pass

    def _receive(self) -> bytes | None:
        try:
            return read_message(self._process.stdout) if self._process.stdout is not None else None
        except (OSError, ValueError):
            return None

    def _last_words(self) -> str:
        return self._words or self._read_words()

    def _read_words(self) -> str:
        try:
            return self._said.read_text(errors="replace")[-20_000:].strip()
        except OSError:
            return self._words


def _document(answer: dict[str, object]) -> ParsedDocument:
    if "error" not in answer:
        return unpacked(answer)
    kind = getattr(errors, str(answer["error"]), ParseError)
    if not (isinstance(kind, type) and issubclass(kind, ParseError)):
        kind = ParseError
    raise kind(str(answer["message"]), remedy=str(answer["remedy"]))


def _end_all(workers: set[_Worker]) -> None:
    for worker in tuple(workers):
        worker.end()


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    try:
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        process.kill()


def _import_path() -> list[str]:
    """Where this process imports from, without the working folder: a document may be called json.py."""
    here = str(Path(errors.__file__).parent.parent)
    path = [entry for entry in sys.path if os.path.isabs(entry) and entry != os.getcwd()]
    return path if here in path else [*path, here]


def _environment(folder: Path) -> dict[str, str]:
    """Temporary files and caches go to the folder; the network is nowhere."""
    inside = dict.fromkeys(("TMPDIR", "TEMP", "TMP", "HOME", "XDG_CACHE_HOME", "SOURCEBOOK_WORKER_FOLDER"), str(folder))
    nowhere = dict.fromkeys(
        ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), _NOWHERE
    )
    kept = {key: value for key, value in os.environ.items() if key not in ("no_proxy", "NO_PROXY")}
    return {**kept, **inside, **nowhere, "PYTHONIOENCODING": "utf-8", "PYTHONDONTWRITEBYTECODE": "1"}


def _ending(code: int | None) -> str:
    if code is not None and code < 0:
        try:
            return signal.Signals(-code).name
        except ValueError:
            return f"signal {-code}"
    return f"exit code {code}"
