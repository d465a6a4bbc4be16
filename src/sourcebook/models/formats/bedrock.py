"""AWS Bedrock: Converse and ConverseStream, for every model that Bedrock serves.

Format: docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html and API_runtime_ConverseStream.html.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlsplit

from sourcebook.errors import ConfigError, Interrupted, InvalidReply, ModelError, Unavailable
from sourcebook.models.base import (
    Capabilities,
    Finish,
    FinishReason,
    ModelEvent,
    ModelRequest,
    ReasoningPart,
    TextPart,
    ToolCall,
)
from sourcebook.models.formats.bedrock_request import Family, converse_body, family_of
from sourcebook.models.formats.claude import REDACTED, SIGNED, marked_with, reply_tool_of, with_own_thoughts
from sourcebook.models.formats.replies import ReplyTool, finished_calls, shared_stops, stopped
from sourcebook.models.formats.signing import Credentials, Profile, sign
from sourcebook.models.formats.stopping import StopSequences
from sourcebook.models.formats.turns import Continuation, begun
from sourcebook.models.formats.wishes import ensure_able
from sourcebook.models.framing import EventStream, Whole
from sourcebook.models.meaning import WAIT, failure, finish_reason
from sourcebook.models.wire import Frame, Framing, HttpCall, OneCall, Target, from_json, said, to_json
from sourcebook.types import Usage

_ANYWHERE = "https://bedrock-runtime.amazonaws.com"  # a base to which the region is still to be added


class Bedrock:
    """The wire format, for one target.

    The target's key: a Bedrock API key, which is sent as a bearer token, or "ACCESS:SECRET[:SESSION]", which signs;
    without one, or where a profile is named, a profile of AWS's shared files signs.
    Options: "region", "profile", and those of `family_of`.
    clock: the time that signatures carry.
    """

    def __init__(
        self,
        target: Target,
        *,
        family: Family | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._target = target
        self._family = family or family_of(target.model, target.options)
        self._clock = clock
        profile = target.options.get("profile", "")
        self._key = "" if profile else target.key
        self._credentials = Credentials.of(self._key)
        self._profile = Profile(profile)
        self.capabilities = Capabilities(
            tools=True,
            images=True,
            schema=True,
            reasoning=self._family.reasoning != "none",
            continues=self._family.continues,
            caches=self._family.keeps,
        )

    def call(self, request: ModelRequest) -> HttpCall:
        """POST {base}/model/{model}/converse or /converse-stream. Only the headers depend on the time."""
        ensure_able(request, self.capabilities, self._target.provider)
        model = quote(self._target.model, safe=":")  # a slash of an ARN is not one of the path
        path = f"/model/{model}/{'converse-stream' if request.streamed else 'converse'}"
        body = to_json(
            converse_body(with_own_thoughts(request, self._target.model), self._family, self._target.provider)
        )
        headers = {"Content-Type": "application/json", **self._target.headers}
        return self._authorised(HttpCall(url=self._base() + path, headers=headers, body=body))

    def _authorised(self, call: HttpCall) -> HttpCall:
        if self._key and self._credentials is None:
            return replace(call, headers={**call.headers, "Authorization": f"Bearer {self._key}"})
        credentials = self._credentials or self._profile.credentials()
        return sign(call, credentials, region=self._region(), service="bedrock", now=self._clock())

    def _base(self) -> str:
        if self._target.base != _ANYWHERE:
            return self._target.base
        region = self._region()
        return f"https://bedrock-runtime.{region}.amazonaws.com{'.cn' if region.startswith('cn-') else ''}"

    def _region(self) -> str:
        """As told, as in the URL, as in the model's ARN, or as in the profile."""
        told = self._target.options.get("region")
        host = re.search(r"\.([a-z]{2,4}(?:-[a-z]+)+-\d)\.", urlsplit(self._target.base).netloc)
        arn = re.match(r"arn:[^:]+:bedrock:([^:]+):", self._target.model)
        region = told or (host and host[1]) or (arn and arn[1]) or self._profile.region
        if not region:
            raise ConfigError("No AWS region is known", remedy="Set AWS_REGION, or add ?region= to the model's URL")
        return region

    def reader(self, request: ModelRequest) -> BedrockReader:
        """For the reply, streamed or not."""
        return BedrockReader(
            self._target.provider,
            self._target.model,
            reply_tool=reply_tool_of(request, schema=self._family.schema),
            continuation=Continuation(begun(request.messages)),
            stops=shared_stops(request.stop)[1],
        )

    def failure(self, status: int, headers: Mapping[str, str], body: bytes) -> ModelError:
        """From the header x-amzn-errortype and {"message"}, or whatever else comes."""
        told = said(body, self._target.provider, otherwise="message")
        kind = headers.get("x-amzn-errortype") or str(told.get("__type") or told.get("code") or "")
        kind = kind.split(":")[0].rpartition("#")[2]
        return _error(self._target.provider, status, headers, kind, told)


