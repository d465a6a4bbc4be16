"""A model's URL -> the model.

    PROVIDER:MODEL?option=value&...      openai:gpt-4o   ollama:llama3.2:3b   vllm:Qwen/Qwen3-8B?base=http://gpu:8000
    http(s)://HOST/PATH?model=MODEL&...  anything that speaks OpenAI's chat completions below that path

Options that every URL may have: base (where the provider is), key_env (the environment variable with the key), window
(tokens), timeout (seconds of silence), header.NAME (sent with every call), header_env.NAME (the same, from an
environment variable). What else there is depends on the provider.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from sourcebook.errors import ConfigError
from sourcebook.models.base import Capabilities
from sourcebook.models.formats.openai_chat import Dialect
from sourcebook.models.http import HttpModel
from sourcebook.models.keys import Keys, looks_like_key
from sourcebook.models.providers import CONTINUES_AS_VLLM, PRESETS, Preset, payee
from sourcebook.models.wire import Target, WireFormat

OPTIONS: Mapping[str, str] = {
    "base": "where the provider is: a URL, without the path of the call",
    "key_env": "the environment variable that holds the key",
    "window": "tokens of prompt and answer",
    "timeout": "seconds of silence after which a reply counts as broken off",
    "header.NAME": "a header that is sent with every call",
    "header_env.NAME": "the same, its value from an environment variable",
}
"""What every model's URL may have: option -> meaning."""

