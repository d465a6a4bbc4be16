"""Vendors' errors and reasons, in vendors' own words."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from sourcebook.errors import (
    ContextTooLong,
    InvalidRequest,
    ModelError,
    NotAuthorised,
    QuotaExhausted,
    RateLimited,
    Refused,
    Unavailable,
)
from sourcebook.models.meaning import failure, finish_reason, request_id_of, retry_after

GROQ = (
    "Rate limit reached for model `llama-3.3-70b-versatile` in organization `org_x` service tier `on_demand` on "
    "tokens per minute (TPM): Limit 12000, Used 9000, Requested 4000. Please try again in 5s. Need more tokens? "
    "Upgrade to Dev Tier today at https://console.groq.com/settings/billing"
)
OPENAI = (
    "Rate limit reached for gpt-4o in organization org-x on requests per min (RPM): Limit 3, Used 3, Requested 1. "
    "Please try again in 20s. Visit https://platform.openai.com/account/rate-limits to learn more. You can increase "
    "your rate limit by adding a payment method to your account at https://platform.openai.com/account/billing."
)
NO_QUOTA = "You exceeded your current quota, please check your plan and billing details."
XAI = "This model's maximum prompt length is 131072 but the request contains 140000 tokens."
WALL = "<!DOCTYPE html><title>Attention Required!</title><h1>Sorry, you have been blocked by the safety system</h1>"


@pytest.mark.parametrize(
    ("status", "code", "message", "kind"),
    [
        (429, "rate_limit_exceeded", GROQ, RateLimited),
        (429, "rate_limit_exceeded", OPENAI, RateLimited),
        (429, "insufficient_quota", NO_QUOTA, QuotaExhausted),
        (429, "", "You are using a Trial key, which is limited to 10 API calls / minute.", RateLimited),
        (429, "", "You are using a Trial key, limited to 1000 calls / month, for higher rate limits", QuotaExhausted),
        (400, "invalid_request_error", "You have reached your specified API usage limits.", QuotaExhausted),
        (403, "", "The team has used all available credits or reached its monthly spending limit", QuotaExhausted),
        (400, "", XAI, ContextTooLong),
        (422, "validation", "`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000", ContextTooLong),
        (403, "", WALL, NotAuthorised),
        (400, "invalid_request_error", "Unrecognized argument: safety_identifier", InvalidRequest),
        (400, "", "Your request was rejected by the safety system.", Refused),
        (0, "", "llama runner process has terminated: exit status 2", Unavailable),
        (0, "", "Connection to upstream lost", Unavailable),
        (0, "invalid_request_error", "temperature is too high", InvalidRequest),
        (0, "throttlingException", "Too many tokens, please wait before trying again.", RateLimited),
    ],
)  # fmt: skip
def test_what_an_error_means(status: int, code: str, message: str, kind: type[ModelError]) -> None:
    found = failure("vendor", status, {}, message=message, code=code)
    assert type(found) is kind
    assert found.remedy


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "²"}, None),
        ({"retry-after": "Wed, 21 Oct 99999 07:28:00 GMT"}, None),
        ({}, None),
    ],
)
def test_when_to_try_again(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers) == seconds


@pytest.mark.parametrize("zone", ["GMT", "-0000"])
def test_when_to_try_again_as_a_date(zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    then = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True).replace("GMT", zone)
    assert 80 < (retry_after({"retry-after": then}) or 0) <= 90


@pytest.mark.parametrize(
    ("said", "reason"),
    [("stop", "stop"), ("eos_token", "stop"), ("COMPLETE", "stop"), ("max_tokens", "length"),
     ("tool_use", "tool_calls"), ("model_length", "length"), ("content_filter", "filtered"),
     ("a_new_reason", "length")],
)  # fmt: skip
def test_why_a_reply_ended(said: str, reason: str) -> None:
    assert finish_reason(said, "vendor") == reason


@pytest.mark.parametrize("said", ["error", "ERROR", "abort", "insufficient_system_resource"])
def test_a_reply_that_was_given_up_is_none(said: str) -> None:
    with pytest.raises(Unavailable, match=said):
        finish_reason(said, "vendor")


def test_request_ids() -> None:
    assert request_id_of({"cf-ray": "b", "request-id": "a"}) == "a"
    assert request_id_of({"date": "x"}) == ""
