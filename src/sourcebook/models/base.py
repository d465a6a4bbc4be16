"""prompt -> completion: one request in, a stream of typed events out.

The extractive model, language models behind a URL, local ones, and every wrapper of the router are a `Model`.

    request    messages (or question and evidence), tools, a schema, limits, a deadline, who pays
    events     TextPart* ReasoningPart* ToolCallPart* CitedPart* Switched* and one Finish last, or a ModelError
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

from sourcebook.errors import Interrupted
from sourcebook.types import Hit, Usage

FinishReason = Literal["stop", "length", "tool_calls", "filtered", "unknown"]
"""Why a reply ended: by itself, at a token limit, to have tools run, by the vendor's filter, or knowing nothing."""

Effort = Literal["none", "low", "medium", "high"]

JsonSchema = Mapping[str, object]
"""A JSON Schema (2020-12) as Python values."""


# --- the request --------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Image:
    """A picture in a message: its bytes, or a URL that the vendor fetches. media_type: "image/png"."""

    media_type: str
    data: bytes | None = None
    url: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolCall:
    """A model's wish to have a tool run. arguments: JSON text, exactly as the model wrote it.

    signature: what the vendor wants back with it, opaque (Gemini's thought signature).
    """

    id: str
    name: str
    arguments: str
    signature: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Thought:
    """Reasoning that a model showed, to be sent back with its turn. signature: the vendor's, opaque."""

    text: str
    signature: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """One turn of a conversation.

    role "tool" is the result of the call that `tool_call_id` names, with its text (`failed`: an error's).
    tool_calls, thoughts: of an assistant's turn. keep: a prompt-caching marker: the prompt up to the end of this
    message will come again, so a vendor that caches prompts on request should keep it.
    A last message of role "assistant" is the beginning of the reply, which the model continues, where the model
    declares `continues`.
    """

    role: Literal["system", "user", "assistant", "tool"]
    text: str = ""
    images: tuple[Image, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    failed: bool = False
    thoughts: tuple[Thought, ...] = ()
    keep: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Tool:
    """A function that the model may ask for. parameters: the JSON Schema of its arguments, an object."""

    name: str
    description: str
    parameters: JsonSchema


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelRequest:
    """What a model is asked.

    messages: the composed prompt, for models that generate.
    question, evidence: the same as data, for models that select; evidence is best first, and the i'th hit is
    the passage that markers call [i + 1].
    tool_choice: "auto", "none", "required", or the name of the tool to call.
    schema: the reply's text must be JSON of this schema.
    reasoning: how much to think before answering; None leaves it to the model.
    logprobs: text comes with its log probability where the model declares it.
    What would be missing from the reply where the model does not declare it (tools, images, a schema, the rest of a
    reply that was begun) is InvalidRequest; seed, reasoning and logprobs are passed over, and so are temperature and
    top_p by models that take none.
    streamed: whether the vendor is asked for a stream; events are the same, only later, if not.
    deadline: by `time.monotonic()`; nothing runs past it.
    tenant, account: who pays; budgets are kept by them. purpose, answer_id: what the call was for, in the ledger.
    """

    question: str = ""
    evidence: tuple[Hit, ...] = ()
    messages: tuple[Message, ...] = ()
    max_sentences: int = 3
    max_output_tokens: int = 512
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    tools: tuple[Tool, ...] = ()
    tool_choice: str = "auto"
    schema: JsonSchema | None = None
    reasoning: Effort | None = None
    logprobs: bool = False
    streamed: bool = True
    deadline: float | None = None
    tenant: str = "default"
    account: str = "default"
    purpose: str = "answer"
    answer_id: str | None = None


# --- the events ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class TextPart:
    """A further piece of the answer's text. logprobs: natural logarithm of each token's probability, if asked for."""

    text: str
    logprobs: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ReasoningPart:
    """A further piece of the model's reasoning; `signature` comes with the last piece of a thought."""

    text: str
    signature: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolCallPart:
    """The model asks for a tool: sent once, when the call is complete."""

    call: ToolCall


@dataclass(frozen=True, kw_only=True, slots=True)
class CitedPart:
    """The sentence just written rests on evidence[number - 1], characters [start, end) of the passage's text."""

    number: int
    start: int
    end: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Switched:
    """From here on another model writes. kept: characters already sent that stay part of the reply."""

    before: str
    after: str
    reason: str
    kept: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Finish:
    """The last event. reason "unknown": the model found nothing that supports an answer.

    model: the one that finished, as the vendor names it. request_id: the vendor's, for its support.
    served_by: its name as a `Model`; served_url: as the settings name it, where it was opened by them.
    sent: SHA-256 of the request's body as it went to the vendor, in hex.
    usage: of the whole call, every attempt that the vendor charges included.
    """

    reason: FinishReason
    usage: Usage = field(default_factory=Usage)
    model: str = ""
    request_id: str = ""
    served_by: str = ""
    served_url: str = ""
    sent: str = ""


ModelEvent = TextPart | ReasoningPart | ToolCallPart | CitedPart | Switched | Finish


# --- the model ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Capabilities:
    """What a model can do. The core asks for these, never for a vendor's name.

    continues: a last assistant message is taken as the beginning of the reply. caches: honours `Message.keep`.
    local: it runs in this process: no vendor, no network, and as slow as the machine.
    cites: it reads question and evidence and cites itself (CitedPart); of other models the [n] markers are resolved.
    """

    streams: bool = True
    tools: bool = False
    images: bool = False
    schema: bool = False
    reasoning: bool = False
    logprobs: bool = False
    continues: bool = False
    caches: bool = False
    seed: bool = False
    cites: bool = False
    local: bool = False


class Model(Protocol):
    """Anything that turns a request into an answer: the extractive one and language models alike.

    name: as recorded with the answer; changes whenever answers would. window: tokens of prompt and answer.
    A generator that is closed early (`aclosing`) stops the work, at the vendor too.
    """

    @property
    def name(self) -> str: ...
    @property
    def window(self) -> int: ...
    @property
    def capabilities(self) -> Capabilities: ...

    def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Events as they come, then one Finish.

        Errors: ModelError, with what had come as its `text`: `Interrupted` where the reply broke off, and whatever
        else the vendor says in the middle of it.
        """
        ...

    def count_tokens(self, text: str) -> int:
        """Tokens of a text by the model's own tokenizer where it is known."""
        ...

    async def close(self) -> None:
        """Let go of connections, files and memory."""
        ...


@dataclass(slots=True)
class Said:
    """What a vendor has told of one call, filled while that runs: all there is of it if the call is left.

    request_id: the vendor's. usage: of the reply, as reported so far; `Usage()` until it has been.
    """

    request_id: str = ""
    usage: Usage = field(default_factory=Usage)


@runtime_checkable
class Telling(Protocol):
    """What a model is besides, that tells of its calls before they end."""

    def telling(self, request: ModelRequest, said: Said) -> AsyncGenerator[ModelEvent, None]:
        """As `Model.stream`; `said` is kept up to date with what the vendor tells."""
        ...


@runtime_checkable
class Loading(Protocol):
    """What a model is besides, that must be in memory before it counts, and before it knows what it can do."""

    async def ready(self) -> None:
        """Load it, once. Errors: ConfigError, MissingExtra."""
        ...


@runtime_checkable
class Served(Protocol):
    """What a model is besides, that a vendor or a library serves.

    provider, model: as in its URL and in the price file.
    """

    provider: str
    model: str

    def body(self, request: ModelRequest) -> bytes:
        """The request's body exactly as it is sent. Errors: InvalidRequest."""
        ...


# --- the whole reply ----------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Completion:
    """A finished reply.

    logprobs: of the text's tokens, if asked for; switched: models that gave up on the way. Of those only text stays,
    and what it cites: thoughts, tool calls and log probabilities mean nothing beside another model's.
    """

    text: str
    finish: Finish
    thoughts: tuple[Thought, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    citations: tuple[CitedPart, ...] = ()
    logprobs: tuple[float, ...] = ()
    switched: tuple[Switched, ...] = ()


async def complete(model: Model, request: ModelRequest) -> Completion:
    """Run a request to its end. Errors: ModelError."""
    text: list[str] = []
    logprobs: list[float] = []
    thoughts: list[Thought] = []
    thinking: list[str] = []
    calls: list[ToolCall] = []
    citations: list[CitedPart] = []
    switched: list[Switched] = []
    finish: Finish | None = None
    async with aclosing(model.stream(request)) as events:
        async for event in events:
            match event:
                case TextPart():
                    text.append(event.text)
                    logprobs.extend(event.logprobs)
                case ReasoningPart():
                    thinking.append(event.text)
                    if event.signature:
                        thoughts.append(Thought(text="".join(thinking), signature=event.signature))
                        thinking = []
                case ToolCallPart():
                    calls.append(event.call)
                case CitedPart():
                    citations.append(event)
                case Switched():
                    switched.append(event)
                    text = ["".join(text)[: event.kept]]
                    logprobs, thinking, thoughts, calls = [], [], [], []  # of the model that was left
                    citations = citations if event.kept else []
                case Finish():
                    finish = event
    if finish is None:
        raise Interrupted(f"The reply of {model.name} ended without saying why", text="".join(text))
    if thinking:
        thoughts.append(Thought(text="".join(thinking)))
    return Completion(
        text="".join(text),
        finish=finish,
        thoughts=tuple(thoughts),
        tool_calls=tuple(calls),
        citations=tuple(citations),
        logprobs=tuple(logprobs),
        switched=tuple(switched),
    )
