"""Messages between processes, and workers that end with whoever started them."""

import io
import os
import subprocess
import sys
import time

from sourcebook.pipes import read_message, write_message


def test_messages_come_as_they_were_sent() -> None:
    stream = io.BytesIO()
    for body in (b"", b"one", b"\x00" * 100_000):
        write_message(stream, body)
    stream.seek(0)
    assert [read_message(stream) for _ in range(4)] == [b"", b"one", b"\x00" * 100_000, None]


def test_half_a_message_is_none() -> None:
    stream = io.BytesIO()
    write_message(stream, b"whole")
    for length in range(len(stream.getvalue())):
        assert read_message(io.BytesIO(stream.getvalue()[:length])) is None


WORKER = """
import sys, time
from sourcebook.pipes import end_with_parent
end_with_parent(lambda: open(sys.argv[1], "w").close())
print("ready", flush=True)
time.sleep(60)
"""
PARENT = """
import os, subprocess, sys
worker = subprocess.Popen([sys.executable, "-c", sys.argv[1], sys.argv[2]], stdout=subprocess.PIPE)
worker.stdout.readline()
print(worker.pid, flush=True)
os.kill(os.getpid(), 9)
"""


def test_a_worker_ends_with_its_parent_in_the_middle_of_its_work(tmp_path: os.PathLike[str]) -> None:
    mark = os.path.join(tmp_path, "ended")
    parent = subprocess.run([sys.executable, "-c", PARENT, WORKER, mark], capture_output=True, text=True, timeout=30)
    worker = int(parent.stdout)
    until = time.monotonic() + 10
    while _runs(worker) and time.monotonic() < until:
        time.sleep(0.05)
    assert not _runs(worker)
    assert os.path.exists(mark)


def _runs(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        pass
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return not os.path.isdir("/proc/self")
