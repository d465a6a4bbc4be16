"""What vendors' words mean to us: their errors, and their reasons for ending a reply."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Final

from sourcebook.errors import (
    ContextTooLong,
    InvalidRequest,
    ModelError,
    NoSuchModel,
    NotAuthorised,
    QuotaExhausted,
    RateLimited,
    Refused,
    Unavailable,
)
from sourcebook.models.base import FinishReason

WAIT: Final = "Try again in a moment, or name a further model to fall back on"
"""The remedy where a vendor failed."""
FORBIDDEN: Final = "The vendor's policy forbids it; rephrase, or name another model"
"""The remedy where a vendor refused."""


def finish_reason(said: str, provider: str) -> FinishReason:
    """Why a reply ended, from the vendor's word for it. To be asked once nothing more can come of the reply.

    A word that nobody knows counts as "length": that the reply is not whole is the careful reading.
    Errors: Unavailable where the server gave the reply up.
    """
    word = said.lower()
    if word in _GIVEN_UP:
        raise Unavailable(f"{provider} gave the reply up: {said}", remedy=WAIT, provider=provider)
    return _REASONS.get(word, "length")


_REASONS: Final[Mapping[str, FinishReason]] = {
    "stop": "stop", "eos": "stop", "eos_token": "stop", "stop_sequence": "stop", "end_turn": "stop",
    "complete": "stop", "length": "length", "max_tokens": "length", "model_length": "length",
    "tool_calls": "tool_calls", "tool_call": "tool_calls", "tool_use": "tool_calls", "function_call": "tool_calls",
    "content_filter": "filtered", "content_filtered": "filtered", "guardrail_intervened": "filtered",
    "refusal": "filtered",
}  # fmt: skip
_GIVEN_UP: Final = ("error", "timeout", "abort", "insufficient_system_resource")


def failure(
    provider: str, status: int, headers: Mapping[str, str], *, message: str, code: str = "", request_id: str = ""
) -> ModelError:
    """The error for an HTTP status and what the vendor says of it.

    code: the vendor's type or code of the error, in whatever words. headers: names in lower case.
    """
    said = "" if message.lstrip().startswith("<") else message  # a page for people, of whoever stands between
    kind, remedy = _meaning(status, f"{code} {said}".lower().replace("`", ""))
    described = f"{provider} answered {status}" if status else f"{provider} reported an error"
    return kind(
        f"{described}: {message or code or 'no reason given'}",
        remedy=remedy,
        provider=provider,
        status=status,
        request_id=request_id or request_id_of(headers),
        retry_after=retry_after(headers),
    )


_TOO_LONG: Final = (
    "context_length", "context length", "context window", "maximum context", "too many tokens", "prompt is too long",
    "input is too long", "too long for the model", "exceeds the maximum number of tokens", "token limit",
    "request_too_large", "must have less than", "exceed context", "exceeds the available context",
    "inputs tokens + max_new_tokens", "maximum prompt length",
)  # fmt: skip
_LIMITED: Final = re.compile(r"rate.?limit|throttl|too many requests|per (second|minute|min|hour)\b|/ ?min(ute)?\b")
_SPENT: Final = re.compile(r"insufficient_quota|(per|/) ?month")
_NO_MONEY: Final = (
    "insufficient_quota", "exceeded your current quota", "check your plan and billing", "check your billing",
    "billing_error", "billing_not_active", "billing_hard_limit", "billing hard limit", "billing_disabled",
    "requires billing", "credit balance", "payment required", "insufficient credit", "used all available credits",
    "trial key", "insufficient balance", "spending limit", "usage limits", "monthly included credits",
)  # fmt: skip
_REFUSED: Final = (
    "content_filter", "content filtering", "content_policy", "content management policy", "content_blocked",
    "safety system", "safety settings", "responsible ai", "blocked by", "flagged as", "moderation",
)  # fmt: skip
_NO_MODEL: Final = (
    "model_not_found", "does not exist", "no such model", "model not found", "not_found_error", "unknown model",
)  # fmt: skip
_BLAMED: Final = ("invalid_request", "invalid request", "validation", "invalid value", "invalid_argument")


def _meaning(status: int, said: str) -> tuple[type[ModelError], str]:
    """Status 0 is an error within a reply that had begun well: the server's, unless it says otherwise."""

    def says(words: tuple[str, ...]) -> bool:
        return any(word in said for word in words)

    limited = status in (0, 429) and _LIMITED.search(said) is not None and not _SPENT.search(said)
    if limited:  # before the words about money: many vendors link to where a higher limit can be bought
        return RateLimited, _SLOWER
    if status == 402 or (status in (0, 400, 403, 429) and says(_NO_MONEY)):
        return QuotaExhausted, "Top up the account with the vendor, or name another model"
    if status == 413 or (status in (0, 400, 422, 500) and says(_TOO_LONG)):
        return ContextTooLong, "Ask for fewer passages (answer.passages), or name a model with a longer window"
    if status == 429:
        return RateLimited, _SLOWER
    if status in (0, 400, 403, 422) and says(_REFUSED):
        return Refused, FORBIDDEN
    if status in (401, 403) or (status == 0 and ("authentication" in said or "api key" in said)):
        return NotAuthorised, "Check the key and what it may do: sourcebook key --help"
    if status == 404 or (status in (0, 400) and says(_NO_MODEL)):
        return NoSuchModel, "Check the model's name with the vendor, and the base of its URL"
    if status in (408, 409, 423, 425) or status >= 500 or (status == 0 and not says(_BLAMED)):
        return Unavailable, WAIT
    if 300 <= status < 400:
        return InvalidRequest, "The address has moved: correct the model's URL"
    return InvalidRequest, "Check the model's URL and its options"


_SLOWER: Final = "Wait, or set route.requests_per_minute"


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the vendor asks to wait: Retry-After as seconds or date (RFC 9110, 10.2.3), or retry-after-ms."""
    milliseconds = headers.get("retry-after-ms", "")
    if milliseconds.replace(".", "", 1).isdecimal():
        return float(milliseconds) / 1000
    value = headers.get("retry-after", "")
    if value.replace(".", "", 1).isdecimal():
        return float(value)
    if not value:
        return None
    from datetime import UTC
    from email.utils import parsedate_to_datetime

    try:
        then = parsedate_to_datetime(value)
        return max(0.0, (then if then.tzinfo else then.replace(tzinfo=UTC)).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None


_REQUEST_IDS = (
    "x-request-id", "request-id", "x-amzn-requestid", "apim-request-id", "x-ms-request-id", "x-debug-trace-id",
    "cf-ray",
)  # fmt: skip


def request_id_of(headers: Mapping[str, str]) -> str:
    """The vendor's name for the call, which its support asks for."""
    for name in _REQUEST_IDS:
        if headers.get(name):
            return headers[name]
    return ""
