"""A stand-in for Bedrock's Converse and ConverseStream. Signatures and requests are checked by botocore itself."""

import base64
import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import pairwise
from typing import Any
from zlib import crc32

from aiohttp import web

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
from sourcebook.testing.doubles import Double, Fault, Reply, Seen
from sourcebook.types import Usage
from tests.models.doubles.tools import halves, reply_tool

ERRORS: dict[type[ModelError], tuple[int, str, str]] = {
    InvalidRequest: (400, "ValidationException", "The maximum tokens you requested exceeds the model limit."),
    NotAuthorised: (403, "UnrecognizedClientException", "The security token included in the request is invalid."),
    NoSuchModel: (400, "ValidationException", "The provided model identifier is invalid."),
    ContextTooLong: (400, "ValidationException", "Input is too long for requested model."),
    RateLimited: (429, "ThrottlingException", "Too many tokens, please wait before trying again."),
    QuotaExhausted: (429, "ThrottlingException", "Too many tokens per day, please wait before trying again."),
    Refused: (400, "ValidationException", "Output blocked by content filtering policy"),
    Unavailable: (503, "ServiceUnavailableException", "Bedrock is unable to process your request."),
}
FINISH = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "filtered": "content_filtered"}
ACCESS_KEY = "AKIDDOUBLE4711"
SIGNATURE = "ErUBCkYIBxgCIkDouble=="


class BedrockDouble(Double):
    """POST /model/{model}/converse and /model/{model}/converse-stream. region: whose signatures are good."""

    key = f"{ACCESS_KEY}:secret/of+the+double:session-of-the-double"
    bearer = "bedrock-api-key-of-the-double"
    region = "eu-central-1"
    content_type = "application/vnd.amazon.eventstream"
    request_id_header = "x-amzn-requestid"

    def __init__(self) -> None:
        super().__init__()
        _service()  # which takes its time, and no request is to wait for it

    def routes(self) -> Sequence[web.RouteDef]:
        return [
            web.post("/model/{model}/converse", self.respond),
            web.post("/model/{model}/converse-stream", self.respond),
        ]

    async def note(self, request: web.Request) -> Seen:
        """With the path as it was sent, which is what was signed."""
        await super().note(request)
        self.seen[-1] = replace(self.seen[-1], path=request.raw_path)
        return self.seen[-1]

    def streams(self, seen: Seen) -> bool:
        return seen.path.endswith("/converse-stream")

    def authorised(self, seen: Seen) -> bool:
        said = seen.headers.get("authorization", "")
        if said.startswith("Bearer "):
            return said == f"Bearer {self.bearer}"
        access_key, secret_key, session = self.key.split(":")
        return said == signed_by_botocore(seen, access_key, secret_key, session, self.region)

    def check(self, seen: Seen) -> str:
        operation = _service().operation_model("ConverseStream" if self.streams(seen) else "Converse")
        from botocore.validate import ParamValidator

        report = ParamValidator().validate({**seen.body, "modelId": "m"}, operation.input_shape)
        if report.has_errors():
            return str(report.generate_report())
        return next(_rules_broken(seen.body), "")

    def refusal(self, fault: Fault, seen: Seen) -> tuple[int, Mapping[str, str], bytes]:
        status, kind, message = ERRORS[fault.error]
        headers = {"x-amzn-errortype": f"{kind}:http://internal.amazon.com/coral/com.amazon.bedrock/"}
        return status, headers, json.dumps({"message": message}).encode()

    def fault_event(self, fault: Fault) -> bytes | None:
        _, kind, message = ERRORS[fault.error]
        name = kind[0].lower() + kind[1:]
        return message_of({":message-type": "exception", ":exception-type": name}, {"message": message})

    def preamble(self, reply: Reply) -> int:
        tool = 0  # a block of text has no event for its start
        return 1 + (len(reply.thoughts) + 2 if reply.thoughts else 0) + tool

    def whole(self, reply: Reply, seen: Seen) -> bytes:
        content: list[dict[str, Any]] = []
        if reply.thoughts:
            text = {"text": "".join(reply.thoughts), "signature": SIGNATURE}
            content.append({"reasoningContent": {"reasoningText": text}})
        if reply.pieces and (name := _reply_tool(seen.body)):
            content.append({"toolUse": {"toolUseId": "r", "name": name, "input": json.loads(reply.text)}})
        elif reply.pieces:
            content.append({"text": reply.text})
        content += [
            {"toolUse": {"toolUseId": one.id, "name": one.name, "input": json.loads(one.arguments)}}
            for one in reply.tool_calls
        ]
        said = {
            "output": {"message": {"role": "assistant", "content": content}},
            "stopReason": _stop_reason(reply, seen),
            "usage": usage_of(reply.usage),
            "metrics": {"latencyMs": 7},
        }
        return json.dumps(said).encode()

    def streamed(self, reply: Reply, seen: Seen) -> list[bytes]:
        return [
            event("messageStart", role="assistant"),
            *_blocks(reply, seen),
            event("messageStop", stopReason=_stop_reason(reply, seen)),
            event("metadata", usage=usage_of(reply.usage), metrics={"latencyMs": 7}),
        ]


