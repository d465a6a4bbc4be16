"""Conversations and what is remembered: chat, conversations."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from sourcebook.commands.base import counted, home_option, json_option, opened, print_json, run, scope_of
from sourcebook.commands.lines import typed_lines
from sourcebook.errors import NotFound, SourcebookError

if TYPE_CHECKING:
    from sourcebook.book import Sourcebook
    from sourcebook.catalog.conversations import Conversation, ConversationEntry
    from sourcebook.types import Answer, Scope

_as_option = click.option("--as", "names", metavar="NAME", multiple=True, help="As this user or group (repeatable)")
_tenant_option = click.option("--tenant", default="default", show_default=True, metavar="NAME", help="Whose")


# --- chat ---------------------------------------------------------------------------------------------------


@click.command()
@click.option("--resume", metavar="ID", help="Go on with this conversation; the start of its id, or `last`, will do")
@click.option("--where", metavar="FILTER", help="Only documents with such metadata: \"type = 'pdf'\"")
@_as_option
@_tenant_option
@home_option
@json_option
def chat(
    resume: str | None, where: str | None, names: tuple[str, ...], tenant: str, own_home: str | None, as_json: bool
) -> None:
    """Talk with the documents: each question may lean on the ones before it.

    Answers come as they are made, with their sources. An empty line is passed over; Ctrl-D, or /quit, ends. In a
    pipe, each line is a question.
    """

    async def work() -> None:
        async with opened(own_home) as book:
            scope = scope_of(tenant, names)
            conversation = resumed(book, resume, scope) if resume else None
            if conversation and sys.stdin.isatty() and not as_json:
                _show_turns(conversation, last=4)
            name = conversation.id if conversation else None
            try:
                async for question in typed_lines():
                    name = name or book.converse(scope=scope)  # one in which nothing is asked leaves no trace
                    try:
                        await _reply(book, name, question, scope, where, as_json)
                    except SourcebookError as error:
                        if not sys.stdin.isatty():
                            raise
                        click.echo(f"{click.style('Error:', fg='red', bold=True)} {error}", err=True)
            finally:
                if name and not as_json and sys.stdin.isatty():
                    click.echo(f"Go on with: sourcebook chat --resume {name[:8]}")

    run(work())


async def _reply(book: Sourcebook, name: str, question: str, scope: Scope, where: str | None, as_json: bool) -> None:
    from sourcebook.commands.as_json import answer_json
    from sourcebook.commands.printing import show_answer

    if not as_json:
        await show_answer(book.stream(question, scope=scope, where=where, conversation=name))
        click.echo()
        return
    answer: Answer = await book.ask(question, scope=scope, where=where, conversation=name)
    print_json({"conversation": name, "question": question, **answer_json(answer)})


# --- conversations ------------------------------------------------------------------------------------------


@click.group()
def conversations() -> None:
    """See and delete conversations, and what is remembered from them."""


@conversations.command("list")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="So many at most")
@_as_option
@_tenant_option
@home_option
@json_option
def list_(limit: int, names: tuple[str, ...], tenant: str, own_home: str | None, as_json: bool) -> None:
    """Your conversations, the one touched last first."""
    from sourcebook.catalog.conversations import list_conversations

    async def work() -> None:
        async with opened(own_home) as book:
            found = list_conversations(book.catalog, scope_of(tenant, names), limit=limit)
            if as_json:
                print_json({"conversations": [asdict(one) for one in found]})
            else:
                _show_list(found)

    run(work())


@conversations.command()
@click.argument("name", metavar="ID")
@_as_option
@_tenant_option
@home_option
@json_option
def show(name: str, names: tuple[str, ...], tenant: str, own_home: str | None, as_json: bool) -> None:
    """The turns of the conversation ID; the start of its id, or `last`, will do."""
    from sourcebook.commands.as_json import conversation_json

    async def work() -> None:
        async with opened(own_home) as book:
            conversation = resumed(book, name, scope_of(tenant, names))
            if as_json:
                print_json(conversation_json(conversation))
            else:
                _show_turns(conversation)

    run(work())


@conversations.command()
@click.argument("ids", metavar="ID...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All of yours")
@_as_option
@_tenant_option
@home_option
@json_option
def delete(
    ids: tuple[str, ...], everything: bool, names: tuple[str, ...], tenant: str, own_home: str | None, as_json: bool
) -> None:
    """Delete conversations with their turns, summaries, and the facts that were learned in them."""
    from sourcebook.catalog.conversations import delete_conversation, list_conversations

    if bool(ids) == everything:
        raise click.UsageError("Name the conversations, or give --all")

    async def work() -> None:
        async with opened(own_home) as book:
            scope = scope_of(tenant, names)
            listed = [one.id for one in list_conversations(book.catalog, scope, limit=sys.maxsize)]
            wanted = listed if everything else [_matching(listed, one) for one in ids]
            for one in dict.fromkeys(wanted):
                delete_conversation(book.catalog, one, scope)
            if as_json:
                print_json({"deleted": list(dict.fromkeys(wanted))})
            else:
                counted("Deleted", len(set(wanted)), "conversation")

    run(work())


@conversations.command()
@_as_option
@_tenant_option
@home_option
@json_option
def facts(names: tuple[str, ...], tenant: str, own_home: str | None, as_json: bool) -> None:
    """What is remembered of you, the newest first."""
    from sourcebook.catalog.facts import read_facts

    async def work() -> None:
        async with opened(own_home) as book:
            scope = scope_of(tenant, names)
            found = read_facts(book.catalog, scope, scope.principals)
            if as_json:
                keys = ("id", "kind", "text", "conversation", "number", "at")
                print_json({"facts": [{key: getattr(one, key) for key in keys} for one in found]})
                return
            for one in found:
                click.echo(f"{click.style(one.id[:8], fg='cyan')}  {one.at[:10]}  {one.kind:10}  {one.text}")
            if not found:
                click.echo("Nothing is remembered.")

    run(work())


@conversations.command()
@click.argument("ids", metavar="FACT...", nargs=-1, required=True)
@_as_option
@_tenant_option
@home_option
@json_option
def forget(ids: tuple[str, ...], names: tuple[str, ...], tenant: str, own_home: str | None, as_json: bool) -> None:
    """Forget facts, by their ids in `conversations facts`, or the start of them."""
    from sourcebook.catalog.facts import delete_fact, read_facts

    async def work() -> None:
        async with opened(own_home) as book:
            scope = scope_of(tenant, names)
            known = [one.id for one in read_facts(book.catalog, scope, scope.principals)]
            wanted = list(dict.fromkeys(_matching(known, one, "fact", "facts") for one in ids))
            for one in wanted:
                delete_fact(book.catalog, one, scope, scope.principals)
            print_json({"forgotten": wanted}) if as_json else counted("Forgot", len(wanted), "fact")

    run(work())


def resumed(book: Sourcebook, name: str, scope: Scope) -> Conversation:
    """The conversation that this id, its start, or `last` names. Errors: NotFound."""
    from sourcebook.catalog.conversations import list_conversations, read_conversation

    if len(name) < _WHOLE_ID:
        listed = list_conversations(book.catalog, scope, limit=1 if name == "last" else sys.maxsize)
        name = listed[0].id if name == "last" and listed else _matching([one.id for one in listed], name)
    return read_conversation(book.catalog, name, scope)


def _matching(known: Sequence[str], name: str, what: str = "conversation", listing: str = "list") -> str:
    """The one id that begins so. Errors: NotFound, also where several do."""
    found = [one for one in known if one == name] or [one for one in known if name and one.startswith(name)]
    if len(found) != 1:
        trouble = f"Several {what}s begin with {name!r}" if found else f"No {what} {name!r}"
        raise NotFound(trouble, remedy=f"See yours: sourcebook conversations {listing}")
    return found[0]


def _show_list(found: Sequence[ConversationEntry]) -> None:
    for one in found:
        title = " ".join(one.title.split())
        title = f"{title[:70]}…" if len(title) > 70 else title
        place = f"{click.style(one.id[:8], fg='cyan')}  {one.touched[:16].replace('T', ' ')}"
        click.echo(f"{place}  {one.length // 2:3} questions  {title}")
    if not found:
        click.echo("No conversations. Begin one: sourcebook chat")


def _show_turns(conversation: Conversation, last: int | None = None) -> None:
    from sourcebook.prompt.memory import REMOVED

    if conversation.summary and last is None:
        click.echo(click.style(f"Summary of turns 1 to {conversation.summarised}", bold=True))
        click.echo(f"{conversation.summary}\n")
    for turn in conversation.turns[-last:] if last else conversation.turns:
        if turn.role == "user":
            click.echo(f"{click.style('>', fg='green', bold=True)} {turn.text}")
        elif turn.removed:
            click.echo(click.style(f"{REMOVED}\n", dim=True))
        else:
            click.echo(f"{turn.text or 'I do not know: nothing in the documents supports an answer.'}\n")


_WHOLE_ID = 32  # letters of a conversation's id
