"""The filter language's tree."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Equals:
    """The field has this value (or, holding several, one of them is this value)."""

    field: str
    value: str | int | float | bool


@dataclass(frozen=True, slots=True)
class In:
    """The field has one of these values."""

    field: str
    values: tuple[str | int | float | bool, ...]


@dataclass(frozen=True, slots=True)
class Range:
    """The field is a number, or an ISO 8601 date kept as text, between the bounds that are given."""

    field: str
    above: float | str | None = None  # >
    at_least: float | str | None = None  # >=
    below: float | str | None = None  # <
    at_most: float | str | None = None  # <=


@dataclass(frozen=True, slots=True)
class Exists:
    """The document has this field."""

    field: str


@dataclass(frozen=True, slots=True)
class And:
    """All hold."""

    filters: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """At least one holds."""

    filters: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """It does not hold; a document without the field passes."""

    filter: Filter


Filter = Equals | In | Range | Exists | And | Or | Not
