"""Holds the documentation against the program: `python docs/check.py`.

    settings   configuration.md names every setting with its type, default, variable and least value
    commands   cli.md says what the command line says (`--write` brings the generated parts up to date)
    providers  the pages of docs/providers/ say what the table of presets says (docs/providers.py writes them)
    links      relative links and their anchors lead somewhere
    words      nothing in the repository names a machine's folders, a package registry or how a text came about
    snippets   Python blocks run, shell blocks are understood; those of quickstart.md run, in a folder of their own
    printed    the JSON examples of json.md have the keys that the commands print

Ends with 1 and a line for each finding. `--fast` leaves out what runs commands. Blocks marked `no-run` (```python
no-run) are only compiled or parsed. All runs use the `hashing` embedder, so that no model is loaded.
"""

from __future__ import annotations

import json
import os
import re
import runpy
import shlex
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager, redirect_stdout
from dataclasses import dataclass, fields
from io import StringIO
from pathlib import Path
from typing import Any, get_type_hints

import click

from sourcebook import config
from sourcebook.cli import cli

ROOT = Path(__file__).resolve().parent.parent

SAMPLE = {
    "docs/refunds.md": "# Refund policy\n\n## Deadlines\n\nA customer may return a purchase within 30 days.\n\n"
    "## Exceptions\n\nOpened software is not taken back.\n",
    "docs/prices.csv": "Product,Price,Stock\nBell,12.50,30\nLamp,49.00,4\n",
    "questions.jsonl": '{"id": "q1", "text": "How long may a customer return a purchase?"}\n',
}
"""What the folder holds that snippets outside of quickstart.md run in."""


def settings(root: Path) -> Iterator[str]:
    """Rows of configuration.md against the fields of config/sections.py, both ways."""
    page = "docs/configuration.md"
    known = {row[0]: row[1:] for row in _setting_rows()}
    seen: set[str] = set()
    for name, *cells, meaning in _table_rows(root / page, columns=6):
        if name == "setting":
            continue
        if name not in known:
            yield f"{page}: there is no setting {name}"
            continue
        if name in seen:
            yield f"{page}: {name} stands there twice"
        seen.add(name)
        for heading, said, true in zip(("type", "default", "variable", "least"), cells, known[name], strict=True):
            if said != true:
                yield f"{page}: {name}: {heading} is {true or '(none)'}, not {said or '(none)'}"
        if not meaning:
            yield f"{page}: {name} is not explained"
    yield from (f"{page}: the setting {name} is missing" for name in known if name not in seen)


def _setting_rows() -> Iterator[tuple[str, str, str, str, str]]:
    """(setting, type, default, environment variable, least value) as the page must have them."""
    kinds = {
        int: "whole number",
        float: "number",
        str: "text",
        bool: "true or false",
        tuple[str, ...]: "list of texts",
    }
    for section, kind in config.SECTIONS.items():
        types, default = get_type_hints(kind), kind()
        for one in fields(kind):
            name = f"{section}.{one.name}"
            shown = json.dumps(getattr(default, one.name))
            least = config.LEAST.get(name)
            variable = f"SOURCEBOOK_{section}_{one.name}".upper()
            yield name, kinds[types[one.name]], shown, variable, "" if least is None else f"{least:.10g}"


def _table_rows(path: Path, *, columns: int) -> Iterator[list[str]]:
    """The cells of all tables of so many columns, code marks taken off."""
    for line in path.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip().strip("`") for cell in line.strip().strip("|").split("|")]
        if line.startswith("|") and len(cells) == columns and not set(cells[0]) <= {"-", ":"}:
            yield cells


