"""Models at work: replay an answer, compare ways of asking."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sourcebook.commands.base import (
    FAILED,
    account_option,
    harmless,
    home_option,
    json_option,
    opened,
    print_json,
    run,
    scope_of,
)

if TYPE_CHECKING:
    from sourcebook.evaluate.compare import Asked, Measured
    from sourcebook.models.base import Model
    from sourcebook.replay import Replay

_MODEL = "MODEL"
_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.argument("answer")
@click.option("--model", metavar=_MODEL, help="Ask this model instead of the one that answered, by its URL")
@click.option("--check", is_flag=True, help="Only rebuild the request and compare its bytes; ask nobody")
@click.option("--show", is_flag=True, help="Print the request as it is sent, without the key")
@click.option("--as", "names", metavar="NAME", multiple=True, help="Look as this user or group (repeatable)")
@click.option("--tenant", default="default", show_default=True, metavar="NAME", help="Whose")
@click.option("--account", metavar="NAME", help="Whose budget pays [default: the one that paid then]")
@home_option
@json_option
def replay(
    answer: str,
    model: str | None,
    check: bool,
    show: bool,
    names: tuple[str, ...],
    tenant: str,
    account: str | None,
    own_home: str | None,
    as_json: bool,
) -> None:
    """Rebuild the exact request of ANSWER, run it again, and show the difference.

    ANSWER is its id, the start of its id, or `last`. With --check, the exit code is 1 if the request differs.
    """

    async def work() -> None:
        from sourcebook.commands.as_json import replay_json
        from sourcebook.replay import replay as again

        scope = scope_of(tenant, names)
        async with opened(own_home) as book:
            done = await again(book, answer, model=model, run=not check, scope=scope, account=account)
        if as_json:
            print_json(replay_json(done, ran=not check, show=show))
        else:
            _show_replay(done, ran=not check, show=show)
        if check and done.same_bytes is False:
            raise click.exceptions.Exit(FAILED)

    run(work())


def _show_replay(done: Replay, *, ran: bool, show: bool) -> None:
    click.echo(click.style(harmless(done.question), bold=True))
    if show:
        click.echo(json.dumps(json.loads(done.body), indent=2, ensure_ascii=False))
    match done.same_bytes:
        case True:
            click.echo(f"The request is the same, byte for byte ({len(done.body):,} bytes).")
        case False:
            click.echo(click.style("The request is not the same as it was sent then.", fg="red"))
        case None:
            click.echo(f"Whether the request is the same cannot be said: {done.why_not}.")
    if not ran:
        return
    if done.same_text:
        click.echo(f"{done.model_after} gives the same answer:\n{harmless(done.after) or '(it does not know)'}")
        return
    for line in done.difference():
        colour = {"-": "red", "+": "green", "@": "cyan"}.get(line[:1])
        click.echo(click.style(harmless(line), fg=colour))


@click.command()
@click.argument("questions", type=_FILE)
@click.option(
    "--model", "models", metavar=_MODEL, multiple=True, help="A model by its URL (repeatable) [default: the book's]"
)
@click.option(
    "--passages",
    default="all,1,4,8",
    show_default=True,
    metavar="LIST",
    help="How many passages go into the prompt; all: everything, as far as the window goes",
)
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Only the first N questions")
@click.option("--at-once", type=click.IntRange(1, 100), default=1, show_default=True, help="Questions at once")
@click.option(
    "--plot", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Draw it as PNG, SVG or PDF"
)
@click.option(
    "--details", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Write every answer, as JSONL"
)
@click.option("--as", "names", metavar="NAME", multiple=True, help="Ask as this user or group (repeatable)")
@click.option("--tenant", default="default", show_default=True, metavar="NAME", help="Whose documents")
@account_option
@home_option
@json_option
def compare(
    questions: Path,
    models: tuple[str, ...],
    passages: str,
    limit: int | None,
    at_once: int,
    plot: Path | None,
    details: Path | None,
    names: tuple[str, ...],
    tenant: str,
    account: str,
    own_home: str | None,
    as_json: bool,
) -> None:
    """Everything in the prompt against the few passages that matter, on your own documents and QUESTIONS.

    QUESTIONS is JSONL of {"text": ..., "answers": [...]}; where there are no answers, "I do not know" is right.
    """
    counts = _counts(passages)

    async def work() -> None:
        from sourcebook.commands.as_json import asked_json, measured_json
        from sourcebook.evaluate.compare import compare as measured
        from sourcebook.evaluate.compare import read_questions
        from sourcebook.evaluate.plot import require_plotting, save

        items = read_questions(questions)[:limit]
        if plot is not None:  # before anything is paid for
            require_plotting(plot)
        results: list[Measured] = []
        with ExitStack() as files:
            lines = None if details is None else files.enter_context(details.open("w", encoding="utf-8"))

            def write(model: Model, count: int, asked: Asked) -> None:
                if lines is not None:  # at once: what is paid for is kept, whatever comes after
                    click.echo(json.dumps(asked_json(model.name, count, asked), ensure_ascii=False), file=lines)
                    lines.flush()

            async with opened(own_home) as book:
                asked = [book.models.open(url) for url in models] or [book.model]
                await book.models.ready()
                scope = scope_of(tenant, names)
                async for one in measured(
                    book, items, asked, passages=counts, scope=scope, account=account, at_once=at_once, on_asked=write
                ):
                    results.append(one)
                    if not as_json:
                        click.echo(f"{one.model}, {one.way}: {_percent(one.accuracy)} right", err=True)
        if as_json:
            print_json({"questions": len(items), "results": [measured_json(one) for one in results]})
        else:
            _show_comparison(results, len(items))
        if plot is not None:
            save(results, plot)

    run(work())


def _counts(text: str) -> list[int]:
    counts: list[int] = []
    for part in text.split(","):
        word = part.strip().lower()
        if word not in ("all", "everything") and not (word.isdecimal() and int(word)):
            raise click.BadParameter(f"{part!r} is neither a number nor all", param_hint="--passages")
        counts.append(int(word) if word.isdecimal() else 0)
    return counts


def _show_comparison(results: list[Measured], questions: int) -> None:
    from rich.console import Console
    from rich.table import Table

    from sourcebook.evaluate.plot import draw, short_names

    table = Table(title=f"{questions} questions; right: a right answer stands in the answer (95 % confidence)")
    names = ("model", "in the prompt", "right", "F1", "refused", "tokens", "$ a 1,000", "median s", "95 % s", "errors")
    for name in names:
        table.add_column(name, justify="left" if name in ("model", "in the prompt") else "right")
    labels = short_names([one.model for one in results])
    for one in results:
        low, high = one.accuracy_interval
        right = _percent(one.accuracy)
        table.add_row(
            labels[one.model],
            one.way if one.passages else f"everything ({100 * one.pasted:.0f} % fits)",
            right if one.accuracy is None else f"{right} ({100 * low:.0f} to {100 * high:.0f})",
            _percent(one.overlap),
            _percent(one.refused),
            f"{one.tokens:,.0f}",
            "not known" if one.cost is None else f"{one.cost / 1000:.3f}",
            f"{one.seconds(0.5):.2f}",
            f"{one.seconds(0.95):.2f}",
            str(one.errors),
        )
    console = Console()
    Console(width=max(console.width, 124)).print(table)
    if any(one.refused is not None for one in results):
        click.echo("refused: of the questions that the documents do not answer, those to which nothing was claimed.")
    click.echo(draw(results))


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"
