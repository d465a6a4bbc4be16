"""`llama-server:` against the real server of llama.cpp, which the wheel `xllamacpp` brings."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from dataclasses import replace

import pytest

from sourcebook.errors import ContextTooLong, NotAuthorised
from sourcebook.models.base import Message, TextPart, complete
from sourcebook.models.http import HttpModel
from sourcebook.models.llama import Llama, open_llama
from sourcebook.models.opening import open_http
from tests.models.test_llama import ASKED, YEAR, model_file

pytest.importorskip("xllamacpp")


@pytest.fixture(scope="module")
def server() -> Iterator[Llama]:
    """A loaded model, whose server listens on loopback."""
    model = open_llama(f"llama:{model_file()}?window=2048")
    yield model
    asyncio.run(model.close())


def url(server: Llama) -> str:
    return f"llama-server:smollm2?base={server._loaded().listening_address}"


@pytest.fixture
async def model(server: Llama) -> AsyncIterator[HttpModel]:
    opened = open_http(url(server), environment={"LLAMA_API_KEY": server._key})
    yield opened
    await opened.close()


@pytest.mark.parametrize("streamed", [True, False])
async def test_it_answers(model: HttpModel, streamed: bool) -> None:
    done = await complete(model, replace(ASKED, streamed=streamed))
    assert "1873" in done.text
    assert done.finish.reason == "stop"
    assert done.finish.usage.exact
    assert done.finish.usage.output_tokens > 3


async def test_the_limit(model: HttpModel) -> None:
    assert (await complete(model, replace(ASKED, max_output_tokens=3))).finish.reason == "length"


async def test_a_schema(model: HttpModel) -> None:
    assert json.loads((await complete(model, replace(ASKED, schema=YEAR))).text) == {"year": 1873}


async def test_log_probabilities(model: HttpModel) -> None:
    done = await complete(model, replace(ASKED, logprobs=True, max_output_tokens=4))
    assert len(done.logprobs) >= done.finish.usage.output_tokens - 1
    assert all(one <= 0.0 for one in done.logprobs)


async def test_a_reply_that_was_begun(model: HttpModel) -> None:
    begun = Message(role="assistant", text="The lighthouse on Gull Island was built in 18")
    done = await complete(model, replace(ASKED, messages=(*ASKED.messages, begun)))
    assert done.text.lstrip().startswith("73")


async def test_errors(server: Llama, model: HttpModel) -> None:
    long = Message(role="user", text="lighthouse " * 4000)
    with pytest.raises(ContextTooLong):
        await complete(model, replace(ASKED, messages=(long,)))
    wrong = open_http(url(server), environment={"LLAMA_API_KEY": "wrong"})
    with pytest.raises(NotAuthorised):
        await complete(wrong, ASKED)
    await wrong.close()


async def test_closing_stops_it(model: HttpModel) -> None:
    many = Message(role="user", text="Write a very long story about a lighthouse.")
    asked = replace(ASKED, messages=(many,), max_output_tokens=1500)
    async with aclosing(model.stream(asked)) as events:
        async for event in events:
            if isinstance(event, TextPart):
                break
    began = time.monotonic()
    await complete(model, replace(ASKED, max_output_tokens=2))
    assert time.monotonic() - began < 10.0  # the story alone would take longer; there is one slot