def commands(root: Path, *, write: bool = False) -> Iterator[str]:
    """The parts of cli.md between markers against what click knows."""
    path = root / "docs/cli.md"
    text = path.read_text(encoding="utf-8")
    wanted = {"commands": _overview(), **{_mark(name): _command(name, one) for name, one in _leaves()}}
    found = set(re.findall(r"<!-- generated: (\S+) -->", text))
    yield from (f"docs/cli.md: the command {name} is missing" for name in wanted if name not in found)
    yield from (f"docs/cli.md: there is no command {name}" for name in sorted(found - set(wanted)))
    for name in found & set(wanted):
        pattern = re.compile(rf"(<!-- generated: {re.escape(name)} -->\n).*?(<!-- end -->)", re.DOTALL)
        fresh = pattern.sub(lambda match: match[1] + wanted[name] + match[2], text)  # noqa: B023
        if fresh != text and not write:
            yield f"docs/cli.md: {name} is not what the program says; run: python docs/check.py --write"
        text = fresh
    if write:
        path.write_text(text, encoding="utf-8")


def _leaves() -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, with its whole name ("budget set")."""
    for name, command in cli.commands.items():
        if isinstance(command, click.Group):
            yield from ((f"{name} {inner}", one) for inner, one in command.commands.items())
        else:
            yield name, command


def _mark(name: str) -> str:
    return name.replace(" ", "-")


def _overview() -> str:
    lines = [f"| [`{name}`](#{_mark(name)}) | {_line(one.help or '')} |" for name, one in _leaves()]
    return "\n".join(["", "| command | what it does |", "| --- | --- |", *lines, "", ""])


def _command(name: str, command: click.Command) -> str:
    context = click.Context(command, info_name=f"sourcebook {name}")
    lines = ["", " ".join((command.help or "").split()), "", "```text"]
    lines += [" ".join([f"sourcebook {name}", *command.collect_usage_pieces(context)]), "```", ""]
    lines += ["| option | meaning |", "| --- | --- |"]
    help_names = ", ".join(cli.context_settings["help_option_names"])
    records = [parameter.get_help_record(context) for parameter in command.params]
    for record in [*records, (help_names, "Show this message and exit.")]:
        if record is not None:
            option, meaning = (_line(cell) for cell in record)
            lines.append(f"| `{option}` | {meaning} |")
    return "\n".join([*lines, "", ""])


def _line(text: str) -> str:
    return " ".join(text.split("\n\n", maxsplit=1)[0].split()).replace("|", "\\|")


def links(root: Path) -> Iterator[str]:
    """Every relative link of README and docs."""
    for page in _pages(root):
        text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
        for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", text)):
            if "://" in target or target.startswith("mailto:"):
                continue
            place, _, anchor = target.partition("#")
            path = (page.parent / place).resolve() if place else page
            if not path.exists():
                yield f"{page.relative_to(root)}: {target} does not exist"
            elif anchor and path.suffix == ".md" and anchor not in _anchors(path):
                yield f"{page.relative_to(root)}: {target} has no such heading"


def _anchors(path: Path) -> set[str]:
    """As GitHub makes them of headings."""
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#{1,6} +(.+?) *$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def providers(root: Path) -> Iterator[str]:
    """The pages of docs/providers/ against the table of presets; docs/providers.py writes them."""
    script = runpy.run_path(str(ROOT / "docs/providers.py"))
    yield from script["findings"](root / "docs/providers")


UNWANTED = {  # one letter in brackets, so that no pattern finds itself
    "a folder of one machine": r"(?<![\w.])/(?:root|work|home/\w+|Users/\w+)/",
    "a package registry": r"py[p]i\.org|python[h]osted|index[-_]u[r]l",
    "how a text came about": r"(?i)co-author[e]d-by|as an [A]I\b|(?:written|generated) (?:by|with) an? [AL]{1,2}[IM]\b",
}
_WRITTEN = {".md", ".py", ".toml", ".lock", ".yml", ".yaml", ""}
_PLACES = ("README.md", "CHANGELOG.md", "Makefile", "pyproject.toml", "requirements.lock", "docs", "examples", "src")


def words(root: Path) -> Iterator[str]:
    """What must stand in no file."""
    for place in _PLACES:
        files = [root / place, *(root / place).rglob("*")]
        for path in files:
            if not path.is_file() or path.suffix not in _WRITTEN or "__pycache__" in path.parts:
                continue
            for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
                for what, pattern in UNWANTED.items():
                    if re.search(pattern, line):
                        yield f"{path.relative_to(root)}:{number}: names {what}: {line.strip()[:80]}"


@dataclass(frozen=True, kw_only=True)
class Block:
    """A fenced block. line: of its first line of content, from 1; above: the line before its fence."""

    page: str
    line: int
    language: str
    runs: bool
    text: str
    above: str


def blocks(root: Path, page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    found: list[Block] = []
    lines = page.read_text(encoding="utf-8").splitlines()
    number = 0
    while number < len(lines):
        if lines[number].startswith("```"):
            info = lines[number][3:].split()
            end = next(n for n in range(number + 1, len(lines)) if lines[n].startswith("```"))
            found.append(
                Block(
                    page=str(page.relative_to(root)),
                    line=number + 2,
                    language=info[0] if info else "",
                    runs="no-run" not in info,
                    text="\n".join(lines[number + 1 : end]) + "\n",
                    above=lines[number - 1] if number else "",
                )
            )
            number = end
        number += 1
    return found


def understood(root: Path) -> Iterator[str]:
    """Python compiles, JSON is JSON, commands have options that exist. Nothing is run."""
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        _fill(Path(folder))
        for page in _pages(root):
            for block in blocks(root, page):
                yield from _understood(block)


def _understood(block: Block) -> Iterator[str]:
    place = f"{block.page}:{block.line}"
    try:
        if block.language == "python":
            compile(block.text, place, "exec")
        elif block.language == "json":
            json.loads(block.text)
        elif block.language in ("bash", "console"):
            for command in _sourcebook_commands(block.text):
                try:
                    _parse_only().main(command, standalone_mode=False)
                except click.ClickException as error:
                    yield f"{place}: sourcebook {shlex.join(command)}: {error.format_message()}"
    except (SyntaxError, ValueError) as error:
        yield f"{place}: {error}"


def _sourcebook_commands(text: str) -> Iterator[list[str]]:
    """The arguments of each `sourcebook` command in a shell block; here-documents are passed over."""
    text = re.sub(r"<<\s*'?(\w+)'?(.*?)\n.*?\n\1\n", r"\2\n", text, flags=re.DOTALL)
    for line in re.sub(r"\\\n", " ", text).splitlines():
        lexer = shlex.shlex(line.removeprefix("$ "), posix=True, punctuation_chars="|&;<>")
        lexer.whitespace_split = True
        words = list(lexer)
        while "sourcebook" in words:
            words = words[words.index("sourcebook") + 1 :]
            end = next((n for n, word in enumerate(words) if set(word) <= set("|&;<>")), len(words))
            yield words[:end]


def _parse_only() -> click.Group:
    """The command line, with commands that do nothing."""

    def nothing(**_: object) -> None:
        pass

    def silent(command: click.Command) -> click.Command:
        if isinstance(command, click.Group):
            inner = {name: silent(one) for name, one in command.commands.items()}
            return click.Group(command.name, params=command.params, callback=nothing, commands=inner)
        return click.Command(command.name, params=command.params, callback=nothing)

    return click.Group(
        "sourcebook",
        params=cli.params,
        callback=nothing,
        commands={name: silent(command) for name, command in cli.commands.items()},
    )


def snippets(root: Path) -> Iterator[str]:
    """Run the Python blocks of every page, and the shell blocks of quickstart.md, page by page, in order."""
    for page in _pages(root):
        with _workplace() as folder:
            guide = page.name == "quickstart.md"
            if not guide:
                _fill(folder)
            for block in blocks(root, page):
                if block.runs and block.language == "python":
                    yield from _run_python(block)
                elif block.runs and block.language == "bash" and guide:
                    _, problem = _run_shell(block.text, folder)
                    if problem:
                        yield f"{block.page}:{block.line}: {problem}"


def _run_python(block: Block) -> Iterator[str]:
    code = compile("\n" * (block.line - 1) + block.text, block.page, "exec")
    try:
        with redirect_stdout(StringIO()):
            exec(code, {"__name__": "__main__"})  # noqa: S102
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)
        line = next((frame.lineno for frame in reversed(last) if frame.filename == block.page), block.line)
        yield f"{block.page}:{line}: {type(error).__name__}: {error}"


def printed(root: Path) -> Iterator[str]:
    """The blocks of json.md under `<!-- prints: COMMAND -->` against what COMMAND prints: the same keys."""
    page = root / "docs/json.md"
    last: dict[str, str] = {}
    with _workplace() as folder:
        _fill(folder)
        for block in blocks(root, page):
            match = re.fullmatch(r"<!-- prints: (.+) -->", block.above)
            if match is None:
                continue
            command = match[1]
            for name, value in last.items():
                command = command.replace(f"{{{name}}}", value)
            output, problem = _run_shell(command, folder)
            try:
                lines = [json.loads(line) for line in output.splitlines()]
                texts = block.text.splitlines() if block.language == "jsonl" else [block.text]
                example = [json.loads(text) for text in texts]
            except ValueError:
                yield f"{block.page}:{block.line}: `{command}` prints no JSON: {problem or output[:200]}"
                continue
            shapes = {_shape(line) for line in lines}
            for one in example:
                if _shape(one) not in shapes:
                    yield f"{block.page}:{block.line}: `{command}` prints {sorted(shapes)}, not {_shape(one)}"
            if "--batch" in command and [line["id"] for line in lines] != [line["id"] for line in example]:
                yield f"{block.page}:{block.line}: `{command}` does not print the ids of the questions"
            if lines and "answer_id" in lines[0]:
                last["answer"] = lines[0]["answer_id"]


def _shape(value: Any) -> str:
    """The keys of a JSON value, all the way down; of a list, those of its first element."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}{_shape(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return f"[{_shape(value[0])}]"
    return ""