def _blocks(reply: Reply, seen: Seen) -> Iterator[bytes]:
    index = 0
    if reply.thoughts:
        for one in (*({"text": text} for text in reply.thoughts), {"signature": SIGNATURE}):
            yield event("contentBlockDelta", contentBlockIndex=index, delta={"reasoningContent": one})
        yield event("contentBlockStop", contentBlockIndex=index)
        index += 1
    if reply.pieces and (name := _reply_tool(seen.body)):
        yield from _tool(index, "r", name, reply.pieces)
        index += 1
    elif reply.pieces:
        for text in reply.pieces:
            yield event("contentBlockDelta", contentBlockIndex=index, delta={"text": text})
        yield event("contentBlockStop", contentBlockIndex=index)
        index += 1
    for call in reply.tool_calls:
        yield from _tool(index, call.id, call.name, () if call.arguments == "{}" else halves(call.arguments))
        index += 1


def _tool(index: int, id: str, name: str, pieces: Sequence[str]) -> Iterator[bytes]:
    yield event("contentBlockStart", contentBlockIndex=index, start={"toolUse": {"toolUseId": id, "name": name}})
    for piece in pieces:
        yield event("contentBlockDelta", contentBlockIndex=index, delta={"toolUse": {"input": piece}})
    yield event("contentBlockStop", contentBlockIndex=index)


def usage_of(usage: Usage) -> dict[str, Any]:
    return {
        "inputTokens": usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens,
        "outputTokens": usage.output_tokens,
        "totalTokens": usage.input_tokens + usage.output_tokens,
        "cacheReadInputTokens": usage.cached_tokens,
        "cacheWriteInputTokens": usage.cache_write_tokens,
    }


def event(kind: str, **said: Any) -> bytes:
    headers = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    return message_of(headers, {**said, "p": "abcdefgh"})  # the vendor pads its events


def message_of(headers: Mapping[str, str], said: Mapping[str, Any]) -> bytes:
    """A message of the event stream: prelude, headers of the type string, payload, checksums."""
    block = b"".join(
        struct.pack("!B", len(name)) + name.encode() + struct.pack("!BH", 7, len(value.encode())) + value.encode()
        for name, value in headers.items()
    )
    payload = json.dumps(said, ensure_ascii=False).encode()
    head = struct.pack("!II", 12 + len(block) + len(payload) + 4, len(block))
    whole = head + struct.pack("!I", crc32(head)) + block + payload
    return whole + struct.pack("!I", crc32(whole))


def _stop_reason(reply: Reply, seen: Seen) -> str:
    return "tool_use" if _reply_tool(seen.body) and reply.finish == "stop" else FINISH[reply.finish]


def _reply_tool(body: Mapping[str, Any]) -> str:
    return reply_tool(one["toolSpec"] for one in (body.get("toolConfig") or {}).get("tools") or ())


# --- what botocore knows ------------------------------------------------------------------------------------


@cache
def _service() -> Any:
    import botocore.session

    return botocore.session.get_session().get_service_model("bedrock-runtime")


def signed_by_botocore(seen: Seen, access_key: str, secret_key: str, session: str, region: str) -> str:
    """The header that botocore's own signer would send for this request, with the same headers at the same time."""
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    said = seen.headers.get("authorization", "")
    if "SignedHeaders=" not in said or "x-amz-date" not in seen.headers:
        return "a signature"
    names = said.split("SignedHeaders=")[1].split(",")[0].split(";")
    headers = {name: seen.headers.get(name, "") for name in names}
    request = AWSRequest(seen.method, f"http://{seen.headers['host']}{seen.path}", headers=headers, data=seen.raw)
    request.context["timestamp"] = seen.headers["x-amz-date"]
    signer = SigV4Auth(Credentials(access_key, secret_key, session), "bedrock", region)
    signer.add_auth = None  # only its parts are used, so that the time stays what it was
    string = signer.string_to_sign(request, signer.canonical_request(request))
    signature = signer.signature(string, request)
    scope = signer.scope(request)
    return f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders={';'.join(names)}, Signature={signature}"


# --- rules that the shapes do not tell ----------------------------------------------------------------------


def _rules_broken(body: Mapping[str, Any]) -> Iterator[str]:
    messages = body["messages"]
    if not messages or messages[0]["role"] != "user":
        yield "A conversation must start with a user message."
    if any(one["role"] == other["role"] for one, other in pairwise(messages)):
        yield "roles do not alternate"
    blocks = [block for one in messages for block in one["content"]] + list(body.get("system") or ())
    if any("text" in one and not one["text"].strip() for one in blocks):
        yield "The text field in the ContentBlock object is blank."
    if sum("cachePoint" in one for one in blocks) > 4:
        yield "more than 4 cache points"
    if any("toolUse" in one or "toolResult" in one for one in blocks) and "toolConfig" not in body:
        yield "The toolConfig field must be defined when using toolUse and toolResult content blocks."
    for block in blocks:
        if "image" in block and "bytes" in block["image"]["source"]:
            base64.b64decode(block["image"]["source"]["bytes"], validate=True)
    for number, message in enumerate(messages):
        asked = [one["toolUse"]["toolUseId"] for one in message["content"] if "toolUse" in one]
        after = messages[number + 1]["content"] if asked and number + 1 < len(messages) else []
        if sorted(asked) != sorted(one["toolResult"]["toolUseId"] for one in after if "toolResult" in one):
            yield "Expected toolResult blocks for the toolUse blocks of the turn before"
    thinking = (body.get("additionalModelRequestFields") or {}).get("thinking") or {}
    if thinking.get("type") == "enabled":
        if not 1024 <= thinking["budget_tokens"] < body["inferenceConfig"]["maxTokens"]:
            yield "the budget is not between 1024 and maxTokens"
        if "temperature" in body["inferenceConfig"]:
            yield "temperature may only be set to 1 when thinking is enabled"
    if messages and messages[-1]["role"] == "assistant" and thinking:
        yield "no prefill with thinking"
