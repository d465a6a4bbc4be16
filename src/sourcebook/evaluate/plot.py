"""A comparison as a picture: accuracy over tokens, a line a model; as PNG, and drawn with characters."""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from pathlib import Path
from typing import Any

from sourcebook.errors import MissingExtra
from sourcebook.evaluate.compare import EVERYTHING, Measured


def draw(results: Sequence[Measured], *, width: int = 78, height: int = 17) -> str:
    """The picture for a terminal, in characters: a letter a model; large where everything was in the prompt.

    Tokens are on a logarithmic axis, because everything is often a hundred times as long as a few passages.
    """
    most = max(one.tokens for one in results)
    least = min(one.tokens for one in results)
    span = max(log(max(most, 1.0)) - log(max(least, 1.0)), 0.1)
    grid = [[" "] * width for _ in range(height)]
    names = list(_by_model(results))
    for one in results:
        across = round((log(max(one.tokens, 1.0)) - log(max(least, 1.0))) / span * (width - 1))
        down = round((1.0 - one.accuracy) * (height - 1))
        letter = chr(ord("a") + names.index(one.label) % 26)
        grid[down][across] = letter.upper() if one.passages == EVERYTHING else letter
    lines = ["right answers"]
    for number, row in enumerate(grid):
        share = 100 * (1 - number / (height - 1))
        lines.append(f"{share:5.0f} % |" if number % 4 == 0 else "        |")
        lines[-1] += "".join(row).rstrip()
    lines.append("        +" + "-" * width)
    left, right = f"{least:,.0f}", f"{most:,.0f} tokens a question"
    lines.append(" " * 9 + left + right.rjust(width - len(left)))
    lines += [
        f"         {chr(ord('a') + number % 26)}: {name} (capital: everything in the prompt)"
        for number, name in enumerate(names)
    ]
    return "\n".join(lines)


def save(results: Sequence[Measured], path: Path) -> None:
    """The picture as a file; its ending says which kind (.png, .svg, .pdf). Errors: MissingExtra."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtra.of("plotting", "plot") from error
    figure: Any = Figure(figsize=(11, 5.2), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    tokens, seconds = figure.subplots(1, 2, sharey=True)
    for model, some in _by_model(results).items():
        retrieved = sorted((one for one in some if one.passages != EVERYTHING), key=lambda one: one.passages)
        pasted = [one for one in some if one.passages == EVERYTHING]
        for axes, across in ((tokens, _tokens), (seconds, _seconds)):
            (line,) = axes.plot(
                [across(one) for one in retrieved],
                [100 * one.accuracy for one in retrieved],
                marker="o",
                label=f"{model}, retrieved",
            )
            for one in retrieved:
                low, high = one.accuracy_interval
                axes.vlines(across(one), 100 * low, 100 * high, color=line.get_color(), alpha=0.35)
                axes.annotate(
                    str(one.passages), (across(one), 100 * one.accuracy), xytext=(5, -12), textcoords="offset points"
                )
            for one in pasted:
                low, high = one.accuracy_interval
                axes.vlines(across(one), 100 * low, 100 * high, color=line.get_color(), alpha=0.35)
                axes.plot(
                    [across(one)],
                    [100 * one.accuracy],
                    marker="s",
                    markersize=8,
                    linestyle="",
                    color=line.get_color(),
                    markerfacecolor="none",
                    label=f"{model}, everything in the prompt",
                )
    tokens.set_xlabel("tokens of prompt and answer, mean")
    seconds.set_xlabel("seconds a question, median")
    tokens.set_ylabel("right answers, % (bars: 95 % confidence)")
    for axes in (tokens, seconds):
        axes.set_ylim(-3, 103)
        axes.set_xlim(left=0)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(
        *tokens.get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False, fontsize="small"
    )
    figure.suptitle("Everything in the prompt against the few passages that matter", fontsize="medium")
    figure.savefig(path)


def _tokens(one: Measured) -> float:
    return one.tokens


def _seconds(one: Measured) -> float:
    return one.seconds(0.5)


def _by_model(results: Sequence[Measured]) -> dict[str, list[Measured]]:
    grouped: dict[str, list[Measured]] = {}
    for one in results:
        grouped.setdefault(one.label, []).append(one)
    return grouped
