"""A comparison as a picture: accuracy over tokens, a line a model; as PNG, and drawn with characters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import log
from pathlib import Path
from typing import Any

from sourcebook.errors import ConfigError, MissingExtra
from sourcebook.evaluate.compare import EVERYTHING, Measured

_KINDS = (".png", ".svg", ".pdf")


def require_plotting(path: Path) -> None:
    """Find out before anything is paid for whether `save` can do it. Errors: MissingExtra, ConfigError."""
    if path.suffix.lower() not in _KINDS:
        raise ConfigError(f"{path} is no kind of picture", remedy=f"End its name in one of: {', '.join(_KINDS)}")
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"{path} cannot be written: there is no such folder", remedy="Make it first")
    try:
        import matplotlib as mpl  # noqa: F401
    except ImportError as error:
        raise MissingExtra.of("plotting", "plot") from error


def draw(results: Sequence[Measured], *, width: int = 78, height: int = 17) -> str:
    """The picture for a terminal, in characters: a letter a model; large where everything was in the prompt.

    Tokens are on a logarithmic axis, because everything is often a hundred times as long as a few passages.
    """
    most = max(one.tokens for one in results)
    least = min(one.tokens for one in results)
    span = max(log(max(most, 1.0)) - log(max(least, 1.0)), 0.1)
    grid = [[" "] * width for _ in range(height)]
    names = list(_by_model(results))
    labels = short_names(names)
    for one in results:
        across = round((log(max(one.tokens, 1.0)) - log(max(least, 1.0))) / span * (width - 1))
        down = round((1.0 - _right(one)) * (height - 1))
        letter = chr(ord("a") + names.index(one.model) % 26)
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
        f"         {chr(ord('a') + number % 26)}: {labels[name]} (capital: everything in the prompt)"
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
    labels = short_names([one.model for one in results])
    for name, some in _by_model(results).items():
        model = labels[name]
        retrieved = sorted((one for one in some if one.passages != EVERYTHING), key=lambda one: one.passages)
        pasted = [one for one in some if one.passages == EVERYTHING]
        for axes, across in ((tokens, _tokens), (seconds, _seconds)):
            (line,) = axes.plot(
                [across(one) for one in retrieved],
                [100 * _right(one) for one in retrieved],
                marker="o",
                label=f"{model}, retrieved",
            )
            for one in retrieved:
                low, high = one.accuracy_interval
                axes.vlines(across(one), 100 * low, 100 * high, color=line.get_color(), alpha=0.35)
                axes.annotate(
                    str(one.passages), (across(one), 100 * _right(one)), xytext=(5, -12), textcoords="offset points"
                )
            for one in pasted:
                low, high = one.accuracy_interval
                axes.vlines(across(one), 100 * low, 100 * high, color=line.get_color(), alpha=0.35)
                axes.plot(
                    [across(one)],
                    [100 * _right(one)],
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


def _right(one: Measured) -> float:
    return one.accuracy if one.accuracy is not None else one.refused or 0.0


def short_names(models: Sequence[str], width: int = 34) -> dict[str, str]:
    """Names that fit a table, shortened in the middle; those that would become the same stay whole."""
    short = {
        one: one if len(one) <= width else f"{one[: width // 2 - 1]}…{one[len(one) - width // 2 :]}" for one in models
    }
    twice = Counter(short.values())
    return {one: name if twice[name] == 1 else one for one, name in short.items()}


def _by_model(results: Sequence[Measured]) -> dict[str, list[Measured]]:
    grouped: dict[str, list[Measured]] = {}
    for one in results:
        grouped.setdefault(one.model, []).append(one)
    return grouped
