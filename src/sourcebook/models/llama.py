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
from collections.abc import AsyncGenerator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl
from urllib.request import Request, urlopen

from sourcebook.errors import (
    ConfigError,
    DeadlineExceeded,
    Interrupted,
    InvalidRequest,
    MissingExtra,
    ModelError,
    Unavailable,
)
from sourcebook.models.base import Capabilities, Finish, ModelEvent, ModelRequest, TextPart
from sourcebook.models.formats.openai_chat import Dialect, OpenAIChat
from sourcebook.models.wire import Frame, Target

if TYPE_CHECKING:
    import xllamacpp

_DEFAULT_WINDOW = 4096
_COUNTS_KEPT = 4096  # texts whose token count is remembered
_OPTIONS = ("window", "threads", "parallel", "gpu_layers")


class Llama:
    """A `Model` that runs in this process.

    path: of the GGUF file. window: tokens of prompt and answer, which memory is set aside for at the first call.
    threads: cores; None for all. parallel: calls at once; more wait in turn. Loading happens with the first call.
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
        self.name = f"llama:{path.name}"
        self._threads = threads or os.cpu_count() or 1
        self._parallel = parallel
        self._gpu_layers = gpu_layers
        self._key = secrets.token_hex(16)
        self._executor = ThreadPoolExecutor(max_workers=parallel, thread_name_prefix="llama")
        self._loading = threading.Lock()
        self._server: xllamacpp.Server | None = None
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
        return replace(self._wire.capabilities, tools=self._server is not None and self._takes_tools())

    def body(self, request: ModelRequest) -> bytes:
        """What llama.cpp is given, in OpenAI's format. Without a temperature, the likeliest token is taken."""
        temperature = 0.0 if request.temperature is None else request.temperature
        return self._wire.call(replace(request, streamed=True, temperature=temperature)).body

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

        working = self._executor.submit(run)
        reader = self._wire.reader(request)
        text: list[str] = []
        try:
            while (chunk := await self._next(chunks, request, text)) is not None:
                for event in reader.feed(Frame(data=chunk)):
                    if isinstance(event, TextPart):
                        text.append(event.text)
                    yield event
            ended = list(reader.end())
            for event in ended:
                if isinstance(event, Finish):
                    event = replace(event, model=self.path.name, served_by=self.name, sent=sent)
                yield event
            if not ended:
                raise Interrupted(f"{self.name} stopped without a reason", provider="llama", text="".join(text))
        finally:
            stopped.set()
            working.cancel()

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
        """Tokens of a text by the model's own tokenizer."""
        if text not in self._counts:
            self._counts[text] = len(self._ask("/tokenize", {"content": text})["tokens"])
            if len(self._counts) > _COUNTS_KEPT:
                self._counts.popitem(last=False)
        return self._counts[text]

    async def close(self) -> None:
        """Free the model's memory, once the calls that run have ended."""
        await asyncio.to_thread(self._executor.shutdown)
        self._server = None

    # --- the library ------------------------------------------------------------------------------------------

    def _loaded(self) -> xllamacpp.Server:
        with self._loading:
            if self._server is None:
                self._server = self._load()
            return self._server

    def _load(self) -> xllamacpp.Server:
        try:
            import xllamacpp
        except ImportError as error:
            raise MissingExtra.of("llama.cpp", "llama") from error
        _check(self.path)
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

    def _takes_tools(self) -> bool:
        return bool((self._ask("/props").get("chat_template_caps") or {}).get("supports_tools"))

    def _ask(self, path: str, body: Mapping[str, object] | None = None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        asked = Request(f"{self._loaded().listening_address}{path}", data=data, headers=headers)  # noqa: S310
        with urlopen(asked, timeout=60) as reply:  # noqa: S310
            found: dict[str, Any] = json.load(reply)
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
    path = Path(place).expanduser()
    _check(path)
    return Llama(
        path,
        window=int(options.get("window", _DEFAULT_WINDOW)),
        threads=int(options["threads"]) if "threads" in options else None,
        parallel=max(1, int(options.get("parallel", 1))),
        gpu_layers=int(options.get("gpu_layers", 0)),
    )


def _check(path: Path) -> None:
    """That there is a GGUF file: the library ends the process over some files that are none."""
    try:
        with path.open("rb") as file:
            head = file.read(4)
    except OSError as error:
        raise ConfigError(
            f"The model file {path} cannot be read: {error.strerror}", remedy='Name one as "llama:/path/model.gguf"'
        ) from error
    if head != b"GGUF":
        raise ConfigError(f"{path} is not a GGUF file", remedy="Download the model again, in the GGUF format")
