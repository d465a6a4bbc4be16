"""Writes docs/providers/: a page for each provider of models, and the table of what each can do.

    python docs/providers.py            writes the pages
    python docs/providers.py --check    ends with 1 if one is not what the program says

Everything comes from the table of presets, and from the capabilities that the wire formats declare and that
`sourcebook.testing.wire` holds them to.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from textwrap import fill

from sourcebook.models.base import Capabilities
from sourcebook.models.opening import ANY, OPTIONS, read_url, wire_format
from sourcebook.models.providers import PRESETS, Preset
from sourcebook.models.wire import Target

FOLDER = Path(__file__).resolve().parent / "providers"
CAN: Mapping[str, str] = {
    "streams": "streams",
    "tools": "tools",
    "images": "images",
    "schema": "JSON schema",
    "reasoning": "reasoning",
    "logprobs": "log probabilities",
    "continues": "continues a reply",
    "caches": "prompt-caching marks",
    "seed": "seed",
}
"""Capability -> column; `cites` is of models in this process only."""
YES, NO = "yes", "–"


def pages() -> dict[str, str]:
    """File name -> text, of the whole folder."""
    rows = {**PRESETS, "https": ANY}
    return {"README.md": _overview(rows), **{f"{name}.md": _page(name, preset) for name, preset in rows.items()}}


def capabilities(name: str, preset: Preset) -> Capabilities:
    """What the format of a provider declares, for the model of its example."""
    read = read_url(preset.example)
    target = Target(
        provider=name,
        base="https://example.com",
        model=read.model,
        key="key:key",
        options={**{option: option for option in _needed(preset)}, **preset.defaults, **read.options},
    )
    return wire_format(preset, target).capabilities


def _needed(preset: Preset) -> list[str]:
    """Options without which a base cannot be written."""
    return [option for option in preset.options if f"{{{option}}}" in preset.base]


def _overview(rows: Mapping[str, Preset]) -> str:
    assert {one.name for one in fields(Capabilities)} == {*CAN, "cites", "local"}
    lines = [
        "# Providers of models",
        "",
        _written(),
        "",
        "A model is named by a URL: the setting `parts.model`, or wherever else a model can be named.",
        "",
        "```text",
        "PROVIDER:MODEL?option=value&...",
        "https://HOST/PATH?model=MODEL&option=value&...",
        "```",
        "",
        "The first form is one of the providers below. The second is any server that speaks OpenAI's chat completions.",
        "In process, without a server, runs `llama:/path/model.gguf`. Nothing is sent before the first question.",
        "",
        "## Options",
        "",
        "Every URL may have these; what else there is stands on the provider's page. An unknown option is an error.",
        "Characters that mean something in a URL (`&`, `?`, `%`, `#`) are written as `%26`, `%3F`, `%25`, `%23`.",
        "",
        "| option | meaning |",
        "| --- | --- |",
        *(f"| `{option}` | {meaning} |" for option, meaning in OPTIONS.items()),
        "",
        *_KEYS,
        "## What they can do",
        "",
        "What the format can carry, for the model of the example; a model may do less. Where more is known of a model",
        "([models.toml](../../src/sourcebook/models/cost/models.toml)), it counts. The suite",
        "`sourcebook.testing.wire` proves each of these against a double of the vendor.",
        "",
        f"| provider | {' | '.join(CAN.values())} |",
        f"| --- |{' --- |' * len(CAN)}",
    ]
    for name, preset in sorted(rows.items()):
        can = capabilities(name, preset)
        cells = [YES if getattr(can, one) else NO for one in CAN]
        lines.append(f"| [{preset.title}]({name}.md) | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


_KEYS = (
    "## Keys",
    "",
    "A key is looked for in this order, and the first that is found is used:",
    "",
    "1. the environment variable that the URL names with `key_env`, and then nowhere else;",
    "2. the environment variables that the provider's page names;",
    "3. `keys.toml` in the book's folder, which only its owner may be able to read: others' being able to is an error;",
    "4. `keys.enc` in the book's folder, encrypted; `SOURCEBOOK_KEY_PASSPHRASE` or a question opens it. It needs",
    '   `pip install "sourcebook[keys]"`.',
    "",
    "`sourcebook key set PROVIDER` asks for a key and keeps it in `keys.toml`, with `--encrypt` in `keys.enc`;",
    "`sourcebook key list` says where keys are, without showing them; `sourcebook key remove PROVIDER` forgets one.",
    "For a server that is named by its address, PROVIDER is its host, with the port if there is one.",
    "",
    "A key never stands in `sourcebook.toml`: what looks like one there, or in a model's URL, is an error. Keys are",
    "kept out of messages, logs and the records of answers, also where a vendor quotes them.",
    "",
)


def _page(name: str, preset: Preset) -> str:
    can = capabilities(name, preset)
    lines = [
        f"# {preset.title}",
        "",
        _written(),
        "",
        *([fill(preset.notes, 118, break_long_words=False, break_on_hyphens=False), ""] if preset.notes else []),
        "```toml",
        "[parts]",
        f'model = "{preset.example}"',
        "```",
        "",
        "| | |",
        "| --- | --- |",
        f"| where | {_place(preset)} |",
        f"| key | {_key(name, preset)} |",
        f"| window | {preset.window:,} tokens, if neither `window` nor what is known of the model says otherwise |",
        f"| silence borne | {preset.timeout:g} seconds, if `timeout` does not say otherwise |",
        f"| after | <https://{preset.source}> |",
        "",
    ]
    if preset.options:
        lines += ["## Options", "", "Besides [those of every URL](README.md#options):", ""]
        lines += ["| option | meaning | environment | default |", "| --- | --- | --- | --- |"]
        for option, meaning in preset.options.items():
            variables = ", ".join(f"`{one}`" for one in preset.environment.get(option, ()))
            default = f"`{preset.defaults[option]}`" if option in preset.defaults else ""
            lines.append(f"| `{option}` | {meaning} | {variables} | {default} |")
        lines.append("")
    lines += ["## What it can do", ""]
    yes = [title for one, title in CAN.items() if getattr(can, one)]
    no = [title for one, title in CAN.items() if not getattr(can, one)]
    lines += [f"- {', '.join(yes)}", *([f"- not: {', '.join(no)}"] if no else []), ""]
    return "\n".join(lines)


def _place(preset: Preset) -> str:
    variables = ", ".join(f"`{one}`" for one in preset.environment.get("base", ()))
    named = f"`base`, else {variables}" if variables else "`base`"
    if preset is ANY:
        return "the URL itself"
    if not preset.base:
        return f"{named}; there is no default"
    return f"`{preset.base}{preset.root}`; elsewhere by {named}"


def _key(name: str, preset: Preset) -> str:
    ways = [" with ".join(f"`{one.removesuffix('?')}`" for one in names.split(":")) for names in preset.keys]
    ways.append(f"`sourcebook key set {'HOST' if preset is ANY else name}`")
    if preset.keys_as:
        ways.append(f"what is kept for `{preset.keys_as}`")
    needed = "needed" if preset.key_needed else "only if the server wants one"
    return f"{needed}: {', or '.join(ways)}"


def _written() -> str:
    return "<!-- Written by docs/providers.py: change the table of presets, not this page. -->"


def findings(folder: Path = FOLDER) -> list[str]:
    """What in the folder is not as `pages` has it."""
    wanted = pages()
    there = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.md")}
    return [
        f"docs/providers/{name} is not what the program says; run: python docs/providers.py"
        for name in sorted({*wanted, *there})
        if wanted.get(name) != there.get(name)
    ]


def write(folder: Path = FOLDER) -> None:
    """Bring the folder up to date."""
    folder.mkdir(exist_ok=True)
    wanted = pages()
    for path in folder.glob("*.md"):
        if path.name not in wanted:
            path.unlink()
    for name, text in wanted.items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    if "--check" in sys.argv:
        found = findings()
        sys.stderr.writelines(f"{one}\n" for one in found)
        sys.exit(1 if found else 0)
    write()
