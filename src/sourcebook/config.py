"""One sourcebook.toml -> one frozen Config. The environment overrides the file, arguments override both.

Every setting is a field below; docs/configuration.md is checked against them. A setting `tokens` of the section
`chunk` is `SOURCEBOOK_CHUNK_TOKENS` in the environment.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from math import isfinite
from pathlib import Path
from typing import Any, get_type_hints

from sourcebook.errors import ConfigError

FILE = "sourcebook.toml"


@dataclass(frozen=True, kw_only=True, slots=True)
class Parts:
    """Which part stands in which box, by URL or name."""

    catalog: str = "sqlite:catalog.db"
    index: str = "qdrant:index"
    embed: str = "minilm"
    model: str = "extractive"


@dataclass(frozen=True, kw_only=True, slots=True)
class Parse:
    """How much of one document is read before it fails as too large.

    max_bytes: size of the file. max_text: characters of parsed text. max_rows: rows of all its tables together.
    max_seconds: wall time of parsing. max_memory: bytes that a worker process may allocate.
    max_expansion: bytes that an archive (Office files are archives) may unpack to. max_ratio: unpacked over packed
    size of an archive, heeded past 10 MB. inline_bytes: text files up to this size are parsed without a worker.
    workers: processes that parse PDF, Office, mail and images; 0 means one for each core.
    """

    max_bytes: int = 200_000_000
    max_text: int = 50_000_000
    max_rows: int = 1_000_000
    max_seconds: float = 120.0
    max_memory: int = 2_000_000_000
    max_expansion: int = 1_000_000_000
    max_ratio: int = 200
    inline_bytes: int = 1_000_000
    workers: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Chunk:
    """How documents are cut. tokens: budget of a passage, by the embedder's tokenizer; overlap: tokens repeated."""

    tokens: int = 256
    overlap: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Embed:
    """How the local embedder runs. threads: cores it uses; 0 means all."""

    threads: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Retrieve:
    """How passages are found.

    fusion: "standardised" (scores of both channels are standardised and summed) or "rrf" (reciprocal ranks).
    closeness: with "standardised", how much it counts that the question's words stand close together; 0: not.
    dense, keyword: weights of the channels for languages that the embedder knows; in other languages the dense
    channel gets `dense_foreign`. candidates: proposals taken from each channel.
    merge: join neighbouring passages into one hit. fold: show near-duplicates once. decompose: a question that asks
    several things is searched for part by part when it is answered.
    """

    fusion: str = "standardised"
    dense: float = 0.55
    keyword: float = 0.45
    dense_foreign: float = 0.0
    candidates: int = 50
    closeness: float = 2.0
    merge: bool = True
    fold: bool = True
    decompose: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """How questions are answered. passages: evidence handed to the model; sentences: an answer's length at most."""

    passages: int = 8
    sentences: int = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompt:
    """How the prompt for a model that generates is made, and how its reply is read; docs/prompts.md tells more.

    template: its name. output_tokens: reserved for the reply, and at most a quarter of the window.
    passage_tokens: for passages, at most. examples: questions with good answers, at most.
    diversity: from 0 to 1, how much less a passage is worth that says what a chosen one does.
    order: "ends" (the strongest passages first and last) or "best-first". cut: a passage may go in in part.
    attribute: a sentence without a marker is given the source that supports it, if there is one.
    support: probability from which a sentence counts as supported. unsupported: "mark" or "leave-out".
    """

    template: str = "answer"
    output_tokens: int = 1024
    passage_tokens: int = 4000
    examples: int = 3
    diversity: float = 0.5
    order: str = "ends"
    cut: bool = True
    attribute: bool = True
    support: float = 0.3
    unsupported: str = "mark"


