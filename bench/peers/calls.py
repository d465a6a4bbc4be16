"""One client of `bench/model.py`: makes its calls and prints milliseconds as JSON, in the environment that has it."""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable

PROMPT = "Answer from the passages. " * 150
Call = Callable[[bool], Awaitable[float]]
"""Makes one call, streamed or not; returns when the first piece of text was there."""


async def bare(url: str) -> Call:
    """aiohttp alone: what the bytes themselves take, with JSON read as any client must."""
    import aiohttp

    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
    headers = {"Authorization": "Bearer key", "Content-Type": "application/json"}

    async def call(streamed: bool) -> float:
        first = 0.0
        asked = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": PROMPT}], "stream": streamed}
        async with session.post(f"{url}/chat/completions", data=json.dumps(asked), headers=headers) as response:
            if not streamed:
                assert json.loads(await response.read())["choices"][0]["message"]["content"]
                return time.perf_counter()
            text = ""
            async for line in response.content:
                if line.startswith(b"data: {"):
                    choices = json.loads(line[6:])["choices"]
                    if choices and (piece := choices[0]["delta"].get("content")):
                        first = first or time.perf_counter()
                        text += piece
            assert text
        return first

    return call


async def sourcebook(url: str) -> Call:
    from sourcebook.models.base import Message, ModelRequest, TextPart
    from sourcebook.models.formats.openai_chat import OpenAIChat
    from sourcebook.models.http import HttpModel
    from sourcebook.models.wire import Target

    wire = OpenAIChat(Target(provider="openai", base=url, model="gpt-4o-mini", key="key"))
    model = HttpModel(
        wire,
        provider="openai",
        model="gpt-4o-mini",
        window=128_000,
        count=len,
        counted_by="characters",
        secrets=("key",),
    )

    async def call(streamed: bool) -> float:
        request = ModelRequest(messages=(Message(role="user", text=PROMPT),), streamed=streamed)
        first = 0.0
        async for event in model.stream(request):
            if isinstance(event, TextPart):
                first = first or time.perf_counter()
        return first

    return call


async def sdk(url: str) -> Call:
    from openai import AsyncOpenAI

    client = AsyncOpenAI(base_url=url, api_key="key", max_retries=0)

    async def call(streamed: bool) -> float:
        messages = [{"role": "user", "content": PROMPT}]
        if not streamed:
            done = await client.chat.completions.create(model="gpt-4o-mini", messages=messages)
            assert done.choices[0].message.content
            return time.perf_counter()
        first = 0.0
        stream = await client.chat.completions.create(model="gpt-4o-mini", messages=messages, stream=True)
        async for chunk in stream:
            if chunk.choices and chunk.choices[0].delta.content:
                first = first or time.perf_counter()
        return first

    return call


async def litellm(url: str) -> Call:
    import litellm as library

    library.suppress_debug_info = True

    async def call(streamed: bool) -> float:
        asked = {
            "model": "openai/gpt-4o-mini",
            "messages": [{"role": "user", "content": PROMPT}],
            "api_base": url,
            "api_key": "key",
        }
        if not streamed:
            done = await library.acompletion(**asked)
            assert done.choices[0].message.content
            return time.perf_counter()
        first = 0.0
        async for chunk in await library.acompletion(**asked, stream=True):
            if chunk.choices and chunk.choices[0].delta.content:
                first = first or time.perf_counter()
        return first

    return call


CLIENTS = {"aiohttp": bare, "Sourcebook": sourcebook, "openai SDK": sdk, "LiteLLM": litellm}


async def measure(name: str, url: str, calls: int, levels: list[int]) -> list[dict[str, object]]:
    call = await CLIENTS[name](url)
    rows: list[dict[str, object]] = []
    for streamed in (False, True):
        for _ in range(40):
            await call(streamed)
        for level in levels:
            first: list[float] = []

            async def some(number: int, streamed: bool = streamed, first: list[float] = first) -> None:
                for _ in range(number):
                    began = time.perf_counter()
                    first.append(await call(streamed) - began)

            began = time.perf_counter()
            await asyncio.gather(*(some(calls // level) for _ in range(level)))
            took = (time.perf_counter() - began) / (calls // level * level)
            middle = sorted(first)[len(first) // 2]
            rows.append({"streamed": streamed, "at_once": level, "call": took * 1000, "first": middle * 1000})
    return rows


if __name__ == "__main__":
    _, name, port, calls, levels = sys.argv
    found = asyncio.run(
        measure(name, f"http://127.0.0.1:{port}/v1", int(calls), [int(one) for one in levels.split(",")])
    )
    print(json.dumps(found))
    sys.stdout.flush()
    import os

    os._exit(0)  # what clients left open does not matter here
