"""What is known of models: windows, tokenizers, prices. One dated file, `models.toml`, and the user's own beside it.

A row of the user's file wins over the rows that come with the package; what it leaves out is taken from the row it
is `like`, or from the packaged row for the same model. Prices are micro-US-dollars per million tokens, integers.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Any

from sourcebook.errors import ConfigError

FILE = "models.toml"
"""The user's own file, in the book's folder."""

_PACKAGED = Path(__file__).with_name("models.toml")


@dataclass(frozen=True, kw_only=True, slots=True)
class Rates:
    """Prices in micro-US-dollars per million tokens.

    cached: of prompt tokens read from the vendor's cache; cache_write: of those written to it; None: as `input`.
    above: prompt tokens above which these rates hold, for the whole call. since: the first day on which they do.
    """

    input: int
    output: int
    cached: int | None = None
    cache_write: int | None = None
    above: int = 0
    since: date = date.min


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageRule:
    """How a vendor turns a picture into tokens; the rules are those of `images.py`.

    name: "tiles", "patches", "pixels" or "fixed". base, tile, most: tokens. factor: hundredths. side: pixels.
    """

    name: str
    base: int = 0
    tile: int = 0
    most: int = 0
    factor: int = 100
    side: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Overhead:
    """Tokens that a vendor puts around what it is sent.

    message: for each. request: for each call. tools: once, if there are any. tool: for each of them.
    """

    message: int = 4
    request: int = 4
    tools: int = 20
    tool: int = 12


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownModel:
    """A model as the file has it.

    names: patterns of its name. as_of: the day for which the row can be vouched; source: the vendor's page. window:
    tokens of prompt and reply, 0 if not known; output: tokens of a reply at most. can: "tools", "images", "schema",
    "reasoning", "caching". free: it runs on the user's own machine. Without rates and not free: no price is known.
    """

    provider: str
    model: str
    names: tuple[str, ...]
    as_of: date
    source: str
    window: int = 0
    output: int = 0
    tokenizer: str = ""
    can: frozenset[str] = frozenset()
    rates: tuple[Rates, ...] = ()
    free: bool = False
    image: ImageRule | None = None
    overhead: Overhead = Overhead()
    own: bool = False

    @property
    def priced(self) -> bool:
        """Whether calls to it can be priced; a free one costs 0."""
        return self.free or bool(self.rates)

    def rates_for(self, prompt_tokens: int, day: date | None = None) -> Rates | None:
        """The rates of a call with a prompt of this length on a day (UTC; None: today); None if it is free."""
        if not self.rates:
            return None
        day = day or datetime.now(UTC).date()
        begun = [one.since for one in self.rates if one.since <= day]
        since = max(begun) if begun else min(one.since for one in self.rates)
        tiers = sorted((one for one in self.rates if one.since == since), key=lambda one: one.above)
        fitting = [one for one in tiers if one.above < max(prompt_tokens, 1)]
        return fitting[-1] if fitting else tiers[0]


def known(provider: str, model: str, extra: Path | None = None) -> KnownModel | None:
    """What is known of a model, by the names in its URL: ("openai", "gpt-4o"). None: nothing.

    A row fits a name that it has, the same with the date or number of a version behind it, or a pattern with "*";
    the closest fits best. extra: the user's file, which need not exist. Errors: ConfigError for a file that is wrong.
    """
    packaged = _rows(_PACKAGED, _stamp(_PACKAGED))
    found = _closest(packaged, provider, model)
    if extra is not None and (stamp := _stamp(extra)):
        own = _closest(_rows(extra, stamp), provider, model)
        if own is not None:
            found = _over(own, _like(own, packaged, extra) if "like" in own else found)
    return None if found is None else _model(found, provider, model)


def all_known(extra: Path | None = None) -> list[KnownModel]:
    """Every row, by provider and in the order of the files; the user's first."""
    packaged = _rows(_PACKAGED, _stamp(_PACKAGED))
    rows: list[Mapping[str, Any]] = []
    if extra is not None and (stamp := _stamp(extra)):
        for own in _rows(extra, stamp):
            first = own["names"][0]
            under = _like(own, packaged, extra) if "like" in own else _closest(packaged, own["provider"], first)
            rows.append(_over(own, under))
    rows += packaged
    return [_model(row, row["provider"], row["names"][0]) for row in sorted(rows, key=lambda row: row["provider"])]


# --- which row fits -------------------------------------------------------------------------------------------

_VERSION = re.compile(
    r"(?:-preview)?(?:[-@:](?:latest|\d{4}-\d{2}-\d{2}|\d{8}|\d{2}-\d{4}|\d{2}-\d{2}|\d{4}|\d{3}))?(?:-v\d+(?::\d+)?)?"
)


def _closest(rows: Sequence[Mapping[str, Any]], provider: str, model: str) -> dict[str, Any] | None:
    name = model.removeprefix("models/").lower()
    best: tuple[int, Mapping[str, Any]] | None = None
    for row in rows:
        if row["provider"] == provider:
            fit = max(_fit(pattern.lower(), name) for pattern in row["names"])
            if fit and (best is None or fit > best[0]):
                best = (fit, row)
    return None if best is None else dict(best[1])


