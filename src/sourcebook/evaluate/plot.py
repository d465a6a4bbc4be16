"""A comparison as a picture: accuracy over tokens, a line a model; as PNG, and drawn with characters."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sourcebook.errors import MissingExtra
from sourcebook.evaluate.compare import EVERYTHING, Measured


def draw(results: Sequence[Measured], *, width: int = 90, height: int = 22) -> str:
    """The picture for a terminal, in characters. Errors: MissingExtra."""
    try:
        import plotext
    except ImportError as error:
        raise MissingExtra.of("plotting", "plot") from error
    plotext.clear_figure()
    plotext.plotsize(width, height)
    plotext.theme("clear")
    for model, some in _by_model(results).items():
        plotext.scatter([one.tokens for one in some], [100 * one.accuracy for one in some], label=model)
    plotext.title("Right answers (%) over tokens a question")
    plotext.xlabel("tokens")
    plotext.ylim(0, 100)
    drawn: str = plotext.build()
    plotext.clear_figure()
    return drawn


def save(results: Sequence[Measured], path: Path) -> None:
    """The picture as a file; its ending says which kind (.png, .svg, .pdf). Errors: MissingExtra."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtra.of("plotting", "plot") from error
    figure = Figure(figsize=(11, 4.6), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    tokens, seconds = figure.subplots(1, 2, sharey=True)
    for model, some in _by_model(results).items():
        retrieved = sorted((one for one in some if one.passages != EVERYTHING), key=lambda one: one.passages)
        pasted = [one for one in some if one.passages == EVERYTHING]
        for axes, across in ((tokens, lambda one: one.tokens), (seconds, lambda one: one.seconds(0.5))):
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
        axes.set_ylim(0, 100)
        axes.set_xlim(left=0)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    tokens.legend(frameon=False, fontsize="small")
    figure.suptitle("Everything in the prompt against the few passages that matter", fontsize="medium")
    figure.savefig(path)


def _by_model(results: Sequence[Measured]) -> dict[str, list[Measured]]:
    grouped: dict[str, list[Measured]] = {}
    for one in results:
        grouped.setdefault(one.model, []).append(one)
    return grouped