@dataclass(frozen=True, kw_only=True, slots=True)
class Memory:
    """What conversations bring into a prompt.

    window: tokens of the last turns, verbatim. summary: tokens of the summary of those before.
    facts: what users have said of themselves, recalled at most, and as many preferences; 0: none.
    threshold: similarity, from 0 to 1, that a fact must have to the question. learn: whether facts are looked for.
    rewrite: whether a question is rewritten to stand alone before passages are searched; seconds: for that call.
    """

    window: int = 1500
    summary: int = 300
    facts: int = 5
    threshold: float = 0.3
    learn: bool = True
    rewrite: bool = True
    seconds: float = 10.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """How the model is called, and which models stand in for each other; docs/routing.md tells more.

    models: URLs in order, used where parts.model is "route:"; what stands behind a # overrides settings for one of
    them. strategy: "fallback", "cascade" (the first is the cheap one), "split", "cheapest" or "fastest".
    split_by: "tenant" or "account", whose calls all go to the same model; "": chance.
    attempts: calls of one model, retries included; retry_seconds: after which it is not asked again.
    elsewhere: the terminal errors with which the next model is tried. rounds: times that a reply which breaks off
    may go through the models.
    breaker_failures: failures in a row after which a model is left alone for breaker_seconds; 0: never.
    concurrency, requests_per_minute, tokens_per_minute: of each model; 0: no limit. queue_seconds: wait for a turn.
    hedge_percentile: a second call goes out when a reply begins later than this share, in percent, of the latest.
    cascade_confidence, cascade_probability, cascade_agreement: from 0 to 1; below it, the strong model is asked.
    cascade_reasons: ends of the cheap reply with which it is asked, too.
    deadline_seconds: for a request without a deadline. first_seconds, idle_seconds: silence before and within a
    reply after which the model is given up. 0 switches any of these off.
    """

    models: tuple[str, ...] = ()
    strategy: str = "fallback"
    split_by: str = ""
    attempts: int = 3
    retry_seconds: float = 20.0
    elsewhere: tuple[str, ...] = (
        "NotAuthorised",
        "NoSuchModel",
        "ContextTooLong",
        "QuotaExhausted",
        "Refused",
        "InvalidReply",
    )
    rounds: int = 2
    breaker_failures: int = 5
    breaker_seconds: float = 30.0
    concurrency: int = 0
    requests_per_minute: int = 0
    tokens_per_minute: int = 0
    queue_seconds: float = 0.0
    hedge_percentile: float = 0.0
    cascade_confidence: float = 0.3
    cascade_probability: float = 0.7
    cascade_agreement: float = 0.0
    cascade_reasons: tuple[str, ...] = ("unknown", "length", "filtered")
    deadline_seconds: float = 120.0
    first_seconds: float = 60.0
    idle_seconds: float = 30.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Tables:
    """What one SQL query over the tables of documents may take.

    max_seconds: of time, loading of tables not counted. max_memory: bytes for the tables and the query.
    max_rows, max_characters: of the result that a model is given, which is cut there. max_cell: characters of one
    cell. threads: at work on a query.
    """

    max_seconds: float = 10.0
    max_memory: int = 1_000_000_000
    max_rows: int = 200
    max_characters: int = 16_000
    max_cell: int = 2_000
    threads: int = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Sources:
    """Which files are taken. hidden: also those whose names start with a dot."""

    hidden: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Agent:
    """The tools of a model that generates, and what one run of the agent loop may take; docs/tools.md tells more.

    tools: "search", "tables", "python:package.module:function", "openapi:URL", "mcp:URL" or "mcp:COMMAND"; none: the
    model answers at once, from the passages that were found.
    steps: calls of the model; the last one has to answer. tokens: of all prompts and replies. seconds: of time.
    cost: micro-US-dollars. parallel: tool calls at once. repeats: how often the very same call is really made.
    tool_seconds, tool_characters: time of one tool call, and length of its result.
    """

    tools: tuple[str, ...] = ()
    steps: int = 8
    tokens: int = 200_000
    seconds: float = 120.0
    cost: int = 500_000
    parallel: int = 4
    repeats: int = 1
    tool_seconds: float = 30.0
    tool_characters: int = 20_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """All settings of a book, section by section."""

    parts: Parts = field(default_factory=Parts)
    sources: Sources = field(default_factory=Sources)
    parse: Parse = field(default_factory=Parse)
    chunk: Chunk = field(default_factory=Chunk)
    embed: Embed = field(default_factory=Embed)
    retrieve: Retrieve = field(default_factory=Retrieve)
    answer: Answer = field(default_factory=Answer)
    prompt: Prompt = field(default_factory=Prompt)
    memory: Memory = field(default_factory=Memory)
    agent: Agent = field(default_factory=Agent)
    route: Route = field(default_factory=Route)
    tables: Tables = field(default_factory=Tables)