def _fit(pattern: str, name: str) -> int:
    """How closely a pattern fits: characters that it fixes, and a name that is the pattern fits best. 0: not."""
    if pattern == name:
        return 1_000_000
    if "*" in pattern:
        return 1 + len(pattern.replace("*", "")) if fnmatchcase(name, pattern) else 0
    if name.startswith(pattern) and _VERSION.fullmatch(name, len(pattern)):
        return 1000 + len(pattern)
    return 0


def _like(own: Mapping[str, Any], packaged: Sequence[Mapping[str, Any]], path: Path) -> dict[str, Any]:
    provider, _, model = str(own["like"]).partition(":")
    found = _closest(packaged, provider, model)
    if found is None:
        raise ConfigError(f"{path}: like = {own['like']!r} names no known model", remedy="See them: sourcebook prices")
    return found


def _over(own: dict[str, Any], under: Mapping[str, Any] | None) -> dict[str, Any]:
    """The user's row, with what it leaves out from the row under it. Prices of its own mean that it is not free."""
    return {**(under or {}), **({"free": False} if "prices" in own else {}), **own}


def _model(row: Mapping[str, Any], provider: str, model: str) -> KnownModel:
    return KnownModel(
        provider=provider,
        model=model,
        names=tuple(row["names"]),
        as_of=row["as_of"],
        source=row.get("source", ""),
        window=row.get("window", 0),
        output=row.get("output", 0),
        tokenizer=row.get("tokenizer", ""),
        can=frozenset(row.get("can", ())),
        rates=tuple(Rates(**one) for one in row.get("prices", ())),
        free=row.get("free", False),
        image=ImageRule(**row["image"]) if "image" in row else None,
        overhead=Overhead(**row.get("overhead", {})),
        own=row["own"],
    )


# --- the files ------------------------------------------------------------------------------------------------


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


@lru_cache(maxsize=8)
def _rows(path: Path, _stamp: tuple[int, int] | None) -> tuple[dict[str, Any], ...]:
    """The rows of a file, checked, each with what its provider's section says."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}", remedy="Correct the file") from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}", remedy="Check its permissions") from error
    providers = content.pop("provider", {})
    rows = content.pop("model", [])
    if content or not isinstance(rows, list) or not isinstance(providers, dict):
        raise ConfigError(f"{path} has {sorted(content)}", remedy="It holds [provider.NAME] and [[model]] sections")
    return tuple(_checked(row, providers, path, number) for number, row in enumerate(rows, 1))


def _checked(row: dict[str, Any], providers: Mapping[str, Any], path: Path, number: int) -> dict[str, Any]:
    where = f"{path}: [[model]] number {number}"

    def wrong(reason: str, remedy: str) -> ConfigError:
        return ConfigError(f"{where} {reason}", remedy=remedy)

    for name in ("provider", "names", "as_of"):
        if name not in row:
            raise wrong(
                f"has no {name!r}", 'Write for example: provider = "openai", names = ["..."], as_of = 2026-10-14'
            )
    for name, value in row.items():
        if name not in _FIELDS:
            raise wrong(f"has an unknown field {name!r}", f"Known: {', '.join(_FIELDS)}")
        if type(value) is not _FIELDS[name] or (name == "names" and not value):
            raise wrong(f"has {name} = {value!r}", f"Write a {_FIELDS[name].__name__}")
    for price in row.get("prices", ()):
        for name, value in price.items():
            if name not in _PRICES or type(value) is not _PRICES[name] or (isinstance(value, int) and value < 0):
                raise wrong(
                    f"has a price {name} = {value!r}",
                    "Prices are whole micro-dollars per million tokens: 2_500_000 is $2.50 for a million",
                )
        if not {"input", "output"} <= price.keys():
            raise wrong("has prices without input and output", "Name both")
    prices = row.get("prices", ())
    for since in {price.get("since", date.min) for price in prices}:
        if not any(price.get("since", date.min) == since and not price.get("above") for price in prices):
            raise wrong(
                f"has prices {f'from {since} ' if since > date.min else ''}for long prompts only",
                "Name those of short prompts beside them, without `above`",
            )
    for name, fields_of in (("image", ImageRule), ("overhead", Overhead)):
        known_fields = {one.name for one in fields(fields_of)}
        if not known_fields.issuperset(row.get(name, {})):
            raise wrong(f"has {name} = {row[name]!r}", f"Known: {', '.join(sorted(known_fields))}")
    common = providers.get(row["provider"], {})
    return {**common, **row, "own": path != _PACKAGED}


_FIELDS: Mapping[str, type] = {
    "provider": str,
    "names": list,
    "as_of": date,
    "source": str,
    "window": int,
    "output": int,
    "tokenizer": str,
    "can": list,
    "prices": list,
    "free": bool,
    "image": dict,
    "overhead": dict,
    "like": str,
}
_PRICES: Mapping[str, type] = {
    "input": int,
    "output": int,
    "cached": int,
    "cache_write": int,
    "above": int,
    "since": date,
}
