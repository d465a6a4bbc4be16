"""Google Gemini: the suite over series of models and Vertex AI, Google's SDK, and what is particular."""

from __future__ import annotations

import json
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

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
from sourcebook.models.base import Image, Message, ReasoningPart, TextPart, Thought, ToolCall, complete
from sourcebook.models.formats.gemini import Gemini
from sourcebook.models.formats.gemini_request import series_of
from sourcebook.models.wire import Frame, Target, WireFormat
from sourcebook.testing.doubles import REQUEST_ID, Double, Fault, Reply, Seen
from sourcebook.testing.wire import ASKED, BUILT, WEATHER, WireSuite
from tests.models.doubles.gemini import RPC, SIGNATURE, GeminiDouble

pytest.importorskip("google.genai")


WAIT = {"@type": f"{RPC}RetryInfo", "retryDelay": "34.5s"}


class TestGemini(WireSuite):
    early_usage = True
    calls_in_pieces = False
    model = "gemini-3.5-flash"
    errors = (
        InvalidRequest, NotAuthorised, NoSuchModel, ContextTooLong, RateLimited, QuotaExhausted, Unavailable,
    )  # fmt: skip
    in_stream = (Unavailable, RateLimited)

    def double(self) -> Double:
        return GeminiDouble()

    def wire(self, target: Target) -> WireFormat:
        return Gemini(target)


class WithoutIds(GeminiDouble):
    identified = False


class TestAnOlderSeries(TestGemini):
    model = "gemini-2.5-pro"

    def double(self) -> Double:
        return WithoutIds()


class OfVertex(GeminiDouble):
    root = "/v1/projects/p/locations/global/publishers/google"
    bearer = True


class TestVertex(TestGemini):
    def double(self) -> Double:
        return OfVertex()

    def target(self, url: str, key: str) -> Target:
        return replace(super().target(url, key), base=url + OfVertex.root, options={"auth": "bearer"})


class TestAModelThatContinues(TestGemini):
    def target(self, url: str, key: str) -> Target:
        return replace(super().target(url, key), options={"continues": "true"})