SECTIONS: Mapping[str, type] = {
    "parts": Parts,
    "sources": Sources,
    "parse": Parse,
    "chunk": Chunk,
    "embed": Embed,
    "retrieve": Retrieve,
    "answer": Answer,
    "prompt": Prompt,
    "memory": Memory,
    "agent": Agent,
    "route": Route,
    "tables": Tables,
}


def load(home: Path, environment: Mapping[str, str] | None = None) -> Config:
    """The settings of the book at `home`: defaults, then sourcebook.toml, then the environment.

    Errors: ConfigError, which names the file and the setting.
    """
    environment = os.environ if environment is None else environment
    written: dict[str, Any] = {}
    path = home / FILE
    if path.exists():
        try:
            written = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path} is not valid TOML: {error}", remedy="Correct the file") from error
        except OSError as error:
            raise ConfigError(f"{path} cannot be read: {error.strerror}", remedy="Check its permissions") from error
    if written:
        from sourcebook.models.keys import refuse_keys

        refuse_keys(written, str(path))
    for name in written:
        if name not in SECTIONS:
            raise ConfigError(f"{path} has an unknown section [{name}]", remedy=f"Known: {', '.join(SECTIONS)}")
    sections = {name: _section(kind, written.get(name, {}), environment, name, path) for name, kind in SECTIONS.items()}
    return _checked(Config(**sections))


def _section(kind: type, written: Any, environment: Mapping[str, str], name: str, path: Path) -> Any:
    if not isinstance(written, dict):
        raise ConfigError(f"{path}: {name} must be a section", remedy=f"Write [{name}] on a line of its own")
    types = get_type_hints(kind)
    for key in written:
        if key not in types:
            raise ConfigError(f"{path}: [{name}] has no setting {key!r}", remedy=f"Known: {', '.join(types)}")
    values: dict[str, Any] = {}
    for one in fields(kind):
        variable = f"SOURCEBOOK_{name}_{one.name}".upper()
        if variable in environment:
            values[one.name] = _from_text(environment[variable], types[one.name], variable)
        elif one.name in written:
            values[one.name] = _typed(written[one.name], types[one.name], f"{path}: {name}.{one.name}")
    return kind(**values)


def _from_text(text: str, kind: type, where: str) -> object:
    if kind == tuple[str, ...]:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    if kind is bool:
        if text.lower() in ("1", "true", "yes", "on"):
            return True
        if text.lower() in ("0", "false", "no", "off"):
            return False
        raise ConfigError(f"{where}={text!r} is neither true nor false", remedy="Use true or false")
    try:
        return kind(text)
    except ValueError as error:
        raise ConfigError(f"{where}={text!r} is not a {_KINDS[kind]}", remedy="Correct or unset it") from error


def _typed(value: object, kind: type, where: str) -> object:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind == tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise ConfigError(f"{where} must be a list of texts, not {value!r}", remedy="Correct the file")
        return tuple(value)
    if type(value) is not kind:
        raise ConfigError(f"{where} must be a {_KINDS[kind]}, not {value!r}", remedy="Correct the file")
    return value


_KINDS: Mapping[type, str] = {int: "whole number", float: "number", str: "text", bool: "true or false"}

_LEAST: Mapping[str, float] = {
    "parse.max_bytes": 1,
    "parse.max_text": 1,
    "parse.max_rows": 1,
    "parse.max_ratio": 1,
    "parse.inline_bytes": 0,
    "parse.max_seconds": 0.1,
    "parse.max_memory": 100_000_000,
    "parse.max_expansion": 1,
    "parse.workers": 0,
    "chunk.tokens": 16,
    "chunk.overlap": 0,
    "embed.threads": 0,
    "retrieve.dense": 0,
    "retrieve.keyword": 0,
    "retrieve.dense_foreign": 0,
    "retrieve.candidates": 1,
    "retrieve.closeness": 0,
    "answer.passages": 1,
    "answer.sentences": 1,
    "prompt.output_tokens": 16,
    "prompt.passage_tokens": 50,
    "prompt.examples": 0,
    "prompt.diversity": 0,
    "prompt.support": 0,
    "agent.steps": 1,
    "agent.tokens": 100,
    "agent.seconds": 0.1,
    "agent.cost": 1,
    "agent.parallel": 1,
    "agent.repeats": 1,
    "agent.tool_seconds": 0.1,
    "agent.tool_characters": 100,
    "memory.window": 50,
    "memory.summary": 50,
    "memory.facts": 0,
    "memory.threshold": 0,
    "memory.seconds": 0.1,
    "route.attempts": 1,
    "route.retry_seconds": 0,
    "route.rounds": 1,
    "route.breaker_failures": 0,
    "route.breaker_seconds": 0.01,
    "route.concurrency": 0,
    "route.requests_per_minute": 0,
    "route.tokens_per_minute": 0,
    "route.queue_seconds": 0,
    "route.hedge_percentile": 0,
    "route.cascade_confidence": 0,
    "route.cascade_probability": 0,
    "route.cascade_agreement": 0,
    "route.deadline_seconds": 0,
    "route.first_seconds": 0,
    "route.idle_seconds": 0,
    "tables.max_seconds": 0.1,
    "tables.max_memory": 50_000_000,
    "tables.max_rows": 1,
    "tables.max_characters": 100,
    "tables.max_cell": 10,
    "tables.threads": 1,
}


