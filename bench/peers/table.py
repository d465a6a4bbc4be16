"""Collects what was measured, and prints it: medians, and how many times ours each peer's is."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path


@dataclass(kw_only=True, slots=True)
class Row:
    """One measure. values: by system, one per repeat. target: what the project promises of itself.

    compared: whether a peer's value means something as a multiple of ours.
    """

    name: str
    unit: str
    target: float | None = None
    at_least: bool = False
    compared: bool = True
    values: dict[str, list[float]] = field(default_factory=dict)

    def median(self, system: str) -> float | None:
        return statistics.median(self.values[system]) if self.values.get(system) else None


class Results:
    """All rows, in the order in which they were first mentioned."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}

    def add(
        self,
        system: str,
        name: str,
        unit: str,
        value: float,
        *,
        target: float | None = None,
        at_least: bool = False,
        compared: bool = True,
    ) -> None:
        """One more value of a measure. target: at most this, or with `at_least`, at least."""
        row = self.rows.setdefault(name, Row(name=name, unit=unit, target=target, at_least=at_least, compared=compared))
        row.values.setdefault(system, []).append(value)

    def markdown(self, systems: list[str], ours: str) -> str:
        """The table; `ours` is the system that the others are compared with, and that has goals."""
        lines = [
            f"| measure | unit | {' | '.join(systems)} | goal | met |",
            f"| --- | --- | {'---: | ' * len(systems)}---: | --- |",
        ]
        for row in self.rows.values():
            cells = [_cell(row, system, ours) for system in systems]
            lines.append(f"| {row.name} | {row.unit} | {' | '.join(cells)} | {_goal(row)} | {_met(row, ours)} |")
        return "\n".join(lines)

    def missed(self, ours: str) -> list[str]:
        """Names of the measures whose goal our median does not reach."""
        return [row.name for row in self.rows.values() if _met(row, ours) == "NO"]

    def json(self) -> dict[str, object]:
        return {name: asdict(row) for name, row in self.rows.items()}


def _cell(row: Row, system: str, ours: str) -> str:
    value, own = row.median(system), row.median(ours)
    if value is None:
        return "–"
    if system == ours or not own or not row.compared:
        return _number(value)
    return f"{_number(value)} ({value / own:.1f}x)"


def _goal(row: Row) -> str:
    return "" if row.target is None else f"{'≥' if row.at_least else '≤'} {_number(row.target)}"


def _met(row: Row, ours: str) -> str:
    value = row.median(ours)
    if row.target is None or value is None:
        return ""
    return "yes" if (value >= row.target if row.at_least else value <= row.target) else "NO"


def _number(value: float) -> str:
    if value == int(value):
        return f"{int(value):,}"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def machine() -> dict[str, str]:
    """Where and when this ran, and how busy the machine was before it began."""
    model = platform.processor()
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []:
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    return {
        "processor": f"{model}, {os.cpu_count()} cores, {_vector_instructions()}",
        "load before": f"{os.getloadavg()[0]:.1f}",
        "python": platform.python_version(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }


def versions(python: Path, names: list[str]) -> str:
    """The versions of some distributions that an interpreter sees."""
    script = (
        "import sys, importlib.metadata as m\n"
        "for n in sys.argv[1:]:\n"
        "    try: print(n, m.version(n))\n"
        "    except m.PackageNotFoundError: print(n, 'from source')\n"
    )
    said = subprocess.run([str(python), "-c", script, *names], capture_output=True, text=True, check=True)
    return ", ".join(said.stdout.splitlines())


def _vector_instructions() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    flags = cpuinfo.read_text().split() if cpuinfo.exists() else []
    found = [flag for flag in ("avx2", "avx512f", "avx512_vnni", "amx_int8") if flag in flags]
    return " ".join(found) or "no vector extensions known"
