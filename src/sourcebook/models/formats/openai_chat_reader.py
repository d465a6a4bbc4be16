"""The reply of OpenAI chat completions, as OpenAI and the many servers of its format write it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sourcebook.models.base import Finish, ModelEvent, ReasoningPart, TextPart, ToolCall
from sourcebook.models.formats.openai_shapes import openai_error, openai_usage
from sourcebook.models.formats.replies import finished_calls, stopped
from sourcebook.models.formats.stopping import StopSequences
from sourcebook.models.framing import ServerSentEvents, Whole
from sourcebook.models.meaning import finish_reason
from sourcebook.models.wire import Frame, Framing, OneCall, from_json, to_json


class OpenAIChatReader(OneCall):
    """One reply: chunks until [DONE], or one completion. stops: the stop sequences that the server does not take."""

    def __init__(self, provider: str, *, stops: Sequence[str] = ()) -> None:
        self._provider = provider
        self._stops = StopSequences(stops)
        self._calls = _Calls()
        self._refused = False
        self._why = ""
        self._model = ""

    def framing(self, content_type: str) -> Framing:
        """Server-sent events, or one body."""
        return Whole() if content_type.endswith("json") else ServerSentEvents()

    def feed(self, frame: Frame) -> Iterable[ModelEvent]:
        """Text, reasoning and tool calls; Finish at [DONE], after which usage is known."""
        if frame.data.strip() == "[DONE]":
            return self.end()
        chunk = from_json(frame.data, self._provider)
        if chunk.get("error"):
            raise openai_error(self._provider, 0, {}, chunk)
        return stopped(self._chunk(chunk, whole=frame.event == "reply"), self._stops, self)

    def _chunk(self, chunk: dict[str, Any], *, whole: bool) -> Iterator[ModelEvent]:
        self._model = chunk.get("model") or self._model
        if chunk.get("usage"):
            self.usage = openai_usage(chunk["usage"])
        for choice in chunk.get("choices") or ():
            said = choice.get("message" if whole else "delta") or {}
            if thought := said.get("reasoning_content") or said.get("reasoning"):
                yield ReasoningPart(text=thought)
            if content := said.get("content"):
                yield from _content(content, _logprobs(choice))
            if refusal := said.get("refusal"):
                self._refused = True
                yield TextPart(text=refusal)
            self._calls.add(said.get("tool_calls") or ())
            self._why = choice.get("finish_reason") or self._why
        if whole:
            yield from self.end()

    def end(self) -> Iterable[ModelEvent]:
        """Calls and Finish, if the server had said why it stopped."""
        if not self._why:
            return
        calls = self._calls.whole()
        reason = "filtered" if self._refused else finish_reason(self._why, self._provider)
        if calls and reason == "stop":
            reason = "tool_calls"  # some servers say stop though they call
        yield from self._stops.rest()
        yield from finished_calls(calls, reason)
        yield Finish(reason=reason, usage=self.usage, model=self._model)


class _Calls:
    """Tool calls that come in pieces, in the order in which they began.

    A piece belongs to the call of its index; servers that number carelessly, or not at all, begin a new call with
    a new id.
    """

    def __init__(self) -> None:
        self._begun: list[_Call] = []
        self._current: dict[object, _Call] = {}

    def add(self, parts: Sequence[dict[str, Any]]) -> None:
        for position, part in enumerate(parts):
            index = part.get("index")
            key = position if index is None else index
            call = self._current.get(key)
            if call is None or call.is_another(part.get("id") or ""):
                call = self._current[key] = _Call()
                self._begun.append(call)
            call.add(part)

    def whole(self) -> list[ToolCall]:
        """All of them, as far as they came."""
        return [one.written() for one in self._begun]


class _Call:
    def __init__(self) -> None:
        self._id = ""
        self._name = ""
        self._arguments: list[str] = []

    def is_another(self, id: str) -> bool:
        """Whether a piece with this id does not belong to this call."""
        return bool(id and self._id and id != self._id)

    def add(self, part: dict[str, Any]) -> None:
        function = part.get("function") or {}
        self._id = part.get("id") or self._id
        self._name = function.get("name") or self._name
        arguments = function.get("arguments")
        if arguments:
            self._arguments.append(arguments if isinstance(arguments, str) else to_json(arguments).decode())

    def written(self) -> ToolCall:
        return ToolCall(id=self._id or self._name, name=self._name, arguments="".join(self._arguments))


def _content(content: object, logprobs: tuple[float, ...]) -> Iterator[ModelEvent]:
    """Text, or a list of parts as Mistral sends them, thoughts among them."""
    if isinstance(content, str):
        yield TextPart(text=content, logprobs=logprobs)
        return
    for part in content if isinstance(content, list) else ():
        if part.get("type") == "thinking":
            yield ReasoningPart(text="".join(one.get("text") or "" for one in part.get("thinking") or ()))
        elif part.get("text"):
            yield TextPart(text=part["text"], logprobs=logprobs)


def _logprobs(choice: dict[str, Any]) -> tuple[float, ...]:
    tokens = (choice.get("logprobs") or {}).get("content") or ()
    return tuple(float(one["logprob"]) for one in tokens)