class TestRequests:
    def test_where_it_goes(self) -> None:
        def url(base: str, model: str, streamed: bool = True) -> str:
            return Gemini(Target(provider="v", base=base, model=model)).call(replace(ASKED, streamed=streamed)).url

        assert url("http://x", "gemini-3-pro") == "http://x/v1beta/models/gemini-3-pro:streamGenerateContent?alt=sse"
        vertex = "aiplatform.googleapis.com/v1/projects/p/locations/{}/publishers/google"
        for place, host in (("europe-west1", "https://europe-west1-"), ("global", "https://")):
            there = vertex.format(place)
            assert url(f"https://{there}", "g", False) == f"{host}{there}/models/g:generateContent"
        assert url("http://x/v1", "tunedModels/a b", False) == "http://x/v1/tunedModels/a%20b:generateContent"

    @pytest.mark.parametrize(
        ("model", "effort", "config"),
        [
            ("gemini-3-pro-preview", "high", {"thinkingLevel": "HIGH", "includeThoughts": True}),
            ("gemini-3-pro-preview", "none", {"thinkingLevel": "LOW", "includeThoughts": False}),
            ("gemini-3.8-flash", "none", {"thinkingLevel": "MINIMAL", "includeThoughts": False}),
            ("gemini-flash-latest", "low", {"thinkingLevel": "LOW", "includeThoughts": True}),
            ("gemini-2.5-flash", "none", {"thinkingBudget": 0, "includeThoughts": False}),
            ("gemini-2.5-pro", "none", {"thinkingBudget": 128, "includeThoughts": False}),
            ("gemini-2.5-flash", "high", {"thinkingBudget": 3000, "includeThoughts": True}),
            ("gemini-2.5-flash", None, None),
            ("gemini-2.0-flash", "high", None),
            ("gemma-3-27b-it", "high", None),
        ],
    )
    def test_reasoning(self, model: str, effort: Any, config: object) -> None:
        sent = body(model, reasoning=effort, max_output_tokens=4000)
        assert sent["generationConfig"].get("thinkingConfig") == config

    def test_options_overrule(self) -> None:
        found = series_of("gemini-3-flash", {"thinking": "none", "continues": "true"})
        assert (found.thinking, found.continues) == ("none", True)

    def test_calls_of_another_model(self) -> None:
        calls = tuple(ToolCall(id=f"x{number}", name="weather", arguments="{}") for number in (1, 2))
        theirs, picture = Thought(text="t", signature="claude:s"), Image(media_type="image/png", data=b"x")
        asked = (
            *ASKED.messages,
            Message(role="assistant", text="I look", tool_calls=calls, thoughts=(theirs,)),
            Message(role="tool", tool_call_id="x1", text="Rain"),
            Message(role="tool", tool_call_id="x2", text="None", failed=True, images=(picture,)),
        )
        sent = body("gemini-3-pro", messages=asked)["contents"]
        assert sent[1] == {
            "role": "model",
            "parts": [
                {"text": "I look"},
                {
                    "functionCall": {"id": "x1", "name": "weather", "args": {}},
                    "thoughtSignature": "skip_thought_signature_validator",
                },
                {"functionCall": {"id": "x2", "name": "weather", "args": {}}},
            ],
        }
        assert [next(iter(one)) for one in sent[2]["parts"]] == ["functionResponse", "functionResponse", "inlineData"]
        assert sent[2]["parts"][1]["functionResponse"]["response"] == {"error": "None"}
        assert "thoughtSignature" not in json.dumps(body("gemini-2.5-pro", messages=asked))

    def test_pictures_by_their_url(self) -> None:
        picture = Image(media_type="image/png", url="https://example.org/a.png")
        sent = body(messages=(Message(role="user", images=(picture,)),))["contents"][0]["parts"]
        assert sent == [{"fileData": {"mimeType": "image/png", "fileUri": "https://example.org/a.png"}}]

    def test_a_schema_with_tools(self) -> None:
        assert body("gemini-3-pro", schema=BUILT, tools=(WEATHER,))["generationConfig"]["responseJsonSchema"] == BUILT
        sent = body("gemini-2.5-pro", schema=BUILT, tools=(WEATHER,))
        assert sent["toolConfig"] == {"functionCallingConfig": {"mode": "ANY"}}
        assert "responseJsonSchema" not in sent["generationConfig"]

    @pytest.mark.parametrize("streamed", [True, False])
    async def test_a_schema_by_way_of_a_tool(self, streamed: bool) -> None:
        asked = replace(ASKED, tools=(WEATHER,), schema=BUILT, streamed=streamed)
        async with TestAnOlderSeries().both(Reply(pieces=('{"year"', ": 1873}"))) as (_, model):
            done = await complete(model, asked)
        assert json.loads(done.text) == {"year": 1873}
        assert done.finish.reason == "stop"


