"""Which class stands behind a URL: one table of names, and one door for everyone.

A name is what stands before the colon of a URL ("qdrant:./index") or a URL without one ("minilm"). Built-ins are
rows of the table; a package of somebody else registers the same way, as an entry point of the group
"sourcebook.<box>": name = "module:function". What is found is called with (url, context) and gives the part.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from sourcebook.errors import ConfigError, MissingExtra


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a part is made. path: "module:function"; extra: what pip installs it with, if not by default."""

    path: str
    extra: str | None = None


_BEHIND_HTTP = (
    "anthropic", "anyscale", "azure", "azure-responses", "bedrock", "cerebras", "cohere", "databricks", "deepseek",
    "fireworks", "gemini", "groq", "http", "https", "huggingface", "llama-server", "lmstudio", "mistral", "modal",
    "nvidia", "ollama", "openai", "openai-responses", "openrouter", "replicate", "runpod", "tgi", "tgi-chat",
    "together", "vertex", "vllm", "xai",
)  # fmt: skip

_OF_MODELS = {
    "extractive": Entry("sourcebook.models.extractive:open_extractive"),
    "langchain": Entry("sourcebook.interop.langchain:open_langchain", extra="langchain"),
    "llama": Entry("sourcebook.models.llama:open_llama", extra="llama"),
    "llamaindex": Entry("sourcebook.interop.llamaindex:open_llamaindex", extra="llamaindex"),
}

BUILT_IN: dict[str, dict[str, Entry]] = {
    "embed": {
        "hashing": Entry("sourcebook.embed.hashing:open_hashing"),
        "minilm": Entry("sourcebook.embed.minilm:open_minilm"),
    },
    "index": {
        "flat": Entry("sourcebook.index.flat:open_flat"),
        "qdrant": Entry("sourcebook.index.qdrant_edge:open_qdrant_edge"),
    },
    "model": {
        name: _OF_MODELS.get(name, Entry("sourcebook.models.opening:open_http"))
        for name in sorted({*_BEHIND_HTTP, *_OF_MODELS})
    },
    "source": {
        "file": Entry("sourcebook.sources.files:open_files"),
    },
}


def find(box: str, url: str) -> Callable[..., Any]:
    """The function that makes the part which `url` names. Errors: ConfigError, MissingExtra."""
    name = name_of(url)
    entry = BUILT_IN[box].get(name) or _from_outside(box, name)
    if entry is None:
        known = ", ".join(sorted(BUILT_IN[box]))
        raise ConfigError(f"Nothing is registered for {box} = {url!r}", remedy=f"Known names: {known}")
    module, _, function = entry.path.partition(":")
    try:
        found: Callable[..., Any] = getattr(import_module(module), function)
    except (ImportError, AttributeError) as error:
        if entry.extra is not None:
            raise MissingExtra.of(f"{box} = {url!r}", entry.extra) from error
        raise ConfigError(f"{box} = {url!r} cannot be loaded: {error}", remedy="Install its package again") from error
    return found


def attribute_of(place: str) -> object:
    """What stands at "package.module:attribute", or at "package.module:attribute.of.it".

    The module is imported as Python does it. Errors: ImportError, AttributeError; ValueError if it is no such place.
    """
    module, _, path = place.partition(":")
    if not module or not path:
        raise ValueError(f"{place!r} is not written as package.module:attribute")
    found: object = import_module(module)
    for name in path.split("."):
        found = getattr(found, name)
    return found


def name_of(url: str) -> str:
    """What stands before the colon of a URL; the whole of it if there is none."""
    return url.partition(":")[0]


def _from_outside(box: str, name: str) -> Entry | None:
    from importlib.metadata import entry_points

    for point in entry_points(group=f"sourcebook.{box}", name=name):
        return Entry(point.value)
    return None
