"""Replicate: the suite, and what is particular to predictions."""

import asyncio
import json
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest

from sourcebook.errors import ConfigError, InvalidReply, InvalidRequest, Refused, Unavailable
from sourcebook.models.base import Image, Message, TextPart, complete
from sourcebook.models.formats import replicate
from sourcebook.models.formats.replicate import Replicate
from sourcebook.models.wire import Frame, Target, WireFormat
from sourcebook.testing.doubles import Double, Reply
from sourcebook.testing.wire import ASKED, PIXEL, WEATHER, WireSuite
from tests.models.doubles.replicate import ReplicateDouble


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replicate, "_POLLS", (0.001,))


class TestReplicate(WireSuite):
    model = "meta/meta-llama-3-8b-instruct"
    cached = False
    thinking = False
    reasons = ("length",)
    make_double: Callable[[], ReplicateDouble] = ReplicateDouble

    def replies(self) -> list[Reply]:
        """A stream does not tell why it ended; the prediction does, by its tokens."""
        return [one for one in super().replies() if one.finish == "stop"]

    def double(self) -> Double:
        return type(self).make_double()

    def wire(self, target: Target) -> WireFormat:
        return Replicate(target)

    def target(self, url: str, key: str) -> Target:
        return replace(super().target(url, key), base=f"{url}/v1")


class TestWithATemplate(TestReplicate):
    def target(self, url: str, key: str) -> Target:
        return replace(super().target(url, key), options={"template": "llama3"})


def running(double: ReplicateDouble) -> TestReplicate:
    suite = TestReplicate()
    suite.double = lambda: double  # type: ignore[method-assign]
    return suite


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_model_without_a_stream_is_looked_at_until_it_is_over(streamed: bool) -> None:
    double = ReplicateDouble(polls=4, streams_output=False)
    async with running(double).both() as (_, model):
        done = await complete(model, replace(ASKED, streamed=streamed))
        assert done.text == Reply().text
        assert done.finish.usage.exact
    assert double.looked == ["p1"] * 4
    assert double.cancelled == []


@pytest.mark.parametrize(("late", "exact"), [(0, True), (2, True), (9, False)])
async def test_metrics_that_come_late_or_not_at_all(late: int, exact: bool) -> None:
    double = ReplicateDouble(late_metrics=late)
    async with running(double).both() as (_, model):
        done = await complete(model, ASKED)
    assert done.text == Reply().text
    assert done.finish.usage.exact == exact
    assert len(double.looked) == min(late + 1, 3)


async def test_a_whole_reply_stands_though_its_metrics_are_lost() -> None:
    double = ReplicateDouble()
    double.lost = True
    async with running(double).both() as (_, model):
        done = await complete(model, ASKED)
    assert (done.text, done.finish.reason) == (Reply().text, "stop")
    assert not done.finish.usage.exact


@pytest.mark.parametrize("streams", [True, False])
async def test_closing_cancels_the_prediction(streams: bool) -> None:
    double = ReplicateDouble(polls=10_000, streams_output=streams)
    async with running(double).both(Reply(pieces=("word ",) * 500, pause=0.01)) as (_, model):
        if streams:
            async with aclosing(model.stream(ASKED)) as events:
                assert isinstance(await anext(events), TextPart)
        else:
            task = asyncio.create_task(complete(model, ASKED))
            await asyncio.sleep(0.1)
            assert double.looked
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
    assert double.cancelled == ["p1"]  # at the latest when the model is closed


async def test_a_stop_that_is_kept_to_here_cancels_the_prediction() -> None:
    double = ReplicateDouble()
    async with running(double).both(Reply(pieces=("One.", "END", *("more ",) * 500), pause=0.01)) as (_, model):
        done = await complete(model, replace(ASKED, stop=("END",)))
        assert (done.text, done.finish.reason) == ("One.", "stop")
    assert double.cancelled == ["p1"]


async def test_the_deadline_cancels_the_prediction() -> None:
    import time

    from sourcebook.errors import DeadlineExceeded

    double = ReplicateDouble(polls=10_000, streams_output=False)
    async with running(double).both() as (_, model):
        with pytest.raises(DeadlineExceeded):
            await complete(model, replace(ASKED, deadline=time.monotonic() + 0.1))
    assert double.cancelled == ["p1"]


def prediction(**changes: object) -> Frame:
    urls = {"get": "http://x/v1/predictions/p1", "cancel": "http://x/v1/predictions/p1/cancel"}
    said = {"id": "p1", "status": "succeeded", "output": ["Hello"], "urls": urls, **changes}
    return Frame(event="reply", data=json.dumps(said))


def wire(model: str = "meta/llama", **options: str) -> Replicate:
    return Replicate(Target(provider="replicate", base="http://x/v1", model=model, key="k", options=options))


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"status": "failed", "error": "CUDA out of memory"}, Unavailable),
        ({"status": "failed", "error": "Content was flagged as unsafe and blocked"}, Refused),
        ({"status": "failed", "error": "temperature must be a number"}, InvalidRequest),
        ({"status": "canceled"}, Unavailable),
        ({"output": {"image": 1}}, InvalidReply),
        ({"status": "starting", "urls": None}, InvalidReply),
    ],
)
def test_predictions_that_fail(changes: dict[str, object], kind: type[Exception]) -> None:
    reader = wire().reader(ASKED)
    with pytest.raises(kind):
        list(reader.feed(prediction(**changes)))


def test_an_output_may_be_one_text() -> None:
    first, *_ = wire().reader(ASKED).feed(prediction(output="Hello"))
    assert first == TextPart(text="Hello")