class TestReplies:
    @pytest.mark.parametrize("streamed", [True, False])
    async def test_signatures_go_back_to_where_they_came_from(self, streamed: bool) -> None:
        calls = tuple(ToolCall(id=f"c{number}", name="weather", arguments="{}") for number in (1, 2))
        asked = replace(ASKED, tools=(WEATHER,), streamed=streamed)
        async with TestGemini().both(
            Reply(tool_calls=calls, finish="tool_calls"), Reply(thoughts=("So",)), Reply()
        ) as (double, model):
            done = await complete(model, asked)
            assert [one.signature for one in done.tool_calls] == [f"gemini:{SIGNATURE}", ""]
            turn = Message(role="assistant", text=done.text, tool_calls=done.tool_calls)
            results = tuple(Message(role="tool", tool_call_id=one.id, text="Rain") for one in done.tool_calls)
            asked = replace(asked, messages=(*asked.messages, turn, *results))
            again = await complete(model, asked)
            assert double.seen[-1].body["contents"][1]["parts"][1]["thoughtSignature"] == SIGNATURE
            assert again.thoughts == (Thought(text="So", signature=f"gemini:{SIGNATURE}"),)
            turn = Message(role="assistant", text=again.text, thoughts=again.thoughts)
            await complete(model, replace(asked, messages=(*asked.messages, turn, Message(role="user", text="Sure?"))))
            assert double.seen[-1].body["contents"][3]["parts"] == [{"text": again.text, "thoughtSignature": SIGNATURE}]

    async def test_calls_without_ids_get_ones_that_are_not_sent(self) -> None:
        calls = tuple(ToolCall(id="", name="weather", arguments="{}") for _ in range(2))
        async with TestAnOlderSeries().both(Reply(tool_calls=calls, finish="tool_calls")) as (_, model):
            done = await complete(model, replace(ASKED, tools=(WEATHER,)))
        ids = [one.id for one in done.tool_calls]
        assert ids == [f"own_{REQUEST_ID}_1", f"own_{REQUEST_ID}_2"]
        turn = Message(role="assistant", tool_calls=done.tool_calls)
        sent = body(messages=(*ASKED.messages, turn, Message(role="tool", tool_call_id=ids[0], text="x")))
        assert sent["contents"][2]["parts"][0]["functionResponse"] == {"name": "weather", "response": {"output": "x"}}

    def test_a_prompt_that_is_refused(self) -> None:
        said = {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "responseId": "r"}
        with pytest.raises(Refused, match="PROHIBITED_CONTENT") as caught:
            feed(said)
        assert caught.value.request_id == "r"

    @pytest.mark.parametrize(
        ("why", "reason"),
        [("RECITATION", "filtered"), ("SPII", "filtered"), ("A_NEW_ONE", "filtered"), ("CONTINUATION", "length")],
    )
    def test_reasons(self, why: str, reason: str) -> None:
        assert feed({"candidates": [{"finishReason": why}]})[-1].reason == reason

    @pytest.mark.parametrize("why", ["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL"])
    def test_calls_that_cannot_be_read(self, why: str) -> None:
        with pytest.raises(InvalidReply):
            feed({"candidates": [{"finishReason": why}]})

    def test_usage_that_comes_after_the_reason(self) -> None:
        events = feed(
            {"candidates": [{"content": {"parts": [{"text": "x"}]}, "finishReason": "STOP"}]},
            {"usageMetadata": {"promptTokenCount": 5, "toolUsePromptTokenCount": 2, "candidatesTokenCount": 3,
                               "thoughtsTokenCount": 4}},
        )  # fmt: skip
        assert events[0] == TextPart(text="x")
        assert (events[-1].usage.input_tokens, events[-1].usage.output_tokens) == (7, 7)

    def test_a_thought_with_its_signature(self) -> None:
        part = {"text": "So", "thought": True, "thoughtSignature": "eA=="}
        events = feed({"candidates": [{"content": {"parts": [part]}}]})
        assert events == [ReasoningPart(text="So", signature="gemini:eA==")]

    @pytest.mark.parametrize(
        ("error", "kind", "wait"),
        [
            ({"code": 429, "message": "Resource has been exhausted (e.g. check quota)."}, RateLimited, None),
            ({"code": 429, "message": "quota exceeded, limit: 0, model: x"}, QuotaExhausted, None),
            ({"code": 429, "message": "x", "details": [WAIT]}, RateLimited, 34.5),
            ({"code": 403, "message": "denied", "status": "PERMISSION_DENIED"}, NotAuthorised, None),
            ({"code": 401, "message": "x", "status": "UNAUTHENTICATED"}, NotAuthorised, None),
            ({"code": 504, "message": "x", "status": "DEADLINE_EXCEEDED"}, Unavailable, None),
            ({"code": 400, "message": "This API method requires billing to be enabled."}, QuotaExhausted, None),
        ],
    )  # fmt: skip
    def test_errors(self, error: dict[str, Any], kind: type[ModelError], wait: float | None) -> None:
        wire = Gemini(Target(provider="v", base="http://x", model="m"))
        for said in ({"error": error}, [{"error": error}]):
            found = wire.failure(error["code"], {}, json.dumps(said).encode())
            assert type(found) is kind
            assert (found.retry_after, found.status) == (wait, error["code"])
            assert error["message"] in str(found)


