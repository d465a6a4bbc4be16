"""A language model in this process: a GGUF file on llama.cpp, through `xllamacpp`.

llama.cpp's own server code composes the prompt by the model's chat template, batches, and constrains the output to a
schema; it speaks OpenAI's chat completions, so that format reads and writes here as well. The library listens on a
port of the loopback interface besides, which a random key closes to everybody else.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl
from urllib.request import ProxyHandler, Request, build_opener

from sourcebook.errors import (
    ConfigError,
    DeadlineExceeded,
    Interrupted,
    InvalidReply,
    InvalidRequest,
    MissingExtra,
    ModelError,
    Unavailable,
)
from sourcebook.models.base import Capabilities, Finish, ModelEvent, ModelRequest, TextPart
from sourcebook.models.formats.openai_chat import Dialect, OpenAIChat
from sourcebook.models.wire import Frame, Target, to_json

if TYPE_CHECKING:
    import xllamacpp

_DEFAULT_WINDOW = 4096
_COUNTS_KEPT = 4096  # texts whose token count is remembered
_PART = 2**20  # bytes at either end of a file that tell it from another
_OPTIONS = ("window", "threads", "parallel", "gpu_layers")


class Llama:
    """A `Model` that runs in this process.

    path: of the GGUF file. window: tokens of prompt and answer, which memory is set aside for at the first call.
    threads: cores; None for all. parallel: calls at once; more wait in turn. It is loaded by `ready`, or with the first
    call; what it can do, and how many tokens a text has, is known from then on. Its name tells the file's content too.
    Errors: ConfigError, for a file that is no model.
    """

    def __init__(
        self,
        path: Path,
        *,
        window: int = _DEFAULT_WINDOW,
        threads: int | None = None,
        parallel: int = 1,
        gpu_layers: int = 0,
    ) -> None:
        self.path = path
        self.window = window
        self.provider = "llama"
        self.model = path.name
        self.name = f"llama:{path.name}@{_fingerprint(path)}"
        self._threads = threads or os.cpu_count() or 1
        self._parallel = parallel
        self._gpu_layers = gpu_layers
        self._key = secrets.token_hex(16)
        self._executor = ThreadPoolExecutor(max_workers=parallel, thread_name_prefix="llama")
        self._loading = threading.Lock()
        self._server: xllamacpp.Server | None = None
        self._takes_tools = False
        self._closed = False
        self._opener = build_opener(ProxyHandler({}))  # whatever the environment says: it is this process
        self._counts: OrderedDict[str, int] = OrderedDict()
        dialect = Dialect(
            limit="max_tokens",
            continues={},
            capabilities=Capabilities(schema=True, reasoning=True, logprobs=True, seed=True, local=True),
        )
        self._wire = OpenAIChat(Target(provider="llama", base="", model=path.name), dialect)

    @property
    def capabilities(self) -> Capabilities:
        """Tools only where the model's chat template has a place for them, which is known once it is loaded."""
        return replace(self._wire.capabilities, tools=self._takes_tools)

    async def ready(self) -> None:
        """Load it, once. Errors: ConfigError, MissingExtra."""
        if self._server is None:
            await asyncio.to_thread(self._loaded)

    def body(self, request: ModelRequest) -> bytes:
        """What llama.cpp is given, in OpenAI's format. Without a temperature, the likeliest token is taken.

        What it remembers of the prompt before is used only where tools are, whose steps go on from each other: it makes
        numbers differ in their last digits, and a reply that is asked for again may then differ in its words.
        """
        temperature = 0.0 if request.temperature is None else request.temperature
        body = self._wire.call(replace(request, streamed=True, temperature=temperature)).body
        return body if request.tools else to_json({**json.loads(body), "cache_prompt": False})

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """The reply, token by token. Closing the generator stops the work at the next token. Errors: ModelError."""
        body = self.body(request)
        sent = sha256(body).hexdigest()
        loop = asyncio.get_running_loop()
        chunks: asyncio.Queue[str | BaseException | None] = asyncio.Queue()
        stopped = threading.Event()

        def put(item: str | BaseException | None) -> None:
            if not stopped.is_set():
                loop.call_soon_threadsafe(chunks.put_nowait, item)

        def received(chunk: str) -> bool:
            put(chunk)
            return stopped.is_set()  # True makes llama.cpp stop

        def run() -> None:
            try:
                if not stopped.is_set():
                    self._loaded().handle_chat_completions(body.decode(), received)
                put(None)
            except BaseException as error:
                put(error)

        if self._closed:
            raise self._is_closed()
        working = self._executor.submit(run)
        reader = self._wire.reader(request)
        text: list[str] = []
        try:
            while (chunk := await self._next(chunks, request, text)) is not None:
                for event in self._read_by(partial(reader.feed, Frame(data=chunk)), text):
                    yield event
            ended = list(self._read_by(reader.end, text))
            for event in ended:
                if isinstance(event, Finish):
                    event = replace(event, model=self.path.name, served_by=self.name, sent=sent)
                yield event
            if not ended:
                raise Interrupted(f"{self.name} stopped without a reason", provider="llama", text="".join(text))
        finally:
            stopped.set()
            working.cancel()

    def _read_by(self, read: Callable[[], Iterable[ModelEvent]], text: list[str]) -> Iterator[ModelEvent]:
        """The reader's events; their text is kept. Errors: ModelError, with the text that had come."""
        try:
            for event in read():
                if isinstance(event, TextPart):
                    text.append(event.text)
                yield event
        except ModelError as error:
            error.provider, error.text = "llama", "".join(text)
            raise
        except (AttributeError, IndexError, KeyError, TypeError, ValueError, RecursionError) as error:
            message = f"{self.name} sent what its format does not know: {error}"
            kind = Interrupted if text else InvalidReply
            raise kind(message, provider="llama", text="".join(text)) from error

    async def _next(
        self, chunks: asyncio.Queue[str | BaseException | None], request: ModelRequest, text: list[str]
    ) -> str | None:
        left = None if request.deadline is None else request.deadline - time.monotonic()
        try:
            async with asyncio.timeout(None if left is None else max(left, 0.0)):
                chunk = await chunks.get()
        except TimeoutError as error:
            message = f"{self.name} had not finished by the deadline"
            raise DeadlineExceeded(message, provider="llama", text="".join(text)) from error
        if isinstance(chunk, ModelError | ConfigError):
            raise chunk
        if isinstance(chunk, ValueError | TypeError):
            raise InvalidRequest(f"{self.name} does not accept the request: {chunk}", provider="llama") from chunk
        if isinstance(chunk, BaseException):
            raise Unavailable(f"{self.name} failed: {chunk}", provider="llama", text="".join(text)) from chunk
        return chunk

    def count_tokens(self, text: str) -> int:
        """Tokens of a text by the model's own tokenizer. Errors: Unavailable, ConfigError.

        Where the model is not `ready` it is loaded for it, which takes long.
        """
        if text not in self._counts:
            self._counts[text] = len(self._ask(self._loaded(), "/tokenize", {"content": text}).get("tokens", ()))
            if len(self._counts) > _COUNTS_KEPT:
                self._counts.popitem(last=False)
        return self._counts[text]

    async def close(self) -> None:
        """Free the model's memory, once the calls that run have ended."""
        self._closed = True
        await asyncio.to_thread(self._executor.shutdown)
        self._server = None

    # --- the library ------------------------------------------------------------------------------------------

    def _loaded(self) -> xllamacpp.Server:
        with self._loading:
            if self._closed:
                raise self._is_closed()
            if self._server is None:
                server = self._load()
                can = self._ask(server, "/props").get("chat_template_caps") or {}
                self._takes_tools = bool(can.get("supports_tools"))
                self._server = server
            return self._server

    def _is_closed(self) -> Unavailable:
        return Unavailable(f"{self.name} is closed", provider="llama", asked=False)

    def _load(self) -> xllamacpp.Server:
        try:
            import xllamacpp
        except ImportError as error:
            raise MissingExtra.of("llama.cpp", "llama") from error
        _fingerprint(self.path)  # it may have changed
        settings = xllamacpp.CommonParams()
        settings.model.path = str(self.path)
        settings.n_ctx = self.window * self._parallel
        settings.n_parallel = self._parallel
        settings.n_gpu_layers = self._gpu_layers
        settings.cpuparams.n_threads = self._threads
        settings.cpuparams_batch.n_threads = self._threads
        settings.api_keys = [self._key]
        settings.offline = True
        settings.warmup = False
        settings.verbosity = -1
        try:
            return xllamacpp.Server(settings)
        except Exception as error:
            raise ConfigError(
                f"{self.path} cannot be loaded: {error}",
                remedy="Check that it is a whole GGUF file and fits the memory",
            ) from error

    def _ask(self, server: xllamacpp.Server, path: str, body: Mapping[str, object] | None = None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        asked = Request(f"{server.listening_address}{path}", data=data, headers=headers)  # noqa: S310
        try:
            with self._opener.open(asked, timeout=60) as reply:
                found = json.load(reply)
        except (OSError, ValueError) as error:
            raise Unavailable(f"{self.name} failed at {path}: {error}", provider="llama") from error
        if not isinstance(found, dict):
            raise Unavailable(f"{self.name} failed at {path}: {found!r}", provider="llama")
        return found


def open_llama(url: str, **_: object) -> Llama:
    """For `model = "llama:/path/model.gguf?window=8192&threads=2"`. Errors: ConfigError."""
    place, _mark, query = url.removeprefix("llama:").partition("?")
    options: dict[str, str] = dict(parse_qsl(query, keep_blank_values=True))
    for name, value in options.items():
        if name not in _OPTIONS:
            raise ConfigError(f"{url!r} has an unknown option {name!r}", remedy=f"Known: {', '.join(_OPTIONS)}")
        if not value.isdigit():
            raise ConfigError(f"{url!r}: {name} is not a whole number", remedy="Correct it")
    return Llama(
        Path(place).expanduser(),
        window=int(options.get("window", _DEFAULT_WINDOW)),
        threads=int(options["threads"]) if "threads" in options else None,
        parallel=max(1, int(options.get("parallel", 1))),
        gpu_layers=int(options.get("gpu_layers", 0)),
    )


def _fingerprint(path: Path) -> str:
    """Eight hexadecimal digits of what the file holds: its size, its beginning with all metadata, and its end.

    Errors: ConfigError, if it is no GGUF file: the library ends the process over some that are none.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_PART)
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _PART))
            end = file.read(_PART)
    except OSError as error:
        raise ConfigError(
            f"The model file {path} cannot be read: {error.strerror}", remedy='Name one as "llama:/path/model.gguf"'
        ) from error
    if not head.startswith(b"GGUF"):
        raise ConfigError(f"{path} is not a GGUF file", remedy="Download the model again, in the GGUF format")
    return sha256(b"%d" % size + head + end).hexdigest()[:8]