# --- where things run -------------------------------------------------------------------------------------


@contextmanager
def _workplace() -> Iterator[Path]:
    """An empty folder to be in, with no settings from outside and the quick embedder."""
    before = dict(os.environ)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, chdir(folder):
        for name in [name for name in os.environ if name.startswith("SOURCEBOOK_")]:
            del os.environ[name]
        os.environ["SOURCEBOOK_PARTS_EMBED"] = "hashing"
        try:
            yield Path(folder)
        finally:
            os.environ.clear()
            os.environ.update(before)


def _fill(folder: Path) -> None:
    for name, text in SAMPLE.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


def _run_shell(script: str, folder: Path) -> tuple[str, str]:
    """(what it printed, what went wrong); `sourcebook` is the one that this process imports."""
    with tempfile.TemporaryDirectory() as programs:
        command = Path(programs) / "sourcebook"
        start = "import sys; sys.argv[0] = 'sourcebook'; from sourcebook.cli import main; main()"
        command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{start}" "$@"\n')
        command.chmod(0o755)
        path = os.pathsep.join([programs, str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        modules = os.pathsep.join([str(Path(config.__file__).parents[2]), *filter(None, sys.path)])
        done = subprocess.run(  # noqa: S603
            ["bash", "-euo", "pipefail", "-c", script],  # noqa: S607
            cwd=folder,
            env={**os.environ, "PATH": path, "PYTHONPATH": modules},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    said = done.stderr.strip().splitlines()
    problem = f"exit code {done.returncode}: {said[-1] if said else script}" if done.returncode else ""
    return done.stdout or done.stderr, problem


def _pages(root: Path) -> list[Path]:
    return [root / "README.md", root / "CHANGELOG.md", *sorted((root / "docs").rglob("*.md"))]


FAST: tuple[Callable[[Path], Iterator[str]], ...] = (settings, commands, providers, links, words, understood)
SLOW: tuple[Callable[[Path], Iterator[str]], ...] = (snippets, printed)


def main(arguments: list[str]) -> int:
    """Print the findings; 1 if there are any."""
    if "--write" in arguments:
        list(commands(ROOT, write=True))
    checks = FAST if "--fast" in arguments else FAST + SLOW
    findings = [finding for check in checks for finding in check(ROOT)]
    for finding in findings:
        click.echo(finding, err=True)
    click.echo(f"{len(_pages(ROOT))} pages checked, {len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
