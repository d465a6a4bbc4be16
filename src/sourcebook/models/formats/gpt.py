"""What the generations of OpenAI's models accept, by the model's name: the same in chat completions and in responses.

Sources: platform.openai.com/docs, "Reasoning models", "Using the latest model" (parameter compatibility), and the
reference of chat completions ("stop", "logprobs", "reasoning_effort").
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from sourcebook.models.base import ModelRequest
from sourcebook.models.formats.wishes import told


@dataclass(frozen=True, kw_only=True, slots=True)
class Generation:
    """What a model accepts.

    reasons: whether it thinks before it answers. efforts: how much it can be asked to think, least first; () if it
    cannot be asked. least: the effort for as little thinking as it can do with, "" if that is not asked for either.
    samples: whether it takes temperature and top_p; "unthinking": only where it is asked not to think.
    logprobs: whether it tells log probabilities. stops: how many stop sequences it takes, None for any number.
    keeps: whether it takes marks of the prompt to keep.
    """

    reasons: bool = False
    efforts: tuple[str, ...] = ()
    least: str = ""
    samples: Literal["always", "unthinking", "never"] = "always"
    logprobs: bool = True
    stops: int | None = 4
    keeps: bool = False


_EFFORTS = ("low", "medium", "high")
_THINKS = Generation(
    reasons=True, efforts=_EFFORTS, least="low", samples="never", logprobs=False, stops=0
)  # as o3, and as all later ones do at least


def generation_of(model: str, options: Mapping[str, str] | None = None) -> Generation:
    """By the model's name, or by the option "like", the model behind a deployment whose name does not tell it.

    Of a name that tells nothing it is believed that it takes everything. options: "reasons", "samples" and "keeps"
    (true, false) overrule. Errors: ConfigError, for an option that is neither.
    """
    wanted = options or {}
    found = _by_name((wanted.get("like") or model).lower())
    if told(wanted, "reasons", otherwise=found.reasons) != found.reasons:
        found = replace(Generation() if found.reasons else _THINKS, keeps=found.keeps)
    if "samples" in wanted:
        found = replace(found, samples="always" if told(wanted, "samples", otherwise=True) else "never")
    return replace(found, keeps=told(wanted, "keeps", otherwise=found.keeps))


def generation_elsewhere(model: str, *, effort: bool) -> Generation:
    """Of other vendors' models in OpenAI's format. effort: whether their server takes one at all.

    What is no effort for a model is an error for many a server: only the open models of OpenAI's are asked for little.
    """
    if not effort:
        return Generation(stops=None)
    return Generation(efforts=_EFFORTS, least="low" if "gpt-oss" in model.lower() else "", stops=None)


def _by_name(model: str) -> Generation:
    if early := re.search(r"(?<![a-z0-9])o\d+(-mini|-preview)?(?![a-z0-9])", model):
        first = early[0] in ("o1-mini", "o1-preview")
        return replace(_THINKS, efforts=(), least="") if first else _THINKS
    if "gpt-oss" in model:
        return replace(_THINKS, samples="always", logprobs=True, stops=4)
    numbered = re.search(r"gpt-(\d{1,2})(?:\.(\d{1,2}))?(?!\d)", model)
    version = (int(numbered[1]), int(numbered[2] or 0)) if numbered else (0, 0)
    if (5, 0) <= version < (35, 0):  # Azure writes 3.5 as 35
        return replace(_numbered(model, version), keeps=version >= (5, 6))
    if "codex" in model:
        return _THINKS
    if "search-preview" in model:
        return Generation(samples="never", logprobs=False)
    return Generation() if numbered else Generation(efforts=_EFFORTS)


def _numbered(model: str, version: tuple[int, int]) -> Generation:
    """Of GPT-5 and later."""
    if "chat" in model:
        return Generation() if version == (5, 0) else Generation(samples="never", logprobs=False, stops=0)
    if "-pro" in model:
        efforts = ("high",) if version == (5, 0) else ("medium", "high")
        return replace(_THINKS, efforts=efforts, least=efforts[0])
    if "codex" in model:
        return _THINKS
    if version == (5, 0):
        return replace(_THINKS, least="minimal")
    return replace(_THINKS, least="none", samples="unthinking")


def effort_of(generation: Generation, request: ModelRequest) -> str | None:
    """The vendor's word for how much to think: the one that was asked for, or the next that the model knows."""
    if request.reasoning is None or not generation.efforts:
        return None
    if request.reasoning == "none":
        return generation.least or None
    enough = _EFFORTS[_EFFORTS.index(request.reasoning) :]
    return next((one for one in generation.efforts if one in enough), generation.efforts[-1])


def samples_of(generation: Generation, request: ModelRequest) -> dict[str, float]:
    """Those of temperature and top_p that the model takes."""
    unthinking = generation.samples == "unthinking" and effort_of(generation, request) == "none"
    if generation.samples != "always" and not unthinking:
        return {}
    given = {"temperature": request.temperature, "top_p": request.top_p}
    return {name: value for name, value in given.items() if value is not None}
