"""What the doubles of several vendors do alike with tools."""

from collections.abc import Iterable, Mapping
from typing import Any


def halves(text: str) -> tuple[str, str]:
    """Arguments of a call as two pieces of a stream."""
    half = len(text) // 2
    return text[:half], text[half:]


def reply_tool(tools: Iterable[Mapping[str, Any]]) -> str:
    """The name of the tool that must be called with the reply; "" if there is none. tools: name and description."""
    return next((one["name"] for one in tools if "Give the reply to the user" in (one.get("description") or "")), "")
