"""Tool calls as other frameworks carry them: arguments as objects, and signatures beside the calls."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from sourcebook.models.base import ToolCall

SIGNATURES = "tool_call_signatures"
"""In a message's additional_kwargs: the vendor's signatures of its tool calls, by their ids."""


def arguments_of(call: ToolCall) -> dict[str, Any] | None:
    """A call's arguments; None if they are not an object of JSON."""
    try:
        read = json.loads(call.arguments or "{}")
    except ValueError:
        return None
    return read if isinstance(read, dict) else None


def signed(calls: Iterable[ToolCall]) -> dict[str, Any]:
    """The additional_kwargs of a message with these calls."""
    signatures = {call.id: call.signature for call in calls if call.signature}
    return {SIGNATURES: signatures} if signatures else {}
