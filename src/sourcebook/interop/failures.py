"""What other frameworks' models raise -> our errors: by their type, else by the HTTP status that vendors' SDKs keep."""

from __future__ import annotations

from collections.abc import Mapping

from sourcebook.errors import ContextTooLong, Interrupted, InvalidRequest, ModelError, SourcebookError, Unavailable
from sourcebook.models.meaning import failure, request_id_of

_STATUS_OF_KIND: Mapping[str, int] = {
    "ModelAuthenticationError": 401,
    "ModelPermissionDeniedError": 403,
    "ModelNotFoundError": 404,
    "ModelRateLimitError": 429,
    "ModelAPIError": 503,
    "ModelInvalidRequestError": 400,
}
"""LangChain's errors (langchain_core.exceptions), which integrations derive theirs from."""

_OUT_OF_REACH = (
    "ModelConnectionError", "ModelTimeoutError", "APIConnectionError", "APITimeoutError", "TransportError",
    "ClientConnectionError", "TimeoutException", "ConnectionError", "RequestException",
)  # fmt: skip
_OURS_TO_MEND = (ValueError, TypeError, KeyError, AttributeError, NotImplementedError)


def model_error(error: BaseException, *, provider: str, text: str = "") -> ModelError:
    """The error of ours that says the same. text: what had come of the reply: then what passes is `Interrupted`."""
    mapped = _mapped(error, provider)
    if text and mapped.transient:
        mapped = Interrupted(f"{provider} broke off: {mapped.args[0]}", provider=provider, status=mapped.status)
    mapped.text = text
    return mapped


def _mapped(error: BaseException, provider: str) -> ModelError:
    kinds = {kind.__name__ for kind in type(error).__mro__}
    message = str(error) or type(error).__name__
    if isinstance(error, ModelError):
        return error
    if isinstance(error, SourcebookError):
        return InvalidRequest(error.args[0], remedy=error.remedy, provider=provider)
    if "ContextOverflowError" in kinds:
        remedy = "Ask for fewer passages (answer.passages), or name a model with a longer window"
        return ContextTooLong(f"{provider}: {message}", remedy=remedy, provider=provider)
    status = _status(error) or next((_STATUS_OF_KIND[kind] for kind in kinds if kind in _STATUS_OF_KIND), 0)
    if status >= 300:
        headers = _headers(error)
        told = getattr(error, "request_id", None) or request_id_of(headers)
        return failure(provider, status, headers, message=message, request_id=told)
    if isinstance(error, OSError | TimeoutError) or not kinds.isdisjoint(_OUT_OF_REACH):
        return Unavailable(f"{provider} cannot be reached: {message}", provider=provider)
    if isinstance(error, _OURS_TO_MEND):
        return InvalidRequest(f"{provider} does not accept the request: {message}", provider=provider)
    return Unavailable(f"{provider} failed: {type(error).__name__}: {message}", provider=provider)


def _status(error: BaseException) -> int:
    """The HTTP status, where SDKs keep it: on the error, on its response, or in botocore's metadata."""
    response = getattr(error, "response", None)
    found = [getattr(error, name, None) for name in ("status_code", "status", "code", "http_status")]
    found.append(getattr(response, "status_code", None))
    if isinstance(response, Mapping):
        found.append(response.get("ResponseMetadata", {}).get("HTTPStatusCode"))
    return next((int(one) for one in found if isinstance(one, int) and 100 <= one < 600), 0)


def _headers(error: BaseException) -> dict[str, str]:
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    try:
        return {str(name).lower(): str(value) for name, value in dict(headers).items()}
    except (TypeError, ValueError):
        return {}
