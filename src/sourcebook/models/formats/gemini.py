"""Google Gemini: generateContent and streamGenerateContent, of the Gemini API and of Vertex AI.

Format: ai.google.dev/api/generate-content; cloud.google.com/vertex-ai/generative-ai/docs/model-reference/inference.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlsplit

from sourcebook.errors import InvalidReply, ModelError, Refused
from sourcebook.models.base import (
    Capabilities,
    Finish,
    FinishReason,
    ModelEvent,
    ModelRequest,
    ReasoningPart,
    TextPart,
    ToolCall,
    ToolCallPart,
)
from sourcebook.models.formats.gemini_request import (
    MOST_STOPS,
    OWN_ID,
    SIGNED,
    Series,
    gemini_body,
    reply_tool_of,
    series_of,
)
from sourcebook.models.formats.replies import ReplyTool, shared_stops, stopped
from sourcebook.models.formats.stopping import StopSequences
from sourcebook.models.formats.wishes import chosen, ensure_able
from sourcebook.models.framing import ServerSentEvents, Whole
from sourcebook.models.meaning import FORBIDDEN, failure
from sourcebook.models.wire import Frame, Framing, HttpCall, OneCall, Target, from_json, json_headers, said, to_json
from sourcebook.types import Usage


class Gemini:
    """The wire format, for one target.

    The target's base: of the Gemini API with or without its version, or of Vertex AI up to "/publishers/google".
    Options: "auth" = "bearer" sends the key as a bearer token, as Vertex AI wants it; those of `series_of`.
    """

    def __init__(self, target: Target, series: Series | None = None) -> None:
        self._target = target
        self._series = series or series_of(target.model, target.options)
        self.capabilities = Capabilities(
            tools=True,
            images=True,
            schema=True,
            reasoning=self._series.thinking != "none",
            logprobs=True,
            continues=self._series.continues,
            seed=True,
        )
        base = target.base if re.search(r"/v\d", urlsplit(target.base).path) else f"{target.base}/v1beta"
        if place := re.match(r"https://(aiplatform\.googleapis\.com/.+/locations/(?!global/)([\w-]+)/.+)", base):
            base = f"https://{place[2]}-{place[1]}"  # a region has a host of its own
        model = target.model if "/" in target.model else f"models/{target.model}"
        self._url = f"{base}/{quote(model)}"
        bearer = chosen(target.options, "auth", ("bearer", "key")) == "bearer"
        self._headers = json_headers(target, key_header="Authorization" if bearer else "x-goog-api-key")

    def call(self, request: ModelRequest) -> HttpCall:
        """POST {base}/models/{model}:generateContent or :streamGenerateContent."""
        ensure_able(request, self.capabilities, self._target.provider)
        method = ":streamGenerateContent?alt=sse" if request.streamed else ":generateContent"
        return HttpCall(url=self._url + method, headers=self._headers, body=to_json(gemini_body(request, self._series)))

    def reader(self, request: ModelRequest) -> GeminiReader:
        """For the reply, streamed or not."""
        stops = shared_stops(request.stop, most=MOST_STOPS)[1]
        return GeminiReader(self._target.provider, reply_tool=reply_tool_of(request, self._series), stops=stops)

    def failure(self, status: int, headers: Mapping[str, str], body: bytes) -> ModelError:
        """From {"error": {"code", "message", "status", "details"}}, within a list or not, or whatever else comes."""
        body = body.strip()
        if body.startswith(b"[") and body.endswith(b"]"):
            body = body[1:-1]
        told = said(body, self._target.provider)
        return _error(self._target.provider, status, headers, told.get("error") or told)


class GeminiReader(OneCall):
    """One reply: responses that each bring a piece, or one. It is over when its bytes are, and it has said why."""

    def __init__(self, provider: str, *, reply_tool: ReplyTool | None, stops: Sequence[str]) -> None:
        self._provider = provider
        self._reply_tool = reply_tool
        self._stops = StopSequences(stops)
        self._id = ""
        self._model = ""
        self._called = 0
        self._reason: FinishReason | None = None

    def framing(self, content_type: str) -> Framing:
        """Server-sent events, or one body."""
        return Whole() if content_type.endswith("json") else ServerSentEvents()

    def feed(self, frame: Frame) -> Iterable[ModelEvent]:
        """Text, thoughts and tool calls, each of which comes whole."""
        told = from_json(frame.data, self._provider)
        if told.get("error"):
            raise _error(self._provider, 0, {}, told["error"])
        return stopped(self._response(told, whole=frame.event == "reply"), self._stops, self)

    def _response(self, response: dict[str, Any], *, whole: bool) -> Iterator[ModelEvent]:
        self._id = response.get("responseId") or self._id
        self._model = response.get("modelVersion") or self._model
        if response.get("usageMetadata"):
            self.usage = _usage(response["usageMetadata"])
        if refused := (response.get("promptFeedback") or {}).get("blockReason"):
            why = (response["promptFeedback"].get("blockReasonMessage") or refused).strip()
            raise Refused(
                f"{self._provider} refused the prompt: {why}",
                remedy=FORBIDDEN,
                provider=self._provider,
                request_id=self._id,
            )
        for candidate in (response.get("candidates") or ())[:1]:
            logprobs = _logprobs(candidate)
            for part in (candidate.get("content") or {}).get("parts") or ():
                for event in self._part(part):
                    if isinstance(event, TextPart) and logprobs:
                        event, logprobs = TextPart(text=event.text, logprobs=logprobs), ()
                    yield event
            if reason := candidate.get("finishReason"):
                self._finished(reason, str(candidate.get("finishMessage") or ""))
        if whole:
            yield from self.end()

    def _part(self, part: dict[str, Any]) -> Iterator[ModelEvent]:
        signature = SIGNED + part["thoughtSignature"] if part.get("thoughtSignature") else ""
        if part.get("functionCall"):
            yield from self._call(part["functionCall"], signature)
            return
        if part.get("thought"):
            yield ReasoningPart(text=part.get("text") or "", signature=signature)
            return
        if part.get("text"):
            yield TextPart(text=part["text"])
        if signature:
            yield ReasoningPart(text="", signature=signature)

    def _call(self, call: dict[str, Any], signature: str) -> Iterator[ModelEvent]:
        arguments = to_json(call.get("args") or {}).decode()
        tool = self._reply_tool
        if tool is not None and call.get("name") == tool.name:
            yield TextPart(text=tool.unwrapped(arguments) or arguments)
            return
        self._called += 1
        own = f"{OWN_ID}{self._id}_{self._called}"
        yield ToolCallPart(
            call=ToolCall(
                id=call.get("id") or own, name=call.get("name") or "", arguments=arguments, signature=signature
            )
        )

    def _finished(self, reason: str, message: str) -> None:
        if reason in _UNREADABLE:
            raise InvalidReply(
                f"The model of {self._provider} wrote a tool call that cannot be used: {message or reason}",
                remedy="Ask again, or name another model",
                provider=self._provider,
                request_id=self._id,
            )
        self._reason = _REASONS.get(reason, "filtered")

    def end(self) -> Iterable[ModelEvent]:
        """Finish, if the vendor had said why it stopped; its last piece may come after that."""
        if self._reason is not None:
            yield from self._stops.rest()
            called = self._called and self._reason == "stop"
            reason: FinishReason = "tool_calls" if called else self._reason
            yield Finish(reason=reason, usage=self.usage, model=self._model, request_id=self._id)


_REASONS: Mapping[str, FinishReason] = {  # the others all are the vendor's filters
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "CONTINUATION": "length",  # it would go on if asked to
}
_UNREADABLE = frozenset(
    ("MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS", "MALFORMED_RESPONSE",
     "MISSING_THOUGHT_SIGNATURE")
)  # fmt: skip


def _error(provider: str, status: int, headers: Mapping[str, str], error: object) -> ModelError:
    """The error of a google.rpc.Status, whose details say how long to wait and which quota it was."""
    if not isinstance(error, dict):
        return failure(provider, status, headers, message=str(error))
    details = [one for one in error.get("details") or () if isinstance(one, dict)]
    told = {str(one.get("@type")).rpartition(".")[2]: one for one in details}
    message = str(error.get("message") or "")
    code = str(error.get("status") or "")
    status = status or int(error.get("code") or 0)
    if delay := re.fullmatch(r"([\d.]+)s", str(told.get("RetryInfo", {}).get("retryDelay"))):
        headers = {"retry-after": delay[1], **headers}
    if status == 429:
        # Every limit is called a quota here. One of a day or of nothing at all is what others call one.
        violated = str([one.get("quotaId") for one in told.get("QuotaFailure", {}).get("violations") or ()])
        used_up = "PerDay" in violated or "limit: 0" in message
        meant = failure(provider, status, headers, message="", code="insufficient_quota" if used_up else "")
    else:
        reason = str(told.get("ErrorInfo", {}).get("reason") or "")
        invalid_key = reason.startswith(("API_KEY", "ACCESS_TOKEN")) or "api key not valid" in message.lower()
        meant = failure(provider, 401 if invalid_key else status, headers, message=message, code=code)
    return type(meant)(
        f"{provider} answered {status}: {message or code or 'no reason given'}",
        remedy=meant.remedy,
        provider=provider,
        status=status,
        request_id=str(told.get("RequestInfo", {}).get("requestId") or "") or meant.request_id,
        retry_after=meant.retry_after,
    )


def _usage(usage: dict[str, Any]) -> Usage:
    """The vendor counts what was thought, and what its own tools brought, apart."""
    thought = usage.get("thoughtsTokenCount") or 0
    return Usage(
        input_tokens=(usage.get("promptTokenCount") or 0) + (usage.get("toolUsePromptTokenCount") or 0),
        output_tokens=(usage.get("candidatesTokenCount") or 0) + thought,
        cached_tokens=usage.get("cachedContentTokenCount") or 0,
        reasoning_tokens=thought,
        counted_by="vendor",
    )


def _logprobs(candidate: dict[str, Any]) -> tuple[float, ...]:
    chosen = (candidate.get("logprobsResult") or {}).get("chosenCandidates") or ()
    return tuple(float(one.get("logProbability") or 0.0) for one in chosen)
