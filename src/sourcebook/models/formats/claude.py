"""What the generations of Claude accept, by the model's name: the same through Anthropic and through Bedrock.

Sources: platform.claude.com/docs, "Migration guide", "Adaptive thinking", "Effort" and "Structured outputs".
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Literal

from sourcebook.models.base import JsonSchema, ModelRequest, Thought
from sourcebook.models.formats.turns import begun, told

SIGNED = "claude:"  # begins the signatures of Claude's thoughts
REDACTED = "claude-redacted:"  # begins the signature of a thought that is not shown; its data follows

_BUDGETS = {"low": 1024, "medium": 4096, "high": 16384}  # tokens to think with
_LEAST_BUDGET = 1024  # that the vendor takes


@dataclass(frozen=True, kw_only=True, slots=True)
class Generation:
    """What a model of Claude's accepts.

    thinking: how it is asked to think: with a budget of tokens, or as it sees fit ("adaptive").
    unthinking: the type of thinking that means none; "" where thinking cannot be switched off.
    hides: whether it shows its thoughts only when asked to.
    samples: how many of temperature and top_p it takes at once.
    continues: whether it goes on with a reply that was begun. schema: whether it is held to a JSON schema.
    """

    thinking: Literal["none", "budget", "adaptive"] = "adaptive"
    unthinking: Literal["disabled", "between_tools", ""] = "disabled"
    hides: bool = True
    samples: int = 0
    continues: bool = False
    schema: bool = True


def generation_of(model: str, options: Mapping[str, str] | None = None) -> Generation:
    """By the model's name, however it is written; a Claude that is not known counts as new.

    Other models that are served in Claude's format get what that format had at first. options: "thinking" (none,
    budget, adaptive), "continues", "schema" (true, false) and "samples" (0, 1, 2) overrule.
    """
    found = _by_name(model.lower())
    wanted = options or {}
    if wanted.get("thinking") in ("none", "budget", "adaptive"):
        found = replace(found, thinking=wanted["thinking"])  # type: ignore[arg-type]
    if wanted.get("samples") in ("0", "1", "2"):
        found = replace(found, samples=int(wanted["samples"]))
    return replace(
        found,
        continues=told(wanted, "continues", otherwise=found.continues),
        schema=told(wanted, "schema", otherwise=found.schema),
    )


def _by_name(model: str) -> Generation:
    if "claude" not in model:
        return Generation(thinking="budget", samples=2, schema=False)
    family, version = _family_and_version(model)
    if version < (3, 7):
        return Generation(thinking="none", samples=2, continues=True, schema=False)
    if version < (4, 6):
        samples = 2 if version < (4, 1) else 1
        return Generation(thinking="budget", samples=samples, continues=True, schema=version >= (4, 5))
    if version < (4, 7):
        return Generation(samples=1, hides=False)
    if family in ("fable", "mythos") or (family == "opus" and version >= (5, 5)):
        return Generation(unthinking="")
    return Generation(unthinking="between_tools" if family == "sonnet" and version >= (5, 5) else "disabled")


def _family_and_version(model: str) -> tuple[str, tuple[int, int]]:
    """Of names such as claude-3-5-haiku-20241022, claude-opus-4-7, us.anthropic.claude-sonnet-4-5-20250929-v1:0."""
    if early := re.search(r"claude-(?:instant|v?([12])\b)", model):
        return "", (int(early[1] or 1), 0)
    if old := re.search(r"claude-(\d)(?:[-.](\d))?-([a-z]+)", model):
        return old[3], (int(old[1]), int(old[2] or 0))
    if new := re.search(r"claude-([a-z]+)-(\d{1,2})(?:[-.](\d{1,2})(?!\d))?(?!\d)", model):
        return new[1], (int(new[2]), int(new[3] or 0))
    family = re.search(r"claude-([a-z]+)", model)
    return family[1] if family else "", (99, 0)


def thinking_of(generation: Generation, request: ModelRequest, *, forced: bool) -> dict[str, object] | None:
    """The vendor's `thinking` for a request; None where nothing is to be said.

    forced: whether a certain tool must be called, which leaves no thinking. A budget is a part of the tokens that
    the reply may have in all, so that what was reserved for it suffices; where it would be too small there is none.
    """
    if generation.thinking == "none" or request.reasoning is None:
        return None
    wanted = request.reasoning != "none"
    if generation.thinking == "adaptive":
        if wanted and not forced:
            return {"type": "adaptive", "display": "summarized"} if generation.hides else {"type": "adaptive"}
        return {"type": generation.unthinking} if generation.unthinking else None
    budget = min(_BUDGETS.get(request.reasoning, 0), request.max_output_tokens * 3 // 4)
    if not wanted or forced or begun(request.messages) is not None or _mid_way_without_thoughts(request):
        return None
    return {"type": "enabled", "budget_tokens": budget} if budget >= _LEAST_BUDGET else None


def effort_of(generation: Generation, request: ModelRequest) -> str | None:
    """The vendor's `effort`: what steers an adaptive model; little of it, where thinking cannot be switched off."""
    if generation.thinking != "adaptive" or request.reasoning is None:
        return None
    if request.reasoning == "none":
        return None if generation.unthinking else "low"
    return request.reasoning


