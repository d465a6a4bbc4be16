"""Why a reply ended, in our words for the vendors' own, which other frameworks hand through."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from sourcebook.models.base import FinishReason

_LENGTH = ("length", "max_tokens", "model_length", "max_output_tokens", "incomplete")
_TOOLS = ("tool_calls", "tool_call", "tool_use", "function_call")
_FILTERED = (
    "content_filter", "content_filtered", "safety", "recitation", "refusal", "blocklist", "prohibited_content",
    "spii", "guardrail_intervened", "error_toxic", "filtered",
)  # fmt: skip
_REASONS: Final[Mapping[str, FinishReason]] = {
    **dict.fromkeys(_LENGTH, "length"),
    **dict.fromkeys(_TOOLS, "tool_calls"),
    **dict.fromkeys(_FILTERED, "filtered"),
}  # in lower case; every other word is an end of its own
_KEYS: Final = ("finish_reason", "stop_reason", "stopReason", "done_reason", "finishReason", "status")


def finish_reason(said: Callable[[str], object], *, called: bool) -> FinishReason:
    """said: what the framework has under a name. called: whether tools are asked for, which no vendor says alike."""
    word = next((str(found) for key in _KEYS if (found := said(key))), "")
    reason = _REASONS.get(word.rpartition(".")[2].lower(), "stop")
    return "tool_calls" if reason == "stop" and called else reason
