"""`import sourcebook` costs next to nothing, and does nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import sourcebook

VENDORS = {
    "aiohttp",
    "alembic",
    "click",
    "cryptography",
    "duckdb",
    "filelock",
    "jinja2",
    "jsonschema",
    "kiwipiepy",
    "kreuzberg",
    "matplotlib",
    "mcp",
    "numpy",
    "onnxruntime",
    "pathspec",
    "pydantic",
    "qdrant_edge",
    "rich",
    "sourcebook_minilm",
    "splintr",
    "sqlalchemy",
    "starlette",
    "Stemmer",
    "tokenizers",
    "uvicorn",
    "watchfiles",
    "xllamacpp",
    "yaml",
}

_LOADED = "import json, sys; print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"


def loaded_after(script: str, folder: Path) -> set[str]:
    """The top-level modules that are loaded once the script has run in an empty folder."""
    done = subprocess.run(
        [sys.executable, "-c", f"{script}\n{_LOADED}"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_importing_loads_no_vendor(tmp_path: Path) -> None:
    assert not loaded_after("import sourcebook", tmp_path) & VENDORS


def test_importing_every_public_name_loads_no_vendor(tmp_path: Path) -> None:
    assert not loaded_after("from sourcebook import *", tmp_path) & (VENDORS - {"click"})


def test_nothing_happens_at_import(tmp_path: Path) -> None:
    script = """
import os, socket, sys, threading
seen = []
def watch(event, arguments):
    if event == "open":
        path, mode, flags = arguments
        if isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            seen.append((event, str(path)))
    elif event.startswith(("socket.", "subprocess.", "os.mkdir", "os.putenv", "os.system")):
        seen.append((event, str(arguments)))
sys.dont_write_bytecode = True
environment = dict(os.environ)
sys.addaudithook(watch)
from sourcebook import *
assert not seen, seen
assert threading.active_count() == 1
assert dict(os.environ) == environment
"""
    loaded_after(script, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_every_module_can_be_imported_alone_and_does_nothing(tmp_path: Path) -> None:
    # What stands inside the extractive model is loaded when it answers for the first time, and computes at once; the
    # sandbox of templates with the first template; interop with the framework that its user has loaded already.
    late = (
        "sourcebook.testing",
        "sourcebook.models.extractive.",
        "sourcebook.catalog.migrations",
        "sourcebook.prompt.sandbox",
        "sourcebook.interop.",
    )
    root = Path(sourcebook.__file__).parent
    names = [".".join(path.relative_to(root.parent).with_suffix("").parts) for path in sorted(root.rglob("*.py"))]
    wanted = [name.removesuffix(".__init__") for name in names if not name.startswith(late)]
    assert len(wanted) > 50
    script = f"""
import importlib, threading
for name in {wanted!r}:
    importlib.import_module(name)
assert threading.active_count() == 1
"""
    heavy = {
        "aiohttp",
        "alembic",
        "duckdb",
        "jinja2",
        "kiwipiepy",
        "kreuzberg",
        "mcp",
        "numpy",
        "onnxruntime",
        "pydantic",
        "qdrant_edge",
        "rich",
        "sqlalchemy",
        "tokenizers",
    }
    assert not loaded_after(script, tmp_path) & heavy
    assert list(tmp_path.iterdir()) == []


def test_help_loads_nothing_heavy(tmp_path: Path) -> None:
    for arguments in (["--help"], ["ask", "--help"]):
        script = f"""
import sys
from sourcebook.cli import main
sys.argv = ["sourcebook", *{arguments!r}]
try:
    main()
except SystemExit as end:
    assert end.code == 0
"""
        assert not loaded_after(script, tmp_path) & (VENDORS - {"click"})
    assert list(tmp_path.iterdir()) == []


def test_importing_takes_a_tenth_of_a_second(tmp_path: Path) -> None:
    """The best of three, in processor time, beyond what Python itself takes; a busy machine does not matter."""
    script = "import time; began = time.process_time(); import sourcebook; print(time.process_time() - began)"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    times = [
        float(
            subprocess.run(
                [sys.executable, "-c", script],
                cwd=tmp_path,
                env=environment,
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        )
        for _ in range(3)
    ]
    assert min(times) < 0.1
