"""The keys of providers: key set, key list, key remove."""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING

import click

from sourcebook.commands.base import MISSING, home_option, json_option, print_json

if TYPE_CHECKING:
    from sourcebook.models.keys import Keys


@click.group()
def key() -> None:
    """Keep the keys of model providers. They stand in the environment or in the book's folder, never in settings.

    PROVIDER is what stands before the colon of a model's URL ("openai"), or the host of one that begins with https;
    or the whole URL of a model.
    """


@key.command(name="set")
@click.argument("provider")
@click.option("--encrypt", is_flag=True, help="Into the store that a passphrase opens (SOURCEBOOK_KEY_PASSPHRASE)")
@home_option
def set_key(provider: str, encrypt: bool, own_home: str | None) -> None:
    """Keep the key of PROVIDER; it is asked for, or read from standard input. Nobody else can read the file."""
    keys = _keys(own_home)
    provider = _named(provider)
    said = click.prompt(f"Key for {provider}", hide_input=True) if sys.stdin.isatty() else sys.stdin.readline()
    if encrypt:
        path = keys.encrypt(provider, said, _passphrase(new=not keys.store().names()))
    else:
        path = keys.write(provider, said)
    click.echo(f"Kept in {path}")
    [first] = [one for one in keys.places({provider: _variables(provider)}) if one.provider == provider]
    if first.place.startswith("environment"):
        click.echo(f"The {first.place} comes before it: unset that to use this one", err=True)


@key.command(name="list")
@home_option
@json_option
def list_keys(own_home: str | None, as_json: bool) -> None:
    """Which providers have a key, and where. Keys themselves are never shown."""
    from sourcebook.models.providers import PRESETS

    places = _keys(own_home).places({name: preset.keys for name, preset in PRESETS.items()})
    if as_json:
        print_json([{"provider": one.provider, "place": one.place} for one in places])
        return
    width = max((len(one.provider) for one in places), default=0)
    for one in places:
        click.echo(f"{one.provider:{width}}  {one.place}")
    if not places:
        click.echo("There are no keys. Set one: sourcebook key set PROVIDER")


@key.command(name="remove")
@click.argument("provider")
@home_option
def remove_key(provider: str, own_home: str | None) -> None:
    """Forget the key of PROVIDER. One in the environment stays."""
    provider = _named(provider)
    files = _keys(own_home).remove(provider, passphrase=_passphrase)
    if not files:
        click.echo(f"The book has no key for {provider}", err=True)
        sys.exit(MISSING)
    click.echo(f"Removed from {' and '.join(files)}")


def _keys(own_home: str | None) -> Keys:
    from sourcebook.book import find_home
    from sourcebook.models.keys import Keys

    return Keys(find_home(own_home or click.get_current_context().find_root().obj))


def _variables(provider: str) -> tuple[str, ...]:
    from sourcebook.models.providers import PRESETS

    return PRESETS[provider].keys if provider in PRESETS else ()


def _named(said: str) -> str:
    """What a key is kept under: a provider's name, or a host. A slip should not end as a key that nobody finds."""
    from sourcebook.errors import ConfigError
    from sourcebook.models.keys import looks_like_key
    from sourcebook.models.providers import PRESETS

    if looks_like_key(said):
        raise ConfigError(
            "This looks like a key, and it stands in the history of your shell now",
            remedy="Have the vendor replace it, and write: sourcebook key set PROVIDER",
        )
    provider = said.partition(":")[0]
    if provider in PRESETS:
        return provider
    host = said.partition("://")[2] or said
    host = re.split(r"[/?#]", host, maxsplit=1)[0].rpartition("@")[2]
    if not any(mark in host for mark in ".:") and host != "localhost":
        raise ConfigError(f"{host!r} is neither a provider nor a host", remedy=f"Known: {', '.join(sorted(PRESETS))}")
    return host


def _passphrase(*, new: bool = False) -> str:
    from sourcebook.models.keystore import PASSPHRASE

    if found := os.environ.get(PASSPHRASE):
        return found
    said: str = click.prompt("Passphrase of the key store", hide_input=True, confirmation_prompt=new)
    return said