def test_a_stream_that_ends_for_a_reason_is_no_reply() -> None:
    reader = wire().reader(ASKED)
    list(reader.feed(prediction(status="processing", output=None)))
    list(reader.feed(Frame(event="output", data="Hel")))
    list(reader.feed(Frame(event="done", data='{"reason": "error"}')))
    assert list(reader.end()) == []
    call = reader.next_call()
    assert call is not None
    assert call.url.endswith("/predictions/p1")
    assert not call.optional


def test_versions_and_deployments_have_their_own_paths() -> None:
    assert wire().call(ASKED).url == "http://x/v1/models/meta/llama/predictions"
    assert wire(deployment="true").call(ASKED).url == "http://x/v1/deployments/meta/llama/predictions"
    for made in (wire("meta/llama:abc"), wire(version="abc")):
        assert made.call(ASKED).url == "http://x/v1/predictions"
        assert json.loads(made.call(ASKED).body)["version"] == "abc"
    assert wire(wait="5").call(replace(ASKED, streamed=False)).headers["Prefer"] == "wait=5"
    assert "Prefer" not in wire().call(ASKED).headers


def test_the_key_goes_to_the_vendor_only() -> None:
    made = Replicate(Target(provider="replicate", base="https://api.replicate.com/v1", model="a/b", key="k"))
    assert "Authorization" in made.headers_for("https://api.replicate.com/v1/predictions/p1")
    assert "Authorization" in made.headers_for("https://stream.replicate.com/v1/x")
    assert not made.is_trusted("http://169.254.169.254/latest")
    for url in ("https://replicate.com.evil.example/x", "http://stream.replicate.com/x", "https://evilreplicate.com/"):
        assert "Authorization" not in made.headers_for(url)
    gateway = Replicate(Target(provider="replicate", base="https://models.example.co.uk/v1", model="a/b", key="k"))
    assert "Authorization" not in gateway.headers_for("https://other.co.uk/x")
    local = Replicate(Target(provider="replicate", base="http://127.0.0.1:80/v1", model="a/b", key="k"))
    assert "Authorization" not in local.headers_for("https://10.0.0.1/x")


def inputs(made: Replicate, **changes: object) -> dict[str, object]:
    found: dict[str, object] = json.loads(made.call(replace(ASKED, **changes)).body)["input"]  # type: ignore[arg-type]
    return found


def test_prompts() -> None:
    found = inputs(wire())
    assert found["system_prompt"] == ASKED.messages[0].text
    assert found["prompt"] == ASKED.messages[1].text
    turns = (*ASKED.messages, Message(role="assistant", text="1873."), Message(role="user", text="Sure?"))
    assert str(inputs(wire(), messages=turns)["prompt"]).endswith(
        "built?\n\nAssistant: 1873.\n\nUser: Sure?\n\nAssistant:"
    )
    found = inputs(wire(template="chatml"), messages=turns)
    assert found["prompt_template"] == "{prompt}"
    assert "system_prompt" not in found
    assert str(found["prompt"]).startswith("<|im_start|>system\nAnswer in one sentence.<|im_end|>\n<|im_start|>user\n")
    assert str(found["prompt"]).endswith("<|im_start|>assistant\n")
    written = str(inputs(wire(template="mistral"), messages=turns)["prompt"])
    assert written.startswith("<s>[INST] Answer in one sentence.\n\nWhen was")
    assert written.endswith(" [/INST] 1873.</s>[INST] Sure? [/INST]")


def test_inputs_have_names_of_their_own() -> None:
    assert inputs(wire(limit="max_completion_tokens"))["max_completion_tokens"] == 64
    assert inputs(wire(), stop=("a", "b", "x,y"))["stop_sequences"] == "a,b"  # a comma would be a stop of its own
    picture = (Message(role="user", text="What?", images=(Image(media_type="image/png", data=PIXEL),)),)
    assert str(inputs(wire(images="image"), messages=picture)["image"]).startswith("data:image/png;base64,")
    assert isinstance(inputs(wire(images="image_input"), messages=picture)["image_input"], list)
    assert wire(images="image").capabilities.images
    for made, changes in ((wire(), {"messages": picture}), (wire(), {"tools": (WEATHER,)}), (wire(), {"schema": {}})):
        with pytest.raises(InvalidRequest):
            inputs(made, **changes)


@pytest.mark.parametrize("options", [{"template": "mine"}, {"wait": "0"}, {"wait": "long"}])
def test_options_that_are_wrong(options: dict[str, str]) -> None:
    with pytest.raises(ConfigError):
        wire(**options)


async def test_the_sdk_understands_the_double(monkeypatch: pytest.MonkeyPatch) -> None:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydantic's, at import
        from replicate.client import Client
        from replicate.exceptions import ReplicateError

    name = "meta/meta-llama-3-8b-instruct"
    async with ReplicateDouble() as double:
        client = Client(api_token=double.key, base_url=double.url)
        output: Any = await client.async_run(name, input={"prompt": "Hello"}, use_file_output=False)
        assert "".join(output) == Reply().text
        stream = await client.async_stream(name, input={"prompt": "Hello"}, use_file_output=False)
        assert "".join([str(one) async for one in stream if one.event.value == "output"]) == Reply().text
        made = await client.models.predictions.async_create(model=name, input={"prompt": "Hi"}, stream=True)
        assert made.status == "starting"
        cancelled = await client.predictions.async_cancel(made.id)
        assert cancelled.status == "canceled"
        wrong = Client(api_token="wrong", base_url=double.url)
        with pytest.raises(ReplicateError) as caught:
            await wrong.models.predictions.async_create(model=name, input={"prompt": "Hi"})
        assert caught.value.status == 401
        for one in (client, wrong):
            await one._async_client.aclose()
