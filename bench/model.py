"""What a call of a model costs besides the model: Sourcebook next to bare aiohttp, the vendor's SDK and LiteLLM.

    bench/peers/setup.sh models     once: LiteLLM and the SDK in an environment of their own
    python bench/model.py           prints a Markdown table; about three minutes

A server on loopback, in a process of its own, answers at once with the same recorded reply of OpenAI's format. Each
client makes the same calls, whole and streamed, with 1, 8 and 32 at once; clients take turns, and medians count.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
from pathlib import Path

from peers.table import machine

HERE = Path(__file__).parent
PEERS = HERE / "peers" / ".venv-models" / "bin" / "python"
CLIENTS = {"aiohttp": sys.executable, "Sourcebook": sys.executable, "openai SDK": str(PEERS), "LiteLLM": str(PEERS)}
GOAL = 0.5  # milliseconds over bare aiohttp


def main() -> int:
    """Measure and print; 1 if Sourcebook misses the goal."""
    parser = argparse.ArgumentParser(description="What a call of a model costs besides the model.")
    parser.add_argument("--calls", type=int, default=400, help="calls of one measurement (default 400)")
    parser.add_argument("--repeats", type=int, default=5, help="rounds of which the median counts (default 5)")
    parser.add_argument("--at-once", default="1,8,32", help="calls at once (default 1,8,32)")
    options = parser.parse_args()
    clients = {name: python for name, python in CLIENTS.items() if Path(python).exists()}
    if len(clients) < len(CLIENTS):
        print("LiteLLM and the SDK are not installed: run bench/peers/setup.sh models", file=sys.stderr)
    levels = [int(one) for one in options.at_once.split(",")]
    server = subprocess.Popen([sys.executable, __file__, "serve"], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    port = server.stdout.readline().strip()
    results: dict[tuple[str, bool, int], list[tuple[float, float]]] = {}
    try:
        for _ in range(options.repeats):
            for name, python in clients.items():
                command = [python, str(HERE / "peers" / "calls.py"), name, port, str(options.calls), options.at_once]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                for row in json.loads(done.stdout.splitlines()[-1]):
                    key = (name, row["streamed"], row["at_once"])
                    results.setdefault(key, []).append((row["call"], row["first"]))
    finally:
        server.kill()
    for what, value in machine().items():
        print(f"- {what}: {value}")
    print(
        f"- {options.calls} calls a round, medians of {options.repeats} rounds; a reply has {PIECES} pieces of text\n"
    )
    return _table(clients, levels, results)


def _table(
    clients: dict[str, str], levels: list[int], results: dict[tuple[str, bool, int], list[tuple[float, float]]]
) -> int:
    def median(name: str, streamed: bool, level: int, part: int) -> float:
        return statistics.median(one[part] for one in results[name, streamed, level])

    print("| milliseconds a call (over bare aiohttp) | " + " | ".join(clients) + " |")
    print("| --- |" + " ---: |" * len(clients))
    missed = False
    for streamed in (False, True):
        for level in levels:
            parts = [(0, "a call, streamed" if streamed else "a call, whole")]
            parts += [(1, "first piece of text")] if streamed and level == 1 else []
            for part, what in parts:
                bare = median("aiohttp", streamed, level, part)
                cells = []
                for name in clients:
                    value = median(name, streamed, level, part)
                    cells.append(f"{value:.2f}" + ("" if name == "aiohttp" else f" (+{value - bare:.2f})"))
                    missed = missed or (name == "Sourcebook" and value - bare >= GOAL)
                print(f"| {what}, {level} at once | " + " | ".join(cells) + " |")
    print(f"\nGoal: Sourcebook less than {GOAL} ms over bare aiohttp: {'MISSED' if missed else 'met'}")
    return int(missed)


# --- the server ---------------------------------------------------------------------------------------------

PIECES = 40
_HEAD = {"id": "chatcmpl-1", "created": 1_700_000_000, "model": "gpt-4o-mini", "service_tier": "default"}
_USAGE = {"prompt_tokens": 900, "completion_tokens": PIECES, "total_tokens": 900 + PIECES}


def _whole() -> bytes:
    message = {"role": "assistant", "content": " word" * PIECES, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    body = json.dumps({**_HEAD, "object": "chat.completion", "choices": [choice], "usage": _USAGE}).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def _streamed() -> list[bytes]:
    def event(choices: list[object], usage: object = None) -> bytes:
        chunk = {**_HEAD, "object": "chat.completion.chunk", "choices": choices, "usage": usage}
        return b"data: " + json.dumps(chunk).encode() + b"\n\n"

    def chunk(delta: object, reason: str | None = None) -> object:
        return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}

    events = [event([chunk({"role": "assistant", "content": ""})])]
    events += [event([chunk({"content": " word"})]) for _ in range(PIECES)]
    events += [event([chunk({}, "stop")]), event([], _USAGE), b"data: [DONE]\n\n"]
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    return [head, *(b"%x\r\n%s\r\n" % (len(one), one) for one in events), b"0\r\n\r\n"]


async def _serve() -> None:
    whole, streamed = _whole(), _streamed()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    int(line.split(b":")[1])
                    for line in head.split(b"\r\n")
                    if line.lower().startswith(b"content-length")
                )
                body = await reader.readexactly(length)
                if b'"stream":true' in body.replace(b" ", b""):
                    for piece in streamed:
                        writer.write(piece)
                else:
                    writer.write(whole)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        asyncio.run(_serve())
    sys.exit(main())