def feed(*responses: dict[str, Any]) -> list[Any]:
    reader = Gemini(Target(provider="v", base="http://x", model="gemini-3-pro")).reader(ASKED)
    events = [event for one in responses for event in reader.feed(Frame(data=json.dumps(one)))]
    return [*events, *reader.end()]


def body(model: str = "gemini-3-pro", **asked: Any) -> Any:
    call = Gemini(Target(provider="v", base="http://x", model=model)).call(replace(ASKED, **asked))
    return json.loads(call.body)


def test_the_double_finds_fault() -> None:
    def wrong(**changed: Any) -> str:
        sent = {**body(), **changed}
        path = "/v1beta/models/gemini-3-pro:generateContent"
        return GeminiDouble().check(Seen(method="POST", path=path, headers={}, query={}, body=sent, raw=b""))

    parts = [{"text": "x"}]
    assert not wrong()
    assert wrong(max_tokens=5)
    assert wrong(generationConfig={"maxTokens": 5})
    assert wrong(contents=[{"role": "model", "parts": parts}])
    assert wrong(contents=[{"role": "user", "parts": parts}] * 2)
    assert wrong(contents=[{"role": "user", "parts": [{"inlineData": {"mimeType": "image/png", "data": "%"}}]}])
    assert wrong(
        contents=[{"role": "user", "parts": parts}, {"role": "model", "parts": [{"functionCall": {"name": "x"}}]}]
    )


# --- Google's own SDK ---------------------------------------------------------------------------------------


@pytest.fixture
def quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.mark.usefixtures("quiet")
class TestTheSdk:
    @asynccontextmanager
    async def client(self, double: Double) -> AsyncIterator[Any]:
        from google import genai
        from google.genai import types

        options = types.HttpOptions(base_url=double.url, api_version="v1beta")
        with genai.Client(api_key=double.key, vertexai=False, http_options=options) as client:
            try:
                yield client.aio.models
            finally:
                await client.aio.aclose()

    async def test_a_reply(self) -> None:
        async with GeminiDouble() as double, self.client(double) as client:
            double.say(Reply(thoughts=("So",), logprobs=(-0.1, -0.2, -0.3)))
            done = await client.generate_content(model="gemini-3-pro", contents="x")
        assert done.text == Reply().text
        assert done.candidates[0].content.parts[0].thought
        assert done.candidates[0].finish_reason.value == "STOP"
        assert done.candidates[0].logprobs_result.chosen_candidates[1].log_probability == -0.2
        assert done.usage_metadata.prompt_token_count == 11
        assert done.response_id == REQUEST_ID

    async def test_a_stream_with_tools(self) -> None:
        calls = tuple(ToolCall(id=f"c{city}", name="weather", arguments=json.dumps({"city": city})) for city in "AB")
        async with GeminiDouble() as double, self.client(double) as client:
            double.say(Reply(tool_calls=calls, finish="tool_calls"))
            text, called, signatures = "", [], []
            async for chunk in await client.generate_content_stream(model="gemini-3-pro", contents="x"):
                for part in chunk.candidates[0].content.parts or ():
                    text += part.text or ""
                    if part.function_call:
                        called.append(part.function_call.args)
                        signatures.append(part.thought_signature)
        assert text == Reply().text
        assert called == [{"city": "A"}, {"city": "B"}]
        assert signatures == [b"signature of the double", None]

    async def test_errors(self) -> None:
        from google.genai import errors

        async with GeminiDouble() as double, self.client(double) as client:
            double.say(Fault(error=RateLimited), Fault(error=Unavailable))
            with pytest.raises(errors.ClientError) as caught:
                await client.generate_content(model="gemini-3-pro", contents="x")
            assert (caught.value.code, caught.value.status) == (429, "RESOURCE_EXHAUSTED")
            with pytest.raises(errors.ServerError):
                async for _ in await client.generate_content_stream(model="gemini-3-pro", contents="x"):
                    pass
