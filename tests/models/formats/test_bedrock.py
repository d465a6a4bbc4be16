"""AWS Bedrock: the suite over families of models, signatures against botocore, the SDK, and what is particular."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from sourcebook.errors import (
    InvalidReply,
    InvalidRequest,
    ModelError,
    NotAuthorised,
    QuotaExhausted,
    RateLimited,
    Unavailable,
)
from sourcebook.models.base import Image, Message, ReasoningPart, Thought, ToolCall, complete
from sourcebook.models.formats.bedrock import Bedrock
from sourcebook.models.formats.bedrock_request import family_of
from sourcebook.models.framing import EventStream
from sourcebook.models.wire import Frame, Target, WireFormat
from sourcebook.testing.doubles import REQUEST_ID, Double, Fault, Reply, Seen
from sourcebook.testing.wire import ASKED, BUILT, WEATHER, WireSuite
from sourcebook.types import Usage
from tests.models.doubles.bedrock import BedrockDouble, event, message_of

pytest.importorskip("botocore")

PROFILE = "arn:aws:bedrock:eu-central-1:123456789012:application-inference-profile/abc/def"


class TestBedrock(WireSuite):
    model = "eu.anthropic.claude-sonnet-4-20250514-v1:0"
    thinking = False  # its usage does not tell
    in_stream = (Unavailable, RateLimited)

    def double(self) -> Double:
        return BedrockDouble()

    def wire(self, target: Target) -> WireFormat:
        return Bedrock(target)

    def target(self, url: str, key: str) -> Target:
        key = key if key == BedrockDouble.key or len(key) < 5 else f"AKIDWRONG:{key}"
        return replace(super().target(url, key), options={"region": "eu-central-1"})


class TestANewerClaude(TestBedrock):
    model = "global.anthropic.claude-opus-4-8"
    samples = False

    async def test_every_setting_is_accepted(self) -> None:
        async with self.both() as (double, model):
            await complete(model, replace(ASKED, temperature=0.2, top_p=0.9, stop=("\n\n", "END")))
            sent = double.seen[-1].body["inferenceConfig"]
        assert sent == {"maxTokens": 64, "stopSequences": ["END"]}


class TestNova(TestBedrock):
    model = "amazon.nova-2-lite-v1:0"


class TestAnArn(TestBedrock):
    """Its slashes and colons must come through the URL, its encoding and the signature."""

    model = PROFILE

    def target(self, url: str, key: str) -> Target:
        options = {"region": "eu-central-1", "like": "anthropic.claude-sonnet-4-5"}
        return replace(super().target(url, key), options=options)

    async def test_every_setting_is_accepted(self) -> None:
        async with self.both() as (double, model):
            await complete(model, replace(ASKED, temperature=0.2, top_p=0.9))
            assert double.seen[-1].body["inferenceConfig"] == {"maxTokens": 64, "temperature": 0.2}
            assert double.seen[-1].path == (
                "/model/arn:aws:bedrock:eu-central-1:123456789012:application-inference-profile%2Fabc%2Fdef/converse-stream"
            )


class TestABearerToken(WireSuite):
    model = "openai.gpt-oss-120b-1:0"
    thinking = False

    def double(self) -> Double:
        double = BedrockDouble()
        double.key = double.bearer
        return double

    def wire(self, target: Target) -> WireFormat:
        return Bedrock(target)


class TestTheEventStream:
    def test_a_message_that_came_damaged(self) -> None:
        good, other = event("messageStart", role="assistant"), event("messageStop", stopReason="end_turn")
        for place in range(len(other)):
            stream = EventStream()
            broken = other[:place] + bytes([other[place] ^ 0x5A]) + other[place + 1 :]
            frames = stream.feed(good + broken + good)
            assert [one.event for one in frames] == ["messageStart", "damaged"]
            assert not stream.feed(good)

    def test_headers_of_every_type(self) -> None:
        import struct
        from zlib import crc32

        values = (
            (0, b""), (1, b""), (2, b"\x01"), (3, b"\x00\x01"), (4, bytes(4)), (5, bytes(8)), (6, b"\x00\x02ab"),
            (8, bytes(8)), (9, bytes(16)), (7, b"\x00\x04last"),
        )  # fmt: skip
        names = [f"h{kind}".encode() for kind, _ in values[:-1]] + [b":event-type"]
        block = b"".join(
            struct.pack("!B", len(name)) + name + struct.pack("!B", kind) + value
            for name, (kind, value) in zip(names, values, strict=True)
        )
        head = struct.pack("!II", 16 + len(block), len(block))
        message = head + struct.pack("!I", crc32(head)) + block
        assert EventStream().feed(message + struct.pack("!I", crc32(message))) == [Frame(event="last", data="")]

    def test_errors_of_the_stream(self) -> None:
        headers = {":message-type": "error", ":error-code": "InternalError", ":error-message": "Oh"}
        assert EventStream().feed(message_of(headers, {})) == [
            Frame(event="error/InternalError", data='{"message": "Oh"}')
        ]

    @pytest.mark.parametrize(
        ("name", "kind", "status"),
        [
            ("throttlingException", RateLimited, 429),
            ("modelStreamErrorException", Unavailable, 424),
            ("serviceUnavailableException", Unavailable, 503),
            ("internalServerException", Unavailable, 500),
            ("validationException", InvalidRequest, 400),
            ("somethingNewException", Unavailable, 500),
        ],
    )
    def test_exceptions(self, name: str, kind: type[ModelError], status: int) -> None:
        with pytest.raises(kind) as caught:
            list(reader().feed(Frame(event=f"exception/{name}", data='{"message":"Wait a little"}')))
        assert caught.value.status == status


class TestRequests:
    @pytest.mark.parametrize(
        ("model", "reasoning", "schema", "caches", "continues"),
        [
            ("us.anthropic.claude-3-haiku-20240307-v1:0", "none", False, True, True),
            ("anthropic.claude-opus-4-7-v1", "claude", True, True, False),
            ("us.amazon.nova-pro-v1:0", "none", False, True, False),
            ("us.amazon.nova-2-lite-v1:0", "nova", False, True, False),
            ("openai.gpt-oss-20b-1:0", "effort", True, False, False),
            ("us.meta.llama4-scout-17b-instruct-v1:0", "none", False, False, False),
            ("qwen.qwen3-32b-v1:0", "none", True, False, False),
        ],
    )
    def test_families(self, model: str, reasoning: str, schema: bool, caches: bool, continues: bool) -> None:
        found = family_of(model)
        assert (found.reasoning, found.schema, found.keeps, found.continues) == (reasoning, schema, caches, continues)

    def test_options_overrule(self) -> None:
        found = family_of("x", {"like": "anthropic.claude-sonnet-4-5", "keeps": "false", "schema": "false"})
        assert (found.reasoning, found.schema, found.keeps, found.continues) == ("claude", False, False, True)

    @pytest.mark.parametrize(
        ("model", "effort", "fields"),
        [
            ("anthropic.claude-sonnet-4-5-v1:0", "low", {"thinking": {"type": "enabled", "budget_tokens": 1024}}),
            ("anthropic.claude-opus-4-8", "low",
             {"thinking": {"type": "adaptive", "display": "summarized"}, "output_config": {"effort": "low"}}),
            ("amazon.nova-2-lite-v1:0", "high",
             {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "medium"}}),
            ("amazon.nova-2-lite-v1:0", "none", {"reasoningConfig": {"type": "disabled"}}),
            ("openai.gpt-oss-20b-1:0", "high", {"reasoning_effort": "high"}),
            ("meta.llama4", "high", None),
        ],
    )  # fmt: skip
    def test_reasoning(self, model: str, effort: Any, fields: object) -> None:
        sent = body(model, reasoning=effort, max_output_tokens=4096)
        assert sent.get("additionalModelRequestFields") == fields

    def test_a_schema_that_is_kept_to(self) -> None:
        told = body("anthropic.claude-opus-5", schema=BUILT)["outputConfig"]["textFormat"]
        assert told["type"] == "json_schema"
        assert json.loads(told["structure"]["jsonSchema"]["schema"]) == BUILT

    def test_tool_choices(self) -> None:
        assert "toolConfig" not in body(tools=(WEATHER,), tool_choice="none")
        assert body(tools=(WEATHER,), tool_choice="required")["toolConfig"]["toolChoice"] == {"any": {}}
        assert body(tools=(WEATHER,), tool_choice="weather")["toolConfig"]["toolChoice"] == {
            "tool": {"name": "weather"}
        }
        assert body("meta.llama4", tools=(WEATHER,), schema=BUILT)["toolConfig"]["toolChoice"] == {"any": {}}

    def test_a_conversation(self) -> None:
        call = ToolCall(id="a b", name="weather", arguments="not JSON")
        thoughts = (
            Thought(text="So", signature="claude:anthropic.claude-sonnet-4-5-v1:0:s"),
            Thought(text="", signature="claude-redacted:anthropic.claude-sonnet-4-5-v1:0:eA=="),
            Thought(text="no", signature="gemini:x"),
        )
        sent = body(
            messages=(
                Message(role="system", text="Short.", keep=True),
                Message(role="user", text="Where?"),
                Message(role="assistant", tool_calls=(call,), thoughts=thoughts),
                Message(role="tool", tool_call_id="a b", text="", failed=True, keep=True),
            ),
            tools=(WEATHER,),
        )
        assert sent["system"] == [{"text": "Short."}, {"cachePoint": {"type": "default"}}]
        assert sent["messages"][1]["content"] == [
            {"reasoningContent": {"reasoningText": {"text": "So", "signature": "s"}}},
            {"reasoningContent": {"redactedContent": "eA=="}},
            {"toolUse": {"toolUseId": "a_b", "name": "weather", "input": {"unreadable": "not JSON"}}},
        ]
        result = {"toolUseId": "a_b", "content": [], "status": "error"}
        assert sent["messages"][2]["content"] == [{"toolResult": result}, {"cachePoint": {"type": "default"}}]

    def test_pictures(self) -> None:
        def asked(image: Image) -> Any:
            return body(messages=(Message(role="user", text="x", images=(image,)),))["messages"][0]["content"][0][
                "image"
            ]

        there = asked(Image(media_type="image/jpeg", url="s3://bucket/a.jpg"))
        assert there == {"format": "jpeg", "source": {"s3Location": {"uri": "s3://bucket/a.jpg"}}}
        for wrong in (Image(media_type="image/png", url="https://x/y.png"), Image(media_type="image/tiff", data=b"x")):
            with pytest.raises(InvalidRequest):
                asked(wrong)


class TestReplies:
    async def test_tokens_are_added_up(self) -> None:
        usage = Usage(input_tokens=100, output_tokens=9, cached_tokens=60, cache_write_tokens=30, counted_by="vendor")
        async with TestBedrock().both(Reply(usage=usage)) as (_, model):
            assert (await complete(model, ASKED)).finish.usage == usage

    def test_the_model_that_a_router_chose(self) -> None:
        one = reader()
        list(one.feed(Frame(event="messageStop", data='{"stopReason": "end_turn"}')))
        arn = "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0"
        told = {"usage": {"inputTokens": 1, "outputTokens": 2}, "trace": {"promptRouter": {"invokedModelId": arn}}}
        events = list(one.feed(Frame(event="metadata", data=json.dumps(told))))
        assert [each.model for each in events] == ["anthropic.claude-3-haiku-20240307-v1:0"]

    def test_thoughts_that_are_not_shown(self) -> None:
        one = reader()
        frames = [
            {"contentBlockIndex": 0, "delta": {"reasoningContent": {"redactedContent": part}}}
            for part in ("eA==", "eXo=")
        ]
        events = [
            each for frame in frames for each in one.feed(Frame(event="contentBlockDelta", data=json.dumps(frame)))
        ]
        events += one.feed(Frame(event="contentBlockStop", data='{"contentBlockIndex":0}'))
        assert events == [ReasoningPart(text="", signature="claude-redacted:anthropic.claude-opus-5:eHl6")]

    @pytest.mark.parametrize("why", ["malformed_model_output", "malformed_tool_use"])
    def test_what_cannot_be_read(self, why: str) -> None:
        one = reader()
        list(one.feed(Frame(event="messageStop", data=json.dumps({"stopReason": why}))))
        with pytest.raises(InvalidReply):
            list(one.feed(Frame(event="metadata", data='{"usage": {"inputTokens": 9, "outputTokens": 3}}')))
        assert (one.usage.input_tokens, one.usage.output_tokens) == (9, 3)  # it is charged all the same

    @pytest.mark.parametrize(("why", "reason"), [("guardrail_intervened", "filtered"), ("a_new_one", "length")])
    def test_reasons(self, why: str, reason: str) -> None:
        one = reader()
        list(one.feed(Frame(event="messageStop", data=json.dumps({"stopReason": why}))))
        assert [each.reason for each in one.end()] == [reason]

    @pytest.mark.parametrize(
        ("status", "headers", "said", "kind"),
        [
            (400, {}, {"__type": "com.amazon#ServiceQuotaExceededException", "message": "over"}, RateLimited),
            (424, {}, {"message": "x"}, Unavailable),
            (429, {"x-amzn-errortype": "ModelNotReadyException"}, {"message": "x"}, Unavailable),
            (403, {"x-amzn-errortype": "ExpiredTokenException:"}, {"Message": "expired"}, NotAuthorised),
            (429, {}, {"message": "Too many tokens per day"}, QuotaExhausted),
            (403, {}, {"message": "No match.\n\nThe Canonical String for this was\n'the-token'"}, NotAuthorised),
        ],
    )
    def test_errors(self, status: int, headers: dict[str, str], said: object, kind: type[ModelError]) -> None:
        wire = Bedrock(Target(provider="v", base="http://x", model="m"))
        error = wire.failure(status, {**headers, "x-amzn-requestid": "r"}, json.dumps(said).encode())
        assert type(error) is kind
        assert error.request_id == "r"
        assert "the-token" not in str(error)


def reader() -> Any:
    return Bedrock(Target(provider="v", base="http://x", model="anthropic.claude-opus-5")).reader(ASKED)


def body(model: str = "anthropic.claude-sonnet-4-5-v1:0", **asked: Any) -> Any:
    target = Target(provider="v", base="http://x", model=model, key="AKID:s", options={"region": "r"})
    return json.loads(Bedrock(target).call(replace(ASKED, **asked)).body)


def test_the_double_finds_fault() -> None:
    def wrong(**changed: Any) -> str:
        seen = Seen(method="POST", path="/model/m/converse", headers={}, query={}, body={**body(), **changed}, raw=b"")
        return BedrockDouble().check(seen)

    text = [{"text": "x"}]
    assert not wrong()
    assert wrong(max_tokens=5)
    assert wrong(inferenceConfig={"maxTokens": "5"})
    assert wrong(messages=[{"role": "assistant", "content": text}])
    assert wrong(messages=[{"role": "user", "content": text}] * 2)
    assert wrong(messages=[{"role": "user", "content": [{"text": " "}]}])
    assert wrong(toolConfig={"tools": []})


# --- the vendor's own SDK -----------------------------------------------------------------------------------


class TestTheSdk:
    def client(self, double: Double) -> Any:
        boto3 = pytest.importorskip("boto3")
        from botocore.config import Config

        access_key, secret_key, session = BedrockDouble.key.split(":")
        return boto3.client(
            "bedrock-runtime",
            region_name=BedrockDouble.region,
            endpoint_url=double.url,
            aws_access_key_id=access_key,
            aws_secret_access_key=secret_key,
            aws_session_token=session,
            config=Config(retries={"total_max_attempts": 1}),
        )

    async def test_a_reply(self) -> None:
        async with BedrockDouble() as double:
            double.say(Reply(thoughts=("So",)))
            client = await asyncio.to_thread(self.client, double)
            messages = [{"role": "user", "content": [{"text": "x"}]}]
            done = await asyncio.to_thread(client.converse, modelId=PROFILE, messages=messages)
        assert done["output"]["message"]["content"][1]["text"] == Reply().text
        assert done["stopReason"] == "end_turn"
        assert done["usage"]["inputTokens"] == 11

    async def test_a_stream_with_tools(self) -> None:
        calls = (ToolCall(id="a", name="weather", arguments='{"city": "Bergen"}'),)

        def read() -> list[dict[str, Any]]:
            messages = [{"role": "user", "content": [{"text": "x"}]}]
            return list(self.client(double).converse_stream(modelId="m", messages=messages)["stream"])

        async with BedrockDouble() as double:
            double.say(Reply(thoughts=("So",), tool_calls=calls, finish="tool_calls"))
            events = await asyncio.to_thread(read)
        deltas = [one["contentBlockDelta"]["delta"] for one in events if "contentBlockDelta" in one]
        assert "".join(one.get("text", "") for one in deltas) == Reply().text
        assert json.loads("".join(one["toolUse"]["input"] for one in deltas if "toolUse" in one)) == {"city": "Bergen"}
        assert events[-2] == {"messageStop": {"stopReason": "tool_use"}}
        assert events[-1]["metadata"]["usage"]["outputTokens"] == 7

    async def test_errors(self) -> None:
        from botocore.exceptions import ClientError, EventStreamError

        def stream() -> None:
            messages = [{"role": "user", "content": [{"text": "x"}]}]
            list(client.converse_stream(modelId="m", messages=messages)["stream"])

        async with BedrockDouble() as double:
            client = await asyncio.to_thread(self.client, double)
            double.say(Fault(error=RateLimited), Fault(error=RateLimited, after=1))
            with pytest.raises(ClientError) as caught:
                await asyncio.to_thread(stream)
            assert caught.value.response["Error"]["Code"] == "ThrottlingException"
            assert caught.value.response["ResponseMetadata"]["RequestId"] == REQUEST_ID
            with pytest.raises(EventStreamError, match="throttlingException"):
                await asyncio.to_thread(stream)
