"""Which values settings may have."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite

from sourcebook.config.sections import Config, Route
from sourcebook.errors import ConfigError

LEAST: Mapping[str, float] = {
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
    "answer.keep_days": 0,
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


def check(config: Config) -> None:
    """Refuse settings that no book can work with. Errors: ConfigError, which names the setting."""
    for setting, least in LEAST.items():
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


def _check_route(route: Route) -> None:
    for name, allowed in ROUTE_WORDS.items():
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


ROUTE_WORDS: Mapping[str, tuple[str, ...]] = {
    "strategy": ("fallback", "cascade", "split", "cheapest", "fastest"),
    "split_by": ("", "tenant", "account"),
    "elsewhere": (*Route().elsewhere, "InvalidRequest"),
    "cascade_reasons": ("unknown", "length", "filtered", "stop", "tool_calls"),
}
