"""The settings, section by section. Every setting is a field here; docs/configuration.md is checked against them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class Parts:
    """Which part stands in which box, by URL or name."""

    catalog: str = "sqlite:catalog.db"
    index: str = "qdrant:index"
    embed: str = "minilm"
    model: str = "extractive"


@dataclass(frozen=True, kw_only=True, slots=True)
class Parse:
    """How much of one document is read before it fails as too large.

    max_bytes: size of the file. max_text: characters of parsed text. max_rows: rows of all its tables together.
    max_seconds: wall time of parsing. max_memory: bytes that a worker process may allocate.
    max_expansion: bytes that an archive (Office files are archives) may unpack to. max_ratio: unpacked over packed
    size of an archive, heeded past 10 MB. inline_bytes: text files up to this size are parsed without a worker.
    workers: processes that parse PDF, Office, mail and images; 0 means one for each core.
    """

    max_bytes: int = 200_000_000
    max_text: int = 50_000_000
    max_rows: int = 1_000_000
    max_seconds: float = 120.0
    max_memory: int = 2_000_000_000
    max_expansion: int = 1_000_000_000
    max_ratio: int = 200
    inline_bytes: int = 1_000_000
    workers: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Chunk:
    """How documents are cut. tokens: budget of a passage, by the embedder's tokenizer; overlap: tokens repeated."""

    tokens: int = 256
    overlap: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Embed:
    """How the local embedder runs. threads: cores it uses; 0 means all."""

    threads: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Retrieve:
    """How passages are found.

    fusion: "standardised" (scores of both channels are standardised and summed) or "rrf" (reciprocal ranks).
    closeness: with "standardised", how much it counts that the question's words stand close together; 0: not.
    dense, keyword: weights of the channels for languages that the embedder knows; in other languages the dense
    channel gets `dense_foreign`. candidates: proposals taken from each channel.
    merge: join neighbouring passages into one hit. fold: show near-duplicates once. decompose: a question that asks
    several things is searched for part by part when it is answered.
    """

    fusion: str = "standardised"
    dense: float = 0.55
    keyword: float = 0.45
    dense_foreign: float = 0.0
    candidates: int = 50
    closeness: float = 2.0
    merge: bool = True
    fold: bool = True
    decompose: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """How questions are answered. passages: evidence handed to the model; sentences: an answer's length at most.

    keep_days: after so many days an answer's record, with all that made it, is deleted by the next sync; 0: never.
    """

    passages: int = 8
    sentences: int = 3
    keep_days: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompt:
    """How the prompt for a model that generates is made, and how its reply is read; docs/prompts.md tells more.

    template: its name. output_tokens: reserved for the reply, and at most a quarter of the window.
    passage_tokens: for passages, at most. examples: questions with good answers, at most; collection: that they are
    of.
    diversity: from 0 to 1, how much less a passage is worth that says what a chosen one does.
    order: "ends" (the strongest passages first and last) or "best-first". cut: a passage may go in in part.
    attribute: a sentence without a marker is given the source that supports it, if there is one.
    support: probability from which a sentence counts as supported. unsupported: "mark" or "leave-out".
    """

    template: str = "answer"
    output_tokens: int = 1024
    passage_tokens: int = 4000
    examples: int = 3
    collection: str = "default"
    diversity: float = 0.5
    order: str = "ends"
    cut: bool = True
    attribute: bool = True
    support: float = 0.3
    unsupported: str = "mark"


