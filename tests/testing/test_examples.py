"""The examples of docs/testing.md are a test file: they run, and the suites find what is wrong with a part."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "testing.md"


def run(code: str, folder: Path) -> str:
    """What pytest says of the code, without our settings and without plugins; its last lines."""
    (folder / "test_my_parts.py").write_text(code, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-c", "/dev/null", "--rootdir", str(folder), "test_my_parts.py"]
    plugins = [option for name in ("asyncio", "anyio", "xdist", "cacheprovider") for option in ("-p", f"no:{name}")]
    done = subprocess.run([*command, *plugins], cwd=folder, capture_output=True, text=True, timeout=120)
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def code() -> str:
    return "\n\n".join(
        re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    )


def test_the_examples_pass(code: str, tmp_path: Path) -> None:
    said = run(code, tmp_path)
    assert re.search(r"^[^F\n]*\n\d\d passed, 2 skipped", said), said


@pytest.mark.parametrize(
    "wrongs",
    [
        [
            ("fingerprint=str(number)", "fingerprint=str(next(EVER))", "what_is_unchanged_keeps_its_fingerprint"),
            ("rows / np.linalg", "0.5 * rows / np.linalg", "TestLetters::test_vectors_have_the_promised_shape"),
            ('text=said)\n            if "halfway"', 'text="")\n            if "halfway"', "error_says_what_had_come"),
            ("Echo.running -= 1", "pass", "TestEcho::test_cancelling_it_stops_the_work"),
        ],
        [
            ('Memory(source.url.removeprefix("memory:"))', "Memory(source.url)", "test_one_place_has_one_url"),
            ("yield Finish(reason", "0 and Finish(reason", "TestEcho::test_a_reply_is_text_and_one_finish_last"),
        ],
    ],
)
def test_parts_that_are_wrong_fail(wrongs: list[tuple[str, str, str]], code: str, tmp_path: Path) -> None:
    code = (
        f"from itertools import count\n\nEVER = count()\n{code}\n\nSourceSuite.patience = ModelSuite.patience = 0.2\n"
    )
    for right, wrong, _ in wrongs:
        assert code.count(right) == 1
        code = code.replace(right, wrong)
    said = run(code, tmp_path)
    for *_, found in wrongs:
        assert re.search(rf"FAILED .*{found}", said), said
