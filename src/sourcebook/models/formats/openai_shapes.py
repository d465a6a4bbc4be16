"""What OpenAI's two formats have in common, and many servers with them: how errors and tokens are told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sourcebook.errors import ModelError
from sourcebook.models.meaning import failure
from sourcebook.models.wire import said
from sourcebook.types import Usage


def openai_failure(provider: str, status: int, headers: Mapping[str, str], body: bytes) -> ModelError:
    """The error of an HTTP reply, whose body may be anything."""
    return openai_error(provider, status, headers, said(body, provider))


def openai_error(provider: str, status: int, headers: Mapping[str, str], told: Mapping[str, Any]) -> ModelError:
    """The error that a JSON object tells of, in one of the shapes that servers of this format use."""
    error = told.get("error") or told.get("detail") or told.get("message") or told.get("errors") or ""
    if not isinstance(error, dict):
        return failure(provider, status, headers, message=str(error))
    code = f"{error.get('type') or ''} {error.get('code') or ''}"
    if not status and str(error.get("code") or "").isdigit():
        status = int(error["code"])
    inner = error.get("innererror") or {}
    return failure(
        provider, status, headers, message=str(error.get("message") or ""), code=f"{code} {inner.get('code') or ''}"
    )


def openai_usage(usage: Mapping[str, Any]) -> Usage:
    """Tokens as this format counts them: cached ones within the prompt's, reasoning within the completion's.

    Some servers (xAI, Gemini) leave the reasoning out of the completion's tokens, and have it only in the total.
    """
    prompt = usage.get("prompt_tokens_details") or usage.get("input_tokens_details") or {}
    completion = usage.get("completion_tokens_details") or usage.get("output_tokens_details") or {}
    read = usage.get("prompt_tokens") or usage.get("input_tokens") or 0
    written = usage.get("completion_tokens") or usage.get("output_tokens") or 0
    return Usage(
        input_tokens=read,
        output_tokens=max(written, (usage.get("total_tokens") or 0) - read),
        cached_tokens=prompt.get("cached_tokens") or usage.get("prompt_cache_hit_tokens") or 0,
        cache_write_tokens=prompt.get("cache_write_tokens") or 0,
        reasoning_tokens=completion.get("reasoning_tokens") or 0,
        counted_by="vendor",
    )


def tool_choice(choice: str) -> object:
    """One of "auto", "none" and "required", or the one function to call."""
    return choice if choice in ("auto", "none", "required") else {"type": "function", "function": {"name": choice}}