ANY = Preset(
    title="Any OpenAI-compatible URL",
    example="https://llm.example.com/v1?model=my-model",
    source="platform.openai.com/docs/api-reference/chat",
    dialect=Dialect(),
    key_needed=False,
    options={
        "limit": "the field that bounds the reply's tokens (default `max_tokens`; newer ones `max_completion_tokens`)",
        "usage": "`false`: a stream's tokens are not asked for (`stream_options`), which old servers refuse",
        "effort": "`true`: the server takes `reasoning_effort`",
        "continues": "whether the server goes on with a reply that was begun: `plain`, with nothing more to be said "
        "(llama.cpp), or `vllm`, if it is told to by the fields of vLLM",
        "thoughts": "the field that takes back what was thought before a tool call (`reasoning_content`)",
    },
    choices={
        "limit": ("max_tokens", "max_completion_tokens"),
        "usage": ("true", "false"),
        "effort": ("true", "false"),
        "continues": ("plain", "vllm"),
    },
    notes="Whatever answers `POST {URL}/chat/completions`. Its key is `key_env`, or what `sourcebook key set HOST` "
    "keeps for the host; keys of other providers are never sent there.",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelUrl:
    """A model's URL, read. provider: the preset's name, or the host. base: of an http URL, else ""."""

    provider: str
    model: str
    options: Mapping[str, str]
    base: str = ""


class KnownModel(Protocol):
    """What the data on models says of one. can: of "tools", "images", "schema", "reasoning"; empty: not known."""

    @property
    def window(self) -> int:
        """Tokens of prompt and answer; 0: not known."""
        ...

    @property
    def tokenizer(self) -> str:
        """Its name; "": not known."""
        ...

    @property
    def can(self) -> frozenset[str]:
        """What the model can do."""
        ...


class TokenCounter(Protocol):
    """What counts tokens."""

    @property
    def name(self) -> str:
        """The tokenizer's."""
        ...

    def count(self, text: str) -> int:
        """Tokens of a text."""
        ...


def open_http(
    url: str,
    *,
    home: Path | None = None,
    count: Callable[[str], TokenCounter] | None = None,
    known: Callable[[str, str], KnownModel | None] | None = None,
    environment: Mapping[str, str] | None = None,
    ask: Callable[[str], str] | None = None,
    keyless: bool = False,
    **_: object,
) -> HttpModel:
    """For `model = "openai:gpt-4o"` and every other model behind HTTP.

    home: the book's folder, where keys may be. count: tokenizer -> what counts by it. known: (provider, model) ->
    what is known of the model. environment: in place of the process's. ask: asks a person for the passphrase.
    keyless: only to be looked at, so that no key is looked for. Nothing is sent.
    Errors: ConfigError for a URL that is wrong, NotAuthorised if there is no key.
    """
    environment = os.environ if environment is None else environment
    read = read_url(url)
    preset = PRESETS.get(read.provider, ANY) if not read.base else ANY
    options = _options(read, preset, environment, url)
    found = None if known is None else known(payee(read.provider), read.model)
    window = _window(read, preset, found, url)
    if preset.window_option:
        options[preset.window_option] = str(window)
    key_env = options.pop("key_env", "")
    keys = Keys(home, environment=environment, ask=ask)
    if keyless:
        key = ""
    elif preset.key_needed:
        key = keys.need(read.provider, preset.keys, key_env=key_env, kept_as=preset.keys_as)
    else:
        key = keys.find(read.provider, preset.keys, key_env=key_env, kept_as=preset.keys_as) or ""
    base = _base(read, preset, options, url)
    target = Target(
        provider=read.provider,
        base=base,
        model=read.model,
        key=key,
        headers=_headers(read, preset, options, environment, url),
        options=options,
    )
    wire = wire_format(preset, target)
    counter = _Words() if count is None else count(found.tokenizer if found else "")
    return HttpModel(
        wire,
        provider=read.provider,
        model=read.model,
        place=urlsplit(base).netloc if "base" in read.options and base != preset.base else "",
        window=window,
        count=counter.count,
        counted_by=counter.name,
        capabilities=_narrowed(wire.capabilities, found),
        idle_seconds=_number(read, "timeout", url) or preset.timeout,
        secrets=(key, *_secret_headers(read, environment)),
    )


def read_url(url: str) -> ModelUrl:
    """A model's URL in its parts. Errors: ConfigError."""
    address, _, query = url.partition("?")
    if looks_like_key(url):
        raise ConfigError(
            f"The URL of the model {address.partition(':')[0]}:... holds what looks like a key",
            remedy="Take it out and run: sourcebook key set PROVIDER",
        )
    options: dict[str, str] = {}
    for name, value in parse_qsl(query.replace("+", "%2B"), keep_blank_values=True):
        if not value:
            raise ConfigError(f"{_shown(url)}: {name} has no value", remedy=f"Write {name}=VALUE, or leave it out")
        if name in options:
            raise ConfigError(f"{_shown(url)} has {name} twice", remedy="Leave one")
        options[name] = value
    scheme, _, rest = address.partition(":")
    if scheme not in ("http", "https"):
        if scheme not in PRESETS:
            raise ConfigError(f"{_shown(url)} names no provider", remedy=f"Known: {', '.join(sorted(PRESETS))}")
        if not rest:
            raise ConfigError(f"{_shown(url)} names no model", remedy=f"Write for example {PRESETS[scheme].example}")
        return ModelUrl(provider=scheme, model=unquote(rest), options=options)
    base = _checked_base(address, url)
    model = options.pop("model", "")
    if not model:
        raise ConfigError(f"{_shown(url)} names no model", remedy=f"Write {base}?model=NAME")
    return ModelUrl(provider=urlsplit(base).netloc, model=model, options=options, base=base)


def wire_format(preset: Preset, target: Target) -> WireFormat:
    """The format that a preset names, for a target."""
    module, _, name = preset.format.partition(":")
    make: Callable[..., WireFormat] = getattr(import_module(f"sourcebook.models.formats.{module}"), name)
    if preset.dialect is None:
        return make(target)
    return make(target, adapted(preset.dialect, target.options) if preset is ANY else preset.dialect)


def adapted(dialect: Dialect, options: Mapping[str, str]) -> Dialect:
    """How a server that nobody knows speaks, as the options of its URL tell."""
    continues: Mapping[str, Mapping[str, object]] = {"plain": {}, "vllm": CONTINUES_AS_VLLM}
    return replace(
        dialect,
        limit=options.get("limit", dialect.limit),
        usage_option=options.get("usage") != "false",
        effort=options.get("effort") == "true",
        continues=continues.get(options.get("continues", "")),
        thoughts=options.get("thoughts", ""),
    )


# --- options ------------------------------------------------------------------------------------------------------


def _options(read: ModelUrl, preset: Preset, environment: Mapping[str, str], url: str) -> dict[str, str]:
    """Those of the URL, then of the environment, then the preset's own."""
    for name in read.options:
        prefix = re.match(r"header(?:_env)?\.(?=.)", name)
        if not prefix and name not in OPTIONS and name not in preset.options:
            if re.search(r"key|token|secret|password", name):
                raise ConfigError(
                    f"{_shown(url)} has an option {name!r}: keys do not belong into settings",
                    remedy=f"Run: sourcebook key set {read.provider}",
                )
            known = ", ".join([*OPTIONS, *preset.options])
            raise ConfigError(f"{_shown(url)} has an unknown option {name!r}", remedy=f"Known: {known}")
    options = dict(read.options)
    for name, variables in preset.environment.items():
        for variable in variables:
            if value := environment.get(variable, "").strip():
                options.setdefault(name, value)
    for name, values in preset.choices.items():
        if (said := options.get(name, values[0])) not in values:
            raise ConfigError(f"{_shown(url)}: {name} is {said!r}", remedy=f"It may be: {', '.join(values)}")
    return {**preset.defaults, **options}


def _base(read: ModelUrl, preset: Preset, options: Mapping[str, str], url: str) -> str:
    if read.base:
        return read.base
    base = options.get("base", "") or preset.base
    if not base:
        variables = preset.environment.get("base", ())
        also = f", or set {variables[0]}" if variables else ""
        raise ConfigError(f"{_shown(url)} does not say where {preset.title} is", remedy=f"Add ?base=https://...{also}")
    if "base" not in options:
        missing = [name for name in re.findall(r"{(\w+)}", base) if name not in options]
        if missing:
            variables = preset.environment.get(missing[0], ())
            also = f", or set {variables[0]}" if variables else ""
            raise ConfigError(f"{_shown(url)} has no {missing[0]}", remedy=f"Add ?{missing[0]}=...{also}")
        base = base.format(**{name: quote(value, safe="") for name, value in options.items()})
    if "://" not in base:  # as the variables of some vendors have it
        base = f"{'http' if preset.base.startswith('http:') else 'https'}://{base}"
        if preset.port and urlsplit(_checked_base(base, url)).port is None:
            base = re.sub(r"(//[^/]*)", rf"\1:{preset.port}", base.rstrip(":"), count=1)
    base = _checked_base(base, url).removesuffix(preset.without)
    return base + preset.root if preset.root and not urlsplit(base).path else base


def _checked_base(base: str, url: str) -> str:
    """A base URL without a slash at its end. Errors: ConfigError."""
    try:
        parts = urlsplit(base)
        if parts.username or parts.password:
            raise ConfigError(
                f"The URL of {parts.hostname} holds a user or a password",
                remedy=f"Take it out and run: sourcebook key set {parts.hostname}",
            )
        parts.port  # noqa: B018  which raises for a port that is none
    except ValueError:
        raise ConfigError(f"{_shown(url)} is not a URL", remedy="Correct it") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ConfigError(f"{_shown(base)} is not the address of a server", remedy="Write for example https://host/v1")
    return base.rstrip("/")


_SECRET: Final = re.compile(r"auth|key|token|secret|cookie|password", re.IGNORECASE)


def _headers(
    read: ModelUrl, preset: Preset, options: Mapping[str, str], environment: Mapping[str, str], url: str
) -> dict[str, str]:
    headers = {header: options[option] for header, option in preset.headers.items() if option in options}
    for option, value in read.options.items():
        kind, _, name = option.partition(".")
        if kind == "header_env":
            if not environment.get(value):
                raise ConfigError(f"{_shown(url)}: the environment variable {value} is not set", remedy=f"Set {value}")
            headers[name] = environment[value].strip()
        elif kind == "header":
            if _SECRET.search(name):
                raise ConfigError(
                    f"{_shown(url)} has a secret header {name}",
                    remedy=f"Put its value into an environment variable and write header_env.{name}=VARIABLE",
                )
            headers[name] = value
    for name, value in headers.items():
        if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name) or not value.isprintable():
            raise ConfigError(f"{name!r} is not a header", remedy="Correct the model's URL")
    return headers