def samples_of(generation: Generation, request: ModelRequest, *, thinks: bool) -> dict[str, float]:
    """Those of temperature and top_p that the model takes; a model that thinks takes neither."""
    given = {"temperature": request.temperature, "top_p": request.top_p}
    set_ = {name: value for name, value in given.items() if value is not None}
    return {} if thinks else dict(list(set_.items())[: generation.samples])


def _mid_way_without_thoughts(request: ModelRequest) -> bool:
    """Whether tools' results are due to a turn whose thoughts are not there: such a turn cannot go on thinking."""
    spoken = [one for one in request.messages if one.role != "system"]
    since = list(takewhile(lambda one: one.role != "assistant", reversed(spoken)))
    if len(since) == len(spoken) or not any(one.role == "tool" for one in since):
        return False
    return not any(signed(one) for one in spoken[-len(since) - 1].thoughts)


# --- thoughts -----------------------------------------------------------------------------------------------


def marked_with(kind: str, model: str, signature: str) -> str:
    """A signature that says which model's it is. kind: SIGNED or REDACTED."""
    return f"{kind}{model}:{signature}"


def with_own_thoughts(request: ModelRequest, model: str) -> ModelRequest:
    """The request without other models' thoughts, which newer ones refuse; its own no longer name the model."""
    marks = {marked_with(kind, model, ""): kind for kind in (SIGNED, REDACTED)}

    def own(thoughts: Sequence[Thought]) -> tuple[Thought, ...]:
        return tuple(
            replace(one, signature=kind + one.signature.removeprefix(mark))
            for one in thoughts
            for mark, kind in marks.items()
            if one.signature.startswith(mark)
        )

    return replace(request, messages=tuple(replace(one, thoughts=own(one.thoughts)) for one in request.messages))


def signed(thought: Thought) -> bool:
    """Whether a thought is one that Claude takes back."""
    return thought.signature.startswith((SIGNED, REDACTED))


# --- schemas ------------------------------------------------------------------------------------------------

_KEPT = frozenset((
    "type", "properties", "required", "items", "enum", "const", "anyOf", "allOf", "$ref", "$defs", "definitions",
    "description", "title", "default", "additionalProperties",
))  # fmt: skip
_FORMATS = frozenset(
    ("date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"),
)


def closed_schema(schema: JsonSchema) -> dict[str, object]:
    """The schema in the part of JSON Schema that the vendor enforces.

    Objects are closed; what cannot be enforced (bounds, patterns, lengths) is told to the model in the description.
    """
    closed: dict[str, object] = {}
    told: dict[str, object] = {}
    for name, value in schema.items():
        if name in ("properties", "$defs", "definitions") and isinstance(value, Mapping):
            closed[name] = {key: closed_schema(one) for key, one in value.items()}
        elif name in ("anyOf", "oneOf", "allOf") and isinstance(value, (list, tuple)):
            closed["allOf" if name == "allOf" else "anyOf"] = [closed_schema(one) for one in value]
        elif name == "items" and isinstance(value, Mapping):
            closed[name] = closed_schema(value)
        elif name == "additionalProperties" and isinstance(value, Mapping):
            told["further properties"] = dict(value)
        elif name in _KEPT or (name == "format" and value in _FORMATS) or (name == "minItems" and value in (0, 1)):
            closed[name] = value
        elif name not in ("$schema", "$id", "$comment"):
            told[name] = value
    if closed.get("type") == "object" or "properties" in closed:
        closed["additionalProperties"] = False
    if told:
        limits = ", ".join(f"{name}: {value}" for name, value in told.items())
        closed["description"] = f"{closed.get('description', '')} ({limits})".strip()
    return closed
