"""A stand-in for Gemini's generateContent; requests are checked by the models of Google's own SDK."""

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import pairwise
from typing import Any

from aiohttp import web

from sourcebook.errors import (
    ContextTooLong,
    InvalidRequest,
    ModelError,
    NoSuchModel,
    NotAuthorised,
    QuotaExhausted,
    RateLimited,
    Unavailable,
)
from sourcebook.testing.doubles import REQUEST_ID, Double, Fault, Reply, Seen, sse
from sourcebook.types import Usage
from tests.models.doubles.tools import reply_tool

OVER_QUOTA = "You exceeded your current quota, please check your plan and billing details."
ERRORS: dict[type[ModelError], tuple[int, str, str]] = {
    InvalidRequest: (400, "INVALID_ARGUMENT", "Request contains an invalid argument."),
    NotAuthorised: (400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key, not {key}."),
    NoSuchModel: (404, "NOT_FOUND", "models/gemini-nothing is not found for API version v1beta."),
    ContextTooLong: (400, "INVALID_ARGUMENT", "The input token count exceeds the maximum number of tokens allowed."),
    RateLimited: (429, "RESOURCE_EXHAUSTED", OVER_QUOTA),
    QuotaExhausted: (429, "RESOURCE_EXHAUSTED", OVER_QUOTA),
    Unavailable: (503, "UNAVAILABLE", "The model is overloaded. Please try again later."),
}
QUOTAS = {
    RateLimited: "GenerateRequestsPerMinutePerProjectPerModel-FreeTier",
    QuotaExhausted: "GenerateRequestsPerDayPerProjectPerModel-FreeTier",
}
FINISH = {"stop": "STOP", "length": "MAX_TOKENS", "tool_calls": "STOP", "filtered": "SAFETY"}
SIGNATURE = base64.b64encode(b"signature of the double").decode()
RPC = "type.googleapis.com/google.rpc."


class GeminiDouble(Double):
    """POST {root}/models/{model}:generateContent and :streamGenerateContent.

    identified: whether calls have ids, as newer models give them. bearer: Vertex AI's way of carrying the key.
    """

    request_id_header = "x-of-no-use"  # the vendor's replies name themselves within
    root = "/v1beta"
    identified = True
    bearer = False

    def __init__(self) -> None:
        super().__init__()
        for kind in _kinds().values():  # which takes its time, and no request is to wait for it
            kind.rebuild()

    def routes(self) -> Sequence[web.RouteDef]:
        return [web.post(self.root + "/models/{model}:{method}", self.respond)]

    def streams(self, seen: Seen) -> bool:
        return seen.path.endswith(":streamGenerateContent") and seen.query.get("alt") == "sse"

    def authorised(self, seen: Seen) -> bool:
        if self.bearer:
            return seen.headers.get("authorization") == f"Bearer {self.key}"
        return seen.headers.get("x-goog-api-key") == self.key

    def check(self, seen: Seen) -> str:
        from pydantic import ValidationError

        body = dict(seen.body)
        kinds = _kinds()
        if unknown := set(body) - set(kinds):
            return f"unknown fields {sorted(unknown)}"
        for name, value in body.items():
            try:
                kinds[name].validate_json(json.dumps(value))
            except ValidationError as error:
                return f"{name}: {error}"
        return next(_rules_broken(body, seen.path), "")

    def refusal(self, fault: Fault, seen: Seen) -> tuple[int, Mapping[str, str], bytes]:
        error = _error(fault, seen.headers.get("x-goog-api-key", ""))
        return error["error"]["code"], {}, json.dumps(error).encode()

    def fault_event(self, fault: Fault) -> bytes | None:
        return sse(_error(fault, ""))

    def preamble(self, reply: Reply) -> int:
        return len(reply.thoughts)

    def whole(self, reply: Reply, seen: Seen) -> bytes:
        thoughts = [{"text": "".join(reply.thoughts), "thought": True}] if reply.thoughts else []
        text = [{"text": reply.text}] if reply.pieces else []
        if text and reply.thoughts:
            text[0]["thoughtSignature"] = SIGNATURE
        parts = [*thoughts, *(self._reply_call(reply, seen) or text), *self._calls(reply)]
        return json.dumps(_response(parts, reply, reply.logprobs, finish=FINISH[reply.finish])).encode()

    def streamed(self, reply: Reply, seen: Seen) -> list[bytes]:
        events = [_response([{"text": one, "thought": True}], reply) for one in reply.thoughts]
        if call := self._reply_call(reply, seen):
            events.append(_response(call, reply))
        else:
            logprobs: list[tuple[float, ...]] = [(one,) for one in reply.logprobs] or [()] * len(reply.pieces)
            for piece, logprob in zip(reply.pieces, logprobs, strict=True):
                shortened = replace(reply, pieces=(piece,))
                events.append(_response([{"text": piece}], shortened, logprob))
        if calls := self._calls(reply):
            events.append(_response(calls, reply))
        last = [{"text": "", "thoughtSignature": SIGNATURE}] if reply.thoughts and not calls else []
        events.append(_response(last, reply, finish=FINISH[reply.finish]))
        return [sse(one) for one in events]

    def _calls(self, reply: Reply) -> list[dict[str, Any]]:
        parts: list[dict[str, Any]] = []
        for call in reply.tool_calls:
            written = {"name": call.name, "args": json.loads(call.arguments)}
            parts.append({"functionCall": {**({"id": call.id} if self.identified else {}), **written}})
        if parts:
            parts[0]["thoughtSignature"] = SIGNATURE
        return parts

    def _reply_call(self, reply: Reply, seen: Seen) -> list[dict[str, Any]]:
        name = reply_tool(one for tool in seen.body.get("tools") or () for one in tool["functionDeclarations"])
        if not name or not reply.pieces:
            return []
        return [{"functionCall": {"name": name, "args": json.loads(reply.text)}}]


def _response(
    parts: Sequence[dict[str, Any]], reply: Reply, logprobs: Sequence[float] = (), finish: str | None = None
) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": list(parts)}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    if logprobs:
        chosen = [
            {"token": piece, "tokenId": 17, "logProbability": one}
            for piece, one in zip(reply.pieces, logprobs, strict=True)
        ]
        candidate["logprobsResult"] = {"chosenCandidates": chosen}
    return {
        "candidates": [candidate],
        "usageMetadata": usage_of(reply.usage),
        "modelVersion": "gemini-of-the-double",
        "responseId": REQUEST_ID,
    }


def usage_of(usage: Usage) -> dict[str, Any]:
    return {
        "promptTokenCount": usage.input_tokens,
        "candidatesTokenCount": usage.output_tokens - usage.reasoning_tokens,
        "thoughtsTokenCount": usage.reasoning_tokens,
        "cachedContentTokenCount": usage.cached_tokens,
        "totalTokenCount": usage.input_tokens + usage.output_tokens,
    }


def _error(fault: Fault, key: str) -> dict[str, Any]:
    code, status, message = ERRORS[fault.error]
    details: list[dict[str, Any]] = [{"@type": f"{RPC}RequestInfo", "requestId": REQUEST_ID}]
    if fault.error in QUOTAS:
        details.append({"@type": f"{RPC}QuotaFailure", "violations": [{"quotaId": QUOTAS[fault.error]}]})
    if fault.retry_after is not None:
        details.append({"@type": f"{RPC}RetryInfo", "retryDelay": f"{fault.retry_after:g}s"})
    if fault.error is NotAuthorised:
        details.append({"@type": f"{RPC}ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com"})
    return {"error": {"code": code, "message": message.format(key=key), "status": status, "details": details}}


@cache
def _kinds() -> Mapping[str, Any]:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from google.genai import types
        from pydantic import TypeAdapter

        kinds: dict[str, Any] = {
            "contents": list[types.Content],
            "systemInstruction": types.Content,
            "tools": list[types.Tool],
            "toolConfig": types.ToolConfig,
            "generationConfig": types.GenerationConfig,
        }
        return {name: TypeAdapter(kind) for name, kind in kinds.items()}


def _rules_broken(body: Mapping[str, Any], path: str) -> Iterator[str]:
    """Rules that the types do not tell."""
    contents = body.get("contents") or []
    if not contents or contents[0]["role"] != "user":
        yield "the first content is not the user's"
    if any(one["role"] == other["role"] for one, other in pairwise(contents)):
        yield "roles do not alternate"
    config = (body.get("toolConfig") or {}).get("functionCallingConfig") or {}
    if "allowedFunctionNames" in config and config["mode"] != "ANY":
        yield "allowedFunctionNames are for the mode ANY"
    for number, content in enumerate(contents):
        calls = [one for one in content["parts"] if "functionCall" in one]
        after = contents[number + 1]["parts"] if number + 1 < len(contents) else []
        answered = [one["functionResponse"] for one in after if "functionResponse" in one]
        if [one["functionCall"]["name"] for one in calls] != [one["name"] for one in answered]:
            yield "the number of function response parts is not that of the function call parts"
        if [one["functionCall"].get("id") for one in calls] != [one.get("id") for one in answered]:
            yield "function responses with other ids than their calls"
        if calls and "gemini-3" in path and "thoughtSignature" not in calls[0]:
            yield "Function call is missing a thought_signature in functionCall parts."
    if "responseJsonSchema" in (body.get("generationConfig") or {}) and "tools" in body and "gemini-2" in path:
        yield "Function calling with a response mime type 'application/json' is unsupported"