@dataclass(frozen=True, kw_only=True, slots=True)
class Memory:
    """What conversations bring into a prompt.

    window: tokens of the last turns, verbatim. summary: tokens of the summary of those before.
    facts: what users have said of themselves, recalled at most, and as many preferences; 0: none.
    threshold: similarity, from 0 to 1, that a fact must have to the question. learn: whether facts are looked for.
    rewrite: whether a question is rewritten to stand alone before passages are searched; seconds: for that call.
    """

    window: int = 1500
    summary: int = 300
    facts: int = 5
    threshold: float = 0.3
    learn: bool = True
    rewrite: bool = True
    seconds: float = 10.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """How the model is called, and which models stand in for each other; docs/routing.md tells more.

    models: URLs in order, used where parts.model is "route:"; what stands behind a # overrides settings for one of
    them. strategy: "fallback", "cascade" (the first is the cheap one), "split", "cheapest" or "fastest".
    split_by: "tenant" or "account", whose calls all go to the same model; "": chance.
    attempts: calls of one model, retries included; retry_seconds: after which it is not asked again.
    elsewhere: the terminal errors with which the next model is tried. rounds: times that a reply which breaks off
    may go through the models.
    breaker_failures: failures in a row after which a model is left alone for breaker_seconds; 0: never.
    concurrency, requests_per_minute, tokens_per_minute: of each model; 0: no limit. queue_seconds: wait for a turn.
    hedge_percentile: a second call goes out when a reply begins later than this share, in percent, of the latest.
    cascade_confidence, cascade_probability, cascade_agreement: from 0 to 1; below it, the strong model is asked.
    cascade_reasons: ends of the cheap reply with which it is asked, too.
    deadline_seconds: for a request without a deadline. first_seconds, idle_seconds: silence before and within a
    streamed reply after which the model is given up, if that is to be before the timeout of its URL.
    0 switches any of these off.
    """

    models: tuple[str, ...] = ()
    strategy: str = "fallback"
    split_by: str = ""
    attempts: int = 3
    retry_seconds: float = 20.0
    elsewhere: tuple[str, ...] = (
        "NotAuthorised",
        "NoSuchModel",
        "ContextTooLong",
        "QuotaExhausted",
        "Refused",
        "InvalidReply",
    )
    rounds: int = 2
    breaker_failures: int = 5
    breaker_seconds: float = 30.0
    concurrency: int = 0
    requests_per_minute: int = 0
    tokens_per_minute: int = 0
    queue_seconds: float = 0.0
    hedge_percentile: float = 0.0
    cascade_confidence: float = 0.3
    cascade_probability: float = 0.7
    cascade_agreement: float = 0.0
    cascade_reasons: tuple[str, ...] = ("unknown", "length", "filtered")
    deadline_seconds: float = 600.0
    first_seconds: float = 0.0
    idle_seconds: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Tables:
    """What one SQL query over the tables of documents may take.

    max_seconds: of time, loading of tables not counted. max_memory: bytes for the tables and the query.
    max_rows, max_characters: of the result that a model is given, which is cut there. max_cell: characters of one
    cell. threads: at work on a query.
    """

    max_seconds: float = 10.0
    max_memory: int = 1_000_000_000
    max_rows: int = 200
    max_characters: int = 16_000
    max_cell: int = 2_000
    threads: int = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Sources:
    """Which files are taken. hidden: also those whose names start with a dot."""

    hidden: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Agent:
    """The tools of a model that generates, and what one run of the agent loop may take; docs/tools.md tells more.

    tools: "search", "tables", "python:package.module:function", "openapi:URL", "mcp:URL" or "mcp:COMMAND"; none: the
    model answers at once, from the passages that were found.
    steps: calls of the model; the last one has to answer. tokens: of all prompts and replies. seconds: of time.
    cost: micro-US-dollars. parallel: tool calls at once. repeats: how often the very same call is really made.
    tool_seconds, tool_characters: time of one tool call, and length of its result.
    """

    tools: tuple[str, ...] = ()
    steps: int = 8
    tokens: int = 200_000
    seconds: float = 120.0
    cost: int = 500_000
    parallel: int = 4
    repeats: int = 1
    tool_seconds: float = 30.0
    tool_characters: int = 20_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """All settings of a book, section by section."""

    parts: Parts = field(default_factory=Parts)
    sources: Sources = field(default_factory=Sources)
    parse: Parse = field(default_factory=Parse)
    chunk: Chunk = field(default_factory=Chunk)
    embed: Embed = field(default_factory=Embed)
    retrieve: Retrieve = field(default_factory=Retrieve)
    answer: Answer = field(default_factory=Answer)
    prompt: Prompt = field(default_factory=Prompt)
    memory: Memory = field(default_factory=Memory)
    agent: Agent = field(default_factory=Agent)
    route: Route = field(default_factory=Route)
    tables: Tables = field(default_factory=Tables)


SECTIONS: Mapping[str, type] = {
    "parts": Parts,
    "sources": Sources,
    "parse": Parse,
    "chunk": Chunk,
    "embed": Embed,
    "retrieve": Retrieve,
    "answer": Answer,
    "prompt": Prompt,
    "memory": Memory,
    "agent": Agent,
    "route": Route,
    "tables": Tables,
}
