"""What the generations of Claude accept, by the model's name: the same through Anthropic and through Bedrock.

Sources: platform.claude.com/docs, "Migration guide", "Adaptive thinking", "Effort" and "Structured outputs".
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Literal

from sourcebook.models.base import ModelRequest, Thought
from sourcebook.models.formats.replies import ReplyTool
from sourcebook.models.formats.schemas import closed_schema
from sourcebook.models.formats.turns import begun, thinking_budget
from sourcebook.models.formats.wishes import chosen, told

SIGNED = "claude:"  # begins the signatures of Claude's thoughts
REDACTED = "claude-redacted:"  # begins the signature of a thought that is not shown; its data follows

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
    budget, adaptive), "continues", "schema" (true, false) and "samples" (0, 1, 2) overrule. Errors: ConfigError.
    """
    found = _by_name(model.lower())
    wanted = options or {}
    if thinking := chosen(wanted, "thinking", ("none", "budget", "adaptive")):
        found = replace(found, thinking=thinking)  # type: ignore[arg-type]
    if samples := chosen(wanted, "samples", ("0", "1", "2")):
        found = replace(found, samples=int(samples))
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

    forced: whether a certain tool must be called, which leaves no thinking. Where a budget would be too small there
    is none.
    """
    if generation.thinking == "none" or request.reasoning is None:
        return None
    wanted = request.reasoning != "none"
    if generation.thinking == "adaptive":
        if wanted and not forced:
            return {"type": "adaptive", "display": "summarized"} if generation.hides else {"type": "adaptive"}
        return {"type": generation.unthinking} if generation.unthinking else None
    budget = thinking_budget(request)
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


def reply_tool_of(request: ModelRequest, *, schema: bool) -> ReplyTool | None:
    """What stands in for a schema that the model is not held to. schema: whether it is held to closed ones."""
    if request.schema is None or (schema and closed_schema(request.schema) is not None):
        return None
    return ReplyTool.of(request)
