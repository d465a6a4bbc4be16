"""Models at work: replay an answer, compare ways of asking."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sourcebook.commands.base import home_option, json_option, opened, print_json, run, scope_of

if TYPE_CHECKING:
    from sourcebook.evaluate.compare import Measured
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
@home_option
@json_option
def replay(
    answer: str,
    model: str | None,
    check: bool,
    show: bool,
    names: tuple[str, ...],
    tenant: str,
    own_home: str | None,
    as_json: bool,
) -> None:
    """Rebuild the exact request of ANSWER (its id), run it again, and show the difference."""

    async def work() -> None:
        from sourcebook.replay import replay as again

        async with opened(own_home) as book:
            done = await again(book, answer, model=model, run=not check, scope=scope_of(tenant, names))
        if as_json:
            print_json(_replay_json(done, ran=not check, show=show))
        else:
            _show_replay(done, ran=not check, show=show)

    run(work())


def _replay_json(done: Replay, *, ran: bool, show: bool) -> dict[str, Any]:
    record: dict[str, Any] = {
        "answer_id": done.answer_id,
        "question": done.question,
        "model_before": done.model_before,
        "model_after": done.model_after,
        "same_bytes": done.same_bytes,
        "before": done.before,
    }
    if done.why_not:
        record["why_not"] = done.why_not
    if ran:
        record |= {"after": done.after, "same_text": done.same_text}
    if show:
        record["request"] = done.body.decode("utf-8", "replace")
    return record


def _show_replay(done: Replay, *, ran: bool, show: bool) -> None:
    click.echo(click.style(done.question, bold=True))
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
        click.echo(f"{done.model_after} gives the same answer:\n{done.after or '(it does not know)'}")
        return
    for line in done.difference():
        colour = {"-": "red", "+": "green", "@": "cyan"}.get(line[:1])
        click.echo(click.style(line, fg=colour))


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
    own_home: str | None,
    as_json: bool,
) -> None:
    """Everything in the prompt against the few passages that matter, on your own documents and QUESTIONS.

    QUESTIONS is JSONL of {"text": ..., "answers": [...]}; where there are no answers, "I do not know" is right.
    """
    counts = _counts(passages)

    async def work() -> None:
        from sourcebook.evaluate.compare import compare as measured
        from sourcebook.evaluate.compare import read_questions

        items = read_questions(questions)[:limit]
        results: list[Measured] = []
        async with opened(own_home) as book:
            asked = [book.models.open(url) for url in models] or [book.model]
            scope = scope_of(tenant, names)
            async for one in measured(book, items, asked, passages=counts, scope=scope, at_once=at_once):
                results.append(one)
                if not as_json:
                    click.echo(f"{one.label}, {one.way}: {100 * one.accuracy:.1f} % right", err=True)
        if details is not None:
            details.write_text("".join(f"{line}\n" for line in _details(results)), encoding="utf-8")
        if plot is not None:
            from sourcebook.evaluate.plot import save

            save(results, plot)
        if as_json:
            print_json({"questions": len(items), "results": [_measured_json(one) for one in results]})
        else:
            _show_comparison(results, len(items))

    run(work())


def _counts(text: str) -> list[int]:
    counts: list[int] = []
    for part in text.split(","):
        word = part.strip().lower()
        if word not in ("all", "everything") and not (word.isdigit() and int(word)):
            raise click.BadParameter(f"{part!r} is neither a number nor all", param_hint="--passages")
        counts.append(int(word) if word.isdigit() else 0)
    return counts


def _measured_json(one: Measured) -> dict[str, Any]:
    low, high = one.accuracy_interval
    return {
        "model": one.model,
        "passages": one.passages or "all",
        "accuracy": round(one.accuracy, 4),
        "accuracy_low": round(low, 4),
        "accuracy_high": round(high, 4),
        "tokens": round(one.tokens, 1),
        "cost": round(one.cost, 1),
        "seconds_p50": round(one.seconds(0.5), 3),
        "seconds_p95": round(one.seconds(0.95), 3),
        "in_prompt": round(one.pasted, 4),
        "errors": one.errors,
    }


def _details(results: list[Measured]) -> list[str]:
    return [
        json.dumps(
            {
                "model": one.model,
                "passages": one.passages or "all",
                "id": asked.item.id,
                "question": asked.item.text,
                "right_answers": asked.item.answers,
                "answer": asked.answer,
                "right": asked.right,
                "overlap": round(asked.overlap, 4),
                "error": asked.error,
                "seconds": round(asked.seconds, 3),
            },
            ensure_ascii=False,
        )
        for one in results
        for asked in one.asked
    ]


def _show_comparison(results: list[Measured], questions: int) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{questions} questions; right: a right answer stands in the answer (95 % confidence)")
    for name in ("model", "in the prompt", "right", "tokens", "cost, $ a 1,000", "median s", "95 % s", "errors"):
        table.add_column(name, justify="left" if name in ("model", "in the prompt") else "right")
    for one in results:
        low, high = one.accuracy_interval
        table.add_row(
            one.label,
            one.way if one.passages else f"everything ({100 * one.pasted:.0f} % fits)",
            f"{100 * one.accuracy:.1f} % ({100 * low:.0f} to {100 * high:.0f})",
            f"{one.tokens:,.0f}",
            f"{one.cost / 1000:.3f}",
            f"{one.seconds(0.5):.2f}",
            f"{one.seconds(0.95):.2f}",
            str(one.errors),
        )
    console = Console()
    Console(width=max(console.width, 112)).print(table)
    from sourcebook.evaluate.plot import draw

    click.echo(draw(results))