def _checked(config: Config) -> Config:
    for setting, least in _LEAST.items():
        section, name = setting.split(".")
        value = getattr(getattr(config, section), name)
        if not isfinite(value):
            raise ConfigError(f"{setting} is {value}, which is not a quantity", remedy="Use a number")
        if value < least:
            raise ConfigError(f"{setting} is {value}, but must be at least {least:g}", remedy="Raise it")
    if config.chunk.overlap * 2 > config.chunk.tokens:
        raise ConfigError(
            f"chunk.overlap ({config.chunk.overlap}) is more than half of chunk.tokens ({config.chunk.tokens})",
            remedy="Lower the overlap",
        )
    if config.retrieve.fusion not in ("standardised", "rrf"):
        raise ConfigError(f"retrieve.fusion is {config.retrieve.fusion!r}", remedy='Use "standardised" or "rrf"')
    if config.prompt.order not in ("ends", "best-first"):
        raise ConfigError(f"prompt.order is {config.prompt.order!r}", remedy='Use "ends" or "best-first"')
    if config.prompt.unsupported not in ("mark", "leave-out"):
        raise ConfigError(f"prompt.unsupported is {config.prompt.unsupported!r}", remedy='Use "mark" or "leave-out"')
    for name, share in (("diversity", config.prompt.diversity), ("support", config.prompt.support)):
        if share > 1:
            raise ConfigError(f"prompt.{name} is {share:g}, but must be at most 1", remedy="Lower it")
    if config.retrieve.dense + config.retrieve.keyword == 0:
        raise ConfigError("retrieve.dense and retrieve.keyword are both 0", remedy="Give one of them a weight")
    _check_route(config.route)
    return config


def _check_route(route: Route) -> None:
    for name, allowed in _ROUTE_WORDS.items():
        value = getattr(route, name)
        for word in (value,) if isinstance(value, str) else value:
            if word not in allowed:
                known = ", ".join(f'"{one}"' for one in allowed)
                raise ConfigError(f"route.{name} is {word!r}", remedy=f"Known: {known}")
    for name in ("cascade_confidence", "cascade_probability", "cascade_agreement"):
        if getattr(route, name) > 1:
            raise ConfigError(f"route.{name} is {getattr(route, name):g}, but 1 at most", remedy="Lower it")
    if route.hedge_percentile >= 100:
        raise ConfigError(f"route.hedge_percentile is {route.hedge_percentile:g}", remedy="Use less than 100, as 95")


_ROUTE_WORDS: Mapping[str, tuple[str, ...]] = {
    "strategy": ("fallback", "cascade", "split", "cheapest", "fastest"),
    "split_by": ("", "tenant", "account"),
    "elsewhere": (*Route().elsewhere, "InvalidRequest"),
    "cascade_reasons": ("unknown", "length", "filtered", "stop", "tool_calls"),
}


def template() -> str:
    """The text of a new sourcebook.toml: every setting with its default, commented out."""
    lines = [
        "# Settings of this book. Remove the # before a line to change it; docs/configuration.md explains each.",
        "",
    ]
    for name, kind in SECTIONS.items():
        lines.append(f"[{name}]")
        default = kind()
        lines.extend(f"# {one.name} = {_toml(getattr(default, one.name))}" for one in fields(kind))
        lines.append("")
    return "\n".join(lines)


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return f"[{', '.join(_toml(one) for one in value)}]"
    return f'"{value}"' if isinstance(value, str) else str(value)