class BedrockReader(OneCall):
    """One reply: events from messageStart to metadata, or one response."""

    def __init__(
        self,
        provider: str,
        model: str,
        *,
        reply_tool: ReplyTool | None,
        continuation: Continuation,
        stops: Sequence[str],
    ) -> None:
        self._provider = provider
        self._asked = model
        self._reply_tool = reply_tool
        self._continuation = continuation
        self._stops = StopSequences(stops)
        self._tools: dict[int, dict[str, str]] = {}
        self._signatures: dict[int, str] = {}
        self._redacted: dict[int, bytes] = {}
        self._calls: list[ToolCall] = []
        self._model = ""
        self._reason: FinishReason | None = None
        self._unreadable: InvalidReply | None = None

    def framing(self, content_type: str) -> Framing:
        """AWS's event stream, or one body."""
        return Whole() if content_type.endswith("json") else EventStream()

    def feed(self, frame: Frame) -> Iterable[ModelEvent]:
        """Text and thoughts as they come, tool calls once it is known that they are whole, Finish with the usage."""
        if frame.event == "damaged":
            raise Interrupted(f"{self._provider} broke off: {frame.data}", provider=self._provider)
        told = from_json(frame.data or "{}", self._provider)
        origin, _, kind = frame.event.partition("/")
        if origin in ("exception", "error"):
            raise _error(self._provider, _STATUSES.get(kind.lower(), 500), {}, kind, told)
        events = self._whole(told) if frame.event == "reply" else self._event(frame.event, told)
        return stopped(events, self._stops, self)

    def _whole(self, reply: dict[str, Any]) -> Iterator[ModelEvent]:
        self._described(reply)
        content = ((reply.get("output") or {}).get("message") or {}).get("content") or ()
        for index, block in enumerate(content):
            yield from self._block(index, block)
            yield from self._stopped(index)
        yield from self._ended(reply.get("stopReason"))
        yield from self.end()

    def _block(self, index: int, block: dict[str, Any]) -> Iterator[ModelEvent]:
        """A whole block, as the pieces that a stream would bring it in."""
        if "toolUse" in block:
            tool = block["toolUse"]
            yield from self._started(index, {"toolUse": tool})
            yield from self._delta(index, {"toolUse": {"input": to_json(tool.get("input") or {}).decode()}})
        elif "reasoningContent" in block:
            reasoning = block["reasoningContent"]
            yield from self._delta(index, {"reasoningContent": reasoning.get("reasoningText") or reasoning})
        elif "citationsContent" in block:
            for one in block["citationsContent"].get("content") or ():
                yield from self._delta(index, one)
        else:
            yield from self._delta(index, block)

    def _event(self, kind: str, event: dict[str, Any]) -> Iterator[ModelEvent]:
        index = event.get("contentBlockIndex") or 0
        match kind:
            case "contentBlockStart":
                yield from self._started(index, event.get("start") or {})
            case "contentBlockDelta":
                yield from self._delta(index, event.get("delta") or {})
            case "contentBlockStop":
                yield from self._stopped(index)
            case "messageStop":
                yield from self._ended(event.get("stopReason"))
            case "metadata":
                self._described(event)
                yield from self.end()

    def _described(self, reply: dict[str, Any]) -> None:
        """What is told of the call: its tokens, and the model that a router chose."""
        self.usage = _usage(reply.get("usage") or {})
        routed = (reply.get("trace") or {}).get("promptRouter") or {}
        self._model = str(routed.get("invokedModelId") or "").rpartition("/")[2]

    def _started(self, index: int, start: dict[str, Any]) -> Iterator[ModelEvent]:
        if tool := start.get("toolUse"):
            self._tools[index] = {"id": tool.get("toolUseId") or "", "name": tool.get("name") or "", "arguments": ""}
        return iter(())

    def _delta(self, index: int, delta: dict[str, Any]) -> Iterator[ModelEvent]:
        if delta.get("text") and (text := self._continuation.rest(delta["text"])):
            yield TextPart(text=text)
        if tool := delta.get("toolUse"):
            yield from self._arguments(index, tool.get("input") or "")
        if reasoning := delta.get("reasoningContent"):
            if reasoning.get("text"):
                yield ReasoningPart(text=reasoning["text"])
            if reasoning.get("signature"):
                self._signatures[index] = self._signatures.get(index, "") + reasoning["signature"]
            if reasoning.get("redactedContent"):
                piece = base64.b64decode(reasoning["redactedContent"])
                self._redacted[index] = self._redacted.get(index, b"") + piece

    def _arguments(self, index: int, piece: str) -> Iterator[ModelEvent]:
        call = self._tools.setdefault(index, {"id": "", "name": "", "arguments": ""})
        tool = self._reply_tool
        if tool is not None and call["name"] == tool.name and not tool.wrapped:
            if piece:
                yield TextPart(text=piece)
        else:
            call["arguments"] += piece

    def _stopped(self, index: int) -> Iterator[ModelEvent]:
        if signature := self._signatures.pop(index, ""):
            yield ReasoningPart(text="", signature=marked_with(SIGNED, self._asked, signature))
        if redacted := self._redacted.pop(index, b""):
            data = base64.b64encode(redacted).decode()
            yield ReasoningPart(text="", signature=marked_with(REDACTED, self._asked, data))
        call = self._tools.pop(index, None)
        if call is None:
            return
        if self._reply_tool is not None and call["name"] == self._reply_tool.name:
            if text := self._reply_tool.unwrapped(call["arguments"]):
                yield TextPart(text=text)
        else:
            self._calls.append(ToolCall(id=call["id"], name=call["name"], arguments=call["arguments"]))

    def _ended(self, why: str | None) -> Iterator[ModelEvent]:
        if why is None:
            return
        self._reason = finish_reason(why, self._provider)
        if why in _UNREADABLE:
            self._unreadable = InvalidReply(
                f"The model of {self._provider} wrote {_UNREADABLE[why]} that cannot be read",
                remedy="Ask again, or name another model",
                provider=self._provider,
            )
            return
        calls = finished_calls(self._calls, self._reason)
        yield from calls
        if self._reason == "tool_calls" and not calls:
            self._reason = "stop"  # it was the tool that writes the reply

    def end(self) -> Iterable[ModelEvent]:
        """Finish, if the vendor had said why it stopped. Errors: InvalidReply, once its tokens are known."""
        if self._unreadable is not None:
            raise self._unreadable
        if self._reason is not None:
            yield from self._stops.rest()
            yield Finish(reason=self._reason, usage=self.usage, model=self._model)