def _secret_headers(read: ModelUrl, environment: Mapping[str, str]) -> list[str]:
    """The values of headers that come from the environment, which `_headers` has found there."""
    return [environment[name].strip() for option, name in read.options.items() if option.startswith("header_env.")]


def _shown(url: str) -> str:
    """A URL for a message: without what people put keys into, its query and the part before an "@"."""
    address = re.split(r"[?#]", url, maxsplit=1)[0]
    return repr(re.sub(r"//.*@", "//", address))


def _number(read: ModelUrl, name: str, url: str) -> float | None:
    said = read.options.get(name)
    if said is None:
        return None
    if not re.fullmatch(r"\d+" if name != "timeout" else r"\d+(\.\d+)?", said) or float(said) <= 0:
        raise ConfigError(f"{_shown(url)}: {name} is {said!r}", remedy="Write a number above 0")
    return float(said)


def _window(read: ModelUrl, preset: Preset, found: KnownModel | None, url: str) -> int:
    """As the URL says, else as the model is known, else the preset's."""
    known = found.window if found else 0
    told = preset.window_option and _number(read, preset.window_option, url)
    said = _number(read, "window", url) or told
    if not said and preset.window_option:
        return min(preset.window, known or preset.window)
    return int(said or known or preset.window)


def _narrowed(can: Capabilities, found: KnownModel | None) -> Capabilities:
    """What the format can, and the model too, where it is known what that can."""
    if found is None or not found.can:
        return can
    return replace(
        can,
        tools=can.tools and "tools" in found.can,
        images=can.images and "images" in found.can,
        schema=can.schema and "schema" in found.can,
        reasoning=can.reasoning and "reasoning" in found.can,
    )


class _Words:
    """Counts from above where no counter is given: three bytes of UTF-8 are a token, and each word is one."""

    name = "estimate"

    def count(self, text: str) -> int:
        return max(len(text.split()), -(-len(text.encode("utf-8", "replace")) // 3))
