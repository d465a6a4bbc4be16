"""What several models have in common."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields

from sourcebook.models.base import Capabilities, Model


def common(models: Sequence[Model]) -> Capabilities:
    """What all of them can do."""
    every = [model.capabilities for model in models]
    return Capabilities(**{one.name: all(getattr(can, one.name) for can in every) for one in fields(Capabilities)})


def united(models: Sequence[Model]) -> Capabilities:
    """What one or another of them can do; streams and citing, which change how a reply is read, only if all do."""
    every = [model.capabilities for model in models]
    together = {one.name: any(getattr(can, one.name) for can in every) for one in fields(Capabilities)}
    shared = common(models)
    return Capabilities(**{**together, "streams": shared.streams, "cites": shared.cites})


def distinct(models: Iterable[Model]) -> list[Model]:
    """Each of them once, in their order."""
    return list({id(model): model for model in models}.values())