_UNREADABLE = {"malformed_model_output": "a reply", "malformed_tool_use": "a tool call"}
_STATUSES = {  # of the exceptions that come within a stream
    "throttlingexception": 429,
    "validationexception": 400,
    "modelstreamerrorexception": 424,
    "modeltimeoutexception": 408,
    "serviceunavailableexception": 503,
    "internalserverexception": 500,
}


def _error(provider: str, status: int, headers: Mapping[str, str], kind: str, reply: Mapping[str, Any]) -> ModelError:
    message = str(reply.get("message") or reply.get("Message") or reply.get("originalMessage") or "")
    message = message.partition("\n\nThe Canonical String")[0]  # it would show the session's token
    lowered = message.lower()
    code = kind
    if status == 429 and "per day" in lowered:
        code = "insufficient_quota"
    elif kind == "ServiceQuotaExceededException":
        status, code = 429, kind
    elif "model identifier is invalid" in lowered:
        code = "model_not_found"
    if status == 424 or kind in ("ModelErrorException", "ModelNotReadyException"):
        return Unavailable(
            f"{provider} answered {status}: the model failed: {message or kind}",
            remedy=WAIT,
            provider=provider,
            status=status,
            request_id=headers.get("x-amzn-requestid", ""),
        )
    return failure(provider, status, headers, message=message or kind, code=code)


def _usage(usage: dict[str, Any]) -> Usage:
    """The vendor counts tokens that were read from the cache, written to it, and neither, each apart."""
    if not usage:
        return Usage()
    cached = usage.get("cacheReadInputTokens") or 0
    written = usage.get("cacheWriteInputTokens") or 0
    return Usage(
        input_tokens=(usage.get("inputTokens") or 0) + cached + written,
        output_tokens=usage.get("outputTokens") or 0,
        cached_tokens=cached,
        cache_write_tokens=written,
        counted_by="vendor",
    )
