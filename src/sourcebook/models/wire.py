"""What a wire format is: pure functions between our requests and events and a vendor's bytes.

`http.py` carries the bytes. Because a format never touches the network, a call can be replayed byte for byte, and
a recorded reply can be cut or fed at every byte.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from sourcebook.errors import (
    ContextTooLong,
    InvalidReply,
    InvalidRequest,
    ModelError,
    NoSuchModel,
    NotAuthorised,
    QuotaExhausted,
    RateLimited,
    Refused,
    Unavailable,
)
from sourcebook.models.base import Capabilities, ModelEvent, ModelRequest


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """Where a model is served. provider: for messages and prices. base: URL without a slash at its end.

    headers: sent with every call, besides those of the format. options: of the model's URL ("region", ...).
    """

    provider: str
    base: str
    model: str
    key: str = field(default="", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class HttpCall:
    """One HTTP request, whole. headers hold the key: they are never shown, kept or logged.

    delay: seconds to wait before it is sent. optional: the reply is whole without it, should it fail.
    """

    method: str = "POST"
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = b""
    delay: float = 0.0
    optional: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """One message within a reply. event: its type where the framing names one, else ""."""

    data: str
    event: str = ""


class Framing(Protocol):
    """Bytes as they come -> the frames that are complete. An incomplete frame at the end is dropped."""

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that these bytes complete."""
        ...


class Reader(Protocol):
    """The reply to one request, frame by frame. It keeps the state of that one reply."""

    def framing(self, content_type: str) -> Framing:
        """How a reply of this media type is cut into frames."""
        ...

    def feed(self, frame: Frame) -> Iterable[ModelEvent]:
        """What a frame says; Finish when the reply has ended. Errors: ModelError that the vendor sent, InvalidReply."""
        ...

    def end(self) -> Iterable[ModelEvent]:
        """The bytes are over: Finish if the vendor had said why it stopped, else nothing, and the reply is cut off."""
        ...

    def next_call(self) -> HttpCall | None:
        """A further call that the reply needs, once the bytes of the one before are over (a result to be fetched)."""
        ...

    def cancelling_call(self) -> HttpCall | None:
        """The call that stops the work at the vendor, where closing the connection does not."""
        ...


class WireFormat(Protocol):
    """A vendor's way of asking and answering, for one target."""

    @property
    def capabilities(self) -> Capabilities:
        """What the format and the server can do."""
        ...

    def call(self, request: ModelRequest) -> HttpCall:
        """The request's exact bytes: equal requests give equal bytes. Errors: InvalidRequest."""
        ...

    def reader(self, request: ModelRequest) -> Reader:
        """For the reply to this request."""
        ...

    def failure(self, status: int, headers: Mapping[str, str], body: bytes) -> ModelError:
        """What an HTTP error reply means. headers: names in lower case."""
        ...


# --- what formats share ---------------------------------------------------------------------------------------


def to_json(value: object) -> bytes:
    """JSON, compact, in UTF-8. Equal values give equal bytes, if their keys come in the same order."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def from_json(text: str | bytes, provider: str) -> dict[str, Any]:
    """A JSON object of a reply. Errors: InvalidReply."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise InvalidReply(f"{provider} sent what is not JSON: {text[:200]!r}", provider=provider) from error
    if not isinstance(value, dict):
        raise InvalidReply(f"{provider} sent {text[:200]!r} where an object was due", provider=provider)
    return value


def failure(
    provider: str, status: int, headers: Mapping[str, str], *, message: str, code: str = "", request_id: str = ""
) -> ModelError:
    """The error for an HTTP status and what the vendor says of it.

    code: the vendor's type or code of the error, in whatever words. headers: names in lower case.
    """
    kind, remedy = _meaning(status, f"{code} {message}".lower())
    described = f"{provider} answered {status}" if status else f"{provider} reported an error"
    return kind(
        f"{described}: {message or code or 'no reason given'}",
        remedy=remedy,
        provider=provider,
        status=status,
        request_id=request_id or request_id_of(headers),
        retry_after=retry_after(headers),
    )


_TOO_LONG = (
    "context_length", "context length", "context window", "maximum context", "too many tokens", "prompt is too long",
    "input is too long", "too long for the model", "exceeds the maximum number of tokens", "token limit",
    "request_too_large", "must have less than", "exceed context", "exceeds the available context",
    "inputs tokens + max_new_tokens",
)  # fmt: skip
_NO_MONEY = (
    "insufficient_quota", "exceeded your current quota", "billing", "credit balance", "payment required",
    "insufficient credit", "trial key", "insufficient balance", "spending limit", "monthly included credits",
)  # fmt: skip
_REFUSED = (
    "content_filter", "content_policy", "content management policy", "safety", "responsible ai", "blocked",
    "moderation", "content filtering",
)  # fmt: skip
_NO_MODEL = (
    "model_not_found",
    "does not exist",
    "no such model",
    "model not found",
    "not_found_error",
    "unknown model",
)
_OVERLOADED = (
    "overloaded",
    "unavailable",
    "server_error",
    "internal",
    "timeout",
    "timed out",
    "api_error",
    "try again",
)


def _meaning(status: int, said: str) -> tuple[type[ModelError], str]:
    def says(words: tuple[str, ...]) -> bool:
        return any(word in said for word in words)

    if status == 402 or (status in (0, 400, 403, 429) and says(_NO_MONEY)):
        return QuotaExhausted, "Top up the account with the vendor, or name another model"
    if status == 413 or (status in (0, 400, 422, 500) and says(_TOO_LONG)):
        return ContextTooLong, "Ask for fewer passages (answer.passages), or name a model with a longer window"
    if status == 429 or (status == 0 and ("rate_limit" in said or "throttl" in said or "too many requests" in said)):
        return RateLimited, "Wait, or set route.requests_per_minute"
    if status in (0, 400, 403, 422) and says(_REFUSED):
        return Refused, "The vendor's policy forbids it; rephrase, or name another model"
    if status == 401 or status == 403 or (status == 0 and ("authentication" in said or "api key" in said)):
        return NotAuthorised, "Check the key and what it may do: sourcebook key --help"
    if status == 404 or (status in (0, 400) and says(_NO_MODEL)):
        return NoSuchModel, "Check the model's name with the vendor, and the base of its URL"
    if status in (408, 409, 423, 425) or status >= 500 or (status == 0 and says(_OVERLOADED)):
        return Unavailable, "Try again in a moment, or name a further model to fall back on"
    if 300 <= status < 400:
        return InvalidRequest, "The address has moved: correct the model's URL"
    return InvalidRequest, "Check the model's URL and its options"


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the vendor asks to wait: Retry-After as seconds or date (RFC 9110, 10.2.3), or retry-after-ms."""
    milliseconds = headers.get("retry-after-ms", "")
    if milliseconds.replace(".", "", 1).isdigit():
        return float(milliseconds) / 1000
    value = headers.get("retry-after", "")
    if value.replace(".", "", 1).isdigit():
        return float(value)
    if not value:
        return None
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError):
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
